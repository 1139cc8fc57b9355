"""Declines in three layers: one code for all providers, the issuer's own, the provider's own.

The unified code is what merchants program against; the other two are kept as they came, because
a unified code always loses something. `soft` says whether another account may see it otherwise:
the cascade moves on only where it is set, and it is never set where the issuer has spoken finally.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class DeclineCode(StrEnum):
    """The unified codes; the numbers of the API's enum belong to the face."""

    GENERIC = "generic"
    DO_NOT_HONOR = "do_not_honor"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    EXPIRED_CARD = "expired_card"
    INCORRECT_CVC = "incorrect_cvc"
    INCORRECT_NUMBER = "incorrect_number"
    INCORRECT_ADDRESS = "incorrect_address"
    INCORRECT_PIN = "incorrect_pin"
    PIN_REQUIRED = "pin_required"
    LOST_CARD = "lost_card"
    STOLEN_CARD = "stolen_card"
    PICKUP_CARD = "pickup_card"
    RESTRICTED_CARD = "restricted_card"
    SUSPECTED_FRAUD = "suspected_fraud"
    ISSUER_UNAVAILABLE = "issuer_unavailable"
    PROCESSING_ERROR = "processing_error"
    TRY_AGAIN_LATER = "try_again_later"
    AUTHENTICATION_REQUIRED = "authentication_required"
    AUTHENTICATION_FAILED = "authentication_failed"
    CARD_NOT_SUPPORTED = "card_not_supported"
    CURRENCY_NOT_SUPPORTED = "currency_not_supported"
    TRANSACTION_NOT_ALLOWED = "transaction_not_allowed"
    LIMIT_EXCEEDED = "limit_exceeded"
    AMOUNT_INVALID = "amount_invalid"
    DUPLICATE_TRANSACTION = "duplicate_transaction"
    REVOKED_AUTHORIZATION = "revoked_authorization"
    INVALID_ACCOUNT = "invalid_account"
    PROVIDER_REJECTED = "provider_rejected"
    PROVIDER_UNAVAILABLE = "provider_unavailable"
    NO_ELIGIBLE_ACCOUNT = "no_eligible_account"
    BLOCKED_BY_RULE = "blocked_by_rule"
    OUTCOME_REVERSED = "outcome_reversed"
    ABANDONED_BY_CUSTOMER = "abandoned_by_customer"
    AUTHORIZATION_EXPIRED = "authorization_expired"


class RetryAdvice(StrEnum):
    """What the payer or merchant can do about a decline."""

    NONE = "none"
    NEVER_RETRY = "never_retry"
    RETRY_ONCE = "retry_once"
    RETRY_LATER = "retry_later"
    FIX_DETAILS = "fix_details"
    OTHER_METHOD = "other_method"
    CUSTOMER_ACTION = "customer_action"
    CONTACT_ISSUER = "contact_issuer"
    CHECK_EXISTING = "check_existing"


# Declines in which another account may see the same card otherwise: the issuer gave no reason that
# belongs to the card, the holder or the amount, or it was not the issuer that declined at all.
SOFT_CODES: frozenset[DeclineCode] = frozenset(
    {
        DeclineCode.GENERIC,
        DeclineCode.DO_NOT_HONOR,
        DeclineCode.TRANSACTION_NOT_ALLOWED,
        DeclineCode.CARD_NOT_SUPPORTED,
        DeclineCode.CURRENCY_NOT_SUPPORTED,
        DeclineCode.ISSUER_UNAVAILABLE,
        DeclineCode.PROCESSING_ERROR,
        DeclineCode.TRY_AGAIN_LATER,
        DeclineCode.PROVIDER_UNAVAILABLE,
        DeclineCode.PROVIDER_REJECTED,
    }
)

