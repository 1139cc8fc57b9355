"""Examples for the OpenAPI description; tests parse each into its message.

Card numbers are the schemes' published test numbers.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

_CARD: Json = {
    "card": {
        "number": "4111111111111111",
        "expiry_month": 12,
        "expiry_year": 2030,
        "cvc": "123",
        "holder_name": "Ada Lovelace",
    }
}
_RULESET: Json = {
    "mode": "first_match",
    "rules": [
        {
            "id": "german-cards",
            "when": [{"fact": "issuer_country", "in": ["DE"], "missing": "no_match"}],
            "then": {"priority": [["acc_adyen_main"], ["acc_stripe_main"]]},
        }
    ],
}
_ORDER: Json = {"merchant_reference": "order-1001", "amount_minor": 1999, "currency": "EUR"}

# By rpc, then by the example's name.
REQUESTS: dict[str, dict[str, Json]] = {
    "AuthorizePayment": {
        "card": {
            **_ORDER,
            "payment_method": _CARD,
            "capture_method": "CAPTURE_METHOD_MANUAL",
            "customer": {"reference": "customer-7", "ip_address": "203.0.113.7"},
            "billing_address": {"postal_code": "10115", "country": "DE"},
            "return_url": "https://shop.example/return",
            "metadata": {"basket": "b-77"},
        },
        "token": {
            **_ORDER,
            "payment_method": {"token": {"token_id": "tok_01JD8PZ2V9", "cvc": "123"}},
        },
    },
    "CreatePayment": {"without_method": dict(_ORDER)},
    "ConfirmPayment": {"card": {"payment_method": _CARD}},
    "CapturePayment": {
        "everything": {},
        "part": {"amount_minor": 500, "final_capture": False},
    },
    "CancelPayment": {
        "by_customer": {"reason": "CANCELLATION_REASON_REQUESTED_BY_CUSTOMER"},
    },
    "SyncPayment": {"nothing": {}},
    "CreateRefund": {
        "part": {"amount_minor": 250, "reason": "REFUND_REASON_RETURNED"},
    },
    "CreateRuleset": {
        "german_cards": {"description": "German cards to Adyen", "document": _RULESET},
    },
    "ValidateRuleset": {"german_cards": {"document": _RULESET}},
    "ActivateRuleset": {"this_one": {}},
    "RollbackRuleset": {"one_back": {}},
    "DiffRulesets": {"two_versions": {"from_version": 1, "to_version": 2}},
    "SimulateRouting": {
        "german_card": {
            "facts": {"amount_minor": 1999, "currency": "EUR", "issuer_country": "DE"},
            "document": _RULESET,
            "seed": "2a",
        },
    },
    "CreateToken": {"card": {**_CARD, "customer_reference": "customer-7"}},
}
