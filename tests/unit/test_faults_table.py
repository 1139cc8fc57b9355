"""docs/faults.md names its proofs: each must be there."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TABLE = (ROOT / "docs/faults.md").read_text("utf-8")
SUITES = ("chaos", "contract", "e2e", "integration", "property", "sim", "unit")


def named(pattern: str) -> set[str]:
    found = set(re.findall(pattern, TABLE))
    assert len(found) > 20
    return found


def test_every_test_that_is_named_exists() -> None:
    suites = "|".join(SUITES)
    for name in named(rf"`(?:tests/)?((?:{suites})/[\w*/]+\.py)`"):
        assert list((ROOT / "tests").glob(name)), name


def test_every_fault_of_the_simulation_that_is_named_exists() -> None:
    source = "".join(one.read_text("utf-8") for one in (ROOT / "tests/sim").glob("*.py"))
    rows = [line for line in TABLE.splitlines() if re.match(r"\| \d+ \|", line)]
    assert len(rows) > 50
    for row in rows:
        for said in re.findall(r"sim: ([^;|]*)", row):
            for name in re.findall(r"`([a-z_*.]+)`", said):
                # Crash points are put together from their parts.
                parts = [one for one in name.split(".") if one != "*"]
                assert all(re.search(rf"\b{part}\b", source) for part in parts), name
