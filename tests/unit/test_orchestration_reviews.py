"""Reviews: what an operator says settles like a provider's answer, never against the books."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.rig import (
    Rig,
    ScriptedProvider,
    idem,
    make_rig,
    no,
    payment_command,
    unknown,
)
from turnout import v1
from turnout.app.watch import Watch
from turnout.domain.errors import (
    IdempotencyKeyReused,
    InvalidRequest,
    NotFound,
    StateConflict,
)
from turnout.domain.ledger import Book
from turnout.domain.operation import OperationKind, OperationState
from turnout.domain.outcomes import Outcome, OutcomeKind
from turnout.domain.payment import CaptureMethod, Payment
from turnout.domain.reviews import LATE_SUCCESS, under_review
from turnout.orchestration.commands import (
    CancelCommand,
    CaptureCommand,
    ConfirmCommand,
    Operator,
    RefundCommand,
    Resolution,
    ResolveCommand,
)
from turnout.ports import (
    BalanceFilter,
    ConnectorTraits,
    EventFilter,
    InquiryRequest,
    LedgerFilter,
    ReviewFilter,
)
from turnout.stores.memory import MemoryStore

_DEAF = ConnectorTraits(can_inquire=False, can_cancel_by_reference=False)


@pytest.fixture
async def rig(tmp_path: Path) -> Rig:
    return await make_rig(tmp_path, names=("acc_a",), provider=ScriptedProvider(traits=_DEAF))


def operator(rig: Rig) -> Operator:
    return Operator("opr_1", "Olga", rig.clock.monotonic_ns() + 30 * 10**9)


async def resolve(
    rig: Rig,
    payment_id: str,
    operation_id: str,
    resolution: Resolution,
    key: str = "r1",
    note: str = "seen in the provider's dashboard",
) -> v1.Payment:
    command = ResolveCommand(payment_id, operation_id, resolution, note)
    asked = idem(key, repr(command).encode(), rpc="ResolveReview")
    return v1.Payment.FromString(await rig.reviews.resolve(operator(rig), asked, command))


async def left_alone(rig: Rig) -> None:
    """Nobody tells for longer than recovery waits."""
    for _ in range(200):
        rig.clock.forward(3_600)
        await rig.recovery.work_once()


async def waiting(rig: Rig) -> list[Payment]:
    found = await rig.reviews.list(ReviewFilter())
    assert (await rig.store.audit_ledger()).difference is None
    return found


async def unknown_authorization(rig: Rig, **changes: Any) -> tuple[str, str]:
    """A payment whose outcome nobody ever told: its id and its attempt's."""
    rig.provider.says["acc_a"] = [unknown()]
    payment = await rig.authorize(**changes)
    await left_alone(rig)
    found = await waiting(rig)
    assert [one.payment_id for one in found] == [payment.payment_id]
    assert [one.state for one in under_review(found[0])] == [OperationState.NEEDS_REVIEW]
    return payment.payment_id, found[0].operations[0].operation_id


async def event_types(rig: Rig) -> list[str]:
    return [one.type.value for one in await rig.events.list(rig.caller(), EventFilter(limit=100))]


async def test_a_charge_that_truly_happened_is_booked(rig: Rig) -> None:
    payment_id, attempt_id = await unknown_authorization(
        rig, capture_method=CaptureMethod.AUTOMATIC
    )
    answer = await resolve(rig, payment_id, attempt_id, Resolution.SUCCEEDED)
    assert answer.status == v1.PAYMENT_STATUS_SUCCEEDED
    assert answer.captured_minor == 1_099
    assert await waiting(rig) == []
    assert (await event_types(rig))[-1] == "payment.captured"
    assert isinstance(rig.store, MemoryStore)
    (said,) = rig.store.reviews()
    assert (said.operator_id, said.resolution) == ("opr_1", "succeeded")
    assert said.note == "seen in the provider's dashboard"
    # The caller's own key still gives the answer that it had; GetPayment tells the present.
    payment = await rig.payments.get(rig.caller(), payment_id)
    assert not payment.needs_review


