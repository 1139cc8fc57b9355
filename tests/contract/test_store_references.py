"""The merchants' own references: what every record promises of natural keys."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.store_kinds import KINDS, open_store
from tests.contract.store_units import MERCHANT, authorization, make_operation
from turnout.domain.operation import Operation, OperationDetails, OperationKind
from turnout.domain.payment import Payment
from turnout.ports import MerchantReferenceTaken, RefundFilter, Store, UnitOfWork


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(request.param, tmp_path) as opened:
        yield opened


async def refunded(
    store: Store, number: int, reference: str, merchant_id: str = MERCHANT
) -> Payment:
    """A payment, and in a commit of its own a refund with this reference."""
    one = authorization(number, merchant_id=merchant_id)
    await store.commit(one.begin)
    await store.commit(one.settle())
    await store.commit(with_refund(one.payment, number, reference))
    return one.payment


def with_refund(payment: Payment, number: int, *references: str) -> UnitOfWork:
    refunds: list[Operation] = []
    for reference in references:
        sequence = len(payment.operations) + 1
        refund = make_operation(
            payment, number, kind=OperationKind.REFUND, sequence=sequence, amount_minor=1
        )
        refund.details = OperationDetails(merchant_reference=reference)
        payment.operations.append(refund)
        refunds.append(refund)
    payment.version += 1
    return UnitOfWork(payment=payment, operations=refunds)


async def test_a_merchant_reference_is_taken_once_per_merchant(store: Store) -> None:
    await store.commit(authorization(1, reference="order-1").begin)
    second = authorization(2, reference="order-1")
    with pytest.raises(MerchantReferenceTaken):
        await store.commit(second.begin)
    assert await store.find_claim(second.claim.key) is None
    await store.commit(authorization(3, reference="order-1", merchant_id="mer_other").begin)
    await store.commit(authorization(4, reference="").begin)
    await store.commit(authorization(5, reference="").begin)


async def test_a_reference_of_a_refund_is_taken_once_per_merchant(store: Store) -> None:
    first = await refunded(store, 1, "refund-1")
    with pytest.raises(MerchantReferenceTaken):
        await refunded(store, 2, "refund-1")
    standing = await store.get_payment(authorization(2).payment.payment_id)
    assert standing is not None and not standing.of_kind(OperationKind.REFUND)
    await refunded(store, 3, "refund-1", "mer_other")
    for number in (4, 5):
        await refunded(store, number, "")
    # Payments have names of their own.
    await store.commit(authorization(6, reference="refund-1").begin)
    found = await store.list_refunds(MERCHANT, RefundFilter(merchant_reference="refund-1"))
    assert [payment.payment_id for payment, _ in found] == [first.payment_id]


async def test_a_refund_keeps_its_reference_however_often_it_is_written(store: Store) -> None:
    payment = await refunded(store, 1, "refund-1")
    payment.version += 1
    await store.commit(UnitOfWork(payment=payment, operations=payment.operations))
    with pytest.raises(MerchantReferenceTaken):
        await store.commit(with_refund(payment, 1, "refund-1"))


async def test_two_refunds_of_one_unit_cannot_share_a_reference(store: Store) -> None:
    payment = await refunded(store, 1, "refund-1")
    with pytest.raises(MerchantReferenceTaken):
        await store.commit(with_refund(payment, 1, "refund-2", "refund-2"))
    standing = await store.get_payment(payment.payment_id)
    assert standing is not None and len(standing.of_kind(OperationKind.REFUND)) == 1


async def test_only_refunds_have_their_names_to_themselves(store: Store) -> None:
    payment = await refunded(store, 1, "refund-1")
    unit = with_refund(payment, 1, "refund-1")
    unit.operations[0].kind = OperationKind.CAPTURE
    await store.commit(unit)


async def test_what_a_new_payment_meets_is_its_claim_or_else_who_has_its_reference(
    store: Store,
) -> None:
    one = authorization(1, reference="order-1")
    await store.commit(one.begin)
    key, payment = one.claim.key, one.payment
    reference = payment.merchant_reference
    assert await store.find_taken(key, reference) == (one.claim, "")
    assert await store.find_taken(key, "") == (one.claim, "")
    other = replace(key, key="other")
    assert await store.find_taken(other, reference) == (None, payment.payment_id)
    assert await store.find_taken(other, "another") == (None, "")
    stranger = replace(other, merchant_id="mer_other")
    assert await store.find_taken(stranger, reference) == (None, "")


async def test_a_change_begins_with_its_claim_and_its_payment(store: Store) -> None:
    payment = await refunded(store, 1, "refund-1")
    one = authorization(2)
    await store.commit(one.begin)
    key = one.claim.key
    other = replace(key, key="other")
    stored = await store.get_payment(payment.payment_id)
    assert stored is not None and len(stored.operations) > 1
    assert await store.find_to_change(other, payment.payment_id) == (None, stored)
    assert await store.find_to_change(key, payment.payment_id) == (one.claim, stored)
    assert await store.find_to_change(key, "pay_none") == (one.claim, None)
    assert await store.find_to_change(other, "pay_none") == (None, None)
