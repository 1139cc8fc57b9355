"""Where an authorization's CPU time goes: by thread, exactly, and by stage, by samples.

    python -m loadtests.bench.profile [--in-flight 64] [--seconds 15] [--token]

The kernel tells how much CPU each thread used. py-spy's samples of whoever holds the interpreter's
lock share the event loop's part among the stages; where gRPC wakes its poller, the loop is often
put off the core while it holds that lock, so the line of loop and gRPC is too high and the others
are a little low. perf, where there is one, tells by library and without that fault. Also writes a
flame graph. Sampling slows the server, so CPU times come from a run of their own, without it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import urllib.request
from collections import Counter
from pathlib import Path

from loadtests.bench.figures import Figure, figure, tell
from loadtests.bench.ground import AUTHORIZE, Ground, ground, salt
from loadtests.bench.libraries import library_of
from loadtests.bench.load import Job
from loadtests.bench.messages import authorize_bodies
from loadtests.bench.parts import ROOT, BenchFailed, put_load
from loadtests.bench.stages import shares

REPORTS = ROOT / "loadtests" / "reports"
_MAIN = "MainThread"
_SAMPLES_PER_S = 250
_POLLER = "_poll_wrapper"


def _py_spy(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("py-spy")
    if not program.exists():
        raise BenchFailed("py-spy is not installed; run `make bench-setup`")
    return subprocess.run([str(program), *arguments], capture_output=True, text=True, check=False)


def thread_names(pid: int) -> dict[int, str]:
    """The names of a process's Python threads by their kernel's ids."""
    dumped = _py_spy("dump", "--json", "--pid", str(pid))
    if dumped.returncode:
        raise BenchFailed(f"py-spy cannot look into the server: {dumped.stderr.strip()}")
    return {one["os_thread_id"]: one["thread_name"] for one in json.loads(dumped.stdout)}


def thread_cpu_us(pid: int) -> dict[int, float]:
    """CPU time of each thread of a process, in microseconds."""
    found = {}
    for entry in Path(f"/proc/{pid}/task").iterdir():
        found[int(entry.name)] = int((entry / "schedstat").read_text().split()[0]) / 1e3
    return found


def by_thread(one: Ground, job: Job) -> tuple[dict[str, float], float]:
    """Microseconds of CPU per call by thread, and calls a second."""
    pid = one.server.pid
    names = thread_names(pid)
    before = thread_cpu_us(pid)
    seen = put_load(job, one.load_cores)
    used: dict[str, float] = {}
    for thread, now_us in thread_cpu_us(pid).items():
        name = names.get(thread, "native threads (gRPC, libuv)")
        name = "gRPC poller" if _POLLER in name else name
        used[name] = used.get(name, 0.0) + (now_us - before.get(thread, 0.0)) / seen.sent
    return used, seen.per_s


def sample(one: Ground, job: Job, to: Path, form: str) -> None:
    """Samples the server while a load runs."""
    program = Path(sys.executable).with_name("py-spy")
    recording = subprocess.Popen(
        [
            *(str(program), "record", "--pid", str(one.server.pid), "--threads", "--gil"),
            *("--rate", str(_SAMPLES_PER_S), "--duration", str(max(1, int(job.seconds) - 1))),
            *("--format", form, "--output", str(to)),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    put_load(job, one.load_cores)
    _, said = recording.communicate()
    if recording.returncode:
        raise BenchFailed(f"py-spy failed: {said.decode()[-500:]}")


def profile(in_flight: int, seconds: float, *, with_token: bool) -> list[Figure]:
    """Measures; writes the flame graph and the stacks into loadtests/reports/."""
    REPORTS.mkdir(exist_ok=True)
    name = "token" if with_token else "raw"
    found: list[Figure] = []
    times = REPORTS / f"store_times_{name}.json"
    with ground() as one:
        one.start_instant()
        token = one.payment().payment_method.token_id if with_token else ""

        def job(some_s: float) -> Job:
            made = one.job(AUTHORIZE, authorize_bodies(token=token))
            made.in_flight, made.seconds = in_flight, some_s
            made.connections = min(4, in_flight)
            made.watch_pids = [one.server.pid]
            made.salt = salt()
            return made

        put_load(job(2.0), one.load_cores)
        threads, per_s = by_thread(one, job(seconds))
        stacks = REPORTS / f"stacks_{name}.txt"
        sample(one, job(seconds), stacks, "raw")
        sample(one, job(seconds / 2), REPORTS / f"flame_{name}.svg", "flamegraph")
        stages = shares(stacks.read_text("utf-8").splitlines(), _MAIN)
        libraries = by_library(one, job(seconds / 2))
        commits = commits_per_call(one, job(seconds / 3))
    total = sum(threads.values())
    how = f"{in_flight} in flight, {per_s:.0f}/s"
    found.append(figure(f"{name}_cpu_us", total, "us", f"all threads; {how}"))
    for thread, used in sorted(threads.items(), key=lambda pair: -pair[1]):
        if used >= 0.05:
            found.append(figure(f"thread: {thread}", used, "us", f"{used / total:.0%} of all"))
    for stage, share in stages.items():
        used = share * threads[_MAIN]
        found.append(figure(f"stage: {stage}", used, "us", f"{share:.1%} of {_MAIN}"))
    for library, share in libraries.items():
        if share >= 0.005:
            found.append(figure(f"library: {library}", share * total, "us", f"{share:.1%} of all"))
    for store, count in commits.items():
        found.append(figure(f"commits: {store}", count, "per call", "group commit's own figure"))
    return found + store_times(in_flight, times)


def by_library(one: Ground, job: Job) -> dict[str, float]:
    """Shares of all CPU time by library and thread kind; empty where there is no perf."""
    if shutil.which("perf") is None:
        print("no perf here: the table by library is left out", file=sys.stderr)
        return {}
    names = thread_names(one.server.pid)
    data = one.room / "perf.data"
    recording = subprocess.Popen(
        [
            *("perf", "record", "-e", "cpu-clock", "-F", "999", "-p", str(one.server.pid)),
            *("-o", str(data), "--", "sleep", str(max(1, int(job.seconds) - 1))),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    put_load(job, one.load_cores)
    if recording.wait():
        print("perf may not look here: the table by library is left out", file=sys.stderr)
        return {}
    said = subprocess.run(
        ["perf", "script", "-i", str(data), "-F", "tid,ip,dso"],
        capture_output=True,
        text=True,
        check=True,
    )
    counts: Counter[str] = Counter()
    for line in said.stdout.splitlines():
        thread, _, where = line.split(maxsplit=2)
        name = names.get(int(thread), "native")
        side = "loop" if name == _MAIN else "writers" if "writer" in name else "others"
        counts[f"{side}, {library_of(where)}"] += 1
    total = sum(counts.values())
    return {name: count / total for name, count in counts.most_common()}


def commits_per_call(one: Ground, job: Job) -> dict[str, float]:
    """How many commits each database made for each call: 2 and 1 where nothing is shared."""
    before = _commits(one)
    seen = put_load(job, one.load_cores)
    return {
        store: (count - before.get(store, 0.0)) / seen.sent
        for store, count in _commits(one).items()
    }


def _commits(one: Ground) -> dict[str, float]:
    url = f"http://127.0.0.1:{one.settings.operations.port}/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    found = {}
    for line in lines:
        if line.startswith("turnout_commits_total{"):
            label, _, value = line.rpartition(" ")
            found[label.split('"')[1]] = float(value)
    return found


def store_times(in_flight: int, times: Path) -> list[Figure]:
    """What the store costs on the event loop, by the clock and by CPU."""
    with ground() as one:
        one.start_instant(times=str(times))
        job = one.job(AUTHORIZE, authorize_bodies())
        job.in_flight, job.connections = in_flight, min(4, in_flight)
        put_load(job, one.load_cores)
    found = []
    for label, told in json.loads(times.read_text("utf-8")).items():
        how = f"wall; of it CPU {told['cpu_us']:.1f} us; longest {told['longest_ms']:.1f} ms"
        found.append(figure(f"on the loop: {label}", told["wall_us"], "us", how))
    return found


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="loadtests.bench.profile", description=__doc__)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--token", action="store_true")
    given = parser.parse_args()
    tell(profile(given.in_flight, given.seconds, with_token=given.token))


if __name__ == "__main__":
    main()
