"""Requests of the contract as orchestration's commands.

Checked here is only what the wire can get wrong: numbers that no enumeration has, and a oneof with
nothing in it. Whether a currency, an amount or a card makes sense is for orchestration to say, so
that every face says the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from turnout import v1
from turnout.domain.cards import CardDetails
from turnout.domain.errors import FieldError, InvalidRequest
from turnout.domain.payment import Address, Browser, Customer, PaymentDetails
from turnout.orchestration.commands import (
    CancelCommand,
    CaptureCommand,
    CardInput,
    ConfirmCommand,
    MethodInput,
    OtherMethodInput,
    PaymentCommand,
    RefundCommand,
    TokenCommand,
    TokenInput,
)
from turnout.server import enums

W = TypeVar("W")

# What nearly every card has: the payer's shop does not know.
_FUNDING_UNSAID = enums.FUNDING_WORD[v1.CARD_FUNDING_UNSPECIFIED]
_NETWORK_UNSAID = enums.NETWORK_WORD[v1.CARD_NETWORK_UNSPECIFIED]

_ASK_FOR_PAYMENT = v1.AuthorizePaymentRequest | v1.CreatePaymentRequest


def authorize(request: v1.AuthorizePaymentRequest) -> PaymentCommand:
    """AuthorizePayment; unlike CreatePayment it cannot do without a method."""
    if not request.HasField("payment_method"):
        # Whoever left this out may have left all out, and is told of it at once.
        others = ("merchant_reference", "amount_minor", "currency")
        raise required("payment_method", *(one for one in others if not getattr(request, one)))
    return _payment(request, request.payment_method)


def create(request: v1.CreatePaymentRequest) -> PaymentCommand:
    """CreatePayment, whose request AuthorizePayment's equals field by field."""
    return _payment(
        request, request.payment_method if request.HasField("payment_method") else None
    )


def confirm(request: v1.ConfirmPaymentRequest) -> ConfirmCommand:
    """ConfirmPayment; what is absent stays None or empty."""
    return ConfirmCommand(
        payment_id=named(request.payment_id, "payment_id"),
        method=_method(request.payment_method) if request.HasField("payment_method") else None,
        return_url=request.return_url,
        customer=_customer(request.customer) if request.HasField("customer") else None,
        billing_address=(
            _address(request.billing_address) if request.HasField("billing_address") else None
        ),
        three_d_secure=_three_d_secure(request.three_d_secure),
    )


def capture(request: v1.CapturePaymentRequest) -> CaptureCommand:
    """CapturePayment."""
    return CaptureCommand(
        payment_id=named(request.payment_id, "payment_id"),
        amount_minor=request.amount_minor,
        currency=request.currency,
        final=request.final_capture,
        merchant_reference=request.merchant_reference,
    )


def cancel(request: v1.CancelPaymentRequest) -> CancelCommand:
    """CancelPayment; refuses the reasons that only Turnout sets."""
    reason = word(enums.CANCELLATION_REASON_WORD, request.reason, "reason", "CancellationReason")
    if reason in enums.OWN_CANCELLATION_REASONS:
        raise InvalidRequest(
            [
                FieldError(
                    "reason",
                    "REASON_NOT_ALLOWED",
                    f"{v1.CancellationReason.Name(request.reason)} is set by Turnout alone; give "
                    "your own reason or none",
                )
            ]
        )
    return CancelCommand(payment_id=named(request.payment_id, "payment_id"), reason=reason)


def refund(request: v1.CreateRefundRequest) -> RefundCommand:
    """CreateRefund."""
    return RefundCommand(
        payment_id=named(request.payment_id, "payment_id"),
        amount_minor=request.amount_minor,
        currency=request.currency,
        reason=word(enums.REFUND_REASON_WORD, request.reason, "reason", "RefundReason"),
        merchant_reference=request.merchant_reference,
        description=request.description,
        metadata=dict(request.metadata),
    )


def token(request: v1.CreateTokenRequest) -> TokenCommand:
    """CreateToken."""
    if not request.HasField("card"):
        raise required("card")
    return TokenCommand(
        source=_card(request.card, "card"), customer_reference=request.customer_reference
    )


def required(*fields: str) -> InvalidRequest:
    """What to raise where fields that the call cannot do without are absent."""
    return InvalidRequest([FieldError(one, "FIELD_REQUIRED", "must be given") for one in fields])


def named(identifier: str, field: str) -> str:
    """An id that must be there; whether it names anything is for the record to say."""
    if not identifier:
        raise required(field)
    return identifier


