"""Which rows a filter asks for: the records that have no SQL share these."""

from __future__ import annotations

from collections.abc import Iterable

from turnout.domain.events import Event
from turnout.domain.operation import Operation, OperationKind, OperationState
from turnout.domain.payment import Payment
from turnout.ports import (
    DecisionFilter,
    DecisionRecord,
    EventFilter,
    PaymentFilter,
    RefundFilter,
    ReviewFilter,
)


def within(created_at_ns: int, from_ns: int, to_ns: int) -> bool:
    """From is inclusive, to is exclusive, 0 leaves that side open."""
    return created_at_ns >= from_ns and (not to_ns or created_at_ns < to_ns)


def wanted_payment(payment: Payment, want: PaymentFilter) -> bool:
    """Whether a merchant's payment is among those that are asked for."""
    before = want.before
    return (
        payment.live is want.live
        and within(payment.created_at_ns, want.created_from_ns, want.created_to_ns)
        and (not want.statuses or payment.status in want.statuses)
        and want.merchant_reference in ("", payment.merchant_reference)
        and want.customer_reference in ("", payment.details.customer.reference)
        and want.currency in ("", payment.currency)
        and want.account_id in ("", payment.account_id)
        and (before is None or (payment.created_at_ns, payment.payment_id) < before)
    )


def wanted_refund(refund: Operation, live: bool, want: RefundFilter) -> bool:
    """Whether a merchant's refund, of a payment in this mode, is among those asked for."""
    reference = refund.details.merchant_reference if refund.details else ""
    before = want.before
    return (
        live is want.live
        and within(refund.created_at_ns, want.created_from_ns, want.created_to_ns)
        and want.payment_id in ("", refund.payment_id)
        and (not want.states or refund.state in want.states)
        and want.merchant_reference in ("", reference)
        and (before is None or (refund.created_at_ns, refund.operation_id) < before)
    )


def _matches(kind: str, types: Iterable[str]) -> bool:
    return any(kind.startswith(one[:-1]) if one.endswith(".*") else kind == one for one in types)


def wanted_event(event: Event, want: EventFilter) -> bool:
    """Whether a merchant's event is among those that are asked for."""
    return (
        event.live is want.live
        and (not want.types or _matches(event.type, want.types))
        and want.payment_id in ("", event.payment_id)
        and within(event.created_at_ns, want.created_from_ns, want.created_to_ns)
    )


def wanted_review(payment: Payment, want: ReviewFilter) -> bool:
    """Whether a payment, with its operations, waits for a person and is asked for."""
    return (
        (
            payment.needs_review
            or any(one.state is OperationState.NEEDS_REVIEW for one in payment.operations)
        )
        and want.merchant_id in ("", payment.merchant_id)
        and want.payment_id in ("", payment.payment_id)
        and want.live in (None, payment.live)
        and (not want.account_id or want.account_id in {x.account_id for x in payment.operations})
        and (want.after is None or (payment.created_at_ns, payment.payment_id) > want.after)
    )


def wanted_decision(
    decision: DecisionRecord, payment: Payment, merchant_id: str, want: DecisionFilter
) -> bool:
    """Whether a decision about this payment is among the merchant's that are asked for."""
    return (
        decision.merchant_id == merchant_id
        and want.after < decision.decision_id < want.before
        and (payment.profile_id, payment.live) == (want.profile_id, want.live)
    )


def first_attempt(decision: DecisionRecord, payment: Payment) -> Operation | None:
    """The attempt that was written with a decision: they have one time."""
    for one in payment.of_kind(OperationKind.AUTHORIZE):
        if one.created_at_ns == decision.created_at_ns:
            return one
    return None
