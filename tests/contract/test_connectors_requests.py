"""Every request that a connector can emit, checked against the provider's own description."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.connectors_descriptions import (
    Description,
    adyen,
    decode_form,
    query_of,
    stripe,
)
from tests.unit.connectors_rig import (
    INTENT,
    METHOD,
    NOW_NS,
    PSP,
    PlayedTransport,
    SteadyClock,
    adyen_account,
    answer,
    authorize,
    full_details,
    inquiry,
    method,
    operation,
    stripe_account,
)
from tests.unit.connectors_strategies import authorizations, follow_ups
from turnout.connectors.adyen import AdyenConnector
from turnout.connectors.stripe import StripeConnector
from turnout.connectors.stripe.requests import API_VERSION
from turnout.domain.operation import OperationKind
from turnout.domain.outcomes import OutcomeKind
from turnout.ports import AuthorizeRequest, FollowUpRequest, HttpRequest

_FORM = "application/x-www-form-urlencoded"
_SLOW = settings(
    max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def check_stripe(description: Description, request: HttpRequest) -> None:
    """Path, method, headers, parameters."""
    path, query = query_of(request.url)
    described = description.operation(request.method, path)
    assert request.headers["Stripe-Version"] == API_VERSION
    assert request.headers["Authorization"].startswith("Bearer sk_test_")
    if request.method == "GET":
        parameters = {one["name"]: one["schema"] for one in described["parameters"]}
        given_ones = decode_form(query, {"type": "object", "properties": parameters})
        assert set(given_ones) <= set(parameters), "an unknown query parameter"
        for name, value in given_ones.items():
            assert description.errors(parameters[name], value) == []
        return
    assert request.headers["Content-Type"] == _FORM
    assert 1 <= len(request.headers["Idempotency-Key"]) <= 255
    schema = described["requestBody"]["content"][_FORM]["schema"]
    body = decode_form(request.body.decode(), schema)
    assert description.errors(schema, body, description.path_of(path)) == []
    _check_metadata(body.get("metadata", {}))


def _check_metadata(metadata: dict[str, str]) -> None:
    """Stripe's limits on metadata, which its description tells in words only."""
    assert len(metadata) <= 50
    for key, value in metadata.items():
        assert 1 <= len(key) <= 40 and 1 <= len(value) <= 500 and "[" not in key


def check_adyen(description: Description, request: HttpRequest) -> None:
    """Path, method, headers, body."""
    path, query = query_of(request.url)
    assert query == "" and path.startswith("/v72/")
    described = description.operation(request.method, path.removeprefix("/v72"))
    assert request.headers["X-API-Key"] and request.headers["Content-Type"] == "application/json"
    assert 1 <= len(request.headers["Idempotency-Key"]) <= 64
    schema = described["requestBody"]["content"]["application/json"]["schema"]
    body = orjson.loads(request.body)
    # Among the many kinds of payment method the schema's oneOf finds no single one for a card,
    # because several of them allow any field; so the card is checked by its own schema.
    card = body.pop("paymentMethod", None)
    if card is not None:
        own = {"$ref": "#/components/schemas/CardDetails"}
        assert description.errors(own, card, "card") == []
        body["paymentMethod"] = {"type": "scheme"}
        schema = _without_payment_method(description, schema)
    errors = description.errors(schema, body, described["operationId"])
    assert errors == []
    metadata = body.get("metadata", {})
    assert len(metadata) <= 20
    assert all(len(key) <= 20 and len(value) <= 80 for key, value in metadata.items())
    assert path.endswith("/details") or len(body["reference"]) <= 80


def _without_payment_method(description: Description, schema: dict[str, Any]) -> dict[str, Any]:
    whole = description.document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    properties = {**whole["properties"], "paymentMethod": {"type": "object"}}
    return {**whole, "properties": properties}


def stripe_requests(request: AuthorizeRequest | FollowUpRequest) -> list[HttpRequest]:
    """What Stripe would be sent."""
    transport = PlayedTransport(answer(200, method()), answer(500, b""))
    connector = StripeConnector(transport, SteadyClock())
    if isinstance(request, AuthorizeRequest):
        asyncio.run(connector.authorize(stripe_account(), request))
    else:
        transport.script.pop(0)
        asyncio.run(connector.follow_up(stripe_account(), request))
    return transport.sent


def adyen_requests(request: AuthorizeRequest | FollowUpRequest) -> list[HttpRequest]:
    """What Adyen would be sent."""
    transport = PlayedTransport(answer(500, b""))
    connector = AdyenConnector(transport, SteadyClock())
    if isinstance(request, AuthorizeRequest):
        asyncio.run(connector.authorize(adyen_account(), request))
    else:
        asyncio.run(connector.follow_up(adyen_account(), request))
    return transport.sent


@given(request=authorizations())
@_SLOW
def test_every_authorization_fits_stripes_description(request: AuthorizeRequest) -> None:
    description = stripe()
    for sent in stripe_requests(request):
        check_stripe(description, sent)


@given(request=follow_ups(INTENT))
@_SLOW
def test_every_follow_up_fits_stripes_description(request: FollowUpRequest) -> None:
    description = stripe()
    for sent in stripe_requests(request):
        check_stripe(description, sent)


@given(request=authorizations())
@_SLOW
def test_every_authorization_fits_adyens_description(request: AuthorizeRequest) -> None:
    description = adyen()
    for sent in adyen_requests(request):
        check_adyen(description, sent)


