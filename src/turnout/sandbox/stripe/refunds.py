"""Refunds of captured money, some of which end later than they were made."""

from __future__ import annotations

from typing import Any

from turnout.sandbox.stripe.errors import StripeError
from turnout.sandbox.stripe.model import Charge, Intent, Refund
from turnout.sandbox.stripe.state import AccountState
from turnout.sandbox.wire import Call


def create(state: AccountState, call: Call, params: dict[str, Any]) -> Refund:
    """Give back some or all of what was captured."""
    intent, made = _target(state, params)
    book = made.book
    left = book.net_captured_minor
    if book.captured_minor == 0:
        raise StripeError.bad_request(
            "There is no captured charge to refund", "payment_intent_unexpected_state",
            "payment_intent", began=True,
        )  # fmt: skip
    if left == 0:
        raise StripeError.bad_request(
            f"Charge {made.id} has already been refunded", "charge_already_refunded", None,
            began=True,
        )  # fmt: skip
    amount = params.get("amount", left)
    if amount < 1 or amount > left:
        raise StripeError.bad_request(
            f"amount must be between 1 and the {left} that is not refunded yet", None, "amount",
            began=True,
        )  # fmt: skip
    behaviour = made.method.behaviour.refund
    refund = Refund(
        id=state.mint.stripe("re"),
        created=state.now(),
        intent_id=intent.id,
        charge_id=made.id,
        amount=amount,
        currency=intent.currency,
        status="pending" if behaviour == "pending" else "succeeded",
        reason=params.get("reason"),
        metadata=params.get("metadata", {}),
    )
    state.refunds[refund.id] = refund
    made.refund_ids.append(refund.id)
    state.books.move(book, "refunded", amount, state.clock(), refund.id)
    state.emit("refund.created", intent, refund.json(), call)
    state.emit_charge("refunded", intent, made, call)
    if behaviour == "pending":
        settle(state, refund, failed=False)
    elif behaviour == "fails":
        settle(state, refund, failed=True)
    return _as_answered(refund, behaviour)


def settle(state: AccountState, refund: Refund, *, failed: bool) -> None:
    """End a refund: the events go out behind the first ones."""
    intent, made = state.charges[refund.charge_id]
    previous = {"status": refund.status}
    if failed:
        refund.status = "failed"
        refund.failure_reason = "expired_or_canceled_card"
        state.books.move(made.book, "refund_failed", refund.amount, state.clock(), refund.id)
    else:
        refund.status = "succeeded"
    state.emit("charge.refund.updated", intent, refund.json(), None, previous)
    state.emit("refund.updated", intent, refund.json(), None, previous)


def _as_answered(refund: Refund, behaviour: str) -> Refund:
    """The refund as it was when it was made: the end is told by events only."""
    if behaviour == "succeeds":
        return refund
    return Refund(
        refund.id, refund.created, refund.intent_id, refund.charge_id, refund.amount,
        refund.currency, "pending" if behaviour == "pending" else "succeeded", refund.reason,
        refund.metadata,
    )  # fmt: skip


def _target(state: AccountState, params: dict[str, Any]) -> tuple[Intent, Charge]:
    if "charge" in params:
        found = state.charges.get(params["charge"])
        if found is None:
            raise StripeError.missing("charge", params["charge"], "charge")
        return found
    if "payment_intent" not in params:
        raise StripeError.bad_request(
            "Say which charge or payment_intent to refund", "parameter_missing", "charge"
        )
    intent = state.intents.get(params["payment_intent"])
    if intent is None:
        raise StripeError.missing("payment_intent", params["payment_intent"], "payment_intent")
    made = intent.charge
    if made is None:
        raise StripeError.bad_request(
            "This PaymentIntent has no charge to refund", "payment_intent_unexpected_state",
            "payment_intent", began=True,
        )  # fmt: skip
    return intent, made
