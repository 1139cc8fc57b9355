"""The wrappers around all calls, driven by a table of methods in each service's file.

Wrappers of our own instead of grpc's interceptors, because an interceptor costs a coroutine and a
handler object for each call; and bytes in and out instead of grpc's (de)serializers, because a
request that cannot be read must be told so properly and a stored answer is sent as it is stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, Never, Protocol, TypeVar

import grpc
from google.protobuf.message import Message

from turnout.domain.errors import Overloaded, TurnoutError
from turnout.orchestration.commands import Caller, Idempotency, Operator
from turnout.ports import Clock, Random
from turnout.server import errors, headers
from turnout.server.auth import KeyRing
from turnout.server.drain import Drain
from turnout.server.wire import parse
from turnout.telemetry import get_logger

M = TypeVar("M", bound=Message)
C = TypeVar("C")

Context = grpc.aio.ServicerContext[Any, Any]

# Until when a caller waits who said nothing of it, on a stream.
FOR_EVER_NS = 2**63 - 1

_COME_AGAIN_MS = 250

_log = get_logger("turnout.server")


@dataclass(slots=True)
class Call:
    """A call as metrics and logs see it; never holds what was sent.

    Attributes:
        code: name of the gRPC status that it ended with.
        reason: ErrorInfo's reason; empty where it ended well.
    """

    rpc: str
    request_id: str
    traceparent: str
    merchant_id: str = ""
    key_id: str = ""
    code: str = "OK"
    reason: str = ""
    elapsed_ns: int = 0


class CallObserver(Protocol):
    """Hears of every call once, when it has ended. Must be quick and must not raise."""

    def finished(self, call: Call) -> None:
        """The call has ended, well or not."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much and how long one call may ask."""

    default_deadline_ns: int
    max_deadline_ns: int
    max_message_bytes: int
    max_calls: int
    max_stream_in_flight: int