@pytest.mark.parametrize("resolution", [Resolution.FAILED, Resolution.NOT_PROCESSED])
async def test_a_charge_that_never_was_ends_the_payment(rig: Rig, resolution: Resolution) -> None:
    payment_id, attempt_id = await unknown_authorization(rig)
    answer = await resolve(rig, payment_id, attempt_id, resolution)
    assert answer.status == v1.PAYMENT_STATUS_FAILED
    assert await waiting(rig) == []
    assert (await event_types(rig))[-1] == "payment.failed"
    assert len(rig.provider.calls) == 1


async def test_the_same_key_says_it_once_and_another_word_is_refused(rig: Rig) -> None:
    payment_id, attempt_id = await unknown_authorization(rig)
    first = await resolve(rig, payment_id, attempt_id, Resolution.SUCCEEDED)
    assert await resolve(rig, payment_id, attempt_id, Resolution.SUCCEEDED) == first
    with pytest.raises(IdempotencyKeyReused):
        await resolve(rig, payment_id, attempt_id, Resolution.FAILED)
    with pytest.raises(StateConflict) as refused:
        await resolve(rig, payment_id, attempt_id, Resolution.FAILED, key="r2")
    assert refused.value.reason == "REVIEW_NOT_OPEN"


async def test_what_is_not_under_review_cannot_be_resolved(rig: Rig) -> None:
    payment_id, attempt_id = await unknown_authorization(rig)
    with pytest.raises(NotFound) as missing:
        await resolve(rig, "pay_none", attempt_id, Resolution.FAILED)
    assert missing.value.reason == "PAYMENT_NOT_FOUND"
    with pytest.raises(NotFound) as other:
        await resolve(rig, payment_id, "att_other", Resolution.FAILED, key="r2")
    assert attempt_id in other.value.message
    with pytest.raises(StateConflict) as open_:
        await resolve(rig, payment_id, attempt_id, Resolution.RECORD_STANDS, key="r3")
    assert open_.value.reason == "OUTCOME_OPEN"
    with pytest.raises(InvalidRequest):
        await resolve(rig, payment_id, attempt_id, Resolution.FAILED, key="r4", note="  ")
    with pytest.raises(InvalidRequest) as card:
        await resolve(
            rig,
            payment_id,
            attempt_id,
            Resolution.FAILED,
            key="r5",
            note="it was 4111111111111111",
        )
    assert card.value.reason == "CARD_DATA_IN_TEXT"
    assert len(await waiting(rig)) == 1


async def test_a_second_approval_must_be_undone_at_the_provider_first(rig: Rig) -> None:
    rig.provider.says["acc_a"] = [no()]
    payment = await rig.authorize()
    attempt_id = payment.attempts[0].attempt_id
    body = f"authorize {attempt_id} succeeded".encode()
    await rig.webhooks.receive("acc_a", {}, body)
    await rig.webhooks.work_once()
    assert len(await waiting(rig)) == 1
    with pytest.raises(StateConflict) as refused:
        await resolve(rig, payment.payment_id, attempt_id, Resolution.SUCCEEDED)
    assert refused.value.reason == "PAYMENT_HAS_ENDED"
    answer = await resolve(rig, payment.payment_id, attempt_id, Resolution.FAILED, key="r2")
    assert answer.status == v1.PAYMENT_STATUS_FAILED
    assert await waiting(rig) == []


async def captured(rig: Rig) -> str:
    payment = await rig.authorize(capture_method=CaptureMethod.AUTOMATIC)
    return payment.payment_id


async def refund(rig: Rig, payment_id: str, amount_minor: int = 300) -> str:
    answer = await rig.refunds.create(
        rig.caller(),
        idem(f"refund-{amount_minor}", rpc="refund"),
        RefundCommand(payment_id, amount_minor),
    )
    return v1.Refund.FromString(answer).refund_id


@pytest.mark.parametrize(
    ("resolution", "refunded"),
    [(Resolution.SUCCEEDED, 300), (Resolution.FAILED, 0), (Resolution.NOT_PROCESSED, 0)],
)
async def test_a_refund_that_nobody_tells_of(
    rig: Rig, resolution: Resolution, refunded: int
) -> None:
    payment_id = await captured(rig)
    rig.provider.follow = [unknown() for _ in range(300)]
    refund_id = await refund(rig, payment_id)
    await left_alone(rig)
    assert len(await waiting(rig)) == 1
    answer = await resolve(rig, payment_id, refund_id, resolution)
    assert answer.refunded_minor == refunded
    assert answer.refundable_minor == 1_099 - refunded
    assert await waiting(rig) == []


