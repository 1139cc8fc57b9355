"""Cards: what may be held, what may be shown, and what can be told from the number alone.

`CardDetails` is the only type in the house that holds a PAN or a CVC. It hides both from repr, and
only `vault/`, the face that receives it and a connector's `reveal` ever hold one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from turnout.domain.errors import FieldError

# What may be wrong with a card tomorrow that is right today.
CARD_EXPIRED: Final = "CARD_EXPIRED"


class Network(StrEnum):
    """Card networks. UNKNOWN is a legal value everywhere.

    Those from CARTES_BANCAIRES on share ranges with others, so only a BIN file or the request
    can name them; the number alone never does.
    """

    UNKNOWN = "unknown"
    VISA = "visa"
    MASTERCARD = "mastercard"
    AMEX = "amex"
    DISCOVER = "discover"
    DINERS = "diners"
    JCB = "jcb"
    UNIONPAY = "unionpay"
    MAESTRO = "maestro"
    CARTES_BANCAIRES = "cartes_bancaires"
    ELO = "elo"
    HIPERCARD = "hipercard"
    RUPAY = "rupay"
    MIR = "mir"
    INTERAC = "interac"
    EFTPOS_AU = "eftpos_au"
    DANKORT = "dankort"
    BANCONTACT = "bancontact"
    TROY = "troy"
    VERVE = "verve"


class Funding(StrEnum):
    """How a card is funded."""

    UNKNOWN = "unknown"
    CREDIT = "credit"
    DEBIT = "debit"
    PREPAID = "prepaid"
    CHARGE = "charge"
    DEFERRED_DEBIT = "deferred_debit"


@dataclass(slots=True)
class CardDetails:
    """A card as the payer typed it. Lives in memory only, and briefly."""

    number: str = field(repr=False)
    expiry_month: int
    expiry_year: int
    cvc: str = field(default="", repr=False)
    holder_name: str = field(default="", repr=False)


@dataclass(slots=True)
class CardFacts:
    """What may be stored, shown and routed on: no more of the number than BIN and last four."""

    network: Network = Network.UNKNOWN
    bin: str = ""
    last4: str = ""
    expiry_month: int = 0
    expiry_year: int = 0
    funding: Funding = Funding.UNKNOWN
    issuer_country: str = ""
    issuer_name: str = ""


@dataclass(frozen=True, slots=True)
class BinFacts:
    """What a BIN file says of a range of numbers; empty and UNKNOWN where it says nothing."""

    network: Network = Network.UNKNOWN
    funding: Funding = Funding.UNKNOWN
    issuer_country: str = ""
    issuer_name: str = ""


@dataclass(frozen=True, slots=True)
class _Prefix:
    low: int
    high: int
    network: Network
    lengths: frozenset[int]


def _span(low: int, high: int, network: Network, *lengths: int) -> _Prefix:
    """A range of leading digits, stretched to six so that ranges compare as numbers."""
    width = len(str(high))
    return _Prefix(
        low * 10 ** (6 - width),
        (high + 1) * 10 ** (6 - width) - 1,
        network,
        frozenset(lengths),
    )


# Ranges of the issuer identification number, the narrow ones before the wide ones they sit in.
# Source: the networks' published ranges as collected in ISO/IEC 7812 summaries (payment card
# number, Wikipedia, 2026): facts, in our own arrangement.
_PREFIXES: tuple[_Prefix, ...] = (
    _span(34, 34, Network.AMEX, 15),
    _span(37, 37, Network.AMEX, 15),
    _span(300, 305, Network.DINERS, *range(14, 20)),
    _span(3095, 3095, Network.DINERS, *range(14, 20)),
    _span(36, 36, Network.DINERS, *range(14, 20)),
    _span(38, 39, Network.DINERS, *range(14, 20)),
    _span(3528, 3589, Network.JCB, *range(16, 20)),
    _span(622126, 622925, Network.DISCOVER, *range(16, 20)),
    _span(6011, 6011, Network.DISCOVER, *range(16, 20)),
    _span(644, 649, Network.DISCOVER, *range(16, 20)),
    _span(65, 65, Network.DISCOVER, *range(16, 20)),
    _span(62, 62, Network.UNIONPAY, *range(16, 20)),
    _span(81, 81, Network.UNIONPAY, *range(16, 20)),
    _span(2221, 2720, Network.MASTERCARD, 16),
    _span(51, 55, Network.MASTERCARD, 16),
    _span(4, 4, Network.VISA, 13, 16, 18, 19),
    _span(50, 50, Network.MAESTRO, *range(12, 20)),
    _span(56, 58, Network.MAESTRO, *range(12, 20)),
    _span(67, 67, Network.MAESTRO, *range(12, 20)),
    _span(6304, 6304, Network.MAESTRO, *range(12, 20)),
)

# Those that hold a number with these two first digits, in the same order.
_PREFIXES_BY_TWO: tuple[tuple[_Prefix, ...], ...] = tuple(
    tuple(one for one in _PREFIXES if one.low // 10_000 <= two <= one.high // 10_000)
    for two in range(100)
)

# 13 digits are the shortest PAN in use; shorter runs are order numbers.
_PAN_SHORTEST = 13
_PAN_LONGEST = 19

# Tables for bytes.translate, which walks a text without Python's steps.
_DIGITS = b"0123456789"
_DIGIT_ITSELF = bytes.maketrans(_DIGITS, bytes(range(10)))
_DIGIT_DOUBLED = bytes.maketrans(_DIGITS, bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)))
_RUNS = bytes(one if one in _DIGITS else ord("\n") for one in range(256))
_RUNS_ALIKE = bytes(ord("0") if one in _DIGITS else ord("\n") for one in range(256))
_LONG_RUN = b"0" * _PAN_SHORTEST


def network_of(number: str) -> Network:
    """The network by prefix and length; UNKNOWN where no published range fits.

    Args:
        number: the PAN, digits only.
    """
    lead = int(number[:6].ljust(6, "0"))
    for prefix in _PREFIXES_BY_TWO[lead // 10_000]:
        if prefix.low <= lead <= prefix.high and len(number) in prefix.lengths:
            return prefix.network
    return Network.UNKNOWN


def luhn_valid(number: str) -> bool:
    """Whether the check digit fits (ISO/IEC 7812-1 annex B).

    Args:
        number: digits only.
    """
    digits = number.encode()
    itself = digits[-1::-2].translate(_DIGIT_ITSELF)
    doubled = digits[-2::-2].translate(_DIGIT_DOUBLED)
    return sum(itself + doubled) % 10 == 0


def holds_card_number(text: str) -> bool:
    """Whether a free text holds what looks like a card number, spaced or dashed or not.

    Texts may be joined by line ends and asked about at once: nothing but a space or a dash goes
    on with a run of digits.
    """
    if len(text) < _PAN_SHORTEST:
        return False
    # What is no ASCII has bytes that are none, and ends a run as any other letter does.
    raw = text.encode("utf-8", "surrogatepass")
    if _LONG_RUN not in raw.translate(_RUNS_ALIKE, b" -"):
        return False
    runs = raw.translate(_RUNS, b" -").split()
    return any(len(run) >= _PAN_SHORTEST and _is_card_number(run.decode()) for run in runs)


def _is_card_number(run: str) -> bool:
    """A run that a card network could have issued and whose check digit fits.

    Order numbers made of a date or a counter fall into no network's range; of those that do, nine
    in ten have another check digit.
    """
    return len(run) <= _PAN_LONGEST and network_of(run) is not Network.UNKNOWN and luhn_valid(run)


def bin_of(number: str) -> str:
    """The first 8 digits, or 6 where the number is short (PCI DSS 3.4.1 lets these be kept)."""
    return number[:8] if len(number) >= 16 else number[:6]


def card_errors(card: CardDetails, year: int, month: int, field_name: str) -> list[FieldError]:
    """Everything that is wrong with a card, by field; never with the number in the text.

    Args:
        card: as received; the number may hold anything.
        year: the present year (UTC), four digits.
        month: the present month (UTC), 1 to 12.
        field_name: the path of the card in the request, for example `payment_method.card`.
    """
    found: list[FieldError] = []
    number = card.number
    if not (12 <= len(number) <= 19 and number.isascii() and number.isdigit()):
        found.append(
            FieldError(
                f"{field_name}.number",
                "CARD_NUMBER_MALFORMED",
                "a card number is 12 to 19 digits without spaces or dashes",
            )
        )
    elif not luhn_valid(number):
        found.append(
            FieldError(
                f"{field_name}.number",
                "CARD_NUMBER_INVALID",
                "the check digit does not fit; ask the payer to type the number again",
            )
        )
    if not 1 <= card.expiry_month <= 12:
        found.append(
            FieldError(f"{field_name}.expiry_month", "EXPIRY_MONTH_INVALID", "a month is 1 to 12")
        )
    if not year - 100 <= card.expiry_year <= year + 50:
        found.append(
            FieldError(
                f"{field_name}.expiry_year",
                "EXPIRY_YEAR_INVALID",
                f"a year has four digits, for example 2030, and is {year + 50} at most",
            )
        )
    elif (card.expiry_year, card.expiry_month) < (year, month):
        found.append(
            FieldError(
                f"{field_name}.expiry_year",
                CARD_EXPIRED,
                "the card has expired; ask the payer for another",
            )
        )
    cvc = card.cvc
    if cvc and not (3 <= len(cvc) <= 4 and cvc.isascii() and cvc.isdigit()):
        found.append(FieldError(f"{field_name}.cvc", "CVC_MALFORMED", "a CVC is 3 or 4 digits"))
    return found
