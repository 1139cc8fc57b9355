"""Stripe's codes in the house's words, and Stripe's own way to write amounts.

Sources: docs.stripe.com/declines/codes and docs.stripe.com/error-codes for the names,
docs.stripe.com/currencies for the amounts; the classification is ours. Advice stands here only
where it is better than what the unified code says by itself.
"""

from __future__ import annotations

from turnout.connectors.amounts import AmountScale
from turnout.domain.declines import DeclineCode, RetryAdvice
from turnout.domain.payment import AvsResult, CvcResult

_C = DeclineCode
_A = RetryAdvice

# decline_code: what the issuer, or Stripe in its place, said of the card.
DECLINE_CODES: dict[str, tuple[DeclineCode, RetryAdvice | None]] = {
    "approve_with_id": (_C.TRY_AGAIN_LATER, _A.RETRY_ONCE),
    "authentication_not_handled": (_C.AUTHENTICATION_REQUIRED, None),
    "authentication_required": (_C.AUTHENTICATION_REQUIRED, None),
    # Not one of Stripe's: blocked by Radar, with no reason given.
    "blocked": (_C.BLOCKED_BY_RULE, None),
    "call_issuer": (_C.DO_NOT_HONOR, None),
    "card_not_supported": (_C.CARD_NOT_SUPPORTED, None),
    "card_velocity_exceeded": (_C.LIMIT_EXCEEDED, None),
    "currency_not_supported": (_C.CURRENCY_NOT_SUPPORTED, None),
    "do_not_honor": (_C.DO_NOT_HONOR, None),
    "do_not_try_again": (_C.DO_NOT_HONOR, _A.NEVER_RETRY),
    "duplicate_transaction": (_C.DUPLICATE_TRANSACTION, None),
    "elevated_risk_level": (_C.BLOCKED_BY_RULE, None),
    "expired_card": (_C.EXPIRED_CARD, None),
    "fraudulent": (_C.SUSPECTED_FRAUD, None),
    "generic_decline": (_C.GENERIC, None),
    "highest_risk_level": (_C.BLOCKED_BY_RULE, None),
    "incorrect_address": (_C.INCORRECT_ADDRESS, None),
    "incorrect_cvc": (_C.INCORRECT_CVC, None),
    "incorrect_number": (_C.INCORRECT_NUMBER, None),
    "incorrect_pin": (_C.INCORRECT_PIN, None),
    "incorrect_zip": (_C.INCORRECT_ADDRESS, None),
    "insufficient_funds": (_C.INSUFFICIENT_FUNDS, None),
    "invalid_account": (_C.INVALID_ACCOUNT, _A.OTHER_METHOD),
    "invalid_amount": (_C.AMOUNT_INVALID, None),
    "invalid_cvc": (_C.INCORRECT_CVC, None),
    "invalid_expiry_month": (_C.EXPIRED_CARD, None),
    "invalid_expiry_year": (_C.EXPIRED_CARD, None),
    "invalid_number": (_C.INCORRECT_NUMBER, None),
    "invalid_pin": (_C.INCORRECT_PIN, None),
    "issuer_not_available": (_C.ISSUER_UNAVAILABLE, _A.RETRY_ONCE),
    # A published test number at a live account, as `testmode_decline`.
    "live_mode_test_card": (_C.INVALID_ACCOUNT, _A.FIX_DETAILS),
    "lost_card": (_C.LOST_CARD, None),
    "merchant_blacklist": (_C.BLOCKED_BY_RULE, None),
    "mobile_device_authentication_required": (_C.AUTHENTICATION_REQUIRED, None),
    "new_account_information_available": (_C.INVALID_ACCOUNT, _A.FIX_DETAILS),
    "no_action_taken": (_C.DO_NOT_HONOR, None),
    "not_permitted": (_C.TRANSACTION_NOT_ALLOWED, _A.CONTACT_ISSUER),
    "offline_pin_required": (_C.PIN_REQUIRED, None),
    "online_or_offline_pin_required": (_C.PIN_REQUIRED, None),
    "pickup_card": (_C.PICKUP_CARD, None),
    "pin_try_exceeded": (_C.INCORRECT_PIN, _A.OTHER_METHOD),
    "processing_error": (_C.PROCESSING_ERROR, None),
    "reenter_transaction": (_C.TRY_AGAIN_LATER, _A.RETRY_ONCE),
    "restricted_card": (_C.RESTRICTED_CARD, _A.NEVER_RETRY),
    "revocation_of_all_authorizations": (_C.REVOKED_AUTHORIZATION, None),
    "revocation_of_authorization": (_C.REVOKED_AUTHORIZATION, None),
    # The merchant's own rule in Radar.
    "rule": (_C.BLOCKED_BY_RULE, None),
    "security_violation": (_C.DO_NOT_HONOR, _A.NEVER_RETRY),
    "service_not_allowed": (_C.TRANSACTION_NOT_ALLOWED, _A.CONTACT_ISSUER),
    "stolen_card": (_C.STOLEN_CARD, None),
    "stop_payment_order": (_C.REVOKED_AUTHORIZATION, None),
    # A real card at a test account.
    "test_mode_live_card": (_C.INVALID_ACCOUNT, _A.FIX_DETAILS),
    # A published test number at a live account: no account will see that otherwise.
    "testmode_decline": (_C.INVALID_ACCOUNT, _A.FIX_DETAILS),
    "transaction_not_allowed": (_C.TRANSACTION_NOT_ALLOWED, _A.CONTACT_ISSUER),
    "try_again_later": (_C.TRY_AGAIN_LATER, _A.RETRY_ONCE),
    "withdrawal_count_limit_exceeded": (_C.LIMIT_EXCEEDED, None),
}

