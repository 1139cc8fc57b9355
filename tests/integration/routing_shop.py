"""A shop with rules: real orchestration and engine behind a real gRPC server."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import json_format

from tests.integration.server_face import Refused
from tests.unit.rig import MERCHANT, Rig, TestRandom, make_rig
from turnout import v1
from turnout.app.system import SystemClock
from turnout.config.sections import Server
from turnout.domain.accounts import ApiKey
from turnout.ports import Store
from turnout.server.auth import KeyRing
from turnout.server.server import build_server
from turnout.server.services import Services

TEST_KEY = "sk_test_rules"
LIVE_KEY = "sk_live_rules"
OTHER_KEY = "sk_test_other"
CARD = v1.PaymentMethod(
    card=v1.Card(
        number="4242424242424242",
        expiry_month=3,
        expiry_year=2030,
        cvc="737",
        issuer_country="DE",
    )
)


def document(**content: Any) -> v1.RulesetDocument:
    """A document from plain data, as a caller over HTTP would write it."""
    return json_format.ParseDict({"mode": "first_match", **content}, v1.RulesetDocument())


def germans_to(account: str, rule_id: str = "germans") -> v1.RulesetDocument:
    """Cards from Germany go to one account first."""
    return document(
        rules=[
            {
                "id": rule_id,
                "when": [{"fact": "issuer_country", "in": ["DE"], "missing": "no_match"}],
                "then": {"priority": [[account]]},
            }
        ]
    )


@dataclass
class Shop:
    """A merchant's calls, under the key that each call names."""

    rig: Rig
    channel: grpc.aio.Channel
    port: int
    keys: Any = field(default_factory=lambda: itertools.count(1))

    async def call(self, name: str, request: Any, key: str = TEST_KEY, idem: str = "") -> Any:
        """Calls `Service.Rpc`, with an idempotency key that is new where none is given."""
        service, rpc = name.split(".")
        stub = getattr(v1, f"{service}Stub")(self.channel)
        metadata = (
            ("authorization", f"Bearer {key}"),
            ("idempotency-key", idem or f"k-{next(self.keys)}"),
        )
        return await getattr(stub, rpc)(request, metadata=metadata, timeout=30)

    async def routing(self, rpc: str, request: Any, key: str = TEST_KEY, idem: str = "") -> Any:
        """Calls RoutingService."""
        return await self.call(f"RoutingService.{rpc}", request, key, idem)

    async def refused(self, rpc: str, request: Any, key: str = TEST_KEY) -> Refused:
        """Calls RoutingService, which must refuse."""
        try:
            answer = await self.routing(rpc, request, key)
        except grpc.aio.AioRpcError as error:
            return Refused(error)
        raise AssertionError(f"{rpc} was answered: {answer}")

    async def create(
        self, content: v1.RulesetDocument, key: str = TEST_KEY, **more: Any
    ) -> v1.Ruleset:
        request = v1.CreateRulesetRequest(document=content, **more)
        made: v1.Ruleset = await self.routing("CreateRuleset", request, key)
        return made

    async def activate(self, version: int, key: str = TEST_KEY) -> v1.Ruleset:
        request = v1.ActivateRulesetRequest(version=version)
        active: v1.Ruleset = await self.routing("ActivateRuleset", request, key)
        return active

    async def put_in_force(self, content: v1.RulesetDocument) -> v1.Ruleset:
        """Creates and activates."""
        return await self.activate((await self.create(content)).version)

    async def rollback(self) -> v1.Ruleset:
        active: v1.Ruleset = await self.routing("RollbackRuleset", v1.RollbackRulesetRequest())
        return active

    async def states(self, key: str = TEST_KEY) -> list[tuple[int, str]]:
        """All versions with their states, newest first."""
        page = await self.routing("ListRulesets", v1.ListRulesetsRequest(page_size=100), key)
        return [
            (one.version, v1.RulesetState.Name(one.state).removeprefix("RULESET_STATE_"))
            for one in page.rulesets
        ]

    async def pay(self, **changes: Any) -> v1.Payment:
        """Authorizes 10.99 EUR with a card from Germany."""
        fields = {
            "merchant_reference": f"order-{next(self.keys)}",
            "amount_minor": 1_099,
            "currency": "EUR",
            "payment_method": CARD,
            **changes,
        }
        made: v1.Payment = await self.call(
            "PaymentService.AuthorizePayment", v1.AuthorizePaymentRequest(**fields)
        )
        return made


@contextlib.asynccontextmanager
async def open_shop(
    room: Path, *, store: Store | None = None, before: Callable[[Rig], None] | None = None
) -> AsyncIterator[Shop]:
    """A shop on a free port; a given store lets one process follow another."""
    rig = await make_rig(room, store=store)
    if before is not None:
        before(rig)
    services = Services(
        rig.payments,
        rig.refunds,
        rig.events,
        rig.tokens,
        rig.webhooks,
        rig.ledger,
        rig.reviews,
        rig.rulesets,
        rig.explanations,
        rig.replays,
    )
    keys = KeyRing(
        [
            _key("key_test", MERCHANT, TEST_KEY),
            _key("key_live", MERCHANT, LIVE_KEY, live=True),
            _key("key_other", "mer_other", OTHER_KEY),
        ]
    )
    server = build_server(Server(port=0), services, keys, SystemClock(), TestRandom())
    # Deadlines are told on the server's clock.
    rig.clock.monotonic_ns = SystemClock().monotonic_ns  # type: ignore[method-assign]
    await server.start()
    await server.set_ready(True)
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{server.port}")
    try:
        yield Shop(rig, channel, server.port)
    finally:
        await channel.close()
        await server.drain()


def _key(key_id: str, merchant_id: str, secret: str, *, live: bool = False) -> ApiKey:
    return ApiKey(key_id, merchant_id, hashlib.sha256(secret.encode()).hexdigest(), live)
