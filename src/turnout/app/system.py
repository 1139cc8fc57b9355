"""The real clock and the real randomness of a process; everything below is handed them."""

from __future__ import annotations

import os
import time
from io import BytesIO

_BLOCK_BYTES = 8_192
# An id with a nonce; the smallest key has 32.
_CUT_BYTES = 24


class SystemClock:
    """Wall time for people and records, monotonic time for deadlines and durations.

    The two are Python's own functions: a payment looks at a clock some twenty times, and a frame
    of ours around each look costs more than the look.
    """

    __slots__ = ()

    # Nanoseconds since 1970.
    now_ns = staticmethod(time.time_ns)
    # Nanoseconds since an unknown moment; never goes back.
    monotonic_ns = staticmethod(time.monotonic_ns)


class SystemRandom:
    """The kernel's randomness. For one thread.

    Ids, nonces and seeds are cut from a block: a payment draws nine of them, and each system call
    would let go of the interpreter's lock. None of them is secret, so what was cut off may stay in
    memory. Keys are larger, and never lie in a block.
    """

    __slots__ = ("_block",)

    def __init__(self) -> None:
        self._block = BytesIO()

    def bytes(self, count: int) -> bytes:
        """Unpredictable bytes."""
        if count > _CUT_BYTES:
            return os.urandom(count)
        found = self._block.read(count)
        if len(found) < count:
            # The rest of a block is never used.
            self._block = BytesIO(os.urandom(_BLOCK_BYTES))
            found = self._block.read(count)
        return found

    def seed(self) -> int:
        """An unsigned number of 64 bits."""
        return int.from_bytes(self.bytes(8), "little")
