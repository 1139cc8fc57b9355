"""Reviews: what the machine could not decide, shown to operators and settled by what they say.

A resolution goes through the same Settler as a provider's answer, so that state, ledger, stored
answers and events follow by the same rules, and is committed together with who said it and how it
is known. What would contradict the record is refused: then the provider must be put right first.
"""

from __future__ import annotations

import logging

from turnout.domain.declines import DeclineCode, decline
from turnout.domain.errors import NotFound, StateConflict
from turnout.domain.operation import Operation, OperationKind, OperationState
from turnout.domain.outcomes import Outcome, OutcomeKind
from turnout.domain.payment import Payment, PaymentStatus
from turnout.domain.reviews import has_room, needs_person, over_refunded, under_review
from turnout.orchestration.change import Change
from turnout.orchestration.commands import (
    Caller,
    Idempotency,
    Operator,
    Resolution,
    ResolveCommand,
)
from turnout.orchestration.idempotency import Claims, Run
from turnout.orchestration.parts import Parts
from turnout.orchestration.validate import check_resolve
from turnout.ports import ReviewFilter, ReviewRecord, StoredWebhook, VersionConflict

log = logging.getLogger(__name__)

_UNDECIDED = frozenset({PaymentStatus.PROCESSING, PaymentStatus.REQUIRES_ACTION})
_REASON = "operator"


class Reviews:
    """What OperationsService does, knowing no proto."""

    def __init__(self, parts: Parts, claims: Claims) -> None:
        self._parts = parts
        self._claims = claims

    async def set_aside(self, after: tuple[int, str] | None, limit: int) -> list[StoredWebhook]:
        """A page of notifications that were given up on, oldest first."""
        return await self._parts.store.set_aside_webhooks(after, limit)

    async def resolve(
        self, operator: Operator, idem: Idempotency, command: ResolveCommand
    ) -> bytes:
        """Settles a review.

        Raises:
            InvalidRequest, NotFound, StateConflict: nothing was stored.
        """
        check_resolve(command)
        # Keys of operators are claimed under the operator, who is no merchant.
        caller = Caller(
            operator.operator_id,
            operator.operator_id,
            False,
            operator.deadline_ns,
            operator.request_id,
        )
        return await self._claims.run(
            caller, idem, lambda run: self._resolve(run, operator, command)
        )

    async def list(self, want: ReviewFilter) -> list[Payment]:
        """A page of payments under review, oldest first."""
        return await self._parts.store.list_reviews(want)

    async def _resolve(self, run: Run, operator: Operator, command: ResolveCommand) -> None:
        parts = self._parts
        while True:
            payment = await parts.store.get_payment(command.payment_id)
            if payment is None:
                raise NotFound(
                    "PAYMENT_NOT_FOUND", f"there is no payment {command.payment_id[:64]!r}"
                )
            change = Change(payment, parts.mint)
            self._apply(change, payment, command)
            claim = run.claim(payment.payment_id, command.operation_id)
            unit = change.unit(parts.encoder, claim=claim)
            answer = claim.answer = parts.encoder.payment(payment)
            unit.review = ReviewRecord(
                payment.payment_id,
                command.operation_id,
                payment.merchant_id,
                command.resolution.value,
                operator.operator_id,
                command.note,
                change.now_ns,
            )
            try:
                await run.complete(parts.store.commit(unit), answer)
            except VersionConflict:
                continue
            log.warning(
                "%s of %s was resolved as %s by %s",
                command.operation_id or "the flag",
                payment.payment_id,
                command.resolution,
                operator.operator_id,
            )
            return

    def _apply(self, change: Change, payment: Payment, command: ResolveCommand) -> None:
        waiting = under_review(payment)
        if not waiting and not payment.needs_review:
            raise StateConflict(
                "REVIEW_NOT_OPEN",
                f"{payment.payment_id} is not under review; list what is with ListReviews",
                metadata={"status": payment.status.value},
            )
        if command.operation_id or waiting:
            operation = _named(payment, waiting, command)
            if operation.state is OperationState.NEEDS_REVIEW:
                self._settle(change, payment, operation, command)
            else:
                _let_stand(change, payment, operation, command)
        else:
            _refuse_over_refunded(payment)
        # Asked while the flag is up, because without it only open outcomes count.
        payment.needs_review = True
        payment.needs_review = needs_person(payment)
        change.touch()

    def _settle(
        self, change: Change, payment: Payment, operation: Operation, command: ResolveCommand
    ) -> None:
        resolution = command.resolution
        if resolution is Resolution.RECORD_STANDS:
            raise StateConflict(
                "OUTCOME_OPEN",
                f"the record has no outcome of {operation.operation_id} that could stand; say "
                "SUCCEEDED, FAILED or NOT_PROCESSED",
            )
        if resolution is Resolution.SUCCEEDED:
            _refuse_what_cannot_be_booked(payment, operation)
        self._parts.settler.resolve(
            change,
            operation,
            Outcome(
                _OUTCOME[resolution],
                reason=_REASON,
                provider_reference=command.provider_reference,
                decline=decline(DeclineCode.PROCESSING_ERROR)
                if resolution is Resolution.FAILED
                else None,
            ),
        )


_OUTCOME = {
    Resolution.SUCCEEDED: OutcomeKind.SUCCEEDED,
    Resolution.FAILED: OutcomeKind.DECLINED,
    Resolution.NOT_PROCESSED: OutcomeKind.NOT_PROCESSED,
}


def _named(payment: Payment, waiting: list[Operation], command: ResolveCommand) -> Operation:
    for one in waiting:
        if one.operation_id == command.operation_id:
            return one
    names = ", ".join(one.operation_id for one in waiting) or "the payment's flag alone"
    raise NotFound(
        "REVIEW_NOT_FOUND",
        f"{command.operation_id[:64]!r} of {payment.payment_id} is not under review; what is: "
        f"{names}",
    )


def _let_stand(
    change: Change, payment: Payment, operation: Operation, command: ResolveCommand
) -> None:
    if command.resolution is not Resolution.RECORD_STANDS:
        raise StateConflict(
            "OUTCOME_KNOWN",
            f"{operation.operation_id} is {operation.state} in the record already; put the "
            "provider right where it differs, then say RECORD_STANDS",
            metadata={"reason": operation.reason},
        )
    _refuse_over_refunded(payment)
    operation.reason = "record_stands"
    change.touch(operation)


def _refuse_over_refunded(payment: Payment) -> None:
    if over_refunded(payment):
        raise StateConflict(
            "REFUNDED_OVER_CAPTURED",
            f"more of {payment.payment_id} is refunded than captured, so the record cannot stand "
            "without its flag; capture it again first",
        )


def _refuse_what_cannot_be_booked(payment: Payment, operation: Operation) -> None:
    kind = operation.kind
    ended = kind is OperationKind.AUTHORIZE and payment.status not in _UNDECIDED
    if ended or (kind is OperationKind.CAPTURE and not has_room(payment, operation)):
        raise StateConflict(
            "PAYMENT_HAS_ENDED",
            f"{payment.payment_id} is {payment.status} and its merchant was told so; void or "
            f"refund {operation.operation_id} at the provider, then say FAILED",
            metadata={"status": payment.status.value},
        )
