"""PaymentMethods: a card is looked at once, and only what may be kept of it stays."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from turnout.sandbox import pan
from turnout.sandbox.stripe import cards
from turnout.sandbox.stripe.errors import StripeError
from turnout.sandbox.stripe.model import PaymentMethod
from turnout.sandbox.stripe.state import AccountState


def create(state: AccountState, params: dict[str, Any]) -> PaymentMethod:
    """Make a PaymentMethod of a card."""
    if params.get("type") != "card":
        raise StripeError.unsupported("payment methods other than cards", "type")
    card = params.get("card", {})
    for name in ("number", "exp_month", "exp_year"):
        if name not in card:
            raise StripeError.bad_request(
                f"Missing required param: card[{name}]", "parameter_missing", f"card[{name}]"
            )
    _check(card, datetime.fromtimestamp(state.clock(), UTC))
    method = _read(state, state.mint.stripe("pm"), card)
    method.billing = params.get("billing_details", {})
    method.metadata = params.get("metadata", {})
    state.keep_method(method)
    return method


def add_named(state: AccountState) -> None:
    """Add the PaymentMethods that exist in every test account, such as `pm_card_visa`."""
    for identifier, number in cards.NAMED_METHODS.items():
        card = {"number": number, "exp_month": 12, "exp_year": 2040, "cvc": "123"}
        state.methods[identifier] = _read(state, identifier, card)


def _check(card: dict[str, Any], today: datetime) -> None:
    number = card["number"].replace(" ", "").replace("-", "")
    card["number"] = number
    if not number.isascii() or not number.isdigit() or not 12 <= len(number) <= 19:
        raise StripeError.card("invalid_number", "This is not a card number.", param="number")
    if not pan.luhn_ok(number):
        raise StripeError.card("incorrect_number", "The number is incorrect.", param="number")
    year = card["exp_year"] + (2000 if card["exp_year"] < 100 else 0)
    card["exp_year"] = year
    month = card["exp_month"]
    if not 1 <= month <= 12:
        raise StripeError.card("invalid_expiry_month", "No such month.", param="exp_month")
    if (year, month) < (today.year, today.month):
        raise StripeError.card("invalid_expiry_year", "The card expired.", param="exp_year")
    if "cvc" in card and not (card["cvc"].isdigit() and 3 <= len(card["cvc"]) <= 4):
        raise StripeError.card("invalid_cvc", "Three or four digits.", param="cvc")


def _read(state: AccountState, identifier: str, card: dict[str, Any]) -> PaymentMethod:
    number = card["number"]
    behaviour = cards.BEHAVIOURS.get(number, cards.PLAIN)
    if state.settings.strict_test_cards and number not in cards.BEHAVIOURS:
        behaviour = cards.Behaviour("card_declined", "testmode_decline")
    return PaymentMethod(
        id=identifier,
        created=state.now(),
        brand=pan.network(number),
        last4=number[-4:],
        exp_month=card["exp_month"],
        exp_year=card["exp_year"],
        country=pan.country(number),
        behaviour=behaviour,
        fingerprint=hashlib.sha256(number.encode()).hexdigest()[:16],
        cvc_given="cvc" in card,
        billing={},
        metadata={},
    )
