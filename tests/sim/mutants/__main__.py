"""`python -m tests.sim.mutants`: plants each bug in a copy of the source and simulates.

The working tree is never touched. A bug whose anchor is gone fails loudly; so does one that no
world notices, and so does a simulation that finds something without any bug.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.sim.mutants.bugs import BUGS, Bug

ROOT = Path(__file__).resolve().parents[3]
# Proves that the copy is what runs, then simulates until the first violation.
_RUN = (
    "import sys, turnout; "
    "assert turnout.__file__.startswith(sys.argv[1]), turnout.__file__; "
    "sys.argv = ['sim', *sys.argv[2:]]; "
    "from tests.sim.run import main; sys.exit(main())"
)
CAUGHT, SURVIVED, BROKEN = "caught", "SURVIVED", "BROKEN"


def _copy(origin: Path, folder: Path) -> Path:
    source = folder / "src"
    shutil.copytree(origin, source, ignore=shutil.ignore_patterns("__pycache__"), symlinks=True)
    return source


def plant(bug: Bug, source: Path) -> None:
    """Changes the copy.

    Raises:
        ValueError: the anchor does not stand there exactly once.
    """
    path = source / "turnout" / bug.path
    text = path.read_text()
    if text.count(bug.anchor) != 1:
        raise ValueError(
            f"{bug.name!r}: its anchor stands {text.count(bug.anchor)} times in {bug.path}; "
            f"the source has moved on, so plant it anew in {Path(__file__).parent / 'bugs.py'}"
        )
    path.write_text(text.replace(bug.anchor, bug.planted))


def simulate(source: Path, also: str, seeds: int) -> subprocess.CompletedProcess[str]:
    """Simulates a copy of the source until its first violation."""
    environment = {**os.environ, "PYTHONPATH": f"{source}{os.pathsep}{ROOT}", "JSON": "0"}
    command = [sys.executable, "-B", "-c", _RUN, str(source)]
    options = ["--seeds", str(seeds), "--also", also, "--workers", "1", "--stop"]
    return subprocess.run(
        command + options, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def trial(bug: Bug | None, origin: Path, seeds: int) -> tuple[str, str, float]:
    """Plants one bug and simulates; returns the verdict, what was seen first, and seconds."""
    began_s = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        source = _copy(origin, Path(folder))
        try:
            if bug is not None:
                plant(bug, source)
        except ValueError as error:
            return BROKEN, str(error), time.perf_counter() - began_s
        ran = simulate(source, "" if bug is None else bug.also, seeds)
    lines = ran.stdout.splitlines()
    world = next((line.split(" (")[0] for line in lines if line.startswith("seed ")), "")
    seen = next((f"{world}: {line.strip()}" for line in lines if line.startswith("  ")), "")
    verdict = {0: SURVIVED, 1: CAUGHT}.get(ran.returncode, BROKEN)
    if ran.returncode not in (0, 1) or (verdict == CAUGHT and not seen):
        verdict, seen = BROKEN, ran.stderr[-600:]
    return verdict, seen, time.perf_counter() - began_s


def main() -> int:
    """All bugs, or those whose names hold a word."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim.mutants")
    parser.add_argument("word", nargs="?", default="", help="only bugs with this in their name")
    parser.add_argument("--seeds", type=int, default=300, help="at most so many worlds a bug")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    chosen: list[Bug | None] = [one for one in BUGS if given.word in one.name]
    # First without any bug: what complains of nothing at all catches nothing.
    chosen.insert(0, None)
    failed = 0
    # One copy for all, so that an edit in the meantime changes nothing.
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(given.workers) as pool:
        origin = _copy(ROOT / "src", Path(folder))
        trials = pool.map(
            lambda bug: trial(bug, origin, 60 if bug is None else given.seeds), chosen
        )
        for bug, (verdict, seen, took_s) in zip(chosen, trials, strict=True):
            if bug is None:
                name, good = "no bug at all", verdict == SURVIVED
                verdict = "clean" if good else "NOT CLEAN"
            else:
                name, good = bug.name, verdict == CAUGHT
            failed += not good
            print(f"{verdict:<10} {took_s:6.1f} s  {name:<58} {seen[:110]}", flush=True)
    print(f"{len(chosen) - failed} of {len(chosen)} trials as they should be")
    return 1 if failed else 0


sys.exit(main())
