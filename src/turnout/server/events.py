"""EventService: pages of events, and the stream that goes on where it was left.

An event carries its snapshot as the bytes that were encoded when it happened; only what stands
around them is written here. A stream ends by itself in two ways alone: the caller hangs up, or the
server goes down, which it tells with UNAVAILABLE, reason DRAINING, and when to come again. The
caller then resumes with the cursor of the last event that it has handled.
"""

from __future__ import annotations

import difflib
from collections.abc import AsyncGenerator, Sequence
from typing import Final

import grpc

from turnout import v1
from turnout.domain.errors import FieldError, InvalidRequest
from turnout.domain.events import Event, EventType
from turnout.orchestration.commands import Caller
from turnout.ports import EventFilter
from turnout.server import headers, pages
from turnout.server.encode import fill_time
from turnout.server.face import Context, Face, Query, Stream, Unary
from turnout.server.services import Events

SERVICE = "turnout.v1.EventService"
_LONGEST_CURSOR: Final = 19
_LAST_CURSOR: Final = 2**63 - 1
_FAMILIES: Final = {f"{one.partition('.')[0]}.*" for one in EventType}
_WHOLE: Final = f"({' and '.join(sorted(_FAMILIES))} take whole families)"
_LONGEST_TYPE: Final = 64
_TYPES: Final = {one.value for one in EventType} | _FAMILIES


class EventFace:
    """EventService over orchestration's Events."""

    def __init__(self, events: Events) -> None:
        self._events = events

    def methods(self, face: Face) -> list[Unary]:
        """What grpc may call, but for the stream."""
        return [Query(face, "ListEvents", v1.ListEventsRequest, self._list)]

    async def _list(self, caller: Caller, request: v1.ListEventsRequest) -> bytes:
        page = pages.read_page(request, caller)
        begin_ns, end_ns = pages.created_between(request)
        want = EventFilter(
            types=_types(request.types),
            payment_id=request.payment_id,
            created_from_ns=begin_ns,
            created_to_ns=end_ns,
            after=page.after[0] if page.after else 0,
            limit=page.limit,
        )
        found = await self._events.list(caller, want)
        answer = v1.ListEventsResponse()
        for event in found[: page.size]:
            fill_event(answer.events.add(), event)
        answer.next_page_token = page.next_token(found, lambda last: (last.cursor, ""))
        return answer.SerializeToString()


class StreamEvents(Stream):
    """The streaming method."""

    __slots__ = ("_events",)

    def __init__(self, face: Face, events: Events) -> None:
        super().__init__(face, "StreamEvents")
        self._events = events

    def handler(self) -> grpc.RpcMethodHandler[bytes, bytes]:
        """How grpc knows this method: bytes in, bytes out."""
        return grpc.unary_stream_rpc_method_handler(self.handle)

    async def hold(
        self, caller: Caller, said: headers.Headers, raw: bytes, context: Context
    ) -> None:
        """Writes events until the caller hangs up or the server goes down."""
        request = self.face.read(v1.StreamEventsRequest, raw)
        want = _want(request)
        await self.greet(said, context)
        async with self.face.drain.until():
            await self._write_all(caller, want, request.from_now, context)

    async def _write_all(
        self, caller: Caller, want: EventFilter, from_now: bool, context: Context
    ) -> None:
        stream = self._events.stream(caller, want, from_now and want.after == 0)
        try:
            async for event in stream:
                out = v1.Event()
                fill_event(out, event)
                # Waits while the caller reads slowly, so nothing piles up here.
                await context.write(out.SerializeToString())
        finally:
            if isinstance(stream, AsyncGenerator):
                await stream.aclose()


def _types(asked: Sequence[str]) -> list[str]:
    """The filter's types.

    Raises:
        InvalidRequest: too many, or one that no event has, which would wait for ever unsaid.
    """
    pages.check_count(len(asked), "types")
    for at, one in enumerate(asked):
        if one not in _TYPES:
            family, _, what = one[:_LONGEST_TYPE].partition(".")
            near = [name.partition(".")[2] for name in _TYPES if name.startswith(f"{family}.")]
            # Strict, because a wrong hint would be followed.
            close = difflib.get_close_matches(what, near, 1, 0.8)
            hint = f"did you mean {family}.{close[0]}?" if close else "see docs/api/events.md"
            text = f"is no type of an event; {hint} {_WHOLE}"
            raise InvalidRequest([FieldError(f"types[{at}]", "UNKNOWN_EVENT_TYPE", text)])
    return list(asked)


def _want(request: v1.StreamEventsRequest) -> EventFilter:
    return EventFilter(
        types=_types(request.types),
        payment_id=request.payment_id,
        after=_read_cursor(request.cursor),
    )


def _read_cursor(cursor: str) -> int:
    if not cursor:
        return 0
    if len(cursor) <= _LONGEST_CURSOR and cursor.isascii() and cursor.isdigit():
        place = int(cursor)
        if place <= _LAST_CURSOR:
            return place
    raise InvalidRequest(
        [
            FieldError(
                "cursor",
                "CURSOR_INVALID",
                "this is no event's cursor; give back `cursor` of an event exactly as it came, or "
                "leave it empty",
            )
        ]
    )


def fill_event(out: v1.Event, event: Event) -> None:
    """Writes an event into an empty message; the snapshot's kind follows from the type."""
    out.event_id = event.event_id
    out.cursor = str(event.cursor)
    out.type = event.type.value
    out.merchant_id = event.merchant_id
    out.payment_id = event.payment_id
    fill_time(out.created_at, event.created_at_ns)
    family, _, _ = event.type.partition(".")
    if family == "payment":
        out.payment.MergeFromString(event.payload)
        out.mode = out.payment.mode
    elif family == "refund":
        out.refund_id = event.operation_id
        out.refund.MergeFromString(event.payload)
        out.mode = out.refund.mode
