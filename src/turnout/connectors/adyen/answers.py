"""What Adyen's answers mean.

One rule above all: SUCCEEDED and DECLINED come only from bodies that say so of our own operation.
Everything that is not understood is UNKNOWN.
"""

from __future__ import annotations

import re

from turnout.connectors.adyen.codes import (
    AVS_RESULTS,
    CVC_RESULTS,
    ERROR_CODES,
    IN_PROGRESS_CODE,
    INFERRED_REASONS,
    REFUSAL_CODES,
    REFUSAL_WORDS,
    SCALE,
)
from turnout.connectors.documents import Json, table, text
from turnout.connectors.exchange import Answer
from turnout.connectors.verdicts import AMOUNT_MAX, ID_MAX, declined, not_processed, unknown
from turnout.domain.declines import DeclineCode, RetryAdvice
from turnout.domain.members import members
from turnout.domain.outcomes import Outcome, OutcomeKind
from turnout.domain.payment import AvsResult, CvcResult, NextAction

_Outcome = members(OutcomeKind)
_Code = members(DeclineCode)
_Avs = members(AvsResult)
_Cvc = members(CvcResult)

# refusalReasonRaw reads like `05 : Do not honor`, with or without the leading zero, and from some
# acquirers it is the code alone; the code is what the issuer said.
_RAW_CODE = re.compile(r"\s*([0-9A-Z]{1,4})\s*:|\s*([0-9][0-9A-Z]|[A-Z][0-9])\s*\Z")
# avsResult and cvcResult read like `4 AVS not supported for this card type`.
_LEADING_NUMBER = re.compile(r"\s*([0-9]{1,2})(?![0-9])")

_DIGITS = re.compile(r"[0-9]{1,15}\Z")

_AUTHORISED = frozenset({"Authorised", "PartiallyAuthorised"})
_REFUSED = frozenset({"Refused", "Error", "Cancelled"})
_ACTION = frozenset({"RedirectShopper", "IdentifyShopper", "ChallengeShopper"})
_PENDING = frozenset({"Pending", "Received", "PresentToShopper"})


def money(source: Json) -> tuple[int | None, str]:
    """An Adyen amount in our minor units; None and "" where it cannot be read."""
    amount = source.get("value")
    currency = text(source, "currency").upper()
    if type(amount) is not int or not 0 <= amount <= AMOUNT_MAX or len(currency) != 3:
        return None, ""
    scaled = SCALE.from_provider(amount, currency)
    return (None, "") if scaled is None else (scaled, currency)


def psp_reference(source: Json, name: str = "pspReference") -> str:
    """A PSP reference, or nothing: it must be fit to stand in a URL."""
    value = text(source, name)
    return value if value.isascii() and value.isalnum() and len(value) < ID_MAX else ""


def decline_of(code: str, message: str, more: Json, reference: str) -> Outcome:
    """DECLINED from a refusalReasonCode (empty where none came), its words and additionalData."""
    unified: DeclineCode = _Code.GENERIC
    advice: RetryAdvice | None = None
    known = code if code in REFUSAL_CODES else REFUSAL_WORDS.get(message.strip().lower(), "")
    if known:
        unified, advice = REFUSAL_CODES[known]
    inferred = INFERRED_REASONS.get(text(more, "inferredRefusalReason").strip().lower())
    if inferred is not None:
        unified, advice = inferred
    raw = _RAW_CODE.match(text(more, "refusalReasonRaw"))
    return declined(
        unified,
        issuer_code=(raw.group(1) or raw.group(2)) if raw is not None else "",
        advice_code=text(more, "merchantAdviceCode").split(":", 1)[0].strip()[:8],
        provider_code=code or known,
        provider_message=message,
        advice=advice,
        reference=reference,
    )


def add_checks(outcome: Outcome, more: Json) -> None:
    """What the issuer said besides yes or no.

    It comes only where the account has these fields switched on (Customer Area, Developers,
    Additional data).
    """
    avs = _LEADING_NUMBER.match(text(more, "avsResult"))
    if avs is not None:
        outcome.avs_result = AVS_RESULTS.get(avs.group(1), _Avs.UNKNOWN)
    cvc = _LEADING_NUMBER.match(text(more, "cvcResult"))
    if cvc is not None:
        outcome.cvc_result = CVC_RESULTS.get(cvc.group(1), _Cvc.UNKNOWN)
    network_id = text(more, "networkTxReference") or text(more, "visaTransactionId")
    outcome.network_transaction_id = network_id[:ID_MAX]


def named_reference(document: Json) -> object:
    """What an answer to a payment calls it by; None or empty where it does not say."""
    more = table(document, "additionalData")
    return document.get("merchantReference") or more.get("merchantReference")


def is_about(document: Json, operation_id: str, reference: str) -> bool:
    """Whether an answer names our operation, or names none and has our own PSP reference."""
    named = named_reference(document)
    if named:
        return named == operation_id
    return reference != "" and psp_reference(document) == reference


