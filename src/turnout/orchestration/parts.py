"""Everything that orchestration works with, made once by the composition root.

Also the two steps that all flows share: calling a connector so that nothing it does can be lost,
and settling an outcome against a payment that others may be changing at the same moment.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from turnout.domain.errors import NotFound
from turnout.domain.members import members
from turnout.domain.operation import Operation, OperationKind, OperationState
from turnout.domain.outcomes import Outcome, OutcomeKind
from turnout.domain.payment import Payment
from turnout.orchestration.admission import Admission
from turnout.orchestration.budgets import RetryBudgets
from turnout.orchestration.change import Change
from turnout.orchestration.commands import Caller
from turnout.orchestration.directory import Directory
from turnout.orchestration.idempotency import Run
from turnout.orchestration.mint import Mint
from turnout.orchestration.observer import Observer
from turnout.orchestration.routes import routing_outcome
from turnout.orchestration.schedule import Schedule
from turnout.orchestration.settle import Settler
from turnout.ports import Encoder, Store, StoreUnavailable, UnitOfWork, VersionConflict
from turnout.routing import Permit, RoutingEngine, RoutingError, RoutingOutcome
from turnout.vault import CardVault

_Kind = members(OperationKind)
_Outcome = members(OutcomeKind)
_Routed = members(RoutingOutcome)
_State = members(OperationState)

log = logging.getLogger(__name__)

# Backing off while the record cannot be written: what a provider said must be kept, so this goes
# on until it can be or the process ends, and then recovery asks the provider again.
_RETRY_FIRST_S = 0.05
_RETRY_MOST_S = 5.0

# Whose call ended without the issuer's answer, so that the engine has learnt none.
_LEFT_OPEN = frozenset({_State.UNKNOWN, _State.PENDING, _State.REQUIRES_ACTION})
_ANSWERED = frozenset({_State.SUCCEEDED, _State.FAILED})
# An older answer tells of another time, and the engine would take it for one of now.
_LEARNT_WITHIN_NS = 3_600 * 1_000_000_000


@dataclass(slots=True)
class Parts:
    """The house's rooms as orchestration sees them.

    Without `budgets` anything may be asked again at any time, as a simulation may want it.
    `calling` holds the operations about which a provider is being asked at this moment: recovery
    leaves them alone, whatever the clock says.
    """

    store: Store
    vault: CardVault
    directory: Directory
    engine: RoutingEngine
    mint: Mint
    encoder: Encoder
    schedule: Schedule
    settler: Settler
    observer: Observer = field(default_factory=Observer)
    admission: Admission = field(default_factory=Admission)
    calling: set[str] = field(default_factory=set)
    budgets: RetryBudgets | None = None
    _unanswered: dict[str, int] = field(default_factory=dict)
    _began_ns: int = field(init=False)

    def __post_init__(self) -> None:
        self._began_ns = self.mint.clock.monotonic_ns()

    def quiet(self, operation: Operation) -> bool:
        """Whether no copy of its request can be on its way, by the clock that never jumps.

        The times in the record come from a clock that may have been wrong by an hour when they
        were written. What an earlier process sent counts from this one's beginning, and what this
        one sent from the end of the call: a process that stood still sends when it goes on.
        """
        since_ns = self._unanswered.get(operation.operation_id, self._began_ns)
        waited_ns = self.mint.clock.monotonic_ns() - since_ns
        return waited_ns > self.schedule.in_flight_ns(operation)

    def may_repeat(self, account_id: str) -> bool:
        """Whether the account's provider may be asked again now; takes a token where it may."""
        return self.budgets is None or self.budgets.take(account_id)

    async def call(
        self,
        operation: Operation,
        permit: Permit,
        send: Callable[[], Awaitable[Outcome]],
        run: Run | None = None,
        *,
        repeated: bool = False,
    ) -> Outcome:
        """Calls a connector and tells the engine, and the retry budget, how it went.

        Whatever the connector raises is a defect, and whatever may have left is then unknown.
        The time it took is put down to `run`, where a call waits for it.
        """
        clock = self.mint.clock
        begun_ns = clock.monotonic_ns()
        outcome: Outcome | None = None
        self.calling.add(operation.operation_id)
        try:
            outcome = await send()
        except Exception:
            log.exception("connector failed on %s", operation.operation_id)
            outcome = Outcome(_Outcome.UNKNOWN, reason="connector_defect")
        finally:
            self.calling.discard(operation.operation_id)
            took_ns = clock.monotonic_ns() - begun_ns
            result = _Routed.TIMEOUT if outcome is None else routing_outcome(outcome)
            self.engine.finish(permit, result, latency_ms=took_ns / 1e6, now_ns=clock.now_ns())
        if run is not None:
            run.provider_ns += took_ns
        self.observer.attempt(operation, outcome, took_ns / 1e9)
        if self.budgets is not None:
            self._account_for(self.budgets, operation.account_id, outcome, repeated)
        if outcome.kind is _Outcome.UNKNOWN:
            self._unanswered.setdefault(operation.operation_id, begun_ns + took_ns)
        else:
            self._unanswered.pop(operation.operation_id, None)
        return outcome

    @staticmethod
    def _account_for(
        budgets: RetryBudgets, account_id: str, outcome: Outcome, repeated: bool
    ) -> None:
        if repeated:
            budgets.answered(account_id, outcome)
        else:
            budgets.first(account_id)
        if outcome.retry_after_ms:
            budgets.quiet(account_id, outcome.retry_after_ms)

    async def settle(
        self,
        payment: Payment,
        operation_id: str,
        outcome: Outcome,
        *,
        run: Run | None = None,
        reverses: bool = False,
        webhook_id: str = "",
        occurred_at_ns: int = 0,
    ) -> Payment:
        """Settles an outcome durably, however often the payment moves under our hands.

        Args:
            payment: as last seen; read again where somebody else was quicker.
            operation_id: one of its operations.
            outcome: what became of it.
            run: the call that waits for it.
            reverses: the outcome takes back a success.
            webhook_id: the stored webhook that is done with this.
            occurred_at_ns: when it happened, as the provider tells; 0 for just now.

        Returns:
            The payment as it now stands.
        """
        while True:
            change = Change(payment, self.mint)
            operation = payment.operation(operation_id)
            if operation is None:
                raise KeyError(f"{payment.payment_id} has no operation {operation_id}")
            before, flagged = operation.state, payment.needs_review
            self.settler.settle(
                change, operation, outcome, reverses=reverses, occurred_at_ns=occurred_at_ns
            )
            if not change.dirty:
                if webhook_id:
                    await self.store.commit(UnitOfWork(webhook_done=webhook_id))
                return payment
            try:
                await self.commit_change(change, run=run, webhook_id=webhook_id)
            except VersionConflict:
                payment = await self.read_again(payment.payment_id, run)
                continue
            self._tell(payment, operation, run)
            if payment.needs_review and not flagged:
                self.observer.review(payment, operation)
            if before in _LEFT_OPEN and operation.kind is _Kind.AUTHORIZE:
                await self._learn(payment, operation, outcome, change.now_ns)
            return payment

    async def _learn(
        self, payment: Payment, attempt: Operation, outcome: Outcome, now_ns: int
    ) -> None:
        """Tells the engine what the issuer answered to an attempt whose call did not say."""
        late = now_ns - attempt.created_at_ns > _LEARNT_WITHIN_NS
        if attempt.state not in _ANSWERED or payment.decision is None or late:
            return
        try:
            decision = await self.store.get_decision(
                payment.merchant_id, payment.decision.decision_id
            )
            if decision is not None:
                self.engine.observe(
                    attempt.account_id, decision.record, routing_outcome(outcome), now_ns=now_ns
                )
        except (StoreUnavailable, RoutingError) as error:
            # Another layout, an account that is gone: what became of the payment is settled.
            log.warning("%s was not learnt from: %s", attempt.operation_id, error)

    def _tell(self, payment: Payment, operation: Operation, run: Run | None) -> None:
        self.observer.settled(payment, operation, run.caller.request_id if run else "")
        if run is not None and operation.kind is _Kind.AUTHORIZE:
            total_ns = self.mint.clock.monotonic_ns() - run.begun_ns
            self.observer.authorized(total_ns / 1e9, run.provider_ns / 1e9)

    async def commit_change(
        self, change: Change, *, run: Run | None = None, webhook_id: str = ""
    ) -> None:
        """Makes a change durable and answers the run with it.

        Raises:
            VersionConflict: somebody else was quicker; nothing was written.
        """
        unit = change.unit(self.encoder)
        unit.webhook_done = webhook_id
        # Outcomes do not touch what the merchant said, nor how is paid and why there; only a
        # confirmation does, and what a cascade notes at its end.
        unit.details_stand = run is None or not run.noted
        answer = run.take_answer(unit) if run is not None else None
        wait_s = _RETRY_FIRST_S
        while True:
            try:
                await self.store.commit(unit)
                break
            except VersionConflict:
                if run is not None and answer is not None:
                    run.answered = False
                raise
            except StoreUnavailable as error:
                log.error("the record cannot be written, trying again: %s", error)
                if run is not None and run.late:
                    run.fail(error)
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, _RETRY_MOST_S)
        if run is not None and answer is not None:
            run.resolve(answer)

    async def read_again(self, payment_id: str, run: Run | None) -> Payment:
        """A payment that somebody else was quicker to change, and the answer that they stored.

        Goes on until the record can be read: the outcome that waits here for it came from a
        provider and must not be dropped. The payment is read first, so that an answer stored
        after the second read shows as another version conflict.
        """
        wait_s = _RETRY_FIRST_S
        while True:
            try:
                payment = await self.read(payment_id)
                if run is not None:
                    await run.adopt_stored()
                return payment
            except StoreUnavailable as error:
                log.error("the record cannot be read, trying again: %s", error)
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, _RETRY_MOST_S)

    async def own(self, caller: Caller, payment_id: str) -> Payment:
        """A payment of the caller's.

        Raises:
            NotFound: there is none, or it is another merchant's or of the other mode, which must
                look the same.
        """
        return self.owned(caller, await self.store.get_payment(payment_id), payment_id)

    def owned(self, caller: Caller, payment: Payment | None, payment_id: str) -> Payment:
        """A payment that was read already, if it is the caller's.

        Raises:
            NotFound: as `own`.
        """
        if (
            payment is None
            or payment.merchant_id != caller.merchant_id
            or payment.live is not caller.live
        ):
            raise NotFound(
                "PAYMENT_NOT_FOUND",
                f"there is no payment {payment_id[:64]!r} for this key; check the id, and that "
                "a test key is used for a test payment",
            )
        return payment

    async def read(self, payment_id: str) -> Payment:
        """A payment that must be there.

        Raises:
            StoreUnavailable: the record cannot be read, or lost it.
        """
        payment = await self.store.get_payment(payment_id)
        if payment is None:
            raise StoreUnavailable(f"{payment_id} is not in the record any more")
        return payment
