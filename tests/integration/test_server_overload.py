"""Refusals at the door over the real gRPC face: which calls, what status, when to come again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.integration.server_face import AUTH, Refused
from tests.integration.server_whole import whole
from tests.unit.rig import Rig
from turnout import v1

OVER = grpc.StatusCode.RESOURCE_EXHAUSTED


@dataclass
class Shop:
    """A merchant who calls a whole server."""

    rig: Rig
    payments: Any
    calls: int = 0

    def metadata(self) -> list[tuple[str, str]]:
        self.calls += 1
        return [AUTH, ("idempotency-key", f"key-{self.calls}")]

    async def authorize(self) -> v1.Payment:
        method = v1.PaymentMethod(
            card=v1.Card(number="4242424242424242", expiry_month=3, expiry_year=2030, cvc="737")
        )
        request = v1.AuthorizePaymentRequest(
            merchant_reference=f"order-{self.calls}",
            amount_minor=1_099,
            currency="EUR",
            capture_method=v1.CAPTURE_METHOD_MANUAL,
            payment_method=method,
        )
        answer: v1.Payment = await self.payments.AuthorizePayment(
            request, metadata=self.metadata()
        )
        return answer

    async def capture(self, payment_id: str) -> v1.Payment:
        answer: v1.Payment = await self.payments.CapturePayment(
            v1.CapturePaymentRequest(payment_id=payment_id), metadata=self.metadata()
        )
        return answer

    async def get(self, payment_id: str) -> v1.Payment:
        answer: v1.Payment = await self.payments.GetPayment(
            v1.GetPaymentRequest(payment_id=payment_id), metadata=[AUTH]
        )
        return answer


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with whole(tmp_path) as (rig, channel):
        yield Shop(rig, v1.PaymentServiceStub(channel))


async def refused(call: Any) -> Refused:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return Refused(error.value)


async def test_reads_go_first_then_payments_then_what_finishes_them(shop: Shop) -> None:
    held = [await shop.authorize() for _ in range(3)]
    admission = shop.rig.parts.admission

    admission.note_lag(200)
    told = await refused(shop.get(held[0].payment_id))
    assert (told.code, told.info.reason) == (OVER, "OVERLOADED")
    assert told.retry.retry_delay.ToMilliseconds() == 500
    held.append(await shop.authorize())

    admission.note_lag(400)
    sent = len(shop.rig.provider.calls)
    told = await refused(shop.authorize())
    assert told.code is OVER and told.retry.retry_delay.ToMilliseconds() == 500
    assert len(shop.rig.provider.calls) == sent
    captured = await shop.capture(held[0].payment_id)
    assert captured.status == v1.PAYMENT_STATUS_SUCCEEDED

    admission.note_lag(5_000)
    told = await refused(shop.capture(held[1].payment_id))
    assert told.code is OVER and told.retry.retry_delay.ToMilliseconds() == 500

    for _ in range(10):
        admission.note_lag(0)
    assert (await shop.get(held[1].payment_id)).status == v1.PAYMENT_STATUS_REQUIRES_CAPTURE
    assert (await shop.capture(held[1].payment_id)).status == v1.PAYMENT_STATUS_SUCCEEDED


async def test_a_record_without_room_is_unavailable_and_says_when_to_come_again(
    shop: Shop,
) -> None:
    held = await shop.authorize()
    admission = shop.rig.parts.admission
    admission.hold("record_space", "the record's disk is nearly full")
    sent = len(shop.rig.provider.calls)
    told = await refused(shop.authorize())
    assert (told.code, told.info.reason) == (
        grpc.StatusCode.UNAVAILABLE,
        "RECORD_UNAVAILABLE",
    )
    assert "the record's disk is nearly full; nothing was stored or sent" in told.message
    assert told.retry.retry_delay.ToMilliseconds() == 5_000
    assert len(shop.rig.provider.calls) == sent
    assert (await shop.get(held.payment_id)).payment_id == held.payment_id
    assert (await shop.capture(held.payment_id)).status == v1.PAYMENT_STATUS_SUCCEEDED
    admission.clear("record_space")
    await shop.authorize()
