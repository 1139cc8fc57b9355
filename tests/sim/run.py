"""Runs one world or many, and tells what came of them."""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.sim.faults import FAMILIES, POINTS
from tests.sim.world import Result, Wish, run_world
from turnout.vault.master import MASTER_KEY_BYTES, make_master_key

# A world leaves some 2.5 MB behind.
_WORLDS_A_SHARE = 40


def live(seeds: Sequence[int], wish: Wish) -> list[Result]:
    """Lives these worlds one after the other."""
    return list(lived(seeds, wish))


def lived(seeds: Sequence[int], wish: Wish) -> Iterator[Result]:
    """World after world, for as long as somebody asks for the next."""
    with tempfile.TemporaryDirectory() as folder:
        # One master key for all worlds, made before them: a world that had to make its own would
        # draw other random numbers than one that found it.
        key_path = Path(folder) / "keys" / "master.key"
        make_master_key(key_path, bytes(MASTER_KEY_BYTES))
        with _few_collections():
            for number, seed in enumerate(seeds):
                if number and number % _WORLDS_A_SHARE == 0:
                    gc.collect()
                yield run_world(seed, wish, key_path)


@contextmanager
def _few_collections() -> Iterator[None]:
    """Leaves garbage alone: a world is all cycles, and each collection walks through all of it."""
    collects = gc.isenabled()
    gc.disable()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        if collects:
            gc.enable()


def _share(share: tuple[range, Wish]) -> list[Result]:
    return live(*share)


def until_first(first: int, seeds: int, wish: Wish) -> tuple[list[Result], float]:
    """World after world until one is not well."""
    results: list[Result] = []
    began_s = time.process_time()
    for result in lived(range(first, first + seeds), wish):
        results.append(result)
        if result.faults:
            break
    return results, time.process_time() - began_s


def run_many(first: int, seeds: int, wish: Wish, workers: int) -> tuple[list[Result], float]:
    """All worlds of a range of seeds, on several cores; returns them and the CPU seconds.

    Each share has a process of its own, forked from this one, which has imported everything. Its
    worlds are never collected, which would cost a tenth of living them: they end with it.
    """
    size = max(1, min(_WORLDS_A_SHARE, seeds // (4 * workers)))
    shares = [
        (range(start, min(start + size, first + seeds)), wish)
        for start in range(first, first + seeds, size)
    ]
    began_s = os.times()
    fork = multiprocessing.get_context("fork")
    with fork.Pool(workers, initializer=gc.disable, maxtasksperchild=1) as pool:
        results = [one for part in pool.imap(_share, shares) for one in part]
    ended_s = os.times()
    cpu_s = sum(ended_s[:4]) - sum(began_s[:4])
    return results, cpu_s


def report(results: list[Result], wish: Wish, cpu_s: float, wall_s: float) -> bool:
    """Prints the table and, with JSON=1, the figures; says whether all worlds were well."""
    payments = sum(one.payments for one in results)
    hits: Counter[str] = Counter()
    for one in results:
        hits.update(one.hits)
    bad = [one for one in results if one.faults]
    crashes = {point: hits[f"crash {point}"] for point in POINTS}
    print(f"worlds                 {len(results):>12,}")
    print(f"payments               {payments:>12,}")
    print(f"payments/s per core    {payments / cpu_s:>12,.0f}")
    print(f"commits                {sum(one.commits for one in results):>12,}")
    print(f"virtual hours          {sum(one.virtual_s for one in results) / 3600:>12,.0f}")
    print(f"reviews                {sum(one.reviews for one in results):>12,}")
    print(f"wall seconds           {wall_s:>12,.0f}")
    print(f"worlds with violations {len(bad):>12,}")
    bound = 3 / payments if payments else 1.0
    print(f"95 % bound, violations per payment: {'none seen, ' if not bad else ''}{bound:.2e}")
    rarest = min(crashes, key=crashes.__getitem__)
    print(f"crash points           {len(crashes):>12,}, the rarest {rarest}: {crashes[rarest]:,}")
    print("faults: " + ", ".join(f"{one} {hits[one]:,}" for one in FAMILIES))
    print("crash points: " + ", ".join(f"{one} {count:,}" for one, count in crashes.items()))
    for one in bad[:10]:
        print(f"\nseed {one.seed} ({', '.join(one.families)}):")
        for fault in one.faults[:6]:
            print(f"  {fault}")
        print(f"  again: python -m tests.sim --seed {one.seed} --trace{_options(wish)}")
    if os.environ.get("JSON") == "1":
        met = sum(hits[one] for one in FAMILIES)
        _figures(results, payments, cpu_s, len(bad), crashes[rarest], bound, met)
    return not bad


def _options(wish: Wish) -> str:
    """What must be said besides the seed to live the same world."""
    options = "" if wish.payments == Wish().payments else f" --payments {wish.payments}"
    return options + (f" --also {','.join(wish.also)}" if wish.also else "")


def _figures(
    results: list[Result],
    payments: int,
    cpu_s: float,
    bad: int,
    rarest: int,
    bound: float,
    faults: int,
) -> None:
    seeds = f"seeds {results[0].seed} to {results[-1].seed}"
    how = f"{seeds}, {payments} payments, at least 3 families of faults in each"
    rate = payments / cpu_s
    for name, value, unit, goal, met in (
        ("sim_violations", bad, "worlds", "== 0", bad == 0),
        ("sim_payments", payments, "payments", None, None),
        ("sim_faults_met", faults, "faults", None, None),
        ("sim_payments_per_s_per_core", round(rate), "1/s", ">= 1000", rate >= 1000),
        ("sim_rarest_crash_point_hits", rarest, "hits", None, None),
        ("sim_violation_bound_95", bound, "per payment", None, None),
    ):
        line = {"name": name, "value": value, "unit": unit, "goal": goal, "met": met, "how": how}
        print(json.dumps(line))


def main() -> int:
    """The command line of `python -m tests.sim`."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seed", type=int, help="live this one world")
    parser.add_argument("--trace", action="store_true", help="print all that happened in it")
    parser.add_argument("--first", type=int, default=0, help="the first seed of many")
    parser.add_argument("--seeds", type=int, default=100, help="how many seeds")
    parser.add_argument("--payments", type=int, default=Wish().payments, help="customers")
    parser.add_argument("--also", default="", help="families of faults for every world: a,b")
    parser.add_argument("--stop", action="store_true", help="stop at the first violation")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    also = tuple(one for one in given.also.split(",") if one)
    unknown = ", ".join(sorted(set(also) - set(FAMILIES)))
    if unknown:
        parser.error(f"--also {unknown}: the families are {', '.join(FAMILIES)}")
    wish = Wish(given.payments, also, given.trace)
    if given.seed is not None:
        (result,) = live([given.seed], wish)
        print("\n".join(result.trace))
        print(f"seed {result.seed}: {result.payments} payments, {', '.join(result.families)}")
        print(f"{result.commits} commits, {result.steps} steps, {result.virtual_s:.0f} s")
        print("\n".join(result.faults) or "no violation")
        return 1 if result.faults else 0
    began_s = time.perf_counter()
    if given.stop:
        results, cpu_s = until_first(given.first, given.seeds, wish)
    else:
        results, cpu_s = run_many(given.first, given.seeds, wish, given.workers)
    return 0 if report(results, wish, cpu_s, time.perf_counter() - began_s) else 1


if __name__ == "__main__":
    sys.exit(main())
