"""`turnout serve`: the process that takes payments, from its first breath to its last.

Ready means: the record is open and locked, what was in flight when the process before died is
fenced (of very much, the rest soon after), and the listener is bound. Providers are not asked.
Going down means: say so, take nothing new, let what is under way be settled, save what was learnt,
and close the record last.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from turnout.app.ends import Ends
from turnout.app.guard import Guard, sample_lag
from turnout.app.house import House, open_house
from turnout.app.limits import freeze_garbage, pace_garbage, share_fairly
from turnout.app.process import run_process
from turnout.app.reload import reload_config, renew_certificates
from turnout.app.watch import CountedWebhooks, Watch
from turnout.config import Settings
from turnout.orchestration.routes import STATE_BLOB
from turnout.ports import Connector, StoreUnavailable
from turnout.routing import RoutingError
from turnout.server.server import GrpcServer, build_server
from turnout.telemetry import get_logger

log = get_logger("turnout.app")

# A worker that fails is a defect; it is told, and begins again after this, because payments
# that wait for it are worse.
_WORKER_PAUSE_S = 1.0
_GARBAGE_PACE_S = 0.25
# Operations of a dead process that are fenced before the door opens: more than one process can
# have had in flight (`admission.in_flight_max`), in a quarter of a second. Only where several
# deaths have left more than that does the rest follow while others are served.
_FENCED_BEFORE_READY = 20_000


def run_serve(settings: Settings, connectors: Mapping[str, Connector] | None = None) -> None:
    """Serves until it is told to stop.

    Args:
        settings: the configuration.
        connectors: see `open_house`.

    Raises:
        As `run_process`.
    """
    share_fairly()
    run_process(settings, lambda logs: serve(settings, Watch(logs), connectors=connectors))


async def serve(
    settings: Settings,
    watch: Watch,
    ends: Ends | None = None,
    *,
    connectors: Mapping[str, Connector] | None = None,
) -> None:
    """Opens everything, serves until `ends.stop`, and closes everything.

    Args:
        settings: the configuration.
        watch: metrics and probes.
        ends: what stops and reloads; the process's signals where there is none.
        connectors: see `open_house`.

    Raises:
        ConfigError, BinFileError: the configuration cannot be used.
        RecordInUse, CannotOpen, VaultLocked, StoreUnavailable: the files cannot be used.
        OSError: an address cannot be bound.
    """
    if ends is None:
        ends = Ends()
        ends.listen()
    for warning in settings.warnings:
        log.warning("config.warning", problem=warning)
    house = await open_house(settings, watch.payments, connectors=connectors)
    try:
        await _serve(house, watch, ends)
    finally:
        await house.close()
        log.info("serve.ended")


async def _serve(house: House, watch: Watch, ends: Ends) -> None:
    settings = house.settings
    await _warm_up(house)
    services = replace(house.services, webhooks=CountedWebhooks(house.webhooks, watch))
    server = build_server(
        settings.server, services, house.keys, house.clock, house.random, watch.calls
    )
    async with contextlib.AsyncExitStack() as stack:
        await watch.open(house, server)
        stack.push_async_callback(watch.close)
        fenced = await house.recovery.fence(_FENCED_BEFORE_READY)
        watch.metrics.recovery.fenced.inc(fenced)
        stack.push_async_callback(_save_state, house)
        await server.start()
        workers = _start_workers(house, server, ends, watch)
        stack.push_async_callback(_end, workers)
        await server.set_ready(True)
        watch.readiness.started()
        freeze_garbage()
        log.info(
            "serve.ready",
            pid=os.getpid(),
            grpc=f"{settings.server.host}:{server.port}",
            operations=f"{settings.operations.host}:{watch.port}",
            config_version=house.directory.config_version,
            accounts=len(settings.accounts),
            in_flight_when_it_died=fenced,
            and_more=fenced == _FENCED_BEFORE_READY,
        )
        await ends.stop.wait()
        await _drain(house, server, watch)


async def _drain(house: House, server: GrpcServer, watch: Watch) -> None:
    """Takes nothing new and lets what is under way be settled, within the time that is set."""
    watch.readiness.hold("draining", "the process is going down")
    limit_s = house.settings.server.drain_timeout_ms / 1_000
    log.info("serve.draining", in_flight=house.claims.in_flight, at_most_s=limit_s)
    loop = asyncio.get_running_loop()
    until = loop.time() + limit_s
    await server.drain()
    # Answered calls may still be at work: a payment goes on when its caller has gone.
    left = await house.claims.drain(max(until - loop.time(), 0.1))
    if left:
        log.warning(
            "serve.left_in_flight",
            payments=left,
            then="the record knows them, and the next start resolves them",
        )


def _start_workers(
    house: House, server: GrpcServer, ends: Ends, watch: Watch
) -> list[asyncio.Task[None]]:
    guard = guard_of(house, watch)
    works: dict[str, Callable[[], Awaitable[None]]] = {
        "fence": lambda: _fence_rest(house, watch),
        "recovery": house.recovery.work,
        "sweep": house.recovery.sweep,
        "webhooks": house.webhooks.work,
        "routing_state": lambda: _keep_state(house),
        "reload": lambda: _reload_when_told(house, server, ends),
        "guard": guard.work,
        "lag": lambda: sample_lag(house.admission, watch.metrics),
        "garbage": lambda: _pace_garbage(house),
    }
    return [
        asyncio.create_task(_keep_going(name, work), name=f"turnout-{name}")
        for name, work in works.items()
    ]


def guard_of(house: House, watch: Watch) -> Guard:
    """Watches this house's files."""
    settings = house.settings
    return Guard(
        house.store,
        house.vault_store,
        {"record": settings.store.path, "vault": settings.vault.path},
        settings.store.min_free_mib,
        house.admission,
        watch.readiness,
        watch.metrics,
    )


async def _keep_going(name: str, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await work()
        except Exception:
            log.exception("worker.failed", worker=name)
        await asyncio.sleep(_WORKER_PAUSE_S)


async def _fence_rest(house: House, watch: Watch) -> None:
    """Fences what the start has left, and then has nothing more to do."""
    begun = asyncio.get_running_loop().time()
    await house.recovery.fence_rest()
    log.debug("serve.fenced", took_s=asyncio.get_running_loop().time() - begun)
    await asyncio.Event().wait()


async def _pace_garbage(house: House) -> None:
    while True:
        pace_garbage(house.claims.in_flight)
        await asyncio.sleep(_GARBAGE_PACE_S)


async def _end(workers: list[asyncio.Task[None]]) -> None:
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)


async def _reload_when_told(house: House, server: GrpcServer, ends: Ends) -> None:
    while True:
        await ends.reload.wait()
        ends.reload.clear()
        await reload_config(house)
        if server.certificates is not None:
            renew_certificates(server.certificates)


async def _warm_up(house: House) -> None:
    """Gives the router what the process before had learnt, so that a restart is no cold start."""
    saved = await house.store.load_blob(STATE_BLOB)
    if saved is None:
        return
    try:
        house.engine.restore(saved, now_ns=house.clock.now_ns())
    except RoutingError as error:
        # Only estimates are lost, and they are learnt again; no start would be worse.
        log.warning("routing.state_not_restored", error=str(error))


async def _keep_state(house: House) -> None:
    while True:
        await asyncio.sleep(house.settings.routing.save_interval_s)
        await _save_state(house)


async def _save_state(house: House) -> None:
    try:
        await house.store.save_blob(STATE_BLOB, house.engine.save())
    except StoreUnavailable as error:
        log.warning("routing.state_not_saved", error=str(error))
