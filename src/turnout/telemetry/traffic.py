"""Where payments went during the last minute, account by account; for people who watch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

WINDOW_S: Final = 60
_SECOND_NS = 1_000_000_000


class Traffic:
    """Attempts and approvals by account, in sixty buckets of a second that go round."""

    __slots__ = ("_counts", "_monotonic_ns")

    def __init__(self, monotonic_ns: Callable[[], int]) -> None:
        """Begins empty, by this clock."""
        self._monotonic_ns = monotonic_ns
        # By account and place in the round: the second, attempts in it, approvals among them.
        self._counts: dict[str, list[list[int]]] = {}

    def attempt(self, account_id: str, approved: bool) -> None:
        """An account was asked to authorize, and this came of it."""
        second = self._monotonic_ns() // _SECOND_NS
        round_ = self._counts.get(account_id)
        if round_ is None:
            round_ = self._counts[account_id] = [[-1, 0, 0] for _ in range(WINDOW_S)]
        bucket = round_[second % WINDOW_S]
        if bucket[0] != second:
            bucket[:] = [second, 0, 0]
        bucket[1] += 1
        bucket[2] += approved

    def last_minute(self, account_id: str) -> tuple[int, int]:
        """Attempts of the last minute, and how many of them were approved."""
        since = self._monotonic_ns() // _SECOND_NS - WINDOW_S
        kept = [one for one in self._counts.get(account_id, ()) if one[0] > since]
        return sum(one[1] for one in kept), sum(one[2] for one in kept)
