"""The disk: what is durable survives a crash, and a commit takes time, or fails, or is unheard.

Commits become durable in the order in which they were submitted, as the real record's one writer
makes them. A unit is copied when it is submitted, because its owner goes on changing it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

from tests.sim.faults import Plan
from tests.sim.loop import ROLE, SimLoop
from turnout.domain.operation import ClaimKey, OperationState
from turnout.domain.payment import Payment
from turnout.ports import (
    MAX_NS,
    Claim,
    PaymentFilter,
    SchemeFacts,
    SchemeKeys,
    StoredWebhook,
    StoreUnavailable,
    UnitOfWork,
    VaultRecord,
    WrappedKey,
)
from turnout.stores.memory import MemoryStore, copied
from turnout.stores.memory_vault import MemoryVaultStore, copied_record

if TYPE_CHECKING:
    from tests.sim.process import Process
    from tests.sim.watch import Watch

_T = TypeVar("_T")


def _point_of(unit: UnitOfWork, role: str) -> str:
    """Which step of the write path a unit is."""
    if unit.claim is not None:
        return "claim" if unit.claim.answer is None else "claim_answered"
    for one in unit.operations:
        if one.state is OperationState.SENDING:
            return "cascade" if role == "call" else "undo.recovery"
    return f"settle.{role}"


class Disk:
    """What outlives the process: both databases, and when the last commit reached them."""

    def __init__(self, plan: Plan, random: Random, watch: Watch, loop: SimLoop) -> None:
        self.plan = plan
        self.loop = loop
        self.random = random
        self.watch = watch
        self.record = MemoryStore()
        self.cards = MemoryVaultStore()
        self.record_busy_until_s = 0.0
        self.cards_busy_until_s = 0.0
        self.out_until_s = -1.0

    def commit_s(self) -> float:
        """How long one commit takes."""
        slow = self.plan.strikes("store_slow", self.random)
        return self.random.random() * (2.0 if slow else 0.003)

    def written_at_s(self) -> float:
        """When what is submitted now will be durable: after all that was submitted before."""
        at_s = self.loop.now_s + self.commit_s()
        if at_s < self.record_busy_until_s:
            at_s = self.record_busy_until_s
        self.record_busy_until_s = at_s
        return at_s

    def refuses(self) -> bool:
        """Whether the medium fails now, before anything is written."""
        if self.plan.healed:
            return False
        now_s = self.loop.now_s
        if now_s < self.out_until_s:
            return True
        if self.plan.strikes("store_outage", self.random):
            self.out_until_s = now_s + self.random.random() * 3.0
            return True
        return self.plan.strikes("store_refuses", self.random)


class SimStore:
    """One process's hold on the record: everything through it ends when the process does."""

    def __init__(self, disk: Disk, process: Process) -> None:
        self._disk = disk
        self._process = process
        self._record = disk.record
        self._loop = disk.loop

    # --- writing -------------------------------------------------------------------------

    def commit(self, unit: UnitOfWork) -> Awaitable[None]:
        """See `Store.commit`."""
        process, disk = self._process, self._disk
        process.check()
        point = _point_of(unit, ROLE.get())
        process.point(f"{point}.before")
        done: asyncio.Future[None] = self._loop.create_future()
        if disk.refuses():
            done.set_exception(StoreUnavailable("the simulated disk is full"))
            return done
        copy = copied(unit)
        self._loop.call_at(disk.written_at_s(), self._make_durable, copy, point, done)
        return done

    def _make_durable(self, unit: UnitOfWork, point: str, done: asyncio.Future[None]) -> None:
        """The write reaches the disk, or the process was dead before."""
        if not self._process.alive:
            return
        disk = self._disk
        before = None if unit.payment is None else disk.watch.before(disk.record, unit)
        error: Exception | None = None
        try:
            self._record.adopt(unit)
        except Exception as refusal:
            error = refusal
        if error is None:
            disk.watch.committed(before, unit)
            if self._process.dies(f"{point}.inside"):
                return
        if done.done():
            return
        if error is not None:
            disk.watch.refused(unit, error)
            done.set_exception(error)
        else:
            done.set_result(None)
            if self._process.would_die(f"{point}.after"):
                # The owner hears of it, and gets no further than its next step.
                self._loop.call_soon(self._process.crash, f"{point}.after")

    async def _write(self, name: str, write: Callable[[], Awaitable[_T]]) -> _T:
        """A write of one row that is no unit."""
        process, disk = self._process, self._disk
        process.check()
        process.point(f"{name}.before")
        if disk.refuses():
            raise StoreUnavailable("the simulated disk is full")
        await asyncio.sleep(disk.written_at_s() - self._loop.now_s)
        process.check()
        result = await write()
        process.point(f"{name}.inside")
        process.point(f"{name}.after")
        return result

    async def answer_claim(self, key: ClaimKey, answer: bytes) -> bytes:
        """See `Store.answer_claim`."""
        return await self._write("answer", lambda: self._record.answer_claim(key, answer))

    async def fence_in_flight(self, now_ns: int, limit: int = 0) -> int:
        """See `Store.fence_in_flight`."""
        return await self._write("fence", lambda: self._record.fence_in_flight(now_ns, limit))

    async def add_webhooks(self, webhooks: Sequence[StoredWebhook]) -> int:
        """See `Store.add_webhooks`."""
        return await self._write("webhook_add", lambda: self._record.add_webhooks(webhooks))

    async def fail_webhook(self, webhook_id: str, reason: str, give_up: bool) -> None:
        """See `Store.fail_webhook`."""
        self._disk.watch.webhook_failed(webhook_id, reason, give_up)
        await self._write("fail", lambda: self._record.fail_webhook(webhook_id, reason, give_up))

    async def save_blob(self, name: str, value: bytes) -> None:
        """See `Store.save_blob`."""
        await self._write("save", lambda: self._record.save_blob(name, value))

    async def delete_expired_claims(self, before_ns: int, limit: int) -> int:
        """See `Store.delete_expired_claims`."""
        self._readable()
        return await self._record.delete_expired_claims(before_ns, limit)

    async def import_config(self, digest: str, body: bytes, now_ns: int) -> int:
        """See `Store.import_config`."""
        return await self._write(
            "import", lambda: self._record.import_config(digest, body, now_ns)
        )

    # --- reading -------------------------------------------------------------------------

    def _readable(self) -> None:
        if not self._process.alive:
            raise asyncio.CancelledError
        if self._loop.now_s < self._disk.out_until_s and not self._disk.plan.healed:
            raise StoreUnavailable("the simulated disk cannot be read")

    async def find_claim(self, key: ClaimKey) -> Claim | None:
        """See `Store.find_claim`."""
        self._readable()
        return await self._record.find_claim(key)

    async def find_taken(self, key: ClaimKey, merchant_reference: str) -> tuple[Claim | None, str]:
        """See `Store.find_taken`."""
        self._readable()
        return await self._record.find_taken(key, merchant_reference)

    async def find_to_change(
        self, key: ClaimKey, payment_id: str
    ) -> tuple[Claim | None, Payment | None]:
        """See `Store.find_to_change`."""
        self._readable()
        return await self._record.find_to_change(key, payment_id)

    async def get_payment(self, payment_id: str) -> Payment | None:
        """See `Store.get_payment`."""
        self._readable()
        return await self._record.get_payment(payment_id)

    async def find_payment_by_operation(self, operation_id: str) -> Payment | None:
        """See `Store.find_payment_by_operation`."""
        self._readable()
        return await self._record.find_payment_by_operation(operation_id)

    async def find_payment_by_provider_reference(
        self, account_id: str, provider_reference: str
    ) -> Payment | None:
        """See `Store.find_payment_by_provider_reference`."""
        self._readable()
        return await self._record.find_payment_by_provider_reference(
            account_id, provider_reference
        )

    async def due_operations(
        self, now_ns: int, limit: int, without: Sequence[str] = (), beyond_ns: int = MAX_NS
    ) -> list[tuple[str, str]]:
        """See `Store.due_operations`."""
        self._readable()
        return await self._record.due_operations(now_ns, limit, without, beyond_ns)

    async def expired_authorizations(self, now_ns: int, limit: int) -> list[str]:
        """See `Store.expired_authorizations`."""
        self._readable()
        return await self._record.expired_authorizations(now_ns, limit)

    async def scheme_facts(self, keys: SchemeKeys, card_since_ns: int) -> SchemeFacts:
        """See `Store.scheme_facts`."""
        self._readable()
        return await self._record.scheme_facts(keys, card_since_ns)

    async def pending_webhooks(self, limit: int) -> list[StoredWebhook]:
        """See `Store.pending_webhooks`."""
        self._readable()
        return await self._record.pending_webhooks(limit)

    async def load_blob(self, name: str) -> bytes | None:
        """See `Store.load_blob`."""
        self._readable()
        return await self._record.load_blob(name)

    async def list_payments(self, merchant_id: str, want: PaymentFilter) -> list[Payment]:
        """See `Store.list_payments`."""
        self._readable()
        return await self._record.list_payments(merchant_id, want)

    def __getattr__(self, name: str) -> Any:
        """What no simulated call uses goes straight to the record."""
        return getattr(self._record, name)


