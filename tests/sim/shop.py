"""The merchants' side: clients that time out, repeat themselves and change their minds.

What a client was told is written down: the same key must give the same bytes ever after.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import TYPE_CHECKING

from turnout import v1
from turnout.domain.cards import CardDetails
from turnout.domain.errors import (
    DeadlineExceeded,
    IdempotencyKeyReused,
    InvalidRequest,
    NotFound,
    Overloaded,
    RequestInProgress,
    StateConflict,
    TurnoutError,
    Unavailable,
)
from turnout.domain.operation import OperationState
from turnout.domain.payment import CaptureMethod, Payment, PaymentDetails, PaymentStatus
from turnout.orchestration.commands import (
    Caller,
    CancelCommand,
    CaptureCommand,
    CardInput,
    ConfirmCommand,
    Idempotency,
    PaymentCommand,
    RefundCommand,
    TokenCommand,
    TokenInput,
)
from turnout.ports import StoreUnavailable

if TYPE_CHECKING:
    from tests.sim.process import Process
    from tests.sim.world import World

MERCHANT = "mer_sim"
CARDS = (
    "4242424242424242",
    "4111111111111111",
    "4000056655665556",
    "5555555555554444",
    "5105105105105100",
    "2223003122003222",
    "5454545454545454",
    "378282246310005",
    "371449635398431",
    "6011111111111117",
    "3566002020360505",
    "6200000000000005",
)
MASTERCARDS = frozenset(one for one in CARDS if one[0] in "25")
_LATER = (Unavailable, RequestInProgress, DeadlineExceeded, Overloaded, StoreUnavailable)
_TRIES_MOST = 400
_UNDECIDED = (PaymentStatus.PROCESSING, PaymentStatus.REQUIRES_ACTION)

Work = Callable[["Process", Caller, Idempotency], Awaitable[bytes]]


class Gone(Exception):
    """The call was refused for good; the text is the reason."""


class Shop:
    """All clients of a world."""

    def __init__(self, world: World, random: Random) -> None:
        self.world = world
        self.random = random
        self.acked: dict[tuple[str, str], bytes] = {}
        self.payments: dict[str, bytes] = {}
        self.tokens: set[str] = set()
        self.calls = 0
        # How likely a merchant goes on with a payment after each step of it.
        self.goes_on = random.choice((0.3, 0.5, 0.7))

    # --- calls ---------------------------------------------------------------------------

    async def call(self, rpc: str, key: str, body: bytes, work: Work) -> bytes:
        """One idempotent call, repeated under its key until there is an answer.

        Raises:
            Gone: it was refused and nothing was stored.
        """
        random = self.random
        if random.random() < 0.08:
            first, second = await asyncio.gather(
                self._until_answered(rpc, key, body, work),
                self._until_answered(rpc, key, body, work),
                return_exceptions=True,
            )
            if isinstance(first, bytes) and isinstance(second, bytes) and first != second:
                self.world.watch.fault("I5", f"two answers to {rpc} {key} at the same time")
            answer = first if isinstance(first, bytes) else second
            if isinstance(answer, BaseException):
                raise answer
        else:
            answer = await self._until_answered(rpc, key, body, work)
        if random.random() < 0.12:
            await self._until_answered(rpc, key, body, work)
        if random.random() < 0.04:
            await self._other_body(rpc, key, work)
        return answer

    async def _until_answered(self, rpc: str, key: str, body: bytes, work: Work) -> bytes:
        why = ""
        for attempt in range(_TRIES_MOST):
            try:
                answer = await self._once(rpc, key, body, work)
            except _LATER as error:
                answer, why = None, getattr(error, "reason", "")
            except IdempotencyKeyReused:
                self.world.watch.fault("I5", f"{rpc} {key} was refused as reused")
                raise Gone("reused") from None
            except (StateConflict, InvalidRequest, NotFound) as error:
                if (rpc, key) in self.acked:
                    self.world.watch.fault("I5", f"{rpc} {key} was answered, then {error}")
                raise Gone(error.reason) from None
            except TurnoutError as error:
                self.world.watch.fault("I5", f"{rpc} {key} ended in {error.reason}: {error}")
                raise Gone(error.reason) from None
            except Exception as error:
                self.world.watch.fault("defect", f"{rpc} {key} ended in {error!r}")
                raise Gone("defect") from error
            if answer is not None:
                self._ack(rpc, key, answer)
                return answer
            await asyncio.sleep(min(0.5 * 1.7 ** min(attempt, 8), 20) * self.random.random())
        # Undecided attempts hold their places under a scheme's limit until a person has decided.
        held = any(not one.declined_at_ns for one in self.world.disk.record._attempts.values())
        if why != "SCHEME_COUNTERS_BUSY" or not held:
            self.world.watch.fault("I2", f"{rpc} {key} was never answered: {why}")
        raise Gone("unanswered")

    async def _once(self, rpc: str, key: str, body: bytes, work: Work) -> bytes | None:
        """One try; None where the line broke, the deadline passed or the process died."""
        world, loop = self.world, self.world.loop
        process = world.process
        if process is None or not process.ready:
            return None
        self.calls += 1
        timeout_s = self.random.choice((0.3, 2.0, 8.0, 30.0))
        caller = Caller(MERCHANT, "key_sim", False, int((loop.now_s + timeout_s) * 1e9))
        idem = Idempotency(rpc, key, body)
        task = process.spawn("call", _begun(work, process, caller, idem))
        hangs_up_s = timeout_s + 0.02
        if world.plan.strikes("caller_hangs_up", self.random):
            hangs_up_s = self.random.random() * 0.3
        timer = loop.call_later(hangs_up_s, task.cancel)
        told: asyncio.Future[None] = loop.create_future()
        task.add_done_callback(lambda _: told.set_result(None))
        await told
        timer.cancel()
        if task.cancelled():
            return None
        answer: bytes = task.result()
        return answer

    def _ack(self, rpc: str, key: str, answer: bytes) -> None:
        before = self.acked.setdefault((rpc, key), answer)
        if before != answer:
            self.world.watch.fault("I5", f"{rpc} {key} was answered differently the second time")

    async def _other_body(self, rpc: str, key: str, work: Work) -> None:
        try:
            answer = await self._once(rpc, key, b"another body", work)
        except IdempotencyKeyReused:
            return
        except _LATER:
            return
        except TurnoutError as error:
            self.world.watch.fault("I5", f"{rpc} {key} with another body: {error.reason}")
            return
        if answer is not None:
            self.world.watch.fault("I5", f"{rpc} {key} was answered with another body")

    # --- customers -----------------------------------------------------------------------

    async def customer(self, number: int) -> None:
        """One payment from its beginning to its end."""
        random = self.random
        await asyncio.sleep(random.random() * self.world.chaos_s)
        try:
            payment_id = await self._pay(number)
            payment = await self._settled(payment_id)
            while payment is not None and random.random() < self.goes_on:
                before = payment.version
                payment = await self._follow(payment, f"{number}-{before}")
        except Gone:
            return

    async def _pay(self, number: int) -> str:
        """Authorizes, in one of the ways there are; returns the payment's id."""
        random = self.random
        card = CardDetails(random.choice(CARDS), 3, 2030, "737", "A Payer")
        amount, reference = random.randint(100, 50_000), f"order-{number}"
        method = random.choice((CaptureMethod.AUTOMATIC, CaptureMethod.MANUAL))
        currency = random.choice(("EUR", "USD"))
        kind = random.random()
        token = ""
        if kind > 0.8:
            token = await self._token(number, card)

        def command(with_method: bool) -> PaymentCommand:
            given = TokenInput(token, "737") if token else CardInput(card)
            return PaymentCommand(
                reference,
                amount,
                currency,
                method,
                given if with_method else None,
                PaymentDetails(return_url="https://shop.example/back"),
            )

        body = f"{reference}:{amount}:{currency}:{method}".encode()
        if kind < 0.75 or token:
            answer = await self.call(
                "authorize",
                f"a{number}",
                body,
                lambda process, caller, idem: process.payments.authorize(
                    caller, idem, command(True)
                ),
            )
            return self._named(answer)
        with_method = random.random() < 0.5
        answer = await self.call(
            "create",
            f"c{number}",
            body,
            lambda process, caller, idem: process.payments.create(
                caller, idem, command(with_method)
            ),
        )
        payment_id = self._named(answer)
        await asyncio.sleep(random.random() * 2)
        await self._confirm(payment_id, f"{number}", card)
        return payment_id

    def _named(self, answer: bytes) -> str:
        payment_id = v1.Payment.FromString(answer).payment_id
        self.payments[payment_id] = answer
        return payment_id

    async def _token(self, number: int, card: CardDetails) -> str:
        answer = await self.call(
            "token",
            f"t{number}",
            b"token",
            lambda process, caller, idem: process.tokens.create(
                caller, idem, TokenCommand(CardInput(card))
            ),
        )
        token_id = v1.Token.FromString(answer).token_id
        self.tokens.add(token_id)
        return token_id

    async def _confirm(self, payment_id: str, name: str, card: CardDetails) -> None:
        await self.call(
            "confirm",
            f"f{name}",
            payment_id.encode(),
            lambda process, caller, idem: process.payments.confirm(
                caller, idem, ConfirmCommand(payment_id, CardInput(card))
            ),
        )

    async def _read(self, payment_id: str, sync: bool) -> Payment | None:
        """The payment as it stands; None where it cannot be read now."""
        process = self.world.process
        if process is None or not process.ready:
            return None
        caller = Caller(MERCHANT, "key_sim", False, int((self.world.loop.now_s + 30) * 1e9))
        payments = process.payments
        work = payments.sync(caller, payment_id) if sync else payments.get(caller, payment_id)
        task = process.spawn("call", work)
        await asyncio.wait([task])
        if task.cancelled():
            return None
        try:
            payment: Payment = task.result()
        except _LATER:
            return None
        except NotFound:
            self.world.watch.fault("I2", f"{payment_id} was answered for and is not there")
            raise Gone("lost") from None
        except Exception as error:
            self.world.watch.fault("defect", f"reading {payment_id} ended in {error!r}")
            raise Gone("defect") from error
        return payment

    async def _settled(self, payment_id: str) -> Payment | None:
        """Waits until something is known of it; plays the payer on the way.

        It looks at what is durable, which costs nothing, and calls the process only now and then.
        """
        random, record = self.random, self.world.disk.record
        for _ in range(30):
            standing = record._payments[payment_id]
            if standing.status not in _UNDECIDED:
                return record._whole(standing)
            if random.random() < 0.25:
                await self._read(payment_id, sync=random.random() < 0.7)
            if standing.status is PaymentStatus.REQUIRES_ACTION:
                self._payer_returns(record._whole(standing))
            await self.world.watch.change_of(payment_id, 100.0)
        return None

    def _payer_returns(self, payment: Payment) -> None:
        mind = self.random.random()
        if mind < 0.3:
            return
        for one in payment.operations:
            if one.state is OperationState.REQUIRES_ACTION:
                model = self.world.models[one.provider]
                self.world.loop.call_later(
                    self.random.random() * 20, model.finish_action, one.operation_id, mind < 0.85
                )

    async def _follow(self, payment: Payment, name: str) -> Payment | None:
        """The next thing that a merchant does with a payment in this state."""
        random, status = self.random, payment.status
        await asyncio.sleep(random.random() * 3)
        try:
            if status in (PaymentStatus.REQUIRES_CAPTURE, PaymentStatus.PARTIALLY_CAPTURED):
                if random.random() < 0.2:
                    await self._cancel(payment, name)
                else:
                    await self._capture(payment, name)
            elif status is PaymentStatus.SUCCEEDED:
                await self._refund(payment, name)
            elif status is PaymentStatus.REQUIRES_PAYMENT_METHOD:
                card = CardDetails(random.choice(CARDS), 3, 2030, "737", "A Payer")
                await self._confirm(payment.payment_id, name, card)
            else:
                return None
        except Gone:
            await asyncio.sleep(random.random() * 5)
        return await self._settled(payment.payment_id)

    async def _capture(self, payment: Payment, name: str) -> None:
        rest = payment.capturable_minor
        part = self.random.choice((0, 0, max(1, rest // 2), max(1, rest // 3)))
        final = self.random.random() < 0.3
        await self.call(
            "capture",
            f"p{name}",
            f"{payment.payment_id}:{part}:{final}".encode(),
            lambda process, caller, idem: process.payments.capture(
                caller, idem, CaptureCommand(payment.payment_id, part, final=final)
            ),
        )

    async def _cancel(self, payment: Payment, name: str) -> None:
        await self.call(
            "cancel",
            f"x{name}",
            payment.payment_id.encode(),
            lambda process, caller, idem: process.payments.cancel(
                caller, idem, CancelCommand(payment.payment_id, "requested_by_customer")
            ),
        )

    async def _refund(self, payment: Payment, name: str) -> None:
        rest = payment.refundable_minor
        part = self.random.choice((0, max(1, rest // 2), max(1, rest // 4), rest + 1))
        names = (f"r{name}", f"r{name}b") if self.random.random() < 0.3 else (f"r{name}",)

        def work(process: Process, caller: Caller, idem: Idempotency) -> Awaitable[bytes]:
            return process.refunds.create(
                caller, idem, RefundCommand(payment.payment_id, part, reason="duplicate")
            )

        body = f"{payment.payment_id}:{part}".encode()
        await asyncio.gather(
            *(self.call("refund", one, body, work) for one in names), return_exceptions=True
        )


async def _begun(work: Work, process: Process, caller: Caller, idem: Idempotency) -> bytes:
    """Makes the call when its task runs, so that one cancelled before leaves nothing unawaited."""
    return await work(process, caller, idem)
