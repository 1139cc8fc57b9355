"""The server: its options, its services, its health, and how it goes down.

It is built inside the event loop that serves it, listens before it is ready, and says SERVING
only between `set_ready` and `drain`. A drain first says NOT_SERVING, then ends the streams, then
lets the calls in flight finish while new ones are refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from turnout.config.sections import Server
from turnout.domain.errors import Unavailable
from turnout.ports import Clock, Random
from turnout.server import (
    events,
    ledger,
    operations,
    payments,
    refunds,
    routing,
    tokens,
    webhooks,
)
from turnout.server.auth import KeyRing
from turnout.server.authorize_stream import AuthorizeStream
from turnout.server.certificates import Certificates
from turnout.server.drain import Drain
from turnout.server.encode import ProtoEncoder
from turnout.server.face import CallObserver, Context, Face, Limits, handlers
from turnout.server.services import Services

_MS = 1_000_000

# All headers of a request together; ours are a few hundred bytes, a provider's webhook has more.
_MAX_METADATA_BYTES = 16 << 10

# Calls that wait to be taken up by the event loop. Beyond a thousand grpc would by itself end some
# of them as CANCELLED; here they wait, and the face tells them in words that it is too much.
_MAX_PENDING_CALLS = 20_000

# Between "NOT_SERVING" and the end of those who watch health, so that they hear it.
_LAST_WORD_S = 0.2
# The longest time for which callers who come then are gathered before they are turned away.
_GATHER_S = 1.0

SERVICES = (
    payments.SERVICE,
    refunds.SERVICE,
    events.SERVICE,
    tokens.SERVICE,
    webhooks.SERVICE,
    ledger.SERVICE,
    operations.SERVICE,
    routing.SERVICE,
)


class GrpcServer:
    """A server that is built and bound, but not started.

    Attributes:
        port: where it listens.
        certificates: what it shows to those who connect; None without TLS.
    """

    def __init__(
        self,
        server: grpc.aio.Server,
        port: int,
        certificates: Certificates | None,
        drain_ms: int,
        status: _Health,
        face: Face,
    ) -> None:
        self._server = server
        self._drain_s = drain_ms / 1_000
        self._health = status
        self._face = face
        self._drain = face.drain
        self.port = port
        self.certificates = certificates

    @property
    def calls(self) -> int:
        """How many calls are under way, streams and their messages among them."""
        return self._face.calls

    @property
    def streams(self) -> int:
        """How many streams are under way."""
        return self._drain.scopes

    async def start(self) -> None:
        """Begins to take calls in; health says NOT_SERVING until `set_ready`."""
        await self.set_ready(False)
        await self._server.start()

    async def set_ready(self, ready: bool) -> None:
        """Tells health's readers whether to send calls here."""
        status = health_pb2.HealthCheckResponse
        for name in ("", *SERVICES):
            await self._health.set(name, status.SERVING if ready else status.NOT_SERVING)

    async def drain(self) -> None:
        """Goes down: no new calls, streams end, calls in flight finish or are cut off."""
        await self._health.enter_graceful_shutdown()
        self._drain.begin(_LAST_WORD_S)
        await self._drain.gather(min(_GATHER_S, self._drain_s))
        stopping = asyncio.create_task(self._server.stop(self._drain_s))
        # Its first turn tells all connections to go.
        await asyncio.sleep(0)
        self._drain.shut()
        await stopping

    async def wait(self) -> None:
        """Returns once the server has gone down."""
        await self._server.wait_for_termination()


def build_server(
    settings: Server,
    services: Services,
    keys: KeyRing,
    clock: Clock,
    random: Random,
    observer: CallObserver | None = None,
    *,
    reuse_port: bool = False,
) -> GrpcServer:
    """Builds and binds the server; call it inside the event loop that will serve.

    Args:
        settings: `[server]` of the configuration, which has checked address and TLS.
        services: what stands behind the face.
        keys: the API keys that are good now.
        clock: for deadlines and durations.
        random: for request ids.
        observer: hears of every call when it has ended.
        reuse_port: several processes share the port (SO_REUSEPORT).

    Raises:
        OSError: the address cannot be bound, or a TLS file cannot be read.
        ConfigError: the TLS files are no certificate and its key.
    """
    server = grpc.aio.server(options=_options(settings, reuse_port))
    limits = Limits(
        settings.default_deadline_ms * _MS,
        settings.max_deadline_ms * _MS,
        settings.max_message_bytes,
        settings.max_concurrent_rpcs,
        settings.max_stream_in_flight,
    )
    face = Face(keys, clock, random, limits, observer)
    _add_services(server, face, services)
    status = _Health(face.drain)
    health_pb2_grpc.add_HealthServicer_to_server(status, _ByName(server))
    _add_reflection(server)
    certificates = _certificates(settings)
    port = _bind(server, settings, certificates)
    return GrpcServer(server, port, certificates, settings.drain_timeout_ms, status, face)


