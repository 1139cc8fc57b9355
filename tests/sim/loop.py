"""An event loop whose time jumps: no I/O, no threads, nothing that two runs could do differently.

Where nothing is ready, time goes straight to the next timer. Timers of the same moment run in the
order in which they were made. Handles are this module's own, because asyncio's cost more than what
they call.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

# Which process a task belongs to, and in which part of it; children and timers inherit both.
PROCESS: contextvars.ContextVar[Any] = contextvars.ContextVar("process", default=None)
ROLE: contextvars.ContextVar[str] = contextvars.ContextVar("role", default="world")


class Stuck(Exception):
    """Nothing is ready and no timer is set, so what is awaited can never happen."""


class SimTask(asyncio.Task[Any]):
    """A task that knows whose it is, so that a crash can end it."""

    process: Any = None
    number: int = 0


class SimHandle:
    """A callback to come."""

    __slots__ = ("args", "callback", "context", "dead", "when_s")

    def __init__(
        self,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: contextvars.Context | None,
        when_s: float = 0.0,
    ) -> None:
        self.callback = callback
        self.args = args
        self.context = context if context is not None else contextvars.copy_context()
        self.dead = False
        self.when_s = when_s

    def cancel(self) -> None:
        """It is skipped when its turn comes."""
        self.dead = True

    def cancelled(self) -> bool:
        """Whether it will be skipped."""
        return self.dead

    def when(self) -> float:
        """The moment that a timer is set to."""
        return self.when_s


class SimLoop(asyncio.BaseEventLoop):
    """Virtual time from zero."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.steps = 0
        self.tasks_made = 0
        self._sequence = 0
        self._timers: list[tuple[float, int, SimHandle]] = []
        self._ready: deque[SimHandle] = deque()
        self.set_task_factory(_make_task)

    def time(self) -> float:
        """Virtual seconds since the world began."""
        return self.now_s

    def call_soon(  # type: ignore[override]
        self,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> SimHandle:
        """See `AbstractEventLoop.call_soon`."""
        handle = SimHandle(callback, args, context)
        self._ready.append(handle)
        return handle

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> SimHandle:
        """See `AbstractEventLoop.call_at`."""
        handle = SimHandle(callback, args, context, when)
        self._sequence += 1
        heapq.heappush(self._timers, (when, self._sequence, handle))
        return handle

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> SimHandle:
        """See `AbstractEventLoop.call_later`."""
        return self.call_at(self.now_s + delay, callback, *args, context=context)

    def forget_timers(self, callback: Callable[..., object]) -> None:
        """Takes back every timer that would call this."""
        for _, _, handle in self._timers:
            if handle.callback == callback:
                handle.cancel()

    def _run_once(self) -> None:
        ready, timers = self._ready, self._timers
        if not ready:
            while timers and timers[0][2].dead:
                heapq.heappop(timers)
            if not timers:
                raise Stuck
            self.now_s = max(self.now_s, timers[0][0])
        now_s = self.now_s
        while timers and timers[0][0] <= now_s:
            ready.append(heapq.heappop(timers)[2])
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle.dead:
                continue
            self.steps += 1
            try:
                handle.context.run(handle.callback, *handle.args)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                self.call_exception_handler({"message": "callback failed", "exception": error})

    def _process_events(self, event_list: list[Any]) -> None:
        """There is no I/O."""

    def _write_to_self(self) -> None:
        """There are no threads."""

    def wind_up(self) -> None:
        """Ends what is still running, so that nothing outlives the world."""
        for _ in range(100):
            left = asyncio.all_tasks(self)
            if not left:
                break
            for task in sorted(left, key=number_of):
                task.cancel()
            while self._ready:
                self._run_once()
        self._timers.clear()
        self.close()


def number_of(task: asyncio.Task[Any]) -> int:
    """Orders tasks as they were made: sets of them have no order that two runs share."""
    return task.number if isinstance(task, SimTask) else 0


def _make_task(
    loop: asyncio.AbstractEventLoop,
    coroutine: Coroutine[Any, Any, Any] | Any,
    context: contextvars.Context | None = None,
) -> asyncio.Task[Any]:
    task = SimTask(coroutine, loop=loop, context=context)
    process = context.get(PROCESS) if context is not None else PROCESS.get()
    task.process = process
    assert isinstance(loop, SimLoop)
    loop.tasks_made += 1
    task.number = loop.tasks_made
    if process is not None and not process.alive:
        task.cancel()
    return task
