"""Every figure that Turnout shows to Prometheus, declared in one place.

Names begin with `turnout_` and end with the unit. Labels take words from short, closed lists (or
account ids from the configuration), never anything that a caller sent, so the number of series is
bounded.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Final, Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.utils import floatToGoString

from turnout.domain.payment import PaymentStatus

# A series beside every counter that says when it was made: twice the series, and nobody asks.
disable_created_metrics()  # type: ignore[no-untyped-call]

# From the half millisecond that a commit takes to the minute that a caller may wait.
LATENCY_BUCKETS_S: Final = (
    *(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05),
    *(0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0),
)
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
    """Series of one figure by label words; at most _WORDS_MAX words for each label.

    Kept as plain numbers, and shown to Prometheus when it asks: its own counters take a lock for
    each count, which together cost an authorization more than its routing. For one thread.
    """

    __slots__ = ("_doc", "_labels", "_name", "_words")

    def __init__(
        self, name: str, doc: str, labels: Iterable[str], registry: CollectorRegistry
    ) -> None:
        self._name = name
        self._doc = doc
        self._labels = tuple(labels)
        self._words: tuple[set[str], ...] = tuple(set() for _ in self._labels)
        registry.register(self)

    def allowed(self, words: tuple[str, ...]) -> tuple[str, ...]:
        """The words under which something is counted; one too many is called _OTHER."""
        found = []
        for word, seen in zip(words, self._words, strict=True):
            if word in seen or len(seen) < _WORDS_MAX:
                seen.add(word)
                found.append(str(word))
            else:
                found.append(_OTHER)
        return tuple(found)

    def collect(self) -> Iterator[Metric]:
        """What Prometheus' registry asks for."""
        raise NotImplementedError


class Counts(_Series):
    """A counter by label words."""

    __slots__ = ("_values",)

    def __init__(
        self, name: str, doc: str, labels: Iterable[str], registry: CollectorRegistry
    ) -> None:
        # Each in a list of one, which is found and changed with one look-up.
        self._values: dict[tuple[str, ...], list[float]] = {}
        super().__init__(name, doc, labels, registry)

    def series(self, *words: str) -> list[float]:
        """One series: its value, as a list of one that may be kept and added to."""
        return self._values.setdefault(self.allowed(words), [0.0])

    def count(self, *words: str) -> None:
        """Counts one more."""
        (self._values.get(words) or self.series(*words))[0] += 1

    def add(self, by: float, *words: str) -> None:
        """Counts `by` more."""
        self.series(*words)[0] += by

    def collect(self) -> Iterator[Metric]:
        """See `_Series.collect`."""
        shown = CounterMetricFamily(self._name, self._doc, labels=self._labels)
        for words, (value,) in self._values.items():
            shown.add_metric(words, value)
        yield shown


class Times(_Series):
    """A histogram of seconds by label words."""

    __slots__ = ("_observed",)

    def __init__(
        self, name: str, doc: str, labels: Iterable[str], registry: CollectorRegistry
    ) -> None:
        self._observed: dict[tuple[str, ...], Observed] = {}
        super().__init__(name, doc, labels, registry)

    def observe(self, seconds: float, *words: str) -> None:
        """Notes one duration."""
        (self._observed.get(words) or self.series(*words)).add(seconds)

    def series(self, *words: str) -> Observed:
        """One series, which may be kept and added to; shown before there is anything in it."""
        return self._observed.setdefault(self.allowed(words), Observed())

    def collect(self) -> Iterator[Metric]:
        """See `_Series.collect`."""
        shown = HistogramMetricFamily(self._name, self._doc, labels=self._labels)
        for words, observed in self._observed.items():
            bounds = [*map(floatToGoString, LATENCY_BUCKETS_S), "+Inf"]
            buckets = list(zip(bounds, accumulate(observed.counts), strict=True))
            shown.add_metric(words, buckets, observed.sum_s)
        yield shown


