"""Logging, configured once: everything goes one way, through the scrubber, off the payment's path.

Whoever logs pays for appending an entry; a thread of its own scrubs, renders and writes, and looks
twenty times a second rather than being woken for each line: a wake-up costs the payment more than
the line, because the two threads then fight for the interpreter. What waits is bounded: where the
reader of the log is stuck, lines are dropped and counted, and no payment waits.
What libraries log through `logging`, warnings and uncaught exceptions come the same way.

    log = telemetry.get_logger("turnout.orchestration")
    log.info("payment.answered", payment_id=..., status=...)

The event is a stable name; what varies stands in fields.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Final, TextIO

from turnout.telemetry.lines import (
    Entry,
    Render,
    as_coloured_text,
    as_json,
    as_text,
    trouble_text,
)

__all__ = [
    "Logger",
    "Logs",
    "configure_logs",
    "get_logger",
]

LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}
# Lines written in one go.
_BATCH: Final = 256
# How long a line may wait; a person who follows the log does not see it.
_LOOK_S: Final = 0.05
# Libraries that speak of every request at INFO; ours say it better.
_CHATTY: Final = ("aiohttp.access", "asyncio", "hpack", "urllib3")


class Logs:
    """The one sink of a process: a queue, a thread, a stream."""

    def __init__(
        self, stream: TextIO, render: Render, now_ns: Callable[[], int], queue_lines: int
    ) -> None:
        self.now_ns = now_ns
        self.dropped = 0
        self._stream = stream
        self._render = render
        self._room = queue_lines
        self._waiting: deque[Entry] = deque()
        self._told = 0
        self._looks = 0
        self._closing = False
        self._now = threading.Event()
        self._done = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="turnout-log", daemon=True)
        self._thread.start()

    def put(self, entry: Entry) -> None:
        """Hands an entry over; drops and counts it where too many wait."""
        if len(self._waiting) >= self._room:
            self.dropped += 1
        else:
            self._waiting.append(entry)

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Waits until what was put before this is written; says whether it was in time."""
        looks = self._looks
        self._now.set()
        with self._done:
            # The look that is under way may have begun before our last line; the next one has not.
            return self._done.wait_for(lambda: self._looks >= looks + 2, timeout_s)

    def close(self, timeout_s: float = 5.0) -> None:
        """Writes what waits and ends the thread."""
        self._closing = True
        self._now.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            closing = self._closing
            while self._waiting:
                count = min(len(self._waiting), _BATCH)
                self._write([self._waiting.popleft() for _ in range(count)])
            if self.dropped > self._told:
                self._write([])
            with self._done:
                self._looks += 1
                self._done.notify_all()
            if closing:
                return
            self._now.wait(_LOOK_S)
            self._now.clear()

    def _write(self, entries: list[Entry]) -> None:
        lines = [self._line(entry) for entry in entries]
        if self.dropped > self._told:
            missing = self.dropped - self._told
            self._told = self.dropped
            lines.append(
                self._line(
                    Entry(
                        self.now_ns(),
                        "warning",
                        "turnout.telemetry",
                        "log.lines_dropped",
                        {"lines": missing},
                    )
                )
            )
        if not lines:
            return
        try:
            self._stream.write("\n".join(lines) + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            # The stream is gone or full: there is nowhere left to say so but in the figures.
            self.dropped += len(lines)
            self._told = self.dropped

    def _line(self, entry: Entry) -> str:
        try:
            return self._render(entry)
        except Exception as error:
            # A value whose own str() fails must not end the thread.
            fields = {"error": type(error).__name__, "logger_name": str(entry.logger)[:60]}
            name = "log.line_not_rendered"
            return self._render(Entry(entry.at_ns, "error", "turnout.telemetry", name, fields))


def _write_at_once(entry: Entry) -> None:
    sys.stderr.write(as_text(entry) + "\n")


class _Way:
    """Where this process's loggers send what they say, and the least that they say.

    Before `configure_logs`: to standard error at once, scrubbed all the same.
    """

    __slots__ = ("least", "now_ns", "put")

    def __init__(
        self,
        put: Callable[[Entry], None] = _write_at_once,
        now_ns: Callable[[], int] = lambda: 0,
        least: int = logging.INFO,
    ) -> None:
        self.put = put
        self.now_ns = now_ns
        self.least = least


_way = _Way()


class Logger:
    """One room's voice. It may be kept: it speaks whichever way is the way of the moment.

    An event is a stable name and fields are what varies. `exc_info` is not a field but the
    exception that the line is about, or True for the one that is being handled.
    """

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def debug(self, event: str, /, **fields: object) -> None:
        """What only somebody who looks for a fault wants to read."""
        if _way.least <= logging.DEBUG:
            self._say("debug", event, fields)

    def info(self, event: str, /, **fields: object) -> None:
        """What happened."""
        if _way.least <= logging.INFO:
            self._say("info", event, fields)

    def warning(self, event: str, /, **fields: object) -> None:
        """What went another way than it should."""
        if _way.least <= logging.WARNING:
            self._say("warning", event, fields)

    def error(self, event: str, /, **fields: object) -> None:
        """What somebody has to look at."""
        if _way.least <= logging.ERROR:
            self._say("error", event, fields)

    def exception(self, event: str, /, **fields: object) -> None:
        """The exception that is being handled."""
        self.error(event, **{"exc_info": True, **fields})

    def is_enabled_for(self, level: int) -> bool:
        """Whether anything is said at this level of `logging`."""
        return _way.least <= level

    def _say(self, level: str, event: str, fields: dict[str, object]) -> None:
        trouble = ""
        if "exc_info" in fields:
            info = _exception_of(fields.pop("exc_info"))
            trouble = trouble_text(info) if info is not None else ""
        _way.put(Entry(_way.now_ns(), level, self._name, event, fields, trouble))


def _exception_of(
    info: object,
) -> tuple[type[BaseException], BaseException, TracebackType | None] | None:
    if isinstance(info, BaseException):
        return type(info), info, info.__traceback__
    if isinstance(info, tuple) and len(info) == 3 and info[0] is not None:
        return info
    if info:
        kind, error, where = sys.exc_info()
        if kind is not None and error is not None:
            return kind, error, where
    return None


class _FromLogging(logging.Handler):
    """What libraries log, on the same way."""

    def __init__(self, logs: Logs) -> None:
        super().__init__()
        self._logs = logs

    def emit(self, record: logging.LogRecord) -> None:
        try:
            event = record.getMessage()
        except Exception as error:
            event = f"{record.msg!r} (not formatted: {type(error).__name__})"
        info = _exception_of(record.exc_info)
        self._logs.put(
            Entry(
                int(record.created * 1e9),
                record.levelname.lower(),
                record.name,
                event,
                trouble=trouble_text(info) if info is not None else "",
            )
        )


def get_logger(name: str) -> Logger:
    """A logger for one room; usable before and after `configure_logs`."""
    return Logger(name)


def configure_logs(
    *,
    now_ns: Callable[[], int],
    output: str = "auto",
    level: str = "info",
    queue_lines: int = 10_000,
    stream: TextIO | None = None,
) -> Logs:
    """Sends everything that this process logs one way; call it once, first.

    Args:
        now_ns: the process's wall clock.
        output: `json`, `text`, or `auto`: text on a terminal, JSON elsewhere.
        level: the least that is logged; libraries are held to `warning` unless this is `debug`.
        queue_lines: lines that may wait before more are dropped.
        stream: where to write; standard error where there is none.
    """
    sink = stream if stream is not None else sys.stderr
    terminal = sink.isatty()
    if output == "json" or (output == "auto" and not terminal):
        render: Render = as_json
    else:
        render = as_coloured_text if terminal else as_text
    logs = Logs(sink, render, now_ns, queue_lines)
    _way.put, _way.now_ns, _way.least = logs.put, now_ns, LEVELS[level]
    _capture_the_rest(logs, level)
    return logs


def _capture_the_rest(logs: Logs, level: str) -> None:
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    root.addHandler(_FromLogging(logs))
    root.setLevel(logging.DEBUG if level == "debug" else max(LEVELS[level], logging.WARNING))
    # Ours speak when they have something to say, whichever of the two ways they came by.
    logging.getLogger("turnout").setLevel(LEVELS[level])
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(LEVELS[level], logging.WARNING))
    logging.captureWarnings(True)
    # A handler that fails would otherwise print the record, arguments and all, past the scrubber.
    logging.raiseExceptions = False

    def uncaught(
        kind: type[BaseException], error: BaseException, where: TracebackType | None
    ) -> None:
        if issubclass(kind, KeyboardInterrupt):
            return
        _report(logs, "process.uncaught_exception", (kind, error, where))
        logs.flush()

    def uncaught_in_thread(arguments: threading.ExceptHookArgs) -> None:
        if arguments.exc_value is not None:
            info = (arguments.exc_type, arguments.exc_value, arguments.exc_traceback)
            _report(logs, "thread.uncaught_exception", info)

    def unraisable(found: sys.UnraisableHookArgs) -> None:
        if found.exc_value is not None:
            info = (found.exc_type, found.exc_value, found.exc_traceback)
            _report(logs, "process.unraisable_exception", info)

    sys.excepthook = uncaught
    threading.excepthook = uncaught_in_thread
    sys.unraisablehook = unraisable


def _report(
    logs: Logs,
    event: str,
    info: tuple[type[BaseException], BaseException, TracebackType | None],
) -> None:
    trouble = trouble_text(info)
    logs.put(Entry(logs.now_ns(), "critical", "turnout", event, trouble=trouble))
