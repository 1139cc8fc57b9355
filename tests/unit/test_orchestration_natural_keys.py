"""After thirty days a key is forgotten, and the merchant's own reference still protects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import pytest

from tests.unit.rig import MERCHANT, Rig, idem, make_rig
from turnout import v1
from turnout.domain.errors import AlreadyExists, StateConflict
from turnout.domain.operation import ClaimKey
from turnout.domain.payment import CaptureMethod
from turnout.orchestration.commands import CaptureCommand, RefundCommand
from turnout.ports import Store
from turnout.stores.memory import MemoryStore
from turnout.stores.sqlite import SqliteStore

_DAY_S = 24 * 3_600


@pytest.fixture(params=["memory", "sqlite"])
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    store: Store = (
        MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "record.db")
    )
    yield await make_rig(tmp_path, store=store)
    await store.close()


async def forgotten(rig: Rig) -> bool:
    """Whether the first key's claim is gone, after a sweep."""
    await rig.recovery.sweep_once()
    return await rig.store.find_claim(ClaimKey(MERCHANT, "authorize", "k1")) is None


async def test_within_thirty_days_the_first_answer_comes_again(rig: Rig) -> None:
    first = await rig.authorize("k1")
    rig.clock.forward(30 * _DAY_S - 60)
    assert not await forgotten(rig)
    assert await rig.authorize("k1") == first
    assert len(rig.provider.calls) == 1


async def test_afterwards_the_same_call_is_refused_and_nothing_is_sent(rig: Rig) -> None:
    first = await rig.authorize("k1")
    rig.clock.forward(30 * _DAY_S + 60)
    assert await forgotten(rig)
    for key in ("k1", "another"):
        with pytest.raises(AlreadyExists) as refused:
            await rig.authorize(key, merchant_reference="ref-k1")
        assert refused.value.reason == "MERCHANT_REFERENCE_TAKEN"
        assert refused.value.metadata["payment_id"] == first.payment_id
    assert len(rig.provider.calls) == 1
    # What was refused has claimed nothing: the key is free for another payment.
    other = await rig.authorize("k1", merchant_reference="order-of-today")
    assert other.payment_id != first.payment_id


async def test_a_capture_that_is_repeated_after_its_key_has_gone_captures_nothing_more(
    rig: Rig,
) -> None:
    payment = await rig.authorize("k1")
    key, command = idem("c1", rpc="capture"), CaptureCommand(payment.payment_id)
    answer = await rig.payments.capture(rig.caller(), key, command)
    assert v1.Payment.FromString(answer).captured_minor == 1_099
    rig.clock.forward(31 * _DAY_S)
    assert await forgotten(rig)
    sent = len(rig.provider.calls)
    with pytest.raises(StateConflict) as refused:
        await rig.payments.capture(rig.caller(), key, command)
    assert refused.value.reason == "PAYMENT_STATE"
    assert len(rig.provider.calls) == sent


async def told(call: Awaitable[bytes]) -> str:
    """The status of the refund that was made, or why there is none."""
    try:
        refund = v1.Refund.FromString(await call)
    except AlreadyExists as error:
        return error.reason
    return v1.RefundStatus.Name(refund.status)


async def test_of_refunds_with_one_reference_one_is_made_whoever_began(
    rig: Rig, tmp_path: Path
) -> None:
    """Also where two processes share a record, and where both would take all there is."""
    other = await make_rig(
        tmp_path / "other", store=rig.store, clock=rig.clock, provider=rig.provider
    )
    for number, amounts in enumerate([(0, 0), (100, 100), (0, 100)]):
        payment = await rig.authorize(f"k{number}", capture_method=CaptureMethod.AUTOMATIC)
        reference = f"refund-{number}"
        calls = [
            one.refunds.create(
                one.caller(),
                idem(f"r{number}-{at}", rpc="refund"),
                RefundCommand(payment.payment_id, amount_minor, merchant_reference=reference),
            )
            for at, (one, amount_minor) in enumerate(zip((rig, other), amounts, strict=True))
        ]
        said = await asyncio.gather(*map(told, calls))
        assert sorted(said) == ["MERCHANT_REFERENCE_TAKEN", "REFUND_STATUS_SUCCEEDED"]
    assert len([call for call in rig.provider.calls if call[1] == "refund"]) == 3


async def test_a_refund_that_is_repeated_under_another_key_names_the_first(rig: Rig) -> None:
    payment = await rig.authorize(capture_method=CaptureMethod.AUTOMATIC)
    command = RefundCommand(payment.payment_id, merchant_reference="refund-1")
    first = v1.Refund.FromString(
        await rig.refunds.create(rig.caller(), idem("r1", rpc="refund"), command)
    )
    with pytest.raises(AlreadyExists) as refused:
        await rig.refunds.create(rig.caller(), idem("r2", rpc="refund"), command)
    assert refused.value.metadata["refund_id"] == first.refund_id
