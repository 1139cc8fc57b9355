"""What the connectors' tests share: accounts, requests, and a transport that plays answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote_plus

import orjson

from turnout.domain.accounts import Account, Secret
from turnout.domain.cards import CardDetails, CardFacts, Network
from turnout.domain.operation import Operation, OperationKind, OperationState
from turnout.domain.payment import (
    Address,
    Browser,
    CaptureMethod,
    Customer,
    Initiator,
    PaymentDetails,
)
from turnout.ports import (
    AuthorizeRequest,
    FollowUpRequest,
    HttpNotSent,
    HttpRequest,
    HttpResponse,
    HttpUnknown,
    InquiryRequest,
)

NOW_NS = 1_790_000_000 * 1_000_000_000
ATTEMPT = "att_0197a1b2c3d40102030405060708090a"
PAYMENT = "pay_0197a1b2c3d4ffeeddccbbaa99887766"
CAPTURE = "cap_0197a1b2c3d4000102030405060708ff"
CANCEL = "can_0197a1b2c3d4000102030405060708fe"
REFUND = "ref_0197a1b2c3d4000102030405060708fd"
INTENT = "pi_3NnlpVGPxmnHQRkJ0uz3w9tH"
METHOD = "pm_1NnlpVGPxmnHQRkJabcdefgh"
CHARGE = "ch_3NnlpVGPxmnHQRkJ0zzzzzzz"
PSP = "QFQTPCQ8HXSKGK82"
MODIFICATION_PSP = "JDD6LKT8MBLZNN84"
HMAC_KEY = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"
STRIPE_SECRET = "whsec_published_in_this_test"
PAN = "4242424242424242"

Played = HttpResponse | Exception
Script = Callable[[HttpRequest], Played]


class SteadyClock:
    """Time that stands still until it is moved."""

    def __init__(self, now_ns: int = NOW_NS) -> None:
        self.now = now_ns

    def now_ns(self) -> int:
        return self.now

    def monotonic_ns(self) -> int:
        return self.now - NOW_NS


class RealClock:
    """The machine's own time, for tests over real sockets."""

    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()


class PlayedTransport:
    """Answers from a script, in order; remembers what was asked."""

    def __init__(self, *script: Played | Script) -> None:
        self.script = list(script)
        self.sent: list[HttpRequest] = []

    async def send(self, request: HttpRequest) -> HttpResponse:
        self.sent.append(request)
        step = self.script.pop(0)
        played = step if isinstance(step, HttpResponse | Exception) else step(request)
        if isinstance(played, Exception):
            raise played
        return played

    async def close(self) -> None:
        return None


