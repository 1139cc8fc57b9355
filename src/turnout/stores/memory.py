"""The record in memory: for simulations and tests, with the same laws as the one on disk.

Everything is copied on its way in and on its way out, because a caller that goes on changing an
object must not change the record, and the other way round. A unit is checked whole before any of
it is applied, so it is written wholly or not at all. Nothing here waits, draws or reads a clock:
the same calls in the same order give the same answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from operator import attrgetter

from turnout.domain.audit import Verdict
from turnout.domain.events import Event
from turnout.domain.ledger import Balance, LedgerTransaction
from turnout.domain.operation import Operation, OperationKind, OperationState
from turnout.domain.payment import CAPTURABLE, Payment
from turnout.ports import (
    MAX_NS,
    AttemptRefused,
    BalanceFilter,
    ClaimTaken,
    DecidedAttempt,
    DecisionFilter,
    DecisionRecord,
    EventFilter,
    LedgerFilter,
    MerchantReferenceTaken,
    PaymentFilter,
    RefundFilter,
    ReviewFilter,
    ReviewRecord,
    StoredWebhook,
    UnitOfWork,
    VersionConflict,
)
from turnout.stores.filters import (
    first_attempt,
    wanted_decision,
    wanted_event,
    wanted_payment,
    wanted_refund,
    wanted_review,
)
from turnout.stores.laws import RecordRefused, operation_fault, payment_fault
from turnout.stores.memory_attempts import MemoryAttempts
from turnout.stores.memory_ledger import MemoryLedger
from turnout.stores.memory_rulesets import MemoryRulesets
from turnout.stores.shapes import copier
from turnout.stores.waking import Subscription, Waking

_decision_id = attrgetter("decision_id")
_sequence = attrgetter("sequence")
_copy_payment = copier(Payment, without=("operations",))
_copy_operation = copier(Operation)
# Its payment is copied apart, because a row has no operations.
_copy_unit = copier(UnitOfWork, without=("payment",))
_copy_event = copier(Event)
_copy_webhook = copier(StoredWebhook)
_copy_transaction = copier(LedgerTransaction)
_REFUSALS = (ClaimTaken, VersionConflict, MerchantReferenceTaken, AttemptRefused, RecordRefused)


def copied(unit: UnitOfWork) -> UnitOfWork:
    """A unit of its own, whatever becomes of the rows in the other."""
    copy: UnitOfWork = _copy_unit(unit)
    if unit.payment is not None:
        copy.payment = _copy_payment(unit.payment)
    return copy


def _settled(error: Exception | None) -> Awaitable[None]:
    """An awaitable that has already happened."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
    return future


