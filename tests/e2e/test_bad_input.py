"""Hostile input through both faces: an error that names the field, nothing kept, nothing sent."""

import json
import sqlite3
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf import json_format
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from tests.e2e.grounds import Merchant, method, playground, request
from turnout import v1
from turnout.cli.playground import Playground

pytestmark = pytest.mark.asyncio(loop_scope="module")

_CARD = "payment_method.card"
METHOD = "/turnout.v1.PaymentService/AuthorizePayment"

# name -> (what is wrong with an otherwise good request, the field that the error must name)
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "unknown currency": ({"currency": "EUX"}, "currency"),
    "currency in small letters": ({"currency": "eur"}, "currency"),
    "no currency": ({"currency": ""}, "currency"),
    "negative amount": ({"amount_minor": -1}, "amount_minor"),
    "no amount": ({"amount_minor": 0}, "amount_minor"),
    "more than a card message holds": ({"amount_minor": 10**12}, "amount_minor"),
    "the largest int64": ({"amount_minor": 2**63 - 1}, "amount_minor"),
    "broken card number": ({"payment_method": method("4242424242424241")}, f"{_CARD}.number"),
    "letters for a card number": (
        {"payment_method": method("4242x42424242424")},
        f"{_CARD}.number",
    ),
    "a card number too short": ({"payment_method": method("42424242")}, f"{_CARD}.number"),
    "no method": ({"payment_method": v1.PaymentMethod()}, "payment_method"),
    "unknown profile": ({"profile_id": "pro_nobody"}, "profile_id"),
    "no reference": ({"merchant_reference": ""}, "merchant_reference"),
    "a reference too long": ({"merchant_reference": "x" * 500}, "merchant_reference"),
    "unknown enum": ({"capture_method": 77}, "capture_method"),
    "metadata too large": ({"metadata": {"k": "v" * 20_000}}, "metadata"),
    "control characters": ({"merchant_reference": "a\x00b"}, "merchant_reference"),
    "a NUL in a text": ({"description": "a\0b"}, "description"),
    "a NUL in metadata": ({"metadata": {"k": "\0"}}, "metadata['k']"),
    "a NUL in a key": ({"metadata": {"\0": "v"}}, "metadata"),
    "a return_url that runs": ({"return_url": "javascript:alert(1)"}, "return_url"),
    "a return_url with a space": ({"return_url": "https://shop.example/a b"}, "return_url"),
}


def expired() -> v1.PaymentMethod:
    card = v1.Card(number="4242424242424242", expiry_month=1, expiry_year=2020, cvc="123")
    return v1.PaymentMethod(card=card)


def bad_code() -> v1.PaymentMethod:
    card = v1.Card(number="4242424242424242", expiry_month=1, expiry_year=2030, cvc="12a")
    return v1.PaymentMethod(card=card)


WRONG["expired card"] = ({"payment_method": expired()}, f"{_CARD}.expiry")
WRONG["a code that is none"] = ({"payment_method": bad_code()}, f"{_CARD}.cvc")


def wrong(changes: dict[str, Any]) -> v1.AuthorizePaymentRequest:
    reference = changes.get("merchant_reference", "bad")
    return request(reference, **{k: v for k, v in changes.items() if k != "merchant_reference"})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Playground]:
    async with playground(tmp_path_factory.mktemp("bad")) as started:
        yield started
        await nothing_kept_or_sent(started)


async def nothing_kept_or_sent(ground: Playground) -> None:
    """Whatever was refused left no trace, here or at a provider."""
    settings = ground.settings
    for path, tables in (
        (settings.store.path, ("payments", "operations", "claims", "events")),
        (settings.vault.path, ("cards",)),
    ):
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        for table in tables:
            count = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            assert count == 0, f"{table} has {count} rows"
        connection.close()
    for provider in ("stripe", "adyen"):
        seen = await ground.control("GET", f"{provider}/requests")
        assert seen["total"] == 0, seen
    assert not await ground.books()


def details(status: Any) -> tuple[str, list[str]]:
    """ErrorInfo's reason and the fields that BadRequest names."""
    reason, fields = "", []
    for one in status.details:
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        if one.Unpack(info):
            assert info.domain == "turnout"
            reason = info.reason
        elif one.Unpack(bad):
            fields += [violation.field for violation in bad.field_violations]
            assert all(violation.description for violation in bad.field_violations)
    return reason, fields


def json_details(body: dict[str, Any]) -> tuple[str, list[str]]:
    reason, fields = "", []
    for one in body["details"]:
        reason = one.get("reason", reason)
        for violation in one.get("field_violations", one.get("fieldViolations", ())):
            fields.append(violation["field"])
    return reason, fields


async def refused(ground: Playground, asked: v1.AuthorizePaymentRequest, key: str) -> Any:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await v1.PaymentServiceStub(ground.grpc).AuthorizePayment(
            asked, metadata=ground.metadata(key)
        )
    status = rpc_status.from_call(error.value)
    assert status is not None
    return error.value, status


