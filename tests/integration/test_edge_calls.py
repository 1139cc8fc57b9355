"""JSON through a real Envoy to a real gRPC server and back."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
import yaml
from openapi_schema_validator import OAS31Validator

from tests.integration.edge_backend import Running, running
from turnout import v1
from turnout.edge.examples import REQUESTS

pytestmark = pytest.mark.asyncio(loop_scope="module")

CARD = REQUESTS["AuthorizePayment"]["card"]
EDGE_FILES = Path(v1.__file__).parents[1] / "edge"
DOCUMENT: dict[str, Any] = yaml.safe_load((EDGE_FILES / "openapi.yaml").read_text("utf-8"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    async with running(tmp_path_factory.mktemp("edge")) as started:
        yield started


def validate(name: str, answer: Any) -> None:
    schema = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    OAS31Validator(schema).validate(answer)


async def test_authorize_goes_there_and_back(edge: Running) -> None:
    status, answer, _ = await edge.authorize(CARD)
    assert status == 200
    sent = edge.seen.last.request
    assert sent.amount_minor == CARD["amount_minor"]
    assert sent.payment_method.card.number == "4111111111111111"
    assert sent.capture_method == v1.CAPTURE_METHOD_MANUAL
    assert sent.metadata == {"basket": "b-77"}
    validate("Payment", answer)
    assert answer["payment_id"] == "pay_1"


async def test_json_is_as_the_first_release_fixed_it(edge: Running) -> None:
    _, answer, _ = await edge.call("GET", "/v1/payments/pay_9")
    assert answer["payment_id"] == "pay_9"
    assert answer["amount_minor"] == "9007199254740993"  # int64 as a string, no digit lost
    assert answer["captured_minor"] == "0"  # zero is printed
    assert answer["status"] == "PAYMENT_STATUS_PARTIALLY_CAPTURED"  # the full name
    assert answer["payment_method"]["card"]["last4"] == "1111"
    assert answer["created_at"] == "2023-11-14T22:13:20.500Z"
    assert "shipping_address" not in answer  # a message that is not set is left out
    assert not [name for name in answer if name != name.lower()]  # proto names


@pytest.mark.parametrize(
    ("path", "schema"),
    [
        ("/v1/payments/pay_1", "Payment"),
        ("/v1/payments", "ListPaymentsResponse"),
        ("/v1/events", "ListEventsResponse"),
    ],
)
async def test_answers_keep_to_the_openapi_description(
    edge: Running, path: str, schema: str
) -> None:
    status, answer, _ = await edge.call("GET", path)
    assert status == 200
    validate(schema, answer)


async def test_headers_reach_the_server(edge: Running) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    given = {
        "authorization": "Bearer sk_test_1",
        "idempotency-key": "key-1",
        "x-request-id": "request-1",
        "traceparent": trace,
        "connection": "keep-alive",
        "cookie": "session=1",
        "trace-bin": "%%% not base64",
        "grpc-encoding": "snappy",
        "grpc-tags": "x",
    }
    status, _, headers = await edge.authorize(CARD, given)
    assert status == 200
    metadata = edge.seen.last.metadata
    for name in ("authorization", "idempotency-key", "x-request-id", "traceparent"):
        assert metadata[name] == given[name]
    for name in ("connection", "cookie", "trace-bin", "grpc-encoding", "grpc-tags"):
        assert name not in metadata
    assert headers["x-request-id"] == "request-1"
    assert "server" not in headers


async def test_a_request_id_is_made_where_none_is_given(edge: Running) -> None:
    _, _, headers = await edge.authorize(CARD)
    assert len(headers["x-request-id"]) == 36
    assert edge.seen.last.metadata["x-request-id"] == headers["x-request-id"]


async def test_errors_are_json_with_their_details(edge: Running) -> None:
    status, answer, _ = await edge.authorize({"merchant_reference": "refuse"})
    assert status == 400
    validate("Status", answer)
    assert (answer["code"], answer["message"]) == (3, "amount_minor must be above 0")
    info, bad = answer["details"]
    assert info["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"
    assert (info["reason"], info["domain"]) == ("AMOUNT_INVALID", "turnout")
    assert bad["@type"] == "type.googleapis.com/google.rpc.BadRequest"
    assert bad["field_violations"][0]["field"] == "amount_minor"


async def test_filters_are_read_from_the_query(edge: Running) -> None:
    query = (
        "status=PAYMENT_STATUS_FAILED&status=PAYMENT_STATUS_SUCCEEDED&currency=EUR"
        "&created_after=2024-01-01T00:00:00Z&page_size=3&customer_reference=a%26b"
    )
    status, _, _ = await edge.call("GET", f"/v1/payments?{query}")
    assert status == 200
    asked = edge.seen.last.request
    assert list(asked.status) == [v1.PAYMENT_STATUS_FAILED, v1.PAYMENT_STATUS_SUCCEEDED]
    assert asked.created_after.seconds == 1_704_067_200
    assert (asked.currency, asked.page_size, asked.customer_reference) == ("EUR", 3, "a&b")


@pytest.mark.parametrize("verb", ["confirm", "capture", "cancel", "sync"])
async def test_custom_verbs_carry_the_id_from_the_path(edge: Running, verb: str) -> None:
    bodies: tuple[Any, ...] = ({}, None)
    for body in bodies:
        status, _, _ = await edge.call("POST", f"/v1/payments/pay_7:{verb}", body)
        assert status == 200
        assert edge.seen.last.request.payment_id == "pay_7"


async def test_events_stream_as_lines_of_json_while_they_happen(edge: Running) -> None:
    edge.seen.gate.clear()
    async with edge.client.get(f"{edge.url}/v1/events:stream?cursor=0") as answer:
        assert answer.status == 200
        first = [json.loads(await answer.content.readline()) for _ in range(2)]
        assert [event["event_id"] for event in first] == ["evt_1", "evt_2"]
        validate("Event", first[0])
        edge.seen.gate.set()  # The third is made only now: nothing was held back.
        assert json.loads(await answer.content.readline())["event_id"] == "evt_3"
        assert await answer.content.readline() == b""
    assert edge.seen.last.request.cursor == "0"


RAW = bytes(range(256)) + b'{"a": 1,  "b":2}\r\n'


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/x-www-form-urlencoded", ""]
)
async def test_webhooks_arrive_byte_for_byte(edge: Running, content_type: str) -> None:
    headers = {"stripe-signature": "t=1,v1=abc"}
    if content_type:
        headers["content-type"] = content_type
    url = f"{edge.url}/v1/webhooks/acc_stripe"
    async with edge.client.post(url, data=RAW, headers=headers) as answer:
        assert answer.status == 200
        assert await answer.read() == b"[accepted]"
        assert answer.content_type == "text/plain"
    arrival = edge.seen.last
    assert arrival.request.account_id == "acc_stripe"
    assert arrival.request.body.data == RAW
    assert arrival.metadata["stripe-signature"] == "t=1,v1=abc"
    if content_type:
        assert arrival.request.body.content_type == content_type


async def test_a_large_notification_is_taken_in(edge: Running) -> None:
    body = b"x" * 1_000_000
    url = f"{edge.url}/v1/webhooks/acc_1"
    async with edge.client.post(url, data=body) as answer:
        assert answer.status == 200
    assert edge.seen.last.request.body.data == body


async def test_native_grpc_passes_through(edge: Running) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{edge.edge.port}") as channel:
        stub = v1.PaymentServiceStub(channel)
        payment = await stub.GetPayment(v1.GetPaymentRequest(payment_id="pay_3"), timeout=5)
        assert payment.payment_id == "pay_3"


async def test_pages_of_the_edge(edge: Running) -> None:
    async with edge.client.get(f"{edge.url}/openapi.yaml") as answer:
        assert answer.status == 200
        assert answer.content_type == "application/yaml"
        assert await answer.read() == (EDGE_FILES / "openapi.yaml").read_bytes()
    status, alive, _ = await edge.call("GET", "/healthz")
    assert (status, alive) == (200, {"status": "alive"})
    async with edge.client.get(f"{edge.url}/readyz") as answer:
        assert answer.status == 200


async def test_headers_that_http_allows_and_grpc_does_not_end_no_call(edge: Running) -> None:
    # By hand: clients refuse to send some of them.
    lines = [
        b"GET /v1/payments/pay_1 HTTP/1.1",
        b"Host: turnout",
        b"Authorization: Bearer sk_\xd7\xf8",
        b"Idempotency-Key: key\t1",
        b"X-Request-Id: request-1",
        b"a+b: 1",
        b"~: 2",
        b"x|y`: 3",
        b"Connection: close",
    ]
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.edge.port)
    writer.write(b"\r\n".join([*lines, b"", b""]))
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 200"), answer.decode("latin-1")
    metadata = edge.seen.last.metadata
    assert metadata["x-request-id"] == "request-1"
    # Refused where they are read: neither key may hold a space.
    assert metadata["authorization"] == metadata["idempotency-key"] == "not ASCII"
    assert not {"a+b", "~", "x|y`"} & set(metadata)
