"""Adyen's notifications: whom to believe, and what they say of our operations."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import orjson
import pytest

from tests.unit.connectors_rig import (
    ATTEMPT,
    CANCEL,
    CAPTURE,
    HMAC_KEY,
    MODIFICATION_PSP,
    NOW_NS,
    PSP,
    REFUND,
    PlayedTransport,
    SteadyClock,
    adyen_account,
)
from turnout.connectors.adyen import AdyenConnector
from turnout.domain.accounts import Account, Secret
from turnout.domain.declines import DeclineCode
from turnout.domain.operation import OperationKind
from turnout.domain.outcomes import OutcomeKind, ProviderEvent
from turnout.ports import WebhookRejected

K = OperationKind


def item(code: str, success: str = "true", **changes: Any) -> dict[str, Any]:
    return {
        "eventCode": code,
        "success": success,
        "pspReference": MODIFICATION_PSP,
        "originalReference": PSP,
        "merchantAccountCode": "TestMerchantECOM",
        "merchantReference": ATTEMPT,
        "amount": {"value": 1234, "currency": "EUR"},
        "eventDate": "2026-09-21T12:26:40+02:00",
        "reason": "",
        **changes,
    }


def sign(one: dict[str, Any], key: str = HMAC_KEY) -> dict[str, Any]:
    """Signed here by hand, as the documentation says it."""
    signed = ":".join(
        [
            one["pspReference"],
            one.get("originalReference", ""),
            one["merchantAccountCode"],
            one["merchantReference"],
            str(one["amount"]["value"]),
            one["amount"]["currency"],
            one["eventCode"],
            one["success"],
        ]
    )
    digest = hmac.new(bytes.fromhex(key), signed.encode(), hashlib.sha256).digest()
    data = {**one.get("additionalData", {}), "hmacSignature": base64.b64encode(digest).decode()}
    return {**one, "additionalData": data}


def notification(*items: dict[str, Any], live: str = "false") -> bytes:
    wrapped = [{"NotificationRequestItem": one} for one in items]
    return orjson.dumps({"live": live, "notificationItems": wrapped})


def read(body: bytes, account: Account | None = None) -> list[ProviderEvent]:
    connector = AdyenConnector(PlayedTransport(), SteadyClock())
    delivery = connector.read_webhook(account or adyen_account(), {}, body, NOW_NS)
    assert (delivery.reply, delivery.reply_content_type) == (b"[accepted]", "text/plain")
    return delivery.events


def test_the_documented_signature_is_the_one_that_is_checked() -> None:
    """The example of Adyen's own documentation: key, item and signature."""
    documented = {
        "additionalData": {"hmacSignature": "coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0="},
        "amount": {"value": 1130, "currency": "EUR"},
        "pspReference": "7914073381342284",
        "eventCode": "AUTHORISATION",
        "eventDate": "2019-05-06T17:15:34.121+02:00",
        "merchantAccountCode": "TestMerchant",
        "operations": ["CANCEL", "CAPTURE", "REFUND"],
        "merchantReference": "TestPayment-1407325143704",
        "paymentMethod": "visa",
        "success": "true",
    }
    account = adyen_account(settings={"merchant_account": "TestMerchant"})
    (event,) = read(notification(documented), account)
    assert event.outcome.amount_minor == 1130


@pytest.mark.parametrize(
    ("code", "changes", "kind", "outcome", "reverses"),
    [
        ("AUTHORISATION", {"pspReference": PSP, "originalReference": ""}, K.AUTHORIZE,
         "succeeded", False),
        ("CAPTURE", {"merchantReference": CAPTURE}, K.CAPTURE, "succeeded", False),
        ("CAPTURE_FAILED", {}, K.CAPTURE, "declined", True),
        ("CANCELLATION", {"merchantReference": CANCEL}, K.CANCEL, "succeeded", False),
        ("TECHNICAL_CANCEL", {}, K.CANCEL, "succeeded", False),
        ("CANCEL_OR_REFUND", {"merchantReference": CANCEL}, K.CANCEL, "succeeded", False),
        ("CANCEL_OR_REFUND", {"additionalData": {"modification.action": "refund"}}, K.REFUND,
         "succeeded", False),
        ("CANCEL_OR_REFUND", {"additionalData": {"modification.action": "cancel"}}, K.CANCEL,
         "succeeded", False),
        ("REFUND", {"merchantReference": REFUND}, K.REFUND, "succeeded", False),
        ("REFUND_FAILED", {}, K.REFUND, "declined", True),
        ("REFUNDED_REVERSED", {}, K.REFUND, "declined", True),
        ("POSTPONED_REFUND", {}, K.REFUND, "pending", False),
        ("EXPIRE", {"pspReference": PSP, "originalReference": ""}, K.CANCEL, "succeeded", False),
    ],
)  # fmt: skip
def test_events_say_what_they_say(
    code: str, changes: Any, kind: OperationKind, outcome: str, reverses: bool
) -> None:
    (event,) = read(notification(sign(item(code, **changes))))
    assert (event.kind, event.outcome.kind.value, event.reverses) == (kind, outcome, reverses)
    assert event.event_type == code
    assert event.payment_reference == PSP
    assert event.operation_reference == changes.get("merchantReference", ATTEMPT)
    assert event.occurred_at_ns == 1_789_986_400_000_000_000
    assert (event.outcome.amount_minor is None) is (kind is K.CANCEL)


