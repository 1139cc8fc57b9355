"""`make bench`: the ratios that matter, each side by side in one run.

python -m loadtests.bench [--only instant,added] [--runs 5] [--seconds 3]
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from loadtests.bench import latency, throughput
from loadtests.bench.figures import Figure, tell
from loadtests.bench.parts import BenchFailed
from loadtests.bench.throughput import Plan

SECTIONS: dict[str, Callable[[Plan], list[Figure]]] = {
    "instant": throughput.instant,
    "stream": throughput.stream,
    "providers": throughput.providers,
    "edge": throughput.edge,
    "added": latency.added,
    "slow": latency.slow,
    "overload": latency.overload,
    "startup": latency.startup,
}


def run(names: list[str], plan: Plan) -> list[Figure]:
    """Measures the named sections, telling which on standard error."""
    found: list[Figure] = []
    for name in names:
        print(f"measuring: {name} ...", file=sys.stderr, flush=True)
        found += SECTIONS[name](plan)
    return found


def main() -> int:
    """Measures what was asked for and prints it."""
    parser = argparse.ArgumentParser(prog="loadtests.bench", description=__doc__)
    parser.add_argument("--only", default=os.environ.get("ONLY", ""), help="sections, with commas")
    parser.add_argument("--runs", type=int, default=int(os.environ.get("RUNS", "5")))
    parser.add_argument(
        "--seconds", type=float, default=float(os.environ.get("SECONDS_EACH", "3"))
    )
    given = parser.parse_args()
    names = [one for one in given.only.split(",") if one] or list(SECTIONS)
    if unknown := [one for one in names if one not in SECTIONS]:
        parser.error(f"no such section: {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    try:
        tell(run(names, Plan(given.runs, given.seconds)))
    except BenchFailed as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
