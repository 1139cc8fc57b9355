"""The real clock and the real randomness of a process; everything below is handed them."""

from __future__ import annotations

import os
import time


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
    """The kernel's randomness, a system call for each draw.

    A block of it kept here would cost more: what was drawn must be wiped, and that takes Python
    longer than the kernel takes to answer.
    """

    __slots__ = ()

    def bytes(self, count: int) -> bytes:
        """Unpredictable bytes."""
        return os.urandom(count)

    def seed(self) -> int:
        """An unsigned number of 64 bits."""
        return int.from_bytes(os.urandom(8), "little")
