"""What every record refuses, whoever writes: a second line behind the domain's own checks.

The tables hold the same laws as CHECKs and triggers; the memory store calls `payment_fault` and
`ledger_fault`, and the contract suite shows that both refuse the same units.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter

from turnout.domain.ledger import LedgerKind, LedgerTransaction
from turnout.domain.operation import OPERATION_TRANSITIONS, Operation
from turnout.domain.payment import STARTS, TRANSITIONS, Payment


class RecordRefused(Exception):
    """The unit breaks a law of the record; nothing of it was written.

    Always a defect of the caller, never a payer's or a merchant's fault: the domain should have
    stopped it earlier. The message names the law.
    """


# Which kind of ledger transaction takes which back. The same cause is posted once: again only
# after it was taken back, and taken back only as often as it was posted.
UNDOES: dict[LedgerKind, LedgerKind] = {
    LedgerKind.CAPTURE_FAILED: LedgerKind.CAPTURE,
    LedgerKind.REFUND_FAILED: LedgerKind.REFUND_REQUESTED,
    LedgerKind.REFUND_REVERSED: LedgerKind.REFUND,
}
UNDONE_BY: dict[LedgerKind, LedgerKind] = {undone: undoing for undoing, undone in UNDOES.items()}

# What is written once with the row and never again.
PAYMENT_IDENTITY = (
    "payment_id",
    "merchant_id",
    "merchant_reference",
    "live",
    "currency",
    "created_at_ns",
)
OPERATION_IDENTITY = (
    "operation_id",
    "payment_id",
    "merchant_id",
    "kind",
    "sequence",
    "account_id",
    "currency",
    "created_at_ns",
)
_payment_identity = attrgetter(*PAYMENT_IDENTITY)
_operation_identity = attrgetter(*OPERATION_IDENTITY)


def edges() -> Iterator[tuple[str, str]]:
    """All (from, to) pairs that the record lets a payment's status take; from is "" at birth.

    One commit is one edge: a unit that collapses two moves into one is refused.
    """
    for birth in sorted(STARTS):
        yield "", birth.value
    for status, targets in TRANSITIONS.items():
        for target in sorted(targets):
            yield status.value, target.value


def operation_edges() -> Iterator[tuple[str, str]]:
    """All (from, to) pairs that the record lets an operation's state take after it was written."""
    for state, targets in OPERATION_TRANSITIONS.items():
        for target in sorted(targets):
            yield state.value, target.value


def payment_fault(before: Payment | None, after: Payment) -> str:
    """The law that a payment breaks, or an empty string.

    Args:
        before: as it stands in the record, or None where it is new.
        after: as it is to stand.
    """
    if before is None:
        if after.status not in STARTS:
            return f"payment_transition: no payment begins as {after.status}"
    elif _payment_identity(before) != _payment_identity(after):
        return "payment_identity: what names a payment cannot change"
    elif after.status is not before.status and after.status not in TRANSITIONS[before.status]:
        return f"payment_transition: no edge {before.status} -> {after.status}"
    sums = (
        after.amount_minor,
        after.authorized_minor,
        after.captured_minor,
        after.pending_capture_minor,
        after.refunded_minor,
        after.pending_refund_minor,
        after.released_minor,
    )
    if min(sums) < 0:
        return "amount_not_negative: an amount of the payment is below zero"
    if after.captured_minor + after.pending_capture_minor > after.authorized_minor:
        return "captured_within_authorized: more would be captured than was authorized"
    # A provider can take a capture back after it was refunded; then a person must look.
    refunded = after.refunded_minor + after.pending_refund_minor
    if refunded > after.captured_minor and not after.needs_review:
        return "refunded_within_captured: more would be refunded than was captured"
    return ""


def operation_fault(before: Operation, after: Operation) -> str:
    """The law that a changed operation breaks, or an empty string."""
    if _operation_identity(before) != _operation_identity(after):
        return "operation_identity: what names an operation cannot change"
    if after.state is not before.state and after.state not in OPERATION_TRANSITIONS[before.state]:
        return f"operation_transition: no edge {before.state} -> {after.state}"
    return ""


def posted_already(kind: LedgerKind, counts: dict[LedgerKind, int]) -> bool:
    """Whether an operation's ledger has no room for another transaction of this kind.

    Args:
        kind: what is to be posted.
        counts: how many transactions of each kind the operation has.
    """
    undone = UNDOES.get(kind)
    if undone is not None:
        return counts.get(kind, 0) >= counts.get(undone, 0)
    undoing = UNDONE_BY.get(kind)
    return counts.get(kind, 0) > (0 if undoing is None else counts.get(undoing, 0))


def ledger_fault(transaction: LedgerTransaction) -> str:
    """The law that a ledger transaction breaks by itself, or an empty string."""
    total = sum(one.amount_minor for one in transaction.postings)
    if not transaction.postings or total != 0:
        return f"ledger_zero_sum: {transaction.transaction_id} does not sum to zero"
    return ""
