"""Stripe's notifications: whom to believe, and what they say of our operations."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import orjson
import pytest

from tests.unit.connectors_rig import (
    ATTEMPT,
    CHARGE,
    INTENT,
    NOW_NS,
    STRIPE_SECRET,
    PlayedTransport,
    SteadyClock,
    card_error,
    intent,
    stripe_account,
)
from turnout.connectors.stripe import StripeConnector
from turnout.domain.accounts import Account, Secret
from turnout.domain.declines import DeclineCode
from turnout.domain.operation import OperationKind
from turnout.domain.outcomes import OutcomeKind
from turnout.ports import WebhookDelivery, WebhookRejected

K = OperationKind


def signed(event: dict[str, Any], *secrets: str, at_s: int = NOW_NS // 1_000_000_000) -> Any:
    body = orjson.dumps(event)
    made = [
        hmac.new(secret.encode(), f"{at_s}.".encode() + body, hashlib.sha256).hexdigest()
        for secret in secrets
    ]
    header = ",".join([f"t={at_s}", *(f"v1={one}" for one in made), "v0=ignored"])
    return {"stripe-signature": header}, body


def event(kind: str, subject: Any, **changes: Any) -> dict[str, Any]:
    return {
        "id": "evt_1", "object": "event", "type": kind, "created": 1_789_999_000,
        "livemode": False, "data": {"object": subject}, **changes,
    }  # fmt: skip


def read(account: Account, headers: Any, body: bytes) -> WebhookDelivery:
    connector = StripeConnector(PlayedTransport(), SteadyClock())
    return connector.read_webhook(account, headers, body, NOW_NS)


def test_either_of_two_secrets_and_any_of_several_signatures_will_do() -> None:
    account = stripe_account(webhook_secrets=(Secret("whsec_new"), Secret("whsec_old")))
    for secrets in (("whsec_new",), ("whsec_old",), ("whsec_gone", "whsec_old")):
        headers, body = signed(event("payment_intent.succeeded", intent()), *secrets)
        assert len(read(account, headers, body).events) == 1


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "signature_missing"),
        ({"stripe-signature": "t=1"}, "signature_missing"),
        ({"stripe-signature": "v1=abc"}, "signature_missing"),
        ({"stripe-signature": "t=soon,v1=abc"}, "signature_missing"),
        ({"stripe-signature": "t=1789999999,v1=é"}, "signature_wrong"),
        ({"stripe-signature": "t=1789999999,v1=\udcff"}, "signature_wrong"),
    ],
)
def test_unsigned_notifications_are_refused(headers: dict[str, str], reason: str) -> None:
    with pytest.raises(WebhookRejected) as raised:
        read(stripe_account(), headers, b"{}")
    assert raised.value.reason == reason


@pytest.mark.parametrize(
    ("age_s", "fresh"), [(300, True), (301, False), (-300, True), (-301, False)]
)
def test_old_and_early_notifications_are_refused(age_s: int, fresh: bool) -> None:
    at_s = NOW_NS // 1_000_000_000 - age_s
    headers, body = signed(event("payment_intent.succeeded", intent()), STRIPE_SECRET, at_s=at_s)
    if fresh:
        assert read(stripe_account(), headers, body).events
    else:
        with pytest.raises(WebhookRejected) as raised:
            read(stripe_account(), headers, body)
        assert raised.value.reason == "stale"


def test_the_other_mode_and_a_missing_secret_are_refused() -> None:
    headers, body = signed(event("payment_intent.succeeded", intent()), STRIPE_SECRET)
    with pytest.raises(WebhookRejected) as raised:
        read(stripe_account(live=True), headers, body)
    assert raised.value.reason == "wrong_mode"
    with pytest.raises(WebhookRejected) as raised:
        read(stripe_account(webhook_secrets=()), headers, body)
    assert raised.value.reason == "secret_missing"


def charge(**changes: Any) -> dict[str, Any]:
    return {
        "id": CHARGE, "object": "charge", "amount": 1234, "currency": "eur", "paid": True,
        "status": "succeeded", "payment_intent": INTENT, "captured": False,
        "metadata": {"turnout_operation": ATTEMPT}, **changes,
    }  # fmt: skip


def refund(status: str = "succeeded") -> dict[str, Any]:
    return {
        "id": "re_1", "object": "refund", "amount": 500, "currency": "eur", "status": status,
        "payment_intent": INTENT, "metadata": {"turnout_operation": "ref_1"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "subject", "operation_kind", "outcome", "reverses"),
    [
        ("payment_intent.amount_capturable_updated", intent(), K.AUTHORIZE, "succeeded", False),
        ("payment_intent.succeeded", intent("succeeded", capture_method="automatic"),
         K.AUTHORIZE, "succeeded", False),
        ("payment_intent.succeeded", intent("succeeded", capture_method="automatic_async"),
         K.AUTHORIZE, "succeeded", False),
        ("payment_intent.succeeded", intent("succeeded"), K.CAPTURE, "succeeded", False),
        ("payment_intent.requires_action", intent("requires_action"), K.AUTHORIZE,
         "requires_action", False),
        ("payment_intent.processing", intent("processing"), K.AUTHORIZE, "pending", False),
        ("payment_intent.payment_failed",
         intent("requires_payment_method", last_payment_error=card_error()["error"]),
         K.AUTHORIZE, "declined", False),
        ("payment_intent.canceled", intent("canceled"), K.CANCEL, "succeeded", False),
        ("charge.succeeded", charge(), K.AUTHORIZE, "succeeded", False),
        ("charge.pending", charge(status="pending"), K.AUTHORIZE, "pending", False),
        ("charge.failed",
         charge(status="failed", paid=False, failure_code="card_declined",
                outcome={"reason": "insufficient_funds"}), K.AUTHORIZE, "declined", False),
        ("charge.captured", charge(captured=True, amount_captured=700), K.CAPTURE, "succeeded",
         False),
        ("charge.expired", charge(), K.CANCEL, "succeeded", False),
        ("charge.refund.updated", refund("failed"), K.REFUND, "declined", True),
        ("refund.failed", refund("failed"), K.REFUND, "declined", True),
        ("refund.updated", refund("pending"), K.REFUND, "pending", False),
        ("refund.created", refund(), K.REFUND, "succeeded", False),
    ],
)  # fmt: skip
def test_events_say_what_they_say(
    kind: str, subject: Any, operation_kind: OperationKind, outcome: str, reverses: bool
) -> None:
    headers, body = signed(event(kind, subject), STRIPE_SECRET)
    delivery = read(stripe_account(), headers, body)
    (told,) = delivery.events
    assert (told.kind, told.outcome.kind.value) == (operation_kind, outcome)
    assert (told.event_id, told.event_type, told.reverses) == ("evt_1", kind, reverses)
    assert told.payment_reference == INTENT
    assert told.occurred_at_ns == 1_789_999_000_000_000_000
    if told.outcome.kind is OutcomeKind.DECLINED and told.kind is K.AUTHORIZE:
        assert told.outcome.decline is not None
        assert told.outcome.decline.code is DeclineCode.INSUFFICIENT_FUNDS


def test_a_refunded_charge_tells_of_our_refunds_only() -> None:
    foreign = {**refund(), "id": "re_2", "metadata": {}}
    subject = charge(refunds={"data": [refund(), foreign, "odd"]})
    headers, body = signed(event("charge.refunded", subject), STRIPE_SECRET)
    (told,) = read(stripe_account(), headers, body).events
    assert (told.event_id, told.operation_reference) == ("evt_1:re_1", "ref_1")


@pytest.mark.parametrize(
    ("kind", "subject"),
    [
        ("customer.created", {"id": "cus_1", "object": "customer"}),
        ("payment_intent.created", intent("requires_confirmation")),
        ("payment_intent.succeeded", intent("succeeded", metadata={})),
        ("charge.succeeded", charge(metadata={})),
        # Other versions of the API, and what does not fit its own event.
        ("payment_intent.requires_action", intent("requires_source_action")),
        ("payment_intent.canceled", intent("requires_capture")),
        ("charge.captured", charge(captured=True)),
        ("charge.captured", charge(captured=True, amount_captured="700")),
        ("charge.expired", charge(captured=True)),
        ("refund.updated", {**refund(), "status": None}),
        ("charge.dispute.created", {"object": "dispute"}),
        ("something.new", None),
    ],
)
def test_events_of_other_things_are_accepted_and_say_nothing(kind: str, subject: Any) -> None:
    headers, body = signed(event(kind, subject), STRIPE_SECRET)
    assert read(stripe_account(), headers, body).events == []


def test_a_status_of_tomorrow_is_told_and_changes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    headers, body = signed(event("payment_intent.processing", intent("musing")), STRIPE_SECRET)
    assert read(stripe_account(), headers, body).events == []
    assert f"processing of {ATTEMPT} is not understood (unexpected_status)" in caplog.text


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        ({"type": "issuer_declined", "reason": "generic_decline"}, DeclineCode.GENERIC),
        ({"type": "blocked", "reason": "highest_risk_level"}, DeclineCode.BLOCKED_BY_RULE),
        ({"type": "blocked", "reason": "rule"}, DeclineCode.BLOCKED_BY_RULE),
        ({"type": "blocked", "reason": None}, DeclineCode.BLOCKED_BY_RULE),
        ({"type": "manual_review", "reason": "elevated_risk_level"}, DeclineCode.BLOCKED_BY_RULE),
        (None, DeclineCode.GENERIC),
    ],
)
def test_a_failed_charge_says_who_declined(outcome: Any, code: DeclineCode) -> None:
    failed = charge(status="failed", paid=False, failure_code="card_declined", outcome=outcome)
    headers, body = signed(event("charge.failed", failed), STRIPE_SECRET)
    (told,) = read(stripe_account(), headers, body).events
    assert told.outcome.decline is not None
    assert told.outcome.decline.code is code
    assert told.outcome.decline.soft is (code is DeclineCode.GENERIC)


@pytest.mark.parametrize("version", ["2018-02-06", "2022-08-01", "2025-03-31.basil", None])
def test_an_event_is_read_whatever_version_wrote_it(version: str | None) -> None:
    subject = intent("succeeded", capture_method="automatic", latest_charge=None)
    headers, body = signed(
        event("payment_intent.succeeded", subject, api_version=version), STRIPE_SECRET
    )
    (told,) = read(stripe_account(), headers, body).events
    assert (told.kind, told.outcome.amount_minor) == (K.AUTHORIZE, 1234)
