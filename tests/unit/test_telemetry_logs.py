"""Everything that a process says goes one way: scrubbed, bounded, and off the caller's path."""

import asyncio
import io
import json
import logging
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import uvloop

from turnout.domain.cards import CardDetails
from turnout.domain.payment import PaymentStatus
from turnout.telemetry import Logs, configure_logs, get_logger
from turnout.telemetry import logs as room
from turnout.telemetry.lines import Entry, as_json, as_text

PAN = "4242424242424242"
CARD = CardDetails(PAN, 1, 2030, "737", "Ada")
CANARY = "value-of-a-variable"
NOW_NS = 1_900_000_000_123_456_000


class Stuck(io.StringIO):
    """A stream whose reader has stopped reading, until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()
        self.free = threading.Event()

    def write(self, text: str) -> int:
        self.reached.set()
        assert self.free.wait(30)
        return super().write(text)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Logging belongs to the process; each test gives it back as it found it."""
    root, ours = logging.getLogger(), logging.getLogger("turnout")
    kept = (list(root.handlers), root.level, ours.level, logging.raiseExceptions)
    hooks = (sys.excepthook, threading.excepthook, sys.unraisablehook)
    monkeypatch.setattr(room, "_way", room._Way())
    yield
    logging.captureWarnings(False)
    root.handlers[:] = kept[0]
    root.setLevel(kept[1])
    ours.setLevel(kept[2])
    logging.raiseExceptions = kept[3]
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks


def configured(stream: io.StringIO, **changes: Any) -> Logs:
    return configure_logs(now_ns=lambda: NOW_NS, stream=stream, **{"output": "json", **changes})


def lines(logs: Logs, stream: io.StringIO) -> list[dict[str, Any]]:
    assert logs.flush()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_json_line_with_its_fields() -> None:
    stream = io.StringIO()
    logs = configured(stream)
    log = get_logger("turnout.orchestration")
    log.info("payment.answered", payment_id="pay_1", status="succeeded", took_ms=1.23456789)
    log.warning("later")
    assert lines(logs, stream) == [
        {
            "time": "2030-03-17T17:46:40.123456Z",
            "level": "info",
            "logger": "turnout.orchestration",
            "event": "payment.answered",
            "payment_id": "pay_1",
            "status": "succeeded",
            "took_ms": 1.234568,
        },
        {
            "time": "2030-03-17T17:46:40.123456Z",
            "level": "warning",
            "logger": "turnout.orchestration",
            "event": "later",
        },
    ]


def test_fields_cannot_take_the_place_of_what_a_line_always_has() -> None:
    stream = io.StringIO()
    logs = configured(stream)
    get_logger("turnout").info("x", level="fake", time="fake")
    (line,) = lines(logs, stream)
    assert (line["level"], line["field_level"], line["field_time"]) == ("info", "fake", "fake")


def test_what_is_below_the_level_is_not_said() -> None:
    stream = io.StringIO()
    logs = configured(stream, level="warning")
    log = get_logger("turnout.x")
    log.debug("no")
    log.info("no")
    log.error("yes")
    logging.getLogger("turnout.y").info("no")
    logging.getLogger("aiohttp.access").info("no")
    assert [line["event"] for line in lines(logs, stream)] == ["yes"]


def test_libraries_and_the_standard_logging_go_the_same_way() -> None:
    stream = io.StringIO()
    logs = configured(stream)
    logging.getLogger("turnout.orchestration.parts").info("settled %s", "att_1")
    logging.getLogger("grpc._cython").error("peer sent %s", PAN)
    logging.getLogger("grpc").info("chatter")
    logging.getLogger("broken").warning("%d items", PAN + "x")
    # Past pytest, which takes warnings for itself.
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.getLogger("py.warnings").warning("%s", f"old {PAN}")
    found = lines(logs, stream)
    assert [line["logger"] for line in found] == [
        "turnout.orchestration.parts",
        "grpc._cython",
        "broken",
        "py.warnings",
    ]
    assert found[0]["event"] == "settled att_1"
    assert PAN not in stream.getvalue()


@pytest.mark.parametrize("status", list(PaymentStatus)[:2])
@pytest.mark.parametrize(
    "said",
    [
        f"order {PAN}",
        "4242-4242-4242-4242",
        "4242\n4242\n4242\n4242",
        "4242%204242%2D4242%204242",
        "4242\u20134242\u20134242\u20134242",
        "\u0664\u0662" * 8,
        "my CVC: 4242",
        "sk_live_4242abcdef",
        "Bearer 4242abcdef",
    ],
)
def test_a_line_that_came_a_thousand_times_is_searched_the_next_time(
    status: PaymentStatus, said: str
) -> None:
    """The payment's line passes with one look; what must be hidden still is, in every field."""
    stream = io.StringIO()
    logs = configured(stream)
    log = get_logger("turnout.calls")
    for _ in range(3):
        log.info("payment.settled", payment_id="pay_1", status=status, request_id="mine")
    log.info("payment.settled", payment_id=said, status=status, request_id="mine")
    log.info("payment.settled", payment_id="pay_1", status=status, request_id=said)
    log.info(said, payment_id="pay_1", status=status, request_id="mine")
    found = lines(logs, stream)
    assert found[0]["status"] == status.value
    assert found[0] == found[1] == found[2]
    for line in found[3:]:
        assert "hidden" in json.dumps(line)
        assert "4242" not in json.dumps(line) and "\\u0664" not in json.dumps(line)


