"""The control API: make the providers ill, ask their books, move time, hurry webhooks.

JSON over loopback HTTP, on a port of its own; nothing of it exists on a provider's port.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from turnout.sandbox.adyen import modifications
from turnout.sandbox.expiry import expire_due, expire_named
from turnout.sandbox.faults import Latency, rule_from_mapping
from turnout.sandbox.settings import WebhookProfile, profile_from_mapping

if TYPE_CHECKING:
    from turnout.sandbox.app import Sandbox

PREFIX = "/_control/"
PROVIDERS = ("stripe", "adyen")
OUTAGES = ("none", "refuse", "close", "reset", "status")

Body = dict[str, Any]
Query = dict[str, str]
Reply = Body | list[Any]
Route = Callable[[Body, Query], Awaitable[Reply]]


class Refused(ValueError):
    """A control request that makes no sense, with the HTTP status to answer."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class Control:
    """Serves the control API of one sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._routes: dict[str, Route] = {
            "GET health": self._health,
            "GET config": self._config,
            "POST reset": self._reset,
            "POST clock": self._clock,
            "GET faults": self._list_faults,
            "POST faults": self._add_faults,
            "DELETE faults": self._clear_faults,
            "GET books": self._books,
            "GET summary": self._summary,
            "GET position": self._position,
            "GET webhooks": self._webhooks,
            "PUT webhooks": self._set_webhooks,
            "POST webhooks/flush": self._flush,
            "PUT accounts": self._set_account,
        }
        self._provider_routes: dict[str, Callable[[str, Body, Query], Awaitable[Reply]]] = {
            "PUT latency": self._set_latency,
            "PUT declines": self._set_declines,
            "PUT outage": self._set_outage,
            "GET requests": self._requests,
            "POST expire": self._expire,
            "POST fail_modification": self._fail_modification,
        }

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one control request."""
        raw = await request.read()
        try:
            body = orjson.loads(raw) if raw else {}
            reply = await self._dispatch(request, body)
        except Refused as error:
            return web.json_response({"error": str(error)}, status=error.status)
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.Response(
            body=orjson.dumps(reply, option=orjson.OPT_INDENT_2), content_type="application/json"
        )

    async def _dispatch(self, request: web.BaseRequest, body: Any) -> Reply:
        path = request.rel_url.path
        if not path.startswith(PREFIX):
            raise Refused(f"paths begin with {PREFIX}", 404)
        name = path.removeprefix(PREFIX).strip("/")
        query = dict(request.rel_url.query)
        head, _, tail = name.partition("/")
        if head == "faults" and tail:
            if request.method == "DELETE" and self._sandbox.faults.remove(tail):
                return {"removed": tail}
            raise Refused(f"no fault {tail!r}", 404)
        if head in PROVIDERS and tail in ("books", "summary"):
            query["provider"] = head
            name, head = tail, tail
        if isinstance(body, list) and name == "faults":
            body = {"faults": body}
        if not isinstance(body, dict):
            raise Refused("the body must be a JSON object")
        if head in PROVIDERS:
            serve = self._provider_routes.get(f"{request.method} {tail}")
            if serve is not None:
                return await serve(head, body, query)
        route = self._routes.get(f"{request.method} {name}")
        if route is None:
            raise Refused(f"no {request.method} {path[:100]}", 404)
        return await route(body, query)

    async def _health(self, _: Body, __: Query) -> Reply:
        return {"ok": True, "seed": self._sandbox.seed, "now_s": self._sandbox.now()}

    async def _config(self, _: Body, __: Query) -> Reply:
        sandbox = self._sandbox
        return {
            "stripe": {
                "url": sandbox.stripe_url,
                "accounts": [
                    {"name": s.account.name, "webhook_url": s.webhook_url}
                    for s in sandbox.stripe.states.values()
                ],
            },
            "adyen": {
                "url": sandbox.adyen_url,
                "accounts": [
                    {
                        "name": s.account.name,
                        "webhook_url": s.notifier.webhook_url,
                        "multi_capture": s.account.multi_capture,
                        "capture": s.account.capture,
                    }
                    for s in sandbox.adyen.states.values()
                ],
            },
            "control": {"url": sandbox.control_url},
            "latencies": {
                f"{provider}/{operation}": asdict(latency)
                for (provider, operation), latency in sandbox.faults.latencies().items()
            },
            "outages": {name: face.outage for name, face in sandbox.faces.items()},
            "adyen_keys_reused_with_other_body": sandbox.adyen.keys_reused,
        }

    async def _reset(self, _: Body, __: Query) -> Reply:
        await self._sandbox.reset()
        return {"ok": True}

    async def _clock(self, body: Body, _: Query) -> Reply:
        advance_s = _number(body, "advance_s")
        self._sandbox.clock_offset_s += advance_s
        return {"now_s": self._sandbox.now(), "expired": expire_due(self._sandbox)}

    async def _list_faults(self, _: Body, __: Query) -> Reply:
        return [asdict(rule) for rule in self._sandbox.faults.rules()]

    async def _add_faults(self, body: Body, _: Query) -> Reply:
        given = body.get("faults", [body])
        rules = [rule_from_mapping(values) for values in given]
        return {"ids": [self._sandbox.faults.add(rule) for rule in rules]}

    async def _clear_faults(self, _: Body, __: Query) -> Reply:
        self._sandbox.faults.clear()
        return {"ok": True}

    async def _books(self, _: Body, query: Query) -> Reply:
        known = {"provider", "account", "reference", "payment_id"}
        limit, skip = int(query.pop("limit", 1000)), int(query.pop("skip", 0))
        if query.keys() - known:
            raise Refused(f"{min(query.keys() - known)}: unknown filter; known: {sorted(known)}")
        charges = list(self._sandbox.books.find(**query))
        return {
            "total": len(charges),
            "charges": [charge.view() for charge in charges[skip : skip + limit]],
        }

    async def _summary(self, _: Body, query: Query) -> Reply:
        return self._sandbox.books.summary(query.get("provider"))

    async def _position(self, _: Body, query: Query) -> Reply:
        if "reference" not in query:
            raise Refused("position needs ?reference=")
        return self._sandbox.books.position(query["reference"])

    async def _webhooks(self, _: Body, query: Query) -> Reply:
        courier = self._sandbox.courier
        limit = int(query.get("limit", 200))
        pending = courier.pending()
        return {
            "counts": dict(courier.counts),
            "waiting": len(pending),
            "pending": [delivery.view() for delivery in pending[:limit]],
            "history": list(courier.history)[-limit:],
            "profiles": {name: asdict(courier.profile(name)) for name in PROVIDERS},
        }

    async def _set_webhooks(self, body: Body, _: Query) -> Reply:
        courier = self._sandbox.courier
        provider = body.pop("provider", None)
        if provider not in (None, *PROVIDERS):
            raise Refused(f"provider: {provider!r} is not one of {PROVIDERS}")
        preset = body.pop("preset", None)
        presets = {
            "prompt": WebhookProfile.prompt(),
            "held": WebhookProfile.held(),
            "unruly": WebhookProfile(),
            None: courier.profile(provider or "stripe"),
        }
        if preset not in presets:
            raise Refused("preset: one of prompt, held, unruly")
        profile = profile_from_mapping(presets[preset], body)
        courier.set_profile(profile, provider)
        return asdict(profile)

    async def _flush(self, body: Body, _: Query) -> Reply:
        order = body.get("order", "fifo")
        if order not in ("fifo", "reverse", "shuffled"):
            raise Refused("order: one of fifo, reverse, shuffled")
        copies, limit = body.get("copies", 1), body.get("limit")
        return {"deliveries": await self._sandbox.courier.flush(order, copies, limit)}

    async def _set_account(self, body: Body, _: Query) -> Reply:
        name = body.get("name")
        stripe = self._sandbox.stripe.states.get(str(name))
        adyen = self._sandbox.adyen.states.get(str(name))
        if stripe is None and adyen is None:
            raise Refused(f"name: no account {name!r}", 404)
        if stripe is not None:
            stripe.webhook_url = body.get("webhook_url", stripe.webhook_url)
            stripe.webhook_secret = body.get("webhook_secret", stripe.webhook_secret)
        if adyen is not None:
            adyen.notifier.webhook_url = body.get("webhook_url", adyen.notifier.webhook_url)
            hmac_key = body.get("webhook_secret", adyen.notifier.hmac_key)
            bytes.fromhex(hmac_key)
            adyen.notifier.hmac_key = hmac_key
        return {"ok": True}

    async def _set_latency(self, provider: str, body: Body, _: Query) -> Reply:
        operation = body.get("operation", "*")
        latency = None
        if "fixed_ms" in body:
            latency = Latency(_number(body, "fixed_ms"), 0.0)
        elif "p50_ms" in body:
            latency = Latency(_number(body, "p50_ms"), _number(body, "p99_ms"))
        self._sandbox.faults.set_latency(provider, operation, latency)
        shown = None if latency is None else asdict(latency)
        return {"provider": provider, "operation": operation, "latency": shown}

    async def _set_declines(self, provider: str, body: Body, _: Query) -> Reply:
        """A decline mix: code -> probability, of all authorizations that match."""
        mix = body.pop("codes", {})
        faults = self._sandbox.faults
        for rule in faults.rules():
            if rule.kind == "decline" and rule.provider == provider:
                faults.remove(rule.id)
        left = 1.0
        ids = []
        for code, probability in mix.items():
            if not isinstance(probability, int | float) or probability < 0 or probability > left:
                raise Refused(f"codes.{code}: the probabilities must add up to at most 1")
            # Rules are tried one after the other: each sees only what the earlier ones let pass.
            fixed = {"kind": "decline", "code": code, "provider": provider}
            rule = rule_from_mapping({**body, **fixed})
            rule.probability = 0.0 if left == 0 else probability / left
            left -= probability
            ids.append(faults.add(rule))
        return {"ids": ids}

    async def _set_outage(self, provider: str, body: Body, _: Query) -> Reply:
        mode = body.get("mode")
        if mode not in OUTAGES:
            raise Refused(f"mode: one of {', '.join(OUTAGES)}")
        await self._sandbox.set_outage(provider, mode, int(body.get("status", 503)))
        return {"provider": provider, "mode": mode}

    async def _requests(self, provider: str, _: Body, query: Query) -> Reply:
        face = self._sandbox.faces[provider]
        limit = int(query.get("limit", 1000))
        filters = ("operation", "reference", "account")
        seen = [
            entry.view()
            for entry in face.log
            if all(query.get(name) in (None, getattr(entry, name)) for name in filters)
        ]
        return {"total": face.requests, "requests": seen[-limit:]}

    async def _expire(self, provider: str, body: Body, _: Query) -> Reply:
        name = body.get("payment")
        if not isinstance(name, str):
            raise Refused("payment: the provider's id or our reference")
        return {"expired": expire_named(self._sandbox, provider, name)}

    async def _fail_modification(self, provider: str, body: Body, _: Query) -> Reply:
        """Let a capture or refund that succeeded be rejected by the scheme afterwards."""
        wanted = body.get("psp_reference")
        if provider != "adyen":
            raise Refused("only Adyen reports captures and refunds that fail afterwards")
        for state in self._sandbox.adyen.states.values():
            for payment in state.payments.values():
                for made in payment.modifications:
                    if made.psp_reference == wanted:
                        modifications.fail_capture(state, payment, made)
                        modifications.fail_refund(state, payment, made)
                        return {"ok": True}
        raise Refused(f"psp_reference: no capture or refund {wanted!r}", 404)


def _number(body: Body, name: str) -> float:
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused(f"{name}: expected a number")
    return float(value)
