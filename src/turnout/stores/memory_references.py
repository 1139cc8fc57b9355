"""The merchants' own references in memory, each of which names one payment or one refund."""

from __future__ import annotations

from turnout.domain.operation import Operation, OperationKind
from turnout.ports import MerchantReferenceTaken, UnitOfWork

_Name = tuple[str, str]


class MemoryReferences:
    """Who bears which reference: one table for payments, one for refunds."""

    def __init__(self) -> None:
        self._payments: dict[_Name, str] = {}
        self._refunds: dict[_Name, str] = {}

    def payment_id(self, merchant_id: str, reference: str) -> str | None:
        """The payment that this merchant calls so."""
        return self._payments.get((merchant_id, reference))

    def check(self, unit: UnitOfWork) -> None:
        """Whether all that the unit names may bear its name.

        Raises:
            MerchantReferenceTaken: another one bears it.
        """
        payment = unit.payment
        if (
            payment is not None
            and payment.version == 1
            and (payment.merchant_id, payment.merchant_reference) in self._payments
        ):
            raise MerchantReferenceTaken
        new: dict[_Name, str] = {}
        for operation in unit.operations:
            if operation.kind is not OperationKind.REFUND:
                continue
            name = _refund_name(operation)
            if name is None:
                continue
            borne_by = self._refunds.get(name) or new.setdefault(name, operation.operation_id)
            if borne_by != operation.operation_id:
                raise MerchantReferenceTaken

    def put(self, unit: UnitOfWork) -> None:
        """Keeps the names of a unit that was checked."""
        payment = unit.payment
        if payment is not None and payment.version == 1 and payment.merchant_reference:
            name = (payment.merchant_id, payment.merchant_reference)
            self._payments[name] = payment.payment_id
        for operation in unit.operations:
            if operation.kind is not OperationKind.REFUND:
                continue
            refund = _refund_name(operation)
            if refund is not None:
                self._refunds[refund] = operation.operation_id


def _refund_name(operation: Operation) -> _Name | None:
    """How the merchant calls a refund."""
    if operation.details is None:
        return None
    reference = operation.details.merchant_reference
    return (operation.merchant_id, reference) if reference else None
