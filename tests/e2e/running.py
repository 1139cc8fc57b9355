"""The command line as an operator runs it: a process of its own, its output, its end."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

LIMIT_S = 60.0


class Command:
    """A running `turnout ...`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self._grown = asyncio.Condition()
        streams = (process.stdout, process.stderr)
        self._readers = [asyncio.create_task(self._read(one)) for one in streams if one]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    async def until(self, holds: Callable[[str], bool]) -> str:
        """The first line for which it holds."""
        async with asyncio.timeout(LIMIT_S), self._grown:
            seen = 0
            while True:
                for line in self.lines[seen:]:
                    if holds(line):
                        return line
                seen = len(self.lines)
                assert self.process.returncode is None, f"it ended:\n{self.text}"
                await self._grown.wait()

    async def ended(self) -> int:
        """Its exit status, once all that it wrote has been read."""
        async with asyncio.timeout(LIMIT_S):
            status = await self.process.wait()
            await asyncio.gather(*self._readers)
        return status

    async def _read(self, stream: asyncio.StreamReader) -> None:
        while raw := await stream.readline():
            async with self._grown:
                self.lines.append(raw.decode("utf-8", "replace").rstrip())
                self._grown.notify_all()
        async with self._grown:
            self._grown.notify_all()


@asynccontextmanager
async def turnout(*arguments: str, cwd: Path, **environ: str) -> AsyncIterator[Command]:
    """Runs `turnout <arguments>`; ends it where the test has not."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "turnout", *arguments),
        cwd=cwd,
        env={**os.environ, **environ},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=1 << 20,
    )
    command = Command(process)
    try:
        yield command
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await command.ended()
        print(command.text[-6_000:])


async def run(*arguments: str, cwd: Path, **environ: str) -> tuple[int, str]:
    """Runs a command to its end: status, and all that it wrote."""
    async with turnout(*arguments, cwd=cwd, **environ) as command:
        status = await command.ended()
        return status, command.text


def exists(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def until_gone(pids: list[int]) -> None:
    """Returns when none of these processes runs any more."""
    async with asyncio.timeout(LIMIT_S):
        while any(exists(pid) for pid in pids):  # noqa: ASYNC110 (other processes)
            await asyncio.sleep(0.05)
