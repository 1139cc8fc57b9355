"""Figures, probes and trace ids."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest

from turnout.domain.payment import PaymentStatus
from turnout.telemetry import Metrics, OperationsServer, Readiness, parse_traceparent

UNITS = ("seconds", "ratio", "bytes", "total", "info", "state", "number", "calls", "operations",
         "units", "streams", "dropped", "pending", "flight")  # fmt: skip


@dataclass
class Ended:
    rpc: str
    code: str
    elapsed_ns: int


def sample(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_what_is_counted_is_shown() -> None:
    metrics = Metrics("1.2.3")
    metrics.payments.payment("succeeded")
    metrics.payments.attempt("stripe", "declined", 0.2)
    metrics.payments.authorized(0.25, 0.24)
    metrics.payments.declines.count("stripe", "do_not_honor")
    metrics.payments.replays.count("joined")
    metrics.calls.finished(Ended("AuthorizePayment", "OK", 5_000_000))
    metrics.commits.units.add(7, "record")
    metrics.recovery.fenced.inc(3)
    metrics.webhooks.rejected.count("adyen", "signature")
    metrics.accounts.set("acc_a", "half_open", 0.9, 0.01, 4)
    metrics.config_version.set(7)
    found = {
        ("turnout_build_info", "version", "1.2.3"): 1,
        ("turnout_payments_total", "status", "succeeded"): 1,
        ("turnout_payments_total", "status", "failed"): 0,
        ("turnout_authorize_latency_seconds_sum", "part", "total"): 0.25,
        ("turnout_provider_latency_seconds_count", "provider", "stripe"): 1,
        ("turnout_idempotent_replays_total", "result", "joined"): 1,
        ("turnout_commit_units_total", "store", "record"): 7,
        ("turnout_breaker_state", "account_id", "acc_a"): 1,
        ("turnout_account_in_flight_calls", "account_id", "acc_a"): 4,
    }
    for (name, label, word), value in found.items():
        assert sample(metrics, name, **{label: word}) == value, name
    added = sample(metrics, "turnout_authorize_latency_seconds_sum", part="added")
    assert added == pytest.approx(0.01)
    assert sample(metrics, "turnout_attempts_total", provider="stripe", outcome="declined") == 1
    assert sample(metrics, "turnout_calls_total", rpc="AuthorizePayment", code="OK") == 1
    assert sample(metrics, "turnout_recovery_fenced_operations_total") == 3
    metrics.accounts.clear()
    assert sample(metrics, "turnout_breaker_state", account_id="acc_a") is None


def test_every_status_is_there_from_the_start() -> None:
    text = Metrics(process=False).text().decode()
    for status in PaymentStatus:
        assert f'turnout_payments_total{{status="{status}"}} 0.0' in text
    assert "_created" not in text


def test_names_are_ours_and_end_with_their_unit() -> None:
    text = Metrics(process=False).text().decode()
    names = re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)
    assert len(names) > 20
    for name in names:
        assert re.fullmatch(r"turnout_[a-z_]+", name)
        assert name.endswith(UNITS), name


def test_words_from_outside_cannot_open_series_without_end() -> None:
    metrics = Metrics(process=False)
    for number in range(1_000):
        metrics.webhooks.rejected.count("stripe", f"reason_{number}")
    text = metrics.text().decode()
    assert text.count("turnout_webhooks_rejected_total{") == 65
    other = sample(metrics, "turnout_webhooks_rejected_total", provider="stripe", reason="other")
    assert other == 1_000 - 64


def test_providers_without_end_share_one_series_for_the_rest() -> None:
    metrics = Metrics(process=False)
    for number in range(100):
        metrics.payments.attempt(f"provider_{number}", "declined", 0.25)
        metrics.payments.attempt(f"provider_{number}", "succeeded", 0.25)
    name = "turnout_attempts_total"
    for outcome in ("declined", "succeeded"):
        assert sample(metrics, name, provider="provider_7", outcome=outcome) == 1
        assert sample(metrics, name, provider="other", outcome=outcome) == 100 - 64
    times = "turnout_provider_latency_seconds"
    assert sample(metrics, f"{times}_count", provider="provider_7") == 2
    assert sample(metrics, f"{times}_bucket", provider="provider_7", le="0.2") == 0
    assert sample(metrics, f"{times}_bucket", provider="provider_7", le="0.5") == 2
    assert sample(metrics, f"{times}_sum", provider="other") == 2 * 0.25 * (100 - 64)
    assert len(metrics.payments._asked._known) == 2 * 64


def test_two_processes_in_one_do_not_share_figures() -> None:
    one, two = Metrics(), Metrics()
    one.payments.payment("failed")
    assert sample(two, "turnout_payments_total", status="failed") == 0


class Running:
    def __init__(self) -> None:
        self.metrics = Metrics("t")
        self.readiness = Readiness()
        self.server = OperationsServer(self.metrics, self.readiness, [self.refresh])
        self.refreshed = 0

    async def refresh(self) -> None:
        self.refreshed += 1
        self.metrics.recovery.due.set(42)

    async def get(self, path: str, method: str = "GET") -> tuple[int, str, str]:
        url = f"http://127.0.0.1:{self.server.port}{path}"
        async with aiohttp.ClientSession() as session, session.request(method, url) as answer:
            return answer.status, answer.content_type, await answer.text()


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    made = Running()
    await made.server.start("127.0.0.1", 0)
    yield made
    await made.server.stop()


async def test_figures_are_refreshed_and_shown(running: Running) -> None:
    status, kind, text = await running.get("/metrics")
    assert (status, kind) == (200, "text/plain")
    assert "turnout_recovery_due_operations 42.0" in text
    assert "process_cpu_seconds_total" in text
    assert running.refreshed == 1


async def test_alive_is_not_ready(running: Running) -> None:
    assert (await running.get("/livez"))[0] == 200
    status, _, text = await running.get("/readyz")
    assert status == 503
    assert "the start is not finished" in text
    running.readiness.started()
    assert (await running.get("/readyz"))[0] == 200
    running.readiness.hold("record", "the disk is full")
    status, _, text = await running.get("/readyz")
    assert status == 503
    assert '"record": "the disk is full"' in text
    assert (await running.get("/livez"))[0] == 200
    running.readiness.clear("record")
    running.readiness.clear("record")
    assert running.readiness.ready
    assert running.readiness.reasons == {}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/metrics/x"),
        ("POST", "/metrics"),
        ("GET", "/debug"),
        ("PUT", "/livez"),
    ],
)
async def test_nothing_else_is_answered(running: Running, method: str, path: str) -> None:
    assert (await running.get(path, method))[0] in (404, 405)


async def test_a_taken_port_is_an_error_that_leaves_nothing_behind(running: Running) -> None:
    second = OperationsServer(running.metrics, running.readiness)
    with pytest.raises(OSError, match="address already in use"):
        await second.start("127.0.0.1", running.server.port)
    await second.stop()
    assert (await running.get("/livez"))[0] == 200


TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_a_traceparent_is_read() -> None:
    found = parse_traceparent(f" 00-{TRACE}-{SPAN}-01 ")
    assert found is not None
    assert (found.trace_id, found.span_id, found.sampled) == (TRACE, SPAN, True)
    later = parse_traceparent(f"01-{TRACE}-{SPAN}-00-more")
    assert later is not None
    assert not later.sampled


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}x-{SPAN}-01",
    ],
)
def test_what_is_no_traceparent_is_ignored(header: str) -> None:
    assert parse_traceparent(header) is None
