"""Figures as docs/architecture.md says: a table for people, and with JSON=1 a line each."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TextIO

from loadtests.bench.stats import goal_met

MARKS = {True: "met", False: "MISSED", None: ""}


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number.

    Attributes:
        name: constant through versions.
        unit: `ratio`, `ms`, `us`, `1/s`, ...
        goal: `>= 0.60`, or None.
        met: whether the goal is met; None where there is none.
        how: how it was measured, and why it is missed.
    """

    name: str
    value: float
    unit: str
    goal: str | None = None
    met: bool | None = None
    how: str = ""


def figure(
    name: str, value: float, unit: str, how: str, goal: str | None = None, why: str = ""
) -> Figure:
    """A figure, held to its goal; `why` is told where it is missed."""
    rounded = float(f"{value:.4g}")
    met = goal_met(goal, rounded) if goal else None
    if met is False and why:
        how = f"{how}. Missed: {why}"
    return Figure(name, rounded, unit, goal, met, how)


def tell(figures: Iterable[Figure], out: TextIO | None = None) -> None:
    """Prints what was measured."""
    stream = out or sys.stdout
    told = list(figures)
    if os.environ.get("JSON") == "1":
        for one in told:
            print(json.dumps(asdict(one)), file=stream)
        return
    rows = [("figure", "value", "unit", "goal", "", "how")]
    rows += [(f.name, f"{f.value:g}", f.unit, f.goal or "", MARKS[f.met], f.how) for f in told]
    widths = [max(len(row[place]) for row in rows) for place in range(5)]
    for row in rows:
        cells = [
            cell.rjust(width) if place == 1 else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=False))
        ]
        print("  ".join([*cells, row[5]]).rstrip(), file=stream)
