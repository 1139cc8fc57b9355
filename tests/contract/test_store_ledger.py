"""What every record promises of the ledger, of reviews, and of webhooks that were given up on."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.contract.store_kinds import KINDS, open_store
from tests.contract.store_units import (
    ACCOUNT,
    MERCHANT,
    NOW_NS,
    Authorization,
    authorization,
    make_event,
    make_ledger,
    make_operation,
    make_webhook,
)
from turnout.domain.ledger import Balance, Book, LedgerKind
from turnout.domain.operation import OperationKind, OperationState
from turnout.domain.payment import PaymentStatus
from turnout.ports import (
    BalanceFilter,
    EventFilter,
    LedgerFilter,
    PaymentFilter,
    RefundFilter,
    ReviewFilter,
    ReviewRecord,
    Store,
    UnitOfWork,
    VersionConflict,
)


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(request.param, tmp_path) as opened:
        yield opened


async def captured(
    store: Store, number: int, *, live: bool = False, merchant_id: str = MERCHANT
) -> Authorization:
    """A payment of 1000 that is authorized and captured, with 300 of it refunded."""
    one = authorization(number, merchant_id=merchant_id)
    one.payment.live = live
    await store.commit(one.begin)
    await store.commit(one.settle())
    payment = one.payment
    capture = make_operation(payment, number, kind=OperationKind.CAPTURE, sequence=2)
    refund = make_operation(
        payment, number, kind=OperationKind.REFUND, sequence=3, amount_minor=300
    )
    for operation in (capture, refund):
        operation.state = OperationState.SUCCEEDED
        payment.operations.append(operation)
    payment.move(PaymentStatus.SUCCEEDED, NOW_NS + 6)
    payment.retotal()
    payment.version += 1
    kinds = (LedgerKind.CAPTURE, LedgerKind.REFUND_REQUESTED, LedgerKind.REFUND)
    lines = [
        make_ledger(capture if kind is LedgerKind.CAPTURE else refund, kind, number * 10_000 + at)
        for at, kind in enumerate(kinds)
    ]
    for line in lines:
        line.created_at_ns = NOW_NS + number
    await store.commit(
        UnitOfWork(
            payment=payment,
            operations=[capture, refund],
            ledger=lines,
            events=[replace(make_event(payment, number + 50_000), live=live)],
        )
    )
    return one


def balance(book: Book, debits: int, credits_: int, postings: int, live: bool = False) -> Balance:
    return Balance(MERCHANT, ACCOUNT, book, "EUR", live, debits, credits_, postings)


async def test_balances_are_what_was_posted(store: Store) -> None:
    await captured(store, 1)
    await captured(store, 2)
    await captured(store, 3, merchant_id="mer_other")
    assert await store.ledger_balances(MERCHANT, BalanceFilter()) == [
        balance(Book.AUTHORIZED, 2_000, 2_000, 4),
        balance(Book.AUTHORIZED_CONTRA, 2_000, 2_000, 4),
        balance(Book.CAPTURED, 2_000, 0, 2),
        balance(Book.PAYABLE, 600, 2_000, 4),
        balance(Book.REFUNDED, 0, 600, 2),
        balance(Book.REFUNDS_IN_TRANSIT, 600, 600, 4),
    ]
    found = await store.ledger_balances(MERCHANT, BalanceFilter(books=[Book.PAYABLE]))
    assert [one.balance_minor for one in found] == [-1_400]
    for none in (
        BalanceFilter(account_id="acc_other"),
        BalanceFilter(currency="USD"),
        BalanceFilter(books=[Book.FEES]),
        BalanceFilter(live=True),
    ):
        assert await store.ledger_balances(MERCHANT, none) == []


async def test_balances_of_test_and_live_money_stand_apart(store: Store) -> None:
    await captured(store, 1)
    await captured(store, 2, live=True)
    for live in (False, True):
        want = BalanceFilter(books=[Book.CAPTURED], live=live)
        assert await store.ledger_balances(MERCHANT, want) == [
            balance(Book.CAPTURED, 1_000, 0, 1, live)
        ]


async def test_a_refused_unit_moves_no_balance(store: Store) -> None:
    one = await captured(store, 1)
    before = await store.ledger_balances(MERCHANT, BalanceFilter())
    one.payment.version += 7
    again = make_ledger(one.operation, LedgerKind.RELEASE, 77)
    with pytest.raises(VersionConflict):
        await store.commit(UnitOfWork(payment=one.payment, ledger=[again]))
    assert await store.ledger_balances(MERCHANT, BalanceFilter()) == before
    assert (await store.audit_ledger()).difference is None


async def test_the_ledger_is_listed_newest_first_and_page_by_page(store: Store) -> None:
    for number in (1, 2, 3):
        await captured(store, number)
    everything = await store.list_ledger(MERCHANT, LedgerFilter(limit=100))
    assert len(everything) == 12
    places = [(one.created_at_ns, one.transaction_id) for one in everything]
    assert places == sorted(places, reverse=True)
    paged, before = [], None
    while True:
        page = await store.list_ledger(MERCHANT, LedgerFilter(before=before, limit=5))
        paged += page
        if len(page) < 5:
            break
        before = (page[-1].created_at_ns, page[-1].transaction_id)
    assert paged == everything


async def test_the_ledger_is_filtered(store: Store) -> None:
    for number in (1, 2):
        await captured(store, number)
    live = await captured(store, 3, live=True)

    async def found(**want: Any) -> int:
        return len(await store.list_ledger(MERCHANT, LedgerFilter(limit=100, **want)))

    assert await found() == 8
    assert await found(live=True) == 4
    assert await found(payment_id=authorization(1).payment.payment_id) == 4
    assert await found(payment_id=live.payment.payment_id) == 0
    assert await found(kinds=[LedgerKind.REFUND, LedgerKind.CAPTURE]) == 4
    assert await found(books=[Book.REFUNDS_IN_TRANSIT]) == 4
    assert await found(books=[Book.FEES]) == 0
    assert await found(account_id=ACCOUNT) == 8
    assert await found(account_id="acc_other") == 0
    assert await found(currency="USD") == 0
    assert await found(created_from_ns=NOW_NS + 2) == 3
    assert await found(created_to_ns=NOW_NS + 2) == 5
    assert await store.list_ledger("mer_other", LedgerFilter(live=True)) == []


async def test_an_audit_reads_everything_and_finds_nothing_wrong(store: Store) -> None:
    for number in range(1, 6):
        await captured(store, number, live=number == 5)
    await store.commit(authorization(9).begin)
    verdict = await store.audit_ledger()
    assert verdict.difference is None
    assert (verdict.transactions, verdict.payments, verdict.balances) == (20, 6, 12)


async def test_an_audit_names_the_payment_whose_sums_are_not_its_postings(store: Store) -> None:
    await captured(store, 1)
    wrong = await captured(store, 2)
    await captured(store, 3)
    wrong.payment.refunded_minor = 299
    wrong.payment.version += 1
    await store.commit(UnitOfWork(payment=wrong.payment))
    difference = (await store.audit_ledger()).difference
    assert difference is not None
    assert difference.place == wrong.payment.payment_id
    assert (difference.what, difference.found) == ("refunded_minor", "299")
    assert difference.expected == "300 by its postings"


async def test_an_audit_names_postings_without_a_payment(store: Store) -> None:
    one = await captured(store, 5)
    for number in (4, 6):
        stray = make_ledger(one.operation, LedgerKind.RELEASE, 990 + number)
        stray.payment_id = authorization(number).payment.payment_id
        stray.operation_id = f"can_{number}"
        await store.commit(UnitOfWork(ledger=[stray]))
        difference = (await store.audit_ledger()).difference
        assert difference is not None
        assert difference.place == f"ltx_{994:032x}"


async def test_what_waits_for_a_person_is_listed_oldest_first(store: Store) -> None:
    flagged, held, clean, live = [await captured(store, number) for number in (1, 2, 3, 4)]
    flagged.payment.needs_review = True
    live.payment.needs_review = True
    held.payment.operations[2].state = OperationState.NEEDS_REVIEW
    held.payment.retotal()
    for one in (held, flagged, live):
        one.payment.version += 1
        await store.commit(
            UnitOfWork(payment=one.payment, operations=list(one.payment.operations))
        )
    found = await store.list_reviews(ReviewFilter(limit=10))
    assert found == [flagged.payment, held.payment, live.payment]
    place = (flagged.payment.created_at_ns, flagged.payment.payment_id)
    assert await store.list_reviews(ReviewFilter(after=place, limit=1)) == [held.payment]
    assert clean.payment not in found
    wanted = ReviewFilter(payment_id=held.payment.payment_id, account_id=ACCOUNT, live=False)
    assert await store.list_reviews(wanted) == [held.payment]
    for none in (
        ReviewFilter(live=True),
        ReviewFilter(merchant_id="mer_other"),
        ReviewFilter(account_id="acc_other"),
        ReviewFilter(payment_id=clean.payment.payment_id),
    ):
        assert await store.list_reviews(none) == []


async def test_what_a_person_said_is_kept_with_the_unit(store: Store) -> None:
    one = await captured(store, 1)
    one.payment.version += 1
    said = ReviewRecord(
        one.payment.payment_id, "att_1", MERCHANT, "succeeded", "opr_1", "seen there", NOW_NS
    )
    await store.commit(UnitOfWork(payment=one.payment, review=said))
    found = await store.get_payment(one.payment.payment_id)
    assert found is not None and found.version == one.payment.version


async def test_webhooks_that_were_given_up_on_can_be_listed(store: Store) -> None:
    hooks = [make_webhook(number) for number in (1, 2, 3, 4)]
    await store.add_webhooks(hooks)
    assert await store.set_aside_webhooks(None, 10) == []
    for hook in (hooks[3], hooks[0], hooks[1]):
        await store.fail_webhook(hook.webhook_id, "ValueError", True)
    expected = [
        replace(hook, attempts=1, reason="ValueError") for hook in (hooks[0], hooks[1], hooks[3])
    ]
    assert await store.set_aside_webhooks(None, 10) == expected
    place = (hooks[0].received_at_ns, hooks[0].webhook_id)
    assert await store.set_aside_webhooks(place, 1) == [expected[1]]
    assert await store.pending_webhooks(10) == [hooks[2]]


async def test_no_list_mixes_test_and_live_money(store: Store) -> None:
    for number, live in ((1, False), (2, True)):
        await captured(store, number, live=live)
    for live in (False, True):
        payments = await store.list_payments(MERCHANT, PaymentFilter(live=live))
        assert [one.live for one in payments] == [live]
        refunds = await store.list_refunds(MERCHANT, RefundFilter(live=live))
        assert [one.live for one, _ in refunds] == [live]
    events = await store.list_events(MERCHANT, EventFilter(live=True))
    assert [one.live for one in events] == [True]
