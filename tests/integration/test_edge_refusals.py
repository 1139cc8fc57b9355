"""What the edge refuses, and that every refusal is JSON that repeats nothing secret."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from google.protobuf import json_format

from tests.integration.edge_backend import Running, running
from turnout import v1
from turnout.edge.examples import REQUESTS
from turnout.edge.settings import EdgeSettings

pytestmark = pytest.mark.asyncio(loop_scope="module")

AUTHORIZE = "/v1/payments:authorize"
PAN = "4111111111111111"
CARD = REQUESTS["AuthorizePayment"]["card"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    async with running(tmp_path_factory.mktemp("edge")) as started:
        yield started


async def refused(edge: Running, raw: bytes, path: str = AUTHORIZE) -> tuple[int, Any]:
    """Send raw bytes and return status and error; nothing may have reached the server."""
    before = len(edge.seen.arrivals)
    headers = {"content-type": "application/json", "idempotency-key": "k"}
    status, answer, _ = await edge.call("POST", path, data=raw, headers=headers)
    assert len(edge.seen.arrivals) == before
    assert {"code", "message", "details"} == answer.keys()
    assert answer["details"][0]["domain"] == "turnout"
    assert PAN not in json.dumps(answer)
    return status, answer


@pytest.mark.parametrize(
    ("body", "field", "why"),
    [
        ({"capture_metod": "x"}, "capture_metod", "is not a field of AuthorizePaymentRequest"),
        ({"captureMethod": "x"}, "captureMethod", "is not a field of AuthorizePaymentRequest"),
        (
            {"payment_method": {"card": {"pan": PAN}}},
            "payment_method.card.pan",
            "is not a field of Card",
        ),
        ({"amount_minor": "12x"}, "amount_minor", "must be a whole number that fits int64"),
        ({"amount_minor": 1.5}, "amount_minor", "must be a whole number that fits int64"),
        ({"amount_minor": 2**63}, "amount_minor", "must be a whole number that fits int64"),
        ({"amount_minor": str(2**64)}, "amount_minor", "must be a whole number that fits int64"),
        ({"amount_minor": True}, "amount_minor", "must be a whole number that fits int64"),
        ({"amount_minor": {}}, "amount_minor", "must be a single value"),
        ({"currency": 978}, "currency", "must be a string"),
        ({"currency": ["EUR"]}, "currency", "must be a single value"),
        ({"capture_method": "MANUAL"}, "capture_method", "is not a name of CaptureMethod"),
        ({"capture_method": 2}, "capture_method", "must be a string"),
        (
            {"payment_method": {**CARD["payment_method"], "token": {"token_id": "tok_1"}}},
            "payment_method.token",
            "cannot stand beside card: send one of them",
        ),
        ({"payment_method": PAN}, "payment_method", "must be an object"),
        (
            {"payment_method": {"card": {"number": int(PAN)}}},
            "payment_method.card.number",
            "must be a string",
        ),
        (
            {"payment_method": {"card": {"expiry_month": PAN}}},
            "payment_method.card.expiry_month",
            "must be a whole number that fits int32",
        ),
        ({"metadata": {"a": 1}}, "metadata.a", "must be a string"),
        ({"metadata": []}, "metadata", "must be an object"),
        ({PAN: 1}, "(a name that no field can have)", "is not a field"),
        ({"metadata": {PAN: 1}}, "metadata.(a name that no field can have)", "must be a string"),
    ],
)
async def test_the_wrong_field_is_named(edge: Running, body: Any, field: str, why: str) -> None:
    status, answer = await refused(edge, json.dumps(body).encode())
    assert (status, answer["code"]) == (400, 3)
    violation = answer["details"][1]["field_violations"][0]
    assert violation["field"] == field
    assert why in violation["description"]
    assert violation["reason"] == answer["details"][0]["reason"] == "MALFORMED_REQUEST"
    assert answer["message"] == f"{field}: {violation['description']}"


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ({"capture_metod": "x"}, "; did you mean capture_method?"),
        ({"captureMethod": "x"}, "; did you mean capture_method?"),
        ({"amount": 1099}, "; did you mean amount_minor?"),
        ({"amout_minor": 1099}, "; did you mean amount_minor?"),
        ({"card": {}}, "; did you mean payment_method.card?"),
        ({"payment_method": {"card": {"exp_month": 1}}}, " is not a field of Card"),
        ({"nothing_like_it": 1}, " is not a field of AuthorizePaymentRequest"),
        ({"amount_minor": 10.99}, "; amounts count minor units, 1099 for 10.99 EUR"),
        ({"payment_method": {"card": {"expiry_year": 1.5}}}, " fits int32"),
        ({"capture_method": "manual"}, "; did you mean CAPTURE_METHOD_MANUAL?"),
        ({"capture_method": "LATER"}, ": CAPTURE_METHOD_AUTOMATIC, CAPTURE_METHOD_MANUAL"),
        ({"capture_method": 2}, ": CAPTURE_METHOD_AUTOMATIC, CAPTURE_METHOD_MANUAL"),
        ({"payment_method": {"card": {"network": "WISA"}}}, " and so on, see /openapi.yaml"),
    ],
)
async def test_what_would_be_right_is_said(edge: Running, body: Any, hint: str) -> None:
    status, answer = await refused(edge, json.dumps(body).encode())
    assert status == 400
    assert answer["message"].endswith(hint)


async def test_a_moment_in_a_body_is_checked(edge: Running) -> None:
    path = "/v1/routing/profiles/pro_1:simulate"
    for moment in ("tomorrow", "2026-01-31", "2026-01-31 12:00:00Z", "2026-01-31T12:00:00"):
        _, answer = await refused(edge, json.dumps({"time": moment}).encode(), path)
        assert answer["message"].startswith("time: must be a moment as in RFC 3339, such as ")


async def test_the_request_id_stands_where_the_server_puts_it(edge: Running) -> None:
    for path, id_ in (("/v1/payments?nope=1", "named"), ("/v1/nope", "worded")):
        _, answer, _ = await edge.call("GET", path, headers={"x-request-id": id_})
        kinds = {detail["@type"].rpartition(".")[2]: detail for detail in answer["details"]}
        assert kinds["RequestInfo"]["request_id"] == id_


@pytest.mark.parametrize(
    "raw",
    [
        b"nonsense",
        b"[]",
        b'"text"',
        b"{",
        b'{"currency":}',
        b'{"currency":"EUR",}',
        b'{"currency" "EUR"}',
        b'{"currency":"EUR"} {}',
        b'{"currency":"EUR',
        b'{"currency":"EUR\\',
        b'{"currency":"a\x01b"}',
        b'{"amount_minor":0x10}',
        b'{"amount_minor":NaN}',
        b'{"amount_minor":01}',
        b'{"amount_minor":1,"amount_minor":100}',
        b'{"currency":"\xff\xfe"}',
        b'{"payment_method":{"card":{"number":"4111111111111111}}',
        b'{"x":' * 5000,
        b'{"payment_method":' * 3000,
        b"\x00",
    ],
)
async def test_broken_json_is_refused_as_json(edge: Running, raw: bytes) -> None:
    status, answer = await refused(edge, raw)
    assert (status, answer["code"]) == (400, 3)
    assert answer["details"][0]["reason"] == "MALFORMED_REQUEST"


async def test_a_field_of_the_path_may_not_stand_in_the_body(edge: Running) -> None:
    body = b'{"payment_id":"pay_2"}'
    status, answer = await refused(edge, body, "/v1/payments/pay_1:capture")
    assert status == 400
    assert answer["message"] == "payment_id: stands in the path already"


async def test_a_query_beside_a_body_is_refused(edge: Running) -> None:
    status, _ = await refused(edge, b"{}", "/v1/payments/pay_1:capture?amount_minor=3")
    assert status == 400


async def test_null_means_absent(edge: Running) -> None:
    body = {**CARD, "customer": None, "description": None, "metadata": None}
    status, _, _ = await edge.authorize(body)
    assert status == 200


async def test_whatever_is_let_through_means_what_it_says(edge: Running) -> None:
    """Mutated bodies: those that pass are JSON that the strict parser of protobuf reads alike."""
    chance = random.Random(20_260_101)
    original = json.dumps(CARD).encode()
    alphabet = b'{}[]",:0123456789eE+-.\\u tfnrlsax_'
    passed = 0
    for _ in range(400):
        body = bytearray(original)
        for _ in range(chance.randint(1, 2)):
            at = chance.randrange(len(body))
            if chance.random() < 0.5:
                body[at : at + 1] = bytes([chance.choice(alphabet)])
            else:
                del body[at]
        before = len(edge.seen.arrivals)
        headers = {"content-type": "application/json"}
        status, _, _ = await edge.call("POST", AUTHORIZE, data=bytes(body), headers=headers)
        assert status in (200, 400), bytes(body)
        assert (len(edge.seen.arrivals) > before) == (status == 200)
        if status == 200:
            passed += 1
            wanted = json_format.Parse(bytes(body), v1.AuthorizePaymentRequest())
            assert edge.seen.last.request == wanted, bytes(body)
    assert 20 < passed < 400


async def test_text_that_is_not_utf8_is_found(edge: Running) -> None:
    for raw, at in (
        *((b"\xff\xfe", 14), (b"ok \xed\xa0\x80", 17), (b"\xc3\xa9 \xc0\x80", 17)),
        # Cut off, overlong, beyond Unicode, a continuation of nothing.
        *((b"\xc3", 14), (b"\xe2\x82", 14), (b"\xf0\x9d\x84", 14), (b"\xc3\xa9\xe2\x82", 16)),
        *((b"\xe0\x9f\xbf", 14), (b"\xf0\x8f\xbf\xbf", 14), (b"\xf4\x90\x80\x80", 14)),
        *((b"\xf5\x80\x80\x80", 14), (b"\x80", 14), (b"\xc1\xbf", 14)),
    ):
        _, answer = await refused(edge, b'{"currency":"' + raw + b'"}')
        assert answer["message"] == f"body: is not UTF-8: broken at byte {at}"
    text = "\x80\u07ff\u0800\u9fff\U00010000é € 𝄞 \U0010ffff \ud7ff \ue000 \uffff"
    status, _, _ = await edge.authorize(
        {**CARD, "description": text}, {"content-type": "application/json"}
    )
    assert status == 200
    assert edge.seen.last.request.description == text
    raw_body = json.dumps({**CARD, "description": text}, ensure_ascii=False).encode()
    headers = {"content-type": "application/json"}
    status, _, _ = await edge.call("POST", AUTHORIZE, data=raw_body, headers=headers)
    assert status == 200
    assert edge.seen.last.request.description == text


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("nope=1", "nope: is not a field of ListPaymentsRequest"),
        ("limit=5", "limit: is not a field of ListPaymentsRequest"),
        ("pageSize=1", "pageSize: is not a field of ListPaymentsRequest; did you mean page_size?"),
        ("page_size=x", "page_size: must be a whole number that fits int32"),
        ("page_size=", "page_size: must be a whole number that fits int32"),
        ("page_size=1&page_size=2", "page_size: stands twice"),
        (
            "status=SUCCEEDED",
            "status: is not a name of PaymentStatus; did you mean PAYMENT_STATUS_SUCCEEDED?",
        ),
        (
            "created_after=yesterday",
            "created_after: must be a moment as in RFC 3339, such as 2026-01-31T12:00:00Z",
        ),
        (f"{PAN}=1", "(a name that no field can have): is not a field of ListPaymentsRequest"),
    ],
)
async def test_a_wrong_query_is_refused(edge: Running, query: str, message: str) -> None:
    before = len(edge.seen.arrivals)
    status, answer, _ = await edge.call("GET", f"/v1/payments?{query}")
    assert (status, answer["code"]) == (400, 3)
    assert answer["message"] == message
    assert len(edge.seen.arrivals) == before


async def test_a_right_query_means_what_it_says(edge: Running) -> None:
    query = (
        "?status=PAYMENT_STATUS_FAILED&status=PAYMENT_STATUS_CANCELED&page%5Fsize=7&"
        "created_after=2026-01-31T12%3A00%3A00.25%2B01:00&created_before=2026-02-01T00:00:00Z&"
        "customer_reference=a%26b%3Dc&merchant_reference="
    )
    status, _, _ = await edge.call("GET", "/v1/payments" + query)
    assert status == 200
    wanted = v1.ListPaymentsRequest(
        status=[v1.PAYMENT_STATUS_FAILED, v1.PAYMENT_STATUS_CANCELED],
        customer_reference="a&b=c",
        page_size=7,
    )
    wanted.created_after.FromJsonString("2026-01-31T11:00:00.25Z")
    wanted.created_before.FromJsonString("2026-02-01T00:00:00Z")
    assert edge.seen.last.request == wanted


async def test_what_stands_in_the_path_is_checked(edge: Running) -> None:
    for path, message in (
        ("/v1/payments/pay_1?payment_id=pay_2", "payment_id: stands in the path already"),
        ("/v1/payments/pay_1/refunds?payment_id=pay_2", "payment_id: stands in the path already"),
        (
            "/v1/routing/profiles/pro_1/rulesets/latest",
            "version: must be a whole number that fits int64",
        ),
    ):
        status, answer, _ = await edge.call("GET", path)
        assert (status, answer["message"]) == (400, message)


async def test_an_id_that_is_left_out_is_no_list(edge: Running) -> None:
    before = len(edge.seen.arrivals)
    for path in ("/v1/payments/", "/v1/payments//", "/v1/payments/?page_size=1"):
        status, answer, _ = await edge.call("GET", path)
        assert status == 404
        assert answer["details"][0]["reason"] == "NO_SUCH_PATH"
    assert len(edge.seen.arrivals) == before


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("GET", "/nope"),
        ("GET", f"/v1/cards/{PAN}"),
        ("DELETE", "/v1/payments/pay_1"),
        ("POST", "/turnout.v1.PaymentService/GetPayment"),
    ],
)
async def test_an_unknown_path_is_404_as_json(edge: Running, verb: str, path: str) -> None:
    status, answer, _ = await edge.call(verb, path, {} if verb == "POST" else None)
    assert (status, answer["code"]) == (404, 5)
    assert answer["details"][0]["reason"] == "NO_SUCH_PATH"
    assert PAN not in json.dumps(answer)


@pytest.mark.parametrize(
    ("path", "limit"), [(AUTHORIZE, 64 * 1024), ("/v1/webhooks/acc_1", 1024 * 1024)]
)
async def test_an_oversize_body_is_413_as_json(edge: Running, path: str, limit: int) -> None:
    body = b'{"description":"' + b"x" * limit + b'"}'
    status, answer = await refused(edge, body, path)
    assert (status, answer["code"]) == (413, 3)
    assert answer["details"][0]["reason"] == "REQUEST_TOO_LARGE"


async def test_oversize_headers_are_431_as_json(edge: Running) -> None:
    # By hand: clients refuse to send them.
    status, answer, _ = await edge.call(
        "GET", "/v1/payments/pay_1", headers={f"x-{n}": "y" * 4000 for n in range(25)}
    )
    assert (status, answer["code"]) == (431, 3)


@pytest.mark.parametrize("deadline", ["abc", "1", "m", "-1m", "123456789m", "1 m"])
async def test_a_deadline_that_grpc_cannot_read_spoils_nothing(
    edge: Running, deadline: str
) -> None:
    status, answer, _ = await edge.authorize(CARD, {"grpc-timeout": deadline})
    assert status == 400
    assert answer["details"][1]["field_violations"][0]["field"] == "grpc-timeout"
    status, _, _ = await edge.authorize(CARD)
    assert status == 200


async def test_more_authorizations_than_the_edge_is_told_of_are_refused_by_it(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    settings = EdgeSettings(authorizations_per_s=1, access_log_path="")
    async with running(tmp_path_factory.mktemp("shed"), settings) as one:
        began = time.monotonic()
        answers = await asyncio.gather(*(one.authorize(CARD) for _ in range(60)))
        took_s = time.monotonic() - began
        refusals = [(body, headers) for status, body, headers in answers if status == 429]
        served = len(answers) - len(refusals)
        assert len(one.seen.arrivals) == served
        # The bucket holds four and gets one a second.
        assert 1 <= served <= 4 + took_s + 1
        for body, headers in refusals:
            assert (body["code"], body["details"][0]["reason"]) == (8, "OVERLOADED")
            assert headers["retry-after"] == "1"
        # What is not a new authorization is nobody's excess.
        for _ in range(10):
            status, _, _ = await one.call("GET", "/v1/payments/pay_1")
            assert status == 200


async def test_a_dead_server_is_503_as_json(tmp_path_factory: pytest.TempPathFactory) -> None:
    async with running(tmp_path_factory.mktemp("dead")) as alone:
        await alone.server.stop(0)
        status, answer, _ = await alone.authorize(CARD)
        assert (status, answer["code"]) == (503, 14)
        assert "same idempotency-key" in answer["message"]


async def test_a_silent_server_is_504_as_json(tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = EdgeSettings(timeout_ms=200, access_log_path="")
    async with running(tmp_path_factory.mktemp("silent"), settings) as silent:
        status, answer, _ = await silent.authorize({"merchant_reference": "wait"})
        assert (status, answer["code"]) == (504, 4)
