"""The processes under measurement: started, pinned to a core, awaited, ended by their own handle.

The server has one core to itself and everything else the other: load client, Envoy, sandbox. What
is said of one process per core is then true of any number of them.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from loadtests.bench.load import Job

EXPERIMENTS = "-event_engine_listener"
ROOT = Path(__file__).resolve().parents[2]
_POLL_S = 0.02
# Under valgrind a start takes some twenty seconds on a machine with nothing else to do.
_START_LIMIT_S = 180.0
_END_LIMIT_S = 60.0


class BenchFailed(Exception):
    """Something could not be measured; the message says what and why."""


def cores() -> tuple[set[int], set[int]]:
    """The server's core, and the others.

    Raises:
        BenchFailed: there is but one, and a ratio measured on it would say nothing.
    """
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise BenchFailed("two cores are needed: one for the server, one for the load")
    return {allowed[0]}, set(allowed[1:])


@dataclass(slots=True)
class Part:
    """A running process."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    began: float

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def stop(self) -> None:
        """Asks it to end, and ends it where it does not."""
        self.process.terminate()
        try:
            self.process.wait(_END_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def last_words(self) -> str:
        """The end of what it wrote."""
        return self.log.read_text("utf-8", "replace")[-2_000:]


@contextlib.contextmanager
def running(
    name: str,
    arguments: Sequence[str],
    on: set[int],
    room: Path,
    environ: Mapping[str, str] = {},
    under: Sequence[str] = (),
) -> Iterator[Part]:
    """Starts `python -m arguments` on these cores, under a tool where one is named; ends it."""
    log = room / f"{name}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*under, sys.executable, "-m", *arguments],
            cwd=ROOT,
            env={**os.environ, "GRPC_EXPERIMENTS": EXPERIMENTS, **environ},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: os.sched_setaffinity(0, on),
        )
    part = Part(name, process, log, time.monotonic())
    try:
        yield part
    finally:
        part.stop()


def await_http(part: Part, port: int, path: str) -> float:
    """Waits until GET answers 200; seconds since the process was started.

    Raises:
        BenchFailed: it ended, or did not get there in time.
    """
    url = f"http://127.0.0.1:{port}{path}"
    while time.monotonic() < part.began + _START_LIMIT_S:
        if part.process.poll() is not None:
            raise BenchFailed(f"{part.name} ended; its last words:\n{part.last_words()}")
        try:
            with urllib.request.urlopen(url, timeout=2):
                return time.monotonic() - part.began
        except OSError:
            time.sleep(_POLL_S)
    raise BenchFailed(f"{part.name} was not ready in time; it wrote:\n{part.last_words()}")


def control(port: int, verb: str, path: str, body: Any = None) -> Any:
    """One call to the sandbox's control API."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/_control/{path}",
        method=verb,
        data=None if body is None else json.dumps(body).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


@dataclass(slots=True)
class Seen:
    """What a load client saw of one run, and what the watched processes used meanwhile.

    Attributes:
        per_s: good answers a second.
        all_per_s: answers a second, refusals too.
        cpu_us: CPU time of each watched process per answer.
        client_most_per_s: how many calls a second this client could have made at the most, by
            the CPU time that it spent.
    """

    sent: int
    unanswered: int
    calls: int
    good: int
    statuses: dict[str, int]
    per_s: float
    all_per_s: float
    latency_ms: dict[str, float]
    refusal_ms: dict[str, float]
    cpu_us: list[float] = field(default_factory=list)
    client_most_per_s: float = 0.0


def put_load(job: Job, on: set[int], *, allow: Sequence[str] = ()) -> Seen:
    """Runs a load client on these cores.

    Args:
        job: what to do.
        on: its cores.
        allow: statuses beside the good one that are no failure of the measurement.

    Raises:
        BenchFailed: it failed, or calls failed that should not.
    """
    done = subprocess.run(
        [sys.executable, "-m", "loadtests.bench.load"],
        input=json.dumps(asdict(job)).encode(),
        capture_output=True,
        cwd=ROOT,
        check=False,
        preexec_fn=lambda: os.sched_setaffinity(0, on),
    )
    if done.returncode:
        raise BenchFailed(f"the load client failed:\n{done.stderr.decode()[-2_000:]}")
    told = json.loads(done.stdout)
    bad = {code: count for code, count in told["statuses"].items() if code not in ("0", "200")}
    if unexpected := {code: count for code, count in bad.items() if code not in allow}:
        raise BenchFailed(
            f"calls of {job.headers[':path']} ended with statuses {unexpected}; the first said: "
            f"{told['first_bad']}"
        )
    calls = max(told["calls"], 1)
    return Seen(
        told["sent"],
        told["unanswered"],
        told["calls"],
        told["good"],
        told["statuses"],
        told["per_s"],
        told["all_per_s"],
        told["latency_ms"],
        told["refusal_ms"],
        [one * 1e6 / calls for one in told["cpu_s"]],
        calls / told["client_cpu_s"],
    )
