"""How soon Turnout serves again after `kill -9` with 100,000 payments in flight.

    python loadtests/bench_recovery.py                       a table
    JSON=1 python loadtests/bench_recovery.py                and a JSON line for each figure
    python loadtests/bench_recovery.py --payments 1000000 --runs 5

A child commits that many authorizations as the hot path does before it sends, and goes on until it
is killed. Then `turnout serve` is started on copies of what the dead process left, log and all.
Ready is when its health says SERVING: the record is open and checked, the dead process' operations
are fenced or about to be, and the door is open. The providers are dead, so every one stays to be
asked.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

# Run as a file, like the other single benches.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from loadtests.bench.figures import figure, tell
from loadtests.bench_store import _begin
from turnout.app.house import open_house
from turnout.cli.playground import write_playground
from turnout.config import Settings, load
from turnout.orchestration.observer import Observer
from turnout.stores.sqlite import SqliteStore

_GOAL = "< 2"
_READY_LIMIT_S = 60.0
_IN_FLIGHT = 256
_ACCOUNTS = ("acc_stripe_main", "acc_adyen_main", "acc_stripe_second", "acc_adyen_second")


async def fill(path: Path, count: int) -> None:
    """Commits authorizations that are about to be sent; says so at `count`, and goes on."""
    store = SqliteStore(path)
    number = 0
    while True:
        units = [_begin(number + one) for one in range(_IN_FLIGHT)]
        for unit in units:
            for operation in unit.operations:
                operation.account_id = _ACCOUNTS[number % len(_ACCOUNTS)]
                operation.check_at_ns = 0
        await asyncio.gather(*map(store.commit, units))
        number += _IN_FLIGHT
        if number - _IN_FLIGHT < count <= number:
            os.write(1, b"filled\n")


def leave_behind(settings: Settings, count: int) -> None:
    """What a process leaves that is killed with `count` payments in flight."""
    # Once in order, so that the vault has its keys and the record its configuration.
    asyncio.run(_open_once(settings))
    command = [sys.executable, __file__, "--fill", str(settings.store.path)]
    child = subprocess.Popen([*command, "--payments", str(count)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    if child.stdout.readline() != b"filled\n":
        raise SystemExit("the child ended before it had filled the record")
    child.send_signal(signal.SIGKILL)
    child.wait()


async def _open_once(settings: Settings) -> None:
    house = await open_house(settings, Observer())
    await house.close()


@dataclass(frozen=True, slots=True)
class Start:
    """What a start took until it was ready: on the wall, and of CPU."""

    wall_s: float
    cpu_s: float


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def ready(room: Path, settings: Settings) -> Start:
    """Starts `turnout serve` and waits until it says that it is serving."""
    log = (room / "serve.log").open("wb")
    began = time.perf_counter()
    process = subprocess.Popen(  # noqa: ASYNC220 (nothing else runs in this loop)
        [sys.executable, "-m", "turnout", "serve", "--config", str(room / "turnout.toml")],
        stdout=log,
        stderr=log,
    )
    address = f"127.0.0.1:{settings.server.port}"
    try:
        while True:
            if process.poll() is not None or time.perf_counter() - began > _READY_LIMIT_S:
                raise SystemExit((room / "serve.log").read_text()[-4_000:])
            # A channel of its own each time: one that failed waits before it tries again.
            async with grpc.aio.insecure_channel(address) as channel:
                stub = health_pb2_grpc.HealthStub(channel)
                try:
                    answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=1.0)
                except grpc.aio.AioRpcError:
                    await asyncio.sleep(0.01)
                    continue
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    took = time.perf_counter() - began
                    return Start(took, cpu_s(process.pid))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
        log.close()


def main() -> int:
    """Measures and tells."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--payments", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--fill", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.fill is not None:
        asyncio.run(fill(given.fill, given.payments))
    with tempfile.TemporaryDirectory(prefix="turnout-bench-") as name:
        first = Path(name) / "first"
        settings = write_playground(first)
        empty = [asyncio.run(_measure(Path(name), first, f"empty-{run}"))
                 for run in range(given.runs)]  # fmt: skip
        leave_behind(settings, given.payments)
        size_mib = settings.store.path.stat().st_size / (1 << 20)
        full = [asyncio.run(_measure(Path(name), first, f"full-{run}"))
                for run in range(given.runs)]  # fmt: skip
    how = f"from exec to SERVING, median of {given.runs}; {os.cpu_count()} cores, load {_load()}"
    wall = statistics.median(one.wall_s for one in full)
    less = statistics.median(one.wall_s for one in empty)
    cpu_s_full = statistics.median(one.cpu_s for one in full)
    tell(
        [
            figure("start_empty_s", less, "s", f"nothing to recover; {how}"),
            figure(
                "recovery_ready_s",
                wall,
                "s",
                f"{given.payments} payments in flight at kill -9, record of {size_mib:.0f} MiB; "
                f"{how}",
                _GOAL,
            ),
            figure("recovery_added_s", wall - less, "s", "what the payments in flight added"),
            figure(
                "recovery_ready_cpu_s",
                cpu_s_full,
                "s",
                "CPU of the same starts, which others on the machine disturb less",
            ),
            figure(
                "recovery_added_cpu_s",
                cpu_s_full - statistics.median(one.cpu_s for one in empty),
                "s",
                "what the payments in flight added to that",
            ),
        ]
    )
    return 0


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f}"


async def _measure(room: Path, source: Path, name: str) -> Start:
    copy = room / name
    shutil.copytree(source, copy)
    took = await ready(copy, load(copy / "turnout.toml", {}))
    shutil.rmtree(copy)
    return took


if __name__ == "__main__":
    sys.exit(main())
