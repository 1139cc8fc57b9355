"""The life of a PaymentIntent: created, confirmed, authenticated, captured, canceled, expired."""

from __future__ import annotations

from typing import Any

from turnout.sandbox import issuer
from turnout.sandbox.books import Charge as BookCharge
from turnout.sandbox.currencies import (
    STRIPE_AMOUNT_MAX,
    STRIPE_AMOUNT_MIN,
    STRIPE_SUPPORTED,
    STRIPE_THREE,
    STRIPE_WHOLE_UNITS,
    stripe_exponent,
)
from turnout.sandbox.issuer import Said
from turnout.sandbox.stripe import cards
from turnout.sandbox.stripe.errors import StripeError
from turnout.sandbox.stripe.model import Charge, Intent, Refund, network_words
from turnout.sandbox.stripe.state import AccountState
from turnout.sandbox.wire import Call

CANCELABLE = frozenset(
    {"requires_payment_method", "requires_capture", "requires_confirmation", "requires_action"}
)


def check_amount(amount: int, currency: str, param: str = "amount") -> None:
    """Refuse what Stripe refuses: too small, too large, or digits that networks cannot carry."""
    code = currency.upper()
    if amount < STRIPE_AMOUNT_MIN.get(code, 1):
        raise StripeError.bad_request(
            f"Amount is below the minimum for {currency}", "amount_too_small", param
        )
    if amount > STRIPE_AMOUNT_MAX:
        raise StripeError.bad_request(
            f"Amount has more than eight digits in {currency}", "amount_too_large", param
        )
    if code in STRIPE_THREE and amount % 10:
        raise StripeError.bad_request(
            f"Amount in {currency} must end in 0: networks carry two decimals", None, param
        )
    if code in STRIPE_WHOLE_UNITS and amount % 100:
        raise StripeError.bad_request(
            f"Amount in {currency} must end in 00: the currency has no decimals", None, param
        )


def create(state: AccountState, call: Call, params: dict[str, Any]) -> Intent:
    """Make a PaymentIntent, and confirm it if asked to."""
    for name in ("amount", "currency"):
        if name not in params:
            raise StripeError.bad_request(
                f"Missing required param: {name}", "parameter_missing", name
            )
    currency = params["currency"].lower()
    if currency.upper() not in STRIPE_SUPPORTED:
        raise StripeError.bad_request(f"Invalid currency: {currency[:8]}", None, "currency")
    check_amount(params["amount"], currency)
    method = None
    if "payment_method" in params:
        method = _method(state, params["payment_method"])
    identifier = state.mint.stripe("pi")
    options = params.get("payment_method_options", {}).get("card", {})
    intent = Intent(
        id=identifier,
        sequence=state.next_sequence(),
        created=state.now(),
        amount=params["amount"],
        currency=currency,
        capture_method=options.get("capture_method") or params.get("capture_method", "automatic"),
        confirmation_method=params.get("confirmation_method", "automatic"),
        client_secret=f"{identifier}_secret_{state.mint.stripe('s')[2:]}",
        metadata=params.get("metadata", {}),
        method=method,
        status="requires_payment_method" if method is None else "requires_confirmation",
        description=params.get("description"),
        receipt_email=params.get("receipt_email"),
        setup_future_usage=params.get("setup_future_usage"),
        shipping=params.get("shipping"),
        statement_descriptor=params.get("statement_descriptor"),
        statement_descriptor_suffix=params.get("statement_descriptor_suffix"),
    )
    if "automatic_payment_methods" in params:
        automatic = params["automatic_payment_methods"]
        intent.automatic_methods = {"allow_redirects": "always", **automatic}
    if not params.get("confirm"):
        for name in ("off_session", "error_on_requires_action", "return_url"):
            if name in params:
                raise StripeError.bad_request(
                    f"{name} goes with confirm=true only", "parameter_invalid", name
                )
    state.keep(intent)
    state.emit_intent("created", intent, call)
    if params.get("confirm"):
        confirm(state, call, intent, params)
    return intent


def update(state: AccountState, intent: Intent, params: dict[str, Any]) -> Intent:
    """Change what may be changed before the money moves; metadata may change at any time."""
    if "amount" in params:
        if intent.status not in ("requires_payment_method", "requires_confirmation"):
            raise _unexpected(intent, "have its amount changed")
        check_amount(params["amount"], intent.currency)
        intent.amount = params["amount"]
    if "payment_method" in params:
        if intent.status not in ("requires_payment_method", "requires_confirmation"):
            raise _unexpected(intent, "have its payment method changed")
        intent.method = _method(state, params["payment_method"])
        intent.status = "requires_confirmation"
    set_metadata(state, intent, params)
    for name in (
        "description", "receipt_email", "statement_descriptor", "statement_descriptor_suffix",
    ):  # fmt: skip
        if name in params:
            setattr(intent, name, params[name] or None)
    return intent


