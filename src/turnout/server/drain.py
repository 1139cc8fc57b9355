"""The end of what would never end, and of callers who do not stop calling.

grpc's graceful stop waits for calls to finish, and a stream of events never does. Each open-ended
call stands in a scope that a drain can close; the call then ends with an error that says to come
again.

When grpc is told to stop, it ends a call that it has taken in and nobody has begun as CANCELLED,
though nobody cancelled it. So none is left there: while a server goes down, callers who come are
kept waiting until none comes any more, and are turned away once their connection was told to go,
so that what they send next goes elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Never

from turnout.domain.errors import Unavailable

_COME_AGAIN_MS = 1_000
# Nobody came for so many turns of the event loop: all who were on their way are here.
_QUIET_TURNS = 20
_TURN_S = 0.005


class Drain:
    """Whether the server is going down, and the calls that must hear of it."""

    __slots__ = ("_came", "_scopes", "_shut", "started")

    def __init__(self) -> None:
        self._scopes: set[asyncio.Timeout] = set()
        self._shut = asyncio.Event()
        self._came = 0
        self.started = False

    @property
    def scopes(self) -> int:
        """How many open-ended calls there are."""
        return len(self._scopes)

    def begin(self, grace_s: float = 0.0) -> None:
        """Ends all open scopes after `grace_s`, and keeps calls to come waiting for `shut`."""
        self.started = True
        when = asyncio.get_running_loop().time() + grace_s
        for scope in self._scopes:
            scope.reschedule(when)

    async def gather(self, most_s: float) -> None:
        """Returns once nobody comes any more, or after `most_s`."""
        end = asyncio.get_running_loop().time() + most_s
        seen, quiet = self._came, 0
        while quiet < _QUIET_TURNS and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(_TURN_S)
            quiet = quiet + 1 if seen == self._came else 0
            seen = self._came

    def shut(self) -> None:
        """Turns away whoever waits or comes."""
        self._shut.set()

    async def turn_away(self) -> Never:
        """Holds a call that came while the server goes down, until `shut`.

        Raises:
            Unavailable: always.
        """
        self._came += 1
        await self._shut.wait()
        raise _draining()

    @contextlib.asynccontextmanager
    async def until(self) -> AsyncIterator[None]:
        """Holds an open-ended call.

        Raises:
            Unavailable: the server is going down.
        """
        if self.started:
            await self.turn_away()
        scope = asyncio.timeout(None)
        try:
            async with scope:
                self._scopes.add(scope)
                yield
        except TimeoutError:
            if scope.expired():
                raise _draining() from None
            raise
        finally:
            self._scopes.discard(scope)


def _draining() -> Unavailable:
    return Unavailable(
        "DRAINING",
        "this server is going down; connect again and repeat the call, or what a stream has not "
        "answered; a stream of events goes on after its last cursor",
        retry_after_ms=_COME_AGAIN_MS,
    )
