"""What every record promises of what must be looked at again: operations, webhooks, old claims."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.store_kinds import KINDS, open_store
from tests.contract.store_units import (
    NOW_NS,
    authorization,
    claim_key,
    make_operation,
    make_payment,
    make_webhook,
    operation_id,
    payment_id,
)
from turnout.domain.declines import DeclineCode, decline
from turnout.domain.operation import OperationKind, OperationState
from turnout.domain.outcomes import Outcome, OutcomeKind, ProviderEvent
from turnout.domain.payment import CAPTURABLE, NextAction, PaymentStatus
from turnout.ports import Claim, Store, StoredWebhook, UnitOfWork


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(request.param, tmp_path) as opened:
        yield opened


async def test_what_is_in_flight_is_fenced_and_due(store: Store) -> None:
    ones = [authorization(number) for number in range(1, 6)]
    for one in ones:
        await store.commit(one.begin)
    await store.commit(ones[1].settle())
    later = NOW_NS + 1_000_000
    assert await store.due_operations(later, 10) == []
    assert await store.next_check_ns() == 0
    assert await store.fence_in_flight(later) == 4
    assert await store.fence_in_flight(later + 1) == 0
    for number in (1, 3, 4, 5):
        payment = await store.get_payment(payment_id(number))
        assert payment is not None
        operation = payment.operations[0]
        assert operation.state is OperationState.UNKNOWN
        assert operation.check_at_ns == operation.updated_at_ns == later
        assert payment.status is PaymentStatus.PROCESSING and payment.version == 1
    settled = await store.get_payment(payment_id(2))
    assert settled == ones[1].payment
    due = await store.due_operations(later, 10)
    assert due == [(payment_id(number), operation_id(number)) for number in (1, 3, 4, 5)]
    assert await store.due_operations(later - 1, 10) == []


async def test_due_operations_of_some_accounts_can_be_left_out(store: Store) -> None:
    for number, account_id in enumerate(("acc_a", "acc_b", "acc_a", "acc_c"), 1):
        one = authorization(number)
        one.operation.account_id = account_id
        one.operation.check_at_ns = NOW_NS + number
        await store.commit(one.begin)

    async def due(*without: str, limit: int = 10) -> list[int]:
        found = await store.due_operations(NOW_NS + 10, limit, without)
        names = {operation_id(number): number for number in range(1, 5)}
        return [names[one] for _, one in found]

    assert await due() == [1, 2, 3, 4]
    assert await due("acc_a") == [2, 4]
    assert await due("acc_a", limit=1) == [2]
    assert await due("acc_a", "acc_b", "acc_c") == []
    assert await due("acc_other") == [1, 2, 3, 4]


async def test_due_operations_come_oldest_first_and_leave_when_looked_at(store: Store) -> None:
    ones = [authorization(number) for number in range(1, 150)]
    for one in ones:
        one.operation.state = OperationState.UNKNOWN
        one.operation.check_at_ns = NOW_NS + 1_000 - one.number
    await asyncio.gather(*[store.commit(one.begin) for one in ones])
    assert await store.next_check_ns() == NOW_NS + 1_000 - 149
    expected = [(payment_id(number), operation_id(number)) for number in range(149, 0, -1)]
    assert await store.due_operations(NOW_NS + 1_000, 1_000) == expected
    assert await store.due_operations(NOW_NS + 1_000, 3) == expected[:3]
    assert await store.due_operations(NOW_NS + 1_000 - 148, 10) == expected[:2]
    ones[148].operation.check_at_ns = 0
    await store.commit(UnitOfWork(operations=[ones[148].operation]))
    ones[147].operation.check_at_ns = NOW_NS + 5_000
    await store.commit(UnitOfWork(operations=[ones[147].operation]))
    assert await store.due_operations(NOW_NS + 1_000, 1) == expected[2:3]
    assert await store.next_check_ns() == NOW_NS + 1_000 - 147


async def test_what_no_wait_can_have_put_off_is_due_last(store: Store) -> None:
    """A clock that was ahead has dated it: nobody would look at it for years."""
    for number, check_at_ns in enumerate((NOW_NS + 10**15, NOW_NS + 500, NOW_NS - 1), 1):
        one = authorization(number)
        one.operation.account_id = "acc_b" if number == 2 else "acc_a"
        one.operation.check_at_ns = check_at_ns
        await store.commit(one.begin)

    async def due(beyond_ns: int, limit: int = 10, without: tuple[str, ...] = ()) -> list[str]:
        found = await store.due_operations(NOW_NS, limit, without, beyond_ns)
        return [operation for _, operation in found]

    assert await due(NOW_NS + 1_000) == [operation_id(3), operation_id(1)]
    assert await due(NOW_NS + 1_000, limit=1) == [operation_id(3)]
    assert await due(NOW_NS + 499, without=("acc_a",)) == [operation_id(2)]
    assert await due(NOW_NS + 499) == [operation_id(3), operation_id(2), operation_id(1)]
    assert await due(NOW_NS + 10**15) == [operation_id(3)]
    assert await store.due_operations(NOW_NS, 10) == [(payment_id(3), operation_id(3))]


async def test_authorizations_expire_only_where_they_may_be_captured(store: Store) -> None:
    for number, status in enumerate(PaymentStatus, 1):
        payment = make_payment(number)
        await store.commit(UnitOfWork(payment=payment))
        roads = {
            PaymentStatus.PARTIALLY_CAPTURED: [PaymentStatus.REQUIRES_CAPTURE, status],
            PaymentStatus.REQUIRES_CONFIRMATION: [PaymentStatus.REQUIRES_PAYMENT_METHOD, status],
        }
        for step in roads.get(status, [status]):
            payment.status = step
            payment.capture_before_ns = NOW_NS + 100 - number
            payment.version += 1
            await store.commit(UnitOfWork(payment=payment))
    wanted = [number for number, status in enumerate(PaymentStatus, 1) if status in CAPTURABLE]
    expected = [payment_id(number) for number in sorted(wanted, reverse=True)]
    assert await store.expired_authorizations(NOW_NS + 100, 10) == expected
    assert await store.expired_authorizations(NOW_NS + 100, 1) == expected[:1]
    assert await store.expired_authorizations(NOW_NS + 100 - wanted[-1], 10) == expected[:1]
    assert await store.expired_authorizations(NOW_NS, 10) == []


async def test_an_authorization_without_an_end_never_expires(store: Store) -> None:
    payment = make_payment(1)
    await store.commit(UnitOfWork(payment=payment))
    payment.status = PaymentStatus.REQUIRES_CAPTURE
    payment.version += 1
    await store.commit(UnitOfWork(payment=payment))
    assert await store.expired_authorizations(NOW_NS * 2, 10) == []


async def test_webhooks_are_kept_once_and_worked_on_oldest_first(store: Store) -> None:
    first, second, third = make_webhook(1), make_webhook(2), make_webhook(3)
    assert await store.add_webhooks([]) == 0
    assert await store.add_webhooks([second, third]) == 2
    assert await store.add_webhooks([first, second]) == 1
    assert await store.add_webhooks([first]) == 0
    # The provider sends it again: another id of ours, the same event.
    again = replace(make_webhook(1), webhook_id="whk_again")
    assert await store.add_webhooks([again, again]) == 0
    elsewhere = replace(make_webhook(1), webhook_id="whk_other", account_id="acc_other")
    assert await store.add_webhooks([elsewhere]) == 1
    assert await store.pending_webhooks(10) == [first, elsewhere, second, third]
    assert await store.pending_webhooks(2) == [first, elsewhere]
    await store.commit(UnitOfWork(webhook_done=first.webhook_id))
    await store.commit(UnitOfWork(webhook_done="whk_none"))
    assert await store.pending_webhooks(1_000) == [elsewhere, second, third]
    assert await store.add_webhooks([first, again]) == 0


async def test_the_same_event_at_once_is_new_once(store: Store) -> None:
    copies = [replace(make_webhook(1), webhook_id=f"whk_{number}") for number in range(20)]
    added = await asyncio.gather(*[store.add_webhooks([one]) for one in copies])
    assert sum(added) == 1
    assert await store.add_webhooks([copies[0], copies[1], make_webhook(2)]) == 1


async def test_a_webhook_that_fails_is_tried_again_until_it_is_given_up(store: Store) -> None:
    await store.add_webhooks([make_webhook(1), make_webhook(2)])
    one = make_webhook(1)
    await store.fail_webhook(one.webhook_id, "no payment", False)
    await store.fail_webhook(one.webhook_id, "no payment", False)
    pending = await store.pending_webhooks(10)
    assert pending == [replace(one, attempts=2, reason="no payment"), make_webhook(2)]
    await store.fail_webhook(one.webhook_id, "no payment", True)
    assert await store.pending_webhooks(10) == [make_webhook(2)]
    assert await store.add_webhooks([one]) == 0


async def test_a_webhook_comes_back_with_all_that_it_told(store: Store) -> None:
    event = ProviderEvent(
        "évent-☃",
        OperationKind.AUTHORIZE,
        Outcome(
            OutcomeKind.DECLINED,
            decline=decline(DeclineCode.DO_NOT_HONOR, issuer_code="05", provider_message="no"),
            next_action=NextAction("redirect", "https://bank.example", "POST", {"PaReq": "x"}),
            provider_state={"pi": "1"},
            account_fault=True,
        ),
        reverses=True,
        occurred_at_ns=NOW_NS,
        event_type="charge.failed",
    )
    webhook = StoredWebhook("whk_1", "acc_1", NOW_NS, event)
    await store.add_webhooks([webhook])
    assert await store.pending_webhooks(1) == [webhook]
    event.outcome.provider_state["pi"] = "2"
    (kept,) = await store.pending_webhooks(1)
    assert kept.event.outcome.provider_state == {"pi": "1"}


async def test_blobs_are_replaced(store: Store) -> None:
    assert await store.load_blob("router") is None
    await store.save_blob("router", b"")
    assert await store.load_blob("router") == b""
    await store.save_blob("router", bytes(range(256)))
    await store.save_blob("other", b"x")
    assert await store.load_blob("router") == bytes(range(256))


async def test_a_configuration_gets_a_version_when_it_changes(store: Store) -> None:
    assert await store.import_config("a", b"one", NOW_NS) == 1
    assert await store.import_config("a", b"one", NOW_NS + 1) == 1
    assert await store.import_config("b", b"two", NOW_NS + 2) == 2
    assert await store.import_config("a", b"one", NOW_NS + 3) == 3


async def test_only_answered_claims_grow_old(store: Store) -> None:
    for number in range(1, 8):
        answer = None if number == 2 else b"answer"
        key = claim_key(f"key-{number}")
        await store.commit(UnitOfWork(claim=Claim(key, b"", "", "", NOW_NS + number, answer)))
    assert await store.delete_expired_claims(NOW_NS + 1, 10) == 0
    assert await store.delete_expired_claims(NOW_NS + 6, 2) == 2
    assert await store.find_claim(claim_key("key-1")) is None
    assert await store.find_claim(claim_key("key-2")) is not None
    assert await store.find_claim(claim_key("key-3")) is None
    assert await store.delete_expired_claims(NOW_NS + 6, 10) == 2
    assert await store.find_claim(claim_key("key-6")) is not None
    await store.commit(UnitOfWork(claim=Claim(claim_key("key-1"), b"", "", "", NOW_NS)))


async def test_operations_can_be_committed_beside_their_payments(store: Store) -> None:
    one = authorization(1)
    await store.commit(one.begin)
    cancel = make_operation(one.payment, kind=OperationKind.CANCEL, sequence=2)
    await store.commit(UnitOfWork(operations=[cancel]))
    payment = await store.get_payment(one.payment.payment_id)
    assert payment is not None and payment.version == 1
    assert payment.operations == [one.operation, cancel]