@given(request=follow_ups(PSP))
@_SLOW
def test_every_follow_up_fits_adyens_description(request: FollowUpRequest) -> None:
    description = adyen()
    for sent in adyen_requests(request):
        check_adyen(description, sent)


@given(
    parameters=st.dictionaries(
        st.sampled_from(["redirectResult", "payload", "MD", "foreign"]), st.text(max_size=200)
    )
)
@_SLOW
def test_what_a_payer_brings_back_fits_adyens_description(parameters: dict[str, str]) -> None:
    description = adyen()
    transport = PlayedTransport(answer(200, {"resultCode": "Authorised"}))
    connector = AdyenConnector(transport, SteadyClock())
    request = inquiry(operation(), settled=False, parameters=parameters)
    outcome = asyncio.run(connector.inquire(adyen_account(), request))
    assert outcome.kind is OutcomeKind.UNKNOWN
    wanted = bool(parameters.get("redirectResult") or parameters.get("payload"))
    assert len(transport.sent) == wanted
    for sent in transport.sent:
        check_adyen(description, sent)


@given(
    kind=st.sampled_from(OperationKind),
    known=st.booleans(),
    after=st.sampled_from(["", "pi_3NnlpVGPxmnHQRkJ1"]),
    settled=st.booleans(),
)
@_SLOW
def test_every_inquiry_fits_stripes_description(
    kind: OperationKind, known: bool, after: str, settled: bool
) -> None:
    description = stripe()
    asked = operation(
        kind,
        provider_reference={
            OperationKind.AUTHORIZE: INTENT,
            OperationKind.REFUND: "re_1NnmX5GPxmnHQRkJzG1txqB9",
        }.get(kind, "")
        if known
        else "",
        provider_state={"listed_to": after} if after else {},
    )
    transport = PlayedTransport(*[answer(200, {"data": [], "has_more": True})] * 3)
    connector = StripeConnector(transport, SteadyClock())
    request = inquiry(asked, operation(provider_reference=INTENT), settled=settled)
    asyncio.run(connector.inquire(stripe_account(), request))
    assert transport.sent
    for sent in transport.sent:
        assert sent.method == "GET"
        check_stripe(description, sent)


def test_everything_that_a_merchant_can_say_reaches_the_provider() -> None:
    request = authorize(details=full_details())
    made, confirmed = stripe_requests(request)
    check_stripe(stripe(), made)
    check_stripe(stripe(), confirmed)
    assert METHOD.encode() in confirmed.body and b"4242424242424242" not in confirmed.body
    (payment,) = adyen_requests(request)
    check_adyen(adyen(), payment)
    body = orjson.loads(payment.body)
    assert body["billingAddress"] == {
        "street": "Rue de la Paix",
        "houseNumberOrName": "12",
        "city": "Paris",
        "postalCode": "75002",
        "country": "FR",
        "stateOrProvince": "75",
    }
    assert body["browserInfo"]["timeZoneOffset"] == -60
    assert body["shopperStatement"] == "TICKETS*PARIS"


def test_a_resent_payment_intent_fits_the_description_too() -> None:
    transport = PlayedTransport(answer(200, method()), answer(500, b""))
    connector = StripeConnector(transport, SteadyClock())
    request = authorize(details=full_details())
    outcome = asyncio.run(connector.authorize(stripe_account(), request))
    asked = operation(provider_state=outcome.provider_state, created_at_ns=NOW_NS - 60_000_000_000)
    again = PlayedTransport(answer(500, b""), answer(500, b""))
    connector = StripeConnector(again, SteadyClock())
    asyncio.run(connector.inquire(stripe_account(), inquiry(asked, settled=False)))
    first, repeated = transport.sent[1], again.sent[0]
    assert (first.body, first.headers["Idempotency-Key"]) == (
        repeated.body,
        repeated.headers["Idempotency-Key"],
    )
    check_stripe(stripe(), repeated)


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        (b"amount=12&currency=eur&unknown=1", "unknown"),
        (b"amount=many&currency=eur", "mistyped"),
        (b"amount=12&currency=eur&capture_method=later", "out of the enum"),
        (b"currency=eur", "missing"),
    ],
)
def test_the_check_itself_finds_what_is_wrong(body: bytes, wrong: str) -> None:
    headers = {
        "Stripe-Version": API_VERSION, "Authorization": "Bearer sk_test_x",
        "Content-Type": _FORM, "Idempotency-Key": "k",
    }  # fmt: skip
    request = HttpRequest("POST", "https://api.stripe.com/v1/payment_intents", headers, body)
    with pytest.raises(AssertionError):
        check_stripe(stripe(), request)


@pytest.mark.parametrize(
    "change",
    [
        {"unknownField": 1},
        {"amount": {"value": "12", "currency": "EUR"}},
        {"shopperInteraction": "Sometimes"},
        {"paymentMethod": {"type": "scheme", "expiryMonth": 3}},
        {"billingAddress": {"street": "only"}},
    ],
)
def test_the_check_itself_finds_what_is_wrong_with_a_payment(change: dict[str, Any]) -> None:
    (request,) = adyen_requests(authorize())
    request.body = orjson.dumps({**orjson.loads(request.body), **change})
    with pytest.raises(AssertionError):
        check_adyen(adyen(), request)