@pytest.mark.parametrize("resolution", [Resolution.SUCCEEDED, Resolution.FAILED])
async def test_a_refund_that_failed_and_then_succeeded_after_all(
    rig: Rig, resolution: Resolution
) -> None:
    payment_id = await captured(rig)
    rig.provider.follow = [no()]
    refund_id = await refund(rig, payment_id)
    payment = await rig.payments.get(rig.caller(), payment_id)
    assert (payment.refunded_minor, payment.pending_refund_minor) == (0, 0)
    await notify(rig, f"refund {refund_id} succeeded")
    found = await waiting(rig)
    assert [one.pending_refund_minor for one in found] == [300]
    answer = await resolve(rig, payment_id, refund_id, resolution)
    assert answer.refunded_minor == (300 if resolution is Resolution.SUCCEEDED else 0)
    assert await waiting(rig) == []


async def test_a_refund_that_was_taken_back_is_the_merchant_s_again(rig: Rig) -> None:
    payment_id = await captured(rig)
    refund_id = await refund(rig, payment_id)
    await notify(rig, f"refund {refund_id} unsucceeded")
    payment = await rig.payments.get(rig.caller(), payment_id)
    assert (payment.refunded_minor, payment.refundable_minor) == (0, 1_099)
    assert await waiting(rig) == []
    held = {
        one.book: one.balance_minor
        for one in await rig.ledger.balances(rig.caller(), BalanceFilter())
    }
    assert (held[Book.PAYABLE], held[Book.REFUNDED]) == (-1_099, 0)
    assert held[Book.REFUNDS_IN_TRANSIT] == 0
    entries = await rig.ledger.entries(rig.caller(), LedgerFilter(payment_id=payment_id))
    assert len(entries) == 6


async def notify(rig: Rig, body: str) -> None:
    await rig.webhooks.receive("acc_a", {}, body.encode())
    await rig.webhooks.work_once()


async def test_a_capture_that_comes_after_the_release_waits_for_a_person(rig: Rig) -> None:
    payment = await rig.authorize()
    rig.provider.follow = [Outcome(OutcomeKind.PENDING)]
    answer = await rig.payments.capture(
        rig.caller(), idem("c1", rpc="capture"), CaptureCommand(payment.payment_id)
    )
    capture_id = v1.Payment.FromString(answer).captures[0].capture_id
    await notify(rig, f"cancel {payment.attempts[0].attempt_id} succeeded")
    stored = await rig.store.get_payment(payment.payment_id)
    assert stored is not None
    if stored.released_minor == 0:
        pytest.skip("a release waits for the capture that is under way")
    await notify(rig, f"capture {capture_id} succeeded")
    assert len(await waiting(rig)) == 1
    with pytest.raises(StateConflict):
        await resolve(rig, payment.payment_id, capture_id, Resolution.SUCCEEDED)
    answered = await resolve(rig, payment.payment_id, capture_id, Resolution.FAILED, key="r2")
    assert answered.captured_minor == 0
    assert await waiting(rig) == []


async def test_a_contradicted_outcome_stands_once_a_person_says_so(rig: Rig) -> None:
    payment_id = await captured(rig)
    stored = await rig.store.get_payment(payment_id)
    assert stored is not None
    attempt = stored.of_kind(OperationKind.AUTHORIZE)[0]
    other = Outcome(OutcomeKind.SUCCEEDED, amount_minor=1_100, currency="EUR")
    await rig.parts.settle(stored, attempt.operation_id, other)
    (found,) = await waiting(rig)
    assert [one.reason for one in under_review(found)] == ["amount_mismatch"]
    with pytest.raises(StateConflict) as refused:
        await resolve(rig, payment_id, attempt.operation_id, Resolution.SUCCEEDED)
    assert refused.value.reason == "OUTCOME_KNOWN"
    answer = await resolve(
        rig, payment_id, attempt.operation_id, Resolution.RECORD_STANDS, key="r2"
    )
    assert answer.captured_minor == 1_099
    assert await waiting(rig) == []


