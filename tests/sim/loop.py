"""An event loop whose time jumps: no I/O, no threads, nothing that two runs could do differently.

Where nothing is ready, time goes straight to the next timer. Timers of the same moment run in the
order in which they were made. Timers are this module's own and what is ready is a plain tuple,
because asyncio's handles cost more than what they call.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from heapq import heappop, heappush
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


class SimTimer:
    """A callback to come at its time."""

    __slots__ = ("args", "callback", "context", "when_s")

    def __init__(
        self,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: contextvars.Context | None,
        when_s: float,
    ) -> None:
        self.callback: Callable[..., object] | None = callback
        self.args = args
        self.context = context if context is not None else copy_context()
        self.when_s = when_s

    def cancel(self) -> None:
        """It is skipped when its turn comes."""
        self.callback = None
        self.args = ()

    def cancelled(self) -> bool:
        """Whether it will be skipped."""
        return self.callback is None

    def when(self) -> float:
        """The moment that it is set to."""
        return self.when_s


class SimLoop(asyncio.BaseEventLoop):
    """Virtual time from zero."""

    # Asked for every future and task that is made; a type costs a tenth of a method.
    get_debug = bool

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.steps = 0
        self.tasks_made = 0
        self._sequence = 0
        self._timers: list[tuple[float, int, SimTimer]] = []
        self._ready: deque[tuple[Callable[..., object], tuple[Any, ...], Any]] = deque()

    def time(self) -> float:
        """Virtual seconds since the world began."""
        return self.now_s

    def call_soon(  # type: ignore[override]
        self,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> None:
        """See `AbstractEventLoop.call_soon`; it cannot be taken back, as nobody does."""
        self._ready.append((callback, args, copy_context() if context is None else context))

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> SimTimer:
        """See `AbstractEventLoop.call_at`."""
        timer = SimTimer(callback, args, context, when)
        self._sequence += 1
        heappush(self._timers, (when, self._sequence, timer))
        return timer

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> SimTimer:
        """See `AbstractEventLoop.call_later`."""
        when = self.now_s + delay
        timer = SimTimer(callback, args, context, when)
        self._sequence += 1
        heappush(self._timers, (when, self._sequence, timer))
        return timer

    def create_task(
        self,
        coro: Coroutine[Any, Any, Any] | Any,
        *,
        name: object = None,
        context: contextvars.Context | None = None,
    ) -> SimTask:
        """See `AbstractEventLoop.create_task`; a dead process makes none that live."""
        self.tasks_made += 1
        process = PROCESS.get() if context is None else context.get(PROCESS)
        # One name for all: asyncio would count on from one world to the next.
        task = SimTask(coro, loop=self, name="sim", context=context)
        task.process, task.number = process, self.tasks_made
        if process is not None:
            process.owns(task)
        return task

    def forget_timers(self, callback: Callable[..., object]) -> None:
        """Takes back every timer that would call this."""
        for _, _, timer in self._timers:
            if timer.callback == callback:
                timer.cancel()

    def _run_once(self) -> None:
        """Runs all that is ready, and what that makes ready, up to the next moment."""
        ready, timers = self._ready, self._timers
        if not ready:
            while timers and timers[0][2].callback is None:
                heappop(timers)
            if not timers:
                raise Stuck
            self.now_s = max(self.now_s, timers[0][0])
        now_s = self.now_s
        while timers and timers[0][0] <= now_s:
            timer = heappop(timers)[2]
            if timer.callback is not None:
                ready.append((timer.callback, timer.args, timer.context))
        take, steps = ready.popleft, 0
        while ready and not self._stopping:  # type: ignore[attr-defined]
            callback, args, context = take()
            steps += 1
            try:
                context.run(callback, *args)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                self.call_exception_handler({"message": "callback failed", "exception": error})
        self.steps += steps

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
