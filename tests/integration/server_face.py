"""A real gRPC server on a free port over stand-ins for orchestration, for tests of the face."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

from turnout.config.sections import Server
from turnout.domain.accounts import ApiKey, OperatorKey
from turnout.domain.events import Event, EventType
from turnout.domain.ledger import Balance, LedgerTransaction
from turnout.domain.operation import Operation, OperationDetails, OperationKind, OperationState
from turnout.domain.payment import CaptureMethod, Payment, PaymentDetails, PaymentStatus
from turnout.orchestration.commands import Caller, Idempotency
from turnout.ports import (
    BalanceFilter,
    EventFilter,
    LedgerFilter,
    PaymentFilter,
    RefundFilter,
    ReviewFilter,
    StoredWebhook,
)
from turnout.server.auth import KeyRing
from turnout.server.encode import ProtoEncoder
from turnout.server.face import Call
from turnout.server.server import GrpcServer, build_server
from turnout.server.services import Services

KEY = "sk_test_face"
NOW_NS = 1_700_000_000_123_456_789
OPERATOR_KEY = "sk_operator_face"
OPERATOR_AUTH = ("authorization", f"Bearer {OPERATOR_KEY}")
AUTH = ("authorization", f"Bearer {KEY}")


class StillClock:
    """A clock that stands until it is turned."""

    def __init__(self) -> None:
        self.time_ns = 1_000_000_000

    def now_ns(self) -> int:
        return NOW_NS

    def monotonic_ns(self) -> int:
        return self.time_ns


class CountingRandom:
    """Not random at all: counts."""

    def __init__(self) -> None:
        self._count = 0

    def bytes(self, count: int) -> bytes:
        self._count += 1
        return self._count.to_bytes(count, "big")

    def seed(self) -> int:
        return 1


class Calls:
    """Keeps what the observer was told."""

    def __init__(self) -> None:
        self.ended: list[Call] = []

    def finished(self, call: Call) -> None:
        self.ended.append(call)


def a_payment(number: int = 1, **changes: Any) -> Payment:
    """A payment that waits for its confirmation, with `changes`."""
    fields: dict[str, Any] = {
        "payment_id": f"pay_{number:032x}",
        "merchant_id": "mer_face",
        "profile_id": "default",
        "merchant_reference": f"order-{number}",
        "live": False,
        "amount_minor": 1_999,
        "currency": "EUR",
        "capture_method": CaptureMethod.MANUAL,
        "status": PaymentStatus.REQUIRES_CONFIRMATION,
        "created_at_ns": NOW_NS + number,
        "updated_at_ns": NOW_NS + number,
        "details": PaymentDetails(),
    }
    return Payment(**{**fields, **changes})


def a_refund(payment: Payment, number: int = 1, **changes: Any) -> Operation:
    """A refund that the provider has taken, with `changes`."""
    fields: dict[str, Any] = {
        "operation_id": f"ref_{number:032x}",
        "payment_id": payment.payment_id,
        "merchant_id": payment.merchant_id,
        "kind": OperationKind.REFUND,
        "sequence": 2,
        "account_id": "acc_face",
        "provider": "stripe",
        "amount_minor": 500,
        "currency": payment.currency,
        "state": OperationState.PENDING,
        "created_at_ns": NOW_NS + number,
        "updated_at_ns": NOW_NS + number,
        "details": OperationDetails(reason="returned", merchant_reference="back-1"),
    }
    return Operation(**{**fields, **changes})


def an_event(cursor: int, kind: EventType = EventType.PAYMENT_AUTHORIZED) -> Event:
    """An event whose snapshot is a payment or a refund, as its type says."""
    payment = a_payment()
    refund = a_refund(payment)
    is_refund = kind.value.startswith("refund.")
    encoder = ProtoEncoder()
    return Event(
        event_id=f"evt_{cursor:032x}",
        merchant_id=payment.merchant_id,
        type=kind,
        payment_id=payment.payment_id,
        operation_id=refund.operation_id if is_refund else "",
        created_at_ns=NOW_NS,
        payload=encoder.refund(payment, refund) if is_refund else encoder.payment(payment),
        cursor=cursor,
    )


class StandIn:
    """Every service at once: notes what it was asked, answers what it was told to.

    Attributes:
        answers: stored bytes by idempotency key or rpc; what is not here answers the rpc's name.
        raises: raised by every call where it is set.
        hold: awaited by every mutation where it is set.
        holds: the same by idempotency key.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.answers: dict[str, bytes] = {}
        self.raises: Exception | None = None
        self.hold: asyncio.Event | None = None
        self.holds: dict[str, asyncio.Event] = {}
        self.begun = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.payments: list[Payment] = []
        self.refunds: list[tuple[Payment, Operation]] = []
        self.events: list[Event] = []
        self.webhooks: list[StoredWebhook] = []
        self.kept_balances: list[Balance] = []
        self.kept_entries: list[LedgerTransaction] = []

    async def mutate(self, caller: Caller, idem: Idempotency, command: Any) -> bytes:
        self.asked.append((caller, idem, command))
        self.begun.set()
        if self.raises is not None:
            raise self.raises
        hold = self.holds.get(idem.key, self.hold)
        if hold is not None:
            try:
                await hold.wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        return self.answers.get(idem.key) or self.answers.get(idem.rpc, idem.rpc.encode())

    authorize = create = confirm = capture = cancel = mutate

    async def get_payment(self, caller: Caller, payment_id: str) -> Payment:
        self.asked.append((caller, payment_id))
        if self.raises is not None:
            raise self.raises
        return a_payment(payment_id=payment_id)

    async def sync_payment(
        self, caller: Caller, payment_id: str, parameters: dict[str, str]
    ) -> Payment:
        self.asked.append((caller, payment_id, parameters))
        return a_payment(payment_id=payment_id)

    async def list_payments(self, caller: Caller, want: PaymentFilter) -> list[Payment]:
        self.asked.append((caller, want))
        place = want.before
        found = [
            one
            for one in self.payments
            if place is None or (one.created_at_ns, one.payment_id) < place
        ]
        return found[: want.limit]

    async def get_refund(self, caller: Caller, refund_id: str) -> tuple[Payment, Operation]:
        self.asked.append((caller, refund_id))
        payment = a_payment()
        return payment, a_refund(payment, operation_id=refund_id)

    async def list_refunds(
        self, caller: Caller, want: RefundFilter
    ) -> list[tuple[Payment, Operation]]:
        self.asked.append((caller, want))
        place = want.before
        found = [
            (payment, one)
            for payment, one in self.refunds
            if place is None or (one.created_at_ns, one.operation_id) < place
        ]
        return found[: want.limit]

    async def list_events(self, caller: Caller, want: EventFilter) -> list[Event]:
        self.asked.append((caller, want))
        return [one for one in self.events if one.cursor > want.after][: want.limit]

    async def stream_events(
        self, caller: Caller, want: EventFilter, from_now: bool
    ) -> AsyncIterator[Event]:
        self.asked.append((caller, want, from_now))
        try:
            for one in self.events:
                if one.cursor > want.after:
                    yield one
            self.begun.set()
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()

    async def receive(
        self, account_id: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[bytes, str]:
        self.asked.append((account_id, headers, body))
        if self.raises is not None:
            raise self.raises
        return b"[accepted]", "text/plain"

    async def balances(self, caller: Caller, want: BalanceFilter) -> list[Balance]:
        self.asked.append((caller, want))
        return self.kept_balances

    async def entries(self, caller: Caller, want: LedgerFilter) -> list[LedgerTransaction]:
        self.asked.append((caller, want))
        place = want.before
        found = [
            one
            for one in self.kept_entries
            if place is None or (one.created_at_ns, one.transaction_id) < place
        ]
        return found[: want.limit]

    async def list_reviews(self, want: ReviewFilter) -> list[Payment]:
        self.asked.append((want,))
        place = want.after
        found = [
            one
            for one in self.payments
            if place is None or (one.created_at_ns, one.payment_id) > place
        ]
        return found[: want.limit]

    async def list_set_aside(
        self, after: tuple[int, str] | None, limit: int
    ) -> list[StoredWebhook]:
        self.asked.append((after, limit))
        found = [
            one
            for one in self.webhooks
            if after is None or (one.received_at_ns, one.webhook_id) > after
        ]
        return found[:limit]

    def services(self) -> Services:
        return Services(
            payments=_Part(
                authorize=self.mutate,
                create=self.mutate,
                confirm=self.mutate,
                capture=self.mutate,
                cancel=self.mutate,
                get=self.get_payment,
                list=self.list_payments,
                sync=self.sync_payment,
            ),
            refunds=_Part(create=self.mutate, get=self.get_refund, list=self.list_refunds),
            events=_Part(list=self.list_events, stream=self.stream_events),
            tokens=_Part(create=self.mutate),
            webhooks=_Part(receive=self.receive),
            ledger=_Part(balances=self.balances, entries=self.entries),
            reviews=_Part(
                list=self.list_reviews, resolve=self.mutate, set_aside=self.list_set_aside
            ),
            rulesets=_Part(create=self.mutate, activate=self.mutate, rollback=self.mutate),
            explanations=_Part(),
            replays=_Part(),
        )


class _Part:
    def __init__(self, **methods: Callable[..., Any]) -> None:
        self.__dict__.update(methods)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


class Rig:
    """A started server, a channel to it, and everything behind and around it."""

    def __init__(self, server: GrpcServer, stand_in: StandIn, clock: StillClock, keys: KeyRing):
        self.server = server
        self.stand_in = stand_in
        self.clock = clock
        self.keys = keys
        self.calls = Calls()
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{server.port}")

    async def send(
        self,
        method: str,
        raw: bytes,
        *metadata: tuple[str, str | bytes],
        timeout: float | None = 30.0,
    ) -> bytes:
        """Sends bytes as they are; `method` is `Service/Rpc`."""
        call: Any = self.channel.unary_unary(f"/turnout.v1.{method}")
        answer: bytes = await call(raw, metadata=metadata, timeout=timeout)
        return answer

    async def refused(
        self,
        method: str,
        raw: bytes,
        *metadata: tuple[str, str | bytes],
        timeout: float | None = 30.0,
    ) -> Refused:
        """Sends bytes that must be refused, and reads how."""
        try:
            answer = await self.send(method, raw, *metadata, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            return Refused(error)
        raise AssertionError(f"{method} was answered: {answer!r}")


class Refused:
    """A refusal, its details unpacked."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        self.code = error.code()
        self.message = error.details() or ""
        self.trailers = dict(error.trailing_metadata() or ())
        self.info = error_details_pb2.ErrorInfo()
        self.bad = error_details_pb2.BadRequest()
        self.retry = error_details_pb2.RetryInfo()
        self.request = error_details_pb2.RequestInfo()
        raw = self.trailers.get("grpc-status-details-bin")
        self.status = status_pb2.Status()
        if isinstance(raw, bytes):
            self.status.ParseFromString(raw)
        for detail in self.status.details:
            for one in (self.info, self.bad, self.retry, self.request):
                if detail.Is(one.DESCRIPTOR):
                    detail.Unpack(one)

    @property
    def fields(self) -> list[tuple[str, str]]:
        return [(one.field, one.reason) for one in self.bad.field_violations]


@contextlib.asynccontextmanager
async def running(settings: Server | None = None, *, ready: bool = True) -> AsyncIterator[Rig]:
    """A server on a free port of loopback; drained at the end."""
    stand_in, clock, random = StandIn(), StillClock(), CountingRandom()
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    operator = hashlib.sha256(OPERATOR_KEY.encode()).hexdigest()
    keys = KeyRing(
        [ApiKey("key_face", "mer_face", digest)], [OperatorKey("opr_face", "Olga", operator)]
    )
    observed = Calls()
    server = build_server(
        settings or Server(port=0, drain_timeout_ms=5_000),
        stand_in.services(),
        keys,
        clock,
        random,
        observed,
    )
    await server.start()
    rig = Rig(server, stand_in, clock, keys)
    rig.calls = observed
    try:
        if ready:
            await server.set_ready(True)
        yield rig
    finally:
        await rig.channel.close()
        await server.drain()
