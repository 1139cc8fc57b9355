"""AuthorizeStream over real payments: one key is one payment, on whatever stream or call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2

from tests.integration.server_face import AUTH, KEY
from tests.integration.server_whole import whole
from tests.unit.rig import MERCHANT, YES, Rig, no
from turnout import v1
from turnout.domain.declines import DeclineCode
from turnout.domain.outcomes import Outcome
from turnout.ports import AuthorizeRequest, PaymentFilter

LIMIT_S = 20
ACCOUNTS = ("acc_a", "acc_b", "acc_c")


def request(reference: str, amount_minor: int = 1_099) -> v1.AuthorizePaymentRequest:
    card = v1.Card(number="4242424242424242", expiry_month=3, expiry_year=2030, cvc="737")
    return v1.AuthorizePaymentRequest(
        merchant_reference=reference,
        amount_minor=amount_minor,
        currency="EUR",
        payment_method=v1.PaymentMethod(card=card),
    )


@dataclass
class Shop:
    """A merchant who calls a whole server."""

    rig: Rig
    channel: grpc.aio.Channel
    stub: Any

    def stream(self) -> Any:
        return self.stub.AuthorizeStream(metadata=(AUTH,))

    async def call(self, key: str, asked: v1.AuthorizePaymentRequest) -> v1.Payment:
        metadata = (AUTH, ("idempotency-key", key))
        answer: v1.Payment = await self.stub.AuthorizePayment(asked, metadata=metadata)
        return answer

    async def booked(self) -> list[str]:
        found = await self.rig.store.list_payments(MERCHANT, PaymentFilter(limit=1_000))
        return sorted(one.merchant_reference for one in found)

    def hold(self, count: int) -> tuple[asyncio.Event, asyncio.Event]:
        """The provider takes so many requests and keeps them: (all are there, let them go)."""
        there, let_go, seen = asyncio.Event(), asyncio.Event(), 0

        async def wait(asked: AuthorizeRequest) -> Outcome:
            nonlocal seen
            seen += 1
            if seen == count:
                there.set()
            await let_go.wait()
            return YES

        self.rig.provider.says = {name: [wait] * count for name in ACCOUNTS}
        return there, let_go


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with whole(tmp_path) as (rig, channel):
        yield Shop(rig, channel, v1.PaymentServiceStub(channel))


async def send(stream: Any, key: str, asked: v1.AuthorizePaymentRequest) -> None:
    await stream.write(v1.AuthorizeStreamRequest(idempotency_key=key, request=asked))


async def read(stream: Any) -> v1.AuthorizeStreamResponse:
    async with asyncio.timeout(LIMIT_S):
        answer = await stream.read()
    assert isinstance(answer, v1.AuthorizeStreamResponse), await stream.code()
    return answer


def reason(answer: v1.AuthorizeStreamResponse) -> str:
    info = error_details_pb2.ErrorInfo()
    answer.error.details[0].Unpack(info)
    return str(info.reason)


async def test_a_key_is_one_payment_and_one_answer_on_streams_and_in_calls(shop: Shop) -> None:
    streamed, called = request("streamed"), request("called")
    stream = shop.stream()
    await send(stream, "key-1", streamed)
    first = await read(stream)
    assert first.payment.status == v1.PAYMENT_STATUS_SUCCEEDED
    second = await shop.call("key-2", called)
    # Each again the other way, and on another stream.
    assert await shop.call("key-1", streamed) == first.payment
    for one in (stream, shop.stream()):
        await send(one, "key-2", called)
        answer = await read(one)
        assert (answer.idempotency_key, answer.payment) == ("key-2", second)
        await send(one, "key-1", streamed)
        assert await read(one) == first
        await send(one, "key-1", called)
        assert reason(await read(one)) == "IDEMPOTENCY_KEY_REUSED"
    assert await shop.booked() == ["called", "streamed"]
    assert len(shop.rig.provider.calls) == 2


async def test_a_key_that_is_sent_twice_on_one_stream_joins_itself(shop: Shop) -> None:
    there, let_go = shop.hold(1)
    stream = shop.stream()
    await send(stream, "key-1", request("one"))
    await send(stream, "key-1", request("one"))
    await send(stream, "key-1", request("another"))
    assert reason(await read(stream)) == "IDEMPOTENCY_KEY_REUSED"
    await asyncio.wait_for(there.wait(), LIMIT_S)
    let_go.set()
    answers = [await read(stream), await read(stream)]
    assert answers[0] == answers[1]
    assert await shop.booked() == ["one"]
    assert len(shop.rig.provider.calls) == 1


async def test_declines_are_payments_and_refusals_are_errors(shop: Shop) -> None:
    shop.rig.provider.says = {name: [no(DeclineCode.STOLEN_CARD)] for name in ACCOUNTS}
    stream = shop.stream()
    await send(stream, "declined", request("declined"))
    declined = await read(stream)
    assert declined.payment.status == v1.PAYMENT_STATUS_FAILED
    await send(stream, "wrong", request("wrong", amount_minor=0))
    assert reason(await read(stream)) == "AMOUNT_NOT_POSITIVE"
    await send(stream, "taken", request("declined"))
    assert reason(await read(stream)) == "MERCHANT_REFERENCE_TAKEN"
    await stream.done_writing()
    assert await stream.read() is grpc.aio.EOF


async def test_a_deadline_answers_processing_and_the_payment_goes_on(shop: Shop) -> None:
    there, let_go = shop.hold(1)
    stream = shop.stream()
    short = v1.AuthorizeStreamRequest(
        idempotency_key="key-1", request=request("slow"), timeout_ms=1_000
    )
    await stream.write(short)
    await asyncio.wait_for(there.wait(), LIMIT_S)
    answer = await read(stream)
    assert answer.payment.status == v1.PAYMENT_STATUS_PROCESSING
    let_go.set()
    assert await shop.call("key-1", request("slow")) == answer.payment
    async with asyncio.timeout(LIMIT_S):
        while True:
            now = await shop.stub.GetPayment(
                v1.GetPaymentRequest(payment_id=answer.payment.payment_id), metadata=(AUTH,)
            )
            if now.status == v1.PAYMENT_STATUS_SUCCEEDED:
                break
            await asyncio.sleep(0.001)


async def test_a_caller_that_hangs_up_gets_its_answers_by_their_keys(shop: Shop) -> None:
    there, let_go = shop.hold(10)
    stream = shop.stream()
    for number in range(10):
        await send(stream, f"key-{number}", request(f"order-{number}"))
    await asyncio.wait_for(there.wait(), LIMIT_S)
    stream.cancel()
    # One asks while the work goes on, the others after it: on a new stream, and in calls.
    again = shop.stream()
    await send(again, "key-0", request("order-0"))
    let_go.set()
    answers = {(await read(again)).payment.merchant_reference}
    for number in range(1, 5):
        await send(again, f"key-{number}", request(f"order-{number}"))
        answers.add((await read(again)).payment.merchant_reference)
    for number in range(5, 10):
        payment = await shop.call(f"key-{number}", request(f"order-{number}"))
        assert payment.status == v1.PAYMENT_STATUS_SUCCEEDED
        answers.add(payment.merchant_reference)
    assert sorted(answers) == await shop.booked() == sorted(f"order-{n}" for n in range(10))
    assert len(shop.rig.provider.calls) == 10


async def test_admission_refuses_messages_one_by_one(shop: Shop) -> None:
    admission = shop.rig.parts.admission
    admission.note_lag(400)
    stream = shop.stream()
    await send(stream, "key-1", request("order-1"))
    assert reason(await read(stream)) == "OVERLOADED"
    for _ in range(10):
        admission.note_lag(0)
    # Nothing was stored of it, so the key is as good as new.
    await send(stream, "key-1", request("order-1"))
    assert (await read(stream)).payment.status == v1.PAYMENT_STATUS_SUCCEEDED


async def test_the_example_in_the_documents_works(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    document = Path(__file__).parents[2] / "docs" / "api" / "streaming.md"
    _, _, code = document.read_text("utf-8").partition("```python\n")
    names: dict[str, Any] = {}
    exec(code.partition("```")[0], names)
    orders = [request(f"order-{number}") for number in range(3)]
    orders.append(request("wrong", amount_minor=0))
    await names["authorize_all"](shop.channel, KEY, orders)
    said = sorted(capsys.readouterr().out.splitlines())
    assert said[:3] == [f"order-{number} PAYMENT_STATUS_SUCCEEDED" for number in range(3)]
    assert said[3].startswith("wrong amount_minor")
