"""Whatever a provider answers: no result that it does not tell, and never a crash.

Bodies are random bytes, random JSON, and true answers with something changed in them.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.connectors_rig import (
    ATTEMPT,
    CAPTURE,
    INTENT,
    NOW_NS,
    PSP,
    REFUND,
    STRIPE_SECRET,
    PlayedTransport,
    SteadyClock,
    adyen_account,
    answer,
    authorize,
    card_error,
    follow_up,
    inquiry,
    intent,
    lost,
    method,
    operation,
    stripe_account,
)
from turnout.connectors.adyen import AdyenConnector, webhooks
from turnout.connectors.adyen.codes import SCALE as ADYEN_SCALE
from turnout.connectors.amounts import AmountScale
from turnout.connectors.stripe import StripeConnector
from turnout.connectors.stripe.codes import SCALE as STRIPE_SCALE
from turnout.domain.money import EXPONENTS, MAX_AMOUNT_MINOR
from turnout.domain.operation import OperationKind
from turnout.domain.outcomes import Outcome, OutcomeKind
from turnout.ports import HttpResponse, WebhookRejected

FINAL = {OutcomeKind.SUCCEEDED, OutcomeKind.DECLINED}
FOLLOW_UPS = [OperationKind.CAPTURE, OperationKind.CANCEL, OperationKind.REFUND]

statuses = st.one_of(st.integers(100, 599), st.sampled_from([200, 201, 400, 402, 404, 422, 500]))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner),
    max_leaves=12,
)
garbage = st.one_of(
    st.binary(max_size=200),
    json_values.map(orjson.dumps),
    st.just(b"<html><body>502 Bad Gateway</body></html>"),
    st.just(b""),
    st.just(b"[" * 5_000),
)
TRUE_ANSWERS: list[tuple[int, Any]] = [
    (200, intent("requires_capture")),
    (200, intent("succeeded")),
    (402, card_error()),
    (400, {"error": {"type": "invalid_request_error", "code": "amount_too_small"}}),
    (200, {"resultCode": "Authorised", "pspReference": PSP, "merchantReference": ATTEMPT,
           "amount": {"value": 1234, "currency": "EUR"}}),
    (200, {"resultCode": "Refused", "pspReference": PSP, "merchantReference": ATTEMPT,
           "refusalReason": "Refused", "refusalReasonCode": "2"}),
    (201, {"status": "received", "pspReference": PSP, "reference": CAPTURE}),
    (422, {"status": 422, "errorCode": "101", "errorType": "validation", "message": "x"}),
    (200, {"object": "refund", "id": "re_1", "amount": 1234, "currency": "eur",
           "status": "succeeded", "metadata": {"turnout_operation": REFUND}}),
]  # fmt: skip


@st.composite
def changed(draw: st.DrawFn) -> tuple[int, Any]:
    """A true answer with one thing changed: a value, a field gone, or the status."""
    status, body = draw(st.sampled_from(TRUE_ANSWERS))
    document: dict[str, Any] = orjson.loads(orjson.dumps(body))
    target = document
    while True:
        name = draw(st.sampled_from(sorted(target)))
        value = target[name]
        if isinstance(value, dict) and value and draw(st.booleans()):
            target = value
            continue
        break
    what = draw(st.sampled_from(["drop", "replace", "status"]))
    if what == "drop":
        del target[name]
    elif what == "replace":
        target[name] = draw(json_values)
    else:
        status = draw(statuses)
    return status, document


def stripe_authorize(*played: HttpResponse | Exception) -> Outcome:
    connector = StripeConnector(PlayedTransport(answer(200, method()), *played), SteadyClock())
    return asyncio.run(connector.authorize(stripe_account(), authorize()))


def stripe_follow_up(kind: OperationKind, *played: HttpResponse | Exception) -> Outcome:
    connector = StripeConnector(PlayedTransport(*played), SteadyClock())
    return asyncio.run(connector.follow_up(stripe_account(), follow_up(kind, INTENT)))


def adyen_authorize(*played: HttpResponse | Exception) -> Outcome:
    connector = AdyenConnector(PlayedTransport(*played), SteadyClock())
    return asyncio.run(connector.authorize(adyen_account(), authorize()))


def adyen_follow_up(kind: OperationKind, *played: HttpResponse | Exception) -> Outcome:
    connector = AdyenConnector(PlayedTransport(*played), SteadyClock())
    return asyncio.run(connector.follow_up(adyen_account(), follow_up(kind, PSP)))


def is_refusal(status: int, body: bytes) -> bool:
    """Whether this is an error of the client's kind that either provider could have written."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    if status not in (400, 402, 404, 422) or not isinstance(document, dict):
        return False
    return bool({"error", "errorType", "errorCode"} & set(document))