def set_metadata(state: AccountState, intent: Intent, params: dict[str, Any]) -> None:
    """Merge metadata as Stripe does: an empty value removes its key."""
    if "metadata" not in params:
        return
    state.unindex(intent)
    merged = {**intent.metadata, **params["metadata"]}
    intent.metadata = {key: value for key, value in merged.items() if value != ""}
    state.index(intent)


def confirm(state: AccountState, call: Call, intent: Intent, params: dict[str, Any]) -> Intent:
    """Try to charge, or ask the payer to authenticate first."""
    if intent.status not in (
        "requires_payment_method", "requires_confirmation", "requires_action",
    ):  # fmt: skip
        raise _unexpected(intent, "be confirmed")
    if "payment_method" in params:
        intent.method = _method(state, params["payment_method"])
    if intent.method is None:
        raise StripeError.bad_request(
            "A payment method is needed to confirm", "parameter_missing", "payment_method",
            began=True,
        )  # fmt: skip
    options = params.get("payment_method_options", {}).get("card", {})
    intent.request_three_d_secure = options.get(
        "request_three_d_secure", intent.request_three_d_secure
    )
    if "capture_method" in params:
        intent.capture_method = params["capture_method"]
    intent.return_url = params.get("return_url", intent.return_url)
    intent.use_sdk = bool(params.get("use_stripe_sdk", intent.use_sdk))
    intent.last_payment_error = None
    behaviour = intent.method.behaviour
    off_session = params.get("off_session", "false") != "false"
    challenged = (
        behaviour.three_d_secure == "required"
        or (behaviour.three_d_secure == "unless_off_session" and not off_session)
        or (behaviour.three_d_secure == "optional" and intent.request_three_d_secure == "any")
    )
    if challenged and not intent.authenticated:
        if off_session or params.get("error_on_requires_action"):
            raise _fail(state, call, intent, "authentication_required", "authentication_required")
        intent.status = "requires_action"
        intent.next_url = f"{state.page_url()}/redirect/authenticate/{intent.id}"
        state.emit_intent("requires_action", intent, call)
        return intent
    charge(state, call, intent)
    return intent


def charge(state: AccountState, call: Call | None, intent: Intent) -> None:
    """Ask the issuer. Raises a card error where it declines."""
    method = intent.method
    assert method is not None
    forced = None if call is None else call.forced_decline
    code, decline_code = method.behaviour.code, method.behaviour.decline_code
    if forced is not None:
        code = forced if forced in cards.OWN_CODES else "card_declined"
        decline_code = forced
    said = issuer.asked(method.billing.get("name") or "") if code is None else None
    if said is not None:
        decline_code = cards.BY_RESPONSE.get(said.code, "do_not_honor")
        code = decline_code if decline_code in cards.OWN_CODES else "card_declined"
    if code is not None:
        raise _fail(state, call, intent, code, decline_code or code, said)
    made = _open_charge(state, intent, None, None)
    state.books.move(made.book, "authorized", intent.amount, state.clock(), made.id)
    intent.next_url = None
    if intent.capture_method == "manual":
        intent.status = "requires_capture"
        state.emit_charge("succeeded", intent, made, call)
        state.emit_intent("amount_capturable_updated", intent, call)
        return
    state.books.move(made.book, "captured", intent.amount, state.clock(), made.id)
    made.captured = True
    intent.status = "succeeded"
    state.emit_charge("succeeded", intent, made, call)
    state.emit_intent("succeeded", intent, call)


def finish_authentication(state: AccountState, intent: Intent, approved: bool) -> None:
    """What happens once the payer came back from the issuer's page."""
    if intent.status != "requires_action":
        return
    intent.next_url = None
    if not approved:
        error = {
            "type": "card_error",
            "code": "payment_intent_authentication_failure",
            "message": "The payer did not pass authentication.",
        }
        if intent.method is not None:
            error_method: dict[str, Any] = {**error, "payment_method": intent.method.json()}
            intent.last_payment_error = error_method
        intent.status = "requires_payment_method"
        intent.method = None
        state.emit_intent("payment_failed", intent, None)
        return
    intent.authenticated = True
    if intent.confirmation_method == "manual":
        intent.status = "requires_confirmation"
        return
    try:
        charge(state, None, intent)
    except StripeError:
        # The decline stands in the intent and went out as an event; nobody waits for an answer.
        return


