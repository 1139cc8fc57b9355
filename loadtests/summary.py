"""What a load test ends with: a page for people, a CSV, a table, and whether it passed."""

from __future__ import annotations

import csv
import html
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtests.split import PERCENTILES, Split, name_of

_MEANINGS = {
    "total": "as the caller waited",
    "added": "of it, by Turnout, the network and the caller's own process",
    "provider": "of it, at the providers",
}
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto }
table { border-collapse: collapse; margin: 1rem 0 }
td, th { padding: .25rem .8rem; text-align: right; border-bottom: 1px solid #ddd }
td.text, th:first-child { text-align: left }
.passed { color: #176a30 } .failed { color: #a3161a }
"""
# Percentiles of the calls' table, as Locust counts them.
_CALL_SHARES = (0.5, 0.9, 0.99, 0.999)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run must keep to; 0 means no limit, but for `fail_ratio`."""

    fail_ratio: float = 0.001
    added_p99_ms: float = 0.0
    total_p99_ms: float = 0.0
    least_per_s: float = 0.0

    def told(self) -> str:
        """The limits in words."""
        said = [f"at most {self.fail_ratio:.2%} of the calls failed"]
        for part, most_ms in (("added", self.added_p99_ms), ("total", self.total_p99_ms)):
            if most_ms:
                said.append(f"{part} p99 at most {most_ms:g} ms")
        if self.least_per_s:
            said.append(f"at least {self.least_per_s:g} calls a second")
        return ", ".join(said)


@dataclass(frozen=True, slots=True)
class Totals:
    """The whole run in four numbers."""

    calls: int
    failures: int
    per_s: float
    seconds: float

    @property
    def fail_ratio(self) -> float:
        """Share of calls that failed."""
        return self.failures / self.calls if self.calls else 0.0


def problems(totals: Totals, rows: Sequence[Mapping[str, Any]], limits: Limits) -> list[str]:
    """Each limit that was passed, in a sentence; empty where the run is good."""
    found = []
    if not totals.calls:
        found.append("no call was made at all")
    if totals.fail_ratio > limits.fail_ratio:
        found.append(
            f"{totals.failures} of {totals.calls} calls failed ({totals.fail_ratio:.2%}); "
            f"at most {limits.fail_ratio:.2%} may"
        )
    if totals.per_s < limits.least_per_s:
        found.append(f"{totals.per_s:.1f} calls a second; at least {limits.least_per_s:g} wanted")
    p99 = name_of(0.99)
    for part, most_ms in (("added", limits.added_p99_ms), ("total", limits.total_p99_ms)):
        for row in rows:
            if most_ms and row["part"] == part and row[p99] > most_ms:
                found.append(
                    f"{part} p99 of authorizations over {row['face']} is {row[p99]:g} ms; "
                    f"at most {most_ms:g} ms wanted"
                )
    return found


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    cells = "".join(f"<th>{html.escape(one)}</th>" for one in head)
    lines = [f"<tr>{cells}</tr>"]
    for row in rows:
        cells = "".join(
            f'<td class="text">{html.escape(one)}</td>'
            if isinstance(one, str)
            else f"<td>{one:,.4g}</td>"
            if isinstance(one, float)
            else f"<td>{one:,}</td>"
            for one in row
        )
        lines.append(f"<tr>{cells}</tr>")
    return "<table>" + "\n".join(lines) + "</table>"


def page(
    totals: Totals,
    rows: Sequence[Mapping[str, Any]],
    calls: Sequence[Sequence[Any]],
    wrong: Sequence[str],
    how: str,
) -> str:
    """The page: what was done, whether it passed, and the two tables."""
    verdict = (
        '<p class="failed"><b>Failed:</b></p><ul>'
        + "".join(f"<li>{html.escape(one)}</li>" for one in wrong)
        + "</ul>"
        if wrong
        else '<p class="passed"><b>Passed</b> all thresholds.</p>'
    )
    shares = [f"p{share * 100:g} ms" for share in PERCENTILES]
    parts = [
        [str(row["face"]), f"{row['part']}: {_MEANINGS[str(row['part'])]}", row["count"]]
        + [float(row[name_of(share)]) for share in PERCENTILES]
        for row in rows
    ]
    call_shares = [f"p{share * 100:g} ms" for share in _CALL_SHARES]
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Turnout: load test</title><style>{_STYLE}</style>
<h1>Turnout: load test</h1>
<p>{html.escape(how)}</p>
{verdict}
<p>{totals.calls:,} calls in {totals.seconds:.0f} s, {totals.per_s:.1f} a second;
{totals.failures:,} failed ({totals.fail_ratio:.2%}). A declined payment is an answer, not a
failure.</p>
<h2>Authorizations, by where the time went</h2>
<p>p99 is the time that 99 of 100 authorizations stayed under. An authorization's time at providers
is what its own answer tells of its attempts; what is left was added on the way.</p>
{_table(["face", "part", "authorizations", *shares], parts)}
<h2>All calls</h2>
{_table(["face", "call", "calls", "failed", "per second", *call_shares], calls)}
<p>Locust's own report, with charts over time, is <a href="locust.html">locust.html</a>.</p>
</html>
"""


def write_summary(
    stats: Any, split: Split, limits: Limits, given: Namespace, workers: int
) -> list[str]:
    """Writes summary.html and summary.csv where --summary says, prints the table, judges.

    Returns:
        Each limit that was passed.
    """
    total = stats.total
    seconds = max((total.last_request_timestamp or 0) - total.start_time, 0.001)
    totals = Totals(total.num_requests, total.num_failures, total.num_requests / seconds, seconds)
    rows = split.rows()
    wrong = problems(totals, rows, limits)
    calls = [
        [one.method, one.name, one.num_requests, one.num_failures, one.num_requests / seconds]
        + [float(one.get_response_time_percentile(share) or 0) for share in _CALL_SHARES]
        for one in sorted(stats.entries.values(), key=lambda one: (one.method, one.name))
    ]
    how = f"shape {given.shape}, {given.num_users or 1} users, {seconds:.0f} s"
    how += f", {workers} workers" if workers else ""
    how += f"; wanted: {limits.told()}"
    if given.summary:
        directory = Path(given.summary)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "summary.html").write_text(page(totals, rows, calls, wrong, how), "utf-8")
        _write_csv(directory / "summary.csv", rows)
    _tell(totals, rows, wrong, how)
    return wrong


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    names = ["face", "part", "count", *(name_of(share) for share in PERCENTILES)]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)


def _tell(
    totals: Totals, rows: Sequence[Mapping[str, Any]], wrong: Sequence[str], how: str
) -> None:
    print(f"\n{how}: {totals.calls} calls, {totals.per_s:.1f}/s, {totals.failures} failed")
    shares = [name_of(share) for share in PERCENTILES]
    print("authorizations  " + "".join(one.rjust(11) for one in ("count", *shares)))
    for row in rows:
        values = [row["count"], *(row[one] for one in shares)]
        label = f"{row['face']} {row['part']}"
        print(label.ljust(16) + "".join(f"{value:11g}" for value in values))
    for one in wrong:
        print(f"FAILED: {one}", file=sys.stderr)
    if not wrong:
        print("passed all thresholds")
