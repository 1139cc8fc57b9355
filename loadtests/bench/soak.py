"""Does it stay as it is? Memory, open files, loop lag and p99 over many payments.

    python -m loadtests.bench.soak [--count 20000] [--rate 0]

The goal is about 1,000,000 payments; the default is a small one that shows the same trends.
Marks are taken at tenths, each over its own calls. At the end the server takes turns with new ones
whose record is empty: what grows with the record shows there, whatever else the machine does.
Loop lag is the p99 of GetPayment for one payment, at a slow fixed rate beside the load: it does
nothing but wait for its turn on the event loop.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from loadtests.bench.figures import Figure, figure, tell
from loadtests.bench.ground import AUTHORIZE, GET, Ground, ground, salt
from loadtests.bench.messages import authorize_bodies, get_bodies
from loadtests.bench.parts import BenchFailed, Seen, put_load
from loadtests.bench.stats import median

_MARKS = 10
_IN_FLIGHT = 64
_PROBE_PER_S = 50.0
_LOOK_S = 1.0
_FIRST = 1_000
_ROUNDS = 5
# What the goal compares: from a tenth of the way on, when caches are full.
_FROM_MARK = 1


@dataclass(slots=True)
class Mark:
    """How the server stood while the last tenth was stored.

    Attributes:
        payments: stored at its end.
        rss_kib: median of its second half, as the collector's rhythm alone moves it by a percent.
    """

    payments: int
    rss_kib: float
    files: int
    p99_ms: float
    lag_p99_ms: float
    cpu_us: float


def rss_kib(pid: int) -> int:
    """Resident memory of a process, counted; VmRSS is an estimate that drifts."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1])
    raise BenchFailed(f"process {pid} does not tell its memory")


def _batch(one: Ground, count: int, rate: float, probe_id: Path) -> tuple[Seen, Seen, float]:
    """Authorizes `count` payments, and asks for one payment again and again beside it.

    Returns what both saw, and the median of resident memory in the second half, in KiB.
    """
    job = one.job(AUTHORIZE, authorize_bodies())
    job.count, job.seconds, job.warm_s, job.salt = count, 3_600.0, 0.0, salt()
    job.watch_pids = [one.server.pid]
    if rate:
        job.rate = rate
    else:
        job.in_flight = _IN_FLIGHT
    probe = one.job(GET, get_bodies())
    probe.references, probe.cycle, probe.keyed = str(probe_id), True, False
    probe.rate, probe.connections, probe.warm_s = _PROBE_PER_S, 1, 0.0
    # Ends with the batch, or a little after; it is told when by how long such a batch takes.
    probe.seconds = max(1.0, count / (rate or 1_500.0))
    lag: list[Seen] = []
    thread = threading.Thread(target=lambda: lag.append(put_load(probe, one.load_cores)))
    sizes: list[int] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_LOOK_S):
            sizes.append(rss_kib(one.server.pid))

    watcher = threading.Thread(target=watch)
    thread.start()
    watcher.start()
    try:
        seen = put_load(job, one.load_cores)
    finally:
        ended.set()
        watcher.join()
        thread.join()
    if not lag:
        raise BenchFailed("the probe for loop lag failed")
    sizes.append(rss_kib(one.server.pid))
    return seen, lag[0], median(sizes[len(sizes) // 2 :])


def _say(mark: Mark) -> None:
    """Tells how far it is: a million takes half an hour."""
    print(
        f"{mark.payments:,} payments: RSS {mark.rss_kib / 1_024:.1f} MiB, {mark.files} files, "
        f"p99 {mark.p99_ms:.0f} ms, loop lag p99 {mark.lag_p99_ms:.1f} ms, {mark.cpu_us:.0f} us",
        file=sys.stderr,
        flush=True,
    )


def soak(count: int, rate: float) -> list[Figure]:
    """Measures."""
    marks: list[Mark] = []
    with ground() as one:
        one.start_instant()
        probe_id = one.room / "probe"
        probe_id.write_text(one.payment().payment_id, "ascii")
        for number in range(1, _MARKS + 1):
            seen, lag, resident = _batch(one, count // _MARKS, rate, probe_id)
            pid = one.server.pid
            files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
            marks.append(
                Mark(
                    number * (count // _MARKS),
                    resident,
                    files,
                    seen.latency_ms["p99"],
                    lag.latency_ms["p99"],
                    seen.cpu_us[0],
                )
            )
            _say(marks[-1])
        record = one.settings.store.path
        stored = sqlite3.connect(f"file:{record}?mode=ro", uri=True)
        (rows,) = stored.execute("SELECT count(*) FROM payments").fetchone()
        stored.close()
        size = record.stat().st_size
        slower, dearer = _beside_new(one, rate)
    found = _at_marks(marks)
    how = f"a thousand payments beside an empty record's first; median of {_ROUNDS}"
    return [
        *found,
        figure("soak_p99_growth", slower, "ratio", how, "<= 1.2"),
        figure("soak_cpu_growth", dearer, "ratio", how),
        figure("soak_lost", count // _MARKS * _MARKS + 1 - rows, "payments", "", "== 0"),
        figure("soak_bytes_per_payment", size / max(rows, 1), "bytes", "record's file"),
    ]


def _first(one: Ground, rate: float) -> Seen:
    """As many payments as are the first ones of a new record."""
    job = one.job(AUTHORIZE, authorize_bodies())
    job.count, job.seconds, job.warm_s, job.salt = _FIRST, 3_600.0, 0.0, salt()
    job.watch_pids, job.rate, job.in_flight = [one.server.pid], rate, 0 if rate else _IN_FLIGHT
    return put_load(job, one.load_cores)


def _beside_new(one: Ground, rate: float) -> tuple[float, float]:
    """p99 and CPU of a server with a full record to those of new ones with an empty record.

    In turns, because between the first payment and the last the machine itself becomes faster and
    slower by more than the goal allows.
    """
    p99, cpu = [], []
    for number in range(_ROUNDS):
        with ground() as new:
            new.start_instant()
            new.payment()
            order = (one, new) if number % 2 else (new, one)
            seen = {server: _first(server, rate) for server in order}
            p99.append(seen[one].latency_ms["p99"] / seen[new].latency_ms["p99"])
            cpu.append(seen[one].cpu_us[0] / seen[new].cpu_us[0])
    return median(p99), median(cpu)


def _at_marks(marks: list[Mark]) -> list[Figure]:
    found = []
    for mark in marks:
        at = f"at {mark.payments:,} payments"
        found += [
            figure(f"rss_mib_{mark.payments}", mark.rss_kib / 1_024, "MiB", at),
            figure(f"files_{mark.payments}", mark.files, "files", at),
            figure(f"p99_ms_{mark.payments}", mark.p99_ms, "ms", at),
            figure(f"loop_lag_p99_ms_{mark.payments}", mark.lag_p99_ms, "ms", at),
            figure(f"cpu_us_{mark.payments}", mark.cpu_us, "us", at),
        ]
    start, end = marks[_FROM_MARK - 1], marks[-1]
    growth = (end.rss_kib - start.rss_kib) / start.rss_kib
    between = f"between payment {start.payments:,} and {end.payments:,}"
    found += [
        figure("soak_rss_growth", growth, "ratio", between, "<= 0.01"),
        figure("soak_files_growth", end.files - start.files, "files", between, "<= 0"),
    ]
    return found


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="loadtests.bench.soak", description=__doc__)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=0.0, help="calls a second; 0: closed loop")
    given = parser.parse_args()
    tell(soak(max(given.count, _MARKS), given.rate))


if __name__ == "__main__":
    main()
