"""A running sandbox for tests: held webhooks, a clock that stands still, a receiver that listens.

Nothing sleeps: webhooks wait until a test flushes them, and time moves when a test moves it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson
from aiohttp import web

from turnout.sandbox import Sandbox, SandboxSettings, WebhookProfile
from turnout.sandbox.settings import default_settings

# 2026-01-15: test cards with the expiry 03/2030 are valid.
START_S = 1_768_435_200.0
STRIPE_KEY = "sk_test_sandbox_main"
ADYEN_KEY = "adyen_sandbox_main"
ADYEN_ACCOUNT = "SandboxMainECOM"
SECOND_ADYEN = ("adyen_sandbox_second", "SandboxSecondECOM")
VISA = "4242424242424242"


@dataclass(slots=True)
class Reply:
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def json(self) -> dict[str, Any]:
        parsed: dict[str, Any] = orjson.loads(self.raw)
        return parsed


@dataclass(slots=True)
class Received:
    """One webhook as it arrived."""

    path: str
    headers: dict[str, str]
    raw: bytes

    @property
    def json(self) -> dict[str, Any]:
        parsed: dict[str, Any] = orjson.loads(self.raw)
        return parsed

    @property
    def item(self) -> dict[str, Any]:
        """Adyen's one item."""
        (wrapper,) = self.json["notificationItems"]
        found: dict[str, Any] = wrapper["NotificationRequestItem"]
        return found


@dataclass(slots=True)
class Rig:
    """A sandbox, a client of it and a receiver of its webhooks."""

    sandbox: Sandbox
    http: aiohttp.ClientSession
    inbox: list[Received] = field(default_factory=list)
    # Statuses that the receiver answers first; then 200.
    answers: list[int] = field(default_factory=list)

    async def stripe(
        self,
        method: str,
        path: str,
        form: dict[str, Any] | None = None,
        api_key: str = STRIPE_KEY,
        **headers: str,
    ) -> Reply:
        sent = {"Authorization": f"Bearer {api_key}"}
        sent.update({name.replace("_", "-"): value for name, value in headers.items()})
        data = None if form is None else {name: str(value) for name, value in form.items()}
        return await self._send(method, self.sandbox.stripe_url + path, headers=sent, data=data)

    async def adyen(
        self, path: str, body: dict[str, Any], api_key: str = ADYEN_KEY, **headers: str
    ) -> Reply:
        sent = {"X-API-Key": api_key}
        sent.update({name.replace("_", "-"): value for name, value in headers.items()})
        return await self._send(
            "POST", f"{self.sandbox.adyen_url}/v71{path}", headers=sent, json=body
        )

    async def control(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        reply = await self._send(method, f"{self.sandbox.control_url}/_control/{path}", json=body)
        assert reply.status == 200, reply.raw
        return reply.json

    async def control_reply(self, method: str, path: str, body: Any = None) -> Reply:
        return await self._send(method, f"{self.sandbox.control_url}/_control/{path}", json=body)

    async def get_page(self, url: str) -> Reply:
        return await self._send("GET", url, allow_redirects=False)

    async def flush(self, **how: Any) -> list[Received]:
        """Deliver what waits and return what arrived by it."""
        before = len(self.inbox)
        await self.control("POST", "webhooks/flush", how)
        return self.inbox[before:]

    async def card(self, number: str = VISA, **more: Any) -> str:
        """A Stripe PaymentMethod's id."""
        form = {
            "type": "card",
            "card[number]": number,
            "card[exp_month]": "3",
            "card[exp_year]": "2030",
            "card[cvc]": "737",
            **more,
        }
        reply = await self.stripe("POST", "/v1/payment_methods", form)
        assert reply.status == 200, reply.raw
        return str(reply.json["id"])

    async def pay(self, number: str = VISA, **more: Any) -> Reply:
        """Create and confirm a Stripe PaymentIntent of 10.00 EUR, captured by hand."""
        form = {
            "amount": "1000",
            "currency": "eur",
            "confirm": "true",
            "capture_method": "manual",
            "payment_method": await self.card(number),
            "metadata[turnout_payment_id]": "pay_1",
            **more,
        }
        headers = {name: form.pop(name) for name in list(form) if name == "Idempotency_Key"}
        return await self.stripe("POST", "/v1/payment_intents", form, **headers)

    async def _send(self, method: str, url: str, **arguments: Any) -> Reply:
        async with self.http.request(method, url, **arguments) as answer:
            return Reply(answer.status, dict(answer.headers), await answer.read())

    async def receive(self, request: web.BaseRequest) -> web.StreamResponse:
        raw = await request.read()
        self.inbox.append(Received(request.path, dict(request.headers), raw))
        return web.Response(status=self.answers.pop(0) if self.answers else 200)


def adyen_payment(reference: str = "pay_1", **more: Any) -> dict[str, Any]:
    """A body for Adyen's /payments of 10.00 EUR; dotted names reach into nested objects."""
    body: dict[str, Any] = {
        "merchantAccount": ADYEN_ACCOUNT,
        "amount": {"currency": "EUR", "value": 1000},
        "reference": reference,
        "returnUrl": "https://shop.example/return",
        "paymentMethod": {
            "type": "scheme",
            "number": "4111111111111111",
            "expiryMonth": "03",
            "expiryYear": "2030",
            "cvc": "737",
            "holderName": "John Smith",
        },
    }
    for name, value in more.items():
        if name in ("number", "holderName", "cvc", "expiryYear"):
            body["paymentMethod"][name] = value
        else:
            body[name] = value
    return body


@asynccontextmanager
async def running_rig(**changes: Any) -> AsyncIterator[Rig]:
    """A rig whose sandbox listens on free ports; `changes` are fields of SandboxSettings."""
    changes.setdefault("webhooks", WebhookProfile.held())
    rig: Rig | None = None

    async def receive(request: web.BaseRequest) -> web.StreamResponse:
        assert rig is not None
        return await rig.receive(request)

    runner = web.ServerRunner(web.Server(receive))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    settings: SandboxSettings = default_settings(f"http://127.0.0.1:{port}/hooks", **changes)
    try:
        async with (
            Sandbox(settings, lambda: START_S, seed=7) as sandbox,
            aiohttp.ClientSession() as http,
        ):
            rig = Rig(sandbox, http)
            yield rig
    finally:
        await runner.cleanup()
