"""What Stripe's answers mean.

One rule above all: SUCCEEDED and DECLINED come only from bodies that say so of our own operation.
Everything that is not understood is UNKNOWN, and recovery asks again.
"""

from __future__ import annotations

from turnout.connectors.documents import Json, table, text
from turnout.connectors.exchange import Answer
from turnout.connectors.stripe.codes import (
    ACCOUNT_CODES,
    ADVICE_CODES,
    AVS_RESULTS,
    CVC_RESULTS,
    DECLINE_CODES,
    ERROR_CODES,
    IN_PROGRESS_CODES,
    SCALE,
    UNEXPECTED_STATE_CODES,
)
from turnout.connectors.stripe.requests import OPERATION_MARK
from turnout.connectors.verdicts import AMOUNT_MAX, ID_MAX, declined, not_processed, unknown
from turnout.domain.declines import DeclineCode, RetryAdvice
from turnout.domain.members import members
from turnout.domain.operation import OperationKind
from turnout.domain.outcomes import Outcome, OutcomeKind
from turnout.domain.payment import NextAction

_Outcome = members(OutcomeKind)
_Code = members(DeclineCode)
_Advice = members(RetryAdvice)
_Kind = members(OperationKind)

# Nanoseconds of later times do not fit into 64 bits.
_TIME_MAX_S = 9_000_000_000

# The statuses that Stripe documents for requests that it looked at and refused.
_REFUSALS = frozenset({400, 402, 404})
# PaymentIntents in these states hold and have taken nothing.
_WITHOUT_MONEY = frozenset({"requires_payment_method", "requires_confirmation", "canceled"})


def identifier(source: Json, kind: str, prefix: str) -> str:
    """The id of an object of this kind, or nothing: it must be fit to stand in a URL."""
    if source.get("object") != kind:
        return ""
    value = text(source, "id")
    plain = value.isascii() and value.replace("_", "").isalnum()
    return value if plain and value.startswith(prefix) and len(value) < ID_MAX else ""


def money(source: Json, name: str = "amount") -> tuple[int | None, str]:
    """An amount in our minor units with its currency; None and "" where it cannot be read."""
    amount = source.get(name)
    currency = text(source, "currency").upper()
    if type(amount) is not int or not 0 <= amount <= AMOUNT_MAX or len(currency) != 3:
        return None, ""
    scaled = SCALE.from_provider(amount, currency)
    return (None, "") if scaled is None else (scaled, currency)


def seconds_to_ns(value: object) -> int:
    """A time in seconds since the epoch as nanoseconds, 0 where it is none."""
    return value * 1_000_000_000 if type(value) is int and 0 < value < _TIME_MAX_S else 0


def decline_of(error: Json, reference: str = "", default: str = "") -> Outcome:
    """DECLINED from Stripe's error object, or from a charge's failure in the same words."""
    decline_code = text(error, "decline_code")
    code = text(error, "code") or default
    unified: DeclineCode | None = None
    advice: RetryAdvice | None = None
    if decline_code:
        unified, advice = DECLINE_CODES.get(decline_code, (None, None))
    if unified is None or (unified is _Code.GENERIC and code not in ("", "card_declined")):
        unified = ERROR_CODES.get(code, unified)
    if unified is None:
        by_card = text(error, "type") == "card_error" or bool(decline_code)
        unified = _Code.GENERIC if by_card else _by_parameter(error)
    advised = ADVICE_CODES.get(text(error, "advice_code"))
    if advice is None or advised is _Advice.NEVER_RETRY:
        advice = advised or advice
    return declined(
        unified,
        issuer_code=text(error, "network_decline_code"),
        advice_code=text(error, "network_advice_code"),
        provider_code=decline_code or code,
        provider_message=text(error, "message"),
        advice=advice,
        reference=reference,
    )


def _by_parameter(error: Json) -> DeclineCode:
    """The unified code of a refused request, by the parameter that was refused."""
    parameter = text(error, "param")
    if parameter == "currency":
        return _Code.CURRENCY_NOT_SUPPORTED
    if parameter in ("amount", "amount_to_capture"):
        return _Code.AMOUNT_INVALID
    return _Code.PROVIDER_REJECTED


def refusal(answer: Answer, error: Json) -> Outcome | None:
    """The outcome of an error that every kind of request can meet, or None.

    After a copy whose fate is unknown, none of these says anything of that copy.
    """
    status = answer.status
    if status < 400 or status >= 500:
        return unknown(f"http_{status}" if status >= 300 else "garbage")
    if answer.in_doubt:
        return unknown(f"http_{status}_after_resend")
    if status == 429:
        return not_processed("rate_limited", retry_after_ms=answer.retry_after_ms)
    if status == 409 or text(error, "code") in IN_PROGRESS_CODES:
        return unknown("in_progress")
    kind = text(error, "type")
    if not kind:
        return unknown("garbage")
    if status in (401, 403) or text(error, "code") in ACCOUNT_CODES:
        return not_processed(f"http_{status}", account_fault=True)
    if kind == "idempotency_error":
        # Our key with another body: something was sent under it that we do not know of.
        return unknown("idempotency_conflict")
    if kind not in ("card_error", "invalid_request_error") or status not in _REFUSALS:
        return unknown(f"http_{status}")
    return None