ADVICE: dict[DeclineCode, RetryAdvice] = {
    DeclineCode.GENERIC: RetryAdvice.CONTACT_ISSUER,
    DeclineCode.DO_NOT_HONOR: RetryAdvice.CONTACT_ISSUER,
    DeclineCode.INSUFFICIENT_FUNDS: RetryAdvice.RETRY_LATER,
    DeclineCode.EXPIRED_CARD: RetryAdvice.FIX_DETAILS,
    DeclineCode.INCORRECT_CVC: RetryAdvice.FIX_DETAILS,
    DeclineCode.INCORRECT_NUMBER: RetryAdvice.FIX_DETAILS,
    DeclineCode.INCORRECT_ADDRESS: RetryAdvice.FIX_DETAILS,
    DeclineCode.INCORRECT_PIN: RetryAdvice.FIX_DETAILS,
    DeclineCode.PIN_REQUIRED: RetryAdvice.CUSTOMER_ACTION,
    DeclineCode.LOST_CARD: RetryAdvice.NEVER_RETRY,
    DeclineCode.STOLEN_CARD: RetryAdvice.NEVER_RETRY,
    DeclineCode.PICKUP_CARD: RetryAdvice.NEVER_RETRY,
    DeclineCode.RESTRICTED_CARD: RetryAdvice.OTHER_METHOD,
    DeclineCode.SUSPECTED_FRAUD: RetryAdvice.NEVER_RETRY,
    DeclineCode.ISSUER_UNAVAILABLE: RetryAdvice.RETRY_LATER,
    DeclineCode.PROCESSING_ERROR: RetryAdvice.RETRY_ONCE,
    DeclineCode.TRY_AGAIN_LATER: RetryAdvice.RETRY_LATER,
    DeclineCode.AUTHENTICATION_REQUIRED: RetryAdvice.CUSTOMER_ACTION,
    DeclineCode.AUTHENTICATION_FAILED: RetryAdvice.CUSTOMER_ACTION,
    DeclineCode.CARD_NOT_SUPPORTED: RetryAdvice.OTHER_METHOD,
    DeclineCode.CURRENCY_NOT_SUPPORTED: RetryAdvice.OTHER_METHOD,
    DeclineCode.TRANSACTION_NOT_ALLOWED: RetryAdvice.OTHER_METHOD,
    DeclineCode.LIMIT_EXCEEDED: RetryAdvice.RETRY_LATER,
    DeclineCode.AMOUNT_INVALID: RetryAdvice.FIX_DETAILS,
    DeclineCode.DUPLICATE_TRANSACTION: RetryAdvice.CHECK_EXISTING,
    DeclineCode.REVOKED_AUTHORIZATION: RetryAdvice.NEVER_RETRY,
    DeclineCode.INVALID_ACCOUNT: RetryAdvice.NEVER_RETRY,
    DeclineCode.PROVIDER_REJECTED: RetryAdvice.NONE,
    DeclineCode.PROVIDER_UNAVAILABLE: RetryAdvice.RETRY_LATER,
    DeclineCode.NO_ELIGIBLE_ACCOUNT: RetryAdvice.OTHER_METHOD,
    DeclineCode.BLOCKED_BY_RULE: RetryAdvice.NEVER_RETRY,
    DeclineCode.OUTCOME_REVERSED: RetryAdvice.RETRY_LATER,
    DeclineCode.ABANDONED_BY_CUSTOMER: RetryAdvice.CUSTOMER_ACTION,
    DeclineCode.AUTHORIZATION_EXPIRED: RetryAdvice.NONE,
}


@dataclass(slots=True)
class Decline:
    """Why a payment, an attempt or a refund was refused.

    Attributes:
        code: the unified code.
        issuer_code: the issuer's response as the provider passes it on (often ISO 8583 field 39).
        advice_code: the network's merchant advice code, where one came.
        provider_code: the provider's own code.
        provider_message: the provider's own words, for people; cut to 500 characters.
        advice: what can be done, ours unless the provider knows better.
        soft: whether another account may be tried at once.
    """

    code: DeclineCode
    issuer_code: str = ""
    advice_code: str = ""
    provider_code: str = ""
    provider_message: str = ""
    advice: RetryAdvice = RetryAdvice.NONE
    soft: bool = False


def decline(
    code: DeclineCode,
    *,
    issuer_code: str = "",
    advice_code: str = "",
    provider_code: str = "",
    provider_message: str = "",
    advice: RetryAdvice | None = None,
    soft: bool | None = None,
) -> Decline:
    """A decline with this code's usual advice and softness, unless the provider said otherwise."""
    return Decline(
        code,
        issuer_code,
        advice_code,
        provider_code,
        provider_message[:500],
        ADVICE[code] if advice is None else advice,
        (code in SOFT_CODES) if soft is None else soft,
    )
