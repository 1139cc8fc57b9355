"""Admission: what is refused when there is more work than the process can do.

The sign of too much work is the event loop's lag: how late a timer comes. The number of payments
in flight says little, because with slow providers thousands of them wait and cost nothing. Reads
are refused first (they can be repeated), then new authorizations (no money is at stake yet), and
captures, cancels and refunds last (they finish what has begun). A refusal comes before anything is
checked, stored or sent, with the time after which to call again.

The door is also shut where the record cannot take what would follow: before its disk is full, so
that what is in flight still has room to be settled, and while it cannot be written at all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from turnout.domain.errors import Overloaded, Unavailable

# How fast an old reading fades with each new one: three calm readings after a stall, work goes on.
_FADE = 0.5
# A disk is made room on by people, so callers need not ask every moment.
_HELD_RETRY_MS = 5_000


@dataclass(frozen=True, slots=True)
class AdmissionSettings:
    """At which lag of the event loop what is refused.

    The defaults leave room for a burst: at saturation with 128 calls in flight the lag is some
    50 ms here, and a caller that waits ten times that has mostly gone.

    Attributes:
        in_flight_max: runs under way at once, a bound on memory; some 20 KiB each.
        retry_after_ms: what refused callers are told.
    """

    read_lag_ms: float = 150.0
    authorize_lag_ms: float = 300.0
    follow_up_lag_ms: float = 2_000.0
    in_flight_max: int = 20_000
    retry_after_ms: int = 500


READS = "reads"
NEW = "new payments"
FOLLOW_UPS = "captures, cancels and refunds"


class Admission:
    """Says yes, or raises. The composition root feeds it the lag and the state of the record.

    Attributes:
        refused: how many calls were.
    """

    __slots__ = ("_held", "_settings", "_told", "lag_ms", "refused")

    def __init__(
        self,
        settings: AdmissionSettings | None = None,
        told: Callable[[str, str], None] | None = None,
    ) -> None:
        """Begins with all doors open.

        Args:
            settings: at which lag what is refused.
            told: hears of every refusal: what was refused, and `overload` or `record`.
        """
        self._settings = settings or AdmissionSettings()
        self._told = told
        self._held: dict[str, tuple[str, bool]] = {}
        self.lag_ms = 0.0
        self.refused = 0

    def hold(self, name: str, reason: str, *, follow_ups: bool = False) -> None:
        """Takes no new payments until it is cleared.

        Args:
            name: of what holds; there may be several.
            reason: for callers, without paths: `the record's disk is nearly full`.
            follow_ups: takes no captures, cancels and refunds either.
        """
        self._held[name] = (reason, follow_ups)

    def clear(self, name: str) -> None:
        """This one holds no more."""
        self._held.pop(name, None)

    def note_lag(self, lag_ms: float) -> None:
        """Takes a reading of the event loop's lag."""
        self.lag_ms = max(lag_ms, self.lag_ms * _FADE)

    def read(self) -> None:
        """Before a read.

        Raises:
            Overloaded: nothing was done.
        """
        if self.lag_ms > self._settings.read_lag_ms:
            raise self._no(READS)

    def authorize(self, in_flight: int) -> None:
        """Before a new payment or token.

        Raises:
            Overloaded, Unavailable: nothing was done.
        """
        limits = self._settings
        if self._held:
            self._refuse_held(NEW)
        if self.lag_ms > limits.authorize_lag_ms or in_flight >= limits.in_flight_max:
            raise self._no(NEW)

    def follow_up(self) -> None:
        """Before a capture, cancel or refund.

        Raises:
            Overloaded, Unavailable: nothing was done.
        """
        if self._held:
            self._refuse_held(FOLLOW_UPS)
        if self.lag_ms > self._settings.follow_up_lag_ms:
            raise self._no(FOLLOW_UPS)

    def _refuse_held(self, what: str) -> None:
        for reason, follow_ups in self._held.values():
            if what is NEW or follow_ups:
                self._count(what, "record")
                raise Unavailable(
                    "RECORD_UNAVAILABLE",
                    f"no {what} are taken now, because {reason}; nothing was stored or sent, call "
                    "again later with the same idempotency key",
                    retry_after_ms=_HELD_RETRY_MS,
                )

    def _count(self, what: str, why: str) -> None:
        self.refused += 1
        if self._told is not None:
            self._told(what, why)

    def _no(self, what: str) -> Overloaded:
        self._count(what, "overload")
        return Overloaded(
            "OVERLOADED",
            f"there is more work than this server can do, so {what} are refused for a moment; "
            "nothing was done, call again with the same idempotency key",
            retry_after_ms=self._settings.retry_after_ms,
        )
