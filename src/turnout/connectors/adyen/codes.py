"""Adyen's codes in the house's words, and Adyen's own way to write amounts.

Sources: docs.adyen.com/development-resources/refusal-reasons, .../error-codes,
.../currency-codes, .../testing/result-codes for the values; the classification is ours. Advice
stands here only where it is better than what the unified code says by itself.
"""

from __future__ import annotations

from turnout.connectors.amounts import AmountScale
from turnout.domain.declines import DeclineCode, RetryAdvice
from turnout.domain.payment import AvsResult, CvcResult

_C = DeclineCode
_A = RetryAdvice

# refusalReasonCode -> (refusalReason, unified code, advice).
_REFUSALS: dict[str, tuple[str, DeclineCode, RetryAdvice | None]] = {
    "0": ("(none)", _C.GENERIC, _A.NONE),
    "2": ("Refused", _C.GENERIC, None),
    "3": ("Referral", _C.DO_NOT_HONOR, None),
    "4": ("Acquirer Error", _C.PROCESSING_ERROR, None),
    "5": ("Blocked Card", _C.RESTRICTED_CARD, _A.NEVER_RETRY),
    "6": ("Expired Card", _C.EXPIRED_CARD, None),
    "7": ("Invalid Amount", _C.AMOUNT_INVALID, None),
    "8": ("Invalid Card Number", _C.INCORRECT_NUMBER, None),
    "9": ("Issuer Unavailable", _C.ISSUER_UNAVAILABLE, _A.RETRY_ONCE),
    "10": ("Not supported", _C.CARD_NOT_SUPPORTED, None),
    "11": ("3D Not Authenticated", _C.AUTHENTICATION_FAILED, None),
    "12": ("Not enough balance", _C.INSUFFICIENT_FUNDS, None),
    "14": ("Acquirer Fraud", _C.SUSPECTED_FRAUD, None),
    "15": ("Cancelled", _C.ABANDONED_BY_CUSTOMER, _A.NONE),
    "16": ("Shopper Cancelled", _C.ABANDONED_BY_CUSTOMER, _A.NONE),
    "17": ("Invalid Pin", _C.INCORRECT_PIN, None),
    "18": ("Pin tries exceeded", _C.INCORRECT_PIN, _A.OTHER_METHOD),
    "19": ("Pin validation not possible", _C.PIN_REQUIRED, _A.OTHER_METHOD),
    "20": ("FRAUD", _C.BLOCKED_BY_RULE, None),
    "21": ("Not Submitted", _C.PROCESSING_ERROR, None),
    "22": ("FRAUD-CANCELLED", _C.SUSPECTED_FRAUD, None),
    "23": ("Transaction Not Permitted", _C.TRANSACTION_NOT_ALLOWED, _A.CONTACT_ISSUER),
    "24": ("CVC Declined", _C.INCORRECT_CVC, None),
    "25": ("Restricted Card", _C.RESTRICTED_CARD, _A.NEVER_RETRY),
    "26": ("Revocation Of Auth", _C.REVOKED_AUTHORIZATION, None),
    "27": ("Declined Non Generic", _C.DO_NOT_HONOR, None),
    "28": ("Withdrawal amount exceeded", _C.LIMIT_EXCEEDED, None),
    "29": ("Withdrawal count exceeded", _C.LIMIT_EXCEEDED, None),
    "31": ("Issuer Suspected Fraud", _C.SUSPECTED_FRAUD, None),
    "32": ("AVS Declined", _C.INCORRECT_ADDRESS, None),
    "33": ("Card requires online pin", _C.PIN_REQUIRED, None),
    "34": ("No checking account available on Card", _C.INVALID_ACCOUNT, _A.OTHER_METHOD),
    "35": ("No savings account available on Card", _C.INVALID_ACCOUNT, _A.OTHER_METHOD),
    "36": ("Mobile pin required", _C.PIN_REQUIRED, None),
    "37": ("Contactless fallback", _C.AUTHENTICATION_REQUIRED, None),
    "38": ("Authentication required", _C.AUTHENTICATION_REQUIRED, None),
    "39": ("RReq not received from DS", _C.AUTHENTICATION_FAILED, _A.RETRY_ONCE),
    "40": ("Current AID is in Penalty Box", _C.AUTHENTICATION_REQUIRED, None),
    "41": ("CVM Required Restart Payment", _C.AUTHENTICATION_REQUIRED, None),
    "42": ("3DS Authentication Error", _C.AUTHENTICATION_FAILED, None),
    "43": ("Online PIN required", _C.PIN_REQUIRED, None),
    "44": ("Try another interface", _C.AUTHENTICATION_REQUIRED, None),
    "45": ("Chip downgrade mode", _C.AUTHENTICATION_REQUIRED, None),
    "46": (
        "Transaction blocked by Adyen to prevent excessive retry fees",
        _C.BLOCKED_BY_RULE,
        _A.NEVER_RETRY,
    ),
}
REFUSAL_CODES: dict[str, tuple[DeclineCode, RetryAdvice | None]] = {
    number: (unified, advice) for number, (_, unified, advice) in _REFUSALS.items()
}
# Webhooks carry the reason's words only.
REFUSAL_WORDS: dict[str, str] = {
    words.lower(): number for number, (words, _, _) in _REFUSALS.items()
}

