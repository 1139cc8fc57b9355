"""Every figure that Turnout shows to Prometheus, declared in one place.

Names begin with `turnout_` and end with the unit. Labels take words from short, closed lists (or
account ids from the configuration), never anything that a caller sent, so the number of series is
bounded. A series that the payment's path counts is made once and then kept, because finding it
costs more than counting.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics import MetricWrapperBase

from turnout.domain.payment import PaymentStatus

# A series beside every counter that says when it was made: twice the series, and nobody asks.
disable_created_metrics()  # type: ignore[no-untyped-call]

# From the half millisecond that a commit takes to the minute that a caller may wait.
LATENCY_BUCKETS_S: Final = (
    *(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05),
    *(0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0),
)
BATCH_BUCKETS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
BREAKER_STATES: Final = {"closed": 0, "half_open": 1, "open": 2}
# A word that is not on its list must not open a new series for each spelling.
_OTHER: Final = "other"
_WORDS_MAX: Final = 64


class EndedCall(Protocol):
    """What the figures need of a call that has ended."""

    rpc: str
    code: str
    elapsed_ns: int


class Metrics:
    """The figures of one process; a registry of its own, so that tests do not share them."""

    def __init__(self, version: str = "", process: bool = True) -> None:
        """Declares everything; `process` adds Python's and the operating system's figures."""
        self.registry = registry = CollectorRegistry()
        if process:
            ProcessCollector(registry=registry)
            PlatformCollector(registry=registry)
            GCCollector(registry=registry)
        self._build_info = Gauge(
            "turnout_build_info",
            "Always 1; the version is a label.",
            ["version"],
            registry=registry,
        )
        self._build_info.labels(version).set(1)
        self.payments = PaymentFigures(registry)
        self.calls = CallFigures(registry)
        self.commits = CommitFigures(registry)
        self.recovery = RecoveryFigures(registry)
        self.webhooks = WebhookFigures(registry)
        self.accounts = AccountFigures(registry)
        self.config_version = Gauge(
            "turnout_config_version_number",
            "Version of the configuration in force.",
            registry=registry,
        )
        self.log_lines_dropped = Gauge(
            "turnout_log_lines_dropped",
            "Lines that were dropped because the log's reader was too slow, since the start.",
            registry=registry,
        )

    def text(self) -> bytes:
        """All figures in Prometheus' text format."""
        return generate_latest(self.registry)


class _Series:
    """Series of one figure by label words, kept; at most _WORDS_MAX words for each label."""

    __slots__ = ("_figure", "_kept", "_words")

    def __init__(self, figure: MetricWrapperBase, labels: int) -> None:
        self._figure = figure
        self._kept: dict[tuple[str, ...], MetricWrapperBase] = {}
        self._words: tuple[set[str], ...] = tuple(set() for _ in range(labels))

    def at(self, *words: str) -> MetricWrapperBase:
        found = self._kept.get(words)
        return found if found is not None else self._new(words)

    def _new(self, words: tuple[str, ...]) -> MetricWrapperBase:
        allowed = []
        for word, seen in zip(words, self._words, strict=True):
            if word in seen or len(seen) < _WORDS_MAX:
                seen.add(word)
                allowed.append(word)
            else:
                allowed.append(_OTHER)
        series: MetricWrapperBase = self._figure.labels(*allowed)
        if tuple(allowed) == words:
            self._kept[words] = series
        return series


class Counts(_Series):
    """A counter by label words."""

    __slots__ = ()

    def __init__(
        self, name: str, doc: str, labels: Iterable[str], registry: CollectorRegistry
    ) -> None:
        names = tuple(labels)
        super().__init__(Counter(name, doc, names, registry=registry), len(names))

    def count(self, *words: str, by: float = 1) -> None:
        """Counts one more, or `by`."""
        self.at(*words).inc(by)  # type: ignore[attr-defined]


class Times(_Series):
    """A histogram of seconds by label words."""

    __slots__ = ()

    def __init__(
        self, name: str, doc: str, labels: Iterable[str], registry: CollectorRegistry
    ) -> None:
        names = tuple(labels)
        figure = Histogram(name, doc, names, buckets=LATENCY_BUCKETS_S, registry=registry)
        super().__init__(figure, len(names))

    def observe(self, seconds: float, *words: str) -> None:
        """Notes one duration."""
        self.at(*words).observe(seconds)  # type: ignore[attr-defined]


class PaymentFigures:
    """What becomes of payments."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.payments = Counts(
            "turnout_payments", "Payments that came to a status.", ["status"], registry
        )
        for status in PaymentStatus:
            self.payments.at(status.value)
        self.attempts = Counts(
            "turnout_attempts",
            "Requests to providers, by what they came to.",
            ["provider", "outcome"],
            registry,
        )
        self.declines = Counts(
            "turnout_declines",
            "Declined attempts by unified code.",
            ["provider", "code"],
            registry,
        )
        self.provider_latency = Times(
            "turnout_provider_latency_seconds",
            "One request to a provider.",
            ["provider"],
            registry,
        )
        self.authorize_latency = Times(
            "turnout_authorize_latency_seconds",
            "One authorization: total, the providers' part, and what Turnout added.",
            ["part"],
            registry,
        )
        for part in ("total", "provider", "added"):
            self.authorize_latency.at(part)
        self.replays = Counts(
            "turnout_idempotent_replays",
            "Repeated keys: replayed, joined the first call, or refused for another body.",
            ["result"],
            registry,
        )

    def attempt(self, provider: str, outcome: str, latency_s: float) -> None:
        """A provider was asked, and this came of it."""
        self.attempts.count(provider, outcome)
        self.provider_latency.observe(latency_s, provider)

    def payment(self, status: str) -> None:
        """A payment came to a status."""
        self.payments.count(status)

    def authorized(self, total_s: float, provider_s: float) -> None:
        """An authorization was answered: its whole time, and its providers' part of it."""
        observe = self.authorize_latency.observe
        observe(total_s, "total")
        observe(provider_s, "provider")
        observe(max(total_s - provider_s, 0.0), "added")


