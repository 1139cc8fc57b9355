"""What every record promises of a unit of work: whole or not at all, and under its laws."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.store_kinds import KINDS, open_store
from tests.contract.store_units import (
    MERCHANT,
    NOW_NS,
    Authorization,
    authorization,
    claim_key,
    make_event,
    make_ledger,
    make_operation,
    make_payment,
)
from turnout.domain.ledger import Book, LedgerKind, Posting
from turnout.domain.operation import (
    OPERATION_TRANSITIONS,
    OperationDetails,
    OperationKind,
    OperationState,
)
from turnout.domain.payment import (
    STARTS,
    TRANSITIONS,
    Address,
    DecisionSummary,
    MethodView,
    Payment,
    PaymentStatus,
)
from turnout.ports import (
    Claim,
    ClaimTaken,
    EventFilter,
    MerchantReferenceTaken,
    Store,
    UnitOfWork,
    VersionConflict,
)
from turnout.stores.laws import RecordRefused


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(request.param, tmp_path) as opened:
        yield opened


async def settled(store: Store, number: int = 1, reference: str = "") -> Authorization:
    """A payment whose both commits are in the record."""
    one = authorization(number, reference=reference)
    await store.commit(one.begin)
    await store.commit(one.settle())
    return one


async def test_a_payment_comes_back_as_it_was_committed(store: Store) -> None:
    one = authorization(1, reference="order-1")
    await store.commit(one.begin)
    one.payment.operations = [one.operation]
    assert await store.get_payment(one.payment.payment_id) == one.payment

    await store.commit(one.settle())
    found = await store.get_payment(one.payment.payment_id)
    assert found == one.payment
    assert found is not None
    assert found.status is PaymentStatus.REQUIRES_CAPTURE
    assert found.operations[0].state is OperationState.SUCCEEDED


async def test_details_that_stand_are_neither_written_nor_lost(store: Store) -> None:
    one = authorization(1)
    await store.commit(one.begin)
    one.payment.details.description = "not what the merchant said"
    method, decision = one.payment.method, one.payment.decision
    one.payment.method = MethodView("card", "tok_other")
    one.payment.decision = DecisionSummary("dec_other", "acc", [], [], "", 0, 0)
    settlement = one.settle()
    settlement.details_stand = True
    await store.commit(settlement)
    found = await store.get_payment(one.payment.payment_id)
    assert found is not None
    assert found.status is PaymentStatus.REQUIRES_CAPTURE
    assert found.details == replace(one.payment.details, description=found.details.description)
    assert found.details.description != "not what the merchant said"
    assert method is not None and found.method == method
    assert decision is not None and found.decision == decision


async def test_a_confirmation_brings_another_method(store: Store) -> None:
    one = authorization(1)
    await store.commit(one.begin)
    other = one.payment.method = MethodView("card", "tok_other")
    await store.commit(one.settle())
    found = await store.get_payment(one.payment.payment_id)
    assert found is not None and found.method == other


async def test_what_is_not_there_is_none(store: Store) -> None:
    assert await store.get_payment("pay_none") is None
    assert await store.find_claim(claim_key()) is None
    assert await store.find_taken(claim_key(), "none") == (None, "")
    assert await store.find_taken(claim_key(), "") == (None, "")
    assert await store.find_payment_by_operation("att_none") is None
    assert await store.find_payment_by_provider_reference("acc_north", "none") is None
    assert await store.find_payment_by_provider_reference("acc_north", "") is None


async def test_the_unit_is_read_when_commit_is_called(store: Store) -> None:
    one = authorization(1)
    committed = store.commit(one.begin)
    one.payment.amount_minor = 7
    one.payment.details.metadata["order"] = "changed"
    one.operation.provider_state["late"] = "yes"
    one.begin.operations.clear()
    await committed
    found = await store.get_payment(one.payment.payment_id)
    assert found is not None
    assert found.amount_minor == 1_000
    assert found.details.metadata == {"order": "1"}
    assert found.operations[0].provider_state == {}


async def test_changing_what_was_read_changes_nothing(store: Store) -> None:
    one = await settled(store)
    first = await store.get_payment(one.payment.payment_id)
    assert first is not None and first.method is not None and first.decision is not None
    first.status = PaymentStatus.FAILED
    first.details.metadata["x"] = "y"
    first.details.customer.email = "other"
    first.decision.reasons.append("invented")
    first.operations[0].provider_state["x"] = "y"
    first.operations.clear()
    claim = await store.find_claim(one.claim.key)
    assert claim is not None and claim.answer == b"answer-1"
    claim.answer = b"other"
    claim.key.key = "other"
    again = await store.find_claim(one.claim.key)
    assert again == replace(one.claim, answer=b"answer-1")
    assert await store.get_payment(one.payment.payment_id) == one.payment


async def test_a_claim_keeps_its_first_answer(store: Store) -> None:
    one = authorization(1)
    await store.commit(one.begin)
    assert await store.find_claim(one.claim.key) == one.claim
    assert await store.answer_claim(one.claim.key, b"first") == b"first"
    assert await store.answer_claim(one.claim.key, b"second") == b"first"
    await store.commit(UnitOfWork(answers=[(one.claim.key, b"third")]))
    assert await store.find_claim(one.claim.key) == replace(one.claim, answer=b"first")


async def test_of_two_answers_in_one_unit_the_first_stands(store: Store) -> None:
    one = authorization(1)
    await store.commit(one.begin)
    key = one.claim.key
    await store.commit(UnitOfWork(answers=[(key, b"first"), (key, b"second")]))
    claim = await store.find_claim(key)
    assert claim is not None and claim.answer == b"first"


async def test_an_answer_without_a_claim_is_nothing_in_a_unit_and_an_error_alone(
    store: Store,
) -> None:
    await store.commit(UnitOfWork(answers=[(claim_key("none"), b"x")]))
    assert await store.find_claim(claim_key("none")) is None
    with pytest.raises(KeyError):
        await store.answer_claim(claim_key("none"), b"x")


@pytest.mark.parametrize("answer", [b"", b"\x00\xff\xfe", b"{}"])
async def test_a_claim_may_be_born_answered(store: Store, answer: bytes) -> None:
    claim = Claim(claim_key(), b"\x00fp", "", "", NOW_NS, answer)
    await store.commit(UnitOfWork(claim=claim))
    assert await store.find_claim(claim.key) == claim


async def test_a_taken_claim_refuses_the_whole_unit(store: Store) -> None:
    await store.commit(authorization(1, key="same").begin)
    second = authorization(2, key="same")
    second.begin.events.append(make_event(second.payment))
    with pytest.raises(ClaimTaken):
        await store.commit(second.begin)
    assert await store.get_payment(second.payment.payment_id) is None
    assert await store.find_payment_by_operation(second.operation.operation_id) is None
    assert await store.list_events(MERCHANT, EventFilter()) == []


async def test_a_claim_is_one_per_merchant_and_rpc_and_key(store: Store) -> None:
    for key in (
        claim_key("k"),
        replace(claim_key("k"), rpc="CreateRefund"),
        replace(claim_key("k"), merchant_id="mer_other"),
        replace(claim_key("k"), key="k2"),
    ):
        await store.commit(UnitOfWork(claim=Claim(key, b"", "", "", NOW_NS)))


async def test_a_payment_moves_on_by_one_version_at_a_time(store: Store) -> None:
    one = await settled(store)
    stale = one.payment
    for version in (1, 2, 4):
        stale.version = version
        with pytest.raises(VersionConflict):
            await store.commit(UnitOfWork(payment=stale))
    missing = make_payment(9)
    missing.version = 2
    with pytest.raises(VersionConflict):
        await store.commit(UnitOfWork(payment=missing))
    stale.version = 3
    await store.commit(UnitOfWork(payment=stale))


async def test_a_version_conflict_refuses_the_whole_unit(store: Store) -> None:
    one = await settled(store)
    standing = await store.get_payment(one.payment.payment_id)
    capture = make_operation(one.payment, kind=OperationKind.CAPTURE, sequence=2)
    with pytest.raises(VersionConflict):
        await store.commit(
            UnitOfWork(
                claim=Claim(claim_key("capture"), b"", "", "", NOW_NS),
                payment=one.payment,
                operations=[capture],
                ledger=[make_ledger(capture, LedgerKind.CAPTURE, 2)],
                events=[make_event(one.payment, 2)],
                answers=[(one.claim.key, b"other")],
            )
        )
    assert await store.get_payment(one.payment.payment_id) == standing
    assert await store.find_claim(claim_key("capture")) is None
    assert len(await store.list_events(MERCHANT, EventFilter())) == 1


async def test_all_of_a_payment_may_change_but_what_names_it(store: Store) -> None:
    one = await settled(store)
    payment = one.payment
    payment.version += 1
    payment.amount_minor = 999
    payment.profile_id = "other"
    payment.config_version = 7
    payment.details.return_url = "https://shop.example/back"
    payment.details.customer.reference = "cus_9"
    payment.details.shipping_address = Address(country="FR")
    payment.needs_review = True
    await store.commit(UnitOfWork(payment=payment))
    assert await store.get_payment(payment.payment_id) == payment
    payment.version += 1
    payment.currency = "USD"
    with pytest.raises(RecordRefused, match="payment_identity"):
        await store.commit(UnitOfWork(payment=payment))


async def test_operations_are_added_and_replaced(store: Store) -> None:
    one = await settled(store)
    payment = one.payment
    capture = make_operation(payment, kind=OperationKind.CAPTURE, sequence=2, amount_minor=400)
    capture.check_at_ns = NOW_NS
    payment.operations.append(capture)
    payment.version += 1
    await store.commit(UnitOfWork(payment=payment, operations=[capture]))
    capture.move(OperationState.PENDING, NOW_NS + 9)
    capture.checks = 3
    capture.details = OperationDetails(reason="asked", metadata={"a": "b"})
    payment.version += 1
    await store.commit(UnitOfWork(payment=payment, operations=[capture]))
    assert await store.get_payment(payment.payment_id) == payment


@pytest.mark.parametrize(
    ("field", "value"), [("payment_id", "pay_x"), ("kind", OperationKind.REFUND), ("sequence", 9)]
)
async def test_what_names_an_operation_cannot_change(
    store: Store, field: str, value: object
) -> None:
    one = await settled(store)
    setattr(one.operation, field, value)
    with pytest.raises(RecordRefused):
        await store.commit(UnitOfWork(operations=[one.operation]))


async def test_an_operation_needs_its_payment_and_its_own_sequence(store: Store) -> None:
    one = await settled(store)
    orphan = make_operation(make_payment(7), 7)
    with pytest.raises(RecordRefused):
        await store.commit(UnitOfWork(operations=[orphan]))
    twin = make_operation(one.payment, 8, sequence=1)
    with pytest.raises(RecordRefused):
        await store.commit(UnitOfWork(operations=[twin]))


async def test_payments_begin_where_the_domain_says(store: Store) -> None:
    for number, status in enumerate(PaymentStatus, 1):
        payment = make_payment(number)
        payment.status = status
        if status in STARTS:
            await store.commit(UnitOfWork(payment=payment))
        else:
            with pytest.raises(RecordRefused, match="payment_transition"):
                await store.commit(UnitOfWork(payment=payment))


_ROADS: dict[PaymentStatus, tuple[PaymentStatus, ...]] = {}


def road_to(status: PaymentStatus) -> tuple[PaymentStatus, ...]:
    """A way along the table from a beginning to this status."""
    if not _ROADS:
        _ROADS.update((start, (start,)) for start in STARTS)
        reached = list(_ROADS)
        for one in reached:
            for target in sorted(TRANSITIONS[one]):
                if target not in _ROADS:
                    _ROADS[target] = (*_ROADS[one], target)
                    reached.append(target)
    return _ROADS[status]


async def test_payments_move_only_along_the_table(store: Store) -> None:
    number = 0
    for status in PaymentStatus:
        for target in PaymentStatus:
            number += 1
            payment = make_payment(number)
            payment.version = 0
            for step in road_to(status):
                payment.status = step
                payment.version += 1
                await store.commit(UnitOfWork(payment=payment))
            payment.status = target
            payment.version += 1
            if target is status or target in TRANSITIONS[status]:
                await store.commit(UnitOfWork(payment=payment))
            else:
                with pytest.raises(RecordRefused, match="payment_transition"):
                    await store.commit(UnitOfWork(payment=payment))


async def test_operations_move_only_along_the_table(store: Store) -> None:
    number = 0
    for state in OperationState:
        for target in OperationState:
            number += 1
            one = authorization(number)
            one.operation.state = state
            await store.commit(one.begin)
            one.operation.state = target
            moved = store.commit(UnitOfWork(operations=[one.operation]))
            if target is state or target in OPERATION_TRANSITIONS[state]:
                await moved
            else:
                with pytest.raises(RecordRefused, match="operation_transition"):
                    await moved


def over_captured(payment: Payment) -> None:
    payment.captured_minor, payment.pending_capture_minor = 600, 401


def over_refunded(payment: Payment) -> None:
    payment.captured_minor, payment.refunded_minor, payment.pending_refund_minor = 500, 300, 201


def negative(payment: Payment) -> None:
    payment.released_minor = -1


@pytest.mark.parametrize(
    ("spoil", "law"),
    [
        (over_captured, "captured_within_authorized"),
        (over_refunded, "refunded_within_captured"),
        (negative, "amount_not_negative"),
    ],
)
async def test_sums_keep_their_bounds(
    store: Store, spoil: Callable[[Payment], None], law: str
) -> None:
    one = await settled(store)
    standing = await store.get_payment(one.payment.payment_id)
    spoil(one.payment)
    one.payment.version += 1
    with pytest.raises(RecordRefused, match=law):
        await store.commit(UnitOfWork(payment=one.payment))
    assert await store.get_payment(one.payment.payment_id) == standing


async def test_refunds_may_exceed_captures_only_while_a_person_looks(store: Store) -> None:
    one = await settled(store)
    over_refunded(one.payment)
    one.payment.needs_review = True
    one.payment.version += 1
    await store.commit(UnitOfWork(payment=one.payment))


async def test_a_ledger_transaction_sums_to_zero(store: Store) -> None:
    one = await settled(store)
    crooked = make_ledger(one.operation, LedgerKind.CAPTURE, 5)
    for postings in (
        (Posting(Book.CAPTURED, 5), Posting(Book.PAYABLE, -4)),
        (Posting(Book.CAPTURED, 5),),
        (),
    ):
        crooked.postings = postings
        with pytest.raises(RecordRefused, match="ledger_zero_sum"):
            await store.commit(UnitOfWork(ledger=[crooked]))


async def test_a_cause_is_posted_once_unless_it_was_taken_back(store: Store) -> None:
    one = await settled(store)
    capture = make_operation(one.payment, kind=OperationKind.CAPTURE, sequence=2)
    taken, taken_back = LedgerKind.CAPTURE, LedgerKind.CAPTURE_FAILED
    steps = [(taken_back, False), (taken, True), (taken, False), (taken_back, True)]
    steps += [(taken_back, False), (taken, True), (taken, False)]
    for number, (kind, good) in enumerate(steps, 10):
        unit = UnitOfWork(ledger=[make_ledger(capture, kind, number)])
        if good:
            await store.commit(unit)
        else:
            with pytest.raises(RecordRefused, match="ledger_cause"):
                await store.commit(unit)
    with pytest.raises(RecordRefused, match="ledger_cause"):
        await store.commit(
            UnitOfWork(ledger=[make_ledger(one.operation, LedgerKind.AUTHORIZATION, 99)])
        )
    twice = [make_ledger(capture, LedgerKind.RELEASE, number) for number in (50, 51)]
    with pytest.raises(RecordRefused, match="ledger_cause"):
        await store.commit(UnitOfWork(ledger=twice))


async def test_units_that_wait_together_fail_apart(store: Store) -> None:
    await store.commit(authorization(1, key="same", reference="taken").begin)
    units: list[UnitOfWork] = []
    for number in range(2, 102):
        unit = authorization(number).begin
        if number % 10 == 3:
            unit = authorization(number, key="same").begin
        elif number % 10 == 5:
            unit = authorization(number, reference="taken").begin
        elif number % 10 == 7:
            assert unit.payment is not None
            unit.payment.version = 3
        elif number % 10 == 9:
            assert unit.payment is not None
            unit.payment.captured_minor = 1
        units.append(unit)
    commits = [store.commit(unit) for unit in units]
    results = await asyncio.gather(*commits, return_exceptions=True)
    wanted = {3: ClaimTaken, 5: MerchantReferenceTaken, 7: VersionConflict, 9: RecordRefused}
    for unit, result in zip(units, results, strict=True):
        assert unit.payment is not None and unit.claim is not None
        number = unit.payment.created_at_ns - NOW_NS
        error = wanted.get(number % 10)
        if error is None:
            assert result is None
        else:
            assert type(result) is error
        found = await store.get_payment(unit.payment.payment_id)
        assert (found is None) is (error is not None)


async def test_of_many_commits_with_one_key_one_wins(store: Store) -> None:
    commits = [store.commit(authorization(number, key="same").begin) for number in range(1, 301)]
    results = await asyncio.gather(*commits, return_exceptions=True)
    assert results[0] is None
    assert {type(one) for one in results[1:]} == {ClaimTaken}


async def test_steps_of_one_payment_that_wait_together_are_taken_in_order(store: Store) -> None:
    one = authorization(1)
    commits = [store.commit(one.begin), store.commit(one.settle())]
    for _ in range(3):
        one.payment.version += 1
        commits.append(store.commit(UnitOfWork(payment=one.payment)))
    late = store.commit(UnitOfWork(payment=one.payment))
    await asyncio.gather(*commits)
    with pytest.raises(VersionConflict):
        await late
    found = await store.get_payment(one.payment.payment_id)
    assert found == one.payment
