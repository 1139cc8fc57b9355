"""Delivery of webhooks: late, twice, out of order, in bursts, dropped, and retried.

One heap of due deliveries and one pump; a bounded number of posts is in flight. A delivery is
signed when it is sent, not when it is made, as providers do: a retry carries a fresh timestamp.
Tests that must not sleep hold deliveries and flush them through the control API, which returns
when the receiver has answered.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import aiohttp

from turnout.sandbox.faults import Latency
from turnout.sandbox.settings import WebhookProfile
from turnout.sandbox.wire import Clock

# Deliveries that wait; above this the oldest are given up and counted, so memory stays bounded.
PENDING_MAX = 200_000
IN_FLIGHT_MAX = 16
HISTORY_MAX = 2_000

# Builds (headers, body) at the moment of sending, from the time in seconds.
Seal = Callable[[float], tuple[dict[str, str], bytes]]


@dataclass(slots=True)
class Delivery:
    """One webhook on its way to one receiver."""

    provider: str
    account: str
    event_id: str
    event_type: str
    reference: str
    url: str
    seal: Seal
    copy: int = 0
    attempts: int = 0
    status: int | None = None
    error: str = ""

    def view(self) -> dict[str, Any]:
        """The delivery as the control API shows it."""
        return {
            "provider": self.provider,
            "account": self.account,
            "event_id": self.event_id,
            "event_type": self.event_type,
            "reference": self.reference,
            "copy": self.copy,
            "attempts": self.attempts,
            "status": self.status,
            "error": self.error,
        }


@dataclass(slots=True)
class _Due:
    at_s: float
    sequence: int
    delivery: Delivery = field(compare=False)

    def __lt__(self, other: _Due) -> bool:
        return (self.at_s, self.sequence) < (other.at_s, other.sequence)


class WebhookCourier:
    """Carries webhooks to their receivers under a profile of misbehaviour."""

    def __init__(self, profile: WebhookProfile, clock: Clock, rng: Random) -> None:
        self.profiles: dict[str, WebhookProfile] = {}
        self._default = profile
        self._clock = clock
        self._rng = rng
        self._heap: list[_Due] = []
        self._held: list[_Due] = []
        self._sequence = 0
        self._wake = asyncio.Event()
        self._room = asyncio.Semaphore(IN_FLIGHT_MAX)
        self._posts: set[asyncio.Task[None]] = set()
        self._pump_task: asyncio.Task[None] | None = None
        self._session: aiohttp.ClientSession | None = None
        self.counts: Counter[str] = Counter()
        self.history: deque[dict[str, Any]] = deque(maxlen=HISTORY_MAX)

    def profile(self, provider: str) -> WebhookProfile:
        """The profile in force for a provider."""
        return self.profiles.get(provider, self._default)

    def set_profile(self, profile: WebhookProfile, provider: str | None = None) -> None:
        """Change how webhooks travel, for one provider or for all."""
        if provider is None:
            self._default = profile
            self.profiles.clear()
        else:
            self.profiles[provider] = profile
        for due in self._held:
            heapq.heappush(self._heap, due)
        self._held.clear()
        self._wake.set()

    def restore(self, profile: WebhookProfile) -> None:
        """Forget waiting deliveries and history, and begin again under a profile."""
        self._heap.clear()
        self._held.clear()
        self.counts.clear()
        self.history.clear()
        self.set_profile(profile)

    async def start(self) -> None:
        """Begin to deliver."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=IN_FLIGHT_MAX, force_close=False)
        )
        self._pump_task = asyncio.create_task(self._pump(), name="sandbox-webhooks")

    async def stop(self) -> None:
        """Stop; what waits is lost, as the sandbox's whole record is."""
        if self._pump_task is not None:
            self._pump_task.cancel()
            await asyncio.gather(self._pump_task, return_exceptions=True)
        for task in list(self._posts):
            task.cancel()
        await asyncio.gather(*self._posts, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def send(self, delivery: Delivery) -> None:
        """Take a webhook; the profile says when it leaves, how often, or that it never does."""
        profile = self.profile(delivery.provider)
        self.counts["created"] += 1
        if profile.drop_probability and self._rng.random() < profile.drop_probability:
            self.counts["dropped"] += 1
            return
        delay_s = self._delay_s(profile)
        self._push(delivery, delay_s)
        if profile.duplicate_probability and self._rng.random() < profile.duplicate_probability:
            twin = Delivery(
                delivery.provider, delivery.account, delivery.event_id, delivery.event_type,
                delivery.reference, delivery.url, delivery.seal, copy=1,
            )  # fmt: skip
            self.counts["duplicated"] += 1
            self._push(twin, delay_s + self._rng.random() * profile.duplicate_delay_ms / 1000.0)

    def pending(self) -> list[Delivery]:
        """What waits, in the order in which it would leave."""
        return [due.delivery for due in sorted(self._heap + self._held)]

    async def flush(
        self, order: str = "fifo", copies: int = 1, limit: int | None = None
    ) -> list[dict[str, Any]]:
        """Deliver what waits, now, and return once every receiver has answered.

        Args:
            order: `fifo`, `reverse` or `shuffled`.
            copies: how many times each is delivered.
            limit: at most so many of those that wait.
        """
        chosen = sorted(self._heap + self._held)
        if order == "reverse":
            chosen.reverse()
        elif order == "shuffled":
            self._rng.shuffle(chosen)
        chosen = chosen[:limit]
        gone = {id(due) for due in chosen}
        self._heap = [due for due in self._heap if id(due) not in gone]
        self._held = [due for due in self._held if id(due) not in gone]
        heapq.heapify(self._heap)
        results = []
        for due in chosen:
            for copy in range(copies):
                due.delivery.copy = max(due.delivery.copy, copy)
                await self._attempt(due.delivery)
                results.append(due.delivery.view())
        return results

    def _delay_s(self, profile: WebhookProfile) -> float:
        delay_s = Latency(profile.delay_p50_ms, profile.delay_p99_ms).sample_s(self._rng)
        if profile.reorder_probability and self._rng.random() < profile.reorder_probability:
            delay_s += self._rng.random() * profile.reorder_delay_ms / 1000.0
        if profile.burst_every_ms > 0.0:
            loop_s = asyncio.get_running_loop().time()
            every_s = profile.burst_every_ms / 1000.0
            delay_s = math.ceil((loop_s + delay_s) / every_s) * every_s - loop_s
        return delay_s

    def _push(self, delivery: Delivery, delay_s: float) -> None:
        if len(self._heap) + len(self._held) >= PENDING_MAX:
            heapq.heappop(self._heap or self._held)
            self.counts["overflowed"] += 1
        self._sequence += 1
        at_s = asyncio.get_running_loop().time() + delay_s
        heapq.heappush(self._heap, _Due(at_s, self._sequence, delivery))
        if self._heap[0].delivery is delivery:
            self._wake.set()

    async def _pump(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            while self._heap and self._heap[0].at_s <= loop.time():
                due = heapq.heappop(self._heap)
                if self.profile(due.delivery.provider).hold:
                    self._held.append(due)
                    continue
                await self._room.acquire()
                task = asyncio.create_task(self._post(due.delivery))
                self._posts.add(task)
                task.add_done_callback(self._posts.discard)
            wait_s = max(0.0, self._heap[0].at_s - loop.time()) if self._heap else None
            try:
                await asyncio.wait_for(self._wake.wait(), wait_s)
            except TimeoutError:
                continue

    async def _post(self, delivery: Delivery) -> None:
        try:
            accepted = await self._attempt(delivery)
        finally:
            self._room.release()
        if accepted:
            return
        profile = self.profile(delivery.provider)
        if delivery.attempts >= profile.attempts_max:
            self.counts["given_up"] += 1
            return
        backoff_ms = min(
            profile.retry_cap_ms, profile.retry_base_ms * 2.0 ** (delivery.attempts - 1)
        )
        self._push(delivery, backoff_ms / 1000.0)

    async def _attempt(self, delivery: Delivery) -> bool:
        if self._session is None:
            raise RuntimeError("the courier was not started")
        headers, body = delivery.seal(self._clock())
        timeout = aiohttp.ClientTimeout(total=self.profile(delivery.provider).timeout_ms / 1000.0)
        delivery.attempts += 1
        delivery.status, delivery.error = None, ""
        try:
            async with self._session.post(
                delivery.url, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as answer:
                await answer.read()
                delivery.status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            delivery.error = type(error).__name__
        accepted = delivery.status is not None and 200 <= delivery.status < 300
        self.counts["delivered" if accepted else "failed"] += 1
        self.history.append(delivery.view())
        return accepted
