"""A gRPC server that remembers what reached it, behind a real Envoy, for the tests of the edge."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import aiohttp
import grpc
import pytest
from google.api import httpbody_pb2
from google.protobuf import any_pb2, timestamp_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2_grpc
from grpc_status import rpc_status

from turnout import v1
from turnout.edge.run import Edge, EdgeFailed, find_envoy
from turnout.edge.settings import EdgeSettings

MOMENT = timestamp_pb2.Timestamp(seconds=1_700_000_000, nanos=500_000_000)


@dataclass
class Arrival:
    """One call as the server saw it."""

    request: Any
    metadata: dict[str, str]
    remaining_s: float | None


@dataclass
class Seen:
    """What reached the server, and the gates that its slow answers wait at."""

    arrivals: list[Arrival] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, request: Any, context: Any) -> None:
        metadata = {str(key): str(value) for key, value in context.invocation_metadata()}
        self.arrivals.append(Arrival(request, metadata, context.time_remaining()))
        self.arrived.set()

    @property
    def last(self) -> Arrival:
        return self.arrivals[-1]


def whole_payment(payment_id: str) -> v1.Payment:
    """A payment in which every kind of field is set."""
    decline = v1.Decline(code=v1.DECLINE_CODE_DO_NOT_HONOR, issuer_code="05", hard=True)
    return v1.Payment(
        payment_id=payment_id,
        status=v1.PAYMENT_STATUS_PARTIALLY_CAPTURED,
        amount_minor=2**53 + 1,  # A JSON number would lose the last digit.
        currency="EUR",
        payment_method=v1.PaymentMethodView(
            kind=v1.PAYMENT_METHOD_KIND_CARD,
            card=v1.CardView(network=v1.CARD_NETWORK_VISA, bin="411111", last4="1111"),
        ),
        decline=decline,
        next_action=v1.NextAction(redirect=v1.RedirectAction(url="https://bank.example/3ds")),
        customer=v1.Customer(reference="customer-7"),
        metadata={"basket": "b-77"},
        attempts=[v1.Attempt(attempt_id="att_1", sequence=1, decline=decline, started_at=MOMENT)],
        captures=[v1.Capture(capture_id="cap_1", amount_minor=5, created_at=MOMENT)],
        cancellation=v1.Cancellation(status=v1.CANCELLATION_STATUS_PENDING),
        decision=v1.DecisionSummary(decision_id="dec_1", reasons=["first by priority"]),
        mode=v1.MODE_TEST,
        created_at=MOMENT,
        version=3,
    )


class Payments(v1.PaymentServiceServicer):
    """Answers every payment call; the merchant_reference chooses how."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen

    async def AuthorizePayment(  # noqa: N802
        self, request: Any, context: Any
    ) -> v1.Payment:
        self._seen.note(request, context)
        if request.merchant_reference == "refuse":
            await context.abort_with_status(rpc_status.to_status(refusal()))
        if request.merchant_reference == "wait":
            await self._seen.gate.wait()
        return whole_payment("pay_1")

    async def GetPayment(  # noqa: N802
        self, request: Any, context: Any
    ) -> v1.Payment:
        self._seen.note(request, context)
        return whole_payment(request.payment_id)

    async def ListPayments(  # noqa: N802
        self, request: Any, context: Any
    ) -> v1.ListPaymentsResponse:
        self._seen.note(request, context)
        return v1.ListPaymentsResponse(payments=[whole_payment("pay_1"), v1.Payment()])

    def AuthorizeStream(  # noqa: N802
        self, request_iterator: Any, context: Any
    ) -> NoReturn:
        raise AssertionError("the edge lets no caller's stream through")

    CreatePayment = AuthorizePayment
    ConfirmPayment = GetPayment
    CapturePayment = GetPayment
    CancelPayment = GetPayment
    SyncPayment = GetPayment


class Events(v1.EventServiceServicer):
    """Sends three events, the last behind the gate."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen

    async def ListEvents(  # noqa: N802
        self, request: Any, context: Any
    ) -> v1.ListEventsResponse:
        self._seen.note(request, context)
        return v1.ListEventsResponse()

    async def StreamEvents(  # noqa: N802
        self, request: Any, context: Any
    ) -> AsyncIterator[v1.Event]:
        self._seen.note(request, context)
        for number in (1, 2, 3):
            if number == 3:
                await self._seen.gate.wait()
            yield v1.Event(event_id=f"evt_{number}", cursor=str(number), payment=v1.Payment())


class Webhooks(v1.WebhookServiceServicer):
    """Answers as Adyen wants to be answered."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen

    async def ReceiveProviderWebhook(  # noqa: N802
        self, request: Any, context: Any
    ) -> httpbody_pb2.HttpBody:
        self._seen.note(request, context)
        return httpbody_pb2.HttpBody(content_type="text/plain", data=b"[accepted]")


def refusal() -> status_pb2.Status:
    """An error as our server makes them: ErrorInfo and BadRequest."""
    details = [any_pb2.Any(), any_pb2.Any()]
    details[0].Pack(error_details_pb2.ErrorInfo(reason="AMOUNT_INVALID", domain="turnout"))
    violation = error_details_pb2.BadRequest.FieldViolation(
        field="amount_minor", description="must be above 0"
    )
    details[1].Pack(error_details_pb2.BadRequest(field_violations=[violation]))
    return status_pb2.Status(code=3, message="amount_minor must be above 0", details=details)


@dataclass
class Running:
    """The edge under test, what is behind it, and a client in front."""

    edge: Edge
    seen: Seen
    server: grpc.aio.Server
    client: aiohttp.ClientSession
    room: Path
    upstream_port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.edge.port}"

    async def call(
        self, verb: str, path: str, body: Any = None, **options: Any
    ) -> tuple[int, Any, dict[str, str]]:
        """Return status, parsed JSON and headers of one call."""
        async with self.client.request(verb, self.url + path, json=body, **options) as answer:
            assert answer.content_type == "application/json", await answer.text()
            headers = {name.lower(): value for name, value in answer.headers.items()}
            return answer.status, await answer.json(), headers

    async def authorize(
        self, body: Any, headers: dict[str, str] | None = None
    ) -> tuple[int, Any, dict[str, str]]:
        return await self.call("POST", "/v1/payments:authorize", body, headers=headers)


def require_envoy() -> None:
    try:
        find_envoy(EdgeSettings())
    except EdgeFailed as missing:
        pytest.skip(str(missing))


@asynccontextmanager
async def running(room: Path, settings: EdgeSettings | None = None) -> AsyncIterator[Running]:
    """Run server and edge on ports of the system's choice."""
    require_envoy()
    seen = Seen()
    server = grpc.aio.server()
    v1.add_PaymentServiceServicer_to_server(Payments(seen), server)
    v1.add_EventServiceServicer_to_server(Events(seen), server)
    v1.add_WebhookServiceServicer_to_server(Webhooks(seen), server)
    health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), server)
    upstream_port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    chosen = settings or EdgeSettings(access_log_path=str(room / "access.log"))
    edge = Edge(replace(chosen, listen_port=0, upstream_port=upstream_port), room)
    await edge.start()
    try:
        async with aiohttp.ClientSession() as client:
            yield Running(edge, seen, server, client, room, upstream_port)
    finally:
        seen.gate.set()
        await edge.stop()
        await server.stop(0)
