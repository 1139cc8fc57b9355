"""Captures, cancels and refunds: what is asked of a provider about an authorization it has.

Each is written ahead under the payment's version, so of two that race one is refused, and the sum
of what is captured, refunded and under way can never pass what there is. `ask` finds out what
became of one: by inquiry, or by sending the same request again under the same key to the same
account.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from turnout.domain.errors import AlreadyExists, FieldError, InvalidRequest, StateConflict
from turnout.domain.events import EventType
from turnout.domain.ledger import LedgerKind
from turnout.domain.members import members
from turnout.domain.money import format_money
from turnout.domain.operation import (
    NOT_SENT,
    Operation,
    OperationDetails,
    OperationKind,
    OperationState,
)
from turnout.domain.outcomes import Outcome, OutcomeKind
from turnout.domain.payment import CAPTURABLE, Payment, PaymentStatus
from turnout.orchestration.change import Change, new_operation
from turnout.orchestration.commands import CancelCommand, CaptureCommand, RefundCommand
from turnout.orchestration.idempotency import Run
from turnout.orchestration.parts import Parts
from turnout.orchestration.validate import check_capture, check_refund
from turnout.ports import (
    FollowUpRequest,
    InquiryRequest,
    MerchantReferenceTaken,
    RefundFilter,
    VersionConflict,
)
from turnout.routing import Refusal

_Kind = members(OperationKind)
_State = members(OperationState)
_Outcome = members(OutcomeKind)
_Status = members(PaymentStatus)
_Event = members(EventType)
_Ledger = members(LedgerKind)

_MS = 1_000_000
_LOCAL_CANCEL = frozenset({_Status.REQUIRES_PAYMENT_METHOD, _Status.REQUIRES_CONFIRMATION})
_ATTEMPT_LIVE = frozenset({_State.REQUIRES_ACTION, _State.PENDING})


class FollowUps:
    """Does the follow-ups of payments, and asks what became of operations."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    # --- what merchants ask for ------------------------------------------------------------

    async def capture(self, run: Run, command: CaptureCommand) -> None:
        """Captures in full or in part.

        Raises:
            InvalidRequest, NotFound, StateConflict: nothing was stored or sent.
        """

        async def prepare(payment: Payment) -> Operation:
            check_capture(command, payment.currency)
            amount_minor = self._capture_amount(payment, command)
            account, _ = self._parts.directory.reach(payment.account_id)
            operation = self._new(payment, _Kind.CAPTURE, amount_minor, run)
            operation.details = OperationDetails(merchant_reference=command.merchant_reference)
            operation.final = (
                command.final
                or not account.multi_capture
                or amount_minor == payment.capturable_minor
            )
            return operation

        await self._run(run, self._named(run, command.payment_id), prepare)

    async def cancel(self, run: Run, command: CancelCommand) -> None:
        """Releases what is authorized and not captured.

        Raises:
            NotFound, StateConflict: nothing was stored or sent.
        """
        payment = self._named(run, command.payment_id)
        if payment.status in _LOCAL_CANCEL:
            await self._cancel_here(run, payment, command)
            return

        async def prepare(payment: Payment) -> Operation:
            _check_cancelable(payment)
            amount_minor = payment.rest_minor or payment.amount_minor
            operation = self._new(payment, _Kind.CANCEL, amount_minor, run)
            operation.details = OperationDetails(reason=command.reason)
            return operation

        await self._run(run, payment, prepare)

    async def refund(self, run: Run, command: RefundCommand) -> None:
        """Gives captured money back.

        Raises:
            InvalidRequest, NotFound, StateConflict: nothing was stored or sent.
        """

        async def prepare(payment: Payment) -> Operation:
            check_refund(command, payment.currency)
            await self._refuse_refund_reference(run, command.merchant_reference)
            amount_minor = _refund_amount(payment, command)
            operation = self._new(payment, _Kind.REFUND, amount_minor, run)
            operation.details = OperationDetails(
                command.reason,
                command.merchant_reference,
                command.description,
                dict(command.metadata),
            )
            return operation

        try:
            await self._run(run, self._named(run, command.payment_id), prepare)
        except MerchantReferenceTaken:
            # One that began at the same moment, or one of the other mode.
            raise _refund_reference_taken(command.merchant_reference, "") from None

    # --- what recovery asks for --------------------------------------------------------------

    async def undo(self, payment: Payment, attempt: Operation, reason: str) -> Payment:
        """Cancels an authorization that waits for its payer, or whose outcome is unknown.

        Args:
            payment: as last seen.
            attempt: the authorize operation.
            reason: `abandoned` or `outcome_reversed`.
        """
        operation = self._new(payment, _Kind.CANCEL, attempt.amount_minor, None)
        operation.account_id, operation.provider = attempt.account_id, attempt.provider
        operation.check_at_ns = self._parts.schedule.sent_before_ns(operation)
        operation.details = OperationDetails(reason=reason)
        change = Change(payment, self._parts.mint)
        change.add(operation)
        unit = change.unit(self._parts.encoder, answer=False)
        unit.details_stand = True
        try:
            await self._parts.store.commit(unit)
        except VersionConflict:
            return await self._parts.read(payment.payment_id)
        outcome = await self.send(payment, operation)
        return await self._parts.settle(payment, operation.operation_id, outcome)

    def repeats(self, operation: Operation) -> bool:
        """Whether to ask about it means to call its provider again.

        Raises:
            Unavailable: the configuration no longer has its account.
        """
        _, connector = self._parts.directory.reach(operation.account_id)
        if operation.unsent:
            return False
        return connector.traits.can_inquire or self._resends(operation)

    def _resends(self, operation: Operation) -> bool:
        now_ns = self._parts.mint.clock.now_ns()
        return (
            operation.kind is not _Kind.AUTHORIZE
            and operation.state is _State.UNKNOWN
            and self._parts.schedule.may_resend(operation, now_ns)
        )

    async def ask(
        self, payment: Payment, operation: Operation, parameters: dict[str, str] | None = None
    ) -> Payment:
        """Finds out what became of an operation, and settles it where that is known.

        Args:
            payment: as last seen.
            operation: one of its operations.
            parameters: what the payer brought back from a redirect, where they came back.
        """
        parts = self._parts
        now_ns = parts.mint.clock.now_ns()
        account, connector = parts.directory.reach(operation.account_id)
        authorization = _authorization_of(payment, operation)
        sent_before_ns = parts.schedule.sent_before_ns(operation)
        if not parts.quiet(operation):
            sent_before_ns = max(sent_before_ns, now_ns)
        if operation.unsent:
            outcome = await self.send(payment, operation)
            if outcome.kind is _Outcome.NOT_PROCESSED:
                # Nobody waits for it: its turn comes again.
                outcome = Outcome(
                    _Outcome.UNKNOWN, reason=NOT_SENT, retry_after_ms=outcome.retry_after_ms
                )
        elif connector.traits.can_inquire or parameters:
            request = InquiryRequest(
                operation,
                authorization,
                payment.capture_method,
                sent_before_ns,
                now_ns,
                parts.mint.clock.monotonic_ns() + account.timeout_ms * _MS,
                parameters or {},
            )
            permit = parts.engine.begin(account.account_id, now_ns=now_ns, required=True)
            if isinstance(permit, Refusal):
                return payment
            outcome = await parts.call(
                operation,
                permit,
                lambda: connector.inquire(account, request),
                repeated=True,
            )
        elif self._resends(operation):
            outcome = await self.send(payment, operation, repeated=True)
            if outcome.kind is _Outcome.NOT_PROCESSED:
                # That this copy was refused (a rate limit, no connection) says nothing of the
                # first one, which may have moved the money.
                outcome = Outcome(
                    _Outcome.UNKNOWN,
                    reason=outcome.reason,
                    retry_after_ms=outcome.retry_after_ms,
                )
        else:
            outcome = Outcome(_Outcome.UNKNOWN, reason=operation.reason or "not_told_yet")
        operation.checks += 1
        return await parts.settle(payment, operation.operation_id, outcome)

    async def send(
        self, payment: Payment, operation: Operation, *, repeated: bool = False
    ) -> Outcome:
        """Sends a follow-up under its own key; the same bytes each time."""
        parts = self._parts
        account, connector = parts.directory.reach(operation.account_id)
        authorization = _authorization_of(payment, operation)
        request = FollowUpRequest(
            operation.kind,
            operation.operation_id,
            payment.payment_id,
            authorization.operation_id,
            authorization.provider_reference,
            operation.amount_minor,
            operation.currency,
            operation.final,
            operation.details.reason if operation.details is not None else "",
            parts.mint.clock.monotonic_ns() + account.timeout_ms * _MS,
        )
        permit = parts.engine.begin(
            account.account_id, now_ns=parts.mint.clock.now_ns(), required=True
        )
        if isinstance(permit, Refusal):
            return Outcome(_Outcome.NOT_PROCESSED, reason=permit.code)
        return await parts.call(
            operation,
            permit,
            lambda: connector.follow_up(account, request),
            repeated=repeated,
        )

    # --- shared --------------------------------------------------------------------------------

    def _named(self, run: Run, payment_id: str) -> Payment:
        """The payment that a call is about, as it was read with the call's key.

        Raises:
            NotFound: there is none, or it is not the caller's.
        """
        return self._parts.owned(run.caller, run.payment, payment_id)

    async def _run(
        self, run: Run, payment: Payment, prepare: Callable[[Payment], Awaitable[Operation]]
    ) -> None:
        """Writes ahead, sends, settles and resolves the run.

        Args:
            run: the call.
            payment: as last seen; read again where somebody else was quicker.
            prepare: makes the operation that the call asks for, or refuses it.
        """
        parts = self._parts
        while True:
            operation = await prepare(payment)
            parts.directory.reach(operation.account_id)
            change = Change(payment, parts.mint)
            change.add(operation)
            if operation.kind is _Kind.REFUND:
                change.post(_Ledger.REFUND_REQUESTED, operation, operation.amount_minor)
                change.tell(_Event.REFUND_CREATED, operation)
            payment.retotal()
            unit = change.unit(
                parts.encoder,
                claim=run.claim(payment.payment_id, operation.operation_id),
                answer=False,
            )
            # What the merchant said of the payment is no matter of a follow-up.
            unit.details_stand = True
            try:
                await run.begin(parts.store.commit(unit), self._present(payment, operation))
                break
            except VersionConflict:
                payment = await parts.own(run.caller, payment.payment_id)
        outcome = await self.send(payment, operation)
        await parts.settle(payment, operation.operation_id, outcome, run=run)

    async def _refuse_refund_reference(self, run: Run, reference: str) -> None:
        """Before anything else is said of the refund; the commit checks it again."""
        if not reference:
            return
        want = RefundFilter(merchant_reference=reference, limit=1, live=run.caller.live)
        for _, taken in await self._parts.store.list_refunds(run.caller.merchant_id, want):
            raise _refund_reference_taken(reference, taken.operation_id)

    def _present(self, payment: Payment, operation: Operation) -> Callable[[], bytes]:
        encoder = self._parts.encoder
        if operation.kind is _Kind.REFUND:
            return lambda: encoder.refund(payment, operation)
        return lambda: encoder.payment(payment)

    async def _cancel_here(self, run: Run, payment: Payment, command: CancelCommand) -> None:
        """Cancels a payment that no provider has heard of."""
        parts = self._parts
        while True:
            if payment.status not in _LOCAL_CANCEL:
                raise _state_conflict(payment, "canceled")
            change = Change(payment, parts.mint)
            payment.cancellation_reason = command.reason
            payment.move(_Status.CANCELED, change.now_ns)
            change.touch()
            change.tell(_Event.PAYMENT_CANCELED)
            claim = run.claim(payment.payment_id, "")
            unit = change.unit(parts.encoder, claim=claim)
            answer = claim.answer = parts.encoder.payment(payment)
            try:
                await run.complete(parts.store.commit(unit), answer)
                return
            except VersionConflict:
                payment = await parts.own(run.caller, command.payment_id)
                continue

    def _new(
        self, payment: Payment, kind: OperationKind, amount_minor: int, run: Run | None
    ) -> Operation:
        claim = run.key if run is not None else None
        operation = new_operation(payment, kind, amount_minor, self._parts.mint, claim)
        operation.check_at_ns = self._parts.schedule.sent_before_ns(operation)
        return operation

    def _capture_amount(self, payment: Payment, command: CaptureCommand) -> int:
        now_ns = self._parts.mint.clock.now_ns()
        if payment.status in CAPTURABLE and 0 < payment.capture_before_ns <= now_ns:
            raise StateConflict(
                "AUTHORIZATION_EXPIRED",
                f"the authorization of {payment.payment_id} has expired and cannot be captured; "
                "authorize again",
            )
        if payment.status not in CAPTURABLE:
            raise _state_conflict(payment, "captured")
        if payment.cancel_open:
            raise StateConflict(
                "CANCEL_IN_PROGRESS",
                f"{payment.payment_id} is being canceled, so nothing of it may be captured",
            )
        open_captures = [one for one in payment.of_kind(_Kind.CAPTURE) if one.open]
        if any(one.final for one in open_captures):
            raise StateConflict(
                "CAPTURE_IN_PROGRESS",
                f"a final capture of {payment.payment_id} is under way; it releases the rest",
            )
        most = payment.capturable_minor
        amount_minor = command.amount_minor or most
        if amount_minor > most or most == 0:
            raise _too_much("captured", amount_minor, most, payment)
        return amount_minor


