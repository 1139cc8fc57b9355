"""Money, in every currency."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from turnout.domain.money import EXPONENTS, MAX_AMOUNT_MINOR, amount_error, exponent, format_money

CURRENCIES = st.sampled_from(sorted(EXPONENTS))


@given(st.integers(-(2**63), 2**63 - 1), CURRENCIES)
def test_what_is_shown_is_what_is_meant(amount: int, currency: str) -> None:
    shown, code = format_money(amount, currency).split(" ")
    assert code == currency
    assert Decimal(shown).scaleb(exponent(currency)) == amount


@given(st.integers(-(2**64), 2**64))
def test_an_amount_is_good_or_has_a_reason(amount: int) -> None:
    assert (amount_error(amount, "f") is None) == (1 <= amount <= MAX_AMOUNT_MINOR)
