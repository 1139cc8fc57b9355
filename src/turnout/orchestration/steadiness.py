"""Whether the wall clock may be believed with what cannot be undone.

An hour's error of the clock makes a payment late. A month's would forget every idempotency key and
let every authorization go, within one sweep. The monotonic clock shows a step while the process
runs; what the sweep notes in the record shows one between two processes. After either, nothing
that only age condemns is touched until the clock has run evenly for a while: time for whoever
sets clocks to notice. A host that was asleep or off for a day looks the same, and loses nothing
but that while.
"""

from __future__ import annotations

import logging

from turnout.ports import Clock, Store

log = logging.getLogger(__name__)

_SECOND_NS = 1_000_000_000
# More than a clock is put right by when it is tended, and less than harms what lasts for days.
_STEP_NS = 600 * _SECOND_NS
# A process that was off for longer cannot tell that from a clock that is ahead.
_OFF_MOST_NS = 86_400 * _SECOND_NS
_NOTED_EVERY_NS = 60 * _SECOND_NS
NOTED = "wall_clock"


class Steadiness:
    """Watches the wall clock for one process."""

    def __init__(self, store: Store, clock: Clock, doubt_s: float) -> None:
        """Takes what it watches.

        Args:
            store: keeps what the clock said last.
            clock: both clocks.
            doubt_s: how long the clock must have run evenly after a step.
        """
        self._store = store
        self._clock = clock
        self._doubt_ns = int(doubt_s * _SECOND_NS)
        self._offset_ns = clock.now_ns() - clock.monotonic_ns()
        self._doubted_until_ns = 0
        self._compared = False
        self._noted_ns: int | None = None

    async def look(self) -> None:
        """Sees whether the wall clock has stepped since the last look, and notes that it has.

        Raises:
            StoreUnavailable: the record cannot be used now; the next look tries again.
        """
        offset_ns = self._clock.now_ns() - self._clock.monotonic_ns()
        step_ns = offset_ns - self._offset_ns
        # Taken over each time: a clock that is put right little by little never steps.
        self._offset_ns = offset_ns
        if abs(step_ns) > _STEP_NS:
            self._doubt(step_ns)
        if not self._compared:
            await self._compare()
        since_ns = self._noted_ns
        if since_ns is None or self._clock.monotonic_ns() - since_ns >= _NOTED_EVERY_NS:
            await self._note()

    async def now_ns(self) -> int | None:
        """The present time, by which what is old may be given up; None while it is doubted.

        Raises:
            StoreUnavailable: the record cannot be used now.
        """
        # Not read after the record has answered: the clock may step meanwhile.
        now_ns, monotonic_ns = self._clock.now_ns(), self._clock.monotonic_ns()
        await self.look()
        return now_ns if monotonic_ns >= self._doubted_until_ns else None

    async def _compare(self) -> None:
        """With what the process before has noted."""
        noted = await self._store.load_blob(NOTED)
        if noted is not None:
            last_ns, left_ns = map(int, noted.split())
            until_ns = self._clock.monotonic_ns() + left_ns
            self._doubted_until_ns = max(self._doubted_until_ns, until_ns)
            step_ns = self._clock.now_ns() - last_ns
            if not -_STEP_NS <= step_ns <= _OFF_MOST_NS:
                self._doubt(step_ns)
        self._compared = True

    async def _note(self) -> None:
        now_ns, monotonic_ns = self._clock.now_ns(), self._clock.monotonic_ns()
        left_ns = max(self._doubted_until_ns - monotonic_ns, 0)
        await self._store.save_blob(NOTED, b"%d %d" % (now_ns, left_ns))
        self._noted_ns = monotonic_ns

    def _doubt(self, step_ns: int) -> None:
        log.error(
            "the wall clock has stepped by %d s: what seems old is kept for another %d s; check "
            "the host's clock",
            step_ns // _SECOND_NS,
            self._doubt_ns // _SECOND_NS,
        )
        self._doubted_until_ns = self._clock.monotonic_ns() + self._doubt_ns
        self._noted_ns = None
