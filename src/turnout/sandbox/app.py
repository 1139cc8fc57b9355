"""The sandbox as a whole: simulators, books, faults, webhooks and the three ports they stand on.

Each provider has a port of its own, so that one can be out (connections refused) while the others
and the control API go on. Everything is in memory: the sandbox lives while Turnout is killed and
restarted beside it, and forgets all when it ends itself.
"""

from __future__ import annotations

import asyncio
from random import Random

from turnout.sandbox.adyen.simulator import AdyenSimulator
from turnout.sandbox.books import Books
from turnout.sandbox.control import Control
from turnout.sandbox.expiry import expire_due
from turnout.sandbox.face import ProviderFace
from turnout.sandbox.faults import FaultEngine
from turnout.sandbox.listener import Listener
from turnout.sandbox.settings import SandboxSettings
from turnout.sandbox.stripe.simulator import StripeSimulator
from turnout.sandbox.webhooks import WebhookCourier
from turnout.sandbox.wire import Clock

# How often authorizations are looked through for those that ran out.
_EXPIRY_EVERY_S = 60.0


class Sandbox:
    """Simulated providers on loopback ports. Use it as an asynchronous context manager.

    Args:
        settings: ports, accounts and limits.
        clock: seconds since 1970; the control API may move it forward.
        seed: of ids, dice and delays; the same seed and requests give the same run.
    """

    def __init__(self, settings: SandboxSettings, clock: Clock, seed: int) -> None:
        self.settings = settings
        self.seed = seed
        self.clock_offset_s = 0.0
        self._clock = clock
        self.books = Books(settings.charges_max)
        self.faults = FaultEngine(Random(f"{seed}/faults"))
        self.courier = WebhookCourier(settings.webhooks, self.now, Random(f"{seed}/webhooks"))
        self.stripe = StripeSimulator(
            settings, self.books, self.courier, self.now, Random(f"{seed}/stripe"),
            lambda: self.stripe_url,
        )  # fmt: skip
        self.adyen = AdyenSimulator(
            settings, self.books, self.courier, self.now, Random(f"{seed}/adyen"),
            lambda: self.adyen_url,
        )  # fmt: skip
        log_max = settings.request_log_max
        self.faces = {
            "stripe": ProviderFace(self.stripe, self.faults, log_max, self.now),
            "adyen": ProviderFace(self.adyen, self.faults, log_max, self.now),
        }
        self.listeners = {
            "stripe": Listener(self.faces["stripe"].handle, settings.host, settings.stripe_port),
            "adyen": Listener(self.faces["adyen"].handle, settings.host, settings.adyen_port),
            "control": Listener(Control(self).handle, settings.host, settings.control_port),
        }
        self._expiry: asyncio.Task[None] | None = None

    def now(self) -> float:
        """The sandbox's time, in seconds since 1970."""
        return self._clock() + self.clock_offset_s

    @property
    def stripe_url(self) -> str:
        """Base URL for a Stripe connector: it adds `/v1/payment_intents` and so on."""
        return self.listeners["stripe"].url

    @property
    def adyen_url(self) -> str:
        """Base URL for an Adyen connector: it adds `/v71/payments` and so on."""
        return self.listeners["adyen"].url

    @property
    def control_url(self) -> str:
        """Base URL of the control API: paths begin with `/_control`."""
        return self.listeners["control"].url

    async def start(self) -> None:
        """Listen on all ports.

        Raises:
            OSError: a port is taken.
        """
        await self.courier.start()
        try:
            for listener in self.listeners.values():
                await listener.start()
        except OSError:
            await self.stop()
            raise
        self._expiry = asyncio.create_task(self._expire_now_and_then(), name="sandbox-expiry")

    async def stop(self) -> None:
        """Stop listening and forget everything."""
        if self._expiry is not None:
            self._expiry.cancel()
            await asyncio.gather(self._expiry, return_exceptions=True)
        for listener in self.listeners.values():
            await listener.stop()
        await self.courier.stop()

    async def set_outage(self, provider: str, mode: str, status: int = 503) -> None:
        """Make a provider unreachable, or reachable again.

        Args:
            provider: `stripe` or `adyen`.
            mode: `refuse` (nothing listens), `close`, `reset`, `status` or `none`.
            status: the HTTP status of mode `status`.
        """
        face, listener = self.faces[provider], self.listeners[provider]
        face.outage = (
            status if mode == "status" else (mode if mode in ("close", "reset") else None)
        )
        if mode == "refuse":
            await listener.close()
        else:
            await listener.reopen()

    async def reset(self) -> None:
        """Heal everything and forget all payments; accounts, ports and time go on."""
        self.faults.clear()
        for provider in self.faces:
            await self.set_outage(provider, "none")
            self.faces[provider].log.clear()
            self.faces[provider].requests = 0
        self.books.clear()
        self.stripe.reset()
        self.adyen.reset()
        self.courier.restore(self.settings.webhooks)

    async def __aenter__(self) -> Sandbox:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _expire_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(_EXPIRY_EVERY_S)
            expire_due(self)