def answer(status: int, body: Any, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """An HTTP answer; `body` as bytes or as what becomes JSON."""
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return HttpResponse(status, dict(headers or {}), raw)


def lost(reason: str = "timeout") -> HttpUnknown:
    """It left, and no answer came."""
    return HttpUnknown(reason)


def unsent(reason: str = "connect_failed") -> HttpNotSent:
    """It never left."""
    return HttpNotSent(reason)


@dataclass
class HeldCard:
    """A Reveal that holds one published test card."""

    details: CardDetails = field(
        default_factory=lambda: CardDetails(PAN, 12, 2034, "123", "Ada Lovelace")
    )
    revealed: int = 0

    async def card(self) -> CardDetails:
        self.revealed += 1
        return self.details


def stripe_account(base_url: str = "https://api.stripe.com", **changes: Any) -> Account:
    """A test account at Stripe."""
    account = Account(
        "acc_stripe",
        "mer_test",
        "stripe",
        base_url,
        credentials={"api_key": Secret("sk_test_published_in_this_test")},
        webhook_secrets=(Secret(STRIPE_SECRET),),
        timeout_ms=5_000,
    )
    return replace(account, **changes)


def adyen_account(
    base_url: str = "https://checkout-test.adyen.com/v72", **changes: Any
) -> Account:
    """A test account at Adyen."""
    account = Account(
        "acc_adyen",
        "mer_test",
        "adyen",
        base_url,
        credentials={"api_key": Secret("published_in_this_test")},
        webhook_secrets=(Secret(HMAC_KEY),),
        settings={"merchant_account": "TestMerchantECOM"},
        timeout_ms=5_000,
    )
    return replace(account, **changes)


def full_details(**changes: Any) -> PaymentDetails:
    """Everything that a merchant can say of a payment."""
    address = Address(
        "12 Rue de la Paix", "3rd floor", "Paris", "75", "75002", "FR", "Ada Lovelace", "+33123"
    )
    details = PaymentDetails(
        Customer(
            "customer-77",
            "ada@example.com",
            "Ada Lovelace",
            "+33123",
            "203.0.113.7",
            Browser("Mozilla/5.0", "text/html", "fr-FR", 24, 1080, 1920, -60, False, True),
        ),
        address,
        address,
        "Two tickets",
        "TICKETS*PARIS",
        {"order": "77", "odd[key]": "dropped", "seat": "12&B=ü"},
        "https://shop.example/return?order=77",
        Initiator.CUSTOMER,
        "challenge",
    )
    return replace(details, **changes)


def authorize(**changes: Any) -> AuthorizeRequest:
    """An authorization of 12.34 EUR with ten seconds left."""
    request = AuthorizeRequest(
        ATTEMPT,
        PAYMENT,
        "order-77",
        1234,
        "EUR",
        CaptureMethod.MANUAL,
        CardFacts(Network.VISA, "42424242", "4242", 12, 2034),
        HeldCard(),
        PaymentDetails(),
        10_000_000_000,
    )
    return replace(request, **changes)


def follow_up(kind: OperationKind, reference: str, **changes: Any) -> FollowUpRequest:
    """A capture, cancel or refund of all of it."""
    request = FollowUpRequest(
        kind,
        {
            OperationKind.CAPTURE: CAPTURE,
            OperationKind.CANCEL: CANCEL,
            OperationKind.REFUND: REFUND,
        }[kind],
        PAYMENT,
        ATTEMPT,
        reference,
        1234,
        "EUR",
        True,
        "requested_by_customer",
        10_000_000_000,
    )
    return replace(request, **changes)


def operation(kind: OperationKind = OperationKind.AUTHORIZE, **changes: Any) -> Operation:
    """An operation of unknown outcome, made a minute ago."""
    made = Operation(
        {
            OperationKind.AUTHORIZE: ATTEMPT,
            OperationKind.CAPTURE: CAPTURE,
            OperationKind.CANCEL: CANCEL,
            OperationKind.REFUND: REFUND,
        }[kind],
        PAYMENT,
        "mer_test",
        kind,
        1,
        "acc_stripe",
        "stripe",
        1234,
        "EUR",
        OperationState.UNKNOWN,
        NOW_NS - 60_000_000_000,
        NOW_NS - 60_000_000_000,
    )
    return replace(made, **changes)


def inquiry(
    asked: Operation, authorization: Operation | None = None, *, settled: bool, **changes: Any
) -> InquiryRequest:
    """What became of it? `settled` says that no copy can still be on its way."""
    request = InquiryRequest(
        asked,
        authorization or asked,
        CaptureMethod.MANUAL,
        NOW_NS - 1 if settled else NOW_NS + 30_000_000_000,
        NOW_NS,
        10_000_000_000,
    )
    return replace(request, **changes)


def intent(status: str = "requires_capture", **changes: Any) -> dict[str, Any]:
    """A PaymentIntent of ours, as Stripe shows it."""
    return {
        "id": INTENT,
        "object": "payment_intent",
        "amount": 1234,
        "amount_received": 1234 if status == "succeeded" else 0,
        "capture_method": "manual",
        "currency": "eur",
        "latest_charge": CHARGE,
        "livemode": False,
        "metadata": {"turnout_operation": ATTEMPT},
        "status": status,
        **changes,
    }


def method() -> dict[str, Any]:
    """A PaymentMethod, as Stripe shows it."""
    return {"id": METHOD, "object": "payment_method", "type": "card", "livemode": False}


def card_error(decline_code: str = "insufficient_funds", **changes: Any) -> dict[str, Any]:
    """A decline of our PaymentIntent, as Stripe tells it."""
    error = {
        "type": "card_error",
        "code": "card_declined",
        "decline_code": decline_code,
        "message": "Your card was declined.",
        "charge": CHARGE,
        "payment_intent": intent("requires_payment_method"),
        **changes,
    }
    return {"error": error}


def form_pairs(body: bytes) -> dict[str, str]:
    """A form body as flat names and values."""
    pairs = [part.partition("=") for part in body.decode().split("&") if part]
    return {unquote_plus(name): unquote_plus(value) for name, _, value in pairs}