def payment_outcome(document: Json, operation_id: str) -> Outcome:
    """The outcome of POST /payments, answered with 200."""
    code = text(document, "resultCode")
    if not code:
        return unknown("garbage")
    # An action settles nothing yet, and the answer that follows it names the payment again.
    named = document.get("merchantReference") if code in _ACTION else named_reference(document)
    if named not in (None, "", operation_id):
        return unknown("reference_mismatch")
    reference = psp_reference(document)
    more = table(document, "additionalData")
    if code in _AUTHORISED:
        outcome = _authorised(document, more, code == "PartiallyAuthorised")
        if not reference:
            return unknown("garbage")
    elif code in _REFUSED:
        if not reference and not text(document, "refusalReason"):
            return unknown("garbage")
        # Without a reason, a cancelled payment is one that the payer gave up (15, Cancelled), and
        # an error is the acquirer's (4, Acquirer Error).
        why = text(document, "refusalReasonCode")
        if not why and not text(document, "refusalReason"):
            why = {"Cancelled": "15", "Error": "4"}.get(code, "")
        outcome = decline_of(why, text(document, "refusalReason"), more, reference)
        add_checks(outcome, more)
    elif code in _ACTION:
        outcome = Outcome(_Outcome.REQUIRES_ACTION, next_action=_action(document))
    elif code in _PENDING:
        outcome = Outcome(_Outcome.PENDING, code.lower())
    else:
        outcome = unknown("unexpected_status")
    outcome.provider_reference = reference
    return outcome


def _authorised(document: Json, more: Json, partially: bool) -> Outcome:
    outcome = Outcome(_Outcome.SUCCEEDED)
    add_checks(outcome, more)
    amount = table(document, "amount")
    approved = _approved(more, amount)
    if document.get("amount") is None or (partially and approved is not None):
        # A partial approval tells its amount here; `amount` may repeat what was asked for.
        if approved is not None:
            outcome.amount_minor, outcome.currency = approved
        return unknown("amount_unreadable") if partially and approved is None else outcome
    outcome.amount_minor, outcome.currency = money(amount)
    if outcome.amount_minor is None:
        return unknown("amount_unreadable")
    if approved not in (None, (outcome.amount_minor, outcome.currency)):
        # Which of the two is held the webhook will tell.
        return unknown("amount_contradiction")
    return outcome


def _approved(more: Json, amount: Json) -> tuple[int, str] | None:
    """What the acquirer approved, where it can be read."""
    value = text(more, "authorisedAmountValue")
    if not value or not _DIGITS.match(value):
        return None
    currency = text(more, "authorisedAmountCurrency") or text(amount, "currency")
    amount_minor, currency = money({"value": int(value), "currency": currency})
    return None if amount_minor is None else (amount_minor, currency)


def _action(document: Json) -> NextAction:
    """Where the payer must go; the kind is Adyen's own where it is not a redirect."""
    action = table(document, "action")
    kind = text(action, "type")[:ID_MAX] or text(document, "resultCode")
    url = text(action, "url")
    if kind != "redirect" or not url.startswith(("https://", "http://")):
        return NextAction(kind)
    form = {name: value for name, value in table(action, "data").items() if isinstance(value, str)}
    return NextAction("redirect", url, text(action, "method").upper() or "GET", form)


def modification_outcome(document: Json, operation_id: str, payment: str) -> Outcome:
    """The outcome of a capture, cancel, reversal or refund, answered with 201.

    At best PENDING, for its result comes by webhook. `payment` is what the answer must name: the
    payment's PSP reference, or for a cancel by reference our own operation id.
    """
    reference = psp_reference(document)
    if text(document, "status") != "received" or not reference:
        return unknown("garbage")
    if text(document, "reference") not in ("", operation_id):
        return unknown("reference_mismatch")
    named = text(document, "paymentPspReference") or text(document, "paymentReference")
    if named not in ("", payment):
        return unknown("reference_mismatch")
    outcome = Outcome(_Outcome.PENDING, "received", provider_reference=reference)
    if document.get("amount") is not None:
        outcome.amount_minor, outcome.currency = money(table(document, "amount"))
        if outcome.amount_minor is None:
            return unknown("amount_unreadable")
    return outcome


def transient(answer: Answer) -> bool:
    """Whether Adyen itself asks for the same request under the same key again."""
    return answer.headers.get("transient-error", "").lower() == "true"


def error_outcome(answer: Answer, document: Json | None) -> Outcome:
    """The outcome of an answer that is not the wanted one."""
    status = answer.status
    error = document or {}
    if status < 400 or status >= 500:
        return unknown(f"http_{status}" if status >= 300 else "garbage")
    if answer.in_doubt:
        return unknown(f"http_{status}_after_resend")
    if status == 429:
        return not_processed("rate_limited", retry_after_ms=answer.retry_after_ms)
    kind = text(error, "errorType")
    code = text(error, "errorCode")
    if not kind and not code:
        return unknown("garbage")
    if code == IN_PROGRESS_CODE or status == 409 or transient(answer):
        return unknown("in_progress")
    if status in (401, 403) or kind == "security":
        return not_processed(f"http_{status}", account_fault=True)
    if status not in (400, 422) or kind not in ("validation", "configuration"):
        # `internal` is Adyen's own failure, whatever status it comes under.
        return unknown(f"http_{status}")
    unified = ERROR_CODES.get(code)
    if unified is None and kind == "configuration":
        return not_processed("account_misconfigured", account_fault=True)
    return declined(
        unified or _Code.PROVIDER_REJECTED,
        provider_code=code,
        provider_message=text(error, "message"),
        reference="",
    )
