"""What a final capture leaves over, at a provider that keeps it on hold until it is cancelled.

The record lets go of it at once; a cancel that was written down in the same commit makes the
provider do so too, whenever the process dies.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.unit.rig import (
    SECOND_NS,
    Rig,
    ScriptedProvider,
    idem,
    make_rig,
    no,
    unknown,
    unreachable,
)
from turnout import v1
from turnout.domain.errors import StateConflict
from turnout.domain.operation import Operation, OperationKind, OperationState
from turnout.domain.outcomes import Outcome
from turnout.domain.payment import Payment
from turnout.domain.reviews import REST_STILL_HELD
from turnout.orchestration.budgets import RetryBudgets, RetrySettings
from turnout.orchestration.commands import (
    CancelCommand,
    CaptureCommand,
    Operator,
    Resolution,
    ResolveCommand,
)
from turnout.ports import ConnectorTraits, EventFilter

# As Adyen's: nothing can be asked, and the rest of a final capture stays where it is.
KEEPS_REST = ConnectorTraits(False, True, 60, keeps_rest=True)


@pytest.fixture
async def rig(tmp_path: Path) -> Rig:
    provider = ScriptedProvider(traits=KEEPS_REST)
    return await make_rig(tmp_path, provider=provider, multi_capture=True)


async def next_process(rig: Rig, tmp_path: Path) -> Rig:
    """The one that starts on the same record after a kill -9."""
    after = await make_rig(
        tmp_path / "next",
        store=rig.store,
        clock=rig.clock,
        provider=rig.provider,
        multi_capture=True,
    )
    await after.recovery.fence()
    return after


async def capture_part(rig: Rig, key: str = "c1") -> v1.Payment:
    """A final capture of 4.00 of 10.99 EUR."""
    payment = await rig.authorize()
    command = CaptureCommand(payment.payment_id, 400, final=True)
    return v1.Payment.FromString(
        await rig.payments.capture(rig.caller(), idem(key, rpc="capture"), command)
    )


async def now(rig: Rig, payment_id: str) -> Payment:
    return await rig.payments.get(rig.caller(), payment_id)


async def cancel_of(rig: Rig, payment_id: str) -> Operation:
    (cancel,) = (await now(rig, payment_id)).of_kind(OperationKind.CANCEL)
    return cancel


async def webhook(rig: Rig, text: str) -> None:
    await rig.webhooks.receive("acc_a", {}, text.encode())
    await rig.webhooks.work_once()


def sent(rig: Rig) -> list[str]:
    """The cancels that reached the provider, by our id of them."""
    return [name for _, kind, name in rig.provider.calls if kind == "cancel"]


async def stands(rig: Rig, payment_id: str) -> None:
    """The payment is as its merchant was told, and the ledger adds up."""
    payment = await now(rig, payment_id)
    assert (payment.status, payment.captured_minor) == ("succeeded", 400)
    assert (payment.released_minor, payment.capturable_minor) == (699, 0)
    assert (await rig.store.audit_ledger()).difference is None


async def test_the_rest_is_cancelled_at_the_provider(rig: Rig) -> None:
    paid = await capture_part(rig)
    assert paid.status == v1.PAYMENT_STATUS_SUCCEEDED and paid.capturable_minor == 0
    written = await cancel_of(rig, paid.payment_id)
    assert (written.state, written.amount_minor) == (OperationState.UNKNOWN, 699)
    assert sent(rig) == []
    await rig.recovery.work_once()
    done = await cancel_of(rig, paid.payment_id)
    assert sent(rig) == [done.operation_id]
    assert (done.state, done.check_at_ns) == (OperationState.SUCCEEDED, 0)
    await stands(rig, paid.payment_id)
    # It is ours and not the merchant's, who hears nothing of it.
    events = await rig.events.list(rig.caller(), EventFilter())
    assert [one.type.value for one in events] == ["payment.authorized", "payment.captured"]
    shown = v1.Payment.FromString(rig.parts.encoder.payment(await now(rig, paid.payment_id)))
    assert not shown.HasField("cancellation")


async def test_where_the_provider_lets_go_by_itself_nothing_is_sent(tmp_path: Path) -> None:
    for number, (multi, keeps) in enumerate([(False, True), (True, False), (False, False)]):
        provider = ScriptedProvider(traits=ConnectorTraits(False, True, 60, keeps_rest=keeps))
        rig = await make_rig(tmp_path / str(number), provider=provider, multi_capture=multi)
        paid = await capture_part(rig)
        assert not (await now(rig, paid.payment_id)).of_kind(OperationKind.CANCEL)


async def test_a_final_capture_of_all_leaves_nothing_to_cancel(rig: Rig) -> None:
    payment = await rig.authorize()
    command = CaptureCommand(payment.payment_id, 1_099, final=True)
    await rig.payments.capture(rig.caller(), idem("c", rpc="capture"), command)
    assert not (await now(rig, payment.payment_id)).of_kind(OperationKind.CANCEL)


async def test_a_crash_at_any_step_is_harmless(rig: Rig, tmp_path: Path) -> None:
    async def dies(_: Any) -> Outcome:
        raise asyncio.CancelledError

    paid = await capture_part(rig)
    # Killed before it was sent.
    rig = await next_process(rig, tmp_path)
    rig.provider.follow = [dies]
    with pytest.raises(asyncio.CancelledError):
        await rig.recovery.work_once()
    assert (await cancel_of(rig, paid.payment_id)).unsent
    # Killed after it was sent: the next one sends the same again, under the same key.
    rig = await next_process(rig, tmp_path)
    await rig.recovery.work_once()
    done = await cancel_of(rig, paid.payment_id)
    assert sent(rig) == [done.operation_id] * 2
    assert done.state is OperationState.SUCCEEDED
    # And whatever comes late says nothing new.
    await webhook(rig, f"cancel {done.operation_id} succeeded")
    await next_process(rig, tmp_path)
    assert await rig.recovery.work_once() == 0
    await stands(rig, paid.payment_id)


async def test_a_lost_answer_is_asked_for_again_under_the_same_key(rig: Rig) -> None:
    paid = await capture_part(rig)
    rig.provider.follow = [unknown()]
    await rig.recovery.work_once()
    assert not (await cancel_of(rig, paid.payment_id)).unsent
    rig.clock.forward(31)
    await rig.recovery.work_once()
    done = await cancel_of(rig, paid.payment_id)
    assert sent(rig) == [done.operation_id] * 2
    assert done.state is OperationState.SUCCEEDED


async def test_a_provider_out_of_reach_is_tried_again(rig: Rig) -> None:
    """It counts as sent for the first time each time, so it eats nobody's retry budget."""
    settings = RetrySettings(ratio=0.0, trickle_per_s=0.0, ramp_per_s=0.0, burst=3.0)
    budgets = rig.parts.budgets = RetryBudgets(rig.clock, settings)
    paid = await capture_part(rig)
    rig.provider.follow = [unreachable(), unreachable()]
    for tries in (1, 2):
        await rig.recovery.work_once()
        assert (await cancel_of(rig, paid.payment_id)).unsent
        assert len(sent(rig)) == tries
        rig.clock.forward(61)
    await rig.recovery.work_once()
    assert [budgets.take("acc_a") for _ in range(4)] == [True, True, True, False]
    assert (await cancel_of(rig, paid.payment_id)).state is OperationState.SUCCEEDED
    await stands(rig, paid.payment_id)


