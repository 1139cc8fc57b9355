"""The real clock and the real randomness of a process; everything below is handed them."""

from __future__ import annotations

import os
import time

_BLOCK_BYTES = 8_192
# An id with a nonce; the smallest key has 32.
_CUT_BYTES = 24


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
    """The kernel's randomness. For one thread.

    Ids, nonces and seeds are cut from a block: a payment draws nine of them, and each system call
    would let go of the interpreter's lock. None of them is secret, so what was cut off may stay in
    memory. Keys are larger, and never lie in a block.
    """

    __slots__ = ("_at", "_block")

    def __init__(self) -> None:
        self._block = b""
        self._at = 0

    def bytes(self, count: int) -> bytes:
        """Unpredictable bytes."""
        if count > _CUT_BYTES:
            return os.urandom(count)
        at = self._at
        if at + count > len(self._block):
            self._block = os.urandom(_BLOCK_BYTES)
            at = 0
        self._at = at + count
        return self._block[at : at + count]

    def seed(self) -> int:
        """An unsigned number of 64 bits."""
        return int.from_bytes(self.bytes(8), "little")