class Face:
    """What all calls share: who may call, until when, and how they end."""

    __slots__ = ("calls", "clock", "drain", "keys", "limits", "observer", "random")

    def __init__(
        self,
        keys: KeyRing,
        clock: Clock,
        random: Random,
        limits: Limits,
        observer: CallObserver | None = None,
    ) -> None:
        self.drain = Drain()
        self.keys = keys
        self.clock = clock
        self.random = random
        self.limits = limits
        self.observer = observer
        self.calls = 0

    def begin(self) -> None:
        """Counts a call in; each is counted out by `end`.

        Raises:
            Overloaded: as many as allowed are under way. This one counts until it has ended.
        """
        self.calls += 1
        if self.calls > self.limits.max_calls:
            raise Overloaded(
                "TOO_MANY_CALLS",
                f"{self.limits.max_calls} calls are under way, as many as this server takes at "
                "once; nothing was done, call again a little later",
                retry_after_ms=_COME_AGAIN_MS,
            )

    def caller(self, call: Call, said: headers.Headers, deadline_ns: int) -> Caller:
        """Who calls.

        Raises:
            Unauthenticated: no API key, or none that is known.
        """
        key = self.keys.find(said.authorization)
        call.merchant_id = key.merchant_id
        call.key_id = key.key_id
        return Caller(key.merchant_id, key.key_id, key.live, deadline_ns, call.request_id)

    def operator(self, call: Call, said: headers.Headers, deadline_ns: int) -> Operator:
        """Which operator calls.

        Raises:
            Unauthenticated: no key, or none that is known.
            PermissionDenied: a merchant's key.
        """
        key = self.keys.find_operator(said.authorization)
        call.key_id = key.key_id
        return Operator(key.key_id, key.name, deadline_ns, call.request_id)

    def deadline_ns(self, began_ns: int, context: Context) -> int:
        """Until when the caller waits, on the monotonic clock; never longer than configured."""
        limits = self.limits
        # The stub says float, but it is None where the caller set no deadline.
        left_s: float | None = context.time_remaining()
        if left_s is None:
            return began_ns + limits.default_deadline_ns
        return began_ns + min(int(left_s * 1e9), limits.max_deadline_ns)

    def read(self, kind: type[M], raw: bytes) -> M:
        """Reads a request.

        Raises:
            MessageTooLarge: it has more bytes than allowed.
            InvalidRequest: it cannot be read, or says what this build does not know.
        """
        most_bytes = self.limits.max_message_bytes
        if len(raw) > most_bytes:
            raise errors.MessageTooLarge(
                "MESSAGE_TOO_LARGE",
                f"the request has {len(raw)} bytes; this server reads at most {most_bytes}",
            )
        return parse(kind, raw)

    def end(self, call: Call, began_ns: int) -> None:
        """Counts a call out and tells whoever watches."""
        self.calls -= 1
        if self.observer is not None:
            call.elapsed_ns = self.clock.monotonic_ns() - began_ns
            self.observer.finished(call)

    def refusal(self, call: Call, error: Exception) -> errors.Refusal:
        """What the caller is told of an error; notes it on the call, logs what is worth it."""
        told = errors.refusal(error, call.request_id)
        call.code = told.code.name
        call.reason = told.reason
        if told.defect:
            _log.error(
                "call_failed",
                rpc=call.rpc,
                request_id=call.request_id,
                traceparent=call.traceparent,
                merchant_id=call.merchant_id,
                exc_info=error,
            )
        elif not isinstance(error, TurnoutError):
            _log.warning(
                "call_refused",
                rpc=call.rpc,
                request_id=call.request_id,
                reason=told.reason,
                error=str(error),
            )
        return told

    async def refuse(self, call: Call, began_ns: int, context: Context, error: Exception) -> Never:
        """Ends a call with an error; always raises grpc's AbortError."""
        told = self.refusal(call, error)
        self.end(call, began_ns)
        await context.abort(
            told.code,
            told.message,
            (
                (errors.DETAILS_HEADER, told.details),
                (headers.REQUEST_ID, call.request_id),
            ),
        )


class Unary:
    """A unary method: takes a call in, lets `start` do it, and ends it one way or the other."""

    __slots__ = ("face", "rpc")

    def __init__(self, face: Face, rpc: str) -> None:
        self.face = face
        self.rpc = rpc

    def start(
        self, call: Call, said: headers.Headers, raw: bytes, context: Context, deadline_ns: int
    ) -> Awaitable[bytes]:
        """Checks the request and begins the work; gives what to await for the answer's bytes."""
        raise NotImplementedError

    async def handle(self, raw: bytes, context: Context) -> bytes:
        """What grpc calls."""
        face = self.face
        began_ns = face.clock.monotonic_ns()
        said = headers.read(context.invocation_metadata(), face.random)
        call = Call(self.rpc, said.request_id, said.traceparent)
        try:
            face.begin()
            if face.drain.started:
                await face.drain.turn_away()
            deadline_ns = face.deadline_ns(began_ns, context)
            answer = await self.start(call, said, raw, context, deadline_ns)
        except asyncio.CancelledError:
            # The caller hung up; orchestration has shielded what must go on.
            call.code = "CANCELLED"
            face.end(call, began_ns)
            raise
        except Exception as error:
            await face.refuse(call, began_ns, context, error)
        context.set_trailing_metadata(((headers.REQUEST_ID, said.request_id),))
        face.end(call, began_ns)
        return answer

    def handler(self) -> grpc.RpcMethodHandler[bytes, bytes]:
        """How grpc knows this method: bytes in, bytes out."""
        return grpc.unary_unary_rpc_method_handler(self.handle)


