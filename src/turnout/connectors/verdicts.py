"""Outcomes as all connectors make them, and what an issuer's own word changes about a decline."""

from __future__ import annotations

import re

from turnout.domain.declines import Decline, DeclineCode, RetryAdvice, decline
from turnout.domain.outcomes import Outcome, OutcomeKind

# ISO 8583 response codes after which the networks forbid to try this credential again: Visa's
# category 1. They stand above whatever a provider made of them.
FINAL_ISSUER_CODES: frozenset[str] = frozenset(
    {"04", "07", "12", "14", "15", "41", "43", "46", "57", "R0", "R1", "R3"}
)

# Mastercard's merchant advice codes: what they advise. None of them wants the same card tried
# elsewhere at once, so each one ends the cascade.
MERCHANT_ADVICE: dict[str, RetryAdvice] = {
    "01": RetryAdvice.FIX_DETAILS,
    "02": RetryAdvice.RETRY_LATER,
    "03": RetryAdvice.NEVER_RETRY,
    "04": RetryAdvice.FIX_DETAILS,
    "21": RetryAdvice.NEVER_RETRY,
    "24": RetryAdvice.RETRY_LATER,
    "25": RetryAdvice.RETRY_LATER,
    "26": RetryAdvice.RETRY_LATER,
    "27": RetryAdvice.RETRY_LATER,
    "28": RetryAdvice.RETRY_LATER,
    "29": RetryAdvice.RETRY_LATER,
    "30": RetryAdvice.RETRY_LATER,
    "40": RetryAdvice.OTHER_METHOD,
    "41": RetryAdvice.OTHER_METHOD,
    "42": RetryAdvice.NEVER_RETRY,
    "43": RetryAdvice.OTHER_METHOD,
}


# No provider's ids are longer, and no amount of a card message is larger.
ID_MAX = 256
AMOUNT_MAX = 10**15
_CODE_MAX = 100
_MESSAGE_MAX = 600

# Anything that could be a card number: providers should not repeat one, but they are not ours.
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
    """DECLINED, with softness taken away wherever the issuer or the network spoke finally."""
    soft: bool | None = None
    if issuer_code in FINAL_ISSUER_CODES:
        advice = RetryAdvice.NEVER_RETRY
    elif advice_code in MERCHANT_ADVICE:
        advice = MERCHANT_ADVICE[advice_code]
        soft = False
    if advice is RetryAdvice.NEVER_RETRY:
        soft = False
    why: Decline = decline(
        code,
        issuer_code=issuer_code[:_CODE_MAX],
        advice_code=advice_code[:_CODE_MAX],
        provider_code=provider_code[:_CODE_MAX],
        provider_message=_NUMBER.sub("[number]", provider_message[:_MESSAGE_MAX]),
        advice=advice,
        soft=soft,
    )
    return Outcome(OutcomeKind.DECLINED, provider_reference=reference, decline=why)


def unknown(reason: str, state: dict[str, str] | None = None) -> Outcome:
    """UNKNOWN: money may have moved."""
    return Outcome(OutcomeKind.UNKNOWN, reason, provider_state=state or {})


def not_processed(reason: str, *, account_fault: bool = False, retry_after_ms: int = 0) -> Outcome:
    """NOT_PROCESSED: no money moved, surely."""
    return Outcome(
        OutcomeKind.NOT_PROCESSED,
        reason,
        retry_after_ms=retry_after_ms,
        account_fault=account_fault,
    )
