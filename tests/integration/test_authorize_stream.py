"""AuthorizeStream as a caller meets it: what is answered and when, and how a stream ends."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable
from random import Random
from typing import Any
from unittest.mock import Mock

import grpc
import pytest
from google.rpc import error_details_pb2

from tests.integration.server_face import AUTH, Refused, Rig, running
from turnout import v1
from turnout.config.sections import Server
from turnout.domain import errors as domain
from turnout.domain.accounts import ApiKey
from turnout.server import face
from turnout.server.face import FOR_EVER_NS

RPC = "/turnout.v1.PaymentService/AuthorizeStream"
LIMIT_S = 20
PAYMENT = v1.Payment(payment_id="pay_1").SerializeToString()


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with running() as one:
        yield one


def request(reference: str = "order-1", **changes: Any) -> v1.AuthorizePaymentRequest:
    card = v1.Card(number="4242424242424242", expiry_month=3, expiry_year=2030, cvc="737")
    fields: dict[str, Any] = {
        "merchant_reference": reference,
        "amount_minor": 1_999,
        "currency": "EUR",
        "payment_method": v1.PaymentMethod(card=card),
    }
    return v1.AuthorizePaymentRequest(**{**fields, **changes})


def message(key: str, **changes: Any) -> bytes:
    fields = {"idempotency_key": key, "request": request(key), **changes}
    return v1.AuthorizeStreamRequest(**fields).SerializeToString()


class Stream:
    """The caller's end of a stream, in bytes."""

    def __init__(self, rig: Rig, *metadata: tuple[str, str], timeout: float | None = None) -> None:
        rig.stand_in.answers.setdefault("AuthorizePayment", PAYMENT)
        begin: Any = rig.channel.stream_stream(RPC)
        self.call: Any = begin(metadata=metadata or (AUTH,), timeout=timeout)

    async def send(self, *messages: bytes) -> None:
        for one in messages:
            await self.call.write(one)

    async def read(self) -> v1.AuthorizeStreamResponse:
        async with asyncio.timeout(LIMIT_S):
            raw = await self.call.read()
        assert raw is not grpc.aio.EOF, await self.call.code()
        return v1.AuthorizeStreamResponse.FromString(raw)

    async def rest(self) -> list[v1.AuthorizeStreamResponse]:
        """All answers to come, until the server ends the stream with OK."""
        async with asyncio.timeout(LIMIT_S):
            found = []
            while (raw := await self.call.read()) is not grpc.aio.EOF:
                found.append(v1.AuthorizeStreamResponse.FromString(raw))
            assert await self.call.code() is grpc.StatusCode.OK
        return found

    async def refused(self) -> Refused:
        """How the server ends the stream before it has taken anything more."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async with asyncio.timeout(LIMIT_S):
                assert await self.call.read() is None
        return Refused(caught.value)


class Told:
    """An error that was answered, its details unpacked."""

    def __init__(self, answer: v1.AuthorizeStreamResponse) -> None:
        assert answer.WhichOneof("result") == "error", answer
        self.key = answer.idempotency_key
        self.status = answer.error
        self.code = next(one for one in grpc.StatusCode if one.value[0] == answer.error.code).name
        self.info = error_details_pb2.ErrorInfo()
        self.bad = error_details_pb2.BadRequest()
        self.retry = error_details_pb2.RetryInfo()
        self.request = error_details_pb2.RequestInfo()
        for detail in answer.error.details:
            for one in (self.info, self.bad, self.retry, self.request):
                if detail.Is(one.DESCRIPTOR):
                    detail.Unpack(one)

    @property
    def fields(self) -> list[tuple[str, str]]:
        return [(one.field, one.reason) for one in self.bad.field_violations]


def orders(rig: Rig) -> list[tuple[Any, ...]]:
    return [one for one in rig.stand_in.asked if len(one) == 3]


async def until_asked(rig: Rig, count: int) -> None:
    async with asyncio.timeout(LIMIT_S):
        while len(orders(rig)) < count:  # noqa: ASYNC110 (the server has no event for it)
            await asyncio.sleep(0.001)


async def turns(rig: Rig, count: int = 20) -> None:
    """Gives the server time for whatever it would do: calls there and back."""
    stub = v1.PaymentServiceStub(rig.channel)
    for _ in range(count):
        await stub.GetPayment(v1.GetPaymentRequest(payment_id="pay_1"), metadata=(AUTH,))


def keys(answers: Iterable[v1.AuthorizeStreamResponse]) -> list[str]:
    return [one.idempotency_key for one in answers]


# --- answers --------------------------------------------------------------------------------


async def test_each_message_is_carried_out_as_authorize_payment(rig: Rig) -> None:
    rig.stand_in.answers["key-1"] = v1.Payment(payment_id="pay_7").SerializeToString()
    stream = Stream(rig)
    await stream.send(message("key-1"))
    answer = await stream.read()
    assert (answer.idempotency_key, answer.payment.payment_id) == ("key-1", "pay_7")
    unary = request("key-1").SerializeToString()
    await rig.send("PaymentService/AuthorizePayment", unary, AUTH, ("idempotency-key", "key-1"))
    (streamed, streamed_idem, command), (called, called_idem, other) = rig.stand_in.asked
    assert (streamed_idem, command) == (called_idem, other)
    assert streamed_idem.rpc == "AuthorizePayment" and b"737" not in streamed_idem.request
    who = (streamed.merchant_id, streamed.key_id, streamed.live)
    assert who == (called.merchant_id, called.key_id, called.live)
    await stream.call.done_writing()
    assert await stream.rest() == []


async def test_a_stored_answer_is_sent_as_it_is(rig: Rig) -> None:
    # Not even protobuf, and long enough for a length of three bytes.
    stored = b"\xff\x00 stored bytes" * 2_000
    rig.stand_in.answers["AuthorizePayment"] = stored
    stream = Stream(rig)
    await stream.send(message("k"))
    raw = await stream.call.read()
    empty = v1.AuthorizeStreamResponse(idempotency_key="k").SerializeToString()
    assert raw.startswith(empty + b"\x12") and raw.endswith(stored)
    assert len(raw) == len(empty) + 1 + 3 + len(stored)


async def test_answers_come_in_the_order_in_which_they_are_known(rig: Rig) -> None:
    rig.stand_in.holds = {name: asyncio.Event() for name in ("a", "b", "c")}
    stream = Stream(rig)
    await stream.send(message("a"), message("b"), message("c"))
    await until_asked(rig, 3)
    for key in ("b", "c", "a"):
        rig.stand_in.holds[key].set()
        assert (await stream.read()).idempotency_key == key


@pytest.mark.parametrize("seed", range(3))
async def test_every_message_has_one_answer_of_its_own_in_any_order(rig: Rig, seed: int) -> None:
    """Many keys, some of them wrong, some sent again, freed in an order that nobody foresaw."""
    random = Random(seed)
    sent: dict[str, str] = {}
    messages: list[tuple[str, bytes]] = []
    for number in range(300):
        key = f"key-{seed}-{number}"
        kind = random.choice(("payment", "payment", "payment", "FIELD_REQUIRED", "UNKNOWN_FIELD"))
        sent[key] = kind
        if kind == "payment":
            payment = v1.Payment(
                payment_id=f"pay_{number}", description="x" * random.randrange(300)
            )
            rig.stand_in.answers[key] = payment.SerializeToString()
            rig.stand_in.holds[key] = asyncio.Event()
            messages += [(key, message(key))] * random.choice((1, 1, 1, 2))
        elif kind == "FIELD_REQUIRED":
            bare = v1.AuthorizePaymentRequest(
                merchant_reference=key, amount_minor=1, currency="EUR"
            )
            messages.append((key, message(key, request=bare)))
        else:
            messages.append((key, message(key) + b"\xf8\x07\x01"))
    random.shuffle(messages)
    good = [key for key, _ in messages if sent[key] == "payment"]
    stream = Stream(rig)

    async def write() -> None:
        await stream.send(*(raw for _, raw in messages))
        await stream.call.done_writing()

    async def free() -> None:
        order = list(rig.stand_in.holds.values())
        random.shuffle(order)
        for hold in order:
            hold.set()
            if random.random() < 0.3:
                await asyncio.sleep(0)

    answers, *_ = await asyncio.gather(stream.rest(), write(), free())
    assert sorted(keys(answers)) == sorted(key for key, _ in messages)
    for answer in answers:
        key = answer.idempotency_key
        if sent[key] == "payment":
            assert answer.payment.SerializeToString() == rig.stand_in.answers[key]
        else:
            assert Told(answer).info.reason == sent[key]
    assert sorted(idem.key for _, idem, _ in rig.stand_in.asked) == sorted(good)
    # Every message was told to the observer, and the stream itself when it ended.
    ended = [one.rpc for one in rig.calls.ended]
    assert ended == ["AuthorizePayment"] * len(messages) + ["AuthorizeStream"]


# --- errors are answers ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        domain.IdempotencyKeyReused(),
        domain.AlreadyExists("MERCHANT_REFERENCE_TAKEN", "t", metadata={"payment_id": "pay_1"}),
        domain.Overloaded("OVERLOADED", "too much", retry_after_ms=500),
        domain.InvalidRequest([domain.FieldError("currency", "UNKNOWN_CURRENCY", "none")]),
        RuntimeError("secret inner state"),
    ],
)
async def test_an_error_has_the_details_of_the_call_s_status(rig: Rig, error: Exception) -> None:
    rig.stand_in.raises = error
    stream = Stream(rig, AUTH, ("x-request-id", "mine"))
    await stream.send(message("key-1"))
    answer = await stream.read()
    rig.stand_in.raises = None
    await stream.send(message("key-2"))
    assert keys([await stream.read()]) == ["key-2"]
    rig.stand_in.raises = error
    raw, key = request("key-1").SerializeToString(), ("idempotency-key", "key-1")
    asked = ("PaymentService/AuthorizePayment", raw, AUTH, key, ("x-request-id", "mine/1"))
    assert answer.error == (await rig.refused(*asked)).status
    assert answer.idempotency_key == "key-1"
    assert Told(answer).request.request_id == "mine/1"
    assert b"secret" not in answer.SerializeToString()


async def test_a_defect_is_logged(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Mock()
    monkeypatch.setattr(face, "_log", log)
    rig.stand_in.raises = RuntimeError("secret inner state")
    stream = Stream(rig, AUTH, ("x-request-id", "mine"))
    await stream.send(message("key-1"))
    assert Told(await stream.read()).code == "INTERNAL"
    ((event,), said) = log.error.call_args
    assert (event, said["request_id"], said["rpc"]) == (
        "call_failed",
        "mine/1",
        "AuthorizePayment",
    )


NOT_UTF8 = v1.AuthorizePaymentRequest(merchant_reference="##").SerializeToString()
NOT_UTF8 = NOT_UTF8.replace(b"##", b"\xff\xfe")
NO_METHOD = v1.AuthorizePaymentRequest(merchant_reference="r", amount_minor=1, currency="EUR")
LARGE = Server().max_message_bytes


@pytest.mark.parametrize(
    ("raw", "key", "reason", "field"),
    [
        (message("", request=request()), "", "IDEMPOTENCY_KEY_REQUIRED", "idempotency_key"),
        (message("a b"), "a b", "IDEMPOTENCY_KEY_MALFORMED", "idempotency_key"),
        (message("k" * 256), "k" * 256, "IDEMPOTENCY_KEY_MALFORMED", "idempotency_key"),
        (message("k", request=NO_METHOD), "k", "FIELD_REQUIRED", "payment_method"),
        (b"", "", "IDEMPOTENCY_KEY_REQUIRED", "idempotency_key"),
        (b"\xff", "", "MALFORMED_MESSAGE", "request"),
        (b"\x0a\x01k\x12\x7f", "k", "MALFORMED_MESSAGE", "request"),
        (b"\x0a\x02\xff\xfe", "", "INVALID_UTF8", "idempotency_key"),
        (message("k") + b"\xf8\x07\x01", "k", "UNKNOWN_FIELD", "#127"),
        # Inside the request, fields are told as AuthorizePayment tells them.
        (b"\x0a\x01k\x12\x04" + NOT_UTF8, "k", "INVALID_UTF8", "merchant_reference"),
        (b"\x0a\x01k\x12\x03\xf8\x07\x01", "k", "UNKNOWN_FIELD", "#127"),
        (message("k", timeout_ms=-1), "k", "TIMEOUT_OUT_OF_RANGE", "timeout_ms"),
        (message("k") + bytes(LARGE), "k", "MESSAGE_TOO_LARGE", ""),
    ],
)  # fmt: skip
async def test_a_message_that_cannot_be_taken_is_told_and_the_stream_lives_on(
    rig: Rig, raw: bytes, key: str, reason: str, field: str
) -> None:
    stream = Stream(rig)
    await stream.send(raw)
    told = Told(await stream.read())
    assert (told.key, told.info.reason) == (key, reason)
    assert told.fields == ([(field, reason)] if field else [])
    assert rig.stand_in.asked == []
    await stream.send(message("sound"))
    assert keys([await stream.read()]) == ["sound"]
    assert [(one.rpc, one.reason) for one in rig.calls.ended] == [
        ("AuthorizePayment", reason),
        ("AuthorizePayment", ""),
    ]


# --- limits ---------------------------------------------------------------------------------


async def test_a_stream_asks_for_an_api_key(rig: Rig) -> None:
    other = ("authorization", "Bearer sk_test_other")
    for header, reason in ((("x-none", ""), "API_KEY_MISSING"), (other, "API_KEY_INVALID")):
        told = await Stream(rig, header).refused()
        assert (told.code.name, told.info.reason) == ("UNAUTHENTICATED", reason)
    assert rig.stand_in.asked == []


async def test_the_caller_knows_at_once_that_it_is_connected(rig: Rig) -> None:
    stream = Stream(rig, AUTH, ("x-request-id", "mine"))
    async with asyncio.timeout(LIMIT_S):
        assert dict(await stream.call.initial_metadata())["x-request-id"] == "mine"
        await stream.call.done_writing()
        assert dict(await stream.call.trailing_metadata())["x-request-id"] == "mine"


async def test_a_key_that_is_withdrawn_gives_no_more_orders(rig: Rig) -> None:
    rig.stand_in.hold = asyncio.Event()
    stream = Stream(rig)
    await stream.send(message("before"))
    await until_asked(rig, 1)
    digest = hashlib.sha256(b"sk_test_new").hexdigest()
    rig.keys.replace([ApiKey("key_new", "mer_face", digest)])
    await stream.send(message("after"))
    # What was taken before is answered all the same.
    rig.stand_in.hold.set()
    assert keys([await stream.read()]) == ["before"]
    told = await stream.refused()
    assert (told.code.name, told.info.reason) == ("UNAUTHENTICATED", "API_KEY_INVALID")
    assert [idem.key for _, idem, _ in rig.stand_in.asked] == ["before"]


async def test_no_more_messages_are_taken_up_than_there_is_room_for() -> None:
    async with running(Server(port=0, max_stream_in_flight=4)) as rig:
        rig.stand_in.hold = asyncio.Event()
        stream = Stream(rig)
        large = request(description="x" * 300_000)
        written = 0

        async def write() -> None:
            nonlocal written
            for number in range(100):
                await stream.send(message(f"k{number}", request=large))
                written += 1
            await stream.call.done_writing()

        writing = asyncio.create_task(write())
        await until_asked(rig, 4)
        await turns(rig, 50)
        assert len(orders(rig)) == 4
        # Nothing piles up at the server: HTTP/2's window keeps the caller from sending.
        assert written < 100
        rig.stand_in.hold.set()
        answers = await stream.rest()
        await writing
        assert sorted(keys(answers)) == sorted(f"k{number}" for number in range(100))


async def test_a_caller_that_takes_no_answers_is_not_read_from() -> None:
    async with running(Server(port=0, max_stream_in_flight=4)) as rig:
        payment = v1.Payment(description="x" * 200_000)
        rig.stand_in.answers["AuthorizePayment"] = payment.SerializeToString()
        stream = Stream(rig)
        await stream.send(*(message(f"k{number}") for number in range(100)))
        await stream.call.done_writing()
        await until_asked(rig, 4)
        await turns(rig, 50)
        assert len(orders(rig)) < 100
        assert len(await stream.rest()) == 100


async def test_messages_count_as_calls() -> None:
    async with running(Server(port=0, max_concurrent_rpcs=2)) as rig:
        rig.stand_in.hold = asyncio.Event()
        stream = Stream(rig)
        await stream.send(message("first"), message("second"))
        told = Told(await stream.read())
        assert (told.code, told.info.reason) == ("RESOURCE_EXHAUSTED", "TOO_MANY_CALLS")
        assert told.key == "second" and told.retry.retry_delay.ToMilliseconds() > 0
        rig.stand_in.hold.set()
        assert keys([await stream.read()]) == ["first"]
        # Refused and finished messages are counted out.
        await stream.send(message("second"))
        assert (await stream.read()).WhichOneof("result") == "payment"


async def test_deadlines_are_the_message_s_within_the_configured(rig: Rig) -> None:
    rig.clock.time_ns = 5_000_000_000
    stream = Stream(rig)
    for timeout_ms in (0, 2_000, 10_000_000):
        await stream.send(message(f"k{timeout_ms}", timeout_ms=timeout_ms))
        await stream.read()
    waits = [(caller.deadline_ns - 5_000_000_000) // 1_000_000_000 for caller, *_ in
             rig.stand_in.asked]  # fmt: skip
    assert waits == [30, 2, 60]
    # Nor longer than the caller waits for the whole stream.
    stream = Stream(rig, timeout=12)
    await stream.send(message("bounded"))
    await stream.read()
    left_ns = rig.stand_in.asked[-1][0].deadline_ns - 5_000_000_000
    assert 0 < left_ns <= 12_100_000_000 < FOR_EVER_NS


# --- how a stream ends ----------------------------------------------------------------------


async def test_a_caller_that_has_sent_all_gets_all_answers_and_ok(rig: Rig) -> None:
    rig.stand_in.hold = asyncio.Event()
    stream = Stream(rig)
    await stream.send(*(message(f"k{number}") for number in range(20)))
    await stream.call.done_writing()
    await until_asked(rig, 20)
    await turns(rig)
    assert not stream.call.done()
    rig.stand_in.hold.set()
    assert sorted(keys(await stream.rest())) == sorted(f"k{number}" for number in range(20))


async def test_a_drain_answers_what_was_taken_and_takes_no_more() -> None:
    async with running() as rig:
        rig.stand_in.hold = asyncio.Event()
        stream, idle = Stream(rig), Stream(rig)
        await stream.send(*(message(f"k{number}") for number in range(20)))
        await idle.call.initial_metadata()
        await until_asked(rig, 20)
        draining = asyncio.create_task(rig.server.drain())
        # The idle one is told first, so the drain has closed the other to new messages.
        assert (await idle.refused()).info.reason == "DRAINING"
        await stream.send(message("late"))
        assert not draining.done()
        rig.stand_in.hold.set()
        answers = [await stream.read() for _ in range(20)]
        assert sorted(keys(answers)) == sorted(f"k{number}" for number in range(20))
        told = await stream.refused()
        assert (told.code.name, told.info.reason) == ("UNAVAILABLE", "DRAINING")
        assert told.retry.retry_delay.ToMilliseconds() == 1_000
        assert "late" not in [idem.key for _, idem, _ in rig.stand_in.asked]
        await asyncio.wait_for(draining, LIMIT_S)
        ended = [one.code for one in rig.calls.ended if one.rpc == "AuthorizePayment"]
        assert ended == ["OK"] * 20


async def test_a_caller_that_hangs_up_cancels_what_waits(rig: Rig) -> None:
    rig.stand_in.hold = asyncio.Event()
    stream = Stream(rig)
    await stream.send(message("k1"), message("k2"))
    await until_asked(rig, 2)
    stream.call.cancel()
    async with asyncio.timeout(LIMIT_S):
        while len(rig.calls.ended) < 3:  # noqa: ASYNC110 (the server has no event for it)
            await asyncio.sleep(0.001)
    ended = sorted((one.rpc, one.code) for one in rig.calls.ended)
    assert ended == [("AuthorizePayment", "CANCELLED")] * 2 + [("AuthorizeStream", "CANCELLED")]
    # All were counted out, and the server is as good as before.
    rig.stand_in.hold = None
    stream = Stream(rig)
    await stream.send(message("k3"))
    assert keys([await stream.read()]) == ["k3"]