@given(status=statuses, body=garbage, kind=st.sampled_from(FOLLOW_UPS))
def test_garbage_is_never_a_result(status: int, body: bytes, kind: OperationKind) -> None:
    for outcome in (
        stripe_authorize(answer(status, body)),
        stripe_follow_up(kind, answer(status, body)),
        adyen_authorize(answer(status, body)),
        adyen_follow_up(kind, answer(status, body)),
    ):
        assert outcome.kind is not OutcomeKind.SUCCEEDED
        assert outcome.kind is not OutcomeKind.DECLINED or is_refusal(status, body)
        if outcome.kind in (OutcomeKind.UNKNOWN, OutcomeKind.NOT_PROCESSED):
            assert outcome.reason
        if outcome.kind is OutcomeKind.NOT_PROCESSED:
            assert status in (401, 403, 429) or is_refusal(status, body)


@given(played=changed(), kind=st.sampled_from(FOLLOW_UPS))
def test_a_changed_answer_is_a_result_only_where_it_still_tells_one(
    played: tuple[int, Any], kind: OperationKind
) -> None:
    status, document = played
    response = answer(status, document)
    for outcome in (stripe_authorize(response), adyen_authorize(response)):
        if outcome.kind is OutcomeKind.SUCCEEDED:
            assert status == 200
            assert told_success(document), document
        if outcome.kind is OutcomeKind.DECLINED:
            assert status in (200, 400, 402, 404, 422)
    for outcome in (stripe_follow_up(kind, response), adyen_follow_up(kind, response)):
        if outcome.kind is OutcomeKind.SUCCEEDED:
            assert status == 200 and document.get("object") in ("refund", "payment_intent")


def told_success(document: dict[str, Any]) -> bool:
    """Whether the body says, of our own operation, that the money is held or taken."""
    if document.get("object") == "payment_intent":
        metadata = document.get("metadata")
        ours = isinstance(metadata, dict) and metadata.get("turnout_operation") == ATTEMPT
        return ours and document.get("status") in ("succeeded", "requires_capture")
    good = document.get("resultCode") in ("Authorised", "PartiallyAuthorised")
    # Adyen may leave the reference out or write what is no text: it then says nothing of it.
    named = document.get("merchantReference")
    return good and (named == ATTEMPT or not isinstance(named, str) or named == "")


@given(status=statuses, body=garbage, kind=st.sampled_from(FOLLOW_UPS))
def test_after_a_lost_copy_garbage_stays_unknown(
    status: int, body: bytes, kind: OperationKind
) -> None:
    for outcome in (
        stripe_authorize(lost(), answer(status, body)),
        stripe_follow_up(kind, lost(), answer(status, body)),
        adyen_authorize(lost(), answer(status, body)),
        adyen_follow_up(kind, lost(), answer(status, body)),
    ):
        assert outcome.kind is OutcomeKind.UNKNOWN, (status, body)


@given(
    pages=st.lists(st.tuples(statuses, garbage), min_size=25, max_size=25),
    kind=st.sampled_from(OperationKind),
)
def test_an_inquiry_that_meets_garbage_knows_nothing(
    pages: list[tuple[int, bytes]], kind: OperationKind
) -> None:
    for settled in (False, True):
        transport = PlayedTransport(*[answer(*page) for page in pages])
        connector = StripeConnector(transport, SteadyClock())
        authorization = operation(provider_reference=INTENT)
        asked = operation(kind)
        request = inquiry(asked, authorization, settled=settled)
        outcome = asyncio.run(connector.inquire(stripe_account(), request))
        assert outcome.kind is OutcomeKind.UNKNOWN


