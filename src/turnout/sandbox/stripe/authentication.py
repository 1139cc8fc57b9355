"""The page on which a payer of a Stripe payment passes or fails 3-D Secure."""

from __future__ import annotations

from turnout.sandbox import pages
from turnout.sandbox.stripe import intents
from turnout.sandbox.stripe.model import Intent
from turnout.sandbox.stripe.state import AccountState
from turnout.sandbox.wire import Answer


def visit(state: AccountState, intent: Intent, query: str) -> Answer:
    """Show the choice, or carry it out and send the payer back."""
    chosen = pages.outcome(query)
    if chosen is None:
        amount = f"{intent.amount} {intent.currency.upper()} (minor units)"
        return pages.ask(f"A shop asks for {amount}. Is it you?")
    intents.finish_authentication(state, intent, chosen)
    if intent.return_url is None:
        return pages.done(f"Authentication finished; the payment is {intent.status}.")
    good = intent.status in ("succeeded", "requires_capture", "requires_confirmation")
    return pages.go_back(
        intent.return_url,
        {
            "payment_intent": intent.id,
            "payment_intent_client_secret": intent.client_secret,
            "redirect_status": "succeeded" if good else "failed",
        },
    )