class SimVaultStore:
    """One process's hold on the vault's database."""

    def __init__(self, disk: Disk, process: Process) -> None:
        self._disk = disk
        self._process = process
        self._loop = disk.loop

    def put(self, record: VaultRecord) -> Awaitable[None]:
        """See `VaultStore.put`."""
        process, disk = self._process, self._disk
        process.check()
        process.point("vault.before")
        done: asyncio.Future[None] = self._loop.create_future()
        if disk.plan.strikes("vault_refuses", disk.random):
            done.set_exception(StoreUnavailable("the simulated vault is full"))
            return done
        at_s = max(self._loop.now_s + disk.commit_s(), disk.cards_busy_until_s)
        disk.cards_busy_until_s = at_s
        self._loop.call_at(at_s, self._make_durable, copied_record(record), done)
        return done

    def _make_durable(self, record: VaultRecord, done: asyncio.Future[None]) -> None:
        if not self._process.alive:
            return
        outcome = self._disk.cards.put(record)
        assert isinstance(outcome, asyncio.Future)
        error = outcome.exception()
        if self._process.dies("vault.inside") or done.done():
            return
        if error is not None:
            done.set_exception(error)
            return
        done.set_result(None)
        if self._process.would_die("vault.after"):
            self._loop.call_soon(self._process.crash, "vault.after")

    async def get(self, token_id: str) -> VaultRecord | None:
        """See `VaultStore.get`."""
        self._process.check()
        return await self._disk.cards.get(token_id)

    async def add_key(self, key: WrappedKey) -> None:
        """See `VaultStore.add_key`."""
        self._process.check()
        await self._disk.cards.add_key(key)

    async def list_keys(self) -> list[WrappedKey]:
        """See `VaultStore.list_keys`."""
        return await self._disk.cards.list_keys()

    async def count(self) -> int:
        """See `VaultStore.count`."""
        return await self._disk.cards.count()

    async def close(self) -> None:
        """Nothing to let go of."""