class MemoryStore(MemoryAttempts, MemoryRulesets):
    """A `Store` that forgets everything with the process.

    Attributes:
        commits: how many units were written.
    """

    def __init__(self) -> None:
        super().__init__()
        self.commits = 0
        self._payments: dict[str, Payment] = {}
        self._operations: dict[str, Operation] = {}
        self._of_payment: dict[str, list[str]] = {}
        self._watched: set[str] = set()
        self._capturable: set[str] = set()
        # Operations that have, or had, this reference at this account.
        self._referred: dict[tuple[str, str], dict[str, None]] = {}
        self._decisions: dict[str, DecisionRecord] = {}
        self._ledger = MemoryLedger()
        self._reviews: list[ReviewRecord] = []
        self._events: list[Event] = []
        self._ids: set[str] = set()
        self._webhooks: dict[str, StoredWebhook] = {}
        self._webhook_keys: set[tuple[str, str]] = set()
        self._pending: dict[str, None] = {}
        self._set_aside: set[str] = set()
        self._blobs: dict[str, bytes] = {}
        self._configs: list[tuple[str, bytes, int]] = []
        self._waking = Waking()

    # --- units ---------------------------------------------------------------------------

    def commit(self, unit: UnitOfWork) -> Awaitable[None]:
        """See `Store.commit`; applied before it returns."""
        try:
            self.adopt(copied(unit))
        except _REFUSALS as error:
            return _settled(error)
        return _settled(None)

    def adopt(self, unit: UnitOfWork) -> None:
        """Writes a unit that nobody else will touch again, because its rows become the record's.

        Raises:
            ClaimTaken, VersionConflict, MerchantReferenceTaken, RecordRefused: nothing was
                written.
        """
        self._check(unit)
        self._apply(unit)

    def _check(self, unit: UnitOfWork) -> None:
        claim = unit.claim
        if claim is not None:
            self._check_claim(claim)
        if unit.payment is not None:
            self._check_payment(unit.payment)
        self._references.check(unit)
        for operation in unit.operations:
            self._check_operation(operation, unit.payment)
        if len(unit.operations) > 1:
            self._check_sequences(unit.operations)
        if unit.ledger:
            self._ledger.check(unit.ledger)
        if unit.events or unit.ledger or unit.decision is not None:
            self._check_ids(unit)
        self._check_attempt(unit)

    def _check_sequences(self, operations: Sequence[Operation]) -> None:
        sequences: dict[tuple[str, int], str] = {}
        for operation in operations:
            place = (operation.payment_id, operation.sequence)
            if sequences.setdefault(place, operation.operation_id) != operation.operation_id:
                raise RecordRefused("operation_sequence: the unit has this sequence twice")

    def _check_ids(self, unit: UnitOfWork) -> None:
        names = [one.event_id for one in unit.events]
        names += [one.transaction_id for one in unit.ledger]
        if unit.decision is not None:
            names.append(unit.decision.decision_id)
        if len(set(names)) != len(names) or not self._ids.isdisjoint(names):
            raise RecordRefused("an event, a decision or a ledger transaction is there already")

    def _check_payment(self, payment: Payment) -> None:
        standing = self._payments.get(payment.payment_id)
        if payment.version == 1:
            if standing is not None:
                raise VersionConflict
        elif standing is None or standing.version != payment.version - 1:
            raise VersionConflict
        fault = payment_fault(standing, payment)
        if fault:
            raise RecordRefused(fault)

    def _check_operation(self, operation: Operation, payment: Payment | None) -> None:
        standing = self._operations.get(operation.operation_id)
        if standing is not None:
            fault = operation_fault(standing, operation)
            if fault:
                raise RecordRefused(fault)
            return
        if operation.payment_id not in self._payments and (
            payment is None or payment.payment_id != operation.payment_id
        ):
            raise RecordRefused("operation_payment: the operation has no payment")
        for other in self._of_payment.get(operation.payment_id, ()):
            if self._operations[other].sequence == operation.sequence:
                raise RecordRefused("operation_sequence: the payment has this sequence already")

    def _apply(self, unit: UnitOfWork) -> None:
        self.commits += 1
        self._apply_attempts(unit)
        if unit.claim is not None:
            self._put_claim(unit.claim)
        payment = unit.payment
        if payment is not None:
            standing = self._payments.get(payment.payment_id)
            if unit.details_stand and standing is not None:
                payment.details, payment.method = standing.details, standing.method
                payment.decision = standing.decision
            self._payments[payment.payment_id] = payment
            if payment.status in CAPTURABLE:
                self._capturable.add(payment.payment_id)
            else:
                self._capturable.discard(payment.payment_id)
        self._references.put(unit)
        for operation in unit.operations:
            self._put_operation(operation)
        for transaction in unit.ledger:
            owner = self._payments.get(transaction.payment_id)
            self._ledger.post(transaction, owner is not None and owner.live)
            self._ids.add(transaction.transaction_id)
        for event in unit.events:
            event.cursor = len(self._events) + 1
            self._events.append(event)
            self._ids.add(event.event_id)
        if unit.decision is not None:
            self._decisions[unit.decision.decision_id] = unit.decision
            self._ids.add(unit.decision.decision_id)
        for key, answer in unit.answers:
            self._answer(key, answer)
        if unit.webhook_done:
            self._pending.pop(unit.webhook_done, None)
            self._set_aside.discard(unit.webhook_done)
        if unit.review is not None:
            self._reviews.append(unit.review)
        if unit.events:
            self._waking.wake([event.merchant_id for event in unit.events])

    def _put_operation(self, operation: Operation) -> None:
        if operation.operation_id not in self._operations:
            self._of_payment.setdefault(operation.payment_id, []).append(operation.operation_id)
        self._operations[operation.operation_id] = operation
        if operation.provider_reference:
            place = (operation.account_id, operation.provider_reference)
            self._referred.setdefault(place, {})[operation.operation_id] = None
        if operation.check_at_ns > 0:
            self._watched.add(operation.operation_id)
        else:
            self._watched.discard(operation.operation_id)

    # --- payments ------------------------------------------------------------------------

    def _whole(self, payment: Payment) -> Payment:
        """A copy of a payment with copies of its operations."""
        copy: Payment = _copy_payment(payment)
        standing = self._operations
        names = self._of_payment.get(copy.payment_id, ())
        copy.operations = [_copy_operation(standing[one]) for one in names]
        if len(names) > 1:
            copy.operations.sort(key=_sequence)
        return copy

    async def get_payment(self, payment_id: str) -> Payment | None:
        """See `Store.get_payment`."""
        payment = self._payments.get(payment_id)
        return None if payment is None else self._whole(payment)

    async def find_payment_by_operation(self, operation_id: str) -> Payment | None:
        """See `Store.find_payment_by_operation`."""
        found = self._operations.get(operation_id)
        return None if found is None else self._whole(self._payments[found.payment_id])

    async def find_payment_by_provider_reference(
        self, account_id: str, provider_reference: str
    ) -> Payment | None:
        """See `Store.find_payment_by_provider_reference`."""
        for name in self._referred.get((account_id, provider_reference), ()):
            one = self._operations[name]
            if one.provider_reference == provider_reference:
                return self._whole(self._payments[one.payment_id])
        return None

    async def get_decision(self, merchant_id: str, decision_id: str) -> DecisionRecord | None:
        """See `Store.get_decision`."""
        found = self._decisions.get(decision_id)
        return replace(found) if found is not None and found.merchant_id == merchant_id else None

    async def list_decisions(self, merchant_id: str, want: DecisionFilter) -> list[DecidedAttempt]:
        """See `Store.list_decisions`."""
        found: list[DecidedAttempt] = []
        for one in sorted(self._decisions.values(), key=_decision_id, reverse=True):
            payment = self._payments.get(one.payment_id)
            if payment is None or not wanted_decision(one, payment, merchant_id, want):
                continue
            attempt = first_attempt(one, self._whole(payment))
            if attempt is not None and len(found) < want.limit:
                found.append(
                    DecidedAttempt(
                        replace(one),
                        attempt.account_id,
                        attempt.state,
                        payment.amount_minor,
                        payment.currency,
                    )
                )
        return found

    async def list_payments(self, merchant_id: str, want: PaymentFilter) -> list[Payment]:
        """See `Store.list_payments`."""
        found = [
            payment
            for payment in self._payments.values()
            if payment.merchant_id == merchant_id and wanted_payment(payment, want)
        ]
        found.sort(key=lambda one: (one.created_at_ns, one.payment_id), reverse=True)
        return [self._whole(one) for one in found[: want.limit]]

    async def list_refunds(
        self, merchant_id: str, want: RefundFilter
    ) -> list[tuple[Payment, Operation]]:
        """See `Store.list_refunds`."""
        found = [
            operation
            for operation in self._operations.values()
            if operation.merchant_id == merchant_id
            and operation.kind is OperationKind.REFUND
            and wanted_refund(operation, self._payments[operation.payment_id].live, want)
        ]
        found.sort(key=lambda one: (one.created_at_ns, one.operation_id), reverse=True)
        page: list[tuple[Payment, Operation]] = []
        for one in found[: want.limit]:
            payment = self._whole(self._payments[one.payment_id])
            refund = payment.operation(one.operation_id)
            assert refund is not None
            page.append((payment, refund))
        return page

    # --- events --------------------------------------------------------------------------

    async def list_events(self, merchant_id: str, want: EventFilter) -> list[Event]:
        """See `Store.list_events`."""
        found: list[Event] = []
        for event in self._events[want.after :]:
            if event.merchant_id == merchant_id and wanted_event(event, want):
                found.append(_copy_event(event))
                if len(found) >= want.limit:
                    break
        return found

    async def last_cursor(self, merchant_id: str) -> int:
        """See `Store.last_cursor`."""
        for event in reversed(self._events):
            if event.merchant_id == merchant_id:
                return event.cursor
        return 0

    def subscribe(self, merchant_id: str) -> Subscription:
        """See `Store.subscribe`."""
        return self._waking.subscribe(merchant_id)

    # --- the ledger, and what waits for a person ------------------------------------------

    async def list_ledger(self, merchant_id: str, want: LedgerFilter) -> list[LedgerTransaction]:
        """See `Store.list_ledger`."""
        return self._ledger.page(merchant_id, want)

    async def ledger_balances(self, merchant_id: str, want: BalanceFilter) -> list[Balance]:
        """See `Store.ledger_balances`."""
        return self._ledger.balances(merchant_id, want)

    async def audit_ledger(self) -> Verdict:
        """See `Store.audit_ledger`."""
        return self._ledger.audit(self._payments.values())

    async def list_reviews(self, want: ReviewFilter) -> list[Payment]:
        """See `Store.list_reviews`."""
        whole = (self._whole(one) for one in self._payments.values())
        found = [one for one in whole if wanted_review(one, want)]
        found.sort(key=lambda one: (one.created_at_ns, one.payment_id))
        return found[: want.limit]

    async def set_aside_webhooks(
        self, after: tuple[int, str] | None, limit: int
    ) -> list[StoredWebhook]:
        """See `Store.set_aside_webhooks`."""
        aside = sorted(
            (self._webhooks[one] for one in self._set_aside),
            key=lambda one: (one.received_at_ns, one.webhook_id),
        )
        place = after or (-1, "")
        later = [one for one in aside if (one.received_at_ns, one.webhook_id) > place]
        return [_copy_webhook(one) for one in later[:limit]]

    # --- recovery ------------------------------------------------------------------------

    async def fence_in_flight(self, now_ns: int, limit: int = 0) -> int:
        """See `Store.fence_in_flight`; nothing was there when it was opened."""
        fenced = 0
        for one in self._operations.values():
            if one.state is OperationState.SENDING and not limit:
                one.state = OperationState.UNKNOWN
                one.updated_at_ns = one.check_at_ns = now_ns
                self._watched.add(one.operation_id)
                fenced += 1
        return fenced

    async def due_operations(
        self, now_ns: int, limit: int, without: Sequence[str] = (), beyond_ns: int = MAX_NS
    ) -> list[tuple[str, str]]:
        """See `Store.due_operations`."""
        due = [
            (one.check_at_ns, one.operation_id, one.payment_id)
            for one in map(self._operations.__getitem__, self._watched)
            if not now_ns < one.check_at_ns <= beyond_ns and one.account_id not in without
        ]
        due.sort()
        return [(payment_id, operation_id) for _, operation_id, payment_id in due[:limit]]

    async def next_check_ns(self) -> int:
        """See `Store.next_check_ns`."""
        return min((self._operations[one].check_at_ns for one in self._watched), default=0)

    async def expired_authorizations(self, now_ns: int, limit: int) -> list[str]:
        """See `Store.expired_authorizations`."""
        expired = [
            (one.capture_before_ns, one.payment_id)
            for one in map(self._payments.__getitem__, self._capturable)
            if 0 < one.capture_before_ns <= now_ns
        ]
        expired.sort()
        return [payment_id for _, payment_id in expired[:limit]]

    # --- webhooks ------------------------------------------------------------------------

    async def add_webhooks(self, webhooks: Sequence[StoredWebhook]) -> int:
        """See `Store.add_webhooks`."""
        added = 0
        for webhook in webhooks:
            name = (webhook.account_id, webhook.event.event_id)
            if name not in self._webhook_keys:
                self._webhook_keys.add(name)
                self._webhooks[webhook.webhook_id] = _copy_webhook(webhook)
                self._pending[webhook.webhook_id] = None
                added += 1
        return added

    async def pending_webhooks(self, limit: int) -> list[StoredWebhook]:
        """See `Store.pending_webhooks`."""
        if not self._pending:
            return []
        pending = [self._webhooks[one] for one in self._pending]
        pending.sort(key=lambda one: (one.received_at_ns, one.webhook_id))
        return [_copy_webhook(one) for one in pending[:limit]]

    async def fail_webhook(self, webhook_id: str, reason: str, give_up: bool) -> None:
        """See `Store.fail_webhook`."""
        webhook = self._webhooks[webhook_id]
        webhook.attempts += 1
        webhook.reason = reason
        if give_up:
            self._pending.pop(webhook_id, None)
            self._set_aside.add(webhook_id)

    # --- state and configuration ---------------------------------------------------------

    async def load_blob(self, name: str) -> bytes | None:
        """See `Store.load_blob`."""
        return self._blobs.get(name)

    async def save_blob(self, name: str, value: bytes) -> None:
        """See `Store.save_blob`."""
        self._blobs[name] = value

    async def import_config(self, digest: str, body: bytes, now_ns: int) -> int:
        """See `Store.import_config`."""
        if not self._configs or self._configs[-1][0] != digest:
            self._configs.append((digest, body, now_ns))
        return len(self._configs)

    async def close(self) -> None:
        """See `Store.close`; there is nothing to let go of."""

    # --- for simulations and tests -------------------------------------------------------

    def ledger(self) -> list[LedgerTransaction]:
        """All ledger transactions, oldest first."""
        return [_copy_transaction(one) for one in self._ledger.transactions]

    def reviews(self) -> list[ReviewRecord]:
        """All that operators have said, oldest first."""
        return [replace(one) for one in self._reviews]

    def decision(self, decision_id: str) -> DecisionRecord | None:
        """A decision as it was kept, or None."""
        return self._decisions.get(decision_id)
