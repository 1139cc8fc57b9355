"""The one place where a provider's answer changes a payment, by whichever road it came.

Synchronous answers, inquiries and webhooks all end here as an Outcome. Settling is idempotent and
takes answers in any order: what is already known is never made less known, a success is taken back
only by an outcome that says so (`reverses`), and an answer that contradicts the record goes to a
person instead of being believed.
"""

from __future__ import annotations

from turnout.domain.declines import Decline, DeclineCode, decline
from turnout.domain.events import EventType
from turnout.domain.ledger import LedgerKind
from turnout.domain.members import members
from turnout.domain.operation import (
    FINAL_CAPTURE,
    NOT_SENT,
    Operation,
    OperationDetails,
    OperationKind,
    OperationState,
)
from turnout.domain.outcomes import Outcome, OutcomeKind, take_facts
from turnout.domain.payment import CAPTURABLE, CaptureMethod, Payment, PaymentStatus
from turnout.domain.reviews import (
    LATE_SUCCESS,
    NO_ROOM,
    OVER_REFUNDED,
    REST_STILL_HELD,
    has_room,
    mismatch,
    needs_person,
    over_refunded,
)
from turnout.orchestration.change import Change, new_operation
from turnout.orchestration.schedule import Schedule

_Capture = members(CaptureMethod)
_Event = members(EventType)
_Ledger = members(LedgerKind)
_Kind = members(OperationKind)
_Outcome = members(OutcomeKind)
_State = members(OperationState)
_Status = members(PaymentStatus)
_Code = members(DeclineCode)
_SETTLED = frozenset({_State.SUCCEEDED, _State.FAILED, _State.NOT_PROCESSED, _State.NEEDS_REVIEW})
_UNDECIDED = frozenset({_Status.PROCESSING, _Status.REQUIRES_ACTION})
_NO_MONEY = frozenset({_Outcome.DECLINED, _Outcome.NOT_PROCESSED})

# Why an operation failed whose success was taken back: that may still be told, or told again.
_TAKEN_BACK = "taken_back"


