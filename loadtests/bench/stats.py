"""The arithmetic of measuring: quantiles, medians, ratios and whether a goal is met."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Sequence

_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}
_GOAL = re.compile(r"(<=|>=|==|<|>) (-?[0-9.]+)$")


def quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of values does not exceed.

    No interpolation: what is told was really measured.

    Args:
        ordered: values in ascending order, at least one.
        share: from 0 to 1.
    """
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def median(values: Sequence[float]) -> float:
    """The middle value; the mean of the middle two."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


def spread(values: Sequence[float]) -> float:
    """Largest distance from the median, as a share of it: how far to trust the median."""
    middle = median(values)
    return max(abs(value - middle) for value in values) / middle if middle else 0.0


def goal_met(goal: str, value: float) -> bool:
    """Whether a value meets a goal such as `>= 0.60`.

    Raises:
        ValueError: the goal is not of this form.
    """
    match = _GOAL.match(goal)
    if match is None:
        raise ValueError(f"goal {goal!r}: expected a comparison and a number, such as '>= 0.60'")
    return _COMPARISONS[match[1]](value, float(match[2]))


def due(began_ns: int, now_ns: int, rate: float) -> int:
    """How many calls of an open loop should have been sent by now; the first is due at once."""
    return int((now_ns - began_ns) * rate / 1e9) + 1 if now_ns >= began_ns else 0


def intended_ns(began_ns: int, number: int, rate: float) -> int:
    """When call `number` (from 0) of an open loop was meant to leave."""
    return began_ns + int(number * 1e9 / rate)