def authorize_error(answer: Answer, document: Json | None, operation_id: str) -> Outcome:
    """The outcome of an error answer to create-and-confirm."""
    error = table(document or {}, "error")
    intent = table(error, "payment_intent")
    if intent and answer.status in _REFUSALS:
        if text(table(intent, "metadata"), OPERATION_MARK) != operation_id:
            return unknown("reference_mismatch")
        if text(intent, "status") not in _WITHOUT_MONEY:
            return unknown("contradiction")
        if answer.status == 402 and text(error, "type") == "card_error":
            # It speaks of the PaymentIntent itself, so it stands after a repetition too.
            return decline_of(error, identifier(intent, "payment_intent", "pi_"))
    common = refusal(answer, error)
    return decline_of(error) if common is None else common


def intent_outcome(
    intent: Json, operation_id: str, live: bool, *, manual: bool | None, settled: bool = False
) -> Outcome:
    """The authorization's outcome from a PaymentIntent.

    `manual` says whether it was asked to wait for a capture, None where that is not known;
    `settled` that no copy of the request can still be on its way, so that an intent which was
    never confirmed will stay so.
    """
    reference = identifier(intent, "payment_intent", "pi_")
    if not reference:
        return unknown("garbage")
    if text(table(intent, "metadata"), OPERATION_MARK) != operation_id:
        return unknown("reference_mismatch")
    if intent.get("livemode", live) is not live:
        return unknown("livemode_mismatch")
    amount, currency = money(intent, _acted_on(intent))
    if amount is None:
        return unknown("amount_unreadable")
    outcome = _by_status(intent, reference, manual, settled)
    outcome.amount_minor = amount
    outcome.currency = currency
    outcome.provider_reference = reference
    if outcome.kind is _Outcome.SUCCEEDED:
        _add_charge(outcome, table(intent, "latest_charge"))
    return outcome


def _acted_on(intent: Json) -> str:
    """The field that tells what is held or was taken: it may be less than was asked for.

    What a manual capture took says nothing of the authorization, nor does 0 beside these statuses.
    """
    status = intent.get("status")
    if status == "requires_capture":
        field = "amount_capturable"
    elif status == "succeeded" and intent.get("capture_method") != "manual":
        field = "amount_received"
    else:
        return "amount"
    return field if intent.get(field) else "amount"


def _by_status(intent: Json, reference: str, manual: bool | None, settled: bool) -> Outcome:
    status = text(intent, "status")
    waits = text(intent, "capture_method") == "manual"
    if manual is not None and text(intent, "capture_method") and waits is not manual:
        return unknown("capture_method_mismatch")
    if status == "succeeded" or (status == "requires_capture" and waits):
        return Outcome(_Outcome.SUCCEEDED)
    if status == "requires_action":
        return Outcome(_Outcome.REQUIRES_ACTION, next_action=_next_action(intent))
    if status == "processing":
        return Outcome(_Outcome.PENDING, "processing")
    if status == "requires_payment_method":
        error = table(intent, "last_payment_error")
        if error:
            return decline_of(error, reference, "card_declined")
    if status in ("requires_payment_method", "requires_confirmation"):
        return not_processed("not_confirmed") if settled else unknown("not_confirmed")
    if status == "canceled":
        abandoned = text(intent, "cancellation_reason") == "abandoned"
        code = _Code.ABANDONED_BY_CUSTOMER if abandoned else _Code.OUTCOME_REVERSED
        return declined(code, provider_code="canceled", reference=reference)
    return unknown("unexpected_status")


def _next_action(intent: Json) -> NextAction:
    """Where the payer must go; the kind is Stripe's own where it is not a plain redirect."""
    action = table(intent, "next_action")
    url = text(table(action, "redirect_to_url"), "url")
    if not url:
        # Without a return URL, Stripe gives the issuer's page in the part meant for its SDK.
        url = text(table(action, "use_stripe_sdk"), "stripe_js")
    if url.startswith(("https://", "http://")):
        return NextAction("redirect", url)
    return NextAction(text(action, "type")[:ID_MAX] or "unsupported")


def _add_charge(outcome: Outcome, charge: Json) -> None:
    """What the issuer said besides yes, where the charge came with the answer."""
    card = table(table(charge, "payment_method_details"), "card")
    if not card:
        return
    checks = table(card, "checks")
    pair = (text(checks, "address_line1_check"), text(checks, "address_postal_code_check"))
    outcome.avs_result = AVS_RESULTS.get(pair, outcome.avs_result)
    outcome.cvc_result = CVC_RESULTS.get(text(checks, "cvc_check"), outcome.cvc_result)
    outcome.network_transaction_id = text(card, "network_transaction_id")[:ID_MAX]
    outcome.capture_before_ns = seconds_to_ns(card.get("capture_before"))


def _blocked(why: Json) -> str:
    """A decline code of our own for what Stripe blocked without a reason; nothing otherwise."""
    return "blocked" if text(why, "type") == "blocked" else ""


