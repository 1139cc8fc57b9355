"""Refunds: create and read."""

from __future__ import annotations

from turnout.domain.errors import NotFound
from turnout.domain.operation import Operation, OperationKind
from turnout.domain.payment import Payment
from turnout.orchestration.commands import Caller, Idempotency, RefundCommand
from turnout.orchestration.follow_ups import FollowUps
from turnout.orchestration.idempotency import Claims
from turnout.orchestration.parts import Parts
from turnout.ports import RefundFilter


class Refunds:
    """What RefundService does, knowing no proto."""

    def __init__(self, parts: Parts, claims: Claims, follow_ups: FollowUps) -> None:
        self._parts = parts
        self._claims = claims
        self._follow_ups = follow_ups

    async def create(self, caller: Caller, idem: Idempotency, command: RefundCommand) -> bytes:
        """Gives captured money back, in full or in part."""
        self._parts.admission.follow_up()
        return await self._claims.run(
            caller,
            idem,
            lambda run: self._follow_ups.refund(run, command),
            payment_id=command.payment_id,
        )

    async def get(self, caller: Caller, refund_id: str) -> tuple[Payment, Operation]:
        """One refund of the caller's, with its payment.

        Raises:
            NotFound: there is none, or it is not the caller's.
        """
        self._parts.admission.read()
        payment = await self._parts.store.find_payment_by_operation(refund_id)
        operation = payment.operation(refund_id) if payment is not None else None
        if (
            payment is None
            or operation is None
            or operation.kind is not OperationKind.REFUND
            or payment.merchant_id != caller.merchant_id
            or payment.live is not caller.live
        ):
            raise NotFound(
                "REFUND_NOT_FOUND",
                f"there is no refund {refund_id[:64]!r} for this key; check the id, and that a "
                "test key is used for a test payment",
            )
        return payment, operation

    async def list(self, caller: Caller, want: RefundFilter) -> list[tuple[Payment, Operation]]:
        """A page of the caller's refunds, newest first."""
        self._parts.admission.read()
        want.live = caller.live
        return await self._parts.store.list_refunds(caller.merchant_id, want)
