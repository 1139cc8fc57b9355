"""Outcomes as all connectors make them, and what an issuer's own word changes about a decline."""

from __future__ import annotations

import re

from turnout.domain.declines import Decline, DeclineCode, RetryAdvice, decline
from turnout.domain.members import members
from turnout.domain.outcomes import Outcome, OutcomeKind

_Outcome = members(OutcomeKind)
_Code = members(DeclineCode)
_Advice = members(RetryAdvice)

# ISO 8583 response codes after which the networks forbid to try this credential again: Visa's
# category 1. They stand above whatever a provider made of them.
FINAL_ISSUER_CODES: frozenset[str] = frozenset(
    {"04", "07", "12", "14", "15", "41", "43", "46", "57", "R0", "R1", "R3"}
)

# Mastercard's merchant advice codes: what they advise. None of them wants the same card tried
# elsewhere at once, so each one ends the cascade.
MERCHANT_ADVICE: dict[str, RetryAdvice] = {
    "01": _Advice.FIX_DETAILS,
    "02": _Advice.RETRY_LATER,
    "03": _Advice.NEVER_RETRY,
    "04": _Advice.FIX_DETAILS,
    "21": _Advice.NEVER_RETRY,
    "24": _Advice.RETRY_LATER,
    "25": _Advice.RETRY_LATER,
    "26": _Advice.RETRY_LATER,
    "27": _Advice.RETRY_LATER,
    "28": _Advice.RETRY_LATER,
    "29": _Advice.RETRY_LATER,
    "30": _Advice.RETRY_LATER,
    "40": _Advice.OTHER_METHOD,
    "41": _Advice.OTHER_METHOD,
    "42": _Advice.NEVER_RETRY,
    "43": _Advice.OTHER_METHOD,
}

# What the issuer said, by ISO 8583 response code, where its provider says no more than "declined".
# Codes that say no more themselves (01, 05 and the like) are left out.
ISSUER_CODES: dict[str, tuple[DeclineCode, RetryAdvice | None]] = {
    "04": (_Code.PICKUP_CARD, None),
    "06": (_Code.PROCESSING_ERROR, None),
    "07": (_Code.PICKUP_CARD, None),
    "12": (_Code.TRANSACTION_NOT_ALLOWED, None),
    "13": (_Code.AMOUNT_INVALID, None),
    "14": (_Code.INCORRECT_NUMBER, None),
    "15": (_Code.INCORRECT_NUMBER, None),
    "19": (_Code.TRY_AGAIN_LATER, None),
    "28": (_Code.ISSUER_UNAVAILABLE, None),
    "39": (_Code.INVALID_ACCOUNT, _Advice.OTHER_METHOD),
    "41": (_Code.LOST_CARD, None),
    "43": (_Code.STOLEN_CARD, None),
    "46": (_Code.INVALID_ACCOUNT, None),
    "51": (_Code.INSUFFICIENT_FUNDS, None),
    "52": (_Code.INVALID_ACCOUNT, _Advice.OTHER_METHOD),
    "53": (_Code.INVALID_ACCOUNT, _Advice.OTHER_METHOD),
    "54": (_Code.EXPIRED_CARD, None),
    "55": (_Code.INCORRECT_PIN, None),
    "57": (_Code.TRANSACTION_NOT_ALLOWED, None),
    "58": (_Code.TRANSACTION_NOT_ALLOWED, None),
    "59": (_Code.SUSPECTED_FRAUD, None),
    "61": (_Code.LIMIT_EXCEEDED, None),
    "62": (_Code.RESTRICTED_CARD, None),
    "63": (_Code.DO_NOT_HONOR, _Advice.NEVER_RETRY),
    "65": (_Code.LIMIT_EXCEEDED, None),
    "70": (_Code.PIN_REQUIRED, None),
    "75": (_Code.INCORRECT_PIN, _Advice.OTHER_METHOD),
    "78": (_Code.RESTRICTED_CARD, None),
    "81": (_Code.INCORRECT_PIN, None),
    "82": (_Code.INCORRECT_CVC, None),
    "86": (_Code.PIN_REQUIRED, None),
    "91": (_Code.ISSUER_UNAVAILABLE, None),
    "92": (_Code.PROCESSING_ERROR, None),
    "93": (_Code.TRANSACTION_NOT_ALLOWED, _Advice.NEVER_RETRY),
    "94": (_Code.DUPLICATE_TRANSACTION, None),
    "96": (_Code.PROCESSING_ERROR, None),
    "1A": (_Code.AUTHENTICATION_REQUIRED, None),
    "6P": (_Code.INVALID_ACCOUNT, _Advice.FIX_DETAILS),
    "N3": (_Code.TRANSACTION_NOT_ALLOWED, None),
    "N4": (_Code.LIMIT_EXCEEDED, None),
    "N7": (_Code.INCORRECT_CVC, None),
    "R0": (_Code.REVOKED_AUTHORIZATION, None),
    "R1": (_Code.REVOKED_AUTHORIZATION, None),
    "R3": (_Code.REVOKED_AUTHORIZATION, None),
}
# Unified codes by which a provider says no more than that the issuer declined.
_VAGUE = frozenset({_Code.GENERIC, _Code.DO_NOT_HONOR})

