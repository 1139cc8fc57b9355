"""How many decimals each provider gives a currency, and the amounts it takes.

Kept apart from the platform's own table on purpose: this one is the second opinion that tests
compare with. Sources: ISO 4217; docs.stripe.com/currencies (zero-decimal and three-decimal
lists, special cases, minimum and maximum amounts); docs.adyen.com/development-resources/
currency-codes (CLP, CVE, IDR and ISK differ from the standard there).
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ZERO = _words("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF")
_THREE = _words("BHD IQD JOD KWD LYD OMR TND")
_TWO = _words(
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD "
    "CAD CDF CHF CNY COP CRC CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ "
    "GYD HKD HNL HRK HTG HUF IDR ILS INR JMD KES KGS KHR KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA "
    "MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN "
    "QAR RON RSD RUB SAR SBD SCR SEK SGD SHP SLE SOS SRD STN SZL THB TJS TOP TRY TTD TWD TZS UAH "
    "USD UYU UZS VES WST XCD YER ZAR ZMW"
)

STRIPE_ZERO = _words("BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF")
# Charged in the thousandth, but card networks carry two decimals: the last digit must be 0.
STRIPE_THREE = _words("BHD JOD KWD OMR TND")
# Currencies without decimals that Stripe still writes with two: those two must be 00.
STRIPE_WHOLE_UNITS = frozenset({"ISK", "UGX"})
STRIPE_SUPPORTED = _ZERO | _TWO | STRIPE_THREE
STRIPE_AMOUNT_MAX = 99_999_999
STRIPE_AMOUNT_MIN = {
    "USD": 50, "AED": 200, "AUD": 50, "BGN": 100, "BRL": 50, "CAD": 50, "CHF": 50, "CZK": 1500,
    "DKK": 250, "EUR": 50, "GBP": 30, "HKD": 400, "HUF": 17500, "INR": 50, "JPY": 50, "MXN": 1000,
    "MYR": 200, "NOK": 300, "NZD": 50, "PLN": 200, "RON": 200, "SEK": 300, "SGD": 50, "THB": 1000,
}  # fmt: skip

_ADYEN_DIFFERENT = {"CLP": 2, "CVE": 0, "IDR": 0, "ISK": 2}
ADYEN_SUPPORTED = _ZERO | _TWO | _THREE


def stripe_exponent(currency: str) -> int:
    """Decimals that Stripe gives a currency (capital letters)."""
    if currency in STRIPE_ZERO:
        return 0
    return 3 if currency in STRIPE_THREE else 2


def adyen_exponent(currency: str) -> int:
    """Decimals that Adyen gives a currency (capital letters)."""
    if currency in _ADYEN_DIFFERENT:
        return _ADYEN_DIFFERENT[currency]
    if currency in _ZERO:
        return 0
    return 3 if currency in _THREE else 2


def major(amount_minor: int, exponent: int) -> str:
    """The amount as a payer reads it, for example `10.00`; providers are compared in this."""
    if exponent == 0:
        return str(amount_minor)
    sign = "-" if amount_minor < 0 else ""
    whole, rest = divmod(abs(amount_minor), 10**exponent)
    return f"{sign}{whole}.{rest:0{exponent}d}"
