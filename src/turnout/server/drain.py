"""The end of what would never end: streams are told to go when the server goes down.

grpc's graceful stop waits for calls to finish, and a stream of events never does. Each open-ended
call stands in a scope that a drain can close; the call then ends with an error that says to come
again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from turnout.domain.errors import Unavailable

_COME_AGAIN_MS = 1_000


class Drain:
    """Whether the server is going down, and the open-ended calls that must hear of it."""

    __slots__ = ("_scopes", "started")

    def __init__(self) -> None:
        self._scopes: set[asyncio.Timeout] = set()
        self.started = False

    def begin(self, grace_s: float = 0.0) -> None:
        """Ends all open scopes after `grace_s`, and those to come at once."""
        self.started = True
        when = asyncio.get_running_loop().time() + grace_s
        for scope in self._scopes:
            scope.reschedule(when)

    @contextlib.asynccontextmanager
    async def until(self) -> AsyncIterator[None]:
        """Holds an open-ended call.

        Raises:
            Unavailable: the server is going down.
        """
        if self.started:
            raise _draining()
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
        "this server is going down; connect again and resume after the last cursor",
        retry_after_ms=_COME_AGAIN_MS,
    )
