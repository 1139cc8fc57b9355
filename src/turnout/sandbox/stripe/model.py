"""The objects of one Stripe account, and their JSON at API version 2023-08-16."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from turnout.sandbox.books import Charge as BookCharge
from turnout.sandbox.issuer import Said
from turnout.sandbox.stripe import cards
from turnout.sandbox.stripe.cards import Behaviour

_NO_ADDRESS = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))


@dataclass(slots=True)
class PaymentMethod:
    """A card that Stripe keeps; of its number only the last four digits stay here."""

    id: str
    created: int
    brand: str
    last4: str
    exp_month: int
    exp_year: int
    country: str
    behaviour: Behaviour
    fingerprint: str
    cvc_given: bool
    billing: dict[str, Any]
    metadata: dict[str, str]

    def billing_json(self) -> dict[str, Any]:
        """Billing details with every field present."""
        return {
            "address": {**_NO_ADDRESS, **self.billing.get("address", {})},
            "email": self.billing.get("email"),
            "name": self.billing.get("name"),
            "phone": self.billing.get("phone"),
        }

    def checks(self) -> dict[str, Any]:
        """What the issuer said of the security code and the address."""
        address = self.billing.get("address", {})
        return {
            "address_line1_check": self.behaviour.line1_check if address.get("line1") else None,
            "address_postal_code_check": (
                self.behaviour.postal_check if address.get("postal_code") else None
            ),
            "cvc_check": self.behaviour.cvc_check if self.cvc_given else None,
        }

    def json(self) -> dict[str, Any]:
        """The PaymentMethod object."""
        return {
            "id": self.id,
            "object": "payment_method",
            "billing_details": self.billing_json(),
            "card": {
                "brand": self.brand,
                "checks": self.checks(),
                "country": self.country,
                "exp_month": self.exp_month,
                "exp_year": self.exp_year,
                "fingerprint": self.fingerprint,
                "funding": self.behaviour.funding,
                "generated_from": None,
                "last4": self.last4,
                "networks": {"available": [self.brand], "preferred": None},
                "three_d_secure_usage": {"supported": True},
                "wallet": None,
            },
            "created": self.created,
            "customer": None,
            "livemode": False,
            "metadata": self.metadata,
            "type": "card",
        }


@dataclass(slots=True)
class Charge:
    """One try to take money with a card."""

    id: str
    created: int
    method: PaymentMethod
    book: BookCharge
    failure_code: str | None
    failure_message: str | None
    authenticated: bool
    said: Said | None = None
    captured: bool = False
    refund_ids: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Refund:
    """Money on its way back. `release` marks a hold given back, which never was the merchant's."""

    id: str
    created: int
    intent_id: str
    charge_id: str
    amount: int
    currency: str
    status: str
    reason: str | None
    metadata: dict[str, str]
    release: bool = False
    failure_reason: str | None = None

    def json(self) -> dict[str, Any]:
        """The Refund object."""
        out: dict[str, Any] = {
            "id": self.id,
            "object": "refund",
            "amount": self.amount,
            "balance_transaction": None,
            "charge": self.charge_id,
            "created": self.created,
            "currency": self.currency,
            "metadata": self.metadata,
            "payment_intent": self.intent_id,
            "reason": self.reason,
            "receipt_number": None,
            "source_transfer_reversal": None,
            "status": self.status,
            "transfer_reversal": None,
        }
        if self.failure_reason is not None:
            out["failure_reason"] = self.failure_reason
        return out


@dataclass(slots=True)
class Intent:
    """A PaymentIntent with its charges."""

    id: str
    sequence: int
    created: int
    amount: int
    currency: str
    capture_method: str
    confirmation_method: str
    client_secret: str
    metadata: dict[str, str]
    status: str = "requires_payment_method"
    method: PaymentMethod | None = None
    charges: list[Charge] = field(default_factory=list)
    last_payment_error: dict[str, Any] | None = None
    cancellation_reason: str | None = None
    canceled_at: int | None = None
    return_url: str | None = None
    description: str | None = None
    receipt_email: str | None = None
    setup_future_usage: str | None = None
    shipping: dict[str, Any] | None = None
    statement_descriptor: str | None = None
    statement_descriptor_suffix: str | None = None
    automatic_methods: dict[str, Any] | None = None
    request_three_d_secure: str = "automatic"
    authenticated: bool = False
    next_url: str | None = None
    use_sdk: bool = False

    @property
    def charge(self) -> Charge | None:
        """The latest charge."""
        return self.charges[-1] if self.charges else None

    def next_action(self) -> dict[str, Any] | None:
        """What the payer must do next, if anything."""
        if self.status != "requires_action" or self.next_url is None:
            return None
        if self.return_url is None or self.use_sdk:
            return {
                "type": "use_stripe_sdk",
                "use_stripe_sdk": {
                    "type": "three_d_secure_redirect",
                    "stripe_js": self.next_url,
                },
            }
        return {
            "type": "redirect_to_url",
            "redirect_to_url": {"return_url": self.return_url, "url": self.next_url},
        }

    def json(self) -> dict[str, Any]:
        """The PaymentIntent object."""
        charge = self.charge
        held = captured = 0
        if charge is not None:
            held = charge.book.held_minor
            captured = charge.book.captured_minor
        return {
            "id": self.id,
            "object": "payment_intent",
            "amount": self.amount,
            "amount_capturable": held if self.status == "requires_capture" else 0,
            "amount_details": {"tip": {}},
            "amount_received": captured,
            "application": None,
            "application_fee_amount": None,
            "automatic_payment_methods": self.automatic_methods,
            "canceled_at": self.canceled_at,
            "cancellation_reason": self.cancellation_reason,
            "capture_method": self.capture_method,
            "client_secret": self.client_secret,
            "confirmation_method": self.confirmation_method,
            "created": self.created,
            "currency": self.currency,
            "customer": None,
            "description": self.description,
            "invoice": None,
            "last_payment_error": self.last_payment_error,
            "latest_charge": None if charge is None else charge.id,
            "livemode": False,
            "metadata": self.metadata,
            "next_action": self.next_action(),
            "on_behalf_of": None,
            "payment_method": None if self.method is None else self.method.id,
            "payment_method_options": {
                "card": {
                    "installments": None,
                    "mandate_options": None,
                    "network": None,
                    "request_three_d_secure": self.request_three_d_secure,
                }
            },
            "payment_method_types": ["card"],
            "processing": None,
            "receipt_email": self.receipt_email,
            "review": None,
            "setup_future_usage": self.setup_future_usage,
            "shipping": self.shipping,
            "statement_descriptor": self.statement_descriptor,
            "statement_descriptor_suffix": self.statement_descriptor_suffix,
            "status": self.status,
            "transfer_data": None,
            "transfer_group": None,
        }