async def test_a_refund_of_what_was_taken_back_keeps_its_flag(rig: Rig) -> None:
    payment_id = await captured(rig)
    await refund(rig, payment_id)
    stored = await rig.store.get_payment(payment_id)
    assert stored is not None
    attempt_id = stored.operations[0].operation_id
    await rig.parts.settle(stored, attempt_id, no(), reverses=True)
    assert len(await waiting(rig)) == 1
    with pytest.raises(StateConflict) as refused:
        await resolve(rig, payment_id, attempt_id, Resolution.RECORD_STANDS)
    assert refused.value.reason == "REFUNDED_OVER_CAPTURED"
    assert len(await waiting(rig)) == 1


async def test_of_two_operations_under_review_the_other_one_stays(rig: Rig) -> None:
    payment_id = await captured(rig)
    rig.provider.follow = [unknown() for _ in range(900)]
    first = await refund(rig, payment_id, 300)
    second = await refund(rig, payment_id, 200)
    await left_alone(rig)
    await resolve(rig, payment_id, first, Resolution.SUCCEEDED)
    (found,) = await waiting(rig)
    assert [one.operation_id for one in under_review(found)] == [second]
    await resolve(rig, payment_id, second, Resolution.FAILED, key="r2")
    assert await waiting(rig) == []


async def test_a_contradiction_outlives_the_resolution_of_something_else(rig: Rig) -> None:
    payment_id = await captured(rig)
    stored = await rig.store.get_payment(payment_id)
    assert stored is not None
    attempt_id = stored.operations[0].operation_id
    other = Outcome(OutcomeKind.SUCCEEDED, amount_minor=1_100, currency="EUR")
    await rig.parts.settle(stored, attempt_id, other)
    rig.provider.follow = [unknown() for _ in range(900)]
    refund_id = await refund(rig, payment_id)
    await left_alone(rig)
    await resolve(rig, payment_id, refund_id, Resolution.SUCCEEDED)
    (found,) = await waiting(rig)
    assert [one.operation_id for one in under_review(found)] == [attempt_id]
    await resolve(rig, payment_id, attempt_id, Resolution.RECORD_STANDS, key="r2")
    assert await waiting(rig) == []