def _options(settings: Server, reuse_port: bool) -> Sequence[tuple[str, int]]:
    return (
        ("grpc.so_reuseport", int(reuse_port)),
        # Twice what the face allows: it answers a request that is somewhat too large with
        # proper details, and grpc's core cuts off what is far too large before it is read.
        ("grpc.max_receive_message_length", 2 * settings.max_message_bytes),
        ("grpc.max_metadata_size", _MAX_METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", _MAX_METADATA_BYTES),
        # A silent connection is asked whether it is alive, so that a dead caller's streams end.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.server.max_pending_requests", _MAX_PENDING_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", _MAX_PENDING_CALLS),
        # How often callers may ask the same of us; oftener gets them disconnected.
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    )


def _add_services(server: grpc.aio.Server, face: Face, does: Services) -> None:
    encoder = ProtoEncoder()
    paid = payments.PaymentFace(does.payments, encoder)
    orders = AuthorizeStream(face, paid.authorization(face))
    stream = events.StreamEvents(face, does.events)
    webhook = webhooks.ReceiveProviderWebhook(face, does.webhooks)
    tables: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]] = {
        payments.SERVICE: handlers([*paid.methods(face), orders]),
        refunds.SERVICE: handlers(refunds.RefundFace(does.refunds, encoder).methods(face)),
        events.SERVICE: handlers([*events.EventFace(does.events).methods(face), stream]),
        tokens.SERVICE: handlers(tokens.TokenFace(does.tokens).methods(face)),
        webhooks.SERVICE: handlers([webhook]),
        ledger.SERVICE: handlers(ledger.LedgerFace(does.ledger).methods(face)),
        operations.SERVICE: handlers(operations.OperationsFace(does.reviews).methods(face)),
        routing.SERVICE: handlers(
            routing.RoutingFace(does.rulesets, does.explanations, does.replays).methods(face)
        ),
    }
    for service, methods in tables.items():
        _add(server, service, methods)


def _add(
    server: grpc.aio.Server, service: str, methods: dict[str, grpc.RpcMethodHandler[Any, Any]]
) -> None:
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))


class _ByName:
    """A server whose methods are looked up by name when a call comes, and never registered.

    grpc.aio waits for all registered methods at once, a task for each, so that a call of any of
    them costs a walk over all. grpc's generated functions register what they add.
    """

    def __init__(self, server: grpc.aio.Server) -> None:
        self.add_generic_rpc_handlers = server.add_generic_rpc_handlers

    def add_registered_method_handlers(self, service: str, methods: object) -> None:
        """Leaves it at the handlers by name, which generated code has added before."""


class _Health(health.aio.HealthServicer):  # type: ignore[misc]
    """grpc's health service, whose watchers a drain ends after it has told them."""

    def __init__(self, drain: Drain) -> None:
        super().__init__()
        self._drain = drain

    async def Watch(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> None:
        """Tells of each change until the caller hangs up or the server goes down."""
        try:
            async with self._drain.until():
                await super().Watch(request, context)
        except Unavailable as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, error.message)


def _add_reflection(server: grpc.aio.Server) -> None:
    servicer = reflection.aio.ReflectionServicer(
        (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
    )
    method = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    # v1 is v1alpha under another name, and newer tools ask for it first.
    for name in (reflection.SERVICE_NAME, "grpc.reflection.v1.ServerReflection"):
        _add(server, name, {"ServerReflectionInfo": method})


def _certificates(settings: Server) -> Certificates | None:
    chain_path, key_path = settings.tls_certificate_path, settings.tls_key_path
    if chain_path is None:
        return None
    if key_path is None:
        raise ValueError("TLS takes server.tls_certificate_path and server.tls_key_path")
    return Certificates(chain_path, key_path)


def _bind(server: grpc.aio.Server, settings: Server, certificates: Certificates | None) -> int:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"{host}:{settings.port}"
    try:
        if certificates is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, certificates.credentials())
    except RuntimeError as error:
        raise OSError(f"server.host, server.port: cannot listen on {address}") from error
