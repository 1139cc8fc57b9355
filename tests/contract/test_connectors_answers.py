"""Every example answer and webhook that the providers publish, read by the connectors.

None may crash a connector, and none may be taken for a result that it does not tell. References
in the examples are the providers' own, so by themselves they must all be mismatches; with ours
put in, they must mean what they say.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from tests.contract.connectors_descriptions import (
    adyen,
    adyen_webhooks,
    examples,
    folder,
    load,
    stripe,
)
from tests.unit.connectors_rig import (
    ATTEMPT,
    HMAC_KEY,
    INTENT,
    NOW_NS,
    STRIPE_SECRET,
    PlayedTransport,
    SteadyClock,
    adyen_account,
    answer,
    authorize,
    follow_up,
    inquiry,
    method,
    operation,
    stripe_account,
)
from turnout.connectors.adyen import AdyenConnector, webhooks
from turnout.connectors.adyen.answers import payment_outcome
from turnout.connectors.stripe import StripeConnector
from turnout.connectors.stripe.answers import charge_outcome, intent_outcome, refund_outcome
from turnout.domain.operation import OperationKind
from turnout.domain.outcomes import Outcome, OutcomeKind
from turnout.ports import WebhookRejected

FINAL = {OutcomeKind.SUCCEEDED, OutcomeKind.DECLINED}


def adyen_answers() -> Iterator[tuple[str, int, str, Any]]:
    """(path, status, example's name, body) of all examples of the Checkout API."""
    document = adyen().document
    for path, operations in document["paths"].items():
        for described in operations.values():
            for status, response in described["responses"].items():
                content = response.get("content", {}).get("application/json", {})
                for name, value in examples(content, document):
                    yield path, int(status), name, value


def adyen_authorize(status: int, body: Any) -> Outcome:
    connector = AdyenConnector(PlayedTransport(answer(status, body)), SteadyClock())
    return asyncio.run(connector.authorize(adyen_account(), authorize()))


def adyen_follow_up(status: int, body: Any, kind: OperationKind) -> Outcome:
    connector = AdyenConnector(PlayedTransport(answer(status, body)), SteadyClock())
    return asyncio.run(connector.follow_up(adyen_account(), follow_up(kind, "SOMEPSP")))


_RESULTS = {
    "Authorised": OutcomeKind.SUCCEEDED,
    "Refused": OutcomeKind.DECLINED,
    "Error": OutcomeKind.DECLINED,
    "Cancelled": OutcomeKind.DECLINED,
    "RedirectShopper": OutcomeKind.REQUIRES_ACTION,
    "IdentifyShopper": OutcomeKind.REQUIRES_ACTION,
    "ChallengeShopper": OutcomeKind.REQUIRES_ACTION,
    "Pending": OutcomeKind.PENDING,
    "PresentToShopper": OutcomeKind.PENDING,
    "Received": OutcomeKind.PENDING,
}


def test_adyens_example_payments_mean_what_they_say() -> None:
    read = 0
    for path, status, name, body in adyen_answers():
        if status != 200 or path not in ("/payments", "/payments/details"):
            continue
        code = body.get("resultCode")
        ours = {**body, "merchantReference": ATTEMPT}
        outcome = payment_outcome(ours, ATTEMPT)
        assert outcome.kind is _RESULTS.get(code, OutcomeKind.UNKNOWN), (path, name, code)
        if outcome.kind is OutcomeKind.REQUIRES_ACTION:
            assert outcome.next_action is not None and outcome.next_action.kind
        if body.get("merchantReference"):
            foreign = payment_outcome(body, ATTEMPT)
            assert (foreign.kind, foreign.reason) == (OutcomeKind.UNKNOWN, "reference_mismatch")
        read += 1
    assert read >= 5


@pytest.mark.parametrize("schema", ["PaymentResponse", "PaymentDetailsResponse"])
def test_every_result_code_that_the_description_lists_is_known_or_unknown(schema: str) -> None:
    described = adyen().document["components"]["schemas"][schema]["properties"]
    for code in [*described["resultCode"]["enum"], "AResultOfTomorrow"]:
        body = {"resultCode": code, "pspReference": "SOMEPSP", "merchantReference": ATTEMPT,
                "amount": {"value": 1234, "currency": "EUR"}}  # fmt: skip
        wanted = _RESULTS.get(code, OutcomeKind.UNKNOWN)
        if code == "PartiallyAuthorised":
            wanted = OutcomeKind.SUCCEEDED
        outcome = payment_outcome(body, ATTEMPT)
        assert outcome.kind is wanted, code
        assert outcome.reason or outcome.kind not in {OutcomeKind.UNKNOWN, OutcomeKind.PENDING}


def test_adyens_example_errors_never_say_that_money_moved() -> None:
    read = 0
    for path, status, name, body in adyen_answers():
        if status < 400:
            continue
        for outcome in (
            adyen_authorize(status, body),
            adyen_follow_up(status, body, OperationKind.CAPTURE),
        ):
            wanted = {
                400: OutcomeKind.DECLINED,
                401: OutcomeKind.NOT_PROCESSED,
                403: OutcomeKind.NOT_PROCESSED,
                422: OutcomeKind.DECLINED,
                500: OutcomeKind.UNKNOWN,
            }[status]
            assert outcome.kind is wanted, (path, status, name)
            assert outcome.account_fault is (status in (401, 403))
        read += 1
    assert read >= 20


def test_adyens_example_modifications_are_received() -> None:
    kinds = {
        "captures": OperationKind.CAPTURE,
        "cancels": OperationKind.CANCEL,
        "reversals": OperationKind.CANCEL,
        "refunds": OperationKind.REFUND,
    }
    read = 0
    for path, status, name, body in adyen_answers():
        last = path.rpartition("/")[2]
        if status != 201 or last not in kinds:
            continue
        kind = kinds[last]
        request = follow_up(kind, "SOMEPSP")
        ours = {
            **body,
            "reference": request.operation_id,
            **({"paymentPspReference": "SOMEPSP"} if "paymentPspReference" in body else {}),
            **({"paymentReference": "SOMEPSP"} if "paymentReference" in body else {}),
        }
        outcome = adyen_follow_up(status, ours, kind)
        assert outcome.kind is OutcomeKind.PENDING and outcome.provider_reference, (path, name)
        foreign = adyen_follow_up(status, body, kind)
        assert foreign.kind is OutcomeKind.UNKNOWN, (path, name)
        read += 1
    assert read >= 4


def test_every_example_of_adyens_under_every_status_is_read_without_a_crash() -> None:
    for _, _, _, body in adyen_answers():
        for status in (200, 201, 204, 302, 400, 401, 409, 422, 429, 500, 503):
            outcome = adyen_authorize(status, body)
            if status not in (200, 400, 422):
                assert outcome.kind not in FINAL
            adyen_follow_up(status, body, OperationKind.REFUND)


def _signed(notification: Any) -> tuple[Any, str]:
    """The notification with our key's signatures, and the merchant account it names."""
    copied = json.loads(json.dumps(notification))
    account = ""
    for wrapped in copied["notificationItems"]:
        item = wrapped["NotificationRequestItem"]
        account = item["merchantAccountCode"]
        digest = hmac.new(bytes.fromhex(HMAC_KEY), webhooks.signed_text(item), hashlib.sha256)
        item.setdefault("additionalData", {})["hmacSignature"] = base64.b64encode(
            digest.digest()
        ).decode()
    return copied, account


def test_adyens_example_webhooks_are_read() -> None:
    document = adyen_webhooks()
    read: dict[str, OperationKind | None] = {}
    for path, operations in document["webhooks"].items():
        content = operations["post"]["requestBody"]["content"]["application/json"]
        for name, value in examples(content, document):
            if "notificationItems" not in value:
                # Another kind of webhook, signed in its header: not one that we subscribe to.
                with pytest.raises(WebhookRejected):
                    webhooks.read(adyen_account(), orjson.dumps(value))
                continue
            signed, merchant_account = _signed(value)
            account = adyen_account(
                settings={"merchant_account": merchant_account}, live=value.get("live") == "true"
            )
            delivery = webhooks.read(account, orjson.dumps(signed))
            assert delivery.reply == b"[accepted]", (path, name)
            for event in delivery.events:
                assert event.event_id and event.event_type == path.lstrip("/")
                assert event.occurred_at_ns > 0
                assert event.outcome.amount_minor is None or event.outcome.currency
            read[path.lstrip("/")] = delivery.events[0].kind if delivery.events else None
    assert read["AUTHORISATION"] is OperationKind.AUTHORIZE
    assert read["CANCELLATION"] is OperationKind.CANCEL
    assert read["TECHNICAL_CANCEL"] is OperationKind.CANCEL
    assert read["REFUND"] is OperationKind.REFUND
    assert {code for code, kind in read.items() if kind is None} & {"CHARGEBACK", "ORDER_CLOSED"}
    assert len(read) >= 20


def test_every_event_code_that_the_description_lists_is_accepted() -> None:
    schemas = adyen_webhooks()["components"]["schemas"]
    codes = schemas["NotificationRequestItem"]["properties"]["eventCode"]["enum"]
    assert {"CAPTURE", "CAPTURE_FAILED", "REFUND_FAILED"} <= set(codes)
    assert set(webhooks._READINGS) <= set(codes) | {"TECHNICAL_CANCEL"}
    for code in codes:
        for success in ("true", "false"):
            item = {
                "eventCode": code,
                "success": success,
                "pspReference": "QFQTPCQ8HXSKGK82",
                "merchantAccountCode": "TestMerchantECOM",
                "merchantReference": ATTEMPT,
                "amount": {"value": 1234, "currency": "EUR"},
                "eventDate": "2021-01-01T01:00:00+01:00",
                "reason": "",
            }
            notification = {
                "live": "false",
                "notificationItems": [{"NotificationRequestItem": item}],
            }
            signed, _ = _signed(notification)
            webhooks.read(adyen_account(), orjson.dumps(signed))


# --- Stripe ----------------------------------------------------------------------------------


def stripe_fixtures() -> dict[str, Any]:
    found: dict[str, Any] = load(folder() / "stripe" / "fixtures3.json")["resources"]
    return found


def stripe_authorize(status: int, body: Any) -> Outcome:
    transport = PlayedTransport(answer(200, method()), answer(status, body))
    connector = StripeConnector(transport, SteadyClock())
    return asyncio.run(connector.authorize(stripe_account(), authorize()))


@pytest.mark.parametrize("status", [200, 201, 302, 400, 402, 404, 409, 429, 500])
def test_every_fixture_of_stripes_is_read_without_a_crash(status: int) -> None:
    for name, body in stripe_fixtures().items():
        outcome = stripe_authorize(status, body)
        # No fixture is about our payment.
        assert outcome.kind not in FINAL, (name, status)
        for kind in (OperationKind.CAPTURE, OperationKind.CANCEL, OperationKind.REFUND):
            connector = StripeConnector(PlayedTransport(answer(status, body)), SteadyClock())
            request = follow_up(kind, INTENT)
            followed = asyncio.run(connector.follow_up(stripe_account(), request))
            assert followed.kind not in FINAL, (name, status, kind)
        pages = [answer(status, body)] * 4
        connector = StripeConnector(PlayedTransport(*pages), SteadyClock())
        asked = inquiry(operation(), settled=False)
        looked = asyncio.run(connector.inquire(stripe_account(), asked))
        assert looked.kind is OutcomeKind.UNKNOWN, (name, status)


def test_stripes_fixtures_with_our_mark_mean_what_they_say() -> None:
    fixtures = stripe_fixtures()
    mark = {"metadata": {"turnout_operation": ATTEMPT}}
    intent = {**fixtures["payment_intent"], **mark}
    for status, wanted in (
        ("succeeded", OutcomeKind.SUCCEEDED),
        ("requires_action", OutcomeKind.REQUIRES_ACTION),
        ("processing", OutcomeKind.PENDING),
        ("requires_payment_method", OutcomeKind.UNKNOWN),
        ("requires_confirmation", OutcomeKind.UNKNOWN),
        ("canceled", OutcomeKind.DECLINED),
    ):
        outcome = intent_outcome({**intent, "status": status}, ATTEMPT, False, manual=False)
        assert outcome.kind is wanted, status
    described = stripe().document["components"]["schemas"]["payment_intent"]["properties"]
    for status in described["status"]["enum"]:
        intent_outcome({**intent, "status": status}, ATTEMPT, False, manual=None)
    for reason in described["cancellation_reason"]["enum"]:
        gone = {**intent, "status": "canceled", "cancellation_reason": reason}
        assert intent_outcome(gone, ATTEMPT, False, manual=False).kind is OutcomeKind.DECLINED
    for capture in described["capture_method"]["enum"]:
        taken = {**intent, "status": "succeeded", "capture_method": capture}
        for manual in (False, True):
            outcome = intent_outcome(taken, ATTEMPT, False, manual=manual)
            fits = manual is (capture == "manual")
            assert outcome.kind is (OutcomeKind.SUCCEEDED if fits else OutcomeKind.UNKNOWN)
    refund = {**fixtures["refund"], **mark}
    assert refund_outcome(refund, ATTEMPT).kind is OutcomeKind.SUCCEEDED
    for status, wanted in (
        ("pending", OutcomeKind.PENDING),
        ("requires_action", OutcomeKind.PENDING),
        ("failed", OutcomeKind.DECLINED),
        ("canceled", OutcomeKind.DECLINED),
        ("musing", OutcomeKind.UNKNOWN),
        ("", OutcomeKind.UNKNOWN),
    ):
        assert refund_outcome({**refund, "status": status}, ATTEMPT).kind is wanted, status
    assert charge_outcome(fixtures["charge"], INTENT).kind is OutcomeKind.SUCCEEDED


def test_stripes_fixtures_as_events_are_read() -> None:
    connector = StripeConnector(PlayedTransport(), SteadyClock())
    fixtures = stripe_fixtures()
    kinds = ["payment_intent", "charge", "refund", "charge.refund", "dispute"]
    verbs = ["succeeded", "updated", "failed", "captured", "canceled", "refunded", "expired"]
    for subject in fixtures.values():
        for kind in kinds:
            for verb in verbs:
                event = {
                    **fixtures["event"], "type": f"{kind}.{verb}", "data": {"object": subject}
                }  # fmt: skip
                body = orjson.dumps(event)
                signed = f"{NOW_NS // 1_000_000_000}.".encode() + body
                signature = hmac.new(STRIPE_SECRET.encode(), signed, hashlib.sha256).hexdigest()
                header = f"t={NOW_NS // 1_000_000_000},v1={signature}"
                delivery = connector.read_webhook(
                    stripe_account(), {"stripe-signature": header}, body, NOW_NS
                )
                # Nothing in the fixtures is ours.
                assert delivery.events == []
