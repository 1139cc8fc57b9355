"""The operations port: figures for Prometheus and for people, probes that tell ready from alive.

Alive means that the event loop answers: a process that is not gets killed. Ready means that
payments can be taken: a process that is not only gets no new ones. A dead provider makes neither
false, because killing or starving Turnout would not bring the provider back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from turnout.telemetry.metrics import Metrics
from turnout.telemetry.traffic import WINDOW_S

Refresh = Callable[[], Awaitable[None]]
Accounts = Callable[[], list[dict[str, object]]]

_STARTING: Final = "starting"


class Readiness:
    """Why this process takes no payments, by name; ready when there is no reason left."""

    __slots__ = ("_reasons",)

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {_STARTING: "the start is not finished"}

    def started(self) -> None:
        """The start is finished."""
        self.clear(_STARTING)

    def hold(self, name: str, reason: str) -> None:
        """Not ready, for this reason, until it is cleared."""
        self._reasons[name] = reason

    def clear(self, name: str) -> None:
        """This reason is gone."""
        self._reasons.pop(name, None)

    @property
    def ready(self) -> bool:
        """Whether payments can be taken."""
        return not self._reasons

    @property
    def reasons(self) -> dict[str, str]:
        """Why not, by name."""
        return dict(self._reasons)


class OperationsServer:
    """A small HTTP server: /metrics, /accounts, /livez, /readyz and nothing else."""

    def __init__(
        self,
        metrics: Metrics,
        readiness: Readiness,
        refresh: Sequence[Refresh] = (),
        accounts: Accounts = list,
    ) -> None:
        """Prepares it.

        Args:
            metrics: the figures to show.
            readiness: what /readyz tells.
            refresh: asked before the figures are shown, to set those that nobody counts.
            accounts: the accounts of this moment, each as plain data for JSON.
        """
        self._metrics = metrics
        self._readiness = readiness
        self._refresh = tuple(refresh)
        self._accounts = accounts
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Listens; `port` is then the real one.

        Raises:
            OSError: the address cannot be listened on.
        """
        app = web.Application(client_max_size=1_024)
        app.router.add_get("/metrics", self._show_metrics)
        app.router.add_get("/accounts", self._show_accounts)
        app.router.add_get("/livez", self._live)
        app.router.add_get("/readyz", self._ready)
        runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await runner.setup()
        self._runner = runner
        try:
            site = web.TCPSite(runner, host, port)
            await site.start()
        except OSError:
            await self.stop()
            raise
        self.port = runner.addresses[0][1]

    async def stop(self) -> None:
        """Stops listening."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _show_metrics(self, request: web.Request) -> web.Response:
        for refresh in self._refresh:
            await refresh()
        return web.Response(
            body=self._metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    async def _show_accounts(self, request: web.Request) -> web.Response:
        return web.json_response({"window_s": WINDOW_S, "accounts": self._accounts()})

    async def _live(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def _ready(self, request: web.Request) -> web.Response:
        if self._readiness.ready:
            return web.json_response({"status": "ready"})
        return web.json_response(
            {"status": "not_ready", "reasons": self._readiness.reasons}, status=503
        )
