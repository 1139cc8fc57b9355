"""Captures, cancels, refunds, webhooks, recovery and expiry."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.unit.rig import (
    MERCHANT,
    Rig,
    ScriptedProvider,
    idem,
    make_rig,
    no,
    unknown,
    unreachable,
)
from turnout import v1
from turnout.domain.declines import DeclineCode
from turnout.domain.errors import AlreadyExists, InvalidRequest, StateConflict, TurnoutError
from turnout.domain.outcomes import Outcome, OutcomeKind
from turnout.domain.payment import CaptureMethod, NextAction, Payment
from turnout.orchestration.commands import CancelCommand, CaptureCommand, RefundCommand
from turnout.ports import ConnectorTraits, EventFilter, FollowUpRequest, PaymentFilter

AUTO = CaptureMethod.AUTOMATIC


def pending() -> Outcome:
    return Outcome(OutcomeKind.PENDING, reason="received")


@pytest.fixture
async def rig(tmp_path: Path) -> Rig:
    return await make_rig(tmp_path)


@pytest.fixture
async def multi(tmp_path: Path) -> Rig:
    return await make_rig(tmp_path, multi_capture=True)


async def capture(rig: Rig, payment_id: str, key: str = "c1", **changes: Any) -> v1.Payment:
    command = CaptureCommand(payment_id, **changes)
    return v1.Payment.FromString(
        await rig.payments.capture(rig.caller(), idem(key, rpc="capture"), command)
    )


async def cancel(rig: Rig, payment_id: str, key: str = "x1") -> v1.Payment:
    command = CancelCommand(payment_id, "requested_by_customer")
    return v1.Payment.FromString(
        await rig.payments.cancel(rig.caller(), idem(key, rpc="cancel"), command)
    )


async def refund(rig: Rig, payment_id: str, key: str = "r1", **changes: Any) -> v1.Refund:
    command = RefundCommand(payment_id, **changes)
    return v1.Refund.FromString(
        await rig.refunds.create(rig.caller(), idem(key, rpc="refund"), command)
    )


async def now(rig: Rig, payment_id: str) -> Payment:
    return await rig.payments.get(rig.caller(), payment_id)


async def event_types(rig: Rig) -> list[str]:
    return [one.type.value for one in await rig.events.list(rig.caller(), EventFilter())]


async def webhook(rig: Rig, text: str, account: str = "acc_a") -> None:
    await rig.webhooks.receive(account, {}, text.encode())
    await rig.webhooks.work_once()


async def test_full_capture(rig: Rig) -> None:
    payment = await rig.authorize()
    paid = await capture(rig, payment.payment_id)
    assert paid.status == v1.PAYMENT_STATUS_SUCCEEDED
    assert (paid.captured_minor, paid.capturable_minor) == (1_099, 0)
    assert paid.captures[0].final_capture


async def test_partial_capture_without_multi_capture_releases_the_rest(rig: Rig) -> None:
    payment = await rig.authorize()
    paid = await capture(rig, payment.payment_id, amount_minor=99)
    assert paid.status == v1.PAYMENT_STATUS_SUCCEEDED
    assert (paid.captured_minor, paid.capturable_minor) == (99, 0)
    with pytest.raises(StateConflict):
        await capture(rig, payment.payment_id, "c2", amount_minor=1)
    assert [kind for _, kind, _ in rig.provider.calls] == ["authorize", "capture"]


async def test_several_captures_then_the_final_one(multi: Rig) -> None:
    payment = await multi.authorize()
    first = await capture(multi, payment.payment_id, "c1", amount_minor=100)
    assert first.status == v1.PAYMENT_STATUS_PARTIALLY_CAPTURED
    assert first.capturable_minor == 999
    last = await capture(multi, payment.payment_id, "c2", amount_minor=200, final=True)
    assert last.status == v1.PAYMENT_STATUS_SUCCEEDED
    assert (last.captured_minor, last.capturable_minor) == (300, 0)


async def test_cancel_of_the_rest_keeps_what_is_captured(multi: Rig) -> None:
    payment = await multi.authorize()
    await capture(multi, payment.payment_id, amount_minor=100)
    done = await cancel(multi, payment.payment_id)
    assert done.status == v1.PAYMENT_STATUS_SUCCEEDED
    assert (done.captured_minor, done.capturable_minor) == (100, 0)


async def test_capture_of_too_much_is_refused_before_sending(rig: Rig) -> None:
    payment = await rig.authorize()
    with pytest.raises(InvalidRequest) as refused:
        await capture(rig, payment.payment_id, amount_minor=1_100)
    assert refused.value.fields[0].field == "amount_minor"
    assert len(rig.provider.calls) == 1


async def test_declined_capture_leaves_the_money_capturable(rig: Rig) -> None:
    payment = await rig.authorize()
    rig.provider.follow = [no(DeclineCode.PROCESSING_ERROR)]
    answer = await capture(rig, payment.payment_id)
    assert answer.status == v1.PAYMENT_STATUS_REQUIRES_CAPTURE
    assert answer.captures[0].status == v1.CAPTURE_STATUS_FAILED
    assert answer.capturable_minor == 1_099


async def test_pending_capture_binds_the_amount_until_its_webhook(rig: Rig) -> None:
    payment = await rig.authorize()
    rig.provider.follow = [pending()]
    answer = await capture(rig, payment.payment_id, amount_minor=1_000)
    assert answer.status == v1.PAYMENT_STATUS_REQUIRES_CAPTURE
    assert answer.captures[0].status == v1.CAPTURE_STATUS_PENDING
    assert answer.capturable_minor == 99
    with pytest.raises(StateConflict):
        await cancel(rig, payment.payment_id)
    capture_id = answer.captures[0].capture_id
    for _ in range(3):
        await webhook(rig, f"capture {capture_id} succeeded")
    settled = await now(rig, payment.payment_id)
    assert (settled.status, settled.captured_minor, settled.released_minor) == (
        "succeeded",
        1_000,
        99,
    )
    assert (await event_types(rig)).count("payment.captured") == 1


async def test_capture_that_fails_later_gives_the_money_back(rig: Rig) -> None:
    payment = await rig.authorize()
    paid = await capture(rig, payment.payment_id)
    await webhook(rig, f"capture {paid.captures[0].capture_id} unsucceeded")
    settled = await now(rig, payment.payment_id)
    assert (settled.status, settled.captured_minor) == ("requires_capture", 0)
    assert (await event_types(rig))[-1] == "payment.capture_failed"


async def test_cancel_releases_everything(rig: Rig) -> None:
    payment = await rig.authorize()
    done = await cancel(rig, payment.payment_id)
    assert done.status == v1.PAYMENT_STATUS_CANCELED
    assert done.cancellation.status == v1.CANCELLATION_STATUS_SUCCEEDED
    with pytest.raises(StateConflict):
        await capture(rig, payment.payment_id)


async def test_capture_is_refused_while_a_cancel_is_under_way(rig: Rig) -> None:
    payment = await rig.authorize()
    rig.provider.follow = [pending()]
    answer = await cancel(rig, payment.payment_id)
    assert answer.cancellation.status == v1.CANCELLATION_STATUS_PENDING
    with pytest.raises(StateConflict):
        await capture(rig, payment.payment_id)


async def test_capture_and_cancel_race_and_one_wins(rig: Rig) -> None:
    payment = await rig.authorize()
    results = await asyncio.gather(
        capture(rig, payment.payment_id),
        cancel(rig, payment.payment_id),
        return_exceptions=True,
    )
    refused = [one for one in results if isinstance(one, TurnoutError)]
    assert len(refused) == 1
    assert len(rig.provider.calls) == 2


async def test_refunds_never_exceed_what_is_captured(rig: Rig) -> None:
    payment = await rig.authorize(capture_method=AUTO)
    results = await asyncio.gather(
        *(refund(rig, payment.payment_id, f"r{n}", amount_minor=300) for n in range(8)),
        return_exceptions=True,
    )
    assert len([one for one in results if isinstance(one, v1.Refund)]) == 3
    settled = await now(rig, payment.payment_id)
    assert (settled.refunded_minor, settled.refundable_minor) == (900, 199)
    assert settled.status == "succeeded"


async def test_who_asks_at_the_wrong_time_is_told_what_to_do(rig: Rig) -> None:
    payment_id = (await rig.authorize()).payment_id
    with pytest.raises(StateConflict, match="capture it first, or release"):
        await refund(rig, payment_id)
    await capture(rig, payment_id)
    await refund(rig, payment_id)
    with pytest.raises(InvalidRequest, match=r"all that could be refunded .* is, or is under way"):
        await refund(rig, payment_id, "r2")


async def test_refund_pending_then_failed_can_be_asked_for_again(rig: Rig) -> None:
    payment = await rig.authorize(capture_method=AUTO)
    rig.provider.follow = [pending()]
    first = await refund(rig, payment.payment_id)
    assert first.status == v1.REFUND_STATUS_PENDING
    await webhook(rig, f"refund {first.refund_id} declined")
    assert (await now(rig, payment.payment_id)).refundable_minor == 1_099
    again = await refund(rig, payment.payment_id, "r2")
    assert again.status == v1.REFUND_STATUS_SUCCEEDED
    await webhook(rig, f"refund {again.refund_id} unsucceeded")
    assert (await now(rig, payment.payment_id)).refundable_minor == 1_099
    assert await event_types(rig) == [
        "payment.captured",
        "refund.created",
        "refund.failed",
        "refund.created",
        "refund.succeeded",
        "refund.failed",
    ]


async def test_a_refunds_reference_is_a_natural_key(rig: Rig) -> None:
    payment = await rig.authorize(capture_method=AUTO)
    results = await asyncio.gather(
        *(
            refund(rig, payment.payment_id, f"r{n}", amount_minor=100, merchant_reference="rma-7")
            for n in range(3)
        ),
        return_exceptions=True,
    )
    assert len([one for one in results if isinstance(one, v1.Refund)]) == 1
    with pytest.raises(AlreadyExists):
        await refund(rig, payment.payment_id, "r9", amount_minor=100, merchant_reference="rma-7")
    assert (await now(rig, payment.payment_id)).refunded_minor == 100


async def test_unknown_capture_is_asked_about_never_sent_elsewhere(rig: Rig) -> None:
    payment = await rig.authorize()
    rig.provider.follow = [unknown()]
    answer = await capture(rig, payment.payment_id)
    assert answer.capturable_minor == 0
    rig.clock.forward(6)
    rig.provider.inquiries = [Outcome(OutcomeKind.SUCCEEDED)]
    await rig.recovery.work_once()
    assert (await now(rig, payment.payment_id)).status == "succeeded"
    assert {account for account, _, _ in rig.provider.calls} == {"acc_a"}


async def test_where_it_cannot_be_asked_the_same_request_goes_again(tmp_path: Path) -> None:
    provider = ScriptedProvider(traits=ConnectorTraits(False, True, 60))
    rig = await make_rig(tmp_path, provider=provider)
    payment = await rig.authorize(capture_method=AUTO)
    provider.follow = [unknown()]
    first = await refund(rig, payment.payment_id)
    rig.clock.forward(6)
    await rig.recovery.work_once()
    assert (await now(rig, payment.payment_id)).refunded_minor == 1_099
    refunds = [call for call in provider.calls if call[1] == "refund"]
    assert refunds == [("acc_a", "refund", first.refund_id)] * 2


async def test_webhook_before_the_synchronous_answer_merges(rig: Rig) -> None:
    async def told_first(request: Any) -> Outcome:
        await webhook(rig, f"authorize {request.operation_id} succeeded")
        return Outcome(OutcomeKind.SUCCEEDED, network_transaction_id="nti-1")

    rig.provider.says = {"acc_a": [told_first]}
    payment = await rig.authorize()
    assert payment.status == v1.PAYMENT_STATUS_REQUIRES_CAPTURE
    settled = await now(rig, payment.payment_id)
    assert settled.network_transaction_id == "nti-1"
    assert settled.authorized_minor == 1_099
    assert await event_types(rig) == ["payment.authorized"]


async def test_a_webhook_that_approves_forbids_the_cascade(rig: Rig) -> None:
    async def told_first(request: Any) -> Outcome:
        await webhook(rig, f"authorize {request.operation_id} succeeded")
        return no(DeclineCode.DO_NOT_HONOR)

    rig.provider.says = {"acc_a": [told_first]}
    payment = await rig.authorize()
    assert payment.status == v1.PAYMENT_STATUS_REQUIRES_CAPTURE
    assert len(rig.provider.calls) == 1


async def test_late_success_of_a_declined_attempt_goes_to_a_person(rig: Rig) -> None:
    rig.provider.says = {"acc_a": [no(DeclineCode.STOLEN_CARD)]}
    payment = await rig.authorize()
    await webhook(rig, f"authorize {payment.attempts[0].attempt_id} succeeded")
    settled = await now(rig, payment.payment_id)
    assert settled.status == "failed"
    assert settled.needs_review
    assert (await event_types(rig))[-1] == "payment.needs_review"


async def test_a_webhook_may_speak_only_of_its_own_account(rig: Rig) -> None:
    rig.provider.says = {"acc_a": [unknown()]}
    payment = await rig.authorize()
    attempt = payment.attempts[0].attempt_id
    await webhook(rig, f"authorize {attempt} succeeded", account="acc_b")
    assert (await now(rig, payment.payment_id)).status == "processing"
    await webhook(rig, f"authorize {attempt} succeeded", account="acc_a")
    assert (await now(rig, payment.payment_id)).status == "requires_capture"


async def test_the_provider_lets_go_by_itself(rig: Rig) -> None:
    payment = await rig.authorize()
    attempt = payment.attempts[0].attempt_id
    await rig.webhooks.receive("acc_a", {}, f"cancel their-{attempt} succeeded".encode())
    pending_hooks = await rig.store.pending_webhooks(10)
    pending_hooks[0].event.payment_reference = f"their-{attempt}"
    await rig.webhooks._apply(pending_hooks[0])
    settled = await now(rig, payment.payment_id)
    assert (settled.status, settled.cancellation_reason) == ("canceled", "by_provider")


async def test_unknown_authorization_is_adopted_when_the_provider_tells(rig: Rig) -> None:
    rig.provider.says = {"acc_a": [unknown()]}
    payment = await rig.authorize()
    rig.provider.inquiries = [unknown(), Outcome(OutcomeKind.SUCCEEDED)]
    rig.clock.forward(6)
    await rig.recovery.work_once()
    assert (await now(rig, payment.payment_id)).status == "processing"
    rig.clock.forward(31)
    await rig.recovery.work_once()
    assert (await now(rig, payment.payment_id)).status == "requires_capture"


async def test_unknown_for_too_long_goes_to_a_person(rig: Rig) -> None:
    rig.provider.says = {"acc_a": [unknown()]}
    rig.provider.inquiries = [unknown() for _ in range(50)]
    payment = await rig.authorize()
    for _ in range(20):
        rig.clock.forward(120)
        await rig.recovery.work_once()
    settled = await now(rig, payment.payment_id)
    assert settled.needs_review
    assert settled.status == "processing"
    assert (await event_types(rig)) == ["payment.needs_review"]


async def test_silent_provider_is_reversed_by_reference(tmp_path: Path) -> None:
    provider = ScriptedProvider(traits=ConnectorTraits(False, True, 60))
    rig = await make_rig(tmp_path, provider=provider)
    provider.says = {"acc_a": [unknown()]}
    payment = await rig.authorize()
    requests: list[FollowUpRequest] = []

    def accept(request: FollowUpRequest) -> Outcome:
        requests.append(request)
        return pending()

    provider.follow = [accept]
    for _ in range(4):
        rig.clock.forward(31)
        await rig.recovery.work_once()
    assert len(requests) == 1
    assert requests[0].authorization_operation_id == payment.attempts[0].attempt_id
    await webhook(rig, f"cancel {requests[0].operation_id} succeeded")
    settled = await now(rig, payment.payment_id)
    assert settled.status == "failed"
    assert settled.decline is not None
    assert settled.decline.code is DeclineCode.OUTCOME_REVERSED


async def test_payer_who_does_not_come_back(rig: Rig) -> None:
    action = NextAction("redirect", "https://acs.example/3ds")
    rig.provider.says = {"acc_a": [Outcome(OutcomeKind.REQUIRES_ACTION, next_action=action)]}
    still = Outcome(OutcomeKind.REQUIRES_ACTION, next_action=action)
    rig.provider.inquiries = [still for _ in range(100)]
    payment = await rig.authorize()
    for _ in range(70):
        rig.clock.forward(60)
        await rig.recovery.work_once()
    settled = await now(rig, payment.payment_id)
    assert settled.status == "failed"
    assert settled.decline is not None
    assert settled.decline.code is DeclineCode.ABANDONED_BY_CUSTOMER


async def test_authorization_expires_here_as_it_does_there(rig: Rig) -> None:
    payment = await rig.authorize()
    rig.clock.forward(168 * 3_600 + 1)
    with pytest.raises(StateConflict) as refused:
        await capture(rig, payment.payment_id)
    assert refused.value.reason == "AUTHORIZATION_EXPIRED"
    assert await rig.recovery.sweep_once() == 1
    settled = await now(rig, payment.payment_id)
    assert (settled.status, settled.cancellation_reason) == ("canceled", "expired")
    assert (await event_types(rig))[-1] == "payment.authorization_expired"


async def test_a_dead_account_refuses_a_refund_honestly(rig: Rig) -> None:
    payment = await rig.authorize(capture_method=AUTO)
    rig.provider.follow = [unreachable()]
    answer = await refund(rig, payment.payment_id)
    assert answer.status == v1.REFUND_STATUS_FAILED
    assert (await now(rig, payment.payment_id)).refundable_minor == 1_099


async def test_create_confirm_and_decline_asks_for_another_method(rig: Rig) -> None:
    from tests.unit.rig import payment_command
    from turnout.orchestration.commands import ConfirmCommand

    created = v1.Payment.FromString(
        await rig.payments.create(rig.caller(), idem("p", rpc="create"), payment_command())
    )
    assert created.status == v1.PAYMENT_STATUS_REQUIRES_CONFIRMATION
    assert rig.provider.calls == []
    rig.provider.says = {"acc_a": [no(DeclineCode.INSUFFICIENT_FUNDS)]}
    confirm = ConfirmCommand(created.payment_id)
    declined = v1.Payment.FromString(
        await rig.payments.confirm(rig.caller(), idem("q", rpc="confirm"), confirm)
    )
    assert declined.status == v1.PAYMENT_STATUS_REQUIRES_PAYMENT_METHOD
    with pytest.raises(InvalidRequest):
        await rig.payments.confirm(rig.caller(), idem("q2", rpc="confirm"), confirm)
    confirm.method = payment_command().method
    paid = v1.Payment.FromString(
        await rig.payments.confirm(rig.caller(), idem("q3", rpc="confirm"), confirm)
    )
    assert paid.status == v1.PAYMENT_STATUS_REQUIRES_CAPTURE
    assert len(paid.attempts) == 2
    assert paid.merchant_id == MERCHANT


async def test_cancel_before_any_provider_heard_of_it(rig: Rig) -> None:
    from tests.unit.rig import payment_command

    created = v1.Payment.FromString(
        await rig.payments.create(rig.caller(), idem("p", rpc="create"), payment_command())
    )
    first = await cancel(rig, created.payment_id)
    assert first.status == v1.PAYMENT_STATUS_CANCELED
    assert await cancel(rig, created.payment_id) == first
    assert rig.provider.calls == []


async def test_an_operation_that_everybody_forgot_is_found_by_its_timer(rig: Rig) -> None:
    async def dies(_: Any) -> Outcome:
        raise asyncio.CancelledError

    rig.provider.says = {"acc_a": [dies]}
    call = asyncio.create_task(rig.authorize(timeout_s=0.2))
    await asyncio.gather(call, return_exceptions=True)
    rig.provider.inquiries = [Outcome(OutcomeKind.SUCCEEDED)]
    await rig.recovery.work_once()
    assert not [one for one in rig.provider.calls if one[1] == "inquire"]
    rig.clock.forward(81)
    await rig.recovery.work_once()
    [payment] = await rig.payments.list(rig.caller(), PaymentFilter())
    assert payment.status == "requires_capture"


async def test_recovery_leaves_alone_what_is_being_sent(rig: Rig) -> None:
    gate = asyncio.Event()

    async def slow(_: Any) -> Outcome:
        await gate.wait()
        return Outcome(OutcomeKind.SUCCEEDED)

    rig.provider.says = {"acc_a": [slow]}
    payment = await rig.authorize(timeout_s=0.1)
    rig.clock.forward(3_600)
    assert await rig.recovery.work_once() == 0
    gate.set()
    await rig.claims.drain(5.0)
    assert (await now(rig, payment.payment_id)).status == "requires_capture"
