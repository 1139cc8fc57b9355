"""Merchants' backends under way: payments, captures, cancels and refunds, each until answered.

Every call is repeated under its own key until there is an answer, as docs/api/idempotency.md asks
of callers. What was answered is kept, because afterwards the record has to stand by it.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import grpc

from tests.e2e.grounds import GOOD_CARDS, Merchant, method, request
from turnout import v1

CLIENTS = 32
CALL_S = 6.0
# One call with all its repetitions, or anything else that must come in the end. It says what can
# no more be waited for, and not how fast anything is: the machine may be busy with other work.
ANSWER_S = 300.0
RETRY_S = 0.1

# Everything after which docs/api/errors.md says: the same call again, under the same key.
AGAIN = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.CANCELLED,
    }
)
# Where the provider can be asked for an outcome and where it cannot; and where it keeps what a
# final capture leaves over.
PROFILES = ("pro_stripe", "pro_adyen", "pro_multi", "pro_demo")


@dataclass(frozen=True, slots=True)
class Answered:
    """One call that got its answer."""

    call: Callable[..., Awaitable[Any]]
    request: Any
    key: str
    answer: Any

    @property
    def bytes(self) -> bytes:
        """The answer, for comparing."""
        return bytes(self.answer.SerializeToString(deterministic=True))


class Load:
    """Callers who do not stop before they are told.

    Attributes:
        answered: what was answered, in order.
        payments: the answers to authorizations, by merchant reference.
        refused: follow-ups that the payment's state did not allow.
        errors: what callers saw before they got their answers.
    """

    def __init__(
        self,
        merchant: Merchant,
        seed: int,
        *,
        clients: int = CLIENTS,
        most: int = 1_000_000,
        profiles: tuple[str, ...] = PROFILES,
        call_s: float = CALL_S,
    ) -> None:
        self.merchant = merchant
        self.answered: list[Answered] = []
        self.payments: dict[str, v1.Payment] = {}
        self.refused: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self._seed = seed
        self._clients = clients
        self._left = most
        self._profiles = profiles
        self._call_s = call_s
        self._stop = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Runs while the body does, and then until all that was begun is answered."""
        callers = [asyncio.create_task(self._client(at)) for at in range(self._clients)]
        try:
            yield
            self._stop.set()
            await asyncio.gather(*callers)
        finally:
            for one in callers:
                one.cancel()
            await asyncio.gather(*callers, return_exceptions=True)

    async def run(self) -> None:
        """Runs until it has begun as many payments as it may."""
        await asyncio.gather(*(self._client(at) for at in range(self._clients)))

    async def until(self, payments: int, limit_s: float = ANSWER_S) -> None:
        """Waits until so many payments have been answered."""
        async with asyncio.timeout(limit_s):
            while len(self.payments) < payments:  # noqa: ASYNC110 (an answer wakes nobody here)
                await asyncio.sleep(0.02)

    async def ask(self, call: Callable[..., Awaitable[Any]], asked: Any, key: str) -> Any:
        """Calls under one key until there is an answer, and keeps that.

        Returns:
            None where the payment's state forbids it.
        """
        answer = await self.repeat(call, asked, key)
        if answer is not None:
            self.answered.append(Answered(call, asked, key, answer))
        return answer

    async def repeat(self, call: Callable[..., Awaitable[Any]], asked: Any, key: str) -> Any:
        """Calls under one key until there is an answer; None where the state forbids it."""
        metadata = self.merchant.ground.metadata(key)
        async with asyncio.timeout(ANSWER_S):
            while True:
                try:
                    return await call(asked, metadata=metadata, timeout=self._call_s)
                except grpc.aio.AioRpcError as error:
                    self.errors[error.code().name] += 1
                    if error.code() is grpc.StatusCode.FAILED_PRECONDITION and asked_later(asked):
                        self.refused[type(asked).__name__] += 1
                        return None
                    if error.code() not in AGAIN:
                        raise
                    await asyncio.sleep(RETRY_S)

    async def _client(self, at: int) -> None:
        dice = Random(f"{self._seed}/{at}")
        number = 0
        while not self._stop.is_set() and self._left > 0:
            self._left -= 1
            number += 1
            reference = f"chaos-{at}-{number}"
            manual = dice.random() < 0.5
            payment = await self.ask(
                self.merchant.payments.AuthorizePayment,
                request(
                    reference,
                    amount_minor=dice.randrange(100, 90_000),
                    payment_method=method(dice.choice(GOOD_CARDS)),
                    profile_id=dice.choice(self._profiles),
                    capture_method=v1.CAPTURE_METHOD_MANUAL
                    if manual
                    else v1.CAPTURE_METHOD_AUTOMATIC,
                ),
                reference,
            )
            self.payments[reference] = payment
            await self._follow_up(payment, dice)

    async def _follow_up(self, payment: v1.Payment, dice: Random) -> None:
        """A capture or cancel of what is held, a refund of what was taken, or nothing."""
        name = payment.merchant_reference
        what = dice.random()
        if payment.capturable_minor:
            if what < 0.6:
                taken = payment.capturable_minor // (2 if what < 0.2 else 1)
                asked = v1.CapturePaymentRequest(
                    payment_id=payment.payment_id,
                    amount_minor=taken,
                    currency=payment.currency,
                    final_capture=True,
                )
                captured = await self.ask(
                    self.merchant.payments.CapturePayment, asked, f"{name}-capture"
                )
                if captured is not None:
                    payment = captured
            elif what < 0.8:
                cancel = v1.CancelPaymentRequest(payment_id=payment.payment_id)
                await self.ask(self.merchant.payments.CancelPayment, cancel, f"{name}-cancel")
        if payment.refundable_minor and dice.random() < 0.5:
            refund = v1.CreateRefundRequest(
                payment_id=payment.payment_id,
                amount_minor=dice.randrange(1, payment.refundable_minor + 1),
                currency=payment.currency,
                merchant_reference=f"{name}-refund",
            )
            await self.ask(self.merchant.refunds.CreateRefund, refund, f"{name}-refund")


def asked_later(asked: Any) -> bool:
    """Whether this is about a payment that is there already."""
    return bool(getattr(asked, "payment_id", ""))