@pytest.mark.parametrize("name", WRONG)
async def test_grpc_names_the_field(ground: Playground, name: str) -> None:
    changes, field = WRONG[name]
    error, status = await refused(ground, wrong(changes), "bad-grpc")
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT, status
    reason, fields = details(status)
    assert reason
    assert any(one.startswith(field) for one in fields), fields
    assert "4242424242424241" not in str(status)


@pytest.mark.parametrize("name", WRONG)
async def test_http_names_the_field(ground: Playground, name: str) -> None:
    changes, field = WRONG[name]
    body = json_format.MessageToDict(wrong(changes), preserving_proto_field_name=True)
    status, raw = await ground.http(
        "POST", "/v1/payments:authorize", body, idempotency_key="bad-http"
    )
    assert status == 400, raw
    reason, fields = json_details(json.loads(raw))
    assert reason
    assert any(one.startswith(field) for one in fields), raw
    assert b"4242424242424241" not in raw


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"authorization": ""}, "API_KEY_MISSING"),
        ({"authorization": "Bearer sk_test_of_nobody"}, "API_KEY_INVALID"),
        ({"authorization": "Basic dXNlcjpwYXNz"}, "API_KEY_MALFORMED"),
    ],
)
async def test_who_has_no_key_is_told_so(
    ground: Playground, headers: dict[str, str], reason: str
) -> None:
    body = json_format.MessageToDict(request("nobody"), preserving_proto_field_name=True)
    status, raw = await ground.http(
        "POST", "/v1/payments:authorize", body, headers=headers, idempotency_key="nobody"
    )
    assert status == 401
    assert json_details(json.loads(raw))[0] == reason
    said = [(name, value) for name, value in headers.items() if value]
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await v1.PaymentServiceStub(ground.grpc).AuthorizePayment(
            request("nobody"), metadata=[*said, ("idempotency-key", "nobody")]
        )
    assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert details(rpc_status.from_call(error.value))[0] == reason


@pytest.mark.parametrize("key", ["", "x" * 300, "with space", "ü"])
async def test_a_key_that_cannot_be_one_is_named(ground: Playground, key: str) -> None:
    body = json_format.MessageToDict(request("keyless"), preserving_proto_field_name=True)
    headers = {"idempotency-key": key} if key else {}
    status, raw = await ground.http("POST", "/v1/payments:authorize", body, headers=headers)
    assert status == 400, raw
    assert b"idempotency-key" in raw.lower().replace(b"_", b"-")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b'{"amount_minor":"many"}',
        b'{"amount_minor":1.5,"currency":"EUR"}',
        b'{"amount_minor":99999999999999999999}',
        b'{"amount_minr":1099}',
        b'{"merchant_reference":"\xff\xfe"}',
        b'{"merchant_reference":"\\ud800"}',
        b"\x00" * 64,
        b'{"a":' * 2_000 + b"1" + b"}" * 2_000,
    ],
    ids=lambda raw: repr(raw[:24]),
)
async def test_a_body_that_is_no_request_is_refused(ground: Playground, raw: bytes) -> None:
    status, said = await ground.http(
        "POST", "/v1/payments:authorize", raw=raw, idempotency_key="broken"
    )
    assert status == 400, said
    assert json.loads(said)["message"]


async def test_a_body_that_is_too_large_is_refused(ground: Playground) -> None:
    limit = ground.settings.edge.request_limit_bytes
    body = b'{"description":"' + b"x" * limit + b'"}'
    status, said = await ground.http(
        "POST", "/v1/payments:authorize", raw=body, idempotency_key="large"
    )
    assert status == 413, said


@pytest.mark.parametrize(
    "raw",
    [b"\xff\xff\xff", b"\x0a\x02\xff\xfe", b"\x0a\xff\xff\xff\xff\x0f"],
    ids=["no message", "invalid UTF-8", "a length beyond the end"],
)
async def test_bytes_that_are_no_message_are_refused(ground: Playground, raw: bytes) -> None:
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = ground.grpc.unary_unary(METHOD)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call(raw, metadata=ground.metadata("bytes"))
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert details(rpc_status.from_call(error.value))[0]


async def test_a_message_that_is_too_large_is_refused(ground: Playground) -> None:
    limit = ground.settings.server.max_message_bytes
    asked = request("large", description="x" * (limit + 1))
    error, _ = await refused(ground, asked, "large")
    assert error.code() in (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.INVALID_ARGUMENT,
    )


async def test_webhooks_that_nobody_signed_are_refused(ground: Playground) -> None:
    for account, body in (
        ("acc_stripe_main", b'{"id":"evt_1","object":"event"}'),
        ("acc_adyen_main", b'{"notificationItems":[]}'),
        ("acc_nobody", b"{}"),
    ):
        status, said = await ground.http("POST", f"/v1/webhooks/{account}", raw=body)
        assert status in (400, 404), (account, said)


async def test_payments_of_nobody_are_not_found(ground: Playground) -> None:
    merchant = Merchant(ground)
    for payment_id in ("pay_" + "0" * 32, "pay_", "../../etc", "pay_'; DROP TABLE payments"):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await merchant.get(payment_id)
        assert error.value.code() is grpc.StatusCode.NOT_FOUND
