"""Lists page by page, event streams, health, reflection, and how the server goes down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from tests.integration.server_face import (
    AUTH,
    Refused,
    Rig,
    a_payment,
    a_refund,
    an_event,
    running,
)
from turnout import v1
from turnout.domain.events import EventType
from turnout.domain.payment import PaymentStatus
from turnout.server.server import SERVICES

IDEM = ("idempotency-key", "key-1")
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with running() as one:
        yield one


async def refused(call: Any) -> Refused:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await (call.read() if isinstance(call, grpc.aio.UnaryStreamCall) else call)
    return Refused(caught.value)


async def test_payments_come_page_by_page(rig: Rig) -> None:
    rig.stand_in.payments = [a_payment(number) for number in range(5, 0, -1)]
    stub = v1.PaymentServiceStub(rig.channel)
    seen, token = [], ""
    for _ in range(3):
        page = await stub.ListPayments(
            v1.ListPaymentsRequest(page_size=2, page_token=token, currency="EUR"), metadata=(AUTH,)
        )
        seen.append([one.merchant_reference for one in page.payments])
        token = page.next_page_token
    assert seen == [["order-5", "order-4"], ["order-3", "order-2"], ["order-1"]]
    assert token == ""


async def test_a_full_last_page_has_no_next(rig: Rig) -> None:
    rig.stand_in.payments = [a_payment(2), a_payment(1)]
    stub = v1.PaymentServiceStub(rig.channel)
    page = await stub.ListPayments(v1.ListPaymentsRequest(page_size=2), metadata=(AUTH,))
    assert len(page.payments) == 2 and page.next_page_token == ""


async def test_the_filters_arrive(rig: Rig) -> None:
    stub = v1.PaymentServiceStub(rig.channel)
    await stub.ListPayments(
        v1.ListPaymentsRequest(
            status=[v1.PAYMENT_STATUS_FAILED, v1.PAYMENT_STATUS_SUCCEEDED],
            merchant_reference="r",
            customer_reference="c",
            currency="EUR",
            created_after=Timestamp(seconds=1),
            created_before=Timestamp(seconds=2),
        ),
        metadata=(AUTH,),
    )
    want = rig.stand_in.asked[-1][1]
    assert list(want.statuses) == [PaymentStatus.FAILED, PaymentStatus.SUCCEEDED]
    assert (want.merchant_reference, want.customer_reference, want.currency) == ("r", "c", "EUR")
    assert (want.created_from_ns, want.created_to_ns) == (10**9, 2 * 10**9)
    assert (want.before, want.limit) == (None, 21)
    await v1.RefundServiceStub(rig.channel).ListRefunds(
        v1.ListRefundsRequest(
            payment_id="pay_1", status=[v1.REFUND_STATUS_FAILED], merchant_reference="r"
        ),
        metadata=(AUTH,),
    )
    want = rig.stand_in.asked[-1][1]
    assert (want.payment_id, want.merchant_reference) == ("pay_1", "r")
    assert sorted(want.states) == ["failed", "not_processed"]
    await v1.EventServiceStub(rig.channel).ListEvents(
        v1.ListEventsRequest(types=["payment.*"], payment_id="pay_1", page_size=100),
        metadata=(AUTH,),
    )
    want = rig.stand_in.asked[-1][1]
    assert (list(want.types), want.payment_id, want.limit) == (["payment.*"], "pay_1", 101)


UNHEARD_OF: Any = 99


@pytest.mark.parametrize(
    ("request_", "field", "reason"),
    [
        (v1.ListPaymentsRequest(page_token="nonsense"), "page_token", "PAGE_TOKEN_INVALID"),
        (v1.ListPaymentsRequest(page_size=101), "page_size", "PAGE_SIZE_OUT_OF_RANGE"),
        (v1.ListPaymentsRequest(status=[UNHEARD_OF]), "status", "UNKNOWN_ENUM_VALUE"),
        (
            v1.ListPaymentsRequest(status=[v1.PAYMENT_STATUS_UNSPECIFIED]),
            "status",
            "UNKNOWN_ENUM_VALUE",
        ),
        (
            v1.ListPaymentsRequest(created_after=Timestamp(seconds=-1)),
            "created_after",
            "TIMESTAMP_OUT_OF_RANGE",
        ),
        (
            v1.ListPaymentsRequest(status=[v1.PAYMENT_STATUS_FAILED] * 51),
            "status",
            "TOO_MANY_VALUES",
        ),
        (v1.ListPaymentsRequest(currency="eur"), "currency", "UNKNOWN_CURRENCY"),
        (
            v1.ListPaymentsRequest(
                created_after=Timestamp(seconds=2), created_before=Timestamp(seconds=2)
            ),
            "created_after",
            "TIME_RANGE_EMPTY",
        ),
    ],
)
async def test_bad_filters_name_their_field(
    rig: Rig, request_: v1.ListPaymentsRequest, field: str, reason: str
) -> None:
    stub = v1.PaymentServiceStub(rig.channel)
    told = await refused(stub.ListPayments(request_, metadata=(AUTH,)))
    assert told.fields == [(field, reason)]
    assert rig.stand_in.asked == []


async def test_a_type_that_no_event_has_is_refused(rig: Rig) -> None:
    """It would give an empty list, or a stream that waits for ever."""
    stub = v1.EventServiceStub(rig.channel)
    types = ["payment.*", "payment.captures"]
    listed = await refused(stub.ListEvents(v1.ListEventsRequest(types=types), metadata=(AUTH,)))
    streamed = await refused(
        stub.StreamEvents(v1.StreamEventsRequest(types=types), metadata=(AUTH,)).read()
    )
    for told in (listed, streamed):
        assert told.fields == [("types[1]", "UNKNOWN_EVENT_TYPE")]
        assert "did you mean payment.captured?" in told.message
    # What merely looks like one is not suggested.
    unlike = v1.ListEventsRequest(types=["payment.succeeded"])
    assert "did you mean" not in (await refused(stub.ListEvents(unlike, metadata=(AUTH,)))).message
    assert rig.stand_in.asked == []
    every = [kind.value for kind in EventType]
    await stub.ListEvents(v1.ListEventsRequest(types=[*every, "refund.*"]), metadata=(AUTH,))


async def test_a_token_with_other_filters_is_refused(rig: Rig) -> None:
    rig.stand_in.payments = [a_payment(2), a_payment(1)]
    stub = v1.PaymentServiceStub(rig.channel)
    page = await stub.ListPayments(v1.ListPaymentsRequest(page_size=1), metadata=(AUTH,))
    other = v1.ListPaymentsRequest(page_token=page.next_page_token, currency="USD")
    told = await refused(stub.ListPayments(other, metadata=(AUTH,)))
    assert told.fields == [("page_token", "PAGE_TOKEN_MISMATCH")]
    # Another size is no other filter.
    more = v1.ListPaymentsRequest(page_size=50, page_token=page.next_page_token)
    page = await stub.ListPayments(more, metadata=(AUTH,))
    assert [one.merchant_reference for one in page.payments] == ["order-1"]


async def test_refunds_and_events_come_page_by_page(rig: Rig) -> None:
    payment = a_payment()
    rig.stand_in.refunds = [(payment, a_refund(payment, number)) for number in (3, 2, 1)]
    refunds = v1.RefundServiceStub(rig.channel)
    first = await refunds.ListRefunds(v1.ListRefundsRequest(page_size=2), metadata=(AUTH,))
    rest = await refunds.ListRefunds(
        v1.ListRefundsRequest(page_size=2, page_token=first.next_page_token), metadata=(AUTH,)
    )
    ids = [one.refund_id[-1] for one in [*first.refunds, *rest.refunds]]
    assert (ids, rest.next_page_token) == (["3", "2", "1"], "")
    rig.stand_in.events = [an_event(1), an_event(2, EventType.REFUND_CREATED), an_event(30)]
    events = v1.EventServiceStub(rig.channel)
    one = await events.ListEvents(v1.ListEventsRequest(page_size=2), metadata=(AUTH,))
    two = await events.ListEvents(
        v1.ListEventsRequest(page_size=2, page_token=one.next_page_token), metadata=(AUTH,)
    )
    assert [event.cursor for event in [*one.events, *two.events]] == ["1", "2", "30"]
    assert two.next_page_token == ""


async def test_an_event_carries_its_snapshot(rig: Rig) -> None:
    rig.stand_in.events = [an_event(1), an_event(2, EventType.REFUND_SUCCEEDED)]
    page = await v1.EventServiceStub(rig.channel).ListEvents(
        v1.ListEventsRequest(), metadata=(AUTH,)
    )
    paid, refunded = page.events
    assert (paid.type, paid.WhichOneof("snapshot")) == ("payment.authorized", "payment")
    assert paid.payment.payment_id == paid.payment_id and paid.refund_id == ""
    assert paid.mode == v1.MODE_TEST and paid.created_at.seconds == 1_700_000_000
    assert refunded.WhichOneof("snapshot") == "refund"
    assert refunded.refund.refund_id == refunded.refund_id != ""


async def test_every_type_of_event_has_a_snapshot(rig: Rig) -> None:
    rig.stand_in.events = [an_event(number + 1, kind) for number, kind in enumerate(EventType)]
    page = await v1.EventServiceStub(rig.channel).ListEvents(
        v1.ListEventsRequest(page_size=100), metadata=(AUTH,)
    )
    assert [one.type for one in page.events] == [kind.value for kind in EventType]
    assert all(one.WhichOneof("snapshot") for one in page.events)


async def test_a_stream_resumes_after_a_cursor(rig: Rig) -> None:
    rig.stand_in.events = [an_event(number) for number in (1, 2, 3)]
    stub = v1.EventServiceStub(rig.channel)
    call = stub.StreamEvents(
        v1.StreamEventsRequest(cursor="1", types=["payment.*"], payment_id="pay_1"),
        metadata=(AUTH, ("x-request-id", "mine-1")),
    )
    assert dict(await call.initial_metadata() or ())["x-request-id"] == "mine-1"
    seen = [await call.read(), await call.read()]
    assert [one.cursor for one in seen if isinstance(one, v1.Event)] == ["2", "3"]
    caller, want, from_now = rig.stand_in.asked[-1]
    assert (caller.merchant_id, want.after, from_now) == ("mer_face", 1, False)
    assert (list(want.types), want.payment_id) == (["payment.*"], "pay_1")
    call.cancel()
    # The reader behind the face is let go of.
    await asyncio.wait_for(rig.stand_in.cancelled.wait(), 10)


async def test_a_stream_from_now_counts_only_without_a_cursor(rig: Rig) -> None:
    stub = v1.EventServiceStub(rig.channel)
    for cursor, expected in (("", True), ("7", False)):
        call = stub.StreamEvents(
            v1.StreamEventsRequest(cursor=cursor, from_now=True), metadata=(AUTH,)
        )
        await call.initial_metadata()
        await asyncio.wait_for(rig.stand_in.begun.wait(), 10)
        rig.stand_in.begun.clear()
        assert rig.stand_in.asked[-1][2] is expected
        call.cancel()


@pytest.mark.parametrize("cursor", ["x", "-1", "1.5", "²", "9" * 19, "1" * 50])
async def test_a_cursor_that_is_none_is_refused(rig: Rig, cursor: str) -> None:
    stub = v1.EventServiceStub(rig.channel)
    told = await refused(
        stub.StreamEvents(v1.StreamEventsRequest(cursor=cursor), metadata=(AUTH,))
    )
    assert told.fields == [("cursor", "CURSOR_INVALID")]


async def test_a_stream_asks_for_an_api_key(rig: Rig) -> None:
    stub = v1.EventServiceStub(rig.channel)
    told = await refused(stub.StreamEvents(v1.StreamEventsRequest()))
    assert (told.code.name, told.info.reason) == ("UNAUTHENTICATED", "API_KEY_MISSING")


async def test_a_drain_ends_streams_and_lets_calls_finish() -> None:
    async with running() as rig:
        rig.stand_in.events = [an_event(1)]
        health = health_pb2_grpc.HealthStub(rig.channel)
        watch = health.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == SERVING
        stream = v1.EventServiceStub(rig.channel).StreamEvents(
            v1.StreamEventsRequest(), metadata=(AUTH,)
        )
        event = await stream.read()
        assert isinstance(event, v1.Event) and event.cursor == "1"
        rig.stand_in.begun.clear()
        rig.stand_in.hold = asyncio.Event()
        raw = v1.CreatePaymentRequest(merchant_reference="r").SerializeToString()
        call = asyncio.create_task(rig.send("PaymentService/CreatePayment", raw, AUTH, IDEM))
        await asyncio.wait_for(rig.stand_in.begun.wait(), 10)

        draining = asyncio.create_task(rig.server.drain())
        assert (await watch.read()).status == NOT_SERVING
        told = await refused(stream)
        assert (told.code.name, told.info.reason) == ("UNAVAILABLE", "DRAINING")
        assert told.retry.retry_delay.ToMilliseconds() == 1_000
        assert (await refused(watch)).code is grpc.StatusCode.UNAVAILABLE
        assert not draining.done()
        # The call in flight is answered, a new one is not taken.
        late = grpc.aio.insecure_channel(f"127.0.0.1:{rig.server.port}")
        refused_call: Any = late.unary_unary("/turnout.v1.PaymentService/CreatePayment")
        told = await refused(refused_call(raw, metadata=(AUTH, IDEM), timeout=5))
        assert told.code is grpc.StatusCode.UNAVAILABLE
        await late.close()
        rig.stand_in.hold.set()
        assert await call == b"CreatePayment"
        await asyncio.wait_for(draining, 10)


async def test_health_says_serving_only_when_ready(rig: Rig) -> None:
    health = health_pb2_grpc.HealthStub(rig.channel)
    for ready, status in ((True, SERVING), (False, NOT_SERVING), (True, SERVING)):
        await rig.server.set_ready(ready)
        for name in ("", *SERVICES):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == status
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await health.Check(health_pb2.HealthCheckRequest(service="no.such.Service"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_health_says_not_serving_before_it_is_told_otherwise() -> None:
    async with running(ready=False) as rig:
        health = health_pb2_grpc.HealthStub(rig.channel)
        for name in ("", *SERVICES):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == NOT_SERVING


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_tells_the_contract(rig: Rig, version: str) -> None:
    call: Any = rig.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    asked = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="turnout.v1.PaymentService"),
    ]
    services, file = [answer async for answer in call(iter(asked))]
    names = {one.name for one in services.list_services_response.service}
    assert set(SERVICES) | {"grpc.health.v1.Health"} <= names
    assert len(file.file_descriptor_response.file_descriptor_proto) > 3
