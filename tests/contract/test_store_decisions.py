"""What every record promises of decisions: found by their owner, read in order of their time."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.store_kinds import KINDS, open_store
from tests.contract.store_units import (
    MERCHANT,
    NOW_NS,
    make_operation,
    make_payment,
    operation_id,
)
from turnout.domain import ids
from turnout.domain.operation import OperationKind, OperationState
from turnout.ports import DecidedAttempt, DecisionFilter, DecisionRecord, Store, UnitOfWork

MS = 1_000_000


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(request.param, tmp_path) as opened:
        yield opened


def at(number: int) -> int:
    """When the payment of this number is decided: a millisecond after the one before."""
    return NOW_NS + number * MS


def want(
    first: int, end: int, profile_id: str = "default", *, live: bool = False, limit: int = 100
) -> DecisionFilter:
    after, before = (ids.id_time(ids.DECISION, at(number)) for number in (first, end))
    return DecisionFilter(profile_id, live, after, before, limit)


async def decide(
    store: Store,
    number: int,
    *,
    merchant_id: str = MERCHANT,
    profile_id: str = "default",
    live: bool = False,
) -> DecidedAttempt:
    """A payment whose first attempt was declined and whose second one approved."""
    payment = make_payment(number, merchant_id=merchant_id)
    payment.profile_id, payment.live = profile_id, live
    payment.amount_minor = 1_000 + number
    first = make_operation(payment, number)
    first.created_at_ns = at(number)
    decision = DecisionRecord(
        ids.make_id(ids.DECISION, at(number), number.to_bytes(ids.RANDOM_BYTES)),
        merchant_id,
        payment.payment_id,
        at(number),
        f"record {number}".encode(),
    )
    await store.commit(UnitOfWork(payment=payment, operations=[first], decision=decision))
    first.state = OperationState.FAILED
    second = make_operation(payment, number, sequence=2)
    second.created_at_ns, second.account_id = at(number) + 5, "acc_south"
    payment.version += 1
    await store.commit(UnitOfWork(payment=payment, operations=[first, second]))
    return DecidedAttempt(
        decision, first.account_id, OperationState.FAILED, payment.amount_minor, payment.currency
    )


async def test_a_decision_is_found_by_its_owner_only(store: Store) -> None:
    made = (await decide(store, 1)).decision
    assert await store.get_decision(MERCHANT, made.decision_id) == made
    assert await store.get_decision("mer_other", made.decision_id) is None
    assert await store.get_decision(MERCHANT, "dec_none") is None


async def test_decisions_come_with_the_first_attempt_that_followed(store: Store) -> None:
    made = [await decide(store, number) for number in (3, 1, 2)]
    made.sort(key=lambda one: one.decision.decision_id, reverse=True)
    assert await store.list_decisions(MERCHANT, want(0, 9)) == made
    assert await store.list_decisions("mer_other", want(0, 9)) == []


async def test_a_payment_that_was_decided_twice_is_told_of_twice(store: Store) -> None:
    first = await decide(store, 1)
    payment = await store.get_payment(first.decision.payment_id)
    assert payment is not None
    third = make_operation(payment, 1, sequence=3)
    third.operation_id = operation_id(1, 3)
    third.created_at_ns = at(7)
    again = DecisionRecord(
        ids.make_id(ids.DECISION, at(7), bytes(ids.RANDOM_BYTES)),
        MERCHANT,
        payment.payment_id,
        at(7),
        b"again",
    )
    payment.version += 1
    await store.commit(UnitOfWork(payment=payment, operations=[third], decision=again))
    capture = make_operation(payment, 1, kind=OperationKind.CAPTURE, sequence=4)
    capture.created_at_ns = at(7)
    payment.version += 1
    await store.commit(UnitOfWork(payment=payment, operations=[capture]))
    second = DecidedAttempt(
        again, third.account_id, OperationState.SENDING, payment.amount_minor, payment.currency
    )
    assert await store.list_decisions(MERCHANT, want(0, 9)) == [second, first]


async def test_decisions_are_of_one_profile_mode_and_time(store: Store) -> None:
    made = {number: await decide(store, number) for number in range(1, 7)}
    other = await decide(store, 7, profile_id="other")
    await decide(store, 8, live=True)
    await decide(store, 9, merchant_id="mer_other")
    assert await store.list_decisions(MERCHANT, want(3, 6)) == [made[5], made[4], made[3]]
    assert await store.list_decisions(MERCHANT, want(0, 10, "other")) == [other]
    assert len(await store.list_decisions(MERCHANT, want(0, 10))) == 6
    live = await store.list_decisions(MERCHANT, want(0, 10, live=True))
    assert [one.decision.created_at_ns for one in live] == [at(8)]


async def test_pages_of_decisions_meet(store: Store) -> None:
    made = [await decide(store, number) for number in range(1, 10)][::-1]
    seen: list[DecidedAttempt] = []
    page = want(0, 10, limit=2)
    while found := await store.list_decisions(MERCHANT, page):
        seen += found
        page = replace(page, before=found[-1].decision.decision_id)
    assert seen == made