async def test_out_of_reach_for_too_long_goes_to_a_person(rig: Rig) -> None:
    paid = await capture_part(rig)
    rig.provider.follow = [unreachable() for _ in range(50)]
    for _ in range(10):
        rig.clock.forward(301)
        await rig.recovery.work_once()
    cancel = await cancel_of(rig, paid.payment_id)
    assert (cancel.state, cancel.reason) == (OperationState.NEEDS_REVIEW, "not_sent_yet")
    assert (await now(rig, paid.payment_id)).needs_review
    await stands(rig, paid.payment_id)


@pytest.mark.parametrize("resolution", [Resolution.SUCCEEDED, Resolution.FAILED])
async def test_a_refused_cancel_goes_to_a_person(rig: Rig, resolution: Resolution) -> None:
    paid = await capture_part(rig)
    rig.provider.follow = [no()]
    await rig.recovery.work_once()
    cancel = await cancel_of(rig, paid.payment_id)
    assert (cancel.state, cancel.reason) == (OperationState.NEEDS_REVIEW, REST_STILL_HELD)
    assert (await now(rig, paid.payment_id)).needs_review
    command = ResolveCommand(paid.payment_id, cancel.operation_id, resolution, "seen there")
    operator = Operator("opr_1", "Olga", rig.clock.monotonic_ns() + 30 * SECOND_NS)
    await rig.reviews.resolve(operator, idem("o", rpc="ResolveReview"), command)
    assert not (await now(rig, paid.payment_id)).needs_review
    # A success that is told after all is only good news.
    await webhook(rig, f"cancel {cancel.operation_id} succeeded")
    payment = await now(rig, paid.payment_id)
    assert not payment.needs_review
    await stands(rig, paid.payment_id)
    events = await rig.events.list(rig.caller(), EventFilter())
    assert "payment.cancel_failed" not in {one.type.value for one in events}


