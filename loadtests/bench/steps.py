"""`make bench-steps`: machine instructions per call, which busy neighbours do not change.

    python -m loadtests.bench.steps [--calls 300] [--only instant,real]

Server and echo run under valgrind's callgrind, which counts what each thread executes in user
space. Two runs of one tree differ by a few percent at the most (how many units share a commit is
still a matter of timing), where CPU times on a shared machine differ by a factor. What it cannot
see: the kernel, caches, and waiting for a turn. It is some forty times slower than life.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from loadtests.bench.figures import Figure, figure, tell
from loadtests.bench.ground import (
    AUTHORIZE,
    AUTHORIZE_STREAM,
    CAPTURE,
    GET,
    REFUND,
    Ground,
    ground,
    salt,
)
from loadtests.bench.libraries import library_of
from loadtests.bench.load import Job
from loadtests.bench.messages import (
    authorize_bodies,
    capture_bodies,
    get_bodies,
    refund_bodies,
)
from loadtests.bench.parts import BenchFailed, Part, put_load
from turnout import v1

# Deadlines are wall time, and a call takes its forty times longer.
_TIMEOUT_MS = 60_000
_WARM_CALLS = 100
_IN_FLIGHT = 64
_LOAD_LIMIT_S = 600.0
_DRAIN_LIMIT_S = 60.0
# Places with less of a call's instructions stay out of the table.
_LEAST_SHARE = 0.01
# The thread that callgrind numbers 1 is the process's first: the event loop's.
_LOOP = 1


@dataclass(frozen=True, slots=True)
class Counted:
    """Instructions per call, by (on the event loop's thread, library)."""

    by_place: Mapping[tuple[bool, str], float]

    @property
    def all(self) -> float:
        """Of the whole process."""
        return sum(self.by_place.values())

    @property
    def loop(self) -> float:
        """Of the event loop's thread."""
        return sum(count for (on_loop, _), count in self.by_place.items() if on_loop)


def own_costs(lines: Iterable[str]) -> Iterator[tuple[str, int]]:
    """Object and instructions of each line of one of callgrind's files, without those of callees.

    The format: https://valgrind.org/docs/manual/cl-format.html. `ob=(id) path` names an object
    the first time and `ob=(id)` from then on; a cost line is `position count`; the line after
    `calls=` is the inclusive cost of a call and no own cost.
    """
    names: dict[str, str] = {}
    where = ""
    skip = False
    for line in lines:
        if line.startswith("ob="):
            identity, _, name = line[3:].strip().partition(" ")
            if name:
                names[identity] = name
            where = names[identity]
        elif line.startswith("cob="):
            identity, _, name = line[4:].strip().partition(" ")
            if name:
                names[identity] = name
        elif line.startswith("calls="):
            skip = True
        elif line[:1] in "+-*0123456789" and line[:1]:
            if not skip:
                cells = line.split()
                yield where, int(cells[1]) if len(cells) > 1 else 0
            skip = False


def read(dump: Path, calls: int) -> Counted:
    """Adds up the files of one dump, `<dump>-01` and so on, one for each thread.

    Raises:
        BenchFailed: callgrind wrote none.
    """
    found: Counter[tuple[bool, str]] = Counter()
    for path in dump.parent.glob(f"{dump.name}-*"):
        on_loop = int(path.name.rpartition("-")[2]) == _LOOP
        with path.open("r", encoding="utf-8", errors="replace") as lines:
            for where, instructions in own_costs(lines):
                found[on_loop, library_of(where)] += instructions
    if not found:
        raise BenchFailed(f"callgrind counted nothing: there is no {dump}-01")
    return Counted({place: instructions / calls for place, instructions in found.items()})


def _ask(part: Part, *arguments: str) -> None:
    """Commands callgrind in a running part."""
    done = subprocess.run(
        ["callgrind_control", *arguments, str(part.pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode or not re.search(r"^\s*OK\.", done.stdout, re.MULTILINE):
        raise BenchFailed(f"callgrind_control {arguments} failed: {done.stdout}{done.stderr}")


class Counting:
    """Counts one part of a Ground, stretch after stretch; the dumps stay in a folder."""

    def __init__(self, one: Ground, part: Part, calls: int) -> None:
        self._one = one
        self._part = part
        self._calls = calls
        self._dumps = 0

    def count(self, job: Job, warm_references: str = "") -> Counted:
        """Warms the part up with some of the job's calls, then counts the others.

        Args:
            job: what to call.
            warm_references: file of the first calls' references, where each is good only once.
        """
        references, job.references = job.references, warm_references or job.references
        job.in_flight = _IN_FLIGHT
        job.warm_s, job.seconds, job.drain_s = 0.0, _LOAD_LIMIT_S, _DRAIN_LIMIT_S
        job.count = _WARM_CALLS
        put_load(job, self._one.load_cores)
        job.salt, job.count, job.references = salt(), self._calls, references
        _ask(self._part, "-i", "on")
        seen = put_load(job, self._one.load_cores)
        _ask(self._part, "-i", "off")
        # A dump also sets the counters to nought.
        _ask(self._part, "-d", "measured")
        self._dumps += 1
        return read(Path(f"{_file(self._one.room, self._part.name)}.{self._dumps}"), seen.sent)


def _file(room: Path, name: str) -> Path:
    return room / f"callgrind.{name}"


def _tool(room: Path, name: str) -> list[str]:
    return [
        *("valgrind", "--quiet", "--tool=callgrind", "--instr-atstart=no", "--fair-sched=yes"),
        *("--separate-threads=yes", f"--callgrind-out-file={_file(room, name)}"),
    ]


def _echo(one: Ground, answer: v1.Payment, calls: int) -> Counted:
    """Starts the bare server and counts it."""
    one.start_echo(answer)
    job = one.job(AUTHORIZE, authorize_bodies(), port=one.echo_port)
    return Counting(one, one.echo, calls).count(job)


def _authorized(one: Ground, name: str, count: int) -> str:
    """Makes payments to capture; returns the file with their ids."""
    path = str(one.room / name)
    job = one.job(AUTHORIZE, authorize_bodies(manual=True))
    job.in_flight, job.count, job.keep_ids = _IN_FLIGHT, count, path
    job.warm_s, job.seconds, job.drain_s = 0.0, _LOAD_LIMIT_S, _DRAIN_LIMIT_S
    put_load(job, one.load_cores)
    return path


def _follow_ups(one: Ground, server: Counting, calls: int) -> Iterator[tuple[str, Counted]]:
    """Captures, and refunds of what was captured."""
    warm, ids = _authorized(one, "warm_ids", _WARM_CALLS), _authorized(one, "ids", calls)
    for name, path, bodies in (
        ("capture", CAPTURE, capture_bodies()),
        ("refund", REFUND, refund_bodies()),
    ):
        job = one.job(path, bodies)
        job.references = ids
        yield name, server.count(job, warm)


def _instant(calls: int) -> Iterator[Figure]:
    """The echo, and each kind of call with a provider inside the process."""
    with ground(timeout_ms=_TIMEOUT_MS) as one:
        one.under = {name: _tool(one.room, name) for name in ("serve", "echo")}
        one.start_instant()
        first = one.payment()
        ids = one.room / "one_id"
        ids.write_text(first.payment_id, "ascii")
        token = first.payment_method.token_id
        read_job = one.job(GET, get_bodies())
        read_job.references, read_job.cycle, read_job.keyed = str(ids), True, False
        echo = _echo(one, first, calls)
        server = Counting(one, one.server, calls)
        found = {
            "authorize_raw": server.count(one.job(AUTHORIZE, authorize_bodies())),
            "authorize_token": server.count(one.job(AUTHORIZE, authorize_bodies(token=token))),
            "authorize_stream": server.count(one.job(AUTHORIZE_STREAM, authorize_bodies())),
            "get": server.count(read_job),
            **dict(_follow_ups(one, server, calls)),
        }
    how = f"{calls} calls, {_IN_FLIGHT} in flight"
    yield figure("echo_steps", echo.all / 1e3, "k", f"(a); {how}")
    for name, counted in found.items():
        yield from told(name, counted, echo)


def _real(calls: int) -> Iterator[Figure]:
    """An authorization over HTTP by each provider of the sandbox, which is not counted."""
    with ground(timeout_ms=_TIMEOUT_MS) as one:
        one.under = {name: _tool(one.room, name) for name in ("serve", "echo")}
        one.start_real()
        echo = _echo(one, one.payment("pro_adyen"), calls)
        server = Counting(one, one.server, calls)
        for provider in ("adyen", "stripe"):
            job = one.job(AUTHORIZE, authorize_bodies(profile=f"pro_{provider}"))
            yield from told(f"authorize_{provider}", server.count(job), echo)


_GROUNDS = {"instant": _instant, "real": _real}


def measure(calls: int, only: Iterable[str] = tuple(_GROUNDS)) -> list[Figure]:
    """Counts each kind of call.

    Raises:
        BenchFailed: there is no valgrind here, or a call failed.
    """
    if shutil.which("valgrind") is None:
        raise BenchFailed("valgrind is not installed; `apt-get install valgrind` brings it")
    return [one for name in only for one in _GROUNDS[name](calls)]


def told(name: str, counted: Counted, echo: Counted) -> list[Figure]:
    """The figures of one kind of call: its ratio to the echo, and where its instructions go."""
    how = "(a)'s instructions in this call's own"
    figures = [
        figure(f"{name}_steps_ratio", echo.all / counted.all, "ratio", how),
        figure(f"{name}_steps", counted.all / 1e3, "k", "thousand instructions per call"),
        figure(f"{name}_loop_steps", counted.loop / 1e3, "k", "of it the event loop's thread"),
    ]
    for (on_loop, library), steps in sorted(counted.by_place.items(), key=lambda one: -one[1]):
        if steps >= _LEAST_SHARE * counted.all:
            side = "loop" if on_loop else "other threads"
            share = f"{steps / counted.all:.1%} of {name}"
            figures.append(figure(f"{name}: {side}, {library}", steps / 1e3, "k", share))
    return figures


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="loadtests.bench.steps", description=__doc__)
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--only", default=",".join(_GROUNDS), help="providers, by comma")
    given = parser.parse_args()
    only = given.only.split(",")
    if not set(only) <= _GROUNDS.keys():
        parser.error(f"--only takes {', '.join(_GROUNDS)}")
    try:
        tell(measure(given.calls, only))
    except BenchFailed as error:
        print(f"bench-steps: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
