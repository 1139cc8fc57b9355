"""Child processes: started, listened to, waited for, ended in time.

A child's standard input is a pipe from us, and nothing is ever written to it. When we die, however
we die, the kernel closes our end, and the child (`lifeline`) goes down by itself. That works on
every platform and needs no signal to be sent by somebody who is not there any more.

Children live in a session of their own, so that ctrl-C reaches the supervisor alone and the order
of going down is ours.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping

SUPERVISED = "TURNOUT_SUPERVISED"

# What is kept of a child's last words, for the report when it dies.
_LAST_LINES = 20
_LINE_BYTES = 1 << 20

# After the supervisor's death a child drains as on SIGTERM; beyond this it is stuck.
_ORPHAN_S = 60.0

Tell = Callable[[str, str], None]


class Child:
    """One part as a child process."""

    def __init__(self, name: str, tell: Tell) -> None:
        """Prepares a child.

        Args:
            name: the part's command, and its name in the output.
            tell: takes the child's name and each line that it writes.
        """
        self.name = name
        self.last_lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._tell = tell
        self._process: asyncio.subprocess.Process | None = None
        self._readers: list[asyncio.Task[None]] = []

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._running().pid

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self._process is not None and self._process.returncode is not None

    async def start(self, arguments: list[str], environ: Mapping[str, str]) -> None:
        """Starts `turnout <arguments>` in the same interpreter."""
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "turnout", *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**environ, SUPERVISED: "1"},
            limit=_LINE_BYTES,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._readers = [
            asyncio.create_task(self._read(self._process.stdout)),
            asyncio.create_task(self._read(self._process.stderr)),
        ]

    async def wait(self) -> int:
        """Waits until it ends and all that it wrote is read; gives its exit status."""
        status = await self._running().wait()
        await asyncio.gather(*self._readers)
        return status

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal; harmless where it has ended."""
        if not self.ended:
            self._running().send_signal(number)

    async def stop(self, limit_s: float) -> bool:
        """Asks it to end, and ends it where it has not within `limit_s`; says whether it did."""
        if self._process is None:
            return True
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(limit_s):
                await self.wait()
        except TimeoutError:
            self.signal(signal.SIGKILL)
            await self.wait()
            return False
        return True

    def epitaph(self) -> str:
        """How it ended, for people."""
        status = self._running().returncode
        if status is None:
            return f"{self.name} is running"
        if status < 0:
            try:
                name = signal.Signals(-status).name
            except ValueError:
                name = f"signal {-status}"
            how = f"was ended by {name}"
        else:
            how = f"ended with status {status}"
        return f"{self.name} (process {self.pid}) {how}"

    async def _read(self, stream: asyncio.StreamReader) -> None:
        while True:
            try:
                raw = await stream.readuntil(b"\n")
            except asyncio.IncompleteReadError as error:
                raw = error.partial
                if not raw:
                    return
            except asyncio.LimitOverrunError as error:
                raw = await stream.readexactly(error.consumed)
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            self.last_lines.append(line)
            self._tell(self.name, line)

    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._process


def lifeline() -> None:
    """In a child: goes down when the supervisor is gone."""
    if os.environ.get(SUPERVISED) == "1":
        threading.Thread(target=_hold, name="lifeline", daemon=True).start()


def _hold() -> None:
    # Returns when the last writing end is closed, which the supervisor's death does.
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(_ORPHAN_S)
    os._exit(1)
