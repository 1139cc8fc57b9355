"""The face over a real socket: keys, headers, deadlines, refusals, answers as they are stored."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

import grpc
import pytest
from google.api import httpbody_pb2

from tests.integration.server_face import AUTH, KEY, Rig, a_payment, running
from turnout import v1
from turnout.config.sections import Server
from turnout.domain import errors as domain
from turnout.domain.accounts import ApiKey
from turnout.orchestration.commands import TokenInput
from turnout.ports import StoreUnavailable, WebhookRejected
from turnout.server import face

IDEM = ("idempotency-key", "key-1")
AUTHORIZE = v1.AuthorizePaymentRequest(
    merchant_reference="order-1",
    amount_minor=1_999,
    currency="EUR",
    payment_method=v1.PaymentMethod(
        card=v1.Card(number="4242424242424242", expiry_month=12, expiry_year=2030, cvc="737")
    ),
    metadata={"b": "2", "a": "1"},
)
CREATE = v1.CreatePaymentRequest(merchant_reference="order-1")

# Every method but the stream, with the least that its request needs.
MUTATIONS = {
    "PaymentService/AuthorizePayment": AUTHORIZE,
    "PaymentService/CreatePayment": CREATE,
    "PaymentService/ConfirmPayment": v1.ConfirmPaymentRequest(payment_id="pay_1"),
    "PaymentService/CapturePayment": v1.CapturePaymentRequest(payment_id="pay_1"),
    "PaymentService/CancelPayment": v1.CancelPaymentRequest(payment_id="pay_1"),
    "RefundService/CreateRefund": v1.CreateRefundRequest(payment_id="pay_1"),
    "TokenService/CreateToken": v1.CreateTokenRequest(card=v1.Card(cvc="737")),
}
QUERIES = {
    "PaymentService/GetPayment": v1.GetPaymentRequest(payment_id="pay_1"),
    "PaymentService/SyncPayment": v1.SyncPaymentRequest(payment_id="pay_1"),
    "PaymentService/ListPayments": v1.ListPaymentsRequest(),
    "RefundService/GetRefund": v1.GetRefundRequest(refund_id="ref_1"),
    "RefundService/ListRefunds": v1.ListRefundsRequest(),
    "EventService/ListEvents": v1.ListEventsRequest(),
}


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with running() as one:
        yield one


async def test_every_rpc_of_the_contract_is_served(rig: Rig) -> None:
    for proto in (
        v1.payments_pb2, v1.refunds_pb2, v1.events_pb2, v1.tokens_pb2, v1.webhooks_pb2,
    ):  # fmt: skip
        for service in proto.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                name = f"{service.name}/{method.name}"
                if method.client_streaming or method.server_streaming:
                    continue
                if (await rig.refused(name, b"\xff", AUTH, IDEM)).code.name == "UNIMPLEMENTED":
                    raise AssertionError(f"{name} is not served")


@pytest.mark.parametrize("method", MUTATIONS)
async def test_a_stored_answer_is_sent_as_it_is(rig: Rig, method: str) -> None:
    rpc = method.partition("/")[2]
    # Not even protobuf: nobody on the way may look into it.
    rig.stand_in.answers[rpc] = b"\xff\x00 stored bytes"
    answer = await rig.send(method, MUTATIONS[method].SerializeToString(), AUTH, IDEM)
    assert answer == b"\xff\x00 stored bytes"
    ((caller, idem, _),) = rig.stand_in.asked
    assert (caller.merchant_id, caller.key_id, caller.live) == ("mer_face", "key_face", False)
    assert (idem.rpc, idem.key) == (rpc, "key-1")
    assert b"737" not in idem.request


@pytest.mark.parametrize("method", [*MUTATIONS, *QUERIES])
async def test_every_method_asks_for_an_api_key(rig: Rig, method: str) -> None:
    raw = {**MUTATIONS, **QUERIES}[method].SerializeToString()
    told = await rig.refused(method, raw, IDEM)
    assert (told.code, told.info.reason) == (grpc.StatusCode.UNAUTHENTICATED, "API_KEY_MISSING")
    told = await rig.refused(method, raw, IDEM, ("authorization", "Bearer sk_test_other"))
    assert (told.code, told.info.reason) == (grpc.StatusCode.UNAUTHENTICATED, "API_KEY_INVALID")
    assert rig.stand_in.asked == []


@pytest.mark.parametrize("method", MUTATIONS)
async def test_every_mutation_asks_for_an_idempotency_key(rig: Rig, method: str) -> None:
    raw = MUTATIONS[method].SerializeToString()
    told = await rig.refused(method, raw, AUTH)
    assert told.code is grpc.StatusCode.INVALID_ARGUMENT
    assert told.info.reason == "IDEMPOTENCY_KEY_REQUIRED"
    assert told.fields == [("idempotency-key", "IDEMPOTENCY_KEY_REQUIRED")]
    told = await rig.refused(method, raw, AUTH, ("idempotency-key", "k" * 256))
    assert told.fields == [("idempotency-key", "IDEMPOTENCY_KEY_MALFORMED")]
    assert rig.stand_in.asked == []


@pytest.mark.parametrize("method", [*MUTATIONS, *QUERIES])
async def test_every_method_names_what_it_cannot_read(rig: Rig, method: str) -> None:
    raw = {**MUTATIONS, **QUERIES}[method].SerializeToString()
    told = await rig.refused(method, raw + b"\xf8\x07\x01", AUTH, IDEM)
    assert told.code is grpc.StatusCode.INVALID_ARGUMENT
    assert told.fields == [("#127", "UNKNOWN_FIELD")]
    told = await rig.refused(method, raw + b"\x0a\x7f", AUTH, IDEM)
    assert told.info.reason == "MALFORMED_MESSAGE"
    assert rig.stand_in.asked == []


async def test_text_that_is_not_utf8_names_its_field(rig: Rig) -> None:
    told = await rig.refused("PaymentService/CreatePayment", b"\x0a\x02\xff\xfe", AUTH, IDEM)
    assert told.code is grpc.StatusCode.INVALID_ARGUMENT
    assert told.fields == [("merchant_reference", "INVALID_UTF8")]


async def test_the_request_that_a_key_stands_for_is_canonical(rig: Rig) -> None:
    other = v1.AuthorizePaymentRequest()
    other.CopyFrom(AUTHORIZE)
    other.payment_method.card.cvc = "999"
    whole = AUTHORIZE.SerializeToString()
    # The same again as another client may write it: fields in another order, one written twice.
    shuffled = b"\x1a\x03EUR" + v1.AuthorizePaymentRequest(
        merchant_reference="x"
    ).SerializeToString() + whole  # fmt: skip
    for raw in (whole, other.SerializeToString(), shuffled):
        await rig.send("PaymentService/AuthorizePayment", raw, AUTH, IDEM)
    other.amount_minor += 1
    await rig.send("PaymentService/AuthorizePayment", other.SerializeToString(), AUTH, IDEM)
    first, without_code, in_other_order, other_amount = [
        idem.request for _, idem, _ in rig.stand_in.asked
    ]
    assert first == without_code == in_other_order != other_amount
    # The command still has the code.
    assert rig.stand_in.asked[0][2].method.card.cvc == "737"


async def test_the_order_of_a_map_is_no_part_of_the_request(rig: Rig) -> None:
    parts = [
        v1.CreatePaymentRequest(metadata={f"key-{n}": str(n)}).SerializeToString()
        for n in range(40)
    ]
    for raw in (b"".join(parts), b"".join(reversed(parts))):
        await rig.send("PaymentService/CreatePayment", raw, AUTH, IDEM)
    one, other = [idem.request for _, idem, _ in rig.stand_in.asked]
    assert one == other


async def test_a_token_s_code_is_not_in_the_request_either(rig: Rig) -> None:
    method = v1.PaymentMethod(token=v1.TokenReference(token_id="tok_1", cvc="737"))
    request = v1.ConfirmPaymentRequest(payment_id="pay_1", payment_method=method)
    await rig.send("PaymentService/ConfirmPayment", request.SerializeToString(), AUTH, IDEM)
    ((_, idem, command),) = rig.stand_in.asked
    assert command.method == TokenInput("tok_1", "737")
    assert b"737" not in idem.request and b"tok_1" in idem.request


async def test_the_request_id_comes_back(rig: Rig) -> None:
    stub = v1.PaymentServiceStub(rig.channel)
    call = stub.GetPayment(
        v1.GetPaymentRequest(payment_id="pay_1"), metadata=(AUTH, ("x-request-id", "mine-1"))
    )
    assert (await call).payment_id == "pay_1"
    assert dict(await call.trailing_metadata() or ())["x-request-id"] == "mine-1"
    assert rig.stand_in.asked[0][0].request_id == "mine-1"
    told = await rig.refused("PaymentService/GetPayment", b"", AUTH, ("x-request-id", "no no"))
    assert told.trailers["x-request-id"] == told.request.request_id
    assert told.request.request_id.startswith("req_")


async def test_deadlines_are_the_caller_s_within_the_configured(rig: Rig) -> None:
    rig.clock.time_ns = 5_000_000_000
    raw = CREATE.SerializeToString()
    for timeout in (None, 2.0, 100_000.0):
        await rig.send("PaymentService/CreatePayment", raw, AUTH, IDEM, timeout=timeout)
    none, two, longest = [
        caller.deadline_ns - 5_000_000_000 for caller, _, _ in rig.stand_in.asked
    ]
    assert none == 30_000_000_000
    # grpc sends a deadline rounded up.
    assert 1_000_000_000 < two <= 2_100_000_000
    assert longest == 60_000_000_000


async def test_a_caller_that_hangs_up_cancels_the_handler(rig: Rig) -> None:
    rig.stand_in.hold = asyncio.Event()
    told = await rig.refused(
        "PaymentService/CreatePayment", CREATE.SerializeToString(), AUTH, IDEM, timeout=0.2
    )
    assert told.code is grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(rig.stand_in.cancelled.wait(), 10)
    assert rig.calls.ended[-1].code == "CANCELLED"


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (domain.NotFound("PAYMENT_NOT_FOUND", "none such"), "NOT_FOUND", "PAYMENT_NOT_FOUND"),
        (domain.IdempotencyKeyReused(), "INVALID_ARGUMENT", "IDEMPOTENCY_KEY_REUSED"),
        (domain.AlreadyExists("REFERENCE_TAKEN", "taken"), "ALREADY_EXISTS", "REFERENCE_TAKEN"),
        (domain.StateConflict("NOT_CAPTURABLE", "no"), "FAILED_PRECONDITION", "NOT_CAPTURABLE"),
        (StoreUnavailable("disk full"), "UNAVAILABLE", "RECORD_UNAVAILABLE"),
    ],
)
async def test_errors_of_orchestration_are_told(
    rig: Rig, error: Exception, code: str, reason: str
) -> None:
    rig.stand_in.raises = error
    raw = CREATE.SerializeToString()
    told = await rig.refused("PaymentService/CreatePayment", raw, AUTH, IDEM)
    assert (told.code.name, told.info.reason, told.info.domain) == (code, reason, "turnout")
    assert told.status.message == told.message
    assert told.trailers["x-request-id"] == told.request.request_id
    ended = rig.calls.ended[-1]
    assert (ended.rpc, ended.code, ended.reason) == ("CreatePayment", code, reason)
    assert ended.merchant_id == "mer_face"


class Listener:
    """A logger that keeps what was said."""

    def __init__(self) -> None:
        self.said: list[dict[str, object]] = []

    def error(self, event: str, **fields: object) -> None:
        self.said.append({"event": event, **fields})


async def test_a_defect_is_logged_and_told_without_a_word_of_it(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = Listener()
    monkeypatch.setattr(face, "_log", listener)
    rig.stand_in.raises = RuntimeError("secret inner state")
    told = await rig.refused(
        "PaymentService/CreatePayment",
        CREATE.SerializeToString(),
        AUTH,
        IDEM,
        ("x-request-id", "mine-2"),
    )
    assert (told.code, told.info.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "mine-2" in told.message
    assert "secret" not in told.message and b"secret" not in told.status.SerializeToString()
    (entry,) = [one for one in listener.said if one["event"] == "call_failed"]
    assert (entry["request_id"], entry["rpc"]) == ("mine-2", "CreatePayment")
    assert str(entry["exc_info"]) == "secret inner state"


async def test_too_large_is_told(rig: Rig) -> None:
    limit = Server().max_message_bytes
    for size in (limit + 1, 3 * limit):
        raw = v1.CreatePaymentRequest(description="x" * size).SerializeToString()
        told = await rig.refused("PaymentService/CreatePayment", raw, AUTH, IDEM)
        assert told.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    told = await rig.refused("PaymentService/CreatePayment", b"\x00" * (limit + 1), AUTH, IDEM)
    assert told.info.reason == "MESSAGE_TOO_LARGE"
    assert str(limit) in told.message
    assert rig.stand_in.asked == []


async def test_headers_without_end_are_refused(rig: Rig) -> None:
    raw = CREATE.SerializeToString()
    told = await rig.refused(
        "PaymentService/CreatePayment", raw, AUTH, IDEM, ("x-long", "x" * 40_000)
    )
    assert told.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert rig.stand_in.asked == []
    await rig.send("PaymentService/CreatePayment", raw, AUTH, IDEM)


async def test_more_calls_at_once_than_allowed_are_refused() -> None:
    async with running(Server(port=0, max_concurrent_rpcs=1)) as rig:
        raw = CREATE.SerializeToString()
        rig.stand_in.hold = asyncio.Event()
        first = asyncio.create_task(rig.send("PaymentService/CreatePayment", raw, AUTH, IDEM))
        await asyncio.wait_for(rig.stand_in.begun.wait(), 10)
        told = await rig.refused("PaymentService/CreatePayment", raw, AUTH, IDEM)
        assert (told.code.name, told.info.reason) == ("RESOURCE_EXHAUSTED", "TOO_MANY_CALLS")
        assert told.retry.retry_delay.ToMilliseconds() > 0
        rig.stand_in.hold.set()
        await first
        # Refused and finished calls are counted out.
        await rig.send("PaymentService/CreatePayment", raw, AUTH, IDEM)


async def test_keys_replaced_while_serving(rig: Rig) -> None:
    raw = CREATE.SerializeToString()
    await rig.send("PaymentService/CreatePayment", raw, AUTH, IDEM)
    digest = hashlib.sha256(b"sk_live_new").hexdigest()
    rig.keys.replace([ApiKey("key_new", "mer_new", digest, live=True)])
    told = await rig.refused("PaymentService/CreatePayment", raw, AUTH, IDEM)
    assert told.info.reason == "API_KEY_INVALID"
    await rig.send(
        "PaymentService/CreatePayment", raw, ("authorization", "Bearer sk_live_new"), IDEM
    )
    caller = rig.stand_in.asked[-1][0]
    assert (caller.merchant_id, caller.live) == ("mer_new", True)


async def test_a_webhook_goes_down_as_it_came_and_needs_no_key(rig: Rig) -> None:
    body = b'{"live":"false"}\x00\xff not even text'
    request = v1.ReceiveProviderWebhookRequest(
        account_id="acc_1", body=httpbody_pb2.HttpBody(content_type="text/json", data=body)
    )
    raw = await rig.send(
        "WebhookService/ReceiveProviderWebhook",
        request.SerializeToString(),
        ("stripe-signature", "t=1,v1=abc"),
        ("authorization", "Basic dXNlcg=="),
    )
    answer = httpbody_pb2.HttpBody.FromString(raw)
    assert (answer.content_type, answer.data) == ("text/plain", b"[accepted]")
    ((account_id, headers, taken),) = rig.stand_in.asked
    assert (account_id, taken) == ("acc_1", body)
    assert headers["stripe-signature"] == "t=1,v1=abc"
    assert headers["content-type"] == "text/json"
    assert headers["authorization"] == "Basic dXNlcg=="


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (WebhookRejected("signature", "no"), "INVALID_ARGUMENT", "WEBHOOK_SIGNATURE"),
        (domain.NotFound("ACCOUNT_NOT_FOUND", "none"), "NOT_FOUND", "ACCOUNT_NOT_FOUND"),
    ],
)
async def test_a_webhook_that_is_not_believed(
    rig: Rig, error: Exception, code: str, reason: str
) -> None:
    rig.stand_in.raises = error
    raw = v1.ReceiveProviderWebhookRequest(account_id="acc_1").SerializeToString()
    told = await rig.refused("WebhookService/ReceiveProviderWebhook", raw)
    assert (told.code.name, told.info.reason) == (code, reason)
    told = await rig.refused("WebhookService/ReceiveProviderWebhook", b"")
    assert told.fields == [("account_id", "FIELD_REQUIRED")]


async def test_reading_answers_what_the_record_has(rig: Rig) -> None:
    stub = v1.PaymentServiceStub(rig.channel)
    payment = await stub.GetPayment(v1.GetPaymentRequest(payment_id="pay_9"), metadata=(AUTH,))
    assert (payment.payment_id, payment.merchant_reference) == ("pay_9", "order-1")
    back = v1.SyncPaymentRequest(payment_id="pay_8", return_parameters={"redirectResult": "x"})
    payment = await stub.SyncPayment(back, metadata=(AUTH,))
    assert rig.stand_in.asked[-1][1:] == ("pay_8", {"redirectResult": "x"})
    assert payment.created_at.ToNanoseconds() == a_payment().created_at_ns
    refund = await v1.RefundServiceStub(rig.channel).GetRefund(
        v1.GetRefundRequest(refund_id="ref_7"), metadata=(AUTH,)
    )
    assert (refund.refund_id, refund.status) == ("ref_7", v1.REFUND_STATUS_PENDING)


async def test_the_key_is_in_nothing_that_is_observed(rig: Rig) -> None:
    await rig.send("PaymentService/CreatePayment", CREATE.SerializeToString(), AUTH, IDEM)
    assert KEY not in repr(rig.calls.ended) and "key-1" not in repr(rig.calls.ended)
