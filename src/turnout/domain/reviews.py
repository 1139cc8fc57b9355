"""What waits for a person: which operations of a payment, and when the payment's flag may go.

Two sorts. Where an operation's outcome is open (`needs_review`), a person says what happened.
Where it has an outcome that something contradicts later, it keeps that outcome and a reason from
FLAGS, and a person says that the record stands, after putting right what is wrong at the provider.
"""

from __future__ import annotations

from typing import Final

from turnout.domain.operation import Operation, OperationState
from turnout.domain.outcomes import Outcome
from turnout.domain.payment import Payment

AMOUNT_MISMATCH: Final = "amount_mismatch"
CURRENCY_MISMATCH: Final = "currency_mismatch"
OVER_REFUNDED: Final = "refunded_more_than_is_still_captured"
LATE_SUCCESS: Final = "succeeded_after_it_had_failed"
NO_ROOM: Final = "captured_more_than_is_still_authorized"
REST_STILL_HELD: Final = "rest_of_a_final_capture_is_still_held"

FLAGS: Final = frozenset(
    {AMOUNT_MISMATCH, CURRENCY_MISMATCH, OVER_REFUNDED, LATE_SUCCESS, NO_ROOM}
)


def under_review(payment: Payment) -> list[Operation]:
    """The operations that a person must look at, oldest first."""
    return [
        one
        for one in payment.operations
        if one.state is OperationState.NEEDS_REVIEW
        or (payment.needs_review and not one.open and one.reason in FLAGS)
    ]


def over_refunded(payment: Payment) -> bool:
    """Whether more is given back than is captured, which only a flagged payment may show."""
    return payment.refunded_minor + payment.pending_refund_minor > payment.captured_minor


def needs_person(payment: Payment) -> bool:
    """Whether the payment's flag must stay up."""
    return bool(under_review(payment)) or over_refunded(payment)


def has_room(payment: Payment, capture: Operation) -> bool:
    """Whether a capture still fits into what is authorized, captured and given up."""
    pending_minor = payment.pending_capture_minor - (capture.amount_minor if capture.open else 0)
    return capture.amount_minor <= payment.rest_minor - pending_minor


def mismatch(operation: Operation, outcome: Outcome) -> str:
    """Why the provider's account of the money is not ours; empty where it is."""
    if outcome.currency and outcome.currency != operation.currency:
        return CURRENCY_MISMATCH
    if outcome.amount_minor is not None and outcome.amount_minor != operation.amount_minor:
        return AMOUNT_MISMATCH
    return ""
