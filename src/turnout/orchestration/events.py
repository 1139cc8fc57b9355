"""Events as merchants read them: pages, and a stream that can be resumed at any cursor."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

from turnout.domain.events import Event
from turnout.orchestration.commands import Caller
from turnout.orchestration.parts import Parts
from turnout.ports import EventFilter

_STREAM_PAGE = 100


class Events:
    """What EventService does, knowing no proto."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def list(self, caller: Caller, want: EventFilter) -> list[Event]:
        """A page of the caller's events, oldest first."""
        self._parts.admission.read()
        want.live = caller.live
        return await self._parts.store.list_events(caller.merchant_id, want)

    async def last_cursor(self, caller: Caller) -> int:
        """The cursor of the caller's newest event; 0 where there is none."""
        return await self._parts.store.last_cursor(caller.merchant_id)

    async def stream(
        self, caller: Caller, want: EventFilter, from_now: bool = False
    ) -> AsyncIterator[Event]:
        """Events after `want.after`, and then each as it becomes durable, without an end.

        Args:
            caller: whose events.
            want: which of them; its limit does not count.
            from_now: begin after the newest event instead.
        """
        subscription = self._parts.store.subscribe(caller.merchant_id)
        try:
            after = want.after
            if from_now and not after:
                after = await self.last_cursor(caller)
            while True:
                page = replace(want, after=after, limit=_STREAM_PAGE, live=caller.live)
                events = await self._parts.store.list_events(caller.merchant_id, page)
                for event in events:
                    yield event
                    after = event.cursor
                if len(events) < _STREAM_PAGE:
                    await subscription.wait()
        finally:
            subscription.close()
