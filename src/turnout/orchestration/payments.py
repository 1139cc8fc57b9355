"""Payments: authorize, create, confirm, read and sync."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from turnout.domain import ids
from turnout.domain.accounts import Profile
from turnout.domain.cards import CardFacts
from turnout.domain.errors import AlreadyExists, FieldError, InvalidRequest, StateConflict
from turnout.domain.events import EventType
from turnout.domain.members import members
from turnout.domain.operation import Operation, OperationKind, OperationState
from turnout.domain.payment import MethodView, Payment, PaymentStatus
from turnout.orchestration.attempts import Cascade
from turnout.orchestration.change import Change
from turnout.orchestration.commands import (
    Caller,
    CancelCommand,
    CaptureCommand,
    CardInput,
    ConfirmCommand,
    Idempotency,
    MethodInput,
    PaymentCommand,
    TokenInput,
)
from turnout.orchestration.follow_ups import FollowUps
from turnout.orchestration.idempotency import Claims, Run
from turnout.orchestration.parts import Parts
from turnout.orchestration.validate import (
    check_confirm,
    check_payment,
    check_return_parameters,
    refused_today,
)
from turnout.ports import MerchantReferenceTaken, PaymentFilter, VersionConflict
from turnout.vault import CardHints, CardReveal

_Kind = members(OperationKind)
_State = members(OperationState)
_Status = members(PaymentStatus)
_Event = members(EventType)

_ASKABLE = frozenset({_State.UNKNOWN, _State.PENDING, _State.REQUIRES_ACTION})
_CONFIRMABLE = frozenset({_Status.REQUIRES_PAYMENT_METHOD, _Status.REQUIRES_CONFIRMATION})


@dataclass(slots=True)
class _Method:
    """A payment method made ready: what may be shown, and the capability to see it.

    `credential` makes the vault's secret of the card. `seal` submits the vault's commit of a card
    that was just typed; None for a token.
    """

    view: MethodView
    facts: CardFacts
    reveal: CardReveal
    credential: Callable[[], bytes]
    seal: Callable[[], Awaitable[None]] | None


class Payments:
    """What PaymentService does, knowing no proto."""

    def __init__(
        self, parts: Parts, claims: Claims, cascade: Cascade, follow_ups: FollowUps
    ) -> None:
        self._parts = parts
        self._claims = claims
        self._cascade = cascade
        self._follow_ups = follow_ups

    async def authorize(self, caller: Caller, idem: Idempotency, command: PaymentCommand) -> bytes:
        """Creates and confirms in one go.

        Raises:
            TurnoutError: anything that is refused before it was stored.
        """
        self._parts.admission.authorize(self._claims.in_flight)
        refused = None
        try:
            check_payment(command, self._parts.mint.clock.now_ns())
        except InvalidRequest as error:
            refused = refused_today(error)
        if command.method is None:
            raise InvalidRequest([_method_missing()])
        return await self._claims.run(
            caller,
            idem,
            lambda run: self._authorize(run, command),
            new_reference=command.merchant_reference,
            refused=refused,
        )

    async def create(self, caller: Caller, idem: Idempotency, command: PaymentCommand) -> bytes:
        """Creates without asking any provider."""
        self._parts.admission.authorize(self._claims.in_flight)
        refused = None
        try:
            check_payment(command, self._parts.mint.clock.now_ns())
        except InvalidRequest as error:
            refused = refused_today(error)
        return await self._claims.run(
            caller,
            idem,
            lambda run: self._create(run, command),
            new_reference=command.merchant_reference,
            refused=refused,
        )

    async def confirm(self, caller: Caller, idem: Idempotency, command: ConfirmCommand) -> bytes:
        """Confirms a created payment."""
        self._parts.admission.authorize(self._claims.in_flight)
        refused = None
        try:
            check_confirm(command, self._parts.mint.clock.now_ns())
        except InvalidRequest as error:
            refused = refused_today(error)
        return await self._claims.run(
            caller,
            idem,
            lambda run: self._confirm(run, command),
            payment_id=command.payment_id,
            refused=refused,
        )

    async def capture(self, caller: Caller, idem: Idempotency, command: CaptureCommand) -> bytes:
        """Captures, in full or in part."""
        self._parts.admission.follow_up()
        return await self._claims.run(
            caller,
            idem,
            lambda run: self._follow_ups.capture(run, command),
            payment_id=command.payment_id,
        )

    async def cancel(self, caller: Caller, idem: Idempotency, command: CancelCommand) -> bytes:
        """Releases what is authorized and not captured."""
        self._parts.admission.follow_up()
        return await self._claims.run(
            caller,
            idem,
            lambda run: self._follow_ups.cancel(run, command),
            payment_id=command.payment_id,
        )

    async def get(self, caller: Caller, payment_id: str) -> Payment:
        """One payment of the caller's.

        Raises:
            NotFound: there is none, or it is not the caller's.
        """
        self._parts.admission.read()
        return await self._parts.own(caller, payment_id)

    async def list(self, caller: Caller, want: PaymentFilter) -> list[Payment]:
        """A page of the caller's payments, newest first."""
        self._parts.admission.read()
        want.live = caller.live
        return await self._parts.store.list_payments(caller.merchant_id, want)

    async def sync(
        self, caller: Caller, payment_id: str, parameters: dict[str, str] | None = None
    ) -> Payment:
        """Asks the provider about every operation that is not settled, where it can be asked.

        Args:
            caller: who calls.
            payment_id: one of their payments.
            parameters: the query parameters with which the payer came back to return_url.
        """
        self._parts.admission.read()
        check_return_parameters(parameters or {})
        payment = await self._parts.own(caller, payment_id)
        for operation in list(payment.operations):
            if operation.state in _ASKABLE:
                brought = parameters if operation.kind is _Kind.AUTHORIZE else None
                if not (brought or self._may_ask(operation)):
                    # The budget is spent: recovery asks in its turn, and this is how it stands.
                    continue
                payment = await self._follow_ups.ask(payment, operation, brought)
        return payment

    def _may_ask(self, operation: Operation) -> bool:
        follow_ups = self._follow_ups
        return not follow_ups.repeats(operation) or self._parts.may_repeat(operation.account_id)

    # --- the work ------------------------------------------------------------------------

    async def _authorize(self, run: Run, command: PaymentCommand) -> None:
        profile = self._profile(run, command.profile_id)
        if run.taken_by:
            # Before anything is sealed; the commit checks it again.
            raise _reference_taken(command.merchant_reference, run.taken_by)
        given, reference = command.method, command.details.customer.reference
        if isinstance(given, CardInput):
            method = self._sealed(run, given, reference)
        else:
            method = await self._method(run, given, reference)
        payment = self._new(run, command, profile, _Status.PROCESSING, method.view)
        try:
            await self._cascade.authorize(
                run,
                payment,
                profile,
                method.facts,
                method.reveal,
                method.credential,
                insert=True,
                seal=method.seal,
            )
        except MerchantReferenceTaken:
            raise _reference_taken(command.merchant_reference, "") from None
        finally:
            method.reveal.wipe()

    async def _create(self, run: Run, command: PaymentCommand) -> None:
        profile = self._profile(run, command.profile_id)
        if run.taken_by:
            # Before anything is sealed; the commit checks it again.
            raise _reference_taken(command.merchant_reference, run.taken_by)
        view, seal = None, None
        status = _Status.REQUIRES_PAYMENT_METHOD
        if command.method is not None:
            method = await self._method(run, command.method, command.details.customer.reference)
            view, seal = method.view, method.seal
            method.reveal.wipe()
            status = _Status.REQUIRES_CONFIRMATION
        payment = self._new(run, command, profile, status, view)
        payment.confirmed_separately = True
        if seal is not None:
            await seal()
        change = Change(payment, self._parts.mint)
        change.touch()
        change.tell(_Event.PAYMENT_CREATED)
        claim = run.claim(payment.payment_id, "")
        unit = change.unit(self._parts.encoder, claim=claim, insert=True)
        answer = claim.answer = self._parts.encoder.payment(payment)
        try:
            await run.complete(self._parts.store.commit(unit), answer)
        except MerchantReferenceTaken:
            raise _reference_taken(command.merchant_reference, "") from None

    async def _confirm(self, run: Run, command: ConfirmCommand) -> None:
        payment = self._parts.owned(run.caller, run.payment, command.payment_id)
        while True:
            if payment.status not in _CONFIRMABLE:
                raise StateConflict(
                    "PAYMENT_STATE",
                    f"{payment.payment_id} cannot be confirmed: it is {payment.status}, and only "
                    "what waits for a payment method or for confirmation can be",
                    metadata={"status": payment.status.value},
                )
            profile = self._profile(run, payment.profile_id)
            method = await self._confirm_method(run, payment, command)
            details = payment.details
            payment.method = method.view
            details.return_url = command.return_url or details.return_url
            details.customer = command.customer or details.customer
            details.billing_address = command.billing_address or details.billing_address
            details.three_d_secure = command.three_d_secure or details.three_d_secure
            payment.config_version = self._parts.directory.config_version
            try:
                await self._cascade.authorize(
                    run,
                    payment,
                    profile,
                    method.facts,
                    method.reveal,
                    method.credential,
                    insert=False,
                    seal=method.seal,
                )
                return
            except VersionConflict:
                if run.claimed:
                    raise
            finally:
                method.reveal.wipe()
            payment = await self._parts.own(run.caller, command.payment_id)

    async def _confirm_method(
        self, run: Run, payment: Payment, command: ConfirmCommand
    ) -> _Method:
        """The method that the confirmation brings, or the one that the payment has."""
        given = command.method
        if given is None:
            if payment.method is None or payment.status is _Status.REQUIRES_PAYMENT_METHOD:
                raise InvalidRequest([_method_missing()])
            given = TokenInput(payment.method.token_id)
        return await self._method(run, given, payment.details.customer.reference)

    async def _method(
        self, run: Run, given: MethodInput | None, customer_reference: str
    ) -> _Method:
        if isinstance(given, CardInput):
            return self._sealed(run, given, customer_reference)
        if isinstance(given, TokenInput):
            caller = run.caller
            opened = await self._parts.vault.open_token(
                caller.merchant_id, caller.live, given.token_id, given.cvc
            )
            return _Method(
                MethodView("card", opened.token_id, opened.facts),
                opened.facts,
                opened.reveal,
                opened.credential,
                None,
            )
        raise InvalidRequest([_method_missing()])

    def _sealed(self, run: Run, given: CardInput, customer_reference: str) -> _Method:
        vault, caller = self._parts.vault, run.caller
        sealed = vault.seal(
            caller.merchant_id,
            caller.live,
            given.card,
            CardHints(given.issuer_country, given.funding, given.network),
            customer_reference,
        )
        return _Method(
            MethodView("card", sealed.token_id, sealed.facts),
            sealed.facts,
            sealed.reveal,
            sealed.credential,
            lambda: vault.persist(sealed),
        )

    def _profile(self, run: Run, profile_id: str) -> Profile:
        return self._parts.directory.profile(run.caller.merchant_id, profile_id)

    def _new(
        self,
        run: Run,
        command: PaymentCommand,
        profile: Profile,
        status: PaymentStatus,
        view: MethodView | None,
    ) -> Payment:
        mint = self._parts.mint
        now_ns = mint.clock.now_ns()
        details = command.details
        if not details.statement_descriptor:
            details.statement_descriptor = profile.statement_descriptor
        return Payment(
            mint.new(ids.PAYMENT, now_ns),
            run.caller.merchant_id,
            profile.profile_id,
            command.merchant_reference,
            run.caller.live,
            command.amount_minor,
            command.currency,
            command.capture_method,
            status,
            now_ns,
            now_ns,
            details,
            config_version=self._parts.directory.config_version,
            method=view,
        )


def _method_missing() -> FieldError:
    return FieldError("payment_method", "PAYMENT_METHOD_MISSING", "send a card, or a token of one")


def _reference_taken(reference: str, payment_id: str) -> AlreadyExists:
    return AlreadyExists(
        "MERCHANT_REFERENCE_TAKEN",
        f"there is a payment with merchant_reference {reference!r} already"
        + (f": {payment_id}" if payment_id else "")
        + "; look it up with GetPayment or ListPayments, or send a new reference",
        metadata={"payment_id": payment_id} if payment_id else {},
    )