class CallFigures:
    """Calls to the gRPC server."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.calls = Counts(
            "turnout_calls", "Calls that ended, by gRPC status.", ["rpc", "code"], registry
        )
        self.latency = Times("turnout_call_latency_seconds", "One call.", ["rpc"], registry)
        self.in_flight = Gauge("turnout_calls_in_flight", "Calls under way.", registry=registry)
        self.refused = Counts(
            "turnout_refused_calls",
            "Calls refused at the door, by what was asked and why: overload or record.",
            ["what", "why"],
            registry,
        )
        self.lag = Gauge(
            "turnout_event_loop_lag_seconds",
            "How late a timer of the event loop comes.",
            registry=registry,
        )
        self.event_streams = Gauge("turnout_event_streams", "Open streams.", registry=registry)

    def finished(self, call: EndedCall) -> None:
        """A call has ended."""
        self.calls.count(call.rpc, call.code)
        self.latency.observe(call.elapsed_ns / 1e9, call.rpc)


class CommitFigures:
    """Durable writes: of the record and of the vault."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.commits = Counts(
            "turnout_commits", "Commits; concurrent units share one.", ["store"], registry
        )
        self.latency = Times(
            "turnout_commit_latency_seconds", "One commit with its fsync.", ["store"], registry
        )
        units = Histogram(
            "turnout_commit_units",
            "Units of work in one commit.",
            ["store"],
            buckets=BATCH_BUCKETS,
            registry=registry,
        )
        self.writable = Gauge(
            "turnout_record_writable_state",
            "1 while the record can be written; 0 stops new payments.",
            registry=registry,
        )
        self.free_bytes = Gauge(
            "turnout_store_free_bytes",
            "Free space on the disk of the record and of the vault.",
            ["store"],
            registry=registry,
        )
        self._units = {store: units.labels(store) for store in ("record", "vault")}

    def committed(self, store: str, units: int, latency_s: float) -> None:
        """A commit is durable; `store` is `record` or `vault`."""
        self.commits.count(store)
        self.latency.observe(latency_s, store)
        self._units[store].observe(units)


class RecoveryFigures:
    """Unknown outcomes and what becomes of them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.due = Gauge(
            "turnout_recovery_due_operations",
            "Operations of unknown outcome whose next look is due.",
            registry=registry,
        )
        self.lag = Gauge(
            "turnout_recovery_lag_seconds",
            "How long the oldest due look has waited.",
            registry=registry,
        )
        self.fenced = Counter(
            "turnout_recovery_fenced_operations",
            "Operations that a dead process had left in flight.",
            registry=registry,
        )
        self.checks = Counts(
            "turnout_recovery_checks",
            "Looks at unknown outcomes, by what they found.",
            ["provider", "outcome"],
            registry,
        )
        self.reviews = Counter(
            "turnout_recovery_reviews", "Operations handed to a person.", registry=registry
        )


class WebhookFigures:
    """Providers' notifications."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.received = Counts(
            "turnout_webhooks",
            "Events in notifications: new, duplicate, applied, ignored, failed.",
            ["provider", "result"],
            registry,
        )
        self.rejected = Counts(
            "turnout_webhooks_rejected",
            "Notifications that were not believed.",
            ["provider", "reason"],
            registry,
        )
        self.pending = Gauge(
            "turnout_webhooks_pending", "Kept and not yet worked on.", registry=registry
        )


class AccountFigures:
    """Accounts as routing sees them; set when they are asked for."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, doc: str) -> Gauge:
            return Gauge(name, doc, ["account_id"], registry=registry)

        self._breaker = gauge("turnout_breaker_state", "0 closed, 1 half-open (probing), 2 open.")
        self._approval = gauge(
            "turnout_account_approval_ratio", "Estimated share of payments that issuers approve."
        )
        self._failure = gauge(
            "turnout_account_failure_ratio", "Estimated share of calls that fail technically."
        )
        self._in_flight = gauge("turnout_account_in_flight_calls", "Calls to the provider now.")

    def set(
        self, account_id: str, breaker: str, approval: float, failure_rate: float, in_flight: int
    ) -> None:
        """An account's figures of this moment; `breaker` is closed, half_open or open."""
        self._breaker.labels(account_id).set(BREAKER_STATES[breaker])
        self._approval.labels(account_id).set(approval)
        self._failure.labels(account_id).set(failure_rate)
        self._in_flight.labels(account_id).set(in_flight)

    def clear(self) -> None:
        """Forgets all accounts: for a configuration that has others."""
        for figure in (self._breaker, self._approval, self._failure, self._in_flight):
            figure.clear()