# inferredRefusalReason: what Adyen makes of an issuer's empty "no" from all that it has seen.
INFERRED_REASONS: dict[str, tuple[DeclineCode, RetryAdvice | None]] = {
    "3d secure mandated": (_C.AUTHENTICATION_REQUIRED, None),
    "card updated": (_C.INVALID_ACCOUNT, _A.FIX_DETAILS),
    "closed account": (_C.INVALID_ACCOUNT, None),
    "contauth not supported": (_C.TRANSACTION_NOT_ALLOWED, None),
    "crossborder not supported": (_C.TRANSACTION_NOT_ALLOWED, None),
    "cvc mandated": (_C.INCORRECT_CVC, None),
    "ecommerce not allowed": (_C.TRANSACTION_NOT_ALLOWED, None),
    "low authrate bin": (_C.CARD_NOT_SUPPORTED, None),
    "non-reloadable prepaid card": (_C.RESTRICTED_CARD, None),
}

# errorCode of refused requests (HTTP 400 and 422): nothing was processed.
ERROR_CODES: dict[str, DeclineCode] = {
    "100": _C.AMOUNT_INVALID,  # no amount
    "101": _C.INCORRECT_NUMBER,
    "103": _C.INCORRECT_CVC,
    "104": _C.INCORRECT_ADDRESS,
    "105": _C.AUTHENTICATION_FAILED,
    "129": _C.EXPIRED_CARD,
    "134": _C.INCORRECT_ADDRESS,
    "137": _C.AMOUNT_INVALID,
    "138": _C.CURRENCY_NOT_SUPPORTED,
    "140": _C.EXPIRED_CARD,
    "141": _C.EXPIRED_CARD,
    "153": _C.INCORRECT_CVC,
    # No acquirer account for this card, currency or action.
    "905": _C.CARD_NOT_SUPPORTED,
    "905_1": _C.CARD_NOT_SUPPORTED,
    "905_2": _C.CARD_NOT_SUPPORTED,
    "905_3": _C.CARD_NOT_SUPPORTED,
    "905_4": _C.CARD_NOT_SUPPORTED,
}
# "request already processed or in progress": the first copy under this key is still at work.
IN_PROGRESS_CODE = "704"

# Currencies to which Adyen gives other decimals than ISO 4217.
SCALE = AmountScale(exponents={"CLP": 2, "CVE": 0, "IDR": 0, "ISK": 2}, steps={})

# The number that avsResult begins with.
AVS_RESULTS: dict[str, AvsResult] = {
    "0": AvsResult.UNKNOWN,
    "1": AvsResult.ADDRESS_ONLY,
    "2": AvsResult.NO_MATCH,
    "3": AvsResult.UNAVAILABLE,
    "4": AvsResult.UNAVAILABLE,
    "5": AvsResult.NOT_CHECKED,
    "6": AvsResult.POSTAL_CODE_ONLY,
    "7": AvsResult.MATCH,
    "8": AvsResult.NOT_CHECKED,
    "9": AvsResult.ADDRESS_ONLY,
    "10": AvsResult.NO_MATCH,
    "11": AvsResult.NOT_CHECKED,
    "12": AvsResult.ADDRESS_ONLY,
    "13": AvsResult.NO_MATCH,
    "14": AvsResult.POSTAL_CODE_ONLY,
    "15": AvsResult.POSTAL_CODE_ONLY,
    "16": AvsResult.NO_MATCH,
    "17": AvsResult.NO_MATCH,
    "18": AvsResult.NOT_CHECKED,
    "19": AvsResult.POSTAL_CODE_ONLY,
    "20": AvsResult.MATCH,
    "21": AvsResult.ADDRESS_ONLY,
    "22": AvsResult.NOT_CHECKED,
    "23": AvsResult.POSTAL_CODE_ONLY,
    "24": AvsResult.MATCH,
    "25": AvsResult.ADDRESS_ONLY,
    "26": AvsResult.NO_MATCH,
}
# The number that cvcResult begins with.
CVC_RESULTS: dict[str, CvcResult] = {
    "0": CvcResult.UNKNOWN,
    "1": CvcResult.MATCH,
    "2": CvcResult.NO_MATCH,
    "3": CvcResult.NOT_CHECKED,
    "4": CvcResult.NOT_CHECKED,
    "5": CvcResult.UNAVAILABLE,
    "6": CvcResult.NOT_CHECKED,
}