def word(table: Mapping[int, W], number: int, field: str, enumeration: str) -> W:
    """The domain's word for a number of an enumeration.

    Raises:
        InvalidRequest: the number is not in the table.
    """
    found = table.get(number)
    if found is None:
        raise InvalidRequest(
            [
                FieldError(
                    field,
                    "UNKNOWN_ENUM_VALUE",
                    f"{number} is no value of turnout.v1.{enumeration} that is taken here",
                )
            ]
        )
    return found


def optional_word(
    table: Mapping[int, W | None], number: int, field: str, enumeration: str
) -> W | None:
    """The domain's word for a number of an enumeration, None for the zero.

    Raises:
        InvalidRequest: the number is not in the table.
    """
    # The zero is what nearly every payment has, and this stands on the hot path.
    return word(table, number, field, enumeration) if number else None


def _payment(request: _ASK_FOR_PAYMENT, method: v1.PaymentMethod | None) -> PaymentCommand:
    # By place and not by name from here on: upb and keywords together cost a third more.
    return PaymentCommand(
        request.merchant_reference,
        request.amount_minor,
        request.currency,
        word(enums.CAPTURE_METHOD_WORD, request.capture_method, "capture_method", "CaptureMethod"),
        _method(method) if method is not None else None,
        _details(request),
        request.profile_id,
    )


def _details(request: _ASK_FOR_PAYMENT) -> PaymentDetails:
    has, metadata = request.HasField, request.metadata
    return PaymentDetails(
        _customer(request.customer) if has("customer") else Customer(),
        _address(request.billing_address) if has("billing_address") else None,
        _address(request.shipping_address) if has("shipping_address") else None,
        request.description,
        request.statement_descriptor,
        {name: metadata[name] for name in metadata},
        request.return_url,
        word(enums.INITIATOR_WORD, request.initiator, "initiator", "Initiator"),
        _three_d_secure(request.three_d_secure) if has("three_d_secure") else "",
        request.network_transaction_id,
        optional_word(enums.CHANNEL_WORD, request.channel, "channel", "Channel"),
        request.recurring if has("recurring") else None,
        optional_word(
            enums.THREE_D_SECURE_STATE_WORD, request.three_ds, "three_ds", "ThreeDSecureState"
        ),
        request.risk_score if has("risk_score") else None,
    )


def _three_d_secure(wish: v1.ThreeDSecure) -> str:
    return word(
        enums.THREE_D_SECURE_WORD,
        wish.preference,
        "three_d_secure.preference",
        "ThreeDSecurePreference",
    )


def _method(method: v1.PaymentMethod) -> MethodInput:
    chosen = method.WhichOneof("method")
    if chosen == "card":
        return _card(method.card, "payment_method.card")
    if chosen == "token":
        return TokenInput(method.token.token_id, method.token.cvc)
    if chosen is None:
        raise InvalidRequest(
            [
                FieldError(
                    "payment_method",
                    "METHOD_NOT_SET",
                    "holds no method that this server knows; set exactly one, for example `card`",
                )
            ]
        )
    return OtherMethodInput(chosen)


def _card(card: v1.Card, field: str) -> CardInput:
    return CardInput(
        CardDetails(card.number, card.expiry_month, card.expiry_year, card.cvc, card.holder_name),
        card.issuer_country,
        word(enums.FUNDING_WORD, card.funding, f"{field}.funding", "CardFunding")
        if card.funding
        else _FUNDING_UNSAID,
        word(enums.NETWORK_WORD, card.network, f"{field}.network", "CardNetwork")
        if card.network
        else _NETWORK_UNSAID,
    )


def _customer(customer: v1.Customer) -> Customer:
    return Customer(
        customer.reference,
        customer.email,
        customer.name,
        customer.phone,
        customer.ip_address,
        _browser(customer.browser) if customer.HasField("browser") else None,
    )


def _browser(browser: v1.BrowserInfo) -> Browser:
    return Browser(
        browser.user_agent,
        browser.accept_header,
        browser.language,
        browser.color_depth_bits,
        browser.screen_height_px,
        browser.screen_width_px,
        browser.time_zone_offset_min,
        browser.java_enabled,
        browser.javascript_enabled,
    )


def _address(address: v1.Address) -> Address:
    return Address(
        address.line1,
        address.line2,
        address.city,
        address.state,
        address.postal_code,
        address.country,
        address.name,
        address.phone,
    )