# advice_code: Stripe's translation of what the network or the issuer advises.
ADVICE_CODES: dict[str, RetryAdvice] = {
    "confirm_card_data": _A.FIX_DETAILS,
    "do_not_try_again": _A.NEVER_RETRY,
    "try_again_later": _A.RETRY_LATER,
}

# code: what Stripe itself said of a request, where no decline_code says it better.
ERROR_CODES: dict[str, DeclineCode] = {
    "amount_too_large": _C.AMOUNT_INVALID,
    "amount_too_small": _C.AMOUNT_INVALID,
    "authentication_required": _C.AUTHENTICATION_REQUIRED,
    "capture_charge_authorization_expired": _C.AUTHORIZATION_EXPIRED,
    "card_decline_rate_limit_exceeded": _C.LIMIT_EXCEEDED,
    "card_declined": _C.GENERIC,
    "charge_exceeds_source_limit": _C.LIMIT_EXCEEDED,
    "charge_exceeds_transaction_limit": _C.LIMIT_EXCEEDED,
    "charge_expired_for_capture": _C.AUTHORIZATION_EXPIRED,
    "expired_card": _C.EXPIRED_CARD,
    "incorrect_address": _C.INCORRECT_ADDRESS,
    "incorrect_cvc": _C.INCORRECT_CVC,
    "incorrect_number": _C.INCORRECT_NUMBER,
    "incorrect_zip": _C.INCORRECT_ADDRESS,
    "insufficient_funds": _C.INSUFFICIENT_FUNDS,
    "invalid_card_type": _C.CARD_NOT_SUPPORTED,
    "invalid_charge_amount": _C.AMOUNT_INVALID,
    "invalid_cvc": _C.INCORRECT_CVC,
    "invalid_expiry_month": _C.EXPIRED_CARD,
    "invalid_expiry_year": _C.EXPIRED_CARD,
    "invalid_number": _C.INCORRECT_NUMBER,
    "payment_intent_authentication_failure": _C.AUTHENTICATION_FAILED,
    "payment_intent_payment_attempt_failed": _C.GENERIC,
    "payment_method_currency_mismatch": _C.CURRENCY_NOT_SUPPORTED,
    "payment_method_provider_decline": _C.GENERIC,
    "payment_method_unactivated": _C.CARD_NOT_SUPPORTED,
    "payment_method_unsupported_type": _C.CARD_NOT_SUPPORTED,
    "postal_code_invalid": _C.INCORRECT_ADDRESS,
    "processing_error": _C.PROCESSING_ERROR,
}

