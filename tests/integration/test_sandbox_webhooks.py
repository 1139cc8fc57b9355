"""Webhooks that come late, twice, out of order or not at all, and the control over them."""

from __future__ import annotations

import asyncio

import pytest

from tests.sandbox_rig import Rig, adyen_payment, running_rig
from turnout.sandbox import WebhookProfile


async def _until(rig: Rig, count: int) -> None:
    """Wait for webhooks to arrive; the limit only ends a broken test."""
    async with asyncio.timeout(10):
        while len(rig.inbox) < count:
            await rig.control("GET", "health")


async def _pay(rig: Rig, count: int = 1) -> None:
    for number in range(count):
        reply = await rig.adyen("/payments", adyen_payment(f"pay_{number}"))
        assert reply.status == 200


def _references(rig: Rig) -> list[str]:
    return [webhook.item["merchantReference"] for webhook in rig.inbox]


async def test_prompt_webhooks_come_once_and_by_themselves() -> None:
    async with running_rig(webhooks=WebhookProfile.prompt()) as rig:
        await _pay(rig, 3)
        await _until(rig, 3)
        state = await rig.control("GET", "webhooks")
        assert (state["counts"]["delivered"], state["waiting"]) == (3, 0)


async def test_the_default_profile_sends_late_and_twice() -> None:
    async with running_rig(webhooks=WebhookProfile(hold=True)) as rig:
        begun_s = asyncio.get_running_loop().time()
        await _pay(rig, 4)
        courier = rig.sandbox.courier
        dues = sorted(courier._heap + courier._held)
        assert len(dues) == 8
        assert dues[-1].at_s > begun_s + 0.1
        await rig.flush()
        assert sorted(_references(rig)) == sorted([f"pay_{n}" for n in range(4)] * 2)


async def test_webhooks_come_out_of_order() -> None:
    mixed = WebhookProfile(
        delay_p50_ms=1, delay_p99_ms=1, duplicate_probability=0.0, reorder_probability=0.5,
        reorder_delay_ms=100,
    )  # fmt: skip
    async with running_rig(webhooks=mixed) as rig:
        await _pay(rig, 20)
        await _until(rig, 20)
        assert sorted(_references(rig)) != _references(rig)
        assert len(set(_references(rig))) == 20


async def test_webhooks_can_be_dropped() -> None:
    async with running_rig() as rig:
        await rig.control("PUT", "webhooks", {"preset": "held", "drop_probability": 1.0})
        await _pay(rig, 3)
        assert await rig.flush() == []
        assert (await rig.control("GET", "webhooks"))["counts"]["dropped"] == 3


async def test_bursts_leave_together() -> None:
    bursts = WebhookProfile(
        delay_p50_ms=5, delay_p99_ms=500, duplicate_probability=0.0, burst_every_ms=60_000
    )
    async with running_rig(webhooks=bursts) as rig:
        await _pay(rig, 20)
        waits = [due.at_s % 60.0 for due in rig.sandbox.courier._heap]
        assert len(waits) == 20
        assert all(min(wait, 60.0 - wait) < 0.1 for wait in waits)


@pytest.mark.parametrize("order", ["fifo", "reverse", "shuffled"])
async def test_a_flush_chooses_the_order_and_the_copies(order: str) -> None:
    async with running_rig() as rig:
        await _pay(rig, 6)
        assert len(await rig.flush(order=order, copies=2)) == 12
        once = list(dict.fromkeys(_references(rig)))
        straight = [f"pay_{n}" for n in range(6)]
        if order == "fifo":
            assert once == straight
        elif order == "reverse":
            assert once == straight[::-1]
        else:
            assert sorted(once) == straight
        assert await rig.flush() == []


async def test_a_hundred_copies() -> None:
    async with running_rig() as rig:
        await _pay(rig)
        received = await rig.flush(copies=100)
        assert len({webhook.raw for webhook in received}) == 1
        assert len(received) == 100


async def test_a_webhook_that_is_refused_is_sent_again() -> None:
    stubborn = WebhookProfile(
        delay_p50_ms=0, delay_p99_ms=0, duplicate_probability=0.0, reorder_probability=0.0,
        retry_base_ms=1.0, attempts_max=4,
    )  # fmt: skip
    async with running_rig(webhooks=stubborn) as rig:
        rig.answers = [500, 404, 302]
        await _pay(rig)
        await _until(rig, 4)
        async with asyncio.timeout(10):
            while (state := await rig.control("GET", "webhooks"))["counts"].get("delivered") != 1:
                continue
        assert state["counts"]["failed"] == 3
        assert [entry["status"] for entry in state["history"]] == [500, 404, 302, 200]
        rig.answers = [500] * 4
        await _pay(rig)
        async with asyncio.timeout(10):
            while (await rig.control("GET", "webhooks"))["counts"].get("given_up") != 1:
                continue


async def test_a_receiver_that_is_down_is_tried_again() -> None:
    patient = WebhookProfile(
        delay_p50_ms=0, delay_p99_ms=0, duplicate_probability=0.0, reorder_probability=0.0,
        retry_base_ms=1.0, attempts_max=3,
    )  # fmt: skip
    async with running_rig(webhooks=patient) as rig:
        nobody = {"name": "SandboxMainECOM", "webhook_url": "http://127.0.0.1:1/"}
        await rig.control("PUT", "accounts", nobody)
        await _pay(rig)
        async with asyncio.timeout(10):
            while (state := await rig.control("GET", "webhooks"))["counts"].get("given_up") != 1:
                continue
        assert [entry["error"] for entry in state["history"]] == ["ClientConnectorError"] * 3


async def test_an_account_without_a_receiver_gets_none_until_it_has_one() -> None:
    async with running_rig() as rig:
        target = rig.sandbox.adyen.states["SandboxMainECOM"].notifier.webhook_url
        await rig.control("PUT", "accounts", {"name": "SandboxMainECOM", "webhook_url": None})
        await _pay(rig)
        assert await rig.flush() == []
        change = {"name": "SandboxMainECOM", "webhook_url": target, "webhook_secret": "ab" * 32}
        await rig.control("PUT", "accounts", change)
        await _pay(rig)
        assert len(await rig.flush()) == 1


async def test_held_webhooks_leave_when_the_hold_ends() -> None:
    async with running_rig() as rig:
        await _pay(rig, 2)
        assert (await rig.control("GET", "webhooks"))["waiting"] == 2
        await rig.control("PUT", "webhooks", {"preset": "prompt"})
        await _until(rig, 2)


async def test_one_provider_can_have_a_profile_of_its_own() -> None:
    async with running_rig() as rig:
        await rig.control("PUT", "webhooks", {"provider": "stripe", "preset": "prompt"})
        await _pay(rig)
        await rig.pay()
        await _until(rig, 2)
        assert {webhook.path for webhook in rig.inbox} == {"/hooks/acc_stripe_main"}