class Observed:
    """How many durations fell into each bucket, the last one without a bound, and their sum."""

    __slots__ = ("counts", "sum_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(LATENCY_BUCKETS_S) + 1)
        self.sum_s = 0.0

    def add(self, seconds: float) -> None:
        """Notes one duration."""
        self.counts[bisect_left(LATENCY_BUCKETS_S, seconds)] += 1
        self.sum_s += seconds


class _Asked:
    """What came of something that is asked of somebody, and how long it took, in one step.

    For names and results from closed lists: pairs are remembered as they come.
    """

    __slots__ = ("_counts", "_known", "_times")

    def __init__(self, counts: Counts, times: Times) -> None:
        self._counts = counts
        self._times = times
        self._known: dict[tuple[str, str], tuple[list[float], Observed]] = {}

    def note(self, name: str, result: str, seconds: float) -> None:
        """It came to this, in this time."""
        pair = (name, result)
        known = self._known.get(pair)
        if known is None:
            known = (self._counts.series(name, result), self._times.series(name))
            if self._counts.allowed(pair) == pair:
                self._known[pair] = known
        value, observed = known
        value[0] += 1
        observed.counts[bisect_left(LATENCY_BUCKETS_S, seconds)] += 1
        observed.sum_s += seconds


class PaymentFigures:
    """What becomes of payments."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.payments = Counts(
            "turnout_payments", "Payments that came to a status.", ["status"], registry
        )
        for status in PaymentStatus:
            self.payments.add(0, status)
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
        self._asked = _Asked(self.attempts, self.provider_latency)
        self.authorize_latency = Times(
            "turnout_authorize_latency_seconds",
            "One authorization: total, the providers' part, and what Turnout added.",
            ["part"],
            registry,
        )
        self._total, self._provider, self._added = map(
            self.authorize_latency.series, ("total", "provider", "added")
        )
        self.reviews = Counts(
            "turnout_reviews", "Payments that were handed to a person.", ["reason"], registry
        )
        self.replays = Counts(
            "turnout_idempotent_replays",
            "Repeated keys: replayed, joined the first call, or refused for another body.",
            ["result"],
            registry,
        )

    def attempt(self, provider: str, outcome: str, latency_s: float) -> None:
        """A provider was asked, and this came of it."""
        self._asked.note(provider, outcome, latency_s)

    def payment(self, status: str) -> None:
        """A payment came to a status."""
        self.payments.count(status)

    def authorized(self, total_s: float, provider_s: float) -> None:
        """An authorization was answered: its whole time, and its providers' part of it."""
        added_s = total_s - provider_s
        self._total.add(total_s)
        self._provider.add(provider_s)
        self._added.add(added_s if added_s > 0.0 else 0.0)


class CallFigures:
    """Calls to the gRPC server."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.calls = Counts(
            "turnout_calls", "Calls that ended, by gRPC status.", ["rpc", "code"], registry
        )
        self.latency = Times("turnout_call_latency_seconds", "One call.", ["rpc"], registry)
        self._asked = _Asked(self.calls, self.latency)
        self.in_flight = Gauge(
            "turnout_calls_in_flight",
            "Calls under way, streams and their messages among them.",
            registry=registry,
        )
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
        self.streams = Gauge("turnout_open_streams", "Streams under way.", registry=registry)

    def finished(self, call: EndedCall) -> None:
        """A call has ended."""
        self._asked.note(call.rpc, call.code, call.elapsed_ns / 1e9)


class CommitFigures:
    """Durable writes: of the record and of the vault."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.commits = Counts(
            "turnout_commits", "Commits; concurrent units share one.", ["store"], registry
        )
        self.units = Counts(
            "turnout_commit_units", "Units of work that were committed.", ["store"], registry
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


class WebhookFigures:
    """Providers' notifications."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.received = Counts(
            "turnout_webhooks", "Notifications that were taken in.", ["provider"], registry
        )
        self.rejected = Counts(
            "turnout_webhooks_rejected",
            "Notifications that were not believed.",
            ["provider", "reason"],
            registry,
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
