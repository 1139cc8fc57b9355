"""The network: carries the connectors' requests to the simulated providers, or fails to.

Also the couriers of the providers' webhooks, who try again until they are answered, as providers
do, unless the seed says that a webhook is lost for good.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

import orjson

from tests.sim.faults import NETWORK, Plan
from tests.sim.loop import OUTSIDE, ROLE
from turnout.domain.errors import TurnoutError
from turnout.ports import (
    HttpNotSent,
    HttpRequest,
    HttpResponse,
    HttpUnknown,
    StoreUnavailable,
    WebhookRejected,
)

if TYPE_CHECKING:
    from tests.sim.process import Process
    from tests.sim.world import World

Reply = tuple[int, dict[str, str], bytes]
Handler = Callable[[str, str, dict[str, str], bytes], Reply]
Seal = Callable[[float], tuple[dict[str, str], bytes]]

# Beyond a call's own timeout, a copy of it may be on its way this much longer; recovery's
# settle_after_s is the promise that it is not longer than that.
LATE_MOST_S = 55.0
_FAST = (0.004, 0.06)


class SimTransport:
    """One process's connections; they end with it, and what has left goes on."""

    def __init__(self, world: World, process: Process) -> None:
        self._world = world
        self._process = process
        self._loop = world.loop

    async def close(self) -> None:
        """Nothing to close."""

    async def send(self, request: HttpRequest) -> HttpResponse:
        """See `HttpTransport.send`."""
        world, process = self._world, self._process
        process.check()
        role = ROLE.get()
        role = role if role == "call" else "recovery"
        process.point(f"send.{role}.before")
        host, _, rest = request.url.partition("://")[2].partition("/")
        fault = world.network_fault(host, request)
        world.note("send", host, request.method, rest[:60], request.headers.get(
            "Idempotency-Key", ""
        ), fault)  # fmt: skip
        if fault in ("not_sent", "provider_outage"):
            await asyncio.sleep(0.001)
            raise HttpNotSent("connect_refused")
        flight = _Flight(world, process, request, host, f"/{rest}", fault, role)
        status, headers, body = await flight.answer
        process.point(f"send.{role}.answered")
        return HttpResponse(status, headers, body)


class _Flight:
    """One request on its way there and back."""

    __slots__ = ("answer", "fault", "host", "path", "process", "request", "role", "world")

    def __init__(
        self,
        world: World,
        process: Process,
        request: HttpRequest,
        host: str,
        path: str,
        fault: str,
        role: str,
    ) -> None:
        self.world, self.process, self.request = world, process, request
        self.host, self.path, self.fault, self.role = host, path, fault, role
        loop, random = world.loop, world.network_random
        self.answer: asyncio.Future[Reply] = loop.create_future()
        there_s = _FAST[0] + random.random() * _FAST[1]
        timeout_s = request.total_timeout_ms / 1000
        if fault == "late_arrival":
            there_s = timeout_s + random.random() * LATE_MOST_S
        elif fault == "stall":
            there_s = random.random() * timeout_s * 1.2
        if fault in ("timeout_before", "reset_before"):
            fails_s = timeout_s if fault == "timeout_before" else there_s
            loop.call_later(fails_s, self._fail, fault, context=OUTSIDE)
            return
        loop.call_later(there_s, self._arrive, context=OUTSIDE)
        if fault == "duplicate":
            again_s = there_s + random.random() * 10.0
            loop.call_later(again_s, self._arrive_again, context=OUTSIDE)
        if fault in ("late_arrival", "stall", "timeout_after", "slow_answer"):
            loop.call_later(timeout_s, self._fail, "timeout", context=OUTSIDE)

    def _fail(self, why: str) -> None:
        if not self.answer.done():
            self.answer.set_exception(HttpUnknown(why))

    def _arrive(self) -> None:
        """At the provider: it is carried out, whoever still waits for the answer."""
        request, world, fault = self.request, self.world, self.fault
        if fault in ("http_500_before", "http_503", "rate_limited"):
            reply = _refusal(fault)
        else:
            handler = world.handlers[self.host]
            body = request.body
            if fault == "other_amount" and world.network_random.random() < 0.5:
                body, fault = _garbled(body), ""
            reply = handler(request.method, self.path, request.headers, body)
            world.note("arrive", self.host, self.path[:50], reply[0])
            if self.process.alive and self.process.dies(f"send.{self.role}.booked"):
                return
        if self.answer.done() or fault == "timeout_after":
            return
        if fault == "reset_after":
            self._fail("reset")
            return
        if fault == "slow_answer":
            # What it says was so when it was said.
            timeout_s = self.request.total_timeout_ms / 1000
            world.loop.call_later(
                world.network_random.random() * timeout_s, self._return, reply, context=OUTSIDE
            )
            return
        if fault in NETWORK:
            reply = _spoiled(fault, reply, world.network_random)
        back_s = _FAST[0] + world.network_random.random() * _FAST[1]
        world.loop.call_later(back_s, self._return, reply)

    def _arrive_again(self) -> None:
        """The same bytes once more; nobody waits for this answer."""
        handler = self.world.handlers[self.host]
        handler(self.request.method, self.path, self.request.headers, self.request.body)

    def _return(self, reply: Reply) -> None:
        if not self.answer.done():
            self.answer.set_result(reply)