async def test_webhooks_that_fail_ten_times_are_shown_to_operators(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise ValueError("a defect")

    payment = await rig.authorize()
    monkeypatch.setattr(rig.webhooks, "_apply", broken)
    await rig.webhooks.receive(
        "acc_a", {}, f"authorize {payment.attempts[0].attempt_id} succeeded".encode()
    )
    for _ in range(10):
        assert await rig.reviews.set_aside(None, 10) == []
        await rig.webhooks.work_once()
        rig.clock.forward(61)
    (aside,) = await rig.reviews.set_aside(None, 10)
    assert (aside.attempts, aside.reason) == (10, "ValueError")


async def test_a_charge_after_a_longer_stall_than_settle_after_s(tmp_path: Path) -> None:
    """Not found was believed, because no copy could be on its way; then one arrived."""
    rig = await make_rig(tmp_path, names=("acc_a",))
    rig.provider.says["acc_a"] = [unknown()]
    not_found = Outcome(OutcomeKind.NOT_PROCESSED, reason="not_found")
    rig.provider.inquiries = [not_found]
    payment = await rig.authorize()
    attempt_id = payment.attempts[0].attempt_id
    timeout_s = rig.parts.directory.accounts["acc_a"].timeout_ms / 1_000
    rig.clock.forward(timeout_s + rig.parts.schedule.settings.settle_after_s + 1)
    await rig.recovery.work_once()
    assert (await rig.payments.get(rig.caller(), payment.payment_id)).status == "failed"
    await rig.webhooks.receive("acc_a", {}, f"authorize {attempt_id} succeeded".encode())
    await rig.webhooks.work_once()
    (found,) = await waiting(rig)
    (attempt,) = under_review(found)
    assert (attempt.operation_id, attempt.reason) == (attempt_id, LATE_SUCCESS)
    assert (found.status, found.authorized_minor) == ("failed", 0)
    assert (await event_types(rig))[-1] == "payment.needs_review"


async def test_a_cancel_says_nothing_of_an_earlier_attempt(rig: Rig) -> None:
    """Declined, confirmed anew at the same account, canceled; then the first was approved."""
    created = v1.Payment.FromString(
        await rig.payments.create(rig.caller(), idem("p", rpc="create"), payment_command())
    )
    command = ConfirmCommand(created.payment_id, payment_command().method)
    rig.provider.says["acc_a"] = [no()]
    for key in ("first", "second"):
        await rig.payments.confirm(rig.caller(), idem(key, rpc="confirm"), command)
    canceled = v1.Payment.FromString(
        await rig.payments.cancel(
            rig.caller(), idem("x", rpc="cancel"), CancelCommand(created.payment_id)
        )
    )
    assert canceled.status == v1.PAYMENT_STATUS_CANCELED
    first, second = (one.attempt_id for one in canceled.attempts)
    for attempt_id in (second, first):
        assert await waiting(rig) == []
        await rig.webhooks.receive("acc_a", {}, f"authorize {attempt_id} succeeded".encode())
        await rig.webhooks.work_once()
    (found,) = await waiting(rig)
    assert [one.operation_id for one in under_review(found)] == [first]


async def test_not_found_is_not_believed_of_what_left_when_the_process_went_on(
    tmp_path: Path,
) -> None:
    """It stood still for minutes in the middle of a call, and sent the request after that."""
    rig = await make_rig(tmp_path, names=("acc_a",))
    believed: list[bool] = []

    async def sent_late(_: Any) -> Outcome:
        rig.clock.forward(300)
        return unknown()

    def asked(request: InquiryRequest) -> Outcome:
        believed.append(request.now_ns > request.sent_before_ns)
        return unknown()

    rig.provider.says["acc_a"] = [sent_late]
    rig.provider.inquiries = [asked, asked]
    await rig.authorize(timeout_s=3_600.0)
    for wait_s in (6, 95):
        rig.clock.forward(wait_s)
        await rig.recovery.work_once()
    assert believed == [False, True]


async def test_each_review_is_counted_once_by_its_reason(rig: Rig) -> None:
    watch = Watch()
    rig.parts.observer = watch.payments
    rig.provider.says = {"acc_a": [Outcome(OutcomeKind.SUCCEEDED, amount_minor=1_100), unknown()]}
    await rig.authorize("k1")
    await rig.authorize("k2")
    for _ in range(20):
        rig.clock.forward(120)
        await rig.recovery.work_once()
    counted = watch.metrics.registry.get_sample_value
    assert counted("turnout_reviews_total", {"reason": "amount_mismatch"}) == 1
    assert counted("turnout_reviews_total", {"reason": "timeout"}) == 1


async def test_what_an_account_owes_that_is_gone_is_shown_to_a_person(rig: Rig) -> None:
    """Its section was taken out of turnout.toml while an outcome was unknown."""
    rig.provider.says["acc_a"] = [unknown()]
    payment = await rig.authorize()
    rig.parts.directory.accounts = {}
    for _ in range(6):
        rig.clock.forward(100)
        await rig.recovery.work_once()
    assert await waiting(rig) == []
    rig.clock.forward(600)
    await rig.recovery.work_once()
    (found,) = await waiting(rig)
    (attempt,) = under_review(found)
    assert (attempt.operation_id, attempt.reason) == (
        payment.attempts[0].attempt_id,
        "account_not_configured",
    )
    rig.clock.forward(600)
    assert await rig.recovery.work_once() == 0


async def test_a_payment_that_trips_recovery_is_shown_to_a_person(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def trips(*_: Any) -> Payment:
        raise ValueError("no such edge")

    rig.provider.says["acc_a"] = [unknown()]
    await rig.authorize()
    monkeypatch.setattr(rig.recovery._follow_ups, "ask", trips)
    for _ in range(12):
        rig.clock.forward(100)
        await rig.recovery.work_once()
    (found,) = await waiting(rig)
    assert [one.reason for one in under_review(found)] == ["recovery_defect"]
