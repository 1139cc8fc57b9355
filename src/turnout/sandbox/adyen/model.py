"""Payments of one Adyen merchant account, and what a card number means there."""

from __future__ import annotations

from dataclasses import dataclass, field

from turnout.sandbox import pan
from turnout.sandbox.books import Charge

# Published test cards that are enrolled in 3-D Secure; others are approved without it.
# Source: docs.adyen.com/development-resources/test-cards-and-credentials.
THREE_D_SECURE = frozenset(
    {
        "4917610000000000",
        "5454545454545454",
        "4212345678901237",
        "5212345678901234",
        "4871049999999910",
        "371449635398431",
    }
)
# All published test cards carry this expiry and code; strict mode insists on them.
TEST_EXPIRY = ("03", "2030")
TEST_CVC = frozenset({"737", "7373"})

BRANDS = {
    "visa": "visa",
    "mastercard": "mc",
    "amex": "amex",
    "discover": "discover",
    "diners": "diners",
    "jcb": "jcb",
    "unionpay": "cup",
    "unknown": "scheme",
}


@dataclass(slots=True)
class Card:
    """What stays of a card once its number was looked at."""

    brand: str
    bin: str
    last4: str
    expiry: str
    holder_name: str
    country: str
    enrolled: bool
    cvc_given: bool
    address_given: bool


def read_card(number: str, month: str, year: str, holder: str, cvc: bool, address: bool) -> Card:
    """Keep of a card what may be kept."""
    return Card(
        brand=BRANDS[pan.network(number)],
        bin=number[:6],
        last4=number[-4:],
        expiry=f"{int(month)}/{year}",
        holder_name=holder,
        country=pan.country(number),
        enrolled=number in THREE_D_SECURE,
        cvc_given=cvc,
        address_given=address,
    )


@dataclass(slots=True)
class Modification:
    """A capture, cancel, refund or reversal that was received."""

    psp_reference: str
    kind: str
    amount_minor: int
    reference: str
    succeeded: bool
    reason: str = ""


@dataclass(slots=True)
class Payment:
    """One payment with its card, money and modifications."""

    psp_reference: str
    reference: str
    amount_minor: int
    currency: str
    card: Card
    return_url: str
    automatic_capture: bool
    at_s: float
    # received, redirected, authorised, refused, cancelled, expired
    status: str = "received"
    book: Charge | None = None
    refusal_code: str | None = None
    raw: str | None = None
    auth_code: str = ""
    network_reference: str = ""
    requested: tuple[str, str | None] | None = None
    redirect_result: str | None = None
    authenticated: bool | None = None
    modifications: list[Modification] = field(default_factory=list)
