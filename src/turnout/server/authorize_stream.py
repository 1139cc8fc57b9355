"""AuthorizeStream: AuthorizePayment for callers with thousands of payments on one stream.

Each message is one AuthorizePayment: the same keys, checks, limits and answers, told to whoever
watches under that name. What a stream saves is what HTTP/2, grpc and asyncio take for a call of
its own. Answers are written in the order in which they become known.

One rule holds for however a stream ends: a message that was answered is done, and one that was not
is asked again under its key, on another stream or as a call.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

import grpc

from turnout import v1
from turnout.domain.errors import FieldError, InvalidRequest, TurnoutError
from turnout.orchestration.commands import Caller, PaymentCommand
from turnout.server import headers
from turnout.server.face import FOR_EVER_NS, Call, Context, Face, Mutation, Stream
from turnout.server.wire import content, length_delimited

_MS: Final = 1_000_000
_REQUEST: Final = v1.AuthorizeStreamRequest
_ANSWER: Final = v1.AuthorizeStreamResponse

Authorize = Mutation[v1.AuthorizePaymentRequest, PaymentCommand]


class AuthorizeStream(Stream):
    """The streaming method."""

    __slots__ = ("_authorize",)

    def __init__(self, face: Face, authorize: Authorize) -> None:
        super().__init__(face, "AuthorizeStream")
        self._authorize = authorize

    def handler(self) -> grpc.RpcMethodHandler[bytes, bytes]:
        """How grpc knows this method: bytes in, bytes out."""
        return grpc.stream_stream_rpc_method_handler(self.handle)

    async def hold(
        self, caller: Caller, said: headers.Headers, raw: object, context: Context
    ) -> None:
        """Holds the conversation; who calls is asked again with each message."""
        await self.greet(said, context)
        await _Conversation(self.face, self._authorize, said, context).hold()


class _Conversation:
    """One stream: a reader, a task for each message under way, and one of them that writes."""

    __slots__ = (
        "_answers",
        "_authorize",
        "_context",
        "_ends_ns",
        "_face",
        "_heard",
        "_room",
        "_said",
        "_writing",
    )

    def __init__(
        self,
        face: Face,
        authorize: Authorize,
        said: headers.Headers,
        context: Context,
    ) -> None:
        self._face = face
        self._authorize = authorize
        self._said = said
        self._context = context
        # The stub says float, but it is None where the caller set no deadline.
        left_s: float | None = context.time_remaining()
        self._ends_ns = (
            FOR_EVER_NS if left_s is None else face.clock.monotonic_ns() + int(left_s * 1e9)
        )
        self._room = asyncio.Semaphore(face.limits.max_stream_in_flight)
        self._answers: deque[bytes] = deque()
        self._writing = False
        self._heard = 0

    async def hold(self) -> None:
        """Returns once the caller has sent all and everything was answered.

        Raises:
            TurnoutError: what else ended it, after everything that was read was answered.
            CancelledError: the caller hung up. Orchestration has shielded what must go on.
        """
        async with asyncio.TaskGroup() as under_way:
            end = await self._read(under_way)
        if end is not None:
            raise end

    async def _read(self, under_way: asyncio.TaskGroup) -> TurnoutError | None:
        """Starts what comes, until nothing more is to be read; tells why where that is no OK."""
        read, face = self._context.read, self._face
        try:
            async with face.drain.until():
                while True:
                    # Without room nothing is read, so HTTP/2's window keeps the caller waiting.
                    await self._room.acquire()
                    raw: Any = await read()
                    if raw is grpc.aio.EOF:
                        return None
                    # Each message is a new order, so a key that was withdrawn gives none.
                    face.keys.find(self._said.authorization)
                    self._heard += 1
                    under_way.create_task(self._answer(raw, self._heard))
        except TurnoutError as error:
            return error

    async def _answer(self, raw: bytes, number: int) -> None:
        """Carries one message out and tells what came of it; an error is an answer too."""
        face, said = self._face, self._said
        began_ns = face.clock.monotonic_ns()
        call = Call(self._authorize.rpc, f"{said.request_id}/{number}", said.traceparent)
        try:
            face.begin()
            message = self._parse(raw)
            deadline_ns = self._deadline_ns(began_ns, message.timeout_ms)
            caller = face.caller(call, said, deadline_ns)
            key = headers.sound_key(message.idempotency_key, "idempotency_key")
            payment = await self._authorize.carry_out(caller, key, message.request)
            answer = length_delimited(_ANSWER.IDEMPOTENCY_KEY_FIELD_NUMBER, key.encode("ascii"))
            answer += length_delimited(_ANSWER.PAYMENT_FIELD_NUMBER, payment)
        except asyncio.CancelledError:
            call.code = "CANCELLED"
            face.end(call, began_ns)
            raise
        except Exception as error:
            status = face.refusal(call, error).details
            answer = length_delimited(_ANSWER.IDEMPOTENCY_KEY_FIELD_NUMBER, _key_in(raw))
            answer += length_delimited(_ANSWER.ERROR_FIELD_NUMBER, status)
        face.end(call, began_ns)
        self._answers.append(answer)
        if not self._writing:
            await self._write()

    def _parse(self, raw: bytes) -> v1.AuthorizeStreamRequest:
        face = self._face
        try:
            return face.read(_REQUEST, raw)
        except InvalidRequest:
            # Told by the field's path in the request, as AuthorizePayment tells it.
            face.read(v1.AuthorizePaymentRequest, content(raw, _REQUEST.REQUEST_FIELD_NUMBER))
            raise

    def _deadline_ns(self, began_ns: int, timeout_ms: int) -> int:
        """Until when the caller waits for an answer; never longer than for the whole stream."""
        limits = self._face.limits
        if timeout_ms < 0:
            problem = FieldError("timeout_ms", "TIMEOUT_OUT_OF_RANGE", "must not be below 0")
            raise InvalidRequest([problem])
        wait_ns = min(timeout_ms * _MS or limits.default_deadline_ns, limits.max_deadline_ns)
        return min(began_ns + wait_ns, self._ends_ns)

    async def _write(self) -> None:
        """Writes all answers that there are; grpc takes one at a time.

        What another message's task adds meanwhile is written too, so none of them waits, and room
        for a new message is made only when the caller has taken an answer.
        """
        self._writing = True
        write, answers, make_room = self._context.write, self._answers, self._room.release
        try:
            while answers:
                await write(answers.popleft())
                make_room()
        except grpc.aio.InternalError:
            # The caller is gone, which cancels the handler. `_writing` stays set: nobody else
            # need try.
            return
        self._writing = False


def _key_in(raw: bytes) -> bytes:
    """The key of a message that was refused, as far as it can be read."""
    key = content(raw, _REQUEST.IDEMPOTENCY_KEY_FIELD_NUMBER)
    try:
        key.decode("utf-8")
    except UnicodeDecodeError:
        return b""
    return key
