"""Authorize: cascade, idempotency, deadlines, and what is refused."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.unit.rig import (
    MERCHANT,
    Rig,
    idem,
    make_rig,
    no,
    payment_command,
    unknown,
    unreachable,
    until,
)
from turnout import v1
from turnout.domain.cards import CardDetails, luhn_valid
from turnout.domain.declines import DeclineCode
from turnout.domain.errors import (
    AlreadyExists,
    DeadlineExceeded,
    IdempotencyKeyReused,
    InvalidRequest,
    NotFound,
    RequestInProgress,
    StateConflict,
)
from turnout.domain.operation import OperationState
from turnout.domain.outcomes import Outcome, OutcomeKind
from turnout.domain.payment import CaptureMethod, NextAction, PaymentDetails
from turnout.orchestration.commands import CardInput, TokenCommand, TokenInput
from turnout.ports import EventFilter, PaymentFilter


@pytest.fixture
async def rig(tmp_path: Path) -> Rig:
    return await make_rig(tmp_path)


async def books(rig: Rig) -> list[Any]:
    return await rig.store.list_payments(MERCHANT, PaymentFilter())


async def event_types(rig: Rig) -> list[str]:
    return [one.type.value for one in await rig.events.list(rig.caller(), EventFilter())]


async def test_manual_approval_holds_the_money(rig: Rig) -> None:
    payment = await rig.authorize()
    assert payment.status == v1.PAYMENT_STATUS_REQUIRES_CAPTURE
    assert (payment.authorized_minor, payment.capturable_minor) == (1_099, 1_099)
    assert await event_types(rig) == ["payment.authorized"]


async def test_automatic_approval_is_paid(rig: Rig) -> None:
    payment = await rig.authorize(capture_method=CaptureMethod.AUTOMATIC)
    assert payment.status == v1.PAYMENT_STATUS_SUCCEEDED
    assert (payment.captured_minor, payment.refundable_minor) == (1_099, 1_099)
    assert await event_types(rig) == ["payment.captured"]


async def test_soft_decline_and_refusal_cascade_in_order(rig: Rig) -> None:
    rig.provider.says = {"acc_a": [unreachable()], "acc_b": [no(DeclineCode.DO_NOT_HONOR)]}
    payment = await rig.authorize()
    assert payment.status == v1.PAYMENT_STATUS_REQUIRES_CAPTURE
    assert [one.account_id for one in payment.attempts] == ["acc_a", "acc_b", "acc_c"]
    assert [one.status for one in payment.attempts] == [
        v1.ATTEMPT_STATUS_FAILED,
        v1.ATTEMPT_STATUS_DECLINED,
        v1.ATTEMPT_STATUS_AUTHORIZED,
    ]
    assert list(rig.provider.charged.values()) == ["acc_c"]


@pytest.mark.parametrize(
    "code", [DeclineCode.INSUFFICIENT_FUNDS, DeclineCode.STOLEN_CARD, DeclineCode.EXPIRED_CARD]
)
async def test_hard_decline_ends_the_payment(rig: Rig, code: DeclineCode) -> None:
    rig.provider.says = {"acc_a": [no(code)]}
    payment = await rig.authorize()
    assert payment.status == v1.PAYMENT_STATUS_FAILED
    assert payment.decline.code == getattr(v1, f"DECLINE_CODE_{code.name}")
    assert len(rig.provider.calls) == 1
    assert await event_types(rig) == ["payment.failed"]


async def test_unknown_outcome_is_never_cascaded(rig: Rig) -> None:
    rig.provider.says = {"acc_a": [unknown()]}
    payment = await rig.authorize()
    assert payment.status == v1.PAYMENT_STATUS_PROCESSING
    assert payment.processing_reason == v1.PROCESSING_REASON_OUTCOME_UNKNOWN
    assert {account for account, _, _ in rig.provider.calls} == {"acc_a"}


async def test_a_connector_defect_is_unknown_never_declined(rig: Rig) -> None:
    def burst(_: Any) -> Outcome:
        raise RuntimeError("defect")

    rig.provider.says = {"acc_a": [burst]}
    payment = await rig.authorize()
    assert payment.status == v1.PAYMENT_STATUS_PROCESSING
    assert len(payment.attempts) == 1


async def test_no_more_attempts_than_the_profile_allows(tmp_path: Path) -> None:
    names = tuple(f"acc_{n}" for n in range(6))
    rig = await make_rig(tmp_path, names=names)
    rig.provider.says = {name: [unreachable()] for name in names}
    payment = await rig.authorize()
    assert payment.status == v1.PAYMENT_STATUS_FAILED
    assert payment.decline.code == v1.DECLINE_CODE_PROVIDER_UNAVAILABLE
    assert len(payment.attempts) == 3


async def test_redirect_is_an_action_not_a_decline(rig: Rig) -> None:
    action = NextAction("redirect", "https://acs.example/3ds")
    rig.provider.says = {"acc_a": [Outcome(OutcomeKind.REQUIRES_ACTION, next_action=action)]}
    payment = await rig.authorize()
    assert payment.status == v1.PAYMENT_STATUS_REQUIRES_ACTION
    assert payment.next_action.redirect.url == "https://acs.example/3ds"
    # After an hour recovery undoes an attempt that the payer did not finish.
    ends_ns = payment.attempts[0].started_at.ToNanoseconds() + 3_600 * 10**9
    assert payment.next_action.expires_at.ToNanoseconds() == ends_ns
    assert await event_types(rig) == ["payment.requires_action"]


async def test_wrong_amount_goes_to_a_person_and_posts_nothing(rig: Rig) -> None:
    rig.provider.says = {"acc_a": [Outcome(OutcomeKind.SUCCEEDED, amount_minor=1_100)]}
    payment = await rig.authorize()
    assert payment.status == v1.PAYMENT_STATUS_PROCESSING
    assert payment.authorized_minor == 0
    assert await event_types(rig) == ["payment.needs_review"]


async def test_same_key_gives_the_same_bytes(rig: Rig) -> None:
    command = payment_command()
    first = await rig.payments.authorize(rig.caller(), idem("k"), command)
    again = await rig.payments.authorize(rig.caller(), idem("k"), payment_command())
    assert first == again
    assert len(rig.provider.calls) == 1


async def test_same_key_other_request_is_refused(rig: Rig) -> None:
    await rig.payments.authorize(rig.caller(), idem("k", b"one"), payment_command())
    with pytest.raises(IdempotencyKeyReused):
        await rig.payments.authorize(rig.caller(), idem("k", b"two"), payment_command())
    assert len(rig.provider.calls) == 1


async def test_a_thousand_parallel_calls_with_one_key_execute_once(rig: Rig) -> None:
    gate = asyncio.Event()

    async def slow(_: Any) -> Outcome:
        await gate.wait()
        return Outcome(OutcomeKind.SUCCEEDED)

    rig.provider.says = {"acc_a": [slow]}
    calls = [
        asyncio.create_task(rig.payments.authorize(rig.caller(), idem("k"), payment_command()))
        for _ in range(1_000)
    ]
    await until(lambda: bool(rig.provider.calls))
    gate.set()
    answers = await asyncio.gather(*calls)
    assert len(set(answers)) == 1
    assert len(rig.provider.calls) == 1
    assert len(await books(rig)) == 1


async def test_a_joined_call_with_another_request_is_refused(rig: Rig) -> None:
    gate = asyncio.Event()

    async def slow(_: Any) -> Outcome:
        await gate.wait()
        return Outcome(OutcomeKind.SUCCEEDED)

    rig.provider.says = {"acc_a": [slow]}
    first = asyncio.create_task(
        rig.payments.authorize(rig.caller(), idem("k", b"one"), payment_command())
    )
    await until(lambda: bool(rig.provider.calls))
    with pytest.raises(IdempotencyKeyReused):
        await rig.payments.authorize(rig.caller(), idem("k", b"two"), payment_command())
    with pytest.raises(RequestInProgress):
        await rig.payments.authorize(rig.caller(0.0), idem("k", b"one"), payment_command())
    gate.set()
    assert v1.Payment.FromString(await first).status == v1.PAYMENT_STATUS_REQUIRES_CAPTURE


async def test_deadline_answers_processing_and_the_work_goes_on(rig: Rig) -> None:
    gate = asyncio.Event()

    async def slow(_: Any) -> Outcome:
        await gate.wait()
        return Outcome(OutcomeKind.SUCCEEDED)

    rig.provider.says = {"acc_a": [slow]}
    payment = await rig.authorize(timeout_s=0.1)
    assert payment.status == v1.PAYMENT_STATUS_PROCESSING
    assert payment.processing_reason == v1.PROCESSING_REASON_IN_FLIGHT
    gate.set()
    assert await rig.claims.drain(5.0) == 0
    settled = await rig.payments.get(rig.caller(), payment.payment_id)
    assert settled.status == "requires_capture"
    # The stored answer stays what it was.
    assert await rig.authorize() == payment


async def test_after_the_deadline_no_other_account_is_opened(rig: Rig) -> None:
    gate = asyncio.Event()

    async def slow(_: Any) -> Outcome:
        await gate.wait()
        return no(DeclineCode.DO_NOT_HONOR)

    rig.provider.says = {"acc_a": [slow]}
    payment = await rig.authorize(timeout_s=0.1)
    assert payment.status == v1.PAYMENT_STATUS_PROCESSING
    gate.set()
    await rig.claims.drain(5.0)
    assert len(rig.provider.calls) == 1
    settled = await rig.payments.get(rig.caller(), payment.payment_id)
    assert settled.status == "failed"


async def test_a_caller_who_hangs_up_changes_nothing(rig: Rig) -> None:
    gate = asyncio.Event()

    async def slow(_: Any) -> Outcome:
        await gate.wait()
        return Outcome(OutcomeKind.SUCCEEDED)

    rig.provider.says = {"acc_a": [slow]}
    call = asyncio.create_task(rig.authorize())
    await until(lambda: bool(rig.provider.calls))
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    gate.set()
    await rig.claims.drain(5.0)
    assert (await rig.authorize()).status == v1.PAYMENT_STATUS_REQUIRES_CAPTURE
    assert len(rig.provider.calls) == 1


async def test_a_deadline_that_has_passed_stores_nothing(rig: Rig) -> None:
    with pytest.raises(DeadlineExceeded):
        # The run's timer fires before the claim is written.
        caller = rig.caller(-1.0)
        slowed = _yielding(rig.payments._authorize)
        rig.payments._authorize = slowed  # type: ignore[method-assign]
        await rig.payments.authorize(caller, idem("k"), payment_command())
    assert await books(rig) == []
    assert rig.provider.calls == []


def _yielding(function: Any) -> Any:
    async def wrapped(*arguments: Any) -> Any:
        await asyncio.sleep(0.01)
        return await function(*arguments)

    return wrapped


async def test_merchant_reference_is_a_natural_key(rig: Rig) -> None:
    first = await rig.authorize("one", merchant_reference="order-1")
    with pytest.raises(AlreadyExists) as refused:
        await rig.authorize("two", merchant_reference="order-1")
    assert refused.value.metadata["payment_id"] == first.payment_id
    assert len(rig.provider.calls) == 1


async def test_no_eligible_account_is_told_with_reasons(tmp_path: Path) -> None:
    rig = await make_rig(tmp_path, currencies=frozenset({"USD"}))
    with pytest.raises(StateConflict) as refused:
        await rig.authorize()
    assert refused.value.reason == "NO_ELIGIBLE_ACCOUNT"
    assert set(refused.value.metadata) == {"acc_a", "acc_b", "acc_c"}
    assert await books(rig) == []
    # Nothing was stored, so the same key may be used again.
    with pytest.raises(StateConflict):
        await rig.authorize()


async def test_a_token_pays_like_its_card(rig: Rig) -> None:
    card = CardInput(CardDetails("5555555555554444", 1, 2031, "123"))
    answer = await rig.tokens.create(rig.caller(), idem("t", rpc="token"), TokenCommand(card))
    token = v1.Token.FromString(answer)
    payment = await rig.authorize(method=TokenInput(token.token_id, "123"))
    assert payment.payment_method.token_id == token.token_id
    assert payment.payment_method.card.last4 == "4444"
    assert rig.provider.seen_cards == ["5555555555554444"]


async def test_another_merchants_things_are_not_there(rig: Rig) -> None:
    payment = await rig.authorize()
    stranger = rig.caller(merchant="mer_other")
    with pytest.raises(NotFound):
        await rig.payments.get(stranger, payment.payment_id)
    with pytest.raises(NotFound):
        await rig.payments.authorize(
            stranger,
            idem("s"),
            payment_command(method=TokenInput(payment.payment_method.token_id)),
        )
    assert await rig.payments.list(stranger, PaymentFilter()) == []
    assert await rig.events.list(stranger, EventFilter()) == []
    live = rig.caller()
    live.live = True
    with pytest.raises(NotFound):
        await rig.payments.get(live, payment.payment_id)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"currency": "XXQ"}, "currency"),
        ({"amount_minor": 0}, "amount_minor"),
        ({"amount_minor": -5}, "amount_minor"),
        ({"amount_minor": 2**62}, "amount_minor"),
        ({"merchant_reference": ""}, "merchant_reference"),
        ({"merchant_reference": "4111 1111 1111 1111"}, "merchant_reference"),
        ({"profile_id": "nobody"}, "profile_id"),
        ({"profile_id": "other"}, "profile_id"),
        (
            {"method": CardInput(CardDetails("4111111111111112", 3, 2030))},
            "payment_method.card.number",
        ),
        (
            {"method": CardInput(CardDetails("4111111111111111", 3, 2020))},
            "payment_method.card.expiry_year",
        ),
        (
            {"method": CardInput(CardDetails("4111111111111111", 13, 2030))},
            "payment_method.card.expiry_month",
        ),
        (
            {"method": CardInput(CardDetails("4111111111111111", 3, 2030, "12"))},
            "payment_method.card.cvc",
        ),
        ({"method": None}, "payment_method"),
        ({"details": PaymentDetails(risk_score=101)}, "risk_score"),
        ({"details": PaymentDetails(risk_score=-1)}, "risk_score"),
    ],
)
async def test_bad_input_names_the_field_and_stores_nothing(
    rig: Rig, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await rig.authorize(**changes)
    assert field in {one.field for one in refused.value.fields}
    assert "4111" not in str(refused.value)
    assert await books(rig) == []
    assert rig.provider.calls == []


@pytest.mark.parametrize("reference", ["20261121000008", "1790000000005", "90000000000000001"])
async def test_order_numbers_are_not_taken_for_cards(rig: Rig, reference: str) -> None:
    assert luhn_valid(reference)
    payment = await rig.authorize(merchant_reference=reference)
    assert payment.merchant_reference == reference


async def test_a_card_is_out_of_memory_after_the_answer(rig: Rig) -> None:
    seen: list[Any] = []

    async def keep(request: Any) -> Outcome:
        seen.append(request.reveal)
        return Outcome(OutcomeKind.SUCCEEDED)

    rig.provider.says = {"acc_a": [keep]}
    await rig.authorize()
    await rig.claims.drain(1.0)
    assert seen[0].wiped
    assert "4111" not in repr(seen[0])


async def test_health_learns_and_the_next_payment_goes_elsewhere(rig: Rig) -> None:
    rig.provider.says = {"acc_a": [unreachable() for _ in range(20)]}
    for number in range(8):
        await rig.authorize(f"k{number}")
    assert rig.provider.calls[-1][0] == "acc_b"
    assert rig.provider.calls[-2][0] == "acc_b"


async def test_stuck_in_sending_is_fenced_at_the_next_start(tmp_path: Path, rig: Rig) -> None:
    async def never(_: Any) -> Outcome:
        await asyncio.Event().wait()
        raise AssertionError

    rig.provider.says = {"acc_a": [never]}
    payment = await rig.authorize(timeout_s=0.1)
    after = await make_rig(tmp_path, store=rig.store, clock=rig.clock, provider=rig.provider)
    assert await after.recovery.fence() == 1
    fenced = await after.payments.get(after.caller(), payment.payment_id)
    assert [one.state for one in fenced.operations] == [OperationState.UNKNOWN]
    rig.provider.inquiries = [Outcome(OutcomeKind.SUCCEEDED, provider_reference="theirs")]
    await after.recovery.work_once()
    settled = await after.payments.get(after.caller(), payment.payment_id)
    assert settled.status == "requires_capture"
