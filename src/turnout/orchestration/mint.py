"""New ids, from the clock and the randomness that were passed in."""

from __future__ import annotations

from turnout.domain.ids import RANDOM_BYTES, id_time
from turnout.ports import Clock, Random


class Mint:
    """Makes ids; holds the one clock and the one source of randomness of orchestration."""

    __slots__ = ("_at_ns", "_time", "clock", "random")

    def __init__(self, clock: Clock, random: Random) -> None:
        self.clock = clock
        self.random = random
        self._at_ns = 0
        self._time = id_time("", 0)

    def new(self, prefix: str, now_ns: int) -> str:
        """A fresh id of this kind."""
        if now_ns != self._at_ns:
            # What is made together, as a change's ids are, was made at the same time.
            self._at_ns = now_ns
            self._time = id_time("", now_ns)
        return f"{prefix}{self._time}{self.random.bytes(RANDOM_BYTES).hex()}"