def capture(state: AccountState, call: Call, intent: Intent, params: dict[str, Any]) -> Intent:
    """Take some or all of a hold; Stripe's one capture is final and releases the rest."""
    made = intent.charge
    if intent.status != "requires_capture" or made is None:
        raise _unexpected(intent, "be captured")
    held = made.book.held_minor
    amount = params.get("amount_to_capture", held)
    if amount < 1 or amount > held:
        raise StripeError.bad_request(
            f"amount_to_capture must be between 1 and {held}",
            "amount_too_large" if amount > held else "parameter_invalid_integer",
            "amount_to_capture", began=True,
        )  # fmt: skip
    set_metadata(state, intent, params)
    for name in ("statement_descriptor", "statement_descriptor_suffix"):
        if name in params:
            setattr(intent, name, params[name] or None)
    state.books.move(made.book, "captured", amount, state.clock(), intent.id)
    made.captured = True
    intent.status = "succeeded"
    if held > amount:
        release(state, intent, made, held - amount, None)
    state.emit_charge("captured", intent, made, call)
    state.emit_intent("succeeded", intent, call)
    return intent


def cancel(state: AccountState, call: Call | None, intent: Intent, reason: str | None) -> Intent:
    """Give up an intent; what was held goes back to the payer."""
    if intent.status not in CANCELABLE:
        raise _unexpected(intent, "be canceled")
    made = intent.charge
    holding = intent.status == "requires_capture"
    intent.status = "canceled"
    intent.canceled_at = state.now()
    intent.cancellation_reason = reason
    intent.next_url = None
    if holding and made is not None:
        release(state, intent, made, made.book.held_minor, None)
        state.emit_charge("refunded", intent, made, call)
    state.emit_intent("canceled", intent, call)
    return intent


def expire(state: AccountState, intent: Intent) -> None:
    """The authorization ran out before it was captured."""
    made = intent.charge
    if intent.status != "requires_capture" or made is None:
        return
    release(state, intent, made, made.book.held_minor, "expired_uncaptured_charge")
    intent.status = "canceled"
    intent.canceled_at = state.now()
    intent.cancellation_reason = "automatic"
    state.emit_charge("expired", intent, made, None)
    state.emit_intent("canceled", intent, None)


def release(
    state: AccountState, intent: Intent, made: Charge, amount: int, reason: str | None
) -> None:
    """Give back a hold. Stripe shows it as a refund, which is a trap worth simulating."""
    refund = Refund(
        id=state.mint.stripe("re"),
        created=state.now(),
        intent_id=intent.id,
        charge_id=made.id,
        amount=amount,
        currency=intent.currency,
        status="succeeded",
        reason=reason,
        metadata={},
        release=True,
    )
    state.refunds[refund.id] = refund
    made.refund_ids.append(refund.id)
    state.books.move(made.book, "released", amount, state.clock(), refund.id)


def _open_charge(
    state: AccountState, intent: Intent, code: str | None, decline_code: str | None
) -> Charge:
    method = intent.method
    assert method is not None
    currency = intent.currency.upper()
    book = BookCharge(
        provider="stripe",
        account=state.account.name,
        payment_id=intent.id,
        reference=state.reference(intent.metadata, intent.id),
        aliases=tuple(intent.metadata.values()),
        currency=currency,
        exponent=stripe_exponent(currency),
        amount_minor=intent.amount,
        last4=method.last4,
        declined=decline_code,
    )
    state.books.open(book)
    made = Charge(
        id=state.mint.stripe("ch"),
        created=state.now(),
        method=method,
        book=book,
        failure_code=code,
        failure_message=None if decline_code is None else cards.message(decline_code),
        authenticated=intent.authenticated,
    )
    intent.charges.append(made)
    state.charges[made.id] = (intent, made)
    return made


def _fail(
    state: AccountState,
    call: Call | None,
    intent: Intent,
    code: str,
    decline_code: str,
    said: Said | None = None,
) -> StripeError:
    """Record a declined try and return the error that tells of it."""
    method = intent.method
    assert method is not None
    made = _open_charge(state, intent, code, decline_code)
    made.said = said
    text = cards.message(decline_code)
    error: dict[str, Any] = {
        **network_words(said),
        "charge": made.id,
        "code": code,
        "decline_code": decline_code,
        "doc_url": f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}",
        "message": text,
        "payment_method": method.json(),
        "type": "card_error",
    }
    intent.last_payment_error = error
    intent.status = "requires_payment_method"
    intent.method = None
    intent.next_url = None
    state.emit_charge("failed", intent, made, call)
    state.emit_intent("payment_failed", intent, call)
    return StripeError(402, {**error, "payment_intent": intent.json()}, began=True)


def _method(state: AccountState, identifier: str) -> Any:
    method = state.methods.get(identifier)
    if method is None:
        raise StripeError.missing("PaymentMethod", identifier, "payment_method")
    return method


def _unexpected(intent: Intent, verb: str) -> StripeError:
    error: dict[str, Any] = {
        "type": "invalid_request_error",
        "code": "payment_intent_unexpected_state",
        "message": f"This PaymentIntent cannot {verb}: its status is {intent.status}.",
        "payment_intent": intent.json(),
    }
    return StripeError(400, error, began=True)
