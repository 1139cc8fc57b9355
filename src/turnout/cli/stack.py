"""The parts as one: server, sandbox and edge, started together, watched, ended in order."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

from turnout.app.places import edge_settings, in_url, reachable
from turnout.cli.children import Child, Tell
from turnout.config import Settings
from turnout.edge.run import EdgeFailed, find_envoy

_POLL_S = 0.03
_ANSWER_S = 2.0
# A cold start on a busy machine takes 2 s; a start that takes this long will not get there.
START_LIMIT_S = 60.0
# Beyond its own drain time a part gets this long to close its files.
_CLOSE_S = 10.0


class PartDied(Exception):
    """A part ended and nobody had asked it to; the message says which, how, and its last words."""


class NotReady(Exception):
    """A part runs and does not get ready; the message says which."""


class Stack:
    """All parts of one configuration.

    Attributes:
        children: by name, in the order in which they go down.
        missing: why there is no edge; empty where there is one.
    """

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        tell: Tell,
        *,
        with_sandbox: bool | None = None,
    ) -> None:
        self.settings = settings
        self.missing = ""
        self._environ = environ
        self._tell = tell
        names = ["edge", "serve"]
        if settings.sandbox.enabled if with_sandbox is None else with_sandbox:
            names.append("sandbox")
        try:
            find_envoy(edge_settings(settings))
        except EdgeFailed as error:
            self.missing = str(error)
            names.remove("edge")
        self.children = {name: Child(name, tell) for name in names}

    async def start(self) -> None:
        """Starts all parts and returns when all are ready.

        Raises:
            PartDied: one ended.
            NotReady: one did not get ready in time.
        """
        for child in self.children.values():
            await self._start(child)
        await self.until_ready()

    async def until_ready(self) -> None:
        """Waits until every part answers as it should.

        Raises:
            PartDied: one ended.
            NotReady: one did not get ready in time.
        """
        waiting = asyncio.create_task(self._all_ready())
        watching = asyncio.create_task(self.watch())
        try:
            async with asyncio.timeout(START_LIMIT_S):
                await asyncio.wait((waiting, watching), return_when=asyncio.FIRST_COMPLETED)
                if watching.done():
                    watching.result()
                await waiting
        except TimeoutError:
            names = ", ".join(self.children)
            raise NotReady(
                f"{names}: not ready within {START_LIMIT_S:.0f} s; what they wrote stands above"
            ) from None
        finally:
            for task in (waiting, watching):
                task.cancel()
            await asyncio.gather(waiting, watching, return_exceptions=True)

    async def watch(self) -> None:
        """Returns never while all parts run.

        Raises:
            PartDied: one ended.
        """
        waits = {asyncio.create_task(one.wait()): one for one in self.children.values()}
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            raise PartDied(_obituary(waits[next(iter(done))]))
        finally:
            for task in waits:
                task.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def restart(self, name: str) -> None:
        """Starts a part anew that has ended, and waits until all are ready."""
        self.children[name] = Child(name, self._tell)
        await self._start(self.children[name])
        await self.until_ready()

    async def stop(self) -> list[str]:
        """Ends all parts, the edge first; names those that had to be ended by force."""
        settings = self.settings
        limits_s = {
            "edge": settings.edge.drain_timeout_ms / 1_000 + _CLOSE_S,
            # The calls, then the payments whose callers have gone.
            "serve": 2 * settings.server.drain_timeout_ms / 1_000 + _CLOSE_S,
            "sandbox": _CLOSE_S,
        }
        forced = []
        for name, child in self.children.items():
            if not await child.stop(limits_s[name]):
                forced.append(name)
        return forced

    async def _start(self, child: Child) -> None:
        arguments = [child.name, "--config", str(self.settings.path)]
        await child.start(arguments, self._environ)

    async def _all_ready(self) -> None:
        settings = self.settings
        operations, edge, sandbox = settings.operations, settings.edge, settings.sandbox
        probes = {
            "serve": (reachable(operations.host), operations.port, "/readyz"),
            # Envoy's answer comes from what it last heard of the server.
            "edge": (reachable(edge.host), edge.port, "/readyz"),
            "sandbox": ("127.0.0.1", sandbox.control_port, "/_control/health"),
        }
        for name in ("sandbox", "serve", "edge"):
            if name in self.children:
                if name == "edge" and edge.tls_certificate_path is not None:
                    await _until_listening(reachable(edge.host), edge.port)
                else:
                    await _until_ok(*probes[name])


def _obituary(child: Child) -> str:
    words = "\n".join(f"    {line}" for line in child.last_lines)
    return f"{child.epitaph()}; its last lines:\n{words or '    (it wrote nothing)'}"


async def _until_ok(host: str, port: int, path: str) -> None:
    while await status_of(host, port, path) != 200:  # noqa: ASYNC110 (another process)
        await asyncio.sleep(_POLL_S)


async def _until_listening(host: str, port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            await asyncio.sleep(_POLL_S)
            continue
        writer.close()
        return


async def status_of(host: str, port: int, path: str) -> int:
    """The status of one GET; 0 where there is no answer yet."""
    try:
        async with asyncio.timeout(_ANSWER_S):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                request = (
                    f"GET {path} HTTP/1.1\r\nHost: {in_url(host)}\r\nConnection: close\r\n\r\n"
                )
                writer.write(request.encode())
                line = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return 0
    parts = line.split()
    with contextlib.suppress(ValueError):
        return int(parts[1]) if len(parts) > 1 else 0
    return 0
