"""Payments: authorise, refuse, or send the payer to the issuer first."""

from __future__ import annotations

import hashlib
from typing import Any

from turnout.sandbox import issuer, pages
from turnout.sandbox.adyen import fields, model
from turnout.sandbox.adyen.errors import AdyenError
from turnout.sandbox.adyen.model import Payment
from turnout.sandbox.adyen.refusals import BY_HOLDER_NAME, PENDING, REFUSALS, Refusal, requested
from turnout.sandbox.adyen.state import AccountState
from turnout.sandbox.books import Charge
from turnout.sandbox.currencies import adyen_exponent
from turnout.sandbox.wire import Answer, Call

_SCHEME_DIGITS = {"visa": 15, "mc": 9}


def authorise(state: AccountState, call: Call) -> dict[str, Any]:
    """`POST /payments`."""
    body = call.params
    value, currency = fields.amount(body)
    reference = fields.text(body, "reference")
    return_url = fields.text(body, "returnUrl", 8000)
    if not reference:
        raise AdyenError(422, "130", "Reference Missing")
    if not return_url:
        raise AdyenError(422, "14_030", "Return URL is missing")
    details = fields.card(body)
    extra = body.get("additionalData") or {}
    if not isinstance(extra, dict):
        raise AdyenError(400, "702", "additionalData must be an object")
    payment = Payment(
        psp_reference=state.mint.adyen(),
        reference=reference,
        amount_minor=value,
        currency=currency,
        card=model.read_card(
            details["number"],
            details["expiryMonth"],
            details["expiryYear"],
            details.get("holderName", ""),
            "cvc" in details,
            isinstance(body.get("billingAddress"), dict),
        ),
        return_url=return_url,
        automatic_capture=_automatic(state, body, extra),
        at_s=state.clock(),
    )
    test_code = str(extra.get("RequestedTestAcquirerResponseCode", ""))
    payment.requested = requested(payment.card.holder_name, test_code)
    if call.forced_decline is not None:
        payment.requested = (_code(call.forced_decline), None)
    elif state.settings.strict_test_cards and payment.requested is None:
        payment.requested = _strict(details)
    state.keep(payment)
    asked = body.get("authenticationData") or {}
    never = isinstance(asked, dict) and asked.get("attemptAuthentication") == "never"
    if payment.card.enrolled and not never:
        return _redirect(state, payment)
    return _decide(state, payment)


def complete(state: AccountState, call: Call) -> dict[str, Any]:
    """`POST /payments/details`: the payer is back with a redirectResult."""
    details = call.params.get("details")
    if not isinstance(details, dict) or not isinstance(details.get("redirectResult"), str):
        raise AdyenError(422, "14_018", "details.redirectResult is missing")
    token, _, choice = details["redirectResult"].partition("!")
    payment = state.by_redirect.get(token)
    if payment is None or choice not in ("Y", "N"):
        raise AdyenError(422, "14_018", "details.redirectResult is not one of ours")
    if payment.status != "redirected":
        return result(payment)
    payment.authenticated = choice == "Y"
    if not payment.authenticated:
        payment.requested = ("11", None)
    elif call.forced_decline is not None:
        payment.requested = (_code(call.forced_decline), None)
    return _decide(state, payment)


def visit(payment: Payment, query: str) -> Answer:
    """The issuer's page; the choice travels back in the redirectResult."""
    chosen = pages.outcome(query)
    if chosen is None:
        amount = f"{payment.amount_minor} {payment.currency} (minor units)"
        return pages.ask(f"A shop asks for {amount}. Is it you?")
    token = f"{payment.redirect_result}!{'Y' if chosen else 'N'}"
    return pages.go_back(payment.return_url, {"redirectResult": token})


def result(payment: Payment) -> dict[str, Any]:
    """The answer that tells a payment's result."""
    out: dict[str, Any] = {
        "additionalData": additional(payment),
        "pspReference": payment.psp_reference,
        "resultCode": "Authorised",
        "amount": {"currency": payment.currency, "value": payment.amount_minor},
        "merchantReference": payment.reference,
    }
    if payment.requested is not None and payment.requested[0] == PENDING:
        out["resultCode"] = "Received"
        del out["additionalData"]
        return out
    refusal = _refusal(payment)
    if refusal is None:
        out["paymentMethod"] = {"brand": payment.card.brand, "type": "scheme"}
        return out
    out["resultCode"] = refusal.result_code
    out["refusalReason"] = refusal.reason
    out["refusalReasonCode"] = refusal.code
    return out


