"""What every record promises of reading: pages, filters, events and wake-ups."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.store_kinds import KINDS, open_store
from tests.contract.store_units import (
    ACCOUNT,
    MERCHANT,
    NOW_NS,
    authorization,
    make_event,
    make_operation,
    make_payment,
    payment_id,
)
from turnout.domain.events import EventType
from turnout.domain.operation import OperationDetails, OperationKind, OperationState
from turnout.domain.payment import PaymentStatus
from turnout.ports import EventFilter, PaymentFilter, RefundFilter, Store, UnitOfWork


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(request.param, tmp_path) as opened:
        yield opened


async def fill(store: Store, count: int, merchant_id: str = MERCHANT, first: int = 1) -> None:
    for number in range(first, first + count):
        one = authorization(
            number,
            merchant_id=merchant_id,
            reference=f"order-{number}",
            customer=f"cus-{number % 3}",
        )
        one.payment.account_id = ACCOUNT if number % 2 else "acc_south"
        one.payment.currency = one.operation.currency = "EUR" if number % 5 else "JPY"
        await store.commit(one.begin)
        if number % 4 == 0:
            await store.commit(one.settle())


async def numbers(store: Store, want: PaymentFilter, merchant_id: str = MERCHANT) -> list[int]:
    return [one.created_at_ns - NOW_NS for one in await store.list_payments(merchant_id, want)]


async def test_a_payment_is_found_by_each_of_its_names(store: Store) -> None:
    await fill(store, 8)
    four = await store.get_payment(payment_id(4))
    assert four is not None and four.provider_reference == "pi_4"
    operation = four.operations[0]
    named = PaymentFilter(merchant_reference="order-4")
    assert await store.list_payments(MERCHANT, named) == [four]
    assert await store.list_payments("mer_other", named) == []
    assert await store.find_payment_by_operation(operation.operation_id) == four
    found = await store.find_payment_by_provider_reference(operation.account_id, "pi_4")
    assert found == four
    assert await store.find_payment_by_provider_reference("acc_other", "pi_4") is None


async def test_payments_are_listed_newest_first_with_their_operations(store: Store) -> None:
    await fill(store, 30)
    await fill(store, 3, "mer_other", 31)
    page = await store.list_payments(MERCHANT, PaymentFilter(limit=5))
    assert [one.created_at_ns - NOW_NS for one in page] == [30, 29, 28, 27, 26]
    assert page == [await store.get_payment(one.payment_id) for one in page]
    assert all(one.operations for one in page)
    assert await numbers(store, PaymentFilter(), "mer_other") == [33, 32, 31]


async def test_pages_meet_without_a_gap_or_a_double(store: Store) -> None:
    # Payments of one nanosecond: the id decides.
    for number in range(1, 26):
        payment = make_payment(number)
        payment.created_at_ns = NOW_NS + number // 4
        await store.commit(UnitOfWork(payment=payment))
    seen: list[str] = []
    want = PaymentFilter(limit=4)
    while page := await store.list_payments(MERCHANT, want):
        seen += [one.payment_id for one in page]
        want = replace(want, before=(page[-1].created_at_ns, page[-1].payment_id))
    assert seen == [payment_id(number) for number in range(25, 0, -1)]


async def test_payments_are_filtered_by_every_part_and_by_all_at_once(store: Store) -> None:
    await fill(store, 40)
    every = range(40, 0, -1)
    want = PaymentFilter(limit=100)
    assert await numbers(store, want) == list(every)
    statuses = replace(want, statuses=[PaymentStatus.REQUIRES_CAPTURE, PaymentStatus.FAILED])
    assert await numbers(store, statuses) == [n for n in every if n % 4 == 0]
    customer = replace(want, customer_reference="cus-1")
    assert await numbers(store, customer) == [n for n in every if n % 3 == 1]
    assert await numbers(store, replace(want, customer_reference="none")) == []
    assert await numbers(store, replace(want, merchant_reference="order-7")) == [7]
    assert await numbers(store, replace(want, currency="JPY")) == [40, 35, 30, 25, 20, 15, 10, 5]
    account = replace(want, account_id="acc_south")
    assert await numbers(store, account) == [n for n in every if n % 2 == 0]
    span = replace(want, created_from_ns=NOW_NS + 10, created_to_ns=NOW_NS + 13)
    assert await numbers(store, span) == [12, 11, 10]
    all_of_it = replace(
        statuses, customer_reference="cus-1", currency="EUR", account_id="acc_south", limit=2
    )
    expected = [n for n in every if n % 4 == 0 and n % 3 == 1 and n % 5][:2]
    assert await numbers(store, all_of_it) == expected


async def test_a_changed_customer_is_found_under_the_new_reference(store: Store) -> None:
    payment = make_payment(1, customer="before")
    await store.commit(UnitOfWork(payment=payment))
    payment.details.customer.reference = "after"
    payment.version += 1
    await store.commit(UnitOfWork(payment=payment))
    assert await numbers(store, PaymentFilter(customer_reference="before")) == []
    assert await numbers(store, PaymentFilter(customer_reference="after")) == [1]


async def test_refunds_are_listed_with_their_payments(store: Store) -> None:
    for number in range(1, 7):
        one = authorization(number)
        payment = one.payment
        await store.commit(one.begin)
        await store.commit(one.settle())
        refunds = [
            make_operation(
                payment, number * 10, kind=OperationKind.REFUND, sequence=sequence, amount_minor=1
            )
            for sequence in (2, 3)
        ]
        refunds[0].details = OperationDetails(merchant_reference=f"back-{number}")
        refunds[1].state = OperationState.SUCCEEDED if number % 2 else OperationState.PENDING
        payment.operations += refunds
        payment.version += 1
        await store.commit(UnitOfWork(payment=payment, operations=refunds))

    async def listed(want: RefundFilter) -> list[tuple[int, int]]:
        found = await store.list_refunds(MERCHANT, want)
        for payment, refund in found:
            assert payment == await store.get_payment(payment.payment_id)
            assert payment.operation(refund.operation_id) is refund
        return [(one.created_at_ns - NOW_NS, refund.sequence) for one, refund in found]

    every = [(number, sequence) for number in range(6, 0, -1) for sequence in (3, 2)]
    assert await listed(RefundFilter(limit=50)) == every
    assert await listed(RefundFilter(payment_id=payment_id(2))) == [(2, 3), (2, 2)]
    assert await listed(RefundFilter(payment_id="pay_none")) == []
    assert await listed(RefundFilter(states=["succeeded"])) == [(5, 3), (3, 3), (1, 3)]
    assert await listed(RefundFilter(merchant_reference="back-4")) == [(4, 2)]
    span = RefundFilter(created_from_ns=NOW_NS + 21, created_to_ns=NOW_NS + 31)
    assert await listed(span) == [(2, 3), (2, 2)]
    assert await store.list_refunds("mer_other", RefundFilter()) == []
    seen: list[tuple[int, int]] = []
    want = RefundFilter(limit=5)
    while page := await store.list_refunds(MERCHANT, want):
        seen += [(one.created_at_ns - NOW_NS, refund.sequence) for one, refund in page]
        last = page[-1][1]
        want = replace(want, before=(last.created_at_ns, last.operation_id))
    assert seen == every


async def test_events_are_read_in_the_order_of_their_commits(store: Store) -> None:
    payment = make_payment(1)
    kinds = list(EventType)
    events = [make_event(payment, number, kinds[number % len(kinds)]) for number in range(1, 31)]
    other = make_event(make_payment(2, merchant_id="mer_other"), 99)
    assert await store.last_cursor(MERCHANT) == 0
    for first in range(0, 30, 3):
        await store.commit(UnitOfWork(events=events[first : first + 3]))
        await store.commit(UnitOfWork(events=[replace(other, event_id=f"evt_other_{first}")]))
    found = await store.list_events(MERCHANT, EventFilter(limit=100))
    assert [replace(one, cursor=0) for one in found] == events
    cursors = [one.cursor for one in found]
    assert cursors == sorted(set(cursors)) and cursors[0] > 0
    assert await store.last_cursor(MERCHANT) == cursors[-1]
    assert await store.last_cursor("mer_none") == 0
    assert len(await store.list_events("mer_other", EventFilter(limit=100))) == 10

    seen = []
    want = EventFilter(limit=7)
    while page := await store.list_events(MERCHANT, want):
        seen += page
        want = replace(want, after=page[-1].cursor)
    assert seen == found


async def test_events_are_filtered(store: Store) -> None:
    for number, kind in enumerate(EventType, 1):
        await store.commit(UnitOfWork(events=[make_event(make_payment(number), number, kind)]))

    async def kinds(*types: str, **parts: object) -> list[str]:
        want = replace(EventFilter(types=types, limit=50), **parts)  # type: ignore[arg-type]
        return [one.type.value for one in await store.list_events(MERCHANT, want)]

    every = [one.value for one in EventType]
    assert await kinds() == every
    assert await kinds("refund.*") == [one for one in every if one.startswith("refund.")]
    assert await kinds("refund.*", "payment.captured") == [
        one for one in every if one.startswith("refund.") or one == "payment.captured"
    ]
    assert await kinds("payment.captured", EventType.PAYMENT_FAILED) == [
        "payment.captured",
        "payment.failed",
    ]
    # A family is a prefix, not a pattern.
    assert await kinds("*") == await kinds("pay%.*") == await kinds("refund") == []
    assert await kinds(payment_id=payment_id(3)) == [every[2]]
    assert await kinds(created_from_ns=NOW_NS + 2, created_to_ns=NOW_NS + 4) == every[1:3]


async def test_a_subscription_wakes_for_its_merchant_only(store: Store) -> None:
    mine = store.subscribe(MERCHANT)
    other = store.subscribe("mer_other")
    one = authorization(1)
    await store.commit(one.begin)
    waiting = asyncio.ensure_future(mine.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    await store.commit(one.settle())
    await asyncio.wait_for(waiting, 5)
    assert len(await store.list_events(MERCHANT, EventFilter())) == 1
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(other.wait(), 0.01)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(mine.wait(), 0.01)
    other.close()
    mine.close()


async def test_events_between_two_waits_are_one_wake_up(store: Store) -> None:
    subscription = store.subscribe(MERCHANT)
    for number in (1, 2, 3):
        await store.commit(UnitOfWork(events=[make_event(make_payment(number), number)]))
    await asyncio.wait_for(subscription.wait(), 5)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(subscription.wait(), 0.01)
    subscription.close()
    subscription.close()
    await store.commit(UnitOfWork(events=[make_event(make_payment(4), 4)]))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(subscription.wait(), 0.01)


async def test_a_refused_unit_wakes_nobody(store: Store) -> None:
    one = authorization(1)
    await store.commit(one.begin)
    subscription = store.subscribe(MERCHANT)
    one.begin.events.append(make_event(one.payment))
    with pytest.raises(Exception, match=r".*"):
        await store.commit(one.begin)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(subscription.wait(), 0.01)
    subscription.close()
