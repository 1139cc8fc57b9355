"""How many users there are at each moment of a load test."""

from __future__ import annotations

SHAPES = ("steady", "ramp", "spike", "soak")

# A steady load is not put on at once: connections and caches get this share of the time, at most
# so many seconds.
_WARM_SHARE = 0.1
_WARM_MOST_S = 10.0
# A spike is a sale that opens: this many times the usual, for the middle fifth of the time.
SPIKE_TIMES = 5
_SPIKE_FROM, _SPIKE_TO = 0.4, 0.6


def users_at(shape: str, elapsed_s: float, duration_s: float, users: int) -> int | None:
    """How many users there should be.

    Args:
        shape: steady (all the time the same), ramp (from one to all, evenly), spike (steady with
            five times as many in the middle), soak (as steady; meant for hours).
        elapsed_s: since the beginning.
        duration_s: of the whole test.
        users: the steady number, and where a ramp ends.

    Returns:
        The number, at least 1; None when the test is over.

    Raises:
        ValueError: there is no such shape.
    """
    if shape not in SHAPES:
        raise ValueError(f"shape {shape!r}: one of {', '.join(SHAPES)}")
    if elapsed_s >= duration_s:
        return None
    share = elapsed_s / duration_s
    if shape == "ramp":
        return max(1, round(users * share))
    warm_s = min(_WARM_MOST_S, duration_s * _WARM_SHARE)
    now = max(1, round(users * min(1.0, elapsed_s / warm_s)))
    if shape == "spike" and _SPIKE_FROM <= share < _SPIKE_TO:
        return now * SPIKE_TIMES
    return now
