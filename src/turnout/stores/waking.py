"""Wakes those who wait for a merchant's events, after the events have become durable.

A wake-up carries nothing: its holder reads the store from its own cursor, so none that is missed,
doubled or early can lose or repeat an event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable


class Subscription:
    """One holder's wake-up call; see `EventSubscription`."""

    __slots__ = ("_event", "_merchant_id", "_waking")

    def __init__(self, waking: Waking, merchant_id: str) -> None:
        self._waking = waking
        self._merchant_id = merchant_id
        self._event = asyncio.Event()

    async def wait(self) -> None:
        """Returns once events came since the last return."""
        await self._event.wait()
        self._event.clear()

    def wake(self) -> None:
        """Lets `wait` return, now or when it is next called."""
        self._event.set()

    def close(self) -> None:
        """No more wake-ups; may be called twice."""
        self._waking.forget(self._merchant_id, self)


class Waking:
    """All subscriptions of one store, by merchant."""

    def __init__(self) -> None:
        self._by_merchant: dict[str, set[Subscription]] = {}

    def subscribe(self, merchant_id: str) -> Subscription:
        """A new subscription; its holder closes it."""
        subscription = Subscription(self, merchant_id)
        self._by_merchant.setdefault(merchant_id, set()).add(subscription)
        return subscription

    def forget(self, merchant_id: str, subscription: Subscription) -> None:
        """Takes a subscription out."""
        holders = self._by_merchant.get(merchant_id)
        if holders is not None:
            holders.discard(subscription)
            if not holders:
                del self._by_merchant[merchant_id]

    def wake(self, merchants: Iterable[str]) -> None:
        """Wakes all who wait for events of these merchants."""
        for merchant_id in merchants:
            for subscription in self._by_merchant.get(merchant_id, ()):
                subscription.wake()
