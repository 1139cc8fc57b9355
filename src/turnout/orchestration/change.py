"""One change to one payment: collects what must be committed together, then makes it a unit.

The payment is encoded once, after everything about it has changed; those bytes serve the stored
answer and all events of the change.
"""

from __future__ import annotations

from turnout.domain import ids
from turnout.domain.events import Event, EventType
from turnout.domain.ledger import LedgerKind, LedgerTransaction, postings
from turnout.domain.members import members
from turnout.domain.operation import (
    ID_PREFIX,
    ClaimKey,
    Operation,
    OperationKind,
    OperationState,
)
from turnout.domain.payment import Payment
from turnout.orchestration.mint import Mint
from turnout.orchestration.schemes import tell_settled
from turnout.ports import Claim, DecisionRecord, Encoder, UnitOfWork

_Kind = members(OperationKind)
_State = members(OperationState)
_Event = members(EventType)

# Events about a refund carry the refund; all others carry the payment.
_REFUND_EVENTS = frozenset({_Event.REFUND_CREATED, _Event.REFUND_SUCCEEDED, _Event.REFUND_FAILED})


class Change:
    """What one commit is to do to one payment."""

    __slots__ = ("_events", "_ledger", "_operations", "_touched", "mint", "now_ns", "payment")

    def __init__(self, payment: Payment, mint: Mint) -> None:
        self.payment = payment
        self.now_ns = mint.clock.now_ns()
        self.mint = mint
        self._operations: list[Operation] = []
        self._ledger: list[LedgerTransaction] = []
        self._events: list[tuple[EventType, Operation | None]] = []
        self._touched = False

    @property
    def dirty(self) -> bool:
        """Whether there is anything to commit."""
        return self._touched

    def touch(self, operation: Operation | None = None) -> None:
        """Notes that the payment, and this operation of it, changed."""
        self._touched = True
        if operation is not None:
            for one in self._operations:
                if one is operation:
                    return
            self._operations.append(operation)

    def add(self, operation: Operation) -> None:
        """Appends a new operation to the payment."""
        self.payment.operations.append(operation)
        self.touch(operation)

    def post(self, kind: LedgerKind, operation: Operation, amount_minor: int) -> None:
        """Adds a ledger transaction; an amount of zero moves nothing and adds none."""
        if amount_minor == 0:
            return
        payment = self.payment
        self._ledger.append(
            LedgerTransaction(
                self.mint.new(ids.LEDGER_TRANSACTION, self.now_ns),
                payment.merchant_id,
                operation.account_id,
                payment.payment_id,
                operation.operation_id,
                kind,
                payment.currency,
                postings(kind, amount_minor),
                self.now_ns,
            )
        )

    def tell(self, event: EventType, operation: Operation | None = None) -> None:
        """Adds an event."""
        self._events.append((event, operation))

    def unit(
        self,
        encoder: Encoder,
        *,
        claim: Claim | None = None,
        decision: DecisionRecord | None = None,
        answer: bool = True,
        insert: bool = False,
    ) -> UnitOfWork:
        """Closes the change: counts the version up and encodes the payment.

        Args:
            encoder: how the face encodes answers and payloads.
            claim: a call to be claimed in the same commit.
            decision: a decision to be kept with it.
            answer: also answer the calls that wait for the operations touched here and whose
                outcome is now known.
            insert: the payment is new.
        """
        payment = self.payment
        if not insert:
            payment.version += 1
        payment.updated_at_ns = self.now_ns
        # By position: that costs half of the names.
        unit = UnitOfWork(claim, [], payment, self._operations, self._ledger, [], decision)
        tell_settled(unit, payment, self.now_ns)
        encoded: bytes | None = None
        for event, operation in self._events:
            if event in _REFUND_EVENTS and operation is not None:
                payload = encoder.refund(payment, operation)
            else:
                payload = encoded = encoded or encoder.payment(payment)
            unit.events.append(
                Event(
                    self.mint.new(ids.EVENT, self.now_ns),
                    payment.merchant_id,
                    event,
                    payment.payment_id,
                    operation.operation_id if operation is not None else "",
                    self.now_ns,
                    payload,
                    payment.live,
                )
            )
        if answer:
            for operation in self._operations:
                if operation.claim is None:
                    continue
                if operation.kind is _Kind.REFUND:
                    payload = encoder.refund(payment, operation)
                else:
                    payload = encoded = encoded or encoder.payment(payment)
                unit.answers.append((operation.claim, payload))
        return unit


def new_operation(
    payment: Payment,
    kind: OperationKind,
    amount_minor: int,
    mint: Mint,
    claim: ClaimKey | None = None,
) -> Operation:
    """A follow-up of the payment's authorization, or of its last attempt; nobody holds it yet."""
    now_ns = mint.clock.now_ns()
    at = payment.authorization or payment.of_kind(_Kind.AUTHORIZE)[-1]
    return Operation(
        mint.new(ID_PREFIX[kind], now_ns),
        payment.payment_id,
        payment.merchant_id,
        kind,
        len(payment.operations) + 1,
        at.account_id,
        at.provider,
        amount_minor,
        payment.currency,
        _State.SENDING,
        now_ns,
        now_ns,
        claim=claim,
    )
