"""Which parameters each simulated operation takes.

The contract tests compare them with Stripe's own description: nothing here may be unknown there.
`UNSIMULATED` names what the description has and the simulator would have to ignore.
"""

from __future__ import annotations

from typing import Any

from turnout.sandbox.stripe.form import BOOL, INT, MAP, STR, STRS

_ADDRESS = {
    "city": STR, "country": STR, "line1": STR, "line2": STR, "postal_code": STR, "state": STR,
}  # fmt: skip
_BILLING = {"address": _ADDRESS, "email": STR, "name": STR, "phone": STR}
_SHIPPING = {
    "address": _ADDRESS, "carrier": STR, "name": STR, "phone": STR, "tracking_number": STR,
}  # fmt: skip
_CREATED = {"gt": INT, "gte": INT, "lt": INT, "lte": INT}
_CARD_OPTIONS = {
    "capture_method": ("", "manual"),
    "network": (
        "amex", "cartes_bancaires", "diners", "discover", "eftpos_au", "interac", "jcb",
        "mastercard", "unionpay", "unknown", "visa",
    ),
    "request_three_d_secure": ("any", "automatic"),
    "setup_future_usage": ("", "none", "off_session", "on_session"),
}  # fmt: skip
_METHOD_OPTIONS = {"card": _CARD_OPTIONS}
_CAPTURE_METHOD = ("automatic", "automatic_async", "manual")
_EXPAND = {"expand": STRS}
_PAGE = {"limit": INT, "starting_after": STR, "ending_before": STR, **_EXPAND}

_CONFIRM_PART: dict[str, Any] = {
    "capture_method": _CAPTURE_METHOD,
    "error_on_requires_action": BOOL,
    "off_session": ("true", "false", "one_off", "recurring"),
    "payment_method": STR,
    "payment_method_options": _METHOD_OPTIONS,
    "payment_method_types": STRS,
    "receipt_email": STR,
    "return_url": STR,
    "setup_future_usage": ("", "off_session", "on_session"),
    "shipping": _SHIPPING,
    "use_stripe_sdk": BOOL,
    **_EXPAND,
}

TABLES: dict[str, dict[str, Any]] = {
    "POST /v1/payment_intents": {
        **_CONFIRM_PART,
        "amount": INT,
        "automatic_payment_methods": {"enabled": BOOL, "allow_redirects": ("always", "never")},
        "confirm": BOOL,
        "confirmation_method": ("automatic", "manual"),
        "currency": STR,
        "description": STR,
        "metadata": MAP,
        "setup_future_usage": ("off_session", "on_session"),
        "statement_descriptor": STR,
        "statement_descriptor_suffix": STR,
    },
    "POST /v1/payment_intents/{intent}": {
        "amount": INT,
        "description": STR,
        "metadata": MAP,
        "payment_method": STR,
        "receipt_email": STR,
        "statement_descriptor": STR,
        "statement_descriptor_suffix": STR,
        **_EXPAND,
    },
    "POST /v1/payment_intents/{intent}/confirm": {**_CONFIRM_PART, "client_secret": STR},
    "POST /v1/payment_intents/{intent}/capture": {
        "amount_to_capture": INT,
        "metadata": MAP,
        "statement_descriptor": STR,
        "statement_descriptor_suffix": STR,
        **_EXPAND,
    },
    "POST /v1/payment_intents/{intent}/cancel": {
        "cancellation_reason": ("abandoned", "duplicate", "fraudulent", "requested_by_customer"),
        **_EXPAND,
    },
    "GET /v1/payment_intents/{intent}": {"client_secret": STR, **_EXPAND},
    "GET /v1/payment_intents": {"created": _CREATED, "customer": STR, **_PAGE},
    "GET /v1/payment_intents/search": {"query": STR, "limit": INT, "page": STR, **_EXPAND},
    "POST /v1/payment_methods": {
        "billing_details": _BILLING,
        "card": {"number": STR, "exp_month": INT, "exp_year": INT, "cvc": STR},
        "metadata": MAP,
        "type": STR,
        **_EXPAND,
    },
    "GET /v1/payment_methods/{payment_method}": _EXPAND,
    "POST /v1/refunds": {
        "amount": INT,
        "charge": STR,
        "metadata": MAP,
        "payment_intent": STR,
        "reason": ("duplicate", "fraudulent", "requested_by_customer"),
        **_EXPAND,
    },
    "GET /v1/refunds": {"charge": STR, "payment_intent": STR, "created": _CREATED, **_PAGE},
    "GET /v1/refunds/{refund}": _EXPAND,
    "GET /v1/charges": {"created": _CREATED, "customer": STR, "payment_intent": STR, **_PAGE},
    "GET /v1/charges/{charge}": _EXPAND,
    "GET /v1/events": {"created": _CREATED, "type": STR, "types": STRS, **_PAGE},
    "GET /v1/events/{id}": _EXPAND,
}

UNSIMULATED: dict[str, str] = {
    "application_fee_amount": "application fees",
    "customer": "customers",
    "instructions_email": "refunds by e-mail",
    "mandate": "mandates",
    "mandate_data": "mandates",
    "on_behalf_of": "connected accounts",
    "origin": "customer balances",
    "payment_method_data": "payment methods made in passing (create a PaymentMethod first)",
    "radar_options": "Radar sessions",
    "refund_application_fee": "application fees",
    "reverse_transfer": "transfers",
    "transfer_data": "transfers",
    "transfer_group": "transfers",
}