def _refund_reference_taken(reference: str, refund_id: str) -> AlreadyExists:
    return AlreadyExists(
        "MERCHANT_REFERENCE_TAKEN",
        f"there is a refund with merchant_reference {reference!r} already"
        + (f": {refund_id}" if refund_id else "")
        + "; look it up with ListRefunds, or send a new reference",
        metadata={"refund_id": refund_id} if refund_id else {},
    )


def _check_cancelable(payment: Payment) -> None:
    if payment.cancel_open and payment.status is not _Status.SUCCEEDED:
        raise StateConflict(
            "CANCEL_IN_PROGRESS", f"{payment.payment_id} is being canceled already"
        )
    if payment.pending_capture_minor:
        raise StateConflict(
            "CAPTURE_IN_PROGRESS",
            f"a capture of {payment.payment_id} is under way; cancel what is left, or refund, "
            "once it is settled",
        )
    waits_for_payer = payment.status is _Status.REQUIRES_ACTION and any(
        one.state in _ATTEMPT_LIVE for one in payment.of_kind(_Kind.AUTHORIZE)
    )
    if payment.status not in CAPTURABLE and not waits_for_payer:
        raise _state_conflict(payment, "canceled")


def _refund_amount(payment: Payment, command: RefundCommand) -> int:
    if payment.captured_minor == 0:
        raise _state_conflict(payment, "refunded, because nothing of it is captured")
    most = payment.refundable_minor
    amount_minor = command.amount_minor or most
    if amount_minor > most or most == 0:
        raise _too_much("refunded", amount_minor, most, payment)
    return amount_minor


