"""A merchant's shop, which pays over either face: gRPC, or HTTP and JSON through Envoy."""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import Any, TypeVar

import grpc
from google.protobuf import json_format
from google.protobuf.message import Message

from turnout import v1
from turnout.cli.playground import Playground

M = TypeVar("M", bound=Message)

# rpc -> (service, answer, verb, path)
_RPCS: dict[str, tuple[str, type[Message], str, str]] = {
    "AuthorizePayment": ("Payment", v1.Payment, "POST", "/v1/payments:authorize"),
    "CapturePayment": ("Payment", v1.Payment, "POST", "/v1/payments/{payment_id}:capture"),
    "CancelPayment": ("Payment", v1.Payment, "POST", "/v1/payments/{payment_id}:cancel"),
    "GetPayment": ("Payment", v1.Payment, "GET", "/v1/payments/{payment_id}"),
    "CreateRefund": ("Refund", v1.Refund, "POST", "/v1/payments/{payment_id}/refunds"),
    "GetRefund": ("Refund", v1.Refund, "GET", "/v1/refunds/{refund_id}"),
}
_SETTLE_S = 45.0
_LOOK_S = 0.1
_CALL_S = 20.0

UNDECIDED = (v1.PAYMENT_STATUS_PROCESSING,)


class Refused(Exception):
    """The call was refused; `reason` is ErrorInfo's, `field` the first one that it names."""

    def __init__(self, code: str, reason: str, field: str) -> None:
        super().__init__(f"{code} {reason} {field}")
        self.code = code
        self.reason = reason
        self.field = field


class Shop:
    """Calls both faces and keeps what it was told."""

    def __init__(self, ground: Playground) -> None:
        self.ground = ground
        self.has_http = not ground.stack.missing
        # Adyen finishes by webhooks, and they come in through Envoy.
        self.anywhere = "pro_demo" if self.has_http else "pro_stripe"
        self.faces = ("grpc", "http") if self.has_http else ("grpc",)
        self.asked: dict[str, str] = {}

    async def call(
        self, face: str, rpc: str, request: Message, key: str = "", timeout_s: float = _CALL_S
    ) -> bytes:
        """One call; the answer as it came: protobuf from gRPC, JSON from HTTP.

        Raises:
            Refused: with the reason.
            grpc.aio.AioRpcError, OSError: nobody answered.
        """
        service, _, verb, path = _RPCS[rpc]
        if face == "grpc" or not self.has_http:
            path = f"/turnout.v1.{service}Service/{rpc}"
            method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self.ground.grpc.unary_unary(
                path
            )
            raw = request.SerializeToString()
            try:
                answer = await method(raw, metadata=self.ground.metadata(key), timeout=timeout_s)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.UNAVAILABLE:
                    raise
                raise _refusal(error) from error
            return answer
        fields = json_format.MessageToDict(request, preserving_proto_field_name=True)
        for name in ("payment_id", "refund_id"):
            if f"{{{name}}}" in path:
                path = path.replace(f"{{{name}}}", fields.pop(name))
        body = fields if verb == "POST" else None
        status, said = await self.ground.http(verb, path, body, idempotency_key=key)
        if status != 200:
            raise _json_refusal(status, said)
        return said

    async def do(
        self, face: str, rpc: str, request: Message, key: str = "", timeout_s: float = _CALL_S
    ) -> Any:
        """One call; the answer as a message."""
        raw = await self.call(face, rpc, request, key, timeout_s)
        kind = _RPCS[rpc][1]
        if face == "grpc" or not self.has_http:
            return kind.FromString(raw)
        return json_format.Parse(raw, kind())

    async def authorize(
        self, face: str, number: str, amount_minor: int, currency: str, **more: Any
    ) -> v1.Payment:
        """A card payment under a new reference."""
        fields = {"profile_id": self.anywhere, **more}
        request = card_payment(new_reference(), number, amount_minor, currency, **fields)
        payment: v1.Payment = await self.do(
            face, "AuthorizePayment", request, request.merchant_reference
        )
        self.asked[payment.payment_id] = number
        return payment

    async def get(self, payment_id: str) -> v1.Payment:
        """A payment as it stands."""
        payment: v1.Payment = await self.do(
            "grpc", "GetPayment", v1.GetPaymentRequest(payment_id=payment_id)
        )
        return payment

    async def until(self, payment_id: str, hold: Any) -> v1.Payment:
        """The payment once `hold(payment)` is true, or as it stands when patience ends."""
        payment = await self.get(payment_id)
        try:
            async with asyncio.timeout(_SETTLE_S):
                while not hold(payment):
                    await asyncio.sleep(_LOOK_S)
                    payment = await self.get(payment_id)
        except TimeoutError:
            return payment
        return payment

    async def decided(self, payment_id: str) -> v1.Payment:
        """The payment once its outcome is known."""
        return await self.until(payment_id, lambda one: one.status not in UNDECIDED)

    async def all(self) -> list[v1.Payment]:
        """All payments, by pages."""
        found: list[v1.Payment] = []
        stub = v1.PaymentServiceStub(self.ground.grpc)
        token = ""
        while True:
            page = await stub.ListPayments(
                v1.ListPaymentsRequest(page_size=100, page_token=token),
                metadata=self.ground.metadata(),
            )
            found += page.payments
            token = page.next_page_token
            if not token:
                return found


def new_reference() -> str:
    """An order number that was never used."""
    return f"order-{secrets.token_hex(5)}"


def card_payment(
    reference: str, number: str, amount_minor: int, currency: str, **more: Any
) -> v1.AuthorizePaymentRequest:
    """A payment by card."""
    code = "7373" if number.startswith(("34", "37")) else "737"
    card = v1.Card(number=number, expiry_month=3, expiry_year=2030, cvc=code)
    return v1.AuthorizePaymentRequest(
        merchant_reference=reference,
        amount_minor=amount_minor,
        currency=currency,
        payment_method=v1.PaymentMethod(card=card),
        **more,
    )


def word(kind: Any, value: int) -> str:
    """An enumeration's word without its prefix: `succeeded`."""
    name: str = kind.Name(value)
    prefix = kind.Name(0).removesuffix("UNSPECIFIED")
    return name.removeprefix(prefix).lower()


def status_of(payment: v1.Payment) -> str:
    """A payment's status as a word."""
    return word(v1.PaymentStatus, payment.status)


def _refusal(error: grpc.aio.AioRpcError) -> Refused:
    from google.rpc import error_details_pb2
    from grpc_status import rpc_status

    reason = field = ""
    status = rpc_status.from_call(error)
    for detail in status.details if status is not None else ():
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        if detail.Unpack(info):
            reason = info.reason
        elif detail.Unpack(bad) and bad.field_violations:
            field = bad.field_violations[0].field
    return Refused(error.code().name, reason, field)


def _json_refusal(status: int, raw: bytes) -> Refused:
    reason = field = ""
    try:
        said = json.loads(raw)
    except ValueError:
        return Refused(f"HTTP {status}", raw[:100].decode("utf-8", "replace"), "")
    for detail in said.get("details", ()):
        reason = detail.get("reason", reason)
        for violation in detail.get("field_violations", detail.get("fieldViolations", ())):
            field = field or violation.get("field", "")
    return Refused(f"HTTP {status}", reason, field)