# Another copy of this request, or another request for the same object, is still at work.
IN_PROGRESS_CODES: frozenset[str] = frozenset({"idempotency_key_in_use", "lock_timeout"})

# A follow-up met a PaymentIntent that has moved without it, or by an earlier copy of it.
UNEXPECTED_STATE_CODES: frozenset[str] = frozenset(
    {"intent_invalid_state", "payment_intent_unexpected_state"}
)

# Codes that speak of the account or its keys, never of the payment.
ACCOUNT_CODES: frozenset[str] = frozenset(
    {
        "account_closed",
        "account_invalid",
        "api_key_expired",
        "livemode_mismatch",
        "platform_api_key_expired",
        "platform_account_required",
        "secret_key_required",
        "testmode_charges_only",
        "tls_version_unsupported",
    }
)

# Stripe's decimals where they differ from ISO 4217, and the multiples that it demands.
# ISK and UGX have no decimals, but Stripe still takes them with two, which must be 00; the
# networks carry two decimals of the three-decimal currencies, so the last digit must be 0.
SCALE = AmountScale(
    exponents={"ISK": 2, "UGX": 2, "MGA": 0},
    steps={
        "ISK": 100,
        "UGX": 100,
        "BHD": 10,
        "IQD": 10,
        "JOD": 10,
        "KWD": 10,
        "LYD": 10,
        "OMR": 10,
        "TND": 10,
    },
)

# (address_line1_check, address_postal_code_check); what is not listed is unknown.
AVS_RESULTS: dict[tuple[str, str], AvsResult] = {
    ("pass", "pass"): AvsResult.MATCH,
    ("pass", "fail"): AvsResult.ADDRESS_ONLY,
    ("pass", "unavailable"): AvsResult.ADDRESS_ONLY,
    ("pass", "unchecked"): AvsResult.ADDRESS_ONLY,
    ("pass", ""): AvsResult.ADDRESS_ONLY,
    ("fail", "pass"): AvsResult.POSTAL_CODE_ONLY,
    ("unavailable", "pass"): AvsResult.POSTAL_CODE_ONLY,
    ("unchecked", "pass"): AvsResult.POSTAL_CODE_ONLY,
    ("", "pass"): AvsResult.POSTAL_CODE_ONLY,
    ("fail", "fail"): AvsResult.NO_MATCH,
    ("fail", "unavailable"): AvsResult.NO_MATCH,
    ("fail", "unchecked"): AvsResult.NO_MATCH,
    ("fail", ""): AvsResult.NO_MATCH,
    ("unavailable", "fail"): AvsResult.NO_MATCH,
    ("unchecked", "fail"): AvsResult.NO_MATCH,
    ("", "fail"): AvsResult.NO_MATCH,
    ("unavailable", "unavailable"): AvsResult.UNAVAILABLE,
    ("unavailable", ""): AvsResult.UNAVAILABLE,
    ("", "unavailable"): AvsResult.UNAVAILABLE,
    ("unavailable", "unchecked"): AvsResult.UNAVAILABLE,
    ("unchecked", "unavailable"): AvsResult.UNAVAILABLE,
    ("unchecked", "unchecked"): AvsResult.NOT_CHECKED,
    ("unchecked", ""): AvsResult.NOT_CHECKED,
    ("", "unchecked"): AvsResult.NOT_CHECKED,
    ("", ""): AvsResult.UNKNOWN,
}

CVC_RESULTS: dict[str, CvcResult] = {
    "pass": CvcResult.MATCH,
    "fail": CvcResult.NO_MATCH,
    "unavailable": CvcResult.UNAVAILABLE,
    "unchecked": CvcResult.NOT_CHECKED,
}