@pytest.mark.parametrize("code", ["CAPTURE", "CANCELLATION", "TECHNICAL_CANCEL", "REFUND"])
def test_a_failed_modification_is_no_success_taken_back(code: str) -> None:
    (event,) = read(notification(sign(item(code, "false", reason="Insufficient balance"))))
    assert event.outcome.kind is OutcomeKind.DECLINED and not event.reverses
    assert event.outcome.reason == ""
    assert event.outcome.decline is not None
    assert event.outcome.decline.provider_message == "Insufficient balance"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"originalReference": "", "reason": "Original payment not found"},
         "authorization_not_found"),
        ({"originalReference": "", "reason": "Already captured"}, ""),
        ({"reason": "Original payment not found"}, ""),
    ],
)  # fmt: skip
def test_nothing_to_take_back_is_told_apart(changes: Any, reason: str) -> None:
    (event,) = read(notification(sign(item("TECHNICAL_CANCEL", "false", **changes))))
    assert event.outcome.kind is OutcomeKind.DECLINED
    assert event.outcome.reason == reason


def test_a_refusal_by_webhook_is_read_by_its_words() -> None:
    refused = item(
        "AUTHORISATION", "false", pspReference=PSP, originalReference="",
        reason="Not enough balance", additionalData={"refusalReasonRaw": "51 : No funds"},
    )  # fmt: skip
    (event,) = read(notification(sign(refused)))
    decline = event.outcome.decline
    assert decline is not None
    assert (decline.code, decline.provider_code, decline.issuer_code) == (
        DeclineCode.INSUFFICIENT_FUNDS, "12", "51",
    )  # fmt: skip


@pytest.mark.parametrize("code", ["CHARGEBACK", "REPORT_AVAILABLE", "SOMETHING_NEW", ""])
def test_events_of_other_things_are_accepted_and_say_nothing(code: str) -> None:
    assert read(notification(sign(item(code)))) == []


def test_a_failure_that_did_not_happen_says_nothing() -> None:
    for code in ("CAPTURE_FAILED", "REFUND_FAILED", "EXPIRE", "OFFER_CLOSED"):
        assert read(notification(sign(item(code, "false")))) == []


@pytest.mark.parametrize("success", ["", "TRUE", "pending", "null"])
@pytest.mark.parametrize("code", ["AUTHORISATION", "CAPTURE", "REFUND", "CANCELLATION"])
def test_only_a_plain_no_is_a_refusal(
    code: str, success: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert read(notification(sign(item(code, success)))) == []
    assert f"{code} of {ATTEMPT} is not understood (unexpected_success)" in caplog.text


@pytest.mark.parametrize("action", [None, "", "something_new", 7])
def test_a_hold_is_released_only_where_that_is_said(action: Any) -> None:
    told = item("CANCEL_OR_REFUND", additionalData={"modification.action": action})
    assert read(notification(sign(told))) == []


@pytest.mark.parametrize("date", ["", "soon", "2026-09-21T12:26:40", "9999-12-31T23:59:59+00:00"])
def test_a_time_that_cannot_be_kept_is_none(date: str) -> None:
    (event,) = read(notification(sign(item("CAPTURE", eventDate=date))))
    assert event.occurred_at_ns == 0


def test_several_items_are_read_and_one_bad_one_refuses_all() -> None:
    good = [sign(item("CAPTURE")), sign(item("REFUND"))]
    assert [event.kind for event in read(notification(*good))] == [K.CAPTURE, K.REFUND]
    ids = {event.event_id for event in read(notification(*good, sign(item("CAPTURE", "false"))))}
    assert len(ids) == 3
    with pytest.raises(WebhookRejected):
        read(notification(*good, item("CAPTURE")))


def test_either_of_two_keys_will_do() -> None:
    other = "11" * 32
    account = adyen_account(webhook_secrets=(Secret(other), Secret(HMAC_KEY)))
    for key in (other, HMAC_KEY):
        assert len(read(notification(sign(item("CAPTURE"), key)), account)) == 1


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"not json", "not_json"),
        (b"[]", "not_a_notification"),
        (b"{}", "not_a_notification"),
        (notification(), "not_a_notification"),
        (notification(item("CAPTURE")), "signature_missing"),
        (notification(sign(item("CAPTURE"), "22" * 32)), "signature_wrong"),
        (notification({**sign(item("CAPTURE")), "success": "false"}), "signature_wrong"),
        (notification({**sign(item("CAPTURE")), "amount": {"value": 1, "currency": "EUR"}}),
         "signature_wrong"),
        (notification({**item("CAPTURE"), "additionalData": {"hmacSignature": "%%"}}),
         "signature_wrong"),
        (notification(sign(item("CAPTURE", merchantAccountCode="Other"))), "wrong_account"),
        (notification(sign(item("CAPTURE")), live="true"), "wrong_mode"),
        (orjson.dumps({"live": "false", "notificationItems": [{"Other": {}}]}),
         "not_a_notification"),
    ],
)  # fmt: skip
def test_what_must_not_be_believed_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(WebhookRejected) as raised:
        read(body)
    assert raised.value.reason == reason


def test_a_malformed_key_is_told_without_showing_it() -> None:
    account = adyen_account(webhook_secrets=(Secret("not-hex-key"),))
    with pytest.raises(WebhookRejected) as raised:
        read(notification(sign(item("CAPTURE"))), account)
    assert raised.value.reason == "secret_malformed"
    assert "not-hex-key" not in str(raised.value) and raised.value.__cause__ is None


def test_an_amount_that_cannot_be_read_tells_nothing() -> None:
    odd = item("CAPTURE", amount={"value": 1234, "currency": "ISK"})
    assert read(notification(sign(odd))) == []
