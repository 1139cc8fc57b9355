"""What the API shows of payments, refunds and tokens."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from turnout import v1
from turnout.domain.cards import CardFacts, Funding, Network
from turnout.domain.declines import DeclineCode, decline
from turnout.domain.operation import Operation, OperationDetails, OperationKind, OperationState
from turnout.domain.payment import (
    Address,
    AvsResult,
    Browser,
    CaptureMethod,
    Channel,
    Customer,
    CvcResult,
    DecisionSummary,
    Initiator,
    MethodView,
    NextAction,
    Payment,
    PaymentDetails,
    PaymentStatus,
    ThreeDSecureState,
)
from turnout.ports import VaultRecord
from turnout.server.encode import ProtoEncoder

T = 1_700_000_000_123_456_789
ENCODER = ProtoEncoder()


def operation(kind: OperationKind = OperationKind.AUTHORIZE, **changes: Any) -> Operation:
    fields: dict[str, Any] = {
        "operation_id": "att_1",
        "payment_id": "pay_1",
        "merchant_id": "mer_1",
        "kind": kind,
        "sequence": 1,
        "account_id": "acc_1",
        "provider": "stripe",
        "amount_minor": 1_999,
        "currency": "EUR",
        "state": OperationState.SUCCEEDED,
        "created_at_ns": T,
        "updated_at_ns": T + 5,
    }
    return Operation(**{**fields, **changes})


def payment(**changes: Any) -> Payment:
    fields: dict[str, Any] = {
        "payment_id": "pay_1",
        "merchant_id": "mer_1",
        "profile_id": "default",
        "merchant_reference": "order-1",
        "live": True,
        "amount_minor": 1_999,
        "currency": "EUR",
        "capture_method": CaptureMethod.MANUAL,
        "status": PaymentStatus.REQUIRES_CAPTURE,
        "created_at_ns": T,
        "updated_at_ns": T + 7,
        "details": PaymentDetails(),
    }
    return Payment(**{**fields, **changes})


def shown(one: Payment) -> v1.Payment:
    return v1.Payment.FromString(ENCODER.payment(one))


def whole_payment() -> Payment:
    """A payment in which nothing is left out."""
    person = Customer("cus-1", "a@b.example", "Ann", "+4930", "192.0.2.1", Browser("agent"))
    home = Address("l1", "l2", "city", "state", "10115", "DE", "Ann", "+4930")
    return payment(
        version=3,
        method=MethodView(
            "card",
            "tok_1",
            CardFacts(Network.VISA, "42424242", "4242", 12, 2030, Funding.CREDIT, "DE", "Bank"),
        ),
        details=PaymentDetails(
            person,
            home,
            replace(home, line1="ship"),
            "a note",
            "SHOP",
            {"k": "v", "l": "w"},
            "https://shop.example/back",
            Initiator.MERCHANT,
            "challenge",
            "previous",
            Channel.MOTO,
            False,
            ThreeDSecureState.NONE,
            0,
        ),
        account_id="acc_1",
        provider_reference="pi_1",
        authorized_minor=1_999,
        captured_minor=500,
        pending_capture_minor=100,
        refunded_minor=200,
        pending_refund_minor=50,
        capture_before_ns=T + 1_000_000_000,
        network_transaction_id="ntid",
        avs_result=AvsResult.MATCH,
        cvc_result=CvcResult.NO_MATCH,
        status=PaymentStatus.PARTIALLY_CAPTURED,
        decision=DecisionSummary(
            "dec_1",
            "acc_1",
            ["acc_1", "acc_2"],
            ["because"],
            "s1",
            4,
            T,
            ruleset_version=7,
            matched_rules=["german", "large"],
        ),
        operations=[
            operation(
                operation_id="att_0",
                account_id="acc_2",
                provider="adyen",
                state=OperationState.FAILED,
                decline=decline(DeclineCode.DO_NOT_HONOR, issuer_code="05", provider_code="x"),
            ),
            operation(provider_reference="pi_1"),
            operation(
                OperationKind.CAPTURE,
                operation_id="cap_1",
                amount_minor=500,
                final=True,
                provider_reference="ch_1",
                details=OperationDetails(merchant_reference="part-1"),
            ),
        ],
    )


def test_a_whole_payment_field_by_field() -> None:
    out = shown(whole_payment())
    unset = {field.name for field in out.DESCRIPTOR.fields} - {
        field.name for field, _ in out.ListFields()
    }
    assert unset == {"decline", "next_action", "processing_reason", "cancellation"}
    assert (out.payment_id, out.merchant_id, out.profile_id) == ("pay_1", "mer_1", "default")
    assert out.status == v1.PAYMENT_STATUS_PARTIALLY_CAPTURED
    assert (out.amount_minor, out.currency, out.version) == (1_999, "EUR", 3)
    assert (out.authorized_minor, out.captured_minor) == (1_999, 500)
    assert out.capturable_minor == 1_999 - 500 - 100
    assert (out.refunded_minor, out.refundable_minor) == (200, 500 - 200 - 50)
    assert out.mode == v1.MODE_LIVE
    assert out.initiator == v1.INITIATOR_MERCHANT
    assert out.created_at.ToNanoseconds() == T
    assert out.updated_at.ToNanoseconds() == T + 7
    assert out.capture_before.ToNanoseconds() == T + 1_000_000_000
    assert (out.avs_result, out.cvc_result) == (v1.AVS_RESULT_MATCH, v1.CVC_RESULT_NO_MATCH)
    assert (out.account_id, out.provider, out.provider_reference) == ("acc_1", "stripe", "pi_1")
    assert dict(out.metadata) == {"k": "v", "l": "w"}
    assert out.shipping_address.line1 == "ship" and out.billing_address.country == "DE"
    assert out.billing_address == v1.Address(
        line1="l1", line2="l2", city="city", state="state", postal_code="10115", country="DE",
        name="Ann", phone="+4930",
    )  # fmt: skip
    assert out.customer == v1.Customer(
        reference="cus-1",
        email="a@b.example",
        name="Ann",
        phone="+4930",
        ip_address="192.0.2.1",
    )
    card = out.payment_method.card
    assert (card.network, card.funding) == (v1.CARD_NETWORK_VISA, v1.CARD_FUNDING_CREDIT)
    assert (card.bin, card.last4, card.expiry_month, card.expiry_year, card.issuer_country) == (
        ("42424242", "4242", 12, 2030, "DE")
    )
    decision = out.decision
    assert list(decision.ranked_account_ids) == ["acc_1", "acc_2"]
    assert (decision.config_version, decision.decided_at.ToNanoseconds()) == (4, T)
    assert (decision.ruleset_version, list(decision.matched_rules)) == (7, ["german", "large"])
    assert (out.channel, out.three_ds) == (v1.CHANNEL_MOTO, v1.THREE_D_SECURE_STATE_NONE)
    assert (out.HasField("recurring"), out.recurring) == (True, False)
    assert (out.HasField("risk_score"), out.risk_score) == (True, 0)


def test_attempts_and_captures_in_order() -> None:
    out = shown(whole_payment())
    declined, authorized = out.attempts
    assert (declined.sequence, authorized.sequence) == (1, 2)
    assert declined.status == v1.ATTEMPT_STATUS_DECLINED
    assert declined.decline.code == v1.DECLINE_CODE_DO_NOT_HONOR
    assert (declined.decline.issuer_code, declined.decline.hard) == ("05", False)
    assert declined.decline.message and declined.decline.provider_code == "x"
    assert authorized.status == v1.ATTEMPT_STATUS_AUTHORIZED
    assert authorized.ended_at.ToNanoseconds() == T + 5
    (capture,) = out.captures
    assert (capture.capture_id, capture.status) == ("cap_1", v1.CAPTURE_STATUS_SUCCEEDED)
    assert (capture.amount_minor, capture.final_capture) == (500, True)
    assert (capture.merchant_reference, capture.provider_reference) == ("part-1", "ch_1")


@pytest.mark.parametrize("status", list(PaymentStatus))
def test_every_status_is_shown(status: PaymentStatus) -> None:
    name = v1.PaymentStatus.Name(shown(payment(status=status)).status)
    assert name == f"PAYMENT_STATUS_{status.name}"


@pytest.mark.parametrize("state", list(OperationState))
@pytest.mark.parametrize("kind", list(OperationKind))
def test_every_state_of_every_operation_is_shown(
    kind: OperationKind, state: OperationState
) -> None:
    refused = decline(DeclineCode.GENERIC)
    one = operation(kind, state=state, decline=refused)
    paid = payment(operations=[one], status=PaymentStatus.PROCESSING)
    out = shown(paid)
    told: list[Any] = [*out.attempts, *out.captures]
    if kind is OperationKind.CANCEL:
        told = [out.cancellation]
    if kind is OperationKind.REFUND:
        told = [v1.Refund.FromString(ENCODER.refund(paid, one))]
    (it,) = told
    assert it.status != 0
    why = "decline" if kind is OperationKind.AUTHORIZE else "failure"
    failed = state in {OperationState.FAILED, OperationState.NOT_PROCESSED}
    assert it.HasField(why) == failed


@pytest.mark.parametrize("code", list(DeclineCode))
def test_every_decline_is_shown(code: DeclineCode) -> None:
    out = shown(payment(status=PaymentStatus.FAILED, decline=decline(code))).decline
    assert v1.DeclineCode.Name(out.code) == f"DECLINE_CODE_{code.name}"
    assert out.message


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (DeclineCode.OUTCOME_REVERSED, v1.ATTEMPT_STATUS_REVERSED),
        (DeclineCode.PROVIDER_REJECTED, v1.ATTEMPT_STATUS_FAILED),
        (DeclineCode.INSUFFICIENT_FUNDS, v1.ATTEMPT_STATUS_DECLINED),
    ],
)
def test_a_failed_attempt_is_told_by_its_decline(code: DeclineCode, status: int) -> None:
    one = operation(state=OperationState.FAILED, decline=decline(code))
    assert shown(payment(operations=[one])).attempts[0].status == status


@pytest.mark.parametrize(
    ("states", "review", "reason"),
    [
        ([], False, v1.PROCESSING_REASON_IN_FLIGHT),
        (["sending"], False, v1.PROCESSING_REASON_IN_FLIGHT),
        (["failed", "pending"], False, v1.PROCESSING_REASON_AWAITING_PROVIDER),
        (["pending", "unknown"], False, v1.PROCESSING_REASON_OUTCOME_UNKNOWN),
        (["unknown", "needs_review"], False, v1.PROCESSING_REASON_UNDER_REVIEW),
        (["unknown"], True, v1.PROCESSING_REASON_UNDER_REVIEW),
    ],
)
def test_processing_says_what_it_waits_for(states: list[str], review: bool, reason: int) -> None:
    operations = [operation(state=OperationState(one)) for one in states]
    out = shown(
        payment(status=PaymentStatus.PROCESSING, operations=operations, needs_review=review)
    )
    assert out.processing_reason == reason
    calm = shown(payment(status=PaymentStatus.REQUIRES_CAPTURE, operations=operations))
    assert calm.processing_reason == 0


def test_a_next_action_is_a_redirect() -> None:
    action = NextAction("redirect", "https://acs.example", "POST", {"PaReq": "x"})
    out = shown(payment(status=PaymentStatus.REQUIRES_ACTION, next_action=action))
    redirect = out.next_action.redirect
    assert (redirect.url, redirect.method) == ("https://acs.example", v1.REDIRECT_METHOD_POST)
    assert dict(redirect.form_fields) == {"PaReq": "x"}
    assert not out.next_action.HasField("expires_at")
    action.expires_at_ns = 5_000_000_007
    out = shown(payment(status=PaymentStatus.REQUIRES_ACTION, next_action=action))
    assert out.next_action.expires_at.ToNanoseconds() == 5_000_000_007


def test_an_action_of_another_kind_is_there_without_a_redirect() -> None:
    waiting = payment(status=PaymentStatus.REQUIRES_ACTION, next_action=NextAction("voucher"))
    out = shown(waiting)
    assert out.HasField("next_action") and out.next_action.WhichOneof("action") is None


def test_what_was_never_taken_up_says_so() -> None:
    one = operation(state=OperationState.NOT_PROCESSED, reason="connect_failed")
    attempt = shown(payment(operations=[one])).attempts[0]
    assert attempt.status == v1.ATTEMPT_STATUS_FAILED
    assert attempt.decline.code == v1.DECLINE_CODE_PROVIDER_UNAVAILABLE
    assert attempt.decline.message.endswith("(connect_failed)")


def test_nothing_that_a_provider_says_stops_the_encoding() -> None:
    odd = "a\ud800\x00\U0001f600"
    refused = decline(
        DeclineCode.GENERIC,
        issuer_code=odd,
        advice_code=odd,
        provider_code=odd,
        provider_message=odd,
    )
    one = payment(
        provider_reference=odd,
        network_transaction_id=odd,
        decline=refused,
        cancellation_reason="a word of later",
        method=MethodView("a kind of later"),
        next_action=NextAction("redirect", f"https://{odd}", "PUT", {odd: odd}),
        operations=[
            operation(provider_reference=odd, state=OperationState.FAILED, decline=refused),
            operation(OperationKind.CAPTURE, provider_reference=odd),
            operation(OperationKind.CANCEL, details=OperationDetails(reason="a word of later")),
        ],
    )
    out = shown(one)
    assert out.decline.provider_message == "a?\x00\U0001f600"
    assert out.next_action.redirect.method == v1.REDIRECT_METHOD_UNSPECIFIED
    assert out.cancellation.reason == v1.CANCELLATION_REASON_UNSPECIFIED
    refund = operation(
        OperationKind.REFUND,
        provider_reference=odd,
        state=OperationState.NOT_PROCESSED,
        reason=odd,
        details=OperationDetails(reason="a word of later"),
    )
    assert v1.Refund.FromString(ENCODER.refund(one, refund)).failure.message


def test_a_cancel_of_what_no_provider_has_heard_of_is_shown() -> None:
    out = shown(payment(status=PaymentStatus.CANCELED)).cancellation
    assert out.status == v1.CANCELLATION_STATUS_SUCCEEDED
    assert out.reason == v1.CANCELLATION_REASON_UNSPECIFIED


def test_an_expiry_after_a_failed_cancel_is_the_one_that_counts() -> None:
    failed = operation(OperationKind.CANCEL, state=OperationState.FAILED)
    ended = payment(
        status=PaymentStatus.CANCELED, cancellation_reason="expired", operations=[failed]
    )
    out = shown(ended).cancellation
    assert out.status == v1.CANCELLATION_STATUS_SUCCEEDED
    assert out.reason == v1.CANCELLATION_REASON_EXPIRED


def test_the_last_cancel_counts_and_says_who_wanted_it() -> None:
    first = operation(OperationKind.CANCEL, operation_id="can_1", state=OperationState.FAILED)
    last = operation(
        OperationKind.CANCEL,
        operation_id="can_2",
        state=OperationState.PENDING,
        details=OperationDetails(reason="duplicate"),
    )
    out = shown(payment(operations=[operation(), first, last])).cancellation
    assert out.status == v1.CANCELLATION_STATUS_PENDING
    assert out.reason == v1.CANCELLATION_REASON_DUPLICATE
    assert out.amount_minor == 1_999


def test_an_expiry_shows_as_a_cancel_that_nobody_sent() -> None:
    ended = payment(
        status=PaymentStatus.CANCELED, cancellation_reason="expired", released_minor=1_999
    )
    out = shown(ended).cancellation
    assert out.status == v1.CANCELLATION_STATUS_SUCCEEDED
    assert out.reason == v1.CANCELLATION_REASON_EXPIRED
    assert out.amount_minor == 1_999


def test_what_is_not_there_is_absent() -> None:
    out = shown(payment(live=False))
    for name in (
        "payment_method", "decline", "next_action", "customer", "billing_address",
        "shipping_address", "capture_before", "cancellation", "decision",
    ):  # fmt: skip
        assert not out.HasField(name), name
    assert out.mode == v1.MODE_TEST


def test_a_refund_field_by_field() -> None:
    one = operation(
        OperationKind.REFUND,
        operation_id="ref_1",
        state=OperationState.FAILED,
        provider_reference="re_1",
        decline=decline(DeclineCode.GENERIC),
        details=OperationDetails("returned", "back-1", "a note", {"k": "v"}),
    )
    out = v1.Refund.FromString(ENCODER.refund(payment(version=9), one))
    assert {field.name for field in out.DESCRIPTOR.fields} == {
        field.name for field, _ in out.ListFields()
    }
    assert (out.refund_id, out.payment_id, out.status) == (
        ("ref_1", "pay_1", v1.REFUND_STATUS_FAILED)
    )
    assert (out.reason, out.merchant_reference) == (v1.REFUND_REASON_RETURNED, "back-1")
    assert (out.currency, out.amount_minor, out.version) == ("EUR", 1_999, 9)


def test_a_token_shows_no_more_than_a_payment_does() -> None:
    facts = CardFacts(Network.AMEX, "378282", "0005", 1, 2031, Funding.CHARGE, "US", "Bank")
    record = VaultRecord(
        "tok_1", "mer_1", "key_1", b"sealed-bytes", b"fingerprint-bytes", facts, "cus-1", True, T
    )
    raw = ENCODER.token(record)
    out = v1.Token.FromString(raw)
    assert (out.token_id, out.merchant_id, out.customer_reference) == ("tok_1", "mer_1", "cus-1")
    assert out.payment_method.token_id == "tok_1"
    assert out.payment_method.card.network == v1.CARD_NETWORK_AMEX
    assert (out.mode, out.created_at.ToNanoseconds()) == (v1.MODE_LIVE, T)
    assert b"sealed" not in raw and b"fingerprint" not in raw
