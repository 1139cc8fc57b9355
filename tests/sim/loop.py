"""An event loop whose time jumps: no I/O, no threads, nothing that two runs could do differently.

Where nothing is ready, time goes straight to the next timer. Timers of the same moment run in the
order in which they were made. Timers are this module's own and what is ready is a plain tuple,
because asyncio's handles cost more than what they call.
"""

from __future__ import annotations

import asyncio
import contextvars
from asyncio.futures import _set_result_unless_cancelled  # type: ignore[attr-defined]
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from functools import partial
from heapq import heappop, heappush
from typing import Any

# Which process a task belongs to, and in which part of it; children and timers inherit both.
PROCESS: contextvars.ContextVar[Any] = contextvars.ContextVar("process", default=None)
ROLE: contextvars.ContextVar[str] = contextvars.ContextVar("role", default="world")
# For what only wakes a sleeper (`asyncio.sleep`): whoever wakes has a context of his own.
_BARE = contextvars.Context()
# For what goes on outside of every process: on the wire, and at the providers.
OUTSIDE = contextvars.Context()


class Stuck(Exception):
    """Nothing is ready and no timer is set, so what is awaited can never happen."""


class SimTask(asyncio.Task[Any]):
    """A task that knows whose it is, so that a crash can end it."""

    process: Any = None


class SimTimer(list[Any]):
    """A callback to come: when, its number, what, with which arguments, in which context.

    A list, because the heap compares and makes those without a call into Python.
    """

    __slots__ = ()

    def cancel(self) -> None:
        """It is skipped when its turn comes."""
        self[2] = None

    def cancelled(self) -> bool:
        """Whether it will be skipped."""
        return self[2] is None

    def when(self) -> float:
        """The moment that it is set to."""
        when_s: float = self[0]
        return when_s


class SimLoop(asyncio.BaseEventLoop):
    """Virtual time from zero."""

    # Asked for every future and task that is made; a type costs a tenth of a method.
    get_debug = bool

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.steps = 0
        self._sequence = 0
        self._timers: list[SimTimer] = []
        # Made some fifty times a payment; a method of the loop would be one call more for each.
        self.create_future = partial(asyncio.Future, loop=self)  # type: ignore[method-assign]
        self._tasks: list[SimTask] = []
        self._tasks_most = 256
        self._ready: deque[tuple[Callable[..., object], tuple[Any, ...], Any]] = deque()
        self._still: object = None
        self._parked: list[tuple[Callable[..., object], tuple[Any, ...], Any]] = []

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
        self._sequence += 1
        if context is None and callback is not _set_result_unless_cancelled:
            context = copy_context()
        timer = SimTimer((when, self._sequence, callback, args, context))
        heappush(self._timers, timer)
        return timer

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> SimTimer:
        """See `AbstractEventLoop.call_later`."""
        self._sequence += 1
        if context is None and callback is not _set_result_unless_cancelled:
            context = copy_context()
        timer = SimTimer((self.now_s + delay, self._sequence, callback, args, context))
        heappush(self._timers, timer)
        return timer

    def create_task(
        self,
        coro: Coroutine[Any, Any, Any] | Any,
        *,
        name: object = None,
        context: contextvars.Context | None = None,
    ) -> SimTask:
        """See `AbstractEventLoop.create_task`; a dead process makes none that live."""
        process = PROCESS.get() if context is None else context.get(PROCESS)
        # One name for all: asyncio would count on from one world to the next.
        task = SimTask(coro, loop=self, name="sim", context=context)
        if process is not None:
            task.process = process
            if not process.alive:
                task.cancel()
        tasks = self._tasks
        tasks.append(task)
        if len(tasks) > self._tasks_most:
            self.forget_done()
        return task

    def forget_done(self) -> None:
        """Lets go of tasks that are done, so that what nobody awaited is reported."""
        self._tasks = [one for one in self._tasks if not one.done()]
        self._tasks_most = 2 * len(self._tasks) + 64

    def cancel_tasks_of(self, process: object) -> None:
        """Ends all that a process was doing, in the order in which it began."""
        for task in [one for one in self._tasks if one.process is process]:
            task.cancel()

    def stand_still(self, process: object) -> None:
        """Of this process nothing more happens until it goes on (SIGSTOP): time passes it by."""
        self._still = process

    def go_on(self) -> None:
        """All that came meanwhile comes now, in its order (SIGCONT)."""
        self._still = None
        self._ready.extend(self._parked)
        self._parked.clear()

    def forget_timers(self, callback: Callable[..., object]) -> None:
        """Takes back every timer that would call this."""
        for timer in self._timers:
            if timer[2] == callback:
                timer.cancel()

    def _run_once(self) -> None:
        """Runs moment after moment, and all that each makes ready, until the loop is stopped."""
        timers = self._timers
        self._run_ready()
        while not self._stopping:  # type: ignore[attr-defined]
            if not timers:
                raise Stuck
            when_s, _, callback, args, context = heappop(timers)
            if callback is None:
                continue
            if when_s > self.now_s:
                self.now_s = when_s
            if timers and timers[0][0] <= self.now_s:
                self._ready.append((callback, args, context or _BARE))
                self._take_due()
            elif context is not None and self._still is None:
                # The only one of its moment need not queue.
                self.steps += 1
                self._call(callback, args, context)
            elif context is not None:
                self._ready.append((callback, args, context))
            else:
                self.steps += 1
                sleeper, result = args
                if not sleeper.done():
                    sleeper.set_result(result)
            self._run_ready()

    def _take_due(self) -> None:
        timers = self._timers
        while timers and timers[0][0] <= self.now_s:
            _, _, callback, args, context = heappop(timers)
            if callback is not None:
                self._ready.append((callback, args, context or _BARE))

    def _run_ready(self) -> None:
        """Runs all that is ready, and what that makes ready."""
        ready = self._ready
        take, steps = ready.popleft, 0
        while ready and not self._stopping:  # type: ignore[attr-defined]
            callback, args, context = take()
            steps += 1
            if self._still is not None and context.get(PROCESS) is self._still:
                self._parked.append((callback, args, context))
                continue
            try:
                context.run(callback, *args)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                self.call_exception_handler({"message": "callback failed", "exception": error})
        self.steps += steps

    def _call(
        self, callback: Callable[..., object], args: tuple[Any, ...], context: contextvars.Context
    ) -> None:
        try:
            context.run(callback, *args)
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
            self.forget_done()
            if not self._tasks:
                break
            for task in self._tasks:
                task.cancel()
            while self._ready:
                self._take_due()
                self._run_ready()
        self._timers.clear()
        self.close()
