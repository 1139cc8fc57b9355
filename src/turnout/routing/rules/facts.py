"""What rules may ask about a payment: each fact's operators, words, and whether it may be unknown.

One table serves the reader, the checks and a test of docs/rules.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from turnout.domain.cards import Funding, Network
from turnout.domain.countries import COUNTRIES
from turnout.domain.money import EXPONENTS


class Missing(StrEnum):
    """What a condition says of a payment whose fact is unknown."""

    MATCH = "match"
    NO_MATCH = "no_match"


class Says(StrEnum):
    """Whether a condition on a fact says what it means for payments without the fact."""

    REQUIRED = "required"
    OPTIONAL = "optional"
    FORBIDDEN = "forbidden"


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact.

    Attributes:
        operators: keys of a condition that test it; at least one is given.
        missing: whether the condition has the key `missing`.
        words: the words that exist, in lower case; None where any word may.
        needs: a further key that a condition on it must have.
        least, most: bounds of `min` and `max`.
    """

    operators: tuple[str, ...]
    missing: Says
    words: frozenset[str] | None = None
    needs: str = ""
    least: int = 0
    most: int = 0


_IN: Final = ("in",)
_INT64: Final = (-(2**63), 2**63 - 1)
_KNOWN_NETWORKS: Final = frozenset(one.value for one in Network) - {"unknown"}
_KNOWN_FUNDINGS: Final = frozenset(one.value for one in Funding) - {"unknown"}
_CURRENCIES: Final = frozenset(code.lower() for code in EXPONENTS)
_COUNTRIES: Final = frozenset(code.lower() for code in COUNTRIES)

FACTS: Final[dict[str, Fact]] = {
    "amount_minor": Fact(("min", "max"), Says.OPTIONAL, least=_INT64[0], most=_INT64[1]),
    "currency": Fact(_IN, Says.OPTIONAL, _CURRENCIES),
    "method": Fact(_IN, Says.OPTIONAL),
    "capture_method": Fact(_IN, Says.OPTIONAL, frozenset({"automatic", "manual"})),
    "network": Fact(_IN, Says.REQUIRED, _KNOWN_NETWORKS),
    "funding": Fact(_IN, Says.REQUIRED, _KNOWN_FUNDINGS),
    "channel": Fact(
        _IN,
        Says.REQUIRED,
        frozenset({"ecommerce", "in_app", "moto", "pay_by_link", "in_person"}),
    ),
    "three_ds": Fact(
        _IN,
        Says.REQUIRED,
        frozenset({"none", "attempted", "authenticated", "failed", "exempted"}),
    ),
    "issuer_country": Fact(_IN, Says.REQUIRED, _COUNTRIES),
    "billing_country": Fact(_IN, Says.REQUIRED, _COUNTRIES),
    "bin": Fact(("prefix", "ranges"), Says.REQUIRED),
    "recurring": Fact(("is",), Says.REQUIRED),
    "risk_score": Fact(("min", "max"), Says.REQUIRED, least=0, most=100),
    "metadata": Fact(("in", "prefix"), Says.REQUIRED, needs="key"),
    "time": Fact(("days", "from", "until"), Says.FORBIDDEN, needs="zone"),
}

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def fold(word: str) -> str:
    """A word as rules compare it: without regard to ASCII case, and to no other.

    `str.lower` would fold letters beyond ASCII too, and the core does not.
    """
    return word.lower() if word.isascii() else word.translate(_LOWER)


_LOWER: Final = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
