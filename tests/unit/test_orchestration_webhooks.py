"""Webhooks in: kept before they are answered, answered before they are worked on."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.unit.rig import Rig, make_rig
from turnout.app.watch import CountedWebhooks, Watch
from turnout.domain.errors import NotFound
from turnout.domain.operation import OperationState
from turnout.ports import StoredWebhook, StoreUnavailable, WebhookRejected
from turnout.stores.memory import MemoryStore
from turnout.stores.sqlite import SqliteStore


class Gated(MemoryStore):
    """A record whose disk takes a webhook in only when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.full = False

    async def add_webhooks(self, webhooks: Sequence[StoredWebhook]) -> int:
        await self.gate.wait()
        if self.full:
            raise StoreUnavailable("the disk is full")
        return await super().add_webhooks(webhooks)


async def body_of(rig: Rig, key: str = "k1") -> bytes:
    payment = await rig.authorize(key)
    return f"authorize {payment.attempts[0].attempt_id} succeeded".encode()


async def test_the_answer_waits_for_the_disk_and_for_nothing_else(tmp_path: Path) -> None:
    store = Gated()
    rig = await make_rig(tmp_path, store=store)
    body = await body_of(rig)
    told = asyncio.create_task(rig.webhooks.receive("acc_a", {}, body))
    for _ in range(50):
        await asyncio.sleep(0)
    assert not told.done()
    store.gate.set()
    assert await told == (b"ok", "text/plain")
    # Nobody has worked on it yet.
    assert len(await store.pending_webhooks(10)) == 1
    assert await rig.webhooks.work_once() == 1
    assert await store.pending_webhooks(10) == []


async def test_what_could_not_be_kept_is_not_answered_for(tmp_path: Path) -> None:
    store = Gated()
    store.full = True
    store.gate.set()
    rig = await make_rig(tmp_path, store=store)
    with pytest.raises(StoreUnavailable):
        await rig.webhooks.receive("acc_a", {}, await body_of(rig))


async def test_answers_come_while_all_work_stands_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = await make_rig(tmp_path)
    bodies = [await body_of(rig, f"k{number}") for number in range(100)]
    stuck, apply = asyncio.Event(), rig.webhooks._apply

    async def stand_still(webhook: StoredWebhook) -> None:
        await stuck.wait()
        await apply(webhook)

    monkeypatch.setattr(rig.webhooks, "_apply", stand_still)
    worker = asyncio.create_task(rig.webhooks.work())
    async with asyncio.timeout(10):
        for body in bodies:
            await rig.webhooks.receive("acc_a", {}, body)
    assert len(await rig.store.pending_webhooks(1_000)) == 100
    stuck.set()
    async with asyncio.timeout(10):
        while await rig.store.pending_webhooks(1):  # noqa: ASYNC110 (the worker says so)
            await asyncio.sleep(0)
    worker.cancel()


async def test_a_burst_shares_its_commits_with_the_payments_around_it(tmp_path: Path) -> None:
    """What makes an answer quick under load: it costs a share of a commit, not one of its own."""
    store = SqliteStore(tmp_path / "record.db")
    rig = await make_rig(tmp_path, store=store)
    bodies = [await body_of(rig, f"k{number}") for number in range(50)]
    before = store.transactions
    payments = [
        asyncio.create_task(rig.authorize(f"load-{number}", amount_minor=1_000 + number))
        for number in range(50)
    ]
    await asyncio.gather(*(rig.webhooks.receive("acc_a", {}, body) for body in bodies))
    await asyncio.gather(*payments)
    # Fifty webhooks and a hundred units of payments.
    assert store.transactions - before < 75
    await store.close()


class Broken:
    """Fails for some webhooks."""

    def __init__(self, rig: Rig, event_ids: set[str]) -> None:
        self._apply = rig.webhooks._apply
        self.event_ids = event_ids
        self.tries: list[tuple[str, int]] = []
        self._rig = rig

    async def __call__(self, webhook: StoredWebhook) -> None:
        event_id = webhook.event.event_id
        if event_id in self.event_ids:
            self.tries.append((event_id, self._rig.clock.monotonic_ns() // 10**9))
            raise ValueError("a defect")
        await self._apply(webhook)


async def test_what_fails_is_tried_later_each_time_and_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = await make_rig(tmp_path)
    bad = await body_of(rig, "bad")
    await rig.webhooks.receive("acc_a", {}, bad)
    broken = Broken(rig, {bad.decode().replace(" ", "-")})
    monkeypatch.setattr(rig.webhooks, "_apply", broken)
    for second in range(400):
        if second % 40 == 0:
            await rig.webhooks.receive("acc_a", {}, await body_of(rig, f"good-{second}"))
            assert await rig.webhooks.work_once() >= 1
        await rig.webhooks.work_once()
        rig.clock.forward(1)
    waits = [later - earlier for (_, earlier), (_, later) in
             zip(broken.tries, broken.tries[1:], strict=False)]  # fmt: skip
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    (aside,) = await rig.store.set_aside_webhooks(None, 10)
    assert aside.attempts == 10


async def test_a_defect_that_goes_away_in_time_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = await make_rig(tmp_path)
    body = await body_of(rig)
    await rig.webhooks.receive("acc_a", {}, body)
    broken = Broken(rig, {body.decode().replace(" ", "-")})
    monkeypatch.setattr(rig.webhooks, "_apply", broken)
    assert await rig.webhooks.work_once() == 0
    broken.event_ids.clear()
    assert await rig.webhooks.work_once() == 0
    rig.clock.forward(2)
    assert await rig.webhooks.work_once() == 1
    assert await rig.store.pending_webhooks(10) == []


async def test_a_hundred_copies_change_a_payment_once(tmp_path: Path) -> None:
    rig = await make_rig(tmp_path)
    body = await body_of(rig)
    for _ in range(100):
        assert await rig.webhooks.receive("acc_a", {}, body) == (b"ok", "text/plain")
    assert await rig.webhooks.work_once() == 1
    payment = await rig.store.find_payment_by_operation(body.decode().split(" ")[1])
    assert payment is not None
    assert [one.state for one in payment.operations] == [OperationState.SUCCEEDED]
    assert (await rig.store.audit_ledger()).difference is None


class Refusing:
    """Stands for webhooks that are not believed."""

    def __init__(self) -> None:
        self.error: Exception = WebhookRejected("stale", "signed too long ago")

    async def receive(
        self, account_id: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[bytes, str]:
        raise self.error


async def test_rejections_are_counted_by_reason() -> None:
    watch, refusing = Watch(), Refusing()
    stand_in: Any = refusing
    counted = CountedWebhooks(stand_in, watch)
    for error in (
        WebhookRejected("stale", "signed too long ago"),
        WebhookRejected("stale", "signed too long ago"),
        WebhookRejected("bad_signature", "no secret fits"),
        NotFound("ACCOUNT_NOT_FOUND", "no such account"),
    ):
        refusing.error = error
        with pytest.raises(type(error)):
            await counted.receive("acc_a", {}, b"")
    text = watch.metrics.text().decode()
    for reason, count in (("stale", 2), ("bad_signature", 1), ("account_not_found", 1)):
        line = f'turnout_webhooks_rejected_total{{provider="unknown",reason="{reason}"}} {count}.0'
        assert line in text