def additional(payment: Payment) -> dict[str, str]:
    """What the acquirer said, as Adyen hands it on; every value is a string."""
    card = payment.card
    refusal = _refusal(payment)
    out = {
        "cardBin": card.bin,
        "cardSummary": card.last4,
        "expiryDate": card.expiry,
        "paymentMethodVariant": card.brand,
        "issuerCountry": card.country,
        "cvcResult": "1 Matches" if card.cvc_given else "0 Unknown",
        "cvcResultRaw": "M" if card.cvc_given else "",
        "avsResult": "7 Both postal code and address match" if card.address_given else "5 No data",
        "avsResultRaw": "Y" if card.address_given else "5",
        "refusalReasonRaw": "AUTHORISED",
    }
    if payment.authenticated is not None:
        out["threeDOffered"] = "true"
        out["threeDAuthenticated"] = "true" if payment.authenticated else "false"
        out["liabilityShift"] = out["threeDAuthenticated"]
    if refusal is None:
        out["authCode"] = payment.auth_code
        if payment.network_reference:
            out["networkTxReference"] = payment.network_reference
        return out
    raw, advice = payment.raw or refusal.raw, refusal.advice
    spoken = issuer.said(payment.raw) if payment.raw else None
    if spoken is not None:
        raw, advice = spoken.raw, spoken.advice or advice
    out["refusalReasonRaw"] = raw
    if refusal.cvc_result is not None:
        out["cvcResult"], out["cvcResultRaw"] = refusal.cvc_result, "N"
    if refusal.avs_result is not None:
        out["avsResult"], out["avsResultRaw"] = refusal.avs_result, "N"
    if advice is not None and card.brand == "mc":
        out["merchantAdviceCode"] = advice
    return out


def _redirect(state: AccountState, payment: Payment) -> dict[str, Any]:
    payment.status = "redirected"
    payment.redirect_result = hashlib.sha256(payment.psp_reference.encode()).hexdigest()
    state.by_redirect[payment.redirect_result] = payment
    return {
        "additionalData": {"cardSummary": payment.card.last4, "cardBin": payment.card.bin},
        "pspReference": payment.psp_reference,
        "resultCode": "RedirectShopper",
        "action": {
            "paymentMethodType": "scheme",
            "url": f"{state.page_url()}{pages.PAGE_PREFIX}threeDS/{payment.psp_reference}",
            "method": "GET",
            "type": "redirect",
        },
    }


def _decide(state: AccountState, payment: Payment) -> dict[str, Any]:
    """Ask the issuer, book what it says and tell it by webhook as well."""
    if payment.requested is not None and payment.requested[0] == PENDING:
        return result(payment)
    digits = hashlib.sha256(payment.psp_reference.encode()).digest()
    payment.book = Charge(
        provider="adyen",
        account=state.account.name,
        payment_id=payment.psp_reference,
        reference=payment.reference,
        aliases=(),
        currency=payment.currency,
        exponent=adyen_exponent(payment.currency),
        amount_minor=payment.amount_minor,
        last4=payment.card.last4,
    )
    state.books.open(payment.book)
    if payment.requested is not None:
        payment.refusal_code, payment.raw = payment.requested
        payment.book.declined = payment.refusal_code
        payment.status = "refused"
    else:
        payment.status = "authorised"
        payment.auth_code = f"{int.from_bytes(digits[:4], 'big') % 1_000_000:06d}"
        width = _SCHEME_DIGITS.get(payment.card.brand, 0)
        if width:
            payment.network_reference = str(int.from_bytes(digits[4:], "big"))[:width]
        book, now_s = payment.book, state.clock()
        state.books.move(book, "authorized", payment.amount_minor, now_s, payment.psp_reference)
        if payment.automatic_capture:
            state.books.move(book, "captured", payment.amount_minor, now_s, payment.psp_reference)
    _tell(state, payment)
    return result(payment)


def _tell(state: AccountState, payment: Payment) -> None:
    if state.notifier.webhook_url is None:
        return
    refusal = _refusal(payment)
    data = additional(payment)
    # The answer has these two and the webhook's own list of fields does not.
    variant = data.pop("paymentMethodVariant")
    card = payment.card
    reason = f"{payment.auth_code}:{card.last4}:{card.expiry}"
    state.notifier.send(
        "AUTHORISATION",
        payment.psp_reference,
        payment.reference,
        payment.amount_minor,
        payment.currency,
        success=refusal is None,
        reason=reason if refusal is None else refusal.reason,
        payment_method=variant,
        additional=data,
        operations=["CANCEL", "CAPTURE", "REFUND"] if refusal is None else None,
    )


def _refusal(payment: Payment) -> Refusal | None:
    return None if payment.refusal_code is None else REFUSALS[payment.refusal_code]


def _code(name: str) -> str:
    code = BY_HOLDER_NAME.get(name.upper(), name)
    return code if code in REFUSALS or code == PENDING else "2"


def _strict(details: dict[str, str]) -> tuple[str, str | None] | None:
    expiry = (details["expiryMonth"].zfill(2), details["expiryYear"])
    if expiry != model.TEST_EXPIRY or details.get("cvc", "737") not in model.TEST_CVC:
        return "2", None
    return None


def _automatic(state: AccountState, body: dict[str, Any], extra: dict[str, Any]) -> bool:
    if extra.get("manualCapture") == "true":
        return False
    delay = body.get("captureDelayHours")
    if isinstance(delay, int):
        return delay == 0
    return state.account.capture == "automatic"