async def test_a_late_success_answers_the_persons_question(rig: Rig) -> None:
    paid = await capture_part(rig)
    rig.provider.follow = [no()]
    await rig.recovery.work_once()
    cancel = await cancel_of(rig, paid.payment_id)
    await webhook(rig, f"cancel {cancel.operation_id} succeeded")
    assert (await cancel_of(rig, paid.payment_id)).state is OperationState.SUCCEEDED
    assert not (await now(rig, paid.payment_id)).needs_review


async def test_a_capture_taken_back_meanwhile_stays_capturable(rig: Rig) -> None:
    paid = await capture_part(rig)
    await webhook(rig, f"capture {paid.captures[0].capture_id} unsucceeded")
    assert (await now(rig, paid.payment_id)).status == "requires_capture"
    await rig.recovery.work_once()
    payment = await now(rig, paid.payment_id)
    assert payment.status == "requires_capture"
    assert (payment.capturable_minor, payment.released_minor) == (400, 699)
    assert (await rig.store.audit_ledger()).difference is None


async def test_a_capture_taken_back_while_the_rest_is_cancelled_is_freed_too(rig: Rig) -> None:
    """The cancel frees what it meets; what comes back after it would stay on hold there."""
    paid = await rig.authorize()
    for key, part_minor in (("c1", 400), ("c2", 100)):
        command = CaptureCommand(paid.payment_id, part_minor, final=False)
        await rig.payments.capture(rig.caller(), idem(key, rpc="capture"), command)
    rig.provider.follow = [unknown()]
    asked_for = CancelCommand(paid.payment_id)
    await rig.payments.cancel(rig.caller(), idem("x", rpc="cancel"), asked_for)
    first = await cancel_of(rig, paid.payment_id)
    assert first.amount_minor == 599
    captures = (await now(rig, paid.payment_id)).of_kind(OperationKind.CAPTURE)
    await webhook(rig, f"capture {captures[0].operation_id} unsucceeded")
    await webhook(rig, f"cancel {first.operation_id} succeeded")
    payment = await now(rig, paid.payment_id)
    assert (payment.status, payment.captured_minor) == ("succeeded", 100)
    assert (payment.released_minor, payment.capturable_minor) == (999, 0)
    second = payment.of_kind(OperationKind.CANCEL)[1]
    assert (second.unsent, second.amount_minor) == (True, 400)
    await rig.recovery.work_once()
    assert sent(rig) == [first.operation_id, second.operation_id]
    done = (await now(rig, paid.payment_id)).of_kind(OperationKind.CANCEL)[1]
    assert done.state is OperationState.SUCCEEDED
    assert (await rig.store.audit_ledger()).difference is None


async def test_a_paid_payment_cannot_be_cancelled_while_its_rest_is(rig: Rig) -> None:
    paid = await capture_part(rig)
    with pytest.raises(StateConflict) as refused:
        await rig.payments.cancel(
            rig.caller(), idem("x", rpc="cancel"), CancelCommand(paid.payment_id)
        )
    assert refused.value.reason == "PAYMENT_STATE"
