"""One listening port that can be taken away and given back while the process lives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

# Requests that a fault keeps hanging must not hold up the end of the process.
_SHUTDOWN_S = 0.2

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Listener:
    """Serves a handler on a port that stays the same across closing and reopening."""

    def __init__(self, handler: Handler, host: str, port: int) -> None:
        self._handler = handler
        self._host = host
        self._port = port
        self._runner: web.ServerRunner | None = None

    @property
    def port(self) -> int:
        """The port; known once started where it was given as 0."""
        return self._port

    @property
    def url(self) -> str:
        """The address, without a slash at its end."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the port is taken.
        """
        runner = web.ServerRunner(
            web.Server(self._handler, access_log=None), shutdown_timeout=_SHUTDOWN_S
        )
        await runner.setup()
        site = web.TCPSite(runner, self._host, self._port, reuse_address=True, backlog=1024)
        try:
            await site.start()
        except OSError:
            await runner.cleanup()
            raise
        self._port = int(runner.addresses[0][1])
        self._runner = runner

    async def close(self) -> None:
        """Refuse connections, and drop those that are open."""
        if self._runner is None:
            return
        runner, self._runner = self._runner, None
        await runner.cleanup()

    async def reopen(self) -> None:
        """Listen again on the same port, if closed."""
        if self._runner is None:
            await self.start()

    async def stop(self) -> None:
        """Close for good."""
        await self.close()