class Settler:
    """Applies outcomes to payments. Pure: it only changes what it is given."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule

    def settle(
        self,
        change: Change,
        operation: Operation,
        outcome: Outcome,
        *,
        conclude: bool = True,
        reverses: bool = False,
        occurred_at_ns: int = 0,
    ) -> None:
        """Brings `operation` and its payment up to what `outcome` says.

        Args:
            change: collects what changes; stays clean where the outcome says nothing new.
            operation: one of the payment's operations.
            outcome: what is now known of it.
            conclude: a failed authorization ends the payment; False while the cascade goes on.
            reverses: the outcome takes back a success that was told earlier.
            occurred_at_ns: when it happened, as the provider tells; 0 for just now.
        """
        if reverses:
            self._reverse(change, operation, outcome)
            return
        if operation.state in _SETTLED:
            self._late(change, operation, outcome, occurred_at_ns)
            return
        if outcome.provider_reference:
            operation.provider_reference = outcome.provider_reference
        if outcome.provider_state:
            operation.provider_state.update(outcome.provider_state)
        kind = outcome.kind
        if kind is _Outcome.SUCCEEDED:
            if wrong := mismatch(operation, outcome):
                self.review(change, operation, wrong)
            else:
                self._succeed(change, operation, outcome)
        elif kind in _NO_MONEY:
            if operation.frees_rest:
                # The record has let go of what its payer may go without for days.
                operation.decline = outcome.decline
                self.review(change, operation, REST_STILL_HELD)
            else:
                self._refused(change, operation, outcome, conclude)
        else:
            self._wait(change, operation, outcome)

    def resolve(self, change: Change, operation: Operation, outcome: Outcome) -> None:
        """Settles an operation under review by what a person found out.

        Args:
            change: collects what changes.
            operation: its state is `needs_review`, and the payment can take the outcome.
            outcome: SUCCEEDED, DECLINED or NOT_PROCESSED.
        """
        if outcome.provider_reference:
            operation.provider_reference = outcome.provider_reference
        if outcome.kind is _Outcome.SUCCEEDED:
            self._succeed(change, operation, outcome)
        else:
            self._refused(change, operation, outcome, True)

    # --- nothing final yet ---------------------------------------------------------------

    def _wait(self, change: Change, operation: Operation, outcome: Outcome) -> None:
        payment, now_ns = change.payment, change.now_ns
        was_sending = operation.state is _State.SENDING
        if outcome.kind is _Outcome.UNKNOWN:
            if was_sending:
                operation.move(_State.UNKNOWN, now_ns)
            operation.reason = outcome.reason
        elif outcome.kind is _Outcome.PENDING:
            if operation.state is not _State.REQUIRES_ACTION or not payment.next_action:
                operation.move(_State.PENDING, now_ns)
            operation.reason = outcome.reason
        else:
            operation.move(_State.REQUIRES_ACTION, now_ns)
            if operation.kind is _Kind.AUTHORIZE and payment.status in _UNDECIDED:
                first = payment.status is not _Status.REQUIRES_ACTION
                payment.move(_Status.REQUIRES_ACTION, now_ns)
                payment.next_action = self._schedule.ending(outcome.next_action, operation)
                payment.account_id = operation.account_id
                payment.provider_reference = operation.provider_reference
                if first:
                    change.tell(_Event.PAYMENT_REQUIRES_ACTION, operation)
        if was_sending or operation.check_at_ns <= now_ns:
            # A look that is still to come stays where it is: a caller who asks again and again
            # must not put off what only recovery does.
            operation.check_at_ns = self._schedule.next_check_ns(
                operation, now_ns, outcome.retry_after_ms
            )
        change.touch(operation)

    # --- success -------------------------------------------------------------------------

    def _succeed(self, change: Change, operation: Operation, outcome: Outcome) -> None:
        if operation.kind is _Kind.CAPTURE and not has_room(change.payment, operation):
            # The rest was given up meanwhile, by an expiry or at the provider's own desk.
            self.review(change, operation, NO_ROOM)
            return
        operation.check_at_ns = 0
        operation.reason = ""
        operation.move(_State.SUCCEEDED, change.now_ns)
        change.touch(operation)
        if operation.kind is _Kind.AUTHORIZE:
            self._authorized(change, operation, outcome)
        elif operation.kind is _Kind.CAPTURE:
            self._captured(change, operation)
        elif operation.kind is _Kind.CANCEL:
            self._canceled(change, operation)
        else:
            change.payment.retotal()
            change.post(_Ledger.REFUND, operation, operation.amount_minor)
            change.tell(_Event.REFUND_SUCCEEDED, operation)

    def _authorized(self, change: Change, operation: Operation, outcome: Outcome) -> None:
        payment, now_ns = change.payment, change.now_ns
        others = [
            one
            for one in payment.operations
            if one is not operation
            and one.kind is _Kind.AUTHORIZE
            and one.state is _State.SUCCEEDED
        ]
        if others or payment.status not in _UNDECIDED:
            # Two approvals for one payment, or one after it had ended: nobody may guess.
            operation.move(_State.NEEDS_REVIEW, now_ns)
            self._flag(change, operation, "approved_after_the_payment_had_ended")
            return
        payment.account_id = operation.account_id
        payment.provider_reference = operation.provider_reference
        payment.next_action = None
        payment.decline = None
        take_facts(payment, outcome)
        if not payment.capture_before_ns and payment.capture_method is _Capture.MANUAL:
            payment.capture_before_ns = self._schedule.capture_before_ns(
                operation.account_id, now_ns
            )
        change.post(_Ledger.AUTHORIZATION, operation, operation.amount_minor)
        if payment.capture_method is _Capture.AUTOMATIC:
            change.post(_Ledger.CAPTURE, operation, operation.amount_minor)
            payment.move(_Status.SUCCEEDED, now_ns)
            change.tell(_Event.PAYMENT_CAPTURED, operation)
        else:
            payment.move(_Status.REQUIRES_CAPTURE, now_ns)
            change.tell(_Event.PAYMENT_AUTHORIZED, operation)
        payment.retotal()

    def _captured(self, change: Change, operation: Operation) -> None:
        payment = change.payment
        payment.retotal()
        change.post(_Ledger.CAPTURE, operation, operation.amount_minor)
        self._conclude_captures(change, operation)
        change.tell(
            _Event.PAYMENT_CAPTURED
            if payment.status is _Status.SUCCEEDED
            else _Event.PAYMENT_PARTIALLY_CAPTURED,
            operation,
        )

    def _conclude_captures(self, change: Change, operation: Operation) -> None:
        """After a capture was settled: where the payment now stands."""
        payment, now_ns = change.payment, change.now_ns
        if payment.status is _Status.CANCELED:
            return
        final = any(
            one.final and one.state is _State.SUCCEEDED for one in payment.of_kind(_Kind.CAPTURE)
        )
        if payment.pending_capture_minor == 0 and (final or payment.rest_minor == 0):
            rest_minor = self.release_rest(change, operation)
            payment.move(_Status.SUCCEEDED, now_ns)
            self._free_rest(change, operation, rest_minor)
        elif payment.captured_minor > 0 and payment.status is not _Status.SUCCEEDED:
            payment.move(_Status.PARTIALLY_CAPTURED, now_ns)

    def _free_rest(self, change: Change, operation: Operation, rest_minor: int) -> None:
        """Writes down a cancel for recovery to send, where a provider keeps the rest on hold."""
        if rest_minor > 0 and self._schedule.keeps_rest(operation.account_id):
            cancel = new_operation(change.payment, _Kind.CANCEL, rest_minor, change.mint)
            cancel.state, cancel.reason = _State.UNKNOWN, NOT_SENT
            cancel.check_at_ns = change.now_ns
            cancel.details = OperationDetails(reason=FINAL_CAPTURE)
            change.add(cancel)

    def _canceled(self, change: Change, operation: Operation) -> None:
        payment, now_ns = change.payment, change.now_ns
        if operation.frees_rest:
            # The rest was given up with the final capture; what came since stands by itself.
            return
        if payment.status in CAPTURABLE:
            # A capture taken back meanwhile: this cancel may not have met what it left over.
            more_minor = self.release_rest(change, operation) - operation.amount_minor
            self._free_rest(change, operation, more_minor)
            if payment.captured_minor:
                payment.move(_Status.SUCCEEDED, now_ns)
                change.tell(_Event.PAYMENT_CAPTURED, operation)
            else:
                payment.cancellation_reason = _reason(operation)
                payment.move(_Status.CANCELED, now_ns)
                change.tell(_Event.PAYMENT_CANCELED, operation)
            return
        if payment.status not in _UNDECIDED:
            return
        self._undo_attempt(change, operation)

    def _undo_attempt(self, change: Change, operation: Operation) -> None:
        """A cancel of an authorization that waited for the payer, or whose outcome was unknown."""
        payment, now_ns = change.payment, change.now_ns
        reason = _reason(operation)
        code = {
            "abandoned": _Code.ABANDONED_BY_CUSTOMER,
            "outcome_reversed": _Code.OUTCOME_REVERSED,
        }.get(reason)
        for attempt in payment.of_kind(_Kind.AUTHORIZE):
            if attempt.open:
                attempt.decline = decline(code or _Code.OUTCOME_REVERSED)
                attempt.check_at_ns = 0
                attempt.move(_State.FAILED, now_ns)
                change.touch(attempt)
                if code is not None:
                    self.conclude_declined(change, attempt.decline)
        if code is None:
            payment.next_action = None
            payment.cancellation_reason = reason
            payment.move(_Status.CANCELED, now_ns)
            change.tell(_Event.PAYMENT_CANCELED, operation)

    def release_rest(self, change: Change, operation: Operation) -> int:
        """Gives up what is authorized and not captured; says how much that was, in minor units."""
        rest_minor = change.payment.rest_minor
        change.post(_Ledger.RELEASE, operation, rest_minor)
        change.payment.released_minor += rest_minor
        return rest_minor

    # --- failure -------------------------------------------------------------------------

    def _refused(
        self, change: Change, operation: Operation, outcome: Outcome, conclude: bool
    ) -> None:
        """DECLINED or NOT_PROCESSED: no money moved."""
        state = _State.NOT_PROCESSED
        if outcome.kind is _Outcome.DECLINED:
            operation.decline = outcome.decline or decline(_Code.GENERIC)
            state = _State.FAILED
        self._fail(change, operation, state, outcome.reason, conclude)

    def _fail(
        self,
        change: Change,
        operation: Operation,
        state: OperationState,
        reason: str,
        conclude: bool,
    ) -> None:
        payment = change.payment
        operation.check_at_ns = 0
        operation.reason = reason
        operation.move(state, change.now_ns)
        change.touch(operation)
        if operation.kind is _Kind.AUTHORIZE:
            if conclude:
                self.conclude_declined(
                    change, operation.decline or decline(_Code.PROVIDER_UNAVAILABLE)
                )
            return
        if operation.decline is None:
            operation.decline = decline(_Code.PROVIDER_UNAVAILABLE)
        payment.retotal()
        if operation.kind is _Kind.CAPTURE:
            self._conclude_captures(change, operation)
            change.tell(_Event.PAYMENT_CAPTURE_FAILED, operation)
        elif operation.kind is _Kind.CANCEL:
            if not operation.frees_rest:
                self._cancel_failed(change, operation)
        else:
            change.post(_Ledger.REFUND_FAILED, operation, operation.amount_minor)
            change.tell(_Event.REFUND_FAILED, operation)

    def _cancel_failed(self, change: Change, operation: Operation) -> None:
        payment = change.payment
        change.tell(_Event.PAYMENT_CANCEL_FAILED, operation)
        if payment.status not in _UNDECIDED or _reason(operation) != "outcome_reversed":
            return
        for attempt in payment.of_kind(_Kind.AUTHORIZE):
            if not attempt.open:
                continue
            if operation.reason == "authorization_not_found":
                # The provider knows of no such authorization, so there was nothing to reverse.
                self._fail(change, attempt, _State.NOT_PROCESSED, "not_found", True)
            else:
                attempt.check_at_ns = self._schedule.next_check_ns(attempt, change.now_ns)
                change.touch(attempt)

    def conclude_declined(self, change: Change, why: Decline) -> None:
        """Ends an undecided payment without money: failed, or asking for another method."""
        payment = change.payment
        if payment.status not in _UNDECIDED:
            return
        payment.decline = why
        payment.next_action = None
        payment.move(
            _Status.REQUIRES_PAYMENT_METHOD if payment.confirmed_separately else _Status.FAILED,
            change.now_ns,
        )
        change.tell(_Event.PAYMENT_FAILED)
        change.touch()

    # --- what comes after the end --------------------------------------------------------

    def _late(
        self, change: Change, operation: Operation, outcome: Outcome, occurred_at_ns: int
    ) -> None:
        """An answer to an operation that was settled already."""
        payment = change.payment
        if operation.state is _State.SUCCEEDED:
            if outcome.kind is _Outcome.SUCCEEDED:
                if wrong := mismatch(operation, outcome):
                    self._flag(change, operation, wrong)
                elif operation.kind is _Kind.AUTHORIZE and take_facts(payment, outcome):
                    change.touch(operation)
            return
        if outcome.kind is not _Outcome.SUCCEEDED:
            return
        if operation.state is _State.NEEDS_REVIEW:
            if mismatch(operation, outcome):
                # A person has it already, and this is no reason to take it away.
                return
            if payment.status in _UNDECIDED or operation.kind is not _Kind.AUTHORIZE:
                self._succeed(change, operation, outcome)
                # What else of it waits for a person goes on waiting.
                payment.needs_review = needs_person(payment)
            return
        if operation.kind is _Kind.CANCEL and (
            payment.status is _Status.CANCELED or operation.frees_rest
        ):
            return
        if operation.reason == _TAKEN_BACK or _undone(payment, operation):
            # Old news: what it tells of was taken back, and that came here first.
            return
        if (
            operation.kind is _Kind.REFUND
            and operation.provider_reference == outcome.provider_reference != ""
            and 0 < occurred_at_ns < operation.updated_at_ns
        ):
            # Old news too: asked later, the provider said of this very refund that it failed.
            return
        self._reopen(change, operation)

    def _reopen(self, change: Change, operation: Operation) -> None:
        """Hands what had failed to a person, its amount bound again as far as there is room."""
        payment = change.payment
        if operation.kind is _Kind.CAPTURE and not has_room(payment, operation):
            self._flag(change, operation, LATE_SUCCESS)
            return
        if operation.kind is _Kind.REFUND:
            change.post(_Ledger.REFUND_REQUESTED, operation, operation.amount_minor)
        self.review(change, operation, LATE_SUCCESS)

    def _reverse(self, change: Change, operation: Operation, outcome: Outcome) -> None:
        """A success taken back: CAPTURE_FAILED or REFUND_FAILED after the fact."""
        payment, now_ns = change.payment, change.now_ns
        if operation.state is not _State.SUCCEEDED:
            follows_up = operation.kind is not _Kind.AUTHORIZE
            if operation.state is _State.NEEDS_REVIEW and follows_up:
                # This answers the person's question: whatever was done stands no more.
                operation.decline = outcome.decline or decline(_Code.PROCESSING_ERROR)
                self._fail(change, operation, _State.FAILED, _TAKEN_BACK, True)
                payment.needs_review = needs_person(payment)
            elif operation.open:
                self.settle(change, operation, outcome)
                # The success that it takes back may still be on its way here.
                operation.reason = _TAKEN_BACK
            return
        why = outcome.decline or decline(_Code.PROCESSING_ERROR)
        if operation.kind is _Kind.REFUND:
            operation.decline, operation.reason = why, _TAKEN_BACK
            operation.move(_State.FAILED, now_ns)
            payment.retotal()
            change.post(_Ledger.REFUND_REVERSED, operation, operation.amount_minor)
            change.post(_Ledger.REFUND_FAILED, operation, operation.amount_minor)
            change.tell(_Event.REFUND_FAILED, operation)
        elif operation.kind is _Kind.CAPTURE or (
            operation.kind is _Kind.AUTHORIZE
            and payment.capture_method is _Capture.AUTOMATIC
            and not payment.capture_reversed
        ):
            if operation.kind is _Kind.CAPTURE:
                operation.decline, operation.reason = why, _TAKEN_BACK
                operation.move(_State.FAILED, now_ns)
            else:
                payment.capture_reversed = True
            payment.retotal()
            change.post(_Ledger.CAPTURE_FAILED, operation, operation.amount_minor)
            payment.move(
                _Status.PARTIALLY_CAPTURED if payment.captured_minor else _Status.REQUIRES_CAPTURE,
                now_ns,
            )
            if over_refunded(payment):
                self._flag(change, operation, OVER_REFUNDED)
            change.tell(_Event.PAYMENT_CAPTURE_FAILED, operation)
        else:
            return
        change.touch(operation)

    def review(self, change: Change, operation: Operation, reason: str) -> None:
        """Hands an operation to a person: nothing is posted, nothing more is tried."""
        operation.check_at_ns = 0
        operation.move(_State.NEEDS_REVIEW, change.now_ns)
        self._flag(change, operation, reason)

    def _flag(self, change: Change, operation: Operation, reason: str) -> None:
        operation.reason = reason
        change.payment.needs_review = True
        change.payment.retotal()
        change.touch(operation)
        change.tell(_Event.PAYMENT_NEEDS_REVIEW, operation)


def _reason(operation: Operation) -> str:
    return operation.details.reason if operation.details is not None else ""


def _undone(payment: Payment, attempt: Operation) -> bool:
    """Whether an authorization was reversed: its provider said that nothing of it stands.

    A cancel is about the last attempt before it, and tells nothing of an earlier one.
    """
    if attempt.kind is not _Kind.AUTHORIZE:
        return False
    for one in payment.operations:
        if one.sequence <= attempt.sequence:
            continue
        if one.kind is _Kind.AUTHORIZE:
            return False
        if one.kind is _Kind.CANCEL and one.state is _State.SUCCEEDED:
            return True
    return False
