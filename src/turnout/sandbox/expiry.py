"""Authorizations that run out: when their time comes, or when a test says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from turnout.sandbox.adyen import modifications
from turnout.sandbox.stripe import intents

if TYPE_CHECKING:
    from turnout.sandbox.app import Sandbox


def expire_due(sandbox: Sandbox) -> int:
    """Expire every hold that is older than its provider keeps one; returns how many."""
    settings, now_s = sandbox.settings, sandbox.now()
    count = 0
    for stripe in sandbox.stripe.states.values():
        for intent in list(stripe.intents.values()):
            if intent.created + settings.stripe_authorization_valid_s > now_s:
                # Oldest first, so everything behind is younger still.
                break
            if intent.status == "requires_capture":
                intents.expire(stripe, intent)
                count += 1
    for adyen in sandbox.adyen.states.values():
        for payment in list(adyen.payments.values()):
            if payment.at_s + settings.adyen_authorization_valid_s > now_s:
                break
            if payment.book is not None and payment.book.held_minor:
                modifications.expire(adyen, payment)
                count += 1
    return count


def expire_named(sandbox: Sandbox, provider: str, name: str) -> int:
    """Expire the holds of a payment, named by its provider's id or by our reference."""
    count = 0
    if provider == "stripe":
        for stripe in sandbox.stripe.states.values():
            for intent in stripe.intents.values():
                if name in (intent.id, *intent.metadata.values()):
                    count += intent.status == "requires_capture"
                    intents.expire(stripe, intent)
        return count
    for adyen in sandbox.adyen.states.values():
        named = [adyen.payments.get(name), *adyen.by_reference.get(name, ())]
        for payment in named:
            if payment is not None and payment.book is not None:
                count += payment.book.held_minor > 0
                modifications.expire(adyen, payment)
    return count