def charge_outcome(charge: Json, intent: str) -> Outcome:
    """The authorization's outcome from a charge: the same facts, seen from the other side."""
    amount, currency = money(charge)
    if charge.get("status") == "succeeded" and charge.get("paid", True):
        if amount is None:
            return unknown("amount_unreadable")
        outcome = Outcome(_Outcome.SUCCEEDED)
        _add_charge(outcome, charge)
    elif charge.get("status") == "failed":
        why = table(charge, "outcome")
        error = {
            "type": "card_error",
            "code": text(charge, "failure_code"),
            "decline_code": text(why, "reason") or _blocked(why),
            "message": text(charge, "failure_message"),
            "network_decline_code": text(why, "network_decline_code"),
            "network_advice_code": text(why, "network_advice_code"),
            "advice_code": text(why, "advice_code"),
        }
        outcome = decline_of(error, intent, "card_declined")
    elif charge.get("status") == "pending":
        outcome = Outcome(_Outcome.PENDING, "processing")
    else:
        outcome = unknown("unexpected_status")
    outcome.provider_reference = intent
    outcome.amount_minor = amount
    outcome.currency = currency
    return outcome


def capture_outcome(intent: Json, reference: str, *, settled: bool = False) -> Outcome:
    """A capture's outcome from its PaymentIntent. Here Stripe takes one capture, no more."""
    if identifier(intent, "payment_intent", "pi_") != reference:
        return unknown("reference_mismatch")
    status = text(intent, "status")
    if status == "requires_capture":
        return not_processed("not_captured") if settled else unknown("not_captured")
    if status == "processing":
        return Outcome(_Outcome.PENDING, "processing")
    if status == "canceled":
        return declined(_Code.AUTHORIZATION_EXPIRED, provider_code="canceled")
    if status != "succeeded":
        return unknown("unexpected_status")
    outcome = Outcome(_Outcome.SUCCEEDED)
    charge = intent.get("latest_charge")
    charge_id = text(charge, "id") if isinstance(charge, dict) else text(intent, "latest_charge")
    outcome.provider_reference = charge_id if 0 < len(charge_id) < ID_MAX else reference
    if "amount_received" in intent:
        outcome.amount_minor, outcome.currency = money(intent, "amount_received")
        if outcome.amount_minor is None:
            return unknown("amount_unreadable")
    return outcome


def cancel_outcome(intent: Json, reference: str, *, settled: bool = False) -> Outcome:
    """A cancel's outcome from its PaymentIntent."""
    if identifier(intent, "payment_intent", "pi_") != reference:
        return unknown("reference_mismatch")
    status = text(intent, "status")
    if status == "canceled":
        return Outcome(_Outcome.SUCCEEDED, provider_reference=reference)
    if status == "succeeded":
        return declined(_Code.PROVIDER_REJECTED, provider_code="already_captured")
    if status == "processing":
        return Outcome(_Outcome.PENDING, "processing")
    if status in ("requires_capture", "requires_action", "requires_payment_method"):
        return not_processed("not_canceled") if settled else unknown("not_canceled")
    return unknown("unexpected_status")


def refund_outcome(refund: Json, operation_id: str) -> Outcome:
    """A refund's outcome."""
    reference = identifier(refund, "refund", "re_")
    if not reference:
        return unknown("garbage")
    if text(table(refund, "metadata"), OPERATION_MARK) != operation_id:
        return unknown("reference_mismatch")
    amount, currency = money(refund)
    if amount is None:
        return unknown("amount_unreadable")
    status = text(refund, "status")
    if status == "succeeded":
        outcome = Outcome(_Outcome.SUCCEEDED)
    elif status in ("pending", "requires_action"):
        outcome = Outcome(_Outcome.PENDING, status)
    elif status in ("failed", "canceled"):
        outcome = declined(
            _Code.PROVIDER_REJECTED,
            provider_code=text(refund, "failure_reason") or status,
        )
    else:
        return unknown("unexpected_status")
    outcome.provider_reference = reference
    outcome.amount_minor = amount
    outcome.currency = currency
    return outcome


def follow_up_error(
    answer: Answer, document: Json | None, kind: OperationKind, reference: str
) -> Outcome:
    """The outcome of an error answer to a capture, cancel or refund of a PaymentIntent."""
    error = table(document or {}, "error")
    common = refusal(answer, error)
    if common is not None:
        return common
    if text(error, "code") == "charge_already_captured":
        return unknown("unexpected_state")
    if text(error, "code") not in UNEXPECTED_STATE_CODES:
        return decline_of(error)
    intent = table(error, "payment_intent")
    ours = identifier(intent, "payment_intent", "pi_") == reference
    if ours and text(intent, "status") == "canceled":
        if kind is _Kind.CANCEL:
            return Outcome(_Outcome.SUCCEEDED, provider_reference=reference)
        return declined(
            _Code.AUTHORIZATION_EXPIRED,
            provider_code=text(error, "code"),
            provider_message=text(error, "message"),
        )
    # It moved without us; only a look at it can say whether that was this operation.
    return unknown("unexpected_state")
