"""The real clock and the real randomness of a process; everything below is handed them."""

from __future__ import annotations

import os
import time

# One system call gives this much; a payment needs some 150 bytes in a dozen small draws, and
# twelve calls into the kernel would cost more than all its routing.
_BLOCK_BYTES = 8_192


class SystemClock:
    """Wall time for people and records, monotonic time for deadlines and durations."""

    __slots__ = ()

    def now_ns(self) -> int:
        """Nanoseconds since 1970."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """Nanoseconds since an unknown moment; never goes back."""
        return time.monotonic_ns()


class SystemRandom:
    """The kernel's randomness, fetched in blocks. For one thread.

    What was handed out is not kept: the block is cut shorter with each draw, so that a later
    look into memory finds no key or nonce of before among what is still to come.
    """

    __slots__ = ("_at", "_block")

    def __init__(self) -> None:
        self._block = bytearray()
        self._at = 0

    def bytes(self, count: int) -> bytes:
        """Unpredictable bytes."""
        at = self._at
        end = at + count
        block = self._block
        if end > len(block):
            if count > _BLOCK_BYTES:
                return os.urandom(count)
            self._block = block = bytearray(os.urandom(_BLOCK_BYTES))
            at, end = 0, count
        drawn = bytes(block[at:end])
        block[at:end] = bytes(count)
        self._at = end
        return drawn

    def seed(self) -> int:
        """An unsigned number of 64 bits."""
        return int.from_bytes(self.bytes(8), "little")
