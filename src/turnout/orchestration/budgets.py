"""Retry budgets: what is asked of a provider again must not become the outage's second half.

One token bucket for each account. First requests pay in a tenth of a token; every repetition takes
a whole one: a look of recovery, a follow-up sent again, a connector's repetition in the same call.
So repetitions stay near a tenth of the traffic, however much went wrong.

Without traffic nothing would ever be found out, so a trickle of tokens comes by time. It is what
ramps: with each real answer of the provider it grows, up to a limit; when the provider stays
silent or asks for quiet, it falls back. A hundred thousand questions that wait for the end of an
outage are then asked as fast as they are answered, and never all at once.
(The deposit is Finagle's RetryBudget, 2016; the ramp is TCP's slow start.)
"""

from __future__ import annotations

from dataclasses import dataclass

from turnout.domain.members import members
from turnout.domain.outcomes import Outcome, OutcomeKind
from turnout.ports import Clock

_Outcome = members(OutcomeKind)

_SECOND_NS = 1_000_000_000
_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class RetrySettings:
    """How much may be asked again.

    Attributes:
        ratio: tokens that a first request pays in.
        trickle_per_s: tokens that come by time at an account that does not answer.
        ramp_per_s: the most that come by time at an account that answers.
        growth_per_s: by how much each answered repetition raises what comes by time; a fifth
            doubles it in some three seconds.
        burst: tokens that can be saved up.
    """

    ratio: float = 0.1
    trickle_per_s: float = 2.0
    ramp_per_s: float = 50.0
    growth_per_s: float = 0.2
    burst: float = 20.0


@dataclass(slots=True)
class _Bucket:
    tokens: float
    rate_per_s: float
    at_ns: int
    quiet_until_ns: int = 0


class RetryBudgets:
    """The buckets of all accounts, on the monotonic clock."""

    __slots__ = ("_buckets", "_clock", "_settings", "refused")

    def __init__(self, clock: Clock, settings: RetrySettings | None = None) -> None:
        """Begins with full buckets, so that single failures are looked at without delay.

        Attributes:
            refused: how many repetitions were not made.
        """
        self._clock = clock
        self._settings = settings or RetrySettings()
        self._buckets: dict[str, _Bucket] = {}
        self.refused = 0

    def first(self, account_id: str) -> None:
        """A request goes out for the first time."""
        bucket = self._bucket(account_id)
        bucket.tokens = min(bucket.tokens + self._settings.ratio, self._settings.burst)

    def take(self, account_id: str) -> bool:
        """Whether something may be asked again now; takes the token where it may."""
        bucket = self._bucket(account_id)
        if bucket.tokens < 1.0 or bucket.at_ns < bucket.quiet_until_ns:
            self.refused += 1
            return False
        bucket.tokens -= 1.0
        return True

    def spent(self) -> list[str]:
        """The accounts at which nothing may be asked again now."""
        return [
            account_id
            for account_id in self._buckets
            if (one := self._bucket(account_id)).tokens < 1.0 or one.at_ns < one.quiet_until_ns
        ]

    def answered(self, account_id: str, outcome: Outcome) -> None:
        """What came back of a repetition: the ramp goes up or down by it."""
        settings, bucket = self._settings, self._bucket(account_id)
        if outcome.kind is _Outcome.UNKNOWN:
            bucket.rate_per_s = max(bucket.rate_per_s / 2, settings.trickle_per_s)
        elif outcome.kind is not _Outcome.NOT_PROCESSED:
            # That one may be a provider's word or a connection that failed; it tells neither.
            grown = bucket.rate_per_s + settings.growth_per_s
            bucket.rate_per_s = min(grown, settings.ramp_per_s)

    def quiet(self, account_id: str, retry_after_ms: int) -> None:
        """The provider has asked to be left alone this long, whatever the request was."""
        bucket = self._bucket(account_id)
        until_ns = bucket.at_ns + retry_after_ms * _MS
        bucket.quiet_until_ns = max(bucket.quiet_until_ns, until_ns)
        bucket.rate_per_s = self._settings.trickle_per_s

    def _bucket(self, account_id: str) -> _Bucket:
        """The account's bucket, filled up to now."""
        now_ns = self._clock.monotonic_ns()
        settings = self._settings
        bucket = self._buckets.get(account_id)
        if bucket is None:
            bucket = _Bucket(settings.burst, settings.trickle_per_s, now_ns)
            self._buckets[account_id] = bucket
            return bucket
        gained = (now_ns - bucket.at_ns) / _SECOND_NS * bucket.rate_per_s
        bucket.tokens = min(bucket.tokens + gained, settings.burst)
        bucket.at_ns = now_ns
        return bucket
