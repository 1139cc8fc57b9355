"""What the end-to-end tests share: a running Turnout of their own, and a merchant who calls it."""

import asyncio
import itertools
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc

from turnout import v1
from turnout.cli.playground import IMPATIENT, Playground, write_playground

# Published test numbers that both simulated providers approve. Not 4111111111111111: that one is
# the example in the API's description, which stands in Envoy's configuration under var/.
GOOD_CARDS = (
    "4242424242424242",
    "4000056655665556",
    "5555555555554444",
    "2223003122003222",
    "378282246310005",
    "6011111111111117",
    "36227206271667",
    "3566002020360505",
)
# Four digits with nothing else in them, so that they can be looked for.
CVC = "9173"
UNDECIDED = (v1.PAYMENT_STATUS_PROCESSING, v1.PAYMENT_STATUS_REQUIRES_ACTION)
SETTLE_S = 60.0


@asynccontextmanager
async def playground(
    room: Path, *, timeout_ms: int = 5_000, more: str = IMPATIENT
) -> AsyncIterator[Playground]:
    """A running Turnout; its processes' last words go to the test's output when it fails."""
    ground = Playground(write_playground(room, timeout_ms=timeout_ms, more=more))
    try:
        async with ground:
            yield ground
    finally:
        for name, line in ground.log[-60:]:
            print(f"{name:<8}| {line[:500]}")


def method(number: str = GOOD_CARDS[0], cvc: str = "") -> v1.PaymentMethod:
    code = cvc or (CVC if number.startswith("3") and len(number) == 15 else CVC[:3])
    return v1.PaymentMethod(
        card=v1.Card(number=number, expiry_month=3, expiry_year=2030, cvc=code)
    )


def request(reference: str, **changes: Any) -> v1.AuthorizePaymentRequest:
    fields: dict[str, Any] = {
        "merchant_reference": reference,
        "amount_minor": 1_099,
        "currency": "EUR",
        "payment_method": method(),
    }
    return v1.AuthorizePaymentRequest(**{**fields, **changes})


async def in_flight(ground: Playground) -> int:
    """Calls to Adyen that are under way, as the server's own figures tell."""
    process = await asyncio.create_subprocess_exec(
        *("curl", "-sS", f"http://127.0.0.1:{ground.settings.operations.port}/metrics"),
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    found = re.search(
        rb'turnout_account_in_flight_calls\{account_id="acc_adyen_main"\} (\d+)', said
    )
    return int(found[1]) if found else 0


class Merchant:
    """Calls the gRPC face as a merchant's backend would."""

    def __init__(self, ground: Playground) -> None:
        self.ground = ground
        self.payments = v1.PaymentServiceStub(ground.grpc)
        self.refunds = v1.RefundServiceStub(ground.grpc)
        self._keys = itertools.count(1)

    async def authorize(self, reference: str, key: str = "", **changes: Any) -> v1.Payment:
        answer: v1.Payment = await self.payments.AuthorizePayment(
            request(reference, **changes), metadata=self.ground.metadata(key or reference)
        )
        return answer

    def new_key(self) -> list[tuple[str, str]]:
        return self.ground.metadata(f"key-{next(self._keys)}")

    async def get(self, payment_id: str) -> v1.Payment:
        answer: v1.Payment = await self.payments.GetPayment(
            v1.GetPaymentRequest(payment_id=payment_id), metadata=self.ground.metadata()
        )
        return answer

    async def settled(self, payment_id: str, limit_s: float = SETTLE_S) -> v1.Payment:
        """The payment once its outcome is known."""
        async with asyncio.timeout(limit_s):
            while True:
                payment = await self.get(payment_id)
                if payment.status not in UNDECIDED:
                    return payment
                await asyncio.sleep(0.05)

    async def all(self) -> list[v1.Payment]:
        """Every payment, newest first, by the pages that any merchant can read."""
        found: list[v1.Payment] = []
        token = ""
        while True:
            page = await self.payments.ListPayments(
                v1.ListPaymentsRequest(page_size=100, page_token=token),
                metadata=self.ground.metadata(),
            )
            found += page.payments
            token = page.next_page_token
            if not token:
                return found

    async def all_settled(self, limit_s: float = SETTLE_S) -> list[v1.Payment]:
        """Every payment, once all their outcomes are known."""
        async with asyncio.timeout(limit_s):
            while True:
                found = await self.all()
                if not [one for one in found if one.status in UNDECIDED]:
                    return found
                await asyncio.sleep(0.2)


async def authorize_through_crashes(
    merchant: Merchant, asked: v1.AuthorizePaymentRequest, limit_s: float = 60.0
) -> v1.Payment:
    """What a careful merchant does: the same call under the same key until there is an answer."""
    metadata = merchant.ground.metadata(asked.merchant_reference)
    async with asyncio.timeout(limit_s):
        while True:
            try:
                answer: v1.Payment = await merchant.payments.AuthorizePayment(
                    asked, metadata=metadata, timeout=20
                )
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                await asyncio.sleep(0.02)
                continue
            return answer
