"""Requests as commands: everything that was said arrives, and the wire's faults do not."""

from __future__ import annotations

from typing import Any

import pytest

from turnout import v1
from turnout.domain.cards import CardDetails, Funding, Network
from turnout.domain.errors import InvalidRequest
from turnout.domain.payment import (
    Address,
    Browser,
    CaptureMethod,
    Channel,
    Customer,
    Initiator,
    PaymentDetails,
    ThreeDSecureState,
)
from turnout.orchestration.commands import (
    CancelCommand,
    CaptureCommand,
    CardInput,
    ConfirmCommand,
    OtherMethodInput,
    PaymentCommand,
    RefundCommand,
    TokenInput,
)
from turnout.server import decode, enums

CARD = v1.Card(
    number="4242424242424242",
    expiry_month=12,
    expiry_year=2030,
    cvc="123",
    holder_name="Ann",
    network=v1.CARD_NETWORK_CARTES_BANCAIRES,
    issuer_country="FR",
    funding=v1.CARD_FUNDING_DEBIT,
)
CARD_INPUT = CardInput(
    CardDetails("4242424242424242", 12, 2030, "123", "Ann"),
    "FR",
    Funding.DEBIT,
    Network.CARTES_BANCAIRES,
)
HOME = v1.Address(
    line1="l1",
    line2="l2",
    city="c",
    state="s",
    postal_code="p",
    country="DE",
    name="Ann",
    phone="+49",
)
HOME_INPUT = Address("l1", "l2", "c", "s", "p", "DE", "Ann", "+49")


def whole_request(kind: Any) -> Any:
    return kind(
        merchant_reference="order-1",
        amount_minor=1_999,
        currency="EUR",
        payment_method=v1.PaymentMethod(card=CARD),
        capture_method=v1.CAPTURE_METHOD_MANUAL,
        profile_id="shop",
        customer=v1.Customer(
            reference="cus-1",
            ip_address="192.0.2.1",
            email="a@b.example",
            phone="+49",
            name="Ann",
            browser=v1.BrowserInfo(
                accept_header="*/*",
                user_agent="agent",
                language="de",
                color_depth_bits=24,
                screen_height_px=1080,
                screen_width_px=1920,
                time_zone_offset_min=-60,
                java_enabled=True,
                javascript_enabled=True,
            ),
        ),
        billing_address=HOME,
        shipping_address=HOME,
        initiator=v1.INITIATOR_MERCHANT,
        statement_descriptor="SHOP",
        description="note",
        metadata={"k": "v"},
        return_url="https://shop.example",
        network_transaction_id="ntid",
        three_d_secure=v1.ThreeDSecure(preference=v1.THREE_D_SECURE_PREFERENCE_CHALLENGE),
        channel=v1.CHANNEL_IN_APP,
        recurring=False,
        three_ds=v1.THREE_D_SECURE_STATE_NONE,
        risk_score=0,
    )


@pytest.mark.parametrize(
    ("kind", "read"),
    [
        (v1.AuthorizePaymentRequest, decode.authorize),
        (v1.CreatePaymentRequest, decode.create),
    ],
)
def test_all_of_a_payment_arrives(kind: Any, read: Any) -> None:
    request = whole_request(kind)
    assert {field.name for field, _ in request.ListFields()} == {
        field.name for field in kind.DESCRIPTOR.fields
    }
    assert read(request) == PaymentCommand(
        "order-1",
        1_999,
        "EUR",
        CaptureMethod.MANUAL,
        CARD_INPUT,
        PaymentDetails(
            Customer(
                "cus-1",
                "a@b.example",
                "Ann",
                "+49",
                "192.0.2.1",
                Browser("agent", "*/*", "de", 24, 1080, 1920, -60, True, True),
            ),
            HOME_INPUT,
            HOME_INPUT,
            "note",
            "SHOP",
            {"k": "v"},
            "https://shop.example",
            Initiator.MERCHANT,
            "challenge",
            "ntid",
            Channel.IN_APP,
            False,
            ThreeDSecureState.NONE,
            0,
        ),
        "shop",
    )


def test_both_ways_to_begin_a_payment_ask_for_the_same() -> None:
    ours = {
        (field.name, field.number, field.type)
        for field in v1.AuthorizePaymentRequest.DESCRIPTOR.fields
    }
    theirs = {
        (field.name, field.number, field.type)
        for field in v1.CreatePaymentRequest.DESCRIPTOR.fields
    }
    assert ours == theirs


def test_what_is_left_out_takes_the_contract_s_default() -> None:
    command = decode.create(v1.CreatePaymentRequest(merchant_reference="r"))
    assert command.capture_method is CaptureMethod.AUTOMATIC
    assert command.details.initiator is Initiator.CUSTOMER
    assert command.details.three_d_secure == ""
    told = (command.details.channel, command.details.recurring, command.details.three_ds)
    assert told == (None, None, None) and command.details.risk_score is None
    assert command.details.customer == Customer()
    assert command.method is None


@pytest.mark.parametrize(
    "chosen", ["wallet", "bank_debit", "bank_redirect", "pay_by_bank", "voucher", "qr"]
)
def test_methods_of_later_arrive_by_name(chosen: str) -> None:
    method = v1.PaymentMethod()
    getattr(method, chosen).SetInParent()
    command = decode.create(v1.CreatePaymentRequest(payment_method=method))
    assert command.method == OtherMethodInput(chosen)
    assert chosen in enums.METHOD_KIND


