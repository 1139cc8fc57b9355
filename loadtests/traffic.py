"""What merchants send: the mix of calls, cards, currencies and amounts. Seeded, so repeatable."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from random import Random

from turnout import v1

# Of a hundred calls; about what shops do: most is authorizing, much is looking.
MIX = {
    "authorize": 46,
    "get": 20,
    "capture": 14,
    "refund": 7,
    "cancel": 4,
    "replay": 6,
    "list": 3,
}

# Published test numbers by network, with how often a shop sees the network.
CARDS = (
    ("visa", "4242424242424242", 30),
    ("visa debit", "4000056655665556", 20),
    ("mastercard", "5555555555554444", 22),
    ("mastercard 2-series", "2223003122003222", 8),
    ("amex", "378282246310005", 6),
    ("discover", "6011111111111117", 3),
    ("diners", "36227206271667", 2),
    ("jcb", "3566002020360505", 4),
    ("declined: no funds", "4000000000009995", 5),
)
CURRENCIES = (("EUR", 50), ("USD", 28), ("GBP", 17), ("JPY", 5))
_LEAST_MINOR, _MOST_MINOR = 500, 250_000
# JPY has no minor unit: the same numbers would be a hundred times the money.
_JPY_MOST_MINOR = 80_000
# How many payments a shop has in hand.
_REMEMBERED = 200


def _pick(dice: Random, weighted: tuple[tuple[str, int], ...]) -> str:
    return dice.choices([one for one, _ in weighted], [weight for _, weight in weighted])[0]


@dataclass(slots=True)
class Sent:
    """One authorization as it was sent, to send it again."""

    key: str
    request: v1.AuthorizePaymentRequest
    payment_id: str


@dataclass
class Shop:
    """One caller's memory: what it may capture, cancel, refund, look at, repeat."""

    dice: Random
    name: str
    authorized: deque[str] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    captured: deque[str] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    sent: deque[Sent] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    count: int = 0

    def next_call(self) -> str:
        """What to do next; what there is nothing to do it with becomes an authorization."""
        wish = self.dice.choices(list(MIX), list(MIX.values()))[0]
        needs = {
            "get": self.sent,
            "replay": self.sent,
            "capture": self.authorized,
            "cancel": self.authorized,
            "refund": self.captured,
        }
        return "authorize" if wish in needs and not needs[wish] else wish

    def key(self) -> str:
        """An idempotency key and reference that nobody used before."""
        self.count += 1
        return f"{self.name}-{self.count}"

    def new_payment(self, reference: str) -> v1.AuthorizePaymentRequest:
        """A payment as a shop's customers make them."""
        dice = self.dice
        cards = tuple((number, weight) for _, number, weight in CARDS)
        number = _pick(dice, cards)
        currency = _pick(dice, CURRENCIES)
        most = _JPY_MOST_MINOR if currency == "JPY" else _MOST_MINOR
        manual = dice.random() < 0.6
        return v1.AuthorizePaymentRequest(
            merchant_reference=reference,
            amount_minor=dice.randint(_LEAST_MINOR, most),
            currency=currency,
            payment_method=v1.PaymentMethod(
                card=v1.Card(
                    number=number,
                    expiry_month=dice.randint(1, 12),
                    expiry_year=dice.randint(2029, 2034),
                    cvc="7373" if len(number) == 15 else "737",
                    holder_name="Jordan Example",
                )
            ),
            capture_method=(v1.CAPTURE_METHOD_MANUAL if manual else v1.CAPTURE_METHOD_AUTOMATIC),
            customer=v1.Customer(reference=f"customer-{dice.randint(1, 100_000)}"),
            metadata={"channel": dice.choice(("web", "app"))},
        )

    def answered(self, key: str, asked: v1.AuthorizePaymentRequest, got: v1.Payment) -> None:
        """Remembers an authorization's answer."""
        self.sent.append(Sent(key, asked, got.payment_id))
        if got.status == v1.PAYMENT_STATUS_REQUIRES_CAPTURE:
            self.authorized.append(got.payment_id)
        elif got.status == v1.PAYMENT_STATUS_SUCCEEDED:
            self.captured.append(got.payment_id)
