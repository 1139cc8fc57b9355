"""`turnout up`: one supervisor with the parts as child processes.

It starts them, says when all is ready and what to try first, and ends them in order. A part that
dies takes the others with it: what runs is whole or it does not run, and whoever watches the
supervisor knows.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from turnout.cli.first_payment import welcome
from turnout.cli.stack import NotReady, PartDied, Stack
from turnout.config import Settings

_COLOURS = {"serve": "\x1b[36m", "edge": "\x1b[35m", "sandbox": "\x1b[34m"}
_PLAIN = "\x1b[0m"


def run_up(settings: Settings, made: tuple[Path, ...] = ()) -> int:
    """Runs everything until ctrl-C, SIGTERM, or the death of a part; gives the exit status."""
    for path in made:
        print(f"made {path}", flush=True)
    return asyncio.run(_up(settings))


def print_line(name: str, line: str) -> None:
    """One line of a part: marked on a terminal, as it is elsewhere."""
    if sys.stderr.isatty():
        print(f"{_COLOURS[name]}{name:<8}{_PLAIN}| {line}", file=sys.stderr, flush=True)
    else:
        print(line, file=sys.stderr, flush=True)


def child_environment(settings: Settings) -> Mapping[str, str]:
    """The parts' environment: ours, and text logs where a person looks on."""
    environ = dict(os.environ)
    if settings.log.format == "auto" and sys.stderr.isatty():
        environ["TURNOUT_LOG__FORMAT"] = "text"
    return environ


async def _up(settings: Settings) -> int:
    began = time.monotonic()
    stack = Stack(settings, child_environment(settings), print_line)
    if stack.missing:
        print(f"turnout: {stack.missing}", file=sys.stderr, flush=True)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: stack.children["serve"].signal(signal.SIGHUP))
    running = asyncio.create_task(_run(stack, began))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    status = 0
    if running.done() and (error := running.exception()) is not None:
        if not isinstance(error, PartDied | NotReady):
            raise error
        print(f"turnout: {error}", file=sys.stderr, flush=True)
        status = 1
    else:
        running.cancel()
        print("\nturnout: draining and stopping", file=sys.stderr, flush=True)
    await asyncio.gather(running, stopping, return_exceptions=True)
    for name in await stack.stop():
        print(f"turnout: {name} did not end in time and was killed", file=sys.stderr, flush=True)
        status = 1
    return status


async def _run(stack: Stack, began: float) -> None:
    await stack.start()
    print(welcome(stack, time.monotonic() - began), flush=True)
    await stack.watch()