def test_a_token_arrives_with_its_code() -> None:
    reference = v1.TokenReference(token_id="tok_1", cvc="321")
    request = v1.ConfirmPaymentRequest(
        payment_id="pay_1", payment_method=v1.PaymentMethod(token=reference)
    )
    command = decode.confirm(request)
    assert command.method == TokenInput("tok_1", "321")
    assert "321" not in repr(command)


def test_a_confirmation_keeps_what_is_absent_apart_from_what_is_empty() -> None:
    assert decode.confirm(v1.ConfirmPaymentRequest(payment_id="pay_1")) == ConfirmCommand("pay_1")
    whole = v1.ConfirmPaymentRequest(
        payment_id="pay_1",
        payment_method=v1.PaymentMethod(card=CARD),
        return_url="https://shop.example",
        customer=v1.Customer(),
        billing_address=v1.Address(),
        three_d_secure=v1.ThreeDSecure(preference=v1.THREE_D_SECURE_PREFERENCE_EXEMPTION),
    )
    assert decode.confirm(whole) == ConfirmCommand(
        "pay_1", CARD_INPUT, "https://shop.example", Customer(), Address(), "exemption"
    )


def test_captures_cancels_and_refunds_arrive() -> None:
    assert decode.capture(
        v1.CapturePaymentRequest(
            payment_id="pay_1",
            amount_minor=5,
            currency="EUR",
            final_capture=True,
            merchant_reference="c",
        )
    ) == CaptureCommand("pay_1", 5, "EUR", True, "c")
    assert decode.cancel(
        v1.CancelPaymentRequest(payment_id="pay_1", reason=v1.CANCELLATION_REASON_DUPLICATE)
    ) == CancelCommand("pay_1", "duplicate")
    assert decode.refund(
        v1.CreateRefundRequest(
            payment_id="pay_1",
            amount_minor=5,
            currency="EUR",
            reason=v1.REFUND_REASON_RETURNED,
            merchant_reference="r",
            description="d",
            metadata={"k": "v"},
        )
    ) == RefundCommand("pay_1", 5, "EUR", "returned", "r", "d", {"k": "v"})
    token = decode.token(v1.CreateTokenRequest(card=CARD, customer_reference="cus-1"))
    assert (token.source, token.customer_reference) == (CARD_INPUT, "cus-1")


def test_an_empty_request_is_told_all_that_is_missing() -> None:
    with pytest.raises(InvalidRequest) as error:
        decode.authorize(v1.AuthorizePaymentRequest())
    assert [(one.field, one.reason) for one in error.value.fields] == [
        ("payment_method", "FIELD_REQUIRED"),
        ("merchant_reference", "FIELD_REQUIRED"),
        ("amount_minor", "FIELD_REQUIRED"),
        ("currency", "FIELD_REQUIRED"),
    ]


@pytest.mark.parametrize(
    ("read", "request_", "field", "reason"),
    [
        (
            decode.authorize,
            v1.AuthorizePaymentRequest(merchant_reference="r", amount_minor=1, currency="EUR"),
            "payment_method",
            "FIELD_REQUIRED",
        ),
        (
            decode.create,
            v1.CreatePaymentRequest(payment_method=v1.PaymentMethod()),
            "payment_method",
            "METHOD_NOT_SET",
        ),
        (decode.token, v1.CreateTokenRequest(), "card", "FIELD_REQUIRED"),
        (decode.confirm, v1.ConfirmPaymentRequest(), "payment_id", "FIELD_REQUIRED"),
        (decode.capture, v1.CapturePaymentRequest(), "payment_id", "FIELD_REQUIRED"),
        (decode.cancel, v1.CancelPaymentRequest(), "payment_id", "FIELD_REQUIRED"),
        (decode.refund, v1.CreateRefundRequest(), "payment_id", "FIELD_REQUIRED"),
        (
            decode.create,
            v1.CreatePaymentRequest(capture_method=99),  # type: ignore[arg-type]
            "capture_method",
            "UNKNOWN_ENUM_VALUE",
        ),
        (
            decode.create,
            v1.CreatePaymentRequest(initiator=-1),  # type: ignore[arg-type]
            "initiator",
            "UNKNOWN_ENUM_VALUE",
        ),
        (
            decode.create,
            v1.CreatePaymentRequest(
                three_d_secure=v1.ThreeDSecure(preference=77)  # type: ignore[arg-type]
            ),
            "three_d_secure.preference",
            "UNKNOWN_ENUM_VALUE",
        ),
        (
            decode.create,
            v1.CreatePaymentRequest(
                payment_method=v1.PaymentMethod(
                    card=v1.Card(funding=9)  # type: ignore[arg-type]
                )
            ),
            "payment_method.card.funding",
            "UNKNOWN_ENUM_VALUE",
        ),
        (
            decode.token,
            v1.CreateTokenRequest(card=v1.Card(network=55)),  # type: ignore[arg-type]
            "card.network",
            "UNKNOWN_ENUM_VALUE",
        ),
        (
            decode.refund,
            v1.CreateRefundRequest(payment_id="p", reason=12),  # type: ignore[arg-type]
            "reason",
            "UNKNOWN_ENUM_VALUE",
        ),
        (
            decode.cancel,
            v1.CancelPaymentRequest(payment_id="p", reason=v1.CANCELLATION_REASON_EXPIRED),
            "reason",
            "REASON_NOT_ALLOWED",
        ),
    ],
)
def test_the_wire_s_faults_name_their_field(
    read: Any, request_: Any, field: str, reason: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(request_)
    assert [(one.field, one.reason) for one in caught.value.fields] == [(field, reason)]