def charge_json(charge: Charge, intent: Intent) -> dict[str, Any]:
    """The Charge object of one of an intent's charges."""
    book = charge.book
    method = charge.method
    failed = charge.failure_code is not None
    given_back = book.released_minor + book.refunded_minor
    return {
        "id": charge.id,
        "object": "charge",
        "amount": book.amount_minor,
        "amount_captured": book.captured_minor,
        # Stripe counts a released hold as refunded; a merchant who never captured still sees it.
        "amount_refunded": given_back,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": method.billing_json(),
        "calculated_statement_descriptor": None if failed else "SANDBOX",
        "captured": charge.captured,
        "created": charge.created,
        "currency": intent.currency,
        "customer": None,
        "description": intent.description,
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": charge.failure_code,
        "failure_message": charge.failure_message,
        "fraud_details": {},
        "invoice": None,
        "livemode": False,
        "metadata": intent.metadata,
        "on_behalf_of": None,
        "outcome": _outcome(charge),
        "paid": not failed,
        "payment_intent": intent.id,
        "payment_method": method.id,
        "payment_method_details": {"card": _card_details(charge), "type": "card"},
        "radar_options": {},
        "receipt_email": intent.receipt_email,
        "receipt_number": None,
        "receipt_url": None,
        "refunded": not failed and given_back == book.amount_minor,
        "review": None,
        "shipping": intent.shipping,
        "source_transfer": None,
        "statement_descriptor": intent.statement_descriptor,
        "statement_descriptor_suffix": intent.statement_descriptor_suffix,
        "status": "failed" if failed else "succeeded",
        "transfer_data": None,
        "transfer_group": None,
    }


def _card_details(charge: Charge) -> dict[str, Any]:
    method = charge.method
    three_d_secure = None
    if charge.authenticated:
        three_d_secure = {
            "authentication_flow": "challenge",
            "result": "authenticated",
            "result_reason": None,
            "version": "2.2.0",
        }
    return {
        "brand": method.brand,
        "checks": method.checks(),
        "country": method.country,
        "exp_month": method.exp_month,
        "exp_year": method.exp_year,
        "fingerprint": method.fingerprint,
        "funding": method.behaviour.funding,
        "installments": None,
        "last4": method.last4,
        "mandate": None,
        "network": method.brand,
        "network_token": {"used": False},
        "three_d_secure": three_d_secure,
        "wallet": None,
    }


def network_words(said: Said | None) -> dict[str, str | None]:
    """What the network and the issuer said of a decline, where a test asked for it.

    Stripe added these fields in 2024-12-18, so its description of an older version lacks them.
    """
    if said is None:
        return {}
    advice = said.advice
    return {
        "advice_code": None if advice is None else cards.BY_ADVICE.get(advice, cards.TRY_LATER),
        "network_advice_code": advice,
        "network_decline_code": said.code,
    }


def _outcome(charge: Charge) -> dict[str, Any]:
    behaviour = charge.method.behaviour
    if charge.failure_code is None:
        return {
            "network_status": "approved_by_network",
            "reason": None,
            "risk_level": behaviour.risk_level,
            "risk_score": 65 if behaviour.risk_level == "elevated" else 12,
            "seller_message": "Payment complete.",
            "type": "authorized",
        }
    if behaviour.blocked:
        return {
            "network_status": "not_sent_to_network",
            "reason": "highest_risk_level",
            "risk_level": behaviour.risk_level,
            "risk_score": 92,
            "seller_message": "Blocked before it reached the bank.",
            "type": "blocked",
        }
    return {
        **network_words(charge.said),
        "network_status": "declined_by_network",
        "reason": charge.book.declined,
        "risk_level": behaviour.risk_level,
        "risk_score": 12,
        "seller_message": "The bank did not approve the payment.",
        "type": "issuer_declined",
    }