# No provider's ids are longer, and no amount of a card message is larger.
ID_MAX = 256
AMOUNT_MAX = 10**15
_CODE_MAX = 100
_MESSAGE_MAX = 600

# Anything that could be a card number: providers should not repeat one, but they are not ours.
_NUMBER_MAX = 37
_NUMBER = re.compile(r"[0-9](?:[ -]?[0-9]){11,18}")


def declined(
    code: DeclineCode,
    *,
    issuer_code: str = "",
    advice_code: str = "",
    provider_code: str = "",
    provider_message: str = "",
    advice: RetryAdvice | None = None,
    reference: str = "",
) -> Outcome:
    """DECLINED, with softness taken away wherever the issuer or the network spoke finally.

    The codes of the issuer and of the network are taken with or without their leading zero, for
    acquirers pass them on either way.
    """
    soft: bool | None = None
    issuer_code, advice_code = _two_digits(issuer_code), _two_digits(advice_code)
    if code in _VAGUE and issuer_code in ISSUER_CODES:
        code, better = ISSUER_CODES[issuer_code]
        advice = advice or better
    if issuer_code in FINAL_ISSUER_CODES:
        advice = _Advice.NEVER_RETRY
    elif advice_code in MERCHANT_ADVICE:
        advice = MERCHANT_ADVICE[advice_code]
        soft = False
    if advice is _Advice.NEVER_RETRY:
        soft = False
    why: Decline = decline(
        code,
        issuer_code=_shown(issuer_code, _CODE_MAX),
        advice_code=_shown(advice_code, _CODE_MAX),
        provider_code=_shown(provider_code, _CODE_MAX),
        provider_message=_shown(provider_message, _MESSAGE_MAX),
        advice=advice,
        soft=soft,
    )
    return Outcome(_Outcome.DECLINED, provider_reference=reference, decline=why)


def _shown(words: str, most: int) -> str:
    """A provider's words without card numbers, cut only afterwards: half a number is one too."""
    return _NUMBER.sub("[number]", words[: most + _NUMBER_MAX])[:most] if words else ""


def _two_digits(code: str) -> str:
    return f"0{code}" if len(code) == 1 and code.isdecimal() else code


def unknown(reason: str, state: dict[str, str] | None = None) -> Outcome:
    """UNKNOWN: money may have moved."""
    return Outcome(_Outcome.UNKNOWN, reason, provider_state=state or {})


def not_processed(reason: str, *, account_fault: bool = False, retry_after_ms: int = 0) -> Outcome:
    """NOT_PROCESSED: no money moved, surely."""
    return Outcome(
        _Outcome.NOT_PROCESSED,
        reason,
        retry_after_ms=retry_after_ms,
        account_fault=account_fault,
    )
