"""Adyen's refusal reasons and the ways to ask its test system for them.

Source: docs.adyen.com/development-resources/testing/result-codes and .../refusal-reasons. A test
names one by `additionalData.RequestedTestAcquirerResponseCode` (number) or by the card's
`holderName` (word); `holderName` may also carry the raw response, as `DECLINED : 05 : text`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """A payment result other than an approval."""

    code: str
    reason: str
    holder_name: str
    raw: str
    result_code: str = "Refused"
    advice: str | None = None
    cvc_result: str | None = None
    avs_result: str | None = None


_NO_MORE = "03 : Do not try again"
_LATER = "02 : Cannot approve now, try again later"
_UPDATED = "01 : New account information available"

REFUSALS: dict[str, Refusal] = {
    refusal.code: refusal
    for refusal in (
        Refusal("0", "Unknown", "UNKNOWN", "96 : System error", "Error"),
        Refusal("2", "Refused", "DECLINED", "05 : Do not honor"),
        Refusal("3", "Referral", "REFERRAL", "01 : Refer to card issuer"),
        Refusal("4", "Acquirer Error", "ERROR", "96 : System error", "Error"),
        Refusal("5", "Blocked Card", "BLOCK_CARD", "62 : Restricted card", advice=_NO_MORE),
        Refusal("6", "Expired Card", "CARD_EXPIRED", "54 : Expired card", advice=_UPDATED),
        Refusal("7", "Invalid Amount", "INVALID_AMOUNT", "13 : Invalid amount"),
        Refusal("8", "Invalid Card Number", "INVALID_CARD_NUMBER", "14 : Invalid card number"),
        Refusal("9", "Issuer Unavailable", "ISSUER_UNAVAILABLE", "91 : Issuer unavailable"),
        Refusal("10", "Not supported", "NOT_SUPPORTED", "57 : Not permitted to cardholder"),
        Refusal("11", "3D Not Authenticated", "NOT_3D_AUTHENTICATED", "3D not authenticated"),
        Refusal("12", "Not enough balance", "NOT_ENOUGH_BALANCE", "51 : Insufficient funds",
                advice=_LATER),
        Refusal("14", "Acquirer Fraud", "ACQUIRER_FRAUD", "59 : Suspected fraud"),
        Refusal("15", "Cancelled", "CANCELLED", "17 : Customer cancellation"),
        Refusal("16", "Shopper Cancelled", "SHOPPER_CANCELLED", "17 : Customer cancellation"),
        Refusal("17", "Invalid Pin", "INVALID_PIN", "55 : Incorrect PIN"),
        Refusal("18", "Pin tries exceeded", "PIN_TRIES_EXCEEDED", "75 : PIN tries exceeded"),
        Refusal("19", "Pin validation not possible", "PIN_VALIDATION_NOT_POSSIBLE",
                "86 : Cannot verify PIN"),
        Refusal("20", "FRAUD", "FRAUD", "FRAUD"),
        Refusal("21", "Not Submitted", "NOT_SUBMITTED", "Not submitted"),
        Refusal("22", "FRAUD-CANCELLED", "FRAUD_CANCELLED", "FRAUD-CANCELLED", "Cancelled"),
        Refusal("23", "Transaction Not Permitted", "TRANSACTION_NOT_PERMITTED",
                "57 : Not permitted to cardholder"),
        Refusal("24", "CVC Declined", "CVC_DECLINED", "N7 : CVC mismatch",
                cvc_result="2 Does not match"),
        Refusal("25", "Restricted Card", "RESTRICTED_CARD", "62 : Restricted card",
                advice=_NO_MORE),
        Refusal("26", "Revocation Of Auth", "REVOCATION_OF_AUTH", "R1 : Revocation",
                advice=_NO_MORE),
        Refusal("27", "Declined Non Generic", "DECLINED_NON_GENERIC", "12 : Invalid transaction"),
        Refusal("28", "Withdrawal amount exceeded", "WITHDRAWAL_AMOUNT_EXCEEDED",
                "61 : Amount limit exceeded", advice=_LATER),
        Refusal("29", "Withdrawal count exceeded", "WITHDRAWAL_COUNT_EXCEEDED",
                "65 : Count limit exceeded", advice=_LATER),
        Refusal("31", "Issuer Suspected Fraud", "ISSUER_SUSPECTED_FRAUD", "59 : Suspected fraud"),
        Refusal("32", "AVS Declined", "AVS_DECLINED", "Refused by AVS",
                avs_result="2 Neither postal code nor address match"),
        Refusal("38", "Authentication required", "AUTHENTICATION_REQUIRED",
                "1A : Additional authentication required"),
    )
}  # fmt: skip

APPROVED, PENDING = "1", "13"
BY_HOLDER_NAME = {refusal.holder_name: code for code, refusal in REFUSALS.items()} | {
    "APPROVED": APPROVED,
    "PENDING": PENDING,
}

# Names that let the payment pass and make a modification of it fail afterwards.
CAPTURE_FAILS = "capture failed"
REFUND_FAILS = "refund failed"


def requested(holder_name: str, test_code: str) -> tuple[str, str | None] | None:
    """The result code that a request asks for and its raw text, or None for an approval.

    Args:
        holder_name: the card's holder name, which may be `DECLINED : 05 : text`.
        test_code: `RequestedTestAcquirerResponseCode`, a number or a word; it goes first.
    """
    if test_code:
        code = BY_HOLDER_NAME.get(test_code.upper(), test_code)
        return (code, None) if code in REFUSALS or code == PENDING else None
    word, _, raw = (part.strip() for part in holder_name.partition(":"))
    found = BY_HOLDER_NAME.get(word)
    if found is None or found == APPROVED:
        return None
    return found, raw or None
