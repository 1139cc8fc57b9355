"""`make bench-check`: did a ratio get worse than the committed one, beyond the tolerance?

    python -m loadtests.bench.check [--write] [--calls 300]

Only ratios are compared, never times: they mean the same on another machine. What is compared is
the bare echo's machine instructions in each call's own (`steps.py`), because CPU times differ by
a factor where others use the machine too, and instructions by a few percent. What they cannot see
is the kernel's part and waiting: `make bench` does. Better is never a failure; write the baseline
anew when it is meant to stay.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from loadtests.bench.figures import Figure, figure, tell
from loadtests.bench.parts import ROOT, BenchFailed
from loadtests.bench.steps import measure

BASELINE = ROOT / "loadtests" / "baseline.json"
# Five runs of one tree differed by 5 percent at the most, on an idle machine and on one with
# fifteen processes for its two cores: how many units share a commit is a matter of timing.
TOLERANCE = 0.1
_SUFFIX = "_steps_ratio"


def ratios(figures: Iterable[Figure]) -> dict[str, float]:
    """What is compared."""
    return {one.name: one.value for one in figures if one.name.endswith(_SUFFIX)}


def compare(
    baseline: Mapping[str, float], now: Mapping[str, float], tolerance: float
) -> list[Figure]:
    """One figure for each ratio: now in then; met where it is no worse than the tolerance.

    Raises:
        BenchFailed: a ratio of the baseline was not measured.
    """
    if missing := sorted(set(baseline) - set(now)):
        raise BenchFailed(f"not measured, but in the baseline: {', '.join(missing)}")
    goal = f">= {1 - tolerance:.2f}"
    return [
        figure(
            f"{name}_to_baseline", now[name] / then, "ratio", f"{now[name]:g}, was {then:g}", goal
        )
        for name, then in sorted(baseline.items())
    ]


def write(path: Path, found: Mapping[str, float], tolerance: float) -> None:
    """Writes a baseline."""
    content = {
        "about": "the bare echo's instructions in each call's own; make bench-baseline",
        "tolerance": tolerance,
        "ratios": dict(sorted(found.items())),
    }
    path.write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def read(path: Path) -> tuple[dict[str, float], float]:
    """A baseline's ratios and its tolerance.

    Raises:
        BenchFailed: there is none, or it is not one.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return dict(content["ratios"]), float(content["tolerance"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BenchFailed(f"{path}: no baseline ({error}); run `make bench-baseline`") from error


def main() -> int:
    """Measures and compares; 1 where something got worse."""
    parser = argparse.ArgumentParser(prog="loadtests.bench.check", description=__doc__)
    parser.add_argument("--write", action="store_true", help="make the baseline anew")
    parser.add_argument("--calls", type=int, default=300)
    given = parser.parse_args()
    try:
        if given.write:
            measured = measure(given.calls)
            tell(measured)
            write(BASELINE, ratios(measured), TOLERANCE)
            return 0
        baseline, tolerance = read(BASELINE)
        compared = compare(baseline, ratios(measure(given.calls)), tolerance)
    except BenchFailed as error:
        print(f"bench-check: {error}", file=sys.stderr)
        return 1
    tell(compared)
    return 0 if all(one.met for one in compared) else 1


if __name__ == "__main__":
    sys.exit(main())
