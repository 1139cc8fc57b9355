"""A few worlds in every test run; `make sim` lives a thousand, `make mutants` proves the net."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sim.faults import FAMILIES, POINTS
from tests.sim.mutants.bugs import BUGS
from tests.sim.run import live
from tests.sim.world import Wish

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("first", [0, 10, 20])
def test_worlds_come_to_rest_with_the_books_agreeing(first: int) -> None:
    for result in live(range(first, first + 10), Wish(30)):
        again = f"python -m tests.sim --seed {result.seed} --payments 30 --trace"
        assert not result.faults, f"{result.faults[:5]}; again: {again}"
        assert result.payments > 0


def test_every_world_has_at_least_three_families_of_faults() -> None:
    known = set(FAMILIES)
    for result in live(range(40, 44), Wish(5)):
        assert len(result.families) >= 3
        assert set(result.families) <= known
        assert {one.removeprefix("crash ") for one in result.hits if one.startswith("crash ")} <= {
            *POINTS
        }


def test_a_seed_is_the_same_world_in_another_process() -> None:
    command = [sys.executable, "-m", "tests.sim", "--seed", "3", "--payments", "20", "--trace"]
    told = [
        subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert told[0] == told[1]
    assert len(told[0].splitlines()) > 100


def test_every_planted_bug_still_has_its_place() -> None:
    assert len(BUGS) >= 20
    assert len({bug.name for bug in BUGS}) == len(BUGS)
    for bug in BUGS:
        text = (ROOT / "src" / "turnout" / bug.path).read_text()
        assert text.count(bug.anchor) == 1, f"{bug.name}: {bug.path} has moved on"
