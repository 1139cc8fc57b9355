"""Stripe's published test cards and what each of them does.

Source: docs.stripe.com/testing. A number that is not listed behaves like 4242 4242 4242 4242,
unless the sandbox runs with strict test cards.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What a card does when it is charged.

    `three_d_secure` is `none`, `optional` (asked only on request), `required` (always) or
    `unless_off_session`. `refund` is `succeeds`, `pending` (succeeds later) or `fails` (later).
    """

    code: str | None = None
    decline_code: str | None = None
    three_d_secure: str = "none"
    refund: str = "succeeds"
    cvc_check: str = "pass"
    line1_check: str = "pass"
    postal_check: str = "pass"
    funding: str = "credit"
    risk_level: str = "normal"
    blocked: bool = False


def _declined(decline_code: str, code: str = "card_declined", **more: str) -> Behaviour:
    return Behaviour(code=code, decline_code=decline_code, **more)  # type: ignore[arg-type]


PLAIN = Behaviour()

BEHAVIOURS: dict[str, Behaviour] = {
    "4242424242424242": PLAIN,
    "4000056655665556": Behaviour(funding="debit"),
    "5555555555554444": PLAIN,
    "2223003122003222": PLAIN,
    "5200828282828210": Behaviour(funding="debit"),
    "5105105105105100": Behaviour(funding="prepaid"),
    "378282246310005": PLAIN,
    "371449635398431": PLAIN,
    "6011111111111117": PLAIN,
    "6011000990139424": PLAIN,
    "6011981111111113": Behaviour(funding="debit"),
    "3056930009020004": PLAIN,
    "36227206271667": PLAIN,
    "3566002020360505": PLAIN,
    "6200000000000005": PLAIN,
    "6200000000000047": Behaviour(funding="debit"),
    "6205500000000000004": PLAIN,
    "4000000000000077": PLAIN,
    "4000000000000002": _declined("generic_decline"),
    "4000000000000341": _declined("generic_decline"),
    "4000000000009995": _declined("insufficient_funds"),
    "4000000000009987": _declined("lost_card"),
    "4000000000009979": _declined("stolen_card"),
    "4000000000000069": _declined("expired_card", "expired_card"),
    "4000000000000127": _declined("incorrect_cvc", "incorrect_cvc", cvc_check="fail"),
    "4000000000000119": _declined("processing_error", "processing_error"),
    "4000000000006975": _declined("card_velocity_exceeded"),
    "4100000000000019": Behaviour(
        code="card_declined", decline_code="fraudulent", risk_level="highest", blocked=True
    ),
    "4000000000004954": Behaviour(
        code="card_declined", decline_code="fraudulent", risk_level="highest", blocked=True
    ),
    "4000000000009235": Behaviour(risk_level="elevated"),
    "4000000000000101": Behaviour(cvc_check="fail"),
    "4000000000000036": Behaviour(postal_check="fail"),
    "4000000000000010": Behaviour(line1_check="fail", postal_check="fail"),
    "4000000000000028": Behaviour(line1_check="fail"),
    "4000000000000044": Behaviour(line1_check="unavailable", postal_check="unavailable"),
    "4000002500003155": Behaviour(three_d_secure="required"),
    "4000002760003184": Behaviour(three_d_secure="required"),
    "4000003800000446": Behaviour(three_d_secure="unless_off_session"),
    "4000008260003178": _declined("insufficient_funds", three_d_secure="required"),
    "4000000000003220": Behaviour(three_d_secure="required"),
    "4000000000003063": Behaviour(three_d_secure="required"),
    "4000008400001629": _declined("generic_decline", three_d_secure="required"),
    "4000000000003055": Behaviour(three_d_secure="optional"),
    "4000000000007726": Behaviour(refund="pending"),
    "4000000000005126": Behaviour(refund="fails"),
}

# PaymentMethods that exist in every test account.
NAMED_METHODS: dict[str, str] = {
    "pm_card_visa": "4242424242424242",
    "pm_card_visa_debit": "4000056655665556",
    "pm_card_mastercard": "5555555555554444",
    "pm_card_amex": "378282246310005",
    "pm_card_discover": "6011111111111117",
    "pm_card_jcb": "3566002020360505",
    "pm_card_unionpay": "6200000000000005",
    "pm_card_visa_chargeDeclined": "4000000000000002",
    "pm_card_visa_chargeDeclinedInsufficientFunds": "4000000000009995",
    "pm_card_visa_chargeDeclinedLostCard": "4000000000009987",
    "pm_card_visa_chargeDeclinedStolenCard": "4000000000009979",
    "pm_card_chargeDeclinedExpiredCard": "4000000000000069",
    "pm_card_chargeDeclinedIncorrectCvc": "4000000000000127",
    "pm_card_chargeDeclinedProcessingError": "4000000000000119",
    "pm_card_chargeCustomerFail": "4000000000000341",
    "pm_card_threeDSecure2Required": "4000000000003220",
    "pm_card_authenticationRequired": "4000002760003184",
    "pm_card_pendingRefund": "4000000000007726",
    "pm_card_refundFail": "4000000000005126",
}

# The decline code of an issuer's response code (ISO 8583 field 39), as a test asks for it by the
# holder name; what is not listed is do_not_honor.
BY_RESPONSE: dict[str, str] = {
    "01": "call_issuer",
    "04": "pickup_card",
    "07": "pickup_card",
    "12": "transaction_not_allowed",
    "14": "invalid_account",
    "15": "invalid_account",
    "41": "lost_card",
    "43": "stolen_card",
    "46": "invalid_account",
    "51": "insufficient_funds",
    "54": "expired_card",
    "57": "transaction_not_allowed",
    "59": "fraudulent",
    "61": "withdrawal_count_limit_exceeded",
    "62": "restricted_card",
    "65": "card_velocity_exceeded",
    "91": "issuer_not_available",
    "96": "processing_error",
    "1A": "authentication_required",
    "N7": "incorrect_cvc",
    "R0": "stop_payment_order",
    "R1": "revocation_of_authorization",
    "R3": "revocation_of_all_authorizations",
}
# advice_code: what Stripe makes of a merchant advice code.
BY_ADVICE: dict[str, str] = {
    "01": "confirm_card_data",
    "03": "do_not_try_again",
    "21": "do_not_try_again",
}
TRY_LATER = "try_again_later"

# Error codes of their own; every other decline has the code card_declined.
OWN_CODES = frozenset({"expired_card", "incorrect_cvc", "processing_error", "incorrect_number"})

MESSAGES: dict[str, str] = {
    "insufficient_funds": "Your card has insufficient funds.",
    "expired_card": "Your card has expired.",
    "incorrect_cvc": "Your card's security code is incorrect.",
    "processing_error": "An error occurred while processing your card. Try again in a little bit.",
    "authentication_required": "Your card was declined. This transaction requires authentication.",
}


def message(decline_code: str) -> str:
    """What Stripe tells about a decline; most reasons are told as a plain decline."""
    return MESSAGES.get(decline_code, "Your card was declined.")
