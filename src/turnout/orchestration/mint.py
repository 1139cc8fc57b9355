"""New ids, from the clock and the randomness that were passed in."""

from __future__ import annotations

from typing import Final

from turnout.domain.ids import RANDOM_BYTES, id_time
from turnout.ports import Clock, Random

# A payment takes six ids, and each is a slice of digits drawn for so many at once.
_IDS_DRAWN: Final = 128
_MS: Final = 1_000_000
_DIGITS: Final = 2 * RANDOM_BYTES


class Mint:
    """Makes ids; holds the one clock and the one source of randomness of orchestration."""

    __slots__ = ("_at_ms", "_digits", "_next", "_time", "clock", "random")

    def __init__(self, clock: Clock, random: Random) -> None:
        self.clock = clock
        self.random = random
        self._at_ms = 0
        self._time = id_time("", 0)
        self._digits = ""
        self._next = 0

    def new(self, prefix: str, now_ns: int) -> str:
        """A fresh id of this kind."""
        at_ms = now_ns // _MS
        if at_ms != self._at_ms:
            # Ids know no less than a millisecond, and a payment makes most of its own within one.
            self._at_ms = at_ms
            self._time = id_time("", now_ns)
        at = self._next
        if at == len(self._digits):
            self._digits = self.random.bytes(_IDS_DRAWN * RANDOM_BYTES).hex()
            at = 0
        self._next = end = at + _DIGITS
        return f"{prefix}{self._time}{self._digits[at:end]}"