class Query(Unary, Generic[M]):
    """A method that changes nothing and needs no idempotency key."""

    __slots__ = ("_answer", "_kind")

    def __init__(
        self,
        face: Face,
        rpc: str,
        kind: type[M],
        answer: Callable[[Caller, M], Awaitable[bytes]],
    ) -> None:
        super().__init__(face, rpc)
        self._kind = kind
        self._answer = answer

    def start(
        self, call: Call, said: headers.Headers, raw: bytes, context: Context, deadline_ns: int
    ) -> Awaitable[bytes]:
        """Authenticates, reads, answers."""
        face = self.face
        caller = face.caller(call, said, deadline_ns)
        return self._answer(caller, face.read(self._kind, raw))


class Mutation(Unary, Generic[M, C]):
    """A method that moves something: needs an idempotency key, answers with stored bytes.

    The request that the key stands for is the message written anew in protobuf's deterministic
    form, without verification codes: the same for a gRPC caller and for the HTTP edge, whatever
    order or spelling the bytes came in.
    """

    __slots__ = ("_act", "_decode", "_kind", "_without_cvc")

    def __init__(
        self,
        face: Face,
        rpc: str,
        kind: type[M],
        decode: Callable[[M], C],
        act: Callable[[Caller, Idempotency, C], Awaitable[bytes]],
        without_cvc: Callable[[M], None] | None = None,
    ) -> None:
        super().__init__(face, rpc)
        self._kind = kind
        self._decode = decode
        self._act = act
        self._without_cvc = without_cvc

    def start(
        self, call: Call, said: headers.Headers, raw: bytes, context: Context, deadline_ns: int
    ) -> Awaitable[bytes]:
        """Authenticates, reads, decodes, acts."""
        face = self.face
        caller = face.caller(call, said, deadline_ns)
        key = headers.idempotency_key(said)
        return self.carry_out(caller, key, face.read(self._kind, raw))

    def carry_out(self, caller: Caller, key: str, message: M) -> Awaitable[bytes]:
        """Decodes, acts. Clears the message's verification code, once it has been taken over."""
        command = self._decode(message)
        if self._without_cvc is not None:
            self._without_cvc(message)
        request = message.SerializeToString(deterministic=True)
        return self._act(caller, Idempotency(self.rpc, key, request), command)


class Stream:
    """A streaming method: takes a call in, lets `hold` do it, and ends it.

    The caller's own deadline is grpc's to keep, and there is no longest one: to go on for hours is
    what a stream is for.
    """

    __slots__ = ("face", "rpc")

    def __init__(self, face: Face, rpc: str) -> None:
        self.face = face
        self.rpc = rpc

    async def hold(
        self, caller: Caller, said: headers.Headers, raw: Any, context: Context
    ) -> None:
        """Greets the caller, and returns once everything is said."""
        raise NotImplementedError

    async def greet(self, said: headers.Headers, context: Context) -> None:
        """At once, so that the caller knows that it is connected before anything happens."""
        await context.send_initial_metadata(((headers.REQUEST_ID, said.request_id),))

    async def handle(self, raw: Any, context: Context) -> None:
        """What grpc calls."""
        face = self.face
        began_ns = face.clock.monotonic_ns()
        said = headers.read(context.invocation_metadata(), face.random)
        call = Call(self.rpc, said.request_id, said.traceparent)
        try:
            face.begin()
            caller = face.caller(call, said, FOR_EVER_NS)
            await self.hold(caller, said, raw, context)
        except asyncio.CancelledError:
            call.code = "CANCELLED"
            face.end(call, began_ns)
            raise
        except Exception as error:
            await face.refuse(call, began_ns, context, error)
        context.set_trailing_metadata(((headers.REQUEST_ID, said.request_id),))
        face.end(call, began_ns)

    def handler(self) -> grpc.RpcMethodHandler[bytes, bytes]:
        """How grpc knows this method: bytes in, bytes out."""
        raise NotImplementedError


def handlers(methods: Iterable[Unary | Stream]) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
    """A service's methods by name."""
    return {method.rpc: method.handler() for method in methods}
