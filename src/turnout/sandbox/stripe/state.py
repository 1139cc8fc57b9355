"""What one Stripe account holds, and the events that its changes cause."""

from __future__ import annotations

import hashlib
import hmac
from collections import deque
from collections.abc import Callable
from typing import Any

from turnout.sandbox.books import Books
from turnout.sandbox.ids import IdMint
from turnout.sandbox.settings import STRIPE_VERSION, SandboxSettings, StripeAccount
from turnout.sandbox.stripe.model import Charge, Intent, PaymentMethod, Refund, charge_json
from turnout.sandbox.webhooks import Delivery, WebhookCourier
from turnout.sandbox.wire import Call, Clock, packed

# Stripe keeps events for 30 days; a simulator keeps the newest.
EVENTS_MAX = 2_000


class AccountState:
    """One account's objects, newest last, each kind found by id."""

    def __init__(
        self,
        account: StripeAccount,
        settings: SandboxSettings,
        books: Books,
        mint: IdMint,
        courier: WebhookCourier,
        clock: Clock,
        page_url: Callable[[], str],
    ) -> None:
        self.account = account
        self.settings = settings
        self.books = books
        self.mint = mint
        self.clock = clock
        self.page_url = page_url
        self.webhook_url = account.webhook_url
        self.webhook_secret = account.webhook_secret
        self.methods: dict[str, PaymentMethod] = {}
        self.intents: dict[str, Intent] = {}
        self.charges: dict[str, tuple[Intent, Charge]] = {}
        self.refunds: dict[str, Refund] = {}
        self.events: deque[dict[str, Any]] = deque(maxlen=EVENTS_MAX)
        self.by_metadata: dict[tuple[str, str], dict[str, Intent]] = {}
        self.searchable_at: dict[str, float] = {}
        self._courier = courier
        self._enabled = frozenset(account.enabled_events)
        self._sequence = 0

    def now(self) -> int:
        """The time in whole seconds, as Stripe writes it."""
        return int(self.clock())

    def next_sequence(self) -> int:
        """A number that orders objects made in the same second."""
        self._sequence += 1
        return self._sequence

    def keep(self, intent: Intent) -> None:
        """Remember an intent; the oldest goes when there are too many."""
        self.intents[intent.id] = intent
        self.index(intent)
        if len(self.intents) > self.settings.payments_max:
            self._forget(next(iter(self.intents)))

    def keep_method(self, method: PaymentMethod) -> None:
        """Remember a payment method; the oldest goes when there are too many."""
        self.methods[method.id] = method
        if len(self.methods) > self.settings.payments_max:
            self.methods.pop(next(iter(self.methods)))

    def index(self, intent: Intent) -> None:
        """Make an intent searchable by its metadata, after the lag that search has."""
        self.searchable_at[intent.id] = self.clock() + self.settings.stripe_search_lag_s
        for item in intent.metadata.items():
            self.by_metadata.setdefault(item, {})[intent.id] = intent

    def unindex(self, intent: Intent) -> None:
        """Take an intent out of the search, before its metadata changes or it is forgotten."""
        for item in intent.metadata.items():
            named = self.by_metadata.get(item, {})
            named.pop(intent.id, None)
            if not named:
                self.by_metadata.pop(item, None)

    def reference(self, metadata: dict[str, str], fallback: str) -> str:
        """Our reference of a payment: the first of the known metadata keys, else any."""
        for key in self.settings.stripe_reference_keys:
            if key in metadata:
                return metadata[key]
        return next(iter(metadata.values()), fallback)

    def emit(
        self,
        kind: str,
        intent: Intent,
        obj: dict[str, Any],
        call: Call | None,
        previous: dict[str, Any] | None = None,
    ) -> None:
        """Record an event and send it to the account's endpoint, if it wants this kind."""
        if kind not in self._enabled and "*" not in self._enabled:
            return
        data: dict[str, Any] = {"object": obj}
        if previous is not None:
            data["previous_attributes"] = previous
        event_id = self.mint.stripe("evt")
        event: dict[str, Any] = {
            "id": event_id,
            "object": "event",
            "api_version": STRIPE_VERSION,
            "created": self.now(),
            "data": data,
            "livemode": False,
            "pending_webhooks": 0 if self.webhook_url is None else 1,
            "request": {
                "id": None if call is None else self.mint.stripe("req"),
                "idempotency_key": None if call is None else call.idempotency_key,
            },
            "type": kind,
        }
        self.events.append(event)
        if self.webhook_url is None:
            return
        body = packed(event)
        secret = self.webhook_secret.encode()
        reference = self.reference(intent.metadata, intent.id)
        self._courier.send(
            Delivery(
                "stripe", self.account.name, event_id, kind, reference, self.webhook_url,
                lambda now_s: (signature(secret, body, now_s), body),
            )
        )  # fmt: skip

    def emit_intent(self, kind: str, intent: Intent, call: Call | None) -> None:
        """An event about a PaymentIntent."""
        self.emit(f"payment_intent.{kind}", intent, intent.json(), call)

    def emit_charge(self, kind: str, intent: Intent, charge: Charge, call: Call | None) -> None:
        """An event about a Charge."""
        self.emit(f"charge.{kind}", intent, charge_json(charge, intent), call)

    def _forget(self, intent_id: str) -> None:
        intent = self.intents.pop(intent_id)
        self.searchable_at.pop(intent_id, None)
        for charge in intent.charges:
            self.charges.pop(charge.id, None)
            for refund_id in charge.refund_ids:
                self.refunds.pop(refund_id, None)
        self.unindex(intent)


def signature(secret: bytes, body: bytes, now_s: float) -> dict[str, str]:
    """The headers of a signed webhook: HMAC-SHA256 over the time, a full stop and the body."""
    stamp = str(int(now_s))
    digest = hmac.new(secret, stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/json; charset=utf-8",
        "Stripe-Signature": f"t={stamp},v1={digest}",
        "User-Agent": "Stripe/1.0 (sandbox)",
    }
