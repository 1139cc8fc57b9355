"""Time and randomness, passed in."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Time, passed in so that a simulation can turn it."""

    def now_ns(self) -> int:
        """Wall-clock time, nanoseconds since the epoch; may jump."""

    def monotonic_ns(self) -> int:
        """Never goes backwards; for durations and deadlines."""


class Random(Protocol):
    """Randomness, passed in so that a simulation can repeat it."""

    def bytes(self, count: int) -> bytes:
        """`count` random bytes."""

    def seed(self) -> int:
        """A fresh 64-bit seed for one decision."""
