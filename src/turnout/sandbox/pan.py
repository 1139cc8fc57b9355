"""What a card number itself says: checksum, network, and the country coded in test numbers."""

from __future__ import annotations

_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)

# Stripe's international test cards carry the issuer's ISO 3166 numeric code in digits 7 to 9.
_NUMERIC_COUNTRIES = {
    "032": "AR", "036": "AU", "040": "AT", "056": "BE", "076": "BR", "124": "CA", "156": "CN",
    "208": "DK", "246": "FI", "250": "FR", "276": "DE", "344": "HK", "356": "IN", "372": "IE",
    "380": "IT", "392": "JP", "484": "MX", "528": "NL", "554": "NZ", "578": "NO", "616": "PL",
    "620": "PT", "642": "RO", "702": "SG", "724": "ES", "752": "SE", "756": "CH", "826": "GB",
}  # fmt: skip


def luhn_ok(number: str) -> bool:
    """Whether the digits pass the Luhn checksum."""
    total = 0
    doubled = False
    for char in reversed(number):
        digit = ord(char) - 48
        total += _DOUBLED[digit] if doubled else digit
        doubled = not doubled
    return total % 10 == 0


def network(number: str) -> str:
    """The network's name in Stripe's words: visa, mastercard, amex, ... or unknown."""
    first = number[:1]
    two = int(number[:2] or 0)
    if first == "4":
        return "visa"
    if 51 <= two <= 55 or 2221 <= int(number[:4] or 0) <= 2720:
        return "mastercard"
    if two in (34, 37):
        return "amex"
    if two == 35:
        return "jcb"
    if two in (36, 38, 39) or number.startswith(("300", "301", "302", "303", "304", "305")):
        return "diners"
    if two in (62, 81):
        return "unionpay"
    if two in (60, 64, 65):
        return "discover"
    return "unknown"


def country(number: str) -> str:
    """The issuer's country of a test number; US where the number does not say."""
    if number.startswith("400000"):
        return _NUMERIC_COUNTRIES.get(number[6:9], "US")
    return "US"
