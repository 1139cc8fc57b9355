"""`make load`, shortly: it runs, nothing fails, and the report is there and readable."""

import asyncio
import csv
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.house.sources import ROOT

# Looked for, never imported: importing Locust lets gevent replace threads and sockets under all
# the other tests of this process.
pytestmark = pytest.mark.skipif(
    find_spec("locust") is None, reason="make bench-setup installs Locust"
)

SECONDS = 10


async def load(reports: Path, *more: str) -> tuple[int, str]:
    """Runs a load test in a process of its own: status and output."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadtests.run", "--duration", f"{SECONDS}s", "--users", "6"),
        *("--reports", str(reports), *more),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def test_a_short_load_test_writes_its_report(tmp_path: Path) -> None:
    status, said = await load(tmp_path)
    assert status == 0, said
    assert "passed all thresholds" in said

    page = (tmp_path / "summary.html").read_text("utf-8")
    for words in ("Passed", "AuthorizePayment", "by Turnout", "at the providers", "p99.9 ms"):
        assert words in page
    with (tmp_path / "summary.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["face"], row["part"]) for row in rows} == {
        (face, part) for face in ("grpc", "http") for part in ("total", "added", "provider")
    }
    assert all(int(row["count"]) > 0 for row in rows)
    # Locust's own report and its tables.
    assert "AuthorizePayment" in (tmp_path / "locust.html").read_text("utf-8")
    with (tmp_path / "locust_stats.csv").open(encoding="utf-8", newline="") as file:
        calls = {(row["Type"], row["Name"]): row for row in csv.DictReader(file)}
    assert int(calls["grpc", "AuthorizePayment"]["Request Count"]) > 0
    assert int(calls["POST", "AuthorizePayment"]["Request Count"]) > 0
    assert int(calls["", "Aggregated"]["Failure Count"]) == 0


async def test_a_threshold_that_is_passed_fails_the_run(tmp_path: Path) -> None:
    status, said = await load(tmp_path, "--total-p99-ms", "0.001")
    assert status == 1, said
    assert "at most 0.001 ms wanted" in said
    assert "Failed" in (tmp_path / "summary.html").read_text("utf-8")