@given(body=st.one_of(garbage, json_values.map(orjson.dumps)))
def test_signed_garbage_is_refused_or_says_nothing(body: bytes) -> None:
    connector = StripeConnector(PlayedTransport(), SteadyClock())
    timestamp = NOW_NS // 1_000_000_000
    digest = hmac.new(STRIPE_SECRET.encode(), f"{timestamp}.".encode() + body, hashlib.sha256)
    header = {"stripe-signature": f"t={timestamp},v1={digest.hexdigest()}"}
    try:
        delivery = connector.read_webhook(stripe_account(), header, body, NOW_NS)
    except WebhookRejected as refused:
        assert refused.reason
    else:
        assert delivery.events == []


@given(
    subject=st.dictionaries(
        st.sampled_from(
            ["id", "object", "status", "amount", "currency", "metadata", "payment_intent",
             "capture_method", "livemode", "captured", "amount_captured", "outcome", "refunds"]
        ),
        json_values | st.just({"turnout_operation": ATTEMPT}) | st.just("succeeded"),
    ),
    kind=st.sampled_from(
        ["payment_intent.succeeded", "payment_intent.canceled", "charge.succeeded",
         "charge.captured", "charge.refunded", "charge.expired", "refund.failed"]
    ),
)  # fmt: skip
def test_odd_events_do_not_crash(subject: dict[str, Any], kind: str) -> None:
    connector = StripeConnector(PlayedTransport(), SteadyClock())
    event = {"id": "evt_1", "object": "event", "type": kind, "data": {"object": subject}}
    body = orjson.dumps(event)
    timestamp = NOW_NS // 1_000_000_000
    digest = hmac.new(STRIPE_SECRET.encode(), f"{timestamp}.".encode() + body, hashlib.sha256)
    header = {"stripe-signature": f"t={timestamp},v1={digest.hexdigest()}"}
    for told in connector.read_webhook(stripe_account(), header, body, NOW_NS).events:
        assert told.operation_reference == ATTEMPT
        assert told.outcome.kind is not OutcomeKind.SUCCEEDED or (
            told.kind is OperationKind.CANCEL or told.outcome.provider_reference
        )


@given(body=st.one_of(garbage, json_values.map(orjson.dumps)))
def test_unsigned_garbage_at_adyens_door_is_refused(body: bytes) -> None:
    try:
        webhooks.read(adyen_account(), body)
    except WebhookRejected as refused:
        assert refused.reason
    else:
        raise AssertionError("believed what nobody signed")


@given(
    amount=st.integers(1, MAX_AMOUNT_MINOR),
    currency=st.sampled_from(sorted(EXPONENTS)),
    scale=st.sampled_from([STRIPE_SCALE, ADYEN_SCALE]),
)
def test_amounts_come_back_as_they_went(amount: int, currency: str, scale: AmountScale) -> None:
    sent = scale.to_provider(amount, currency)
    if sent is not None:
        assert scale.from_provider(sent, currency) == amount


def test_the_true_answers_are_results() -> None:
    """Without this, the properties above could hold because nothing is ever a result."""
    assert stripe_authorize(answer(*TRUE_ANSWERS[0])).kind is OutcomeKind.SUCCEEDED
    assert stripe_authorize(answer(*TRUE_ANSWERS[2])).kind is OutcomeKind.DECLINED
    assert stripe_authorize(answer(*TRUE_ANSWERS[3])).kind is OutcomeKind.DECLINED
    assert adyen_authorize(answer(*TRUE_ANSWERS[4])).kind is OutcomeKind.SUCCEEDED
    assert adyen_authorize(answer(*TRUE_ANSWERS[5])).kind is OutcomeKind.DECLINED
    assert adyen_authorize(answer(*TRUE_ANSWERS[7])).kind is OutcomeKind.DECLINED
    capture = adyen_follow_up(OperationKind.CAPTURE, answer(*TRUE_ANSWERS[6]))
    assert capture.kind is OutcomeKind.PENDING
    captured = stripe_follow_up(OperationKind.CAPTURE, answer(*TRUE_ANSWERS[1]))
    assert captured.kind is OutcomeKind.SUCCEEDED
    refunded = stripe_follow_up(OperationKind.REFUND, answer(*TRUE_ANSWERS[8]))
    assert refunded.kind is OutcomeKind.SUCCEEDED