def _garbled(body: bytes) -> bytes:
    """A request of which the provider understands, and books, another amount."""
    garbled = re.sub(rb"(?<=amount=)\d+", _one_less, body, count=1)
    return re.sub(rb'(?<="value":)\d+', _one_less, garbled, count=1)


def _one_less(found: re.Match[bytes]) -> bytes:
    return b"%d" % (int(found[0]) - 1)


def _refusal(fault: str) -> Reply:
    if fault == "rate_limited":
        return 429, {"retry-after": "1"}, b'{"error":{"type":"rate_limit_error"}}'
    if fault == "http_503":
        return 503, {}, b"<html>maintenance</html>"
    return 500, {}, b'{"error":{"type":"api_error"}}'


def _spoiled(fault: str, reply: Reply, random: Random) -> Reply:
    """What comes back instead of the provider's answer."""
    status, headers, body = reply
    if fault == "http_500_after":
        return 500, {}, b'{"error":{"type":"api_error"}}'
    if fault == "html_garbage":
        return random.choice((200, 200, 502, 404)), {}, b"<html><body>Welcome</body></html>"
    if fault == "truncated_json":
        return status, headers, body[: max(1, int(len(body) * random.random()))]
    if fault == "empty_answer":
        return status, headers, b""
    if fault in ("other_amount", "other_reference") and status in (200, 201):
        return status, headers, _falsified(fault, body, random)
    return reply


def _falsified(fault: str, body: bytes, random: Random) -> bytes:
    """An answer about another amount or another payment."""
    document = orjson.loads(body)
    if fault == "other_amount":
        delta = random.choice((-1, 1))
        if isinstance(document.get("amount"), dict):
            document["amount"]["value"] += delta
        elif isinstance(document.get("amount"), int):
            document["amount"] += delta
            if document.get("amount_received"):
                document["amount_received"] += delta
        return orjson.dumps(document)
    for name in ("merchantReference", "reference"):
        if name in document:
            document[name] = "att_other"
    if isinstance(document.get("metadata"), dict):
        document["metadata"] = {"turnout_operation": "att_other"}
    return orjson.dumps(document)


class Couriers:
    """Carries providers' webhooks to whichever process lives."""

    def __init__(self, world: World, plan: Plan, random: Random) -> None:
        self._world = world
        self._plan = plan
        self._random = random
        self.waiting = 0
        self.lost = 0

    def send(self, account_id: str, seal: Seal, impostor: Callable[[], tuple[str, Seal]]) -> None:
        """Takes a webhook; the seed says when it arrives, how often, or that it never does.

        `impostor` gives another account with the same news turned into a success, well signed: the
        forgery that only the check of the account can find.
        """
        plan, random = self._plan, self._random
        if plan.strikes("webhook_lost", random):
            self.lost += 1
            self._world.note("webhook_lost", account_id)
            return
        delay_s = 0.002 + random.random() * 0.4
        if plan.strikes("webhook_late", random):
            delay_s += random.random() * 300
        if plan.strikes("webhook_reordered", random):
            delay_s += random.random() * 5
        self._push(account_id, seal, delay_s, 0)
        if plan.strikes("webhook_twice", random):
            for _ in range(random.randint(1, 4)):
                self._push(account_id, seal, delay_s + random.random() * 5, 0)
        if plan.strikes("webhook_forged", random):
            # Well signed by another account, and once more without any right to be heard.
            other_id, lie = impostor()
            self._push(other_id, lie, 0.001, -1)
            self._push(account_id, lie, 0.001, -1)
            self._forge(account_id, seal)

    def _forge(self, account_id: str, seal: Seal) -> None:
        """Somebody without the secret says that it succeeded, or sends it to another account."""
        others = [one for one in self._world.account_ids if one != account_id]
        target = self._random.choice((account_id, *others))

        def forged(now_s: float) -> tuple[dict[str, str], bytes]:
            headers, body = seal(now_s)
            if target == account_id:
                body = body.replace(b'"success":"false"', b'"success":"true"')
                body = body.replace(b'"requires_action"', b'"succeeded"')
                body = body.replace(b'"value":', b'"value":1') + b" "
            return headers, body

        self._push(target, forged, 0.01, -1)

    def _push(self, account_id: str, seal: Seal, delay_s: float, attempt: int) -> None:
        if attempt >= 0:
            self.waiting += 1
        self._world.loop.call_later(delay_s, self._deliver, account_id, seal, attempt)

    def _deliver(self, account_id: str, seal: Seal, attempt: int) -> None:
        process = self._world.process
        if process is None or not process.ready:
            self._done(account_id, seal, attempt, False)
            return
        headers, body = seal(self._world.true_s())
        task = process.spawn("webhook", process.webhooks.receive(account_id, headers, body))
        task.add_done_callback(
            lambda task: self._done(account_id, seal, attempt, _accepted(task, attempt))
        )

    def _done(self, account_id: str, seal: Seal, attempt: int, accepted: bool) -> None:
        if attempt < 0:
            return
        self.waiting -= 1
        if not accepted:
            self._push(account_id, seal, min(0.5 * 2**attempt, 30.0), attempt + 1)


def _accepted(task: asyncio.Task[tuple[bytes, str]], attempt: int) -> bool:
    """Whether the provider was answered with 200."""
    if task.cancelled():
        return False
    error = task.exception()
    if error is None:
        return True
    if not isinstance(error, (TurnoutError, StoreUnavailable, WebhookRejected)):
        raise error
    return False
