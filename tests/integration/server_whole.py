"""A real gRPC server over a real orchestration whose provider is played."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import grpc

from tests.integration.server_face import KEY
from tests.unit.rig import MERCHANT, Rig, TestRandom, make_rig
from turnout.app.system import SystemClock
from turnout.config.sections import Server
from turnout.domain.accounts import ApiKey
from turnout.server.auth import KeyRing
from turnout.server.server import build_server
from turnout.server.services import Services


@contextlib.asynccontextmanager
async def whole(room: Path) -> AsyncIterator[tuple[Rig, grpc.aio.Channel]]:
    """What stands behind the server, and a channel to it; drained at the end."""
    rig = await make_rig(room)
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
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    keys = KeyRing([ApiKey("key_1", MERCHANT, digest)])
    server = build_server(Server(port=0), services, keys, SystemClock(), TestRandom())
    # Deadlines are told on the server's clock.
    rig.clock.monotonic_ns = SystemClock().monotonic_ns  # type: ignore[method-assign]
    await server.start()
    await server.set_ready(True)
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{server.port}")
    try:
        yield rig, channel
    finally:
        await channel.close()
        await server.drain()
