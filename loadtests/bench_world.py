"""How close the router comes to a clairvoyant, in a world of ailing providers.

    TURNOUT_WORLD=/path/to/world python loadtests/bench_world.py        a table
    JSON=1 ... python loadtests/bench_world.py                         and a line for each figure
    ... bench_world.py --seeds 1,2,3 --scenarios mine/*.json

The folder of the world holds `world.py`, `baselines.py`, `run.py` and `scenarios/*.json`. Without
it the bench is skipped and says so. `closed` is the share of the way from chance to a router that
always knows the true odds, on first attempts. Two more figures come from the same runs: how soon
a full outage is left, and how far an issuer's outage moves the providers' shares.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
FULL_OUTAGE = 0.95
"""From this technical failure rate on an outage counts as full."""
ENOUGH_KNOWN = 5
ENOUGH_S = 3.0
OVERDUE_S = 5.0
"""The router's own border (`health.overdue_ms`)."""


def _modules() -> tuple[Any, Any, Any]:
    sys.path[:0] = [os.environ["TURNOUT_WORLD"], str(HERE)]
    import run
    import world
    import world_policy

    return world, run, world_policy


class Watched:
    """A policy, and a note of each attempt: when it left, when it was known, how it ended."""

    def __init__(self, policy: Any) -> None:
        self.policy = policy
        self.attempts: dict[tuple[int, str], list[Any]] = {}
        self.firsts: list[tuple[float, str]] = []

    def rank(self, payment: Any, now: float) -> list[str]:
        """Note the first place."""
        ranked: list[str] = self.policy.rank(payment, now)
        self.firsts.append((now, ranked[0]))
        return ranked

    def dispatched(self, payment: Any, provider: str, now: float) -> None:
        """Note when the attempt left."""
        self.attempts[payment.index, provider] = [now, float("inf"), ""]
        self.policy.dispatched(payment, provider, now)

    def learn(self, payment: Any, provider: str, outcome: Any, now: float) -> None:
        """Note when and how it ended."""
        self.attempts[payment.index, provider][1:] = [now, outcome.kind]
        self.policy.learn(payment, provider, outcome, now)


def one(scenario: dict[str, Any]) -> dict[str, Any]:
    """One scenario with one seed."""
    world_module, run, world_policy = _modules()
    world = world_module.World(scenario)
    watched = Watched(world_policy.make(run.Visible(world)))
    result = world.run("policy", watched)
    chance, ceiling = world.chance(), world.ceiling()
    events = scenario.get("events", [])
    issuers = [e for e in events if "provider" not in e]
    moved = None
    if issuers:
        calm = {**scenario, "events": [e for e in events if "provider" in e]}
        other = world_module.World(calm)
        quiet = other.run("policy", world_policy.make(run.Visible(other)))
        moved = _moved(world.providers, result.choices, quiet.choices)
    return {
        "name": scenario["name"],
        "seed": scenario["seed"],
        "closed": (run.merit_sum(world, result) - chance) / (ceiling - chance),
        "approval": result.approved / result.payments,
        "left": [left for e in events if (left := _left(e, watched)) is not None],
        "moved": moved,
        "shares": _shares(len(world.providers), result.choices),
        "calm_shares": None if moved is None else _shares(len(world.providers), quiet.choices),
        "rank_us_p99": result.row()["rank_us_p99"],
    }


def _shares(count: int, choices: list[int]) -> list[float]:
    return [choices.count(j) / len(choices) for j in range(count)]


def _moved(providers: list[str], one: list[int], other: list[int]) -> float:
    """Total variation between two runs' shares."""
    pairs = zip(_shares(len(providers), one), _shares(len(providers), other), strict=True)
    return sum(abs(a - b) for a, b in pairs) / 2


