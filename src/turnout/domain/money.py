"""ISO 4217 currencies and their minor units, and the checks on an amount of money.

Amounts are integers in minor units from end to end: a float cannot hold 0.10 exactly, and a
currency's exponent is data that must be looked up, never assumed to be 2.

Source: ISO 4217 list one, published 2024-06-25 (active currencies; funds and testing codes left
out). Providers that count some currencies otherwise say so in their connector.
"""

from __future__ import annotations

from turnout.domain.errors import FieldError, InvalidRequest

# ISO 8583 field 4 holds 12 digits; no card scheme carries a larger amount in one message.
MAX_AMOUNT_MINOR = 999_999_999_999

_CODES_BY_EXPONENT = {
    0: ("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"),
    2: (
        "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN "
        "BWP BYN BZD CAD CDF CHF CNY COP CRC CUC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR "
        "FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS "
        "KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK "
        "MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR "
        "SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD "
        "TWD TZS UAH USD UYU UZS VED VES WST XCD YER ZAR ZMW ZWG"
    ),
    3: ("BHD IQD JOD KWD LYD OMR TND"),
    4: ("UYW"),
}

EXPONENTS: dict[str, int] = {
    code: exponent for exponent, codes in _CODES_BY_EXPONENT.items() for code in codes.split()
}


def exponent(currency: str) -> int:
    """The number of decimal places between the major and the minor unit.

    Raises:
        InvalidRequest: the currency is not an active ISO 4217 code.
    """
    found = EXPONENTS.get(currency)
    if found is None:
        raise InvalidRequest([currency_error(currency, "currency")])
    return found


def currency_error(currency: str, field: str) -> FieldError:
    """What to tell a caller whose currency is not known."""
    shown, capital = currency[:8], currency.upper()
    meant = capital if capital in EXPONENTS else "EUR"
    hint = "did you mean" if meant == capital else "send three capital letters, for example"
    end = "?" if meant == capital else ""
    return FieldError(
        field,
        "UNKNOWN_CURRENCY",
        f'{shown!r} is not an active ISO 4217 currency code; {hint} "{meant}"{end}',
    )


def amount_error(amount_minor: int, field: str) -> FieldError | None:
    """What is wrong with an amount that must be positive, or None."""
    if amount_minor <= 0:
        return FieldError(
            field,
            "AMOUNT_NOT_POSITIVE",
            f"{amount_minor} is not a positive count of minor units; 10.99 EUR, for example, "
            "is 1099",
        )
    if amount_minor > MAX_AMOUNT_MINOR:
        return FieldError(
            field,
            "AMOUNT_TOO_LARGE",
            f"{amount_minor} is over {MAX_AMOUNT_MINOR}, the most that a card message can carry",
        )
    return None


def format_money(amount_minor: int, currency: str) -> str:
    """`12.34 EUR`, for people; never parsed back."""
    places = EXPONENTS.get(currency, 0)
    sign = "-" if amount_minor < 0 else ""
    digits = str(abs(amount_minor)).rjust(places + 1, "0")
    if places == 0:
        return f"{sign}{digits} {currency}"
    return f"{sign}{digits[:-places]}.{digits[-places:]} {currency}"
