"""One life of the process: the whole object graph, wired as the composition root wires it.

A crash throws the graph away. Its tasks are cancelled, but nothing they do on their way out can
reach the disk or the network any more: every door checks first that the process still lives.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from tests.sim.loop import PROCESS, ROLE
from tests.sim.medium import SimStore, SimVaultStore
from tests.sim.network import SimTransport
from turnout.connectors.registry import build_connectors
from turnout.orchestration.attempts import Cascade
from turnout.orchestration.budgets import RetryBudgets
from turnout.orchestration.directory import Directory
from turnout.orchestration.follow_ups import FollowUps
from turnout.orchestration.idempotency import Claims
from turnout.orchestration.mint import Mint
from turnout.orchestration.parts import Parts
from turnout.orchestration.payments import Payments
from turnout.orchestration.recovery import Recovery
from turnout.orchestration.refunds import Refunds
from turnout.orchestration.routes import STATE_BLOB
from turnout.orchestration.schedule import Schedule
from turnout.orchestration.settle import Settler
from turnout.orchestration.tokens import Tokens
from turnout.orchestration.webhooks import Webhooks
from turnout.ports import StoreUnavailable
from turnout.routing import CompiledConfig, RoutingEngine, RoutingError
from turnout.server.encode import ProtoEncoder
from turnout.vault import CardVault, sandbox_bins

if TYPE_CHECKING:
    from tests.sim.world import World

_BINS = sandbox_bins()


class Process:
    """A process, from its start to its death."""

    payments: Payments
    refunds: Refunds
    tokens: Tokens
    webhooks: Webhooks
    recovery: Recovery
    engine: RoutingEngine
    directory: Directory
    claims: Claims

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.number = number
        self.alive = True
        self.ready = False
        # Asked at every point, and of most points no world knows.
        self._crashes = world.plan.crashes
        self._contexts: dict[str, contextvars.Context] = {}
        self.store = SimStore(world.disk, self)

    # --- dying ---------------------------------------------------------------------------

    def check(self) -> None:
        """Ends the caller where its process is dead."""
        if not self.alive:
            raise asyncio.CancelledError

    def would_die(self, point: str) -> bool:
        """Whether the seed kills the process here; the caller sees to it."""
        return point in self._crashes and self.alive and self.world.plan.dies(point)

    def dies(self, point: str) -> bool:
        """Kills the process where the seed says so."""
        if point not in self._crashes or not self.would_die(point):
            return False
        self.crash(point)
        return True

    def point(self, point: str) -> None:
        """A crash point in the process's own code: the caller does not come back."""
        if point in self._crashes and self.dies(point):
            raise asyncio.CancelledError

    def crash(self, why: str) -> None:
        """The end: nothing of this process happens any more."""
        if not self.alive:
            return
        self.alive = self.ready = False
        self.world.loop.go_on()
        self.world.note("CRASH", why)
        self.world.loop.cancel_tasks_of(self)
        self.world.process_died()

    def spawn(self, role: str, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Runs something inside this process."""
        known = self._contexts.get(role)
        if known is None:
            known = self._contexts[role] = contextvars.Context()
            known.run(PROCESS.set, self)
            known.run(ROLE.set, role)
        return self.world.loop.create_task(coroutine, context=known.copy())

    # --- living --------------------------------------------------------------------------

    async def start(self) -> None:
        """Opens everything, fences what was in flight, and begins to work."""
        world = self.world
        clock, random = world.clock, world.mint_random
        vault = await CardVault.open(
            SimVaultStore(world.disk, self), world.master_key_path, clock, random, _BINS
        )
        budgets = None if world.retries is None else RetryBudgets(clock, world.retries)
        connectors = build_connectors(SimTransport(world, self), clock, budgets)
        self.directory = Directory(connectors=connectors)
        config = world.config
        self.directory.swap(config.merchants, config.profiles, config.accounts, config.version)
        self.engine = RoutingEngine(config.routing())
        await self._restore()
        schedule = Schedule(world.recovery_settings, self.directory, random)
        encoder = ProtoEncoder()
        parts = Parts(
            self.store,
            vault,
            self.directory,
            self.engine,
            Mint(clock, random),
            encoder,
            schedule,
            Settler(schedule),
            budgets=budgets,
        )
        self.claims = Claims(self.store, clock, encoder, vault.fingerprint)
        follow_ups = FollowUps(parts)
        self.webhooks = Webhooks(parts)
        self.payments = Payments(parts, self.claims, Cascade(parts), follow_ups)
        self.refunds = Refunds(parts, self.claims, follow_ups)
        self.tokens = Tokens(parts, self.claims)
        self.recovery = Recovery(parts, follow_ups)
        while True:
            try:
                await self.recovery.fence()
                break
            except StoreUnavailable:
                await asyncio.sleep(0.5)
        world.watch.started(world.disk.record)
        self.ready = True
        world.note("ready", self.number)
        for role, work in (
            ("recovery", self.recovery.work()),
            ("recovery", self.recovery.sweep()),
            ("webhook", self.webhooks.work()),
            ("save", self._save_health()),
        ):
            self.spawn(role, work)  # type: ignore[unused-awaitable]  # it ends with the process

    async def _restore(self) -> None:
        try:
            saved = await self.store.load_blob(STATE_BLOB)
        except StoreUnavailable:
            return
        if saved is not None:
            self.engine.restore(saved, now_ns=self.world.clock.now_ns())

    async def _save_health(self) -> None:
        while True:
            # Once all is well nothing depends on it, and it need not keep the world awake.
            await asyncio.sleep(600.0 if self.world.plan.healed else 10.0)
            try:
                await self.store.save_blob(STATE_BLOB, self.engine.save())
            except StoreUnavailable:
                continue

    def push_config(self, bad: bool, gone: str = "") -> None:
        """Another configuration in mid-flight; a bad one is refused whole, the old one stays."""
        world = self.world
        self.point("config.before")
        config = world.next_config(bad, gone)
        try:
            compiled = CompiledConfig(config.routing())
        except (RoutingError, KeyError):
            world.note("config refused")
            return
        if bad:
            world.watch.fault("config", "a bad configuration was accepted")
        self.engine.install(compiled)
        self.directory.swap(config.merchants, config.profiles, config.accounts, config.version)
        world.config = config
        self.point("config.after")