def _left(event: dict[str, Any], watched: Watched) -> list[float] | None:
    """How much was known when the last payment went to a full outage by itself.

    Returns:
        Payments known to have failed (or overdue), and the seconds since the first of them; None
        where the event is no full outage, or nobody was there.
    """
    if event.get("technical", 0.0) < FULL_OUTAGE or "provider" not in event:
        return None
    provider, start, end = event["provider"], event["start_s"], event["end_s"]
    sent = sorted(
        [min(known, at + OVERDUE_S), at]
        for (_, p), (at, known, kind) in watched.attempts.items()
        if p == provider and start <= at < end and kind in ("error", "timeout")
    )
    if not sent:
        return None
    first_known = sent[0][0]
    firsts = [t for t, p in watched.firsts if p == provider and start <= t < end]
    # Left: the first time that nobody goes there for longer than the breaker's first pause.
    gone = next((t for t, u in zip(firsts, [*firsts[1:], end], strict=True) if u - t > 4.0), None)
    if gone is None:
        return [float("inf"), float("inf")]
    return [sum(known <= gone for known, _ in sent), max(gone - first_known, 0.0)]


def figures(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The bench's figures, with their goals."""

    def figure(name: str, value: float, unit: str, goal: str | None, met: bool | None) -> Any:
        how = "loadtests/bench_world.py: first attempts, production defaults"
        out = {"name": name, "value": round(value, 4), "unit": unit, "goal": goal}
        return {**out, "met": met, "how": how}

    means = {}
    for name in dict.fromkeys(row["name"] for row in rows):
        closed = [row["closed"] for row in rows if row["name"] == name]
        means[name] = sum(closed) / len(closed)
        value = means[name]
        yield figure(f"world.closed.{name}", value, "share", ">= 0.78", value >= 0.78)
    mean = sum(means.values()) / len(means)
    yield figure("world.closed.mean", mean, "share", ">= 0.85", mean >= 0.85)
    lefts = [left for row in rows for left in row["left"]]
    if lefts:
        # Within 5 payments known or overdue, or 3 s after the first: whichever is later.
        late = sorted(max(0.0, min(n - ENOUGH_KNOWN, s - ENOUGH_S)) for n, s in lefts)
        p95 = late[min(len(late) - 1, int(0.95 * len(late)))]
        known = sorted(n for n, _ in lefts)[min(len(lefts) - 1, int(0.95 * len(lefts)))]
        yield figure("world.outage.known_when_left_p95", known, "payments", "<= 5", known <= 5)
        yield figure("world.outage.late_p95", p95, "payments or s", "<= 0", p95 <= 0)
    moved = [row for row in rows if row["moved"] is not None]
    if moved:
        each = sum(row["moved"] for row in moved) / len(moved)
        yield figure("world.issuer_outage.moved_each_run", each, "share", None, None)
        columns = range(len(moved[0]["shares"]))
        drift = [sum(r["shares"][j] - r["calm_shares"][j] for r in moved) for j in columns]
        mean = sum(abs(d) for d in drift) / 2 / len(moved)
        yield figure("world.issuer_outage.moved", mean, "share", "<= 0.02", mean <= 0.02)
    slowest = max(row["rank_us_p99"] for row in rows)
    yield figure("world.rank_us_p99", slowest, "us", None, None)


def main() -> int:
    """Run the scenarios and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", default=",".join(str(k) for k in range(1, 11)))
    parser.add_argument("--scenarios", nargs="*", type=Path)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    folder = os.environ.get("TURNOUT_WORLD", "")
    if not folder:
        print("SKIPPED: bench-world needs the folder of the world in TURNOUT_WORLD.")
        return 0
    paths = args.scenarios or sorted(Path(folder, "scenarios").glob("*.json"))
    seeds = [int(seed) for seed in args.seeds.split(",")]
    scenarios = [
        {**json.loads(path.read_text()), "seed": seed} for path in paths for seed in seeds
    ]
    with ProcessPoolExecutor(args.jobs) as pool:
        rows = list(pool.map(one, scenarios))
    print(f"{'figure':42} {'value':>9}  {'goal':9} met")
    for line in figures(rows):
        met = {True: "yes", False: "NO", None: ""}[line["met"]]
        print(f"{line['name']:42} {line['value']:9.4f}  {line['goal'] or '':9} {met}")
        if os.environ.get("JSON") == "1":
            print(json.dumps(line))
    return 0


if __name__ == "__main__":
    sys.exit(main())