def _too_much(what: str, amount_minor: int, most_minor: int, payment: Payment) -> InvalidRequest:
    asked = format_money(amount_minor, payment.currency)
    most = format_money(most_minor, payment.currency)
    text = f"{asked} cannot be {what}: at most {most} of this payment can still be"
    if most_minor == 0:
        text = f"all that could be {what} of this payment is, or is under way"
    return InvalidRequest([FieldError("amount_minor", "AMOUNT_TOO_LARGE", text)])


def _state_conflict(payment: Payment, what: str) -> StateConflict:
    advice = {
        _Status.SUCCEEDED: "it is captured; give money back with CreateRefund",
        _Status.PROCESSING: "its outcome is not known yet; wait for it, or ask with SyncPayment",
        _Status.REQUIRES_CAPTURE: "capture it first, or release the money with CancelPayment",
        _Status.REQUIRES_ACTION: "it waits for the payer, see next_action",
        _Status.REQUIRES_CONFIRMATION: "confirm it first, with ConfirmPayment",
        _Status.REQUIRES_PAYMENT_METHOD: "it needs a payment method first, with ConfirmPayment",
    }.get(payment.status, f"it is {payment.status}, which is final")
    return StateConflict(
        "PAYMENT_STATE",
        f"{payment.payment_id} cannot be {what}: {advice}",
        metadata={"status": payment.status.value},
    )


def _authorization_of(payment: Payment, operation: Operation) -> Operation:
    """The authorize operation that another one of this payment is about."""
    if operation.kind is _Kind.AUTHORIZE:
        return operation
    if payment.authorization is not None:
        return payment.authorization
    attempts = payment.of_kind(_Kind.AUTHORIZE)
    live = [one for one in attempts if one.open]
    return (live or attempts)[-1]
