"""Answers that disagree with what was asked, or with themselves."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.unit.connectors_rig import (
    ATTEMPT,
    CAPTURE,
    INTENT,
    MODIFICATION_PSP,
    PSP,
    PlayedTransport,
    SteadyClock,
    adyen_account,
    answer,
    authorize,
    card_error,
    follow_up,
    inquiry,
    method,
    operation,
    stripe_account,
)
from turnout.connectors.adyen import AdyenConnector
from turnout.connectors.stripe import StripeConnector
from turnout.domain.operation import OperationKind
from turnout.ports import HttpRequest, HttpResponse

EUR = {"value": 1234, "currency": "EUR"}


def approved(value: str, currency: str = "EUR") -> dict[str, str]:
    return {"authorisedAmountValue": value, "authorisedAmountCurrency": currency}


@pytest.mark.parametrize(
    ("changes", "kind", "reason", "amount_minor"),
    [
        ({}, "succeeded", "", None),
        ({"amount": EUR}, "succeeded", "", 1234),
        ({"amount": {"value": 1000, "currency": "EUR"}}, "succeeded", "", 1000),
        ({"amount": None}, "succeeded", "", None),
        ({"amount": "12.34 EUR"}, "unknown", "amount_unreadable", None),
        ({"amount": []}, "unknown", "amount_unreadable", None),
        ({"amount": {}}, "unknown", "amount_unreadable", None),
        ({"additionalData": approved("700")}, "succeeded", "", 700),
        ({"additionalData": approved("1234"), "amount": EUR}, "succeeded", "", 1234),
        ({"additionalData": approved("700"), "amount": EUR}, "unknown", "amount_contradiction",
         None),
        ({"additionalData": approved("1234", "USD"), "amount": EUR}, "unknown",
         "amount_contradiction", None),
        ({"additionalData": approved("12.34"), "amount": EUR}, "succeeded", "", 1234),
        ({"resultCode": "PartiallyAuthorised", "additionalData": approved("700"), "amount": EUR},
         "succeeded", "", 700),
        ({"resultCode": "PartiallyAuthorised"}, "unknown", "amount_unreadable", None),
    ],
)  # fmt: skip
async def test_the_amount_that_is_held_is_the_one_that_is_told(
    changes: Any, kind: str, reason: str, amount_minor: int | None
) -> None:
    body = {
        "resultCode": "Authorised", "pspReference": PSP, "merchantReference": ATTEMPT, **changes
    }  # fmt: skip
    connector = AdyenConnector(PlayedTransport(answer(200, body)), SteadyClock())
    outcome = await connector.authorize(adyen_account(), authorize())
    assert (outcome.kind.value, outcome.reason) == (kind, reason)
    assert outcome.provider_reference == PSP
    if kind == "succeeded":
        assert outcome.amount_minor == amount_minor


@pytest.mark.parametrize(
    ("result_code", "changes", "kind"),
    [
        ("Authorised", {"merchantReference": 7}, "unknown"),
        ("Authorised", {"merchantReference": None}, "succeeded"),
        ("Authorised", {"additionalData": {"merchantReference": ATTEMPT}}, "succeeded"),
        ("Authorised", {"additionalData": {"merchantReference": "att_other"}}, "unknown"),
        ("Refused", {"additionalData": {"merchantReference": "att_other"}}, "unknown"),
        ("Pending", {"additionalData": {"merchantReference": "att_other"}}, "unknown"),
        # It settles nothing; what follows it must name the payment.
        ("RedirectShopper", {"additionalData": {"merchantReference": "att_other"}},
         "requires_action"),
        ("RedirectShopper", {"merchantReference": "att_other"}, "unknown"),
    ],
)  # fmt: skip
async def test_a_payment_of_another_name_is_not_ours(
    result_code: str, changes: Any, kind: str
) -> None:
    body = {"resultCode": result_code, "pspReference": PSP, **changes}
    connector = AdyenConnector(PlayedTransport(answer(200, body)), SteadyClock())
    outcome = await connector.authorize(adyen_account(), authorize())
    assert outcome.kind.value == kind
    assert kind != "unknown" or outcome.reason == "reference_mismatch"


@pytest.mark.parametrize("amount", ["12.34", [], {}, {"value": "1234", "currency": "EUR"}])
async def test_a_modification_of_an_amount_that_cannot_be_read_is_unknown(amount: Any) -> None:
    body = {
        "status": "received", "pspReference": MODIFICATION_PSP, "reference": CAPTURE,
        "paymentPspReference": PSP, "amount": amount,
    }  # fmt: skip
    connector = AdyenConnector(PlayedTransport(answer(201, body)), SteadyClock())
    outcome = await connector.follow_up(adyen_account(), follow_up(OperationKind.CAPTURE, PSP))
    assert (outcome.kind.value, outcome.reason) == ("unknown", "amount_unreadable")


@pytest.mark.parametrize(
    ("changes", "known", "kind"),
    [
        ({"merchantReference": ATTEMPT}, "", "succeeded"),
        ({"merchantReference": ATTEMPT}, "OTHERPSP", "succeeded"),
        ({"additionalData": {"merchantReference": ATTEMPT}}, "", "succeeded"),
        ({"merchantReference": "att_other"}, PSP, "unknown"),
        ({"additionalData": {"merchantReference": "att_other"}}, PSP, "unknown"),
        # It names nothing but the payment that our redirect belongs to.
        ({}, PSP, "succeeded"),
        ({}, "OTHERPSP", "unknown"),
        ({}, "", "unknown"),
        ({"resultCode": "Refused", "refusalReasonCode": "11"}, PSP, "declined"),
    ],
)
async def test_what_a_payer_brought_back_must_be_of_our_payment(
    changes: Any, known: str, kind: str
) -> None:
    body = {"resultCode": "Authorised", "pspReference": PSP, **changes}
    connector = AdyenConnector(PlayedTransport(answer(200, body)), SteadyClock())
    asked = inquiry(
        operation(provider_reference=known), settled=False, parameters={"redirectResult": "x"}
    )
    outcome = await connector.inquire(adyen_account(), asked)
    assert outcome.kind.value == kind
    assert kind != "unknown" or outcome.reason == "reference_mismatch"


async def test_what_adyen_calls_transient_is_no_refusal_though_nothing_is_sent_again() -> None:
    error = {"status": 422, "errorCode": "101", "errorType": "validation", "message": "busy"}
    busy = answer(422, error, {"transient-error": "true"})
    clock = SteadyClock()

    def late(request: HttpRequest) -> HttpResponse:
        clock.now += 9_900_000_000
        return busy

    connector = AdyenConnector(PlayedTransport(late), clock)
    outcome = await connector.authorize(adyen_account(), authorize())
    assert (outcome.kind.value, outcome.reason) == ("unknown", "in_progress")


@pytest.mark.parametrize(
    "twice",
    [
        b'"resultCode":"Authorised","resultCode":"Refused"',
        b'"resultCode":"Refused","refusalReasonCode":"2","refusalReasonCode":"5"',
        b'"resultCode":"Refused","additionalData":{"a":{"b":1,"b":2}}',
        b'"resultCode":"Refused","additionalData":[{"a":1,"a":2}]',
        b'"resultCode" : "Authorised", "resultCode" : "Refused"',
        # Deeper than what is sure can look.
        b'"resultCode" :"Refused","additionalData":' + b"[" * 1_000 + b"]" * 1_000,
    ],
)
async def test_a_refusal_that_says_a_thing_twice_is_none(twice: bytes) -> None:
    body = b'{"pspReference":"%b",%b}' % (PSP.encode(), twice)
    connector = AdyenConnector(PlayedTransport(answer(200, body)), SteadyClock())
    outcome = await connector.authorize(adyen_account(), authorize())
    assert (outcome.kind.value, outcome.reason) == ("unknown", "garbage")


@pytest.mark.parametrize(
    "once",
    [
        b'"resultCode":"Refused","refusalReason":"it is called \\"x\\":, \\\\\\":"',
        b'"resultCode" : "Refused" ,\n"refusalReasonCode"\t: "2"',
        b'"resultCode":"Refused","a\\\\":1,"additionalData":{"resultCode":[{"resultCode":{}}]}',
    ],
)
async def test_a_refusal_that_says_each_thing_once_is_one(once: bytes) -> None:
    body = b'{"pspReference":"%b",%b}' % (PSP.encode(), once)
    connector = AdyenConnector(PlayedTransport(answer(200, body)), SteadyClock())
    outcome = await connector.authorize(adyen_account(), authorize())
    assert outcome.kind.value == "declined"


async def test_a_refusal_by_stripe_that_says_a_thing_twice_is_none() -> None:
    told = orjson.dumps(card_error())
    twice = told[:-1] + b',"error":' + told[9:]
    assert orjson.loads(twice) == orjson.loads(told)
    made = answer(200, method())
    for script, kind in (
        ([made, answer(402, told)], "declined"),
        ([made, answer(402, twice)], "unknown"),
        ([answer(402, told)], "declined"),
        ([answer(402, twice)], "not_processed"),
    ):
        connector = StripeConnector(PlayedTransport(*script), SteadyClock())
        outcome = await connector.authorize(stripe_account(), authorize())
        assert outcome.kind.value == kind
    for body, kind in ((told, "declined"), (twice, "unknown")):
        connector = StripeConnector(PlayedTransport(answer(402, body)), SteadyClock())
        request = follow_up(OperationKind.CAPTURE, INTENT)
        outcome = await connector.follow_up(stripe_account(), request)
        assert outcome.kind.value == kind
