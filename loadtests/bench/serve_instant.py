"""`turnout serve` with the instant provider: the real house and face, record and vault.

    python -m loadtests.bench.serve_instant CONFIG [PROVIDER_MS [TIMES_FILE]]

With TIMES_FILE the store's calls on the event loop are timed, by the clock and by the thread's
CPU, and written there at the end: where the two differ, the loop was waiting for another thread.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Timed:
    """A function that counts its calls and its time."""

    def __init__(self, act: Callable[..., Any]) -> None:
        self.act = act
        self.calls = 0
        self.wall_ns = 0
        self.cpu_ns = 0
        self.longest_ns = 0

    def method(self) -> Callable[..., Any]:
        """The function to put in its place."""

        def timed(*given: Any, **named: Any) -> Any:
            wall_ns, cpu_ns = time.perf_counter_ns(), time.thread_time_ns()
            try:
                return self.act(*given, **named)
            finally:
                self.cpu_ns += time.thread_time_ns() - cpu_ns
                took_ns = time.perf_counter_ns() - wall_ns
                self.wall_ns += took_ns
                self.longest_ns = max(self.longest_ns, took_ns)
                self.calls += 1

        return timed


def time_the_store(path: str) -> None:
    """Times what the record does on the event loop."""
    from turnout.stores.sqlite import record, units
    from turnout.stores.sqlite.writer import Writer

    timed: dict[str, Timed] = {}
    places: list[tuple[Any, str, str]] = [
        (record.SqliteStore, "_all", "find_taken"),
        (units, "encode", "encode a unit"),
        (Writer, "_put", "submit a unit"),
    ]
    for owner, name, label in places:
        timed[label] = Timed(getattr(owner, name))
        setattr(owner, name, timed[label].method())

    def write() -> None:
        told = {
            label: {
                "calls": one.calls,
                "wall_us": one.wall_ns / 1e3 / max(one.calls, 1),
                "cpu_us": one.cpu_ns / 1e3 / max(one.calls, 1),
                "longest_ms": one.longest_ns / 1e6,
            }
            for label, one in timed.items()
        }
        Path(path).write_text(json.dumps(told), "utf-8")

    atexit.register(write)


def main() -> None:
    """Serves as `turnout serve` does."""
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    from loadtests.bench.instant import instant_connectors
    from turnout.app.serve import run_serve
    from turnout.config import load

    settings = load(Path(sys.argv[1]), os.environ)
    delay_s = float(sys.argv[2]) / 1e3 if len(sys.argv) > 2 else 0.0
    if len(sys.argv) > 3:
        time_the_store(sys.argv[3])
    run_serve(settings, instant_connectors(delay_s))


if __name__ == "__main__":
    main()
