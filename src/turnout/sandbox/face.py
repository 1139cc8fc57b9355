"""The HTTP face of one simulator: requests in, answers or misbehaviour out.

One handler and no router: the simulator knows its own paths, and a load test pays for every layer
in between. The order is: decode and claim the key, half of the latency, carry out, the other half,
answer. So a client that dies or gives up in the middle meets both cases, not booked and booked.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

import orjson
from aiohttp import web

from turnout.sandbox.faults import AFTER, BEFORE, FaultEngine, Rule
from turnout.sandbox.misbehaviour import hang_up, mislead, refuse
from turnout.sandbox.pages import PAGE_PREFIX
from turnout.sandbox.wire import Answer, Call, Simulator


@dataclass(slots=True)
class Seen:
    """One request as the control API shows it: no body, so no card data."""

    method: str
    path: str
    operation: str
    account: str
    reference: str
    idempotency_key: str | None
    status: int | None
    fault: str | None

    def view(self) -> dict[str, Any]:
        """The request as JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


class ProviderFace:
    """Serves one provider's API."""

    def __init__(
        self, simulator: Simulator, faults: FaultEngine, log_max: int, now: Callable[[], float]
    ) -> None:
        """Takes what it serves; `now` is the provider's own clock, seconds since 1970."""
        self._now = now
        self._simulator = simulator
        self._faults = faults
        self.log: deque[Seen] = deque(maxlen=log_max)
        self.requests = 0
        # Set while the provider is out: `close`, `reset` or an HTTP status.
        self.outage: str | int | None = None

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, dated by the provider's clock."""
        response = await self._answer(request)
        if not response.prepared:
            response.headers["Date"] = formatdate(self._now(), usegmt=True)
        return response

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests += 1
        if self.outage is not None:
            return await self._out(request)
        body = await request.read()
        url = request.rel_url
        if url.raw_path.startswith(PAGE_PREFIX):
            page = self._simulator.page(url.raw_path, url.raw_query_string)
            return respond(page or Answer(404, b"No such page", content_type="text/plain"))
        prepared = self._simulator.prepare(
            request.method, url.raw_path, url.raw_query_string, request.headers, body
        )
        if isinstance(prepared, Answer):
            self._note(request, None, prepared.status, None)
            return respond(prepared)
        return await self._carry_out(request, prepared)

    async def _carry_out(self, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        rule: Rule | None = None
        if self._faults.active:
            self._simulator.describe(call)
            rule = self._faults.pick(call)
        if rule is not None:
            if rule.kind in BEFORE:
                self._simulator.abandon(call)
                status = rule.status if rule.kind == "status" else None
                self._note(request, call, 429 if rule.kind == "rate_limit" else status, rule.kind)
                return await refuse(request, call, rule)
            if rule.kind not in AFTER:
                call.forced_decline = rule.code
        half_s = self._faults.delay_s(call.provider, call.operation) / 2.0
        if half_s > 0.0:
            await asyncio.sleep(half_s)
        answer = self._simulator.execute(call)
        if half_s > 0.0:
            await asyncio.sleep(half_s)
        self._note(request, call, answer.status, None if rule is None else rule.kind)
        if rule is not None and rule.kind in AFTER:
            return await mislead(request, call, answer, rule, self._simulator)
        return respond(answer)

    async def _out(self, request: web.BaseRequest) -> web.StreamResponse:
        self._note(request, None, None, f"outage_{self.outage}")
        if isinstance(self.outage, int):
            await request.read()
            return web.Response(status=self.outage, text="Service unavailable")
        return hang_up(request, reset=self.outage == "reset")

    def _note(
        self, request: web.BaseRequest, call: Call | None, status: int | None, fault: str | None
    ) -> None:
        self.log.append(
            Seen(
                request.method,
                request.rel_url.raw_path,
                "" if call is None else call.operation,
                "" if call is None else call.account,
                "" if call is None else call.reference,
                None if call is None else call.idempotency_key,
                status,
                fault,
            )
        )


def respond(answer: Answer) -> web.Response:
    """The answer as it should be."""
    body = answer.body if isinstance(answer.body, bytes) else orjson.dumps(answer.body)
    headers = answer.headers
    headers["Content-Type"] = answer.content_type
    return web.Response(status=answer.status, body=body, headers=headers)
