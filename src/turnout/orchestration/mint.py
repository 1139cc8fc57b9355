"""New ids, from the clock and the randomness that were passed in."""

from __future__ import annotations

from turnout.domain.ids import RANDOM_BYTES, make_id
from turnout.ports import Clock, Random


class Mint:
    """Makes ids; holds the one clock and the one source of randomness of orchestration."""

    __slots__ = ("clock", "random")

    def __init__(self, clock: Clock, random: Random) -> None:
        self.clock = clock
        self.random = random

    def new(self, prefix: str, now_ns: int) -> str:
        """A fresh id of this kind."""
        return make_id(prefix, now_ns, self.random.bytes(RANDOM_BYTES))