def test_exceptions_show_where_and_never_the_values_of_variables() -> None:
    stream = io.StringIO()
    logs = configured(stream)

    def charge(card: CardDetails, canary: str) -> None:
        raise KeyError(f"cannot read {card.number} {card}")

    try:
        try:
            charge(CARD, CANARY)
        except KeyError as error:
            raise RuntimeError(f"connector said 4242-4242-4242-4242 {PAN}") from error
    except RuntimeError:
        get_logger("turnout").exception("connector.failed", attempt_id="att_1")
        logging.getLogger("asyncio").exception("task failed")
    for line in lines(logs, stream):
        assert line["level"] == "error"
        assert "charge" in line["exception"]
        assert "RuntimeError: connector said" in line["exception"]
        assert "KeyError" in line["exception"]
    for secret in (PAN, "4242-4242", CARD.cvc, CARD.holder_name, CANARY):
        assert secret not in stream.getvalue()


def test_an_exception_can_be_handed_over_by_itself() -> None:
    stream = io.StringIO()
    logs = configured(stream)
    log = get_logger("turnout")
    log.error("a", exc_info=ValueError("x"))
    log.error("b", exc_info=True)
    log.error("c", exc_info=None)
    first, second, third = lines(logs, stream)
    assert first["exception"].endswith("ValueError: x")
    assert "exception" not in second
    assert "exception" not in third


def test_what_nobody_caught_is_told_and_scrubbed() -> None:
    stream = io.StringIO()
    logs = configured(stream)

    def fails() -> None:
        raise ValueError(f"thread {PAN}")

    thread = threading.Thread(target=fails)
    thread.start()
    thread.join()
    error = ValueError(f"main {PAN}")
    sys.excepthook(type(error), error, None)
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    found = lines(logs, stream)
    assert [line["event"] for line in found] == [
        "thread.uncaught_exception",
        "process.uncaught_exception",
    ]
    assert all(line["level"] == "critical" for line in found)
    assert PAN not in stream.getvalue()


def test_a_failing_task_on_uvloop_is_told_and_scrubbed() -> None:
    stream = io.StringIO()
    logs = configured(stream)

    async def work() -> None:
        async def fails() -> None:
            raise ValueError(f"task {PAN}")

        task = asyncio.get_running_loop().create_task(fails())
        await asyncio.wait([task])
        del task

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work())
    (line,) = lines(logs, stream)
    assert line["logger"] == "asyncio"
    assert "ValueError: task [card number hidden]" in line["exception"]


def test_a_stuck_reader_costs_lines_and_not_time() -> None:
    stream = Stuck()
    logs = configured(stream, queue_lines=100)
    log = get_logger("turnout")
    log.info("first")
    assert stream.reached.wait(30)
    for number in range(1_000):
        log.info("line", number=number)
    assert logs.dropped == 900
    stream.free.set()
    found = lines(logs, stream)
    assert len(found) == 1 + 100 + 1
    (told,) = [line for line in found if line["event"] == "log.lines_dropped"]
    assert told["lines"] == 900


def test_a_stream_that_is_gone_is_counted_and_ends_nothing() -> None:
    stream = io.StringIO()
    logs = configured(stream)
    stream.close()
    get_logger("turnout").info("lost")
    assert logs.flush()
    assert logs.dropped == 1
    get_logger("turnout").info("lost too")
    assert logs.flush()
    assert logs.dropped == 2


def test_a_value_that_cannot_be_shown_ends_nothing() -> None:
    class Hostile:
        def __str__(self) -> str:
            raise RuntimeError(PAN)

    stream = io.StringIO()
    logs = configured(stream)
    get_logger("turnout").info("one", value=Hostile())
    get_logger("turnout").info("two")
    found = lines(logs, stream)
    assert [line["event"] for line in found] == ["log.line_not_rendered", "two"]
    assert PAN not in stream.getvalue()


def test_close_writes_what_waits() -> None:
    stream = io.StringIO()
    logs = configured(stream)
    for number in range(500):
        get_logger("turnout").info("line", number=number)
    logs.close()
    assert len(stream.getvalue().splitlines()) == 500


@pytest.mark.parametrize(
    ("stream", "output", "begins"),
    [
        (io.StringIO(), "auto", "{"),
        (Terminal(), "auto", "\x1b[2m17:46:40.123"),
        (io.StringIO(), "text", "17:46:40.123 info"),
        (Terminal(), "json", "{"),
    ],
)
def test_text_is_for_people_and_json_for_the_rest(
    stream: io.StringIO, output: str, begins: str
) -> None:
    logs = configured(stream, output=output)
    get_logger("turnout").info("x", a="b c")
    logs.close()
    assert stream.getvalue().startswith(begins)


def test_nobody_can_forge_a_line() -> None:
    entry = Entry(NOW_NS, "info", "t", "a\n17:00 critical forged", {"b\nc": "d\r\n\x1b[31me"})
    assert len(as_json(entry).splitlines()) == 1
    text = as_text(entry)
    assert len(text.splitlines()) == 1
    assert "\x1b" not in text


def test_before_it_is_configured_it_is_scrubbed_too() -> None:
    program = (
        "from turnout.telemetry import get_logger;"
        f"get_logger('turnout').info('early', card='{PAN}', n={PAN})"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert "early" in run.stderr
    assert PAN not in run.stderr + run.stdout
