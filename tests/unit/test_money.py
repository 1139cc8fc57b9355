"""Currencies and amounts."""

import json
import os
from pathlib import Path

import pytest

from turnout.domain.countries import COUNTRIES
from turnout.domain.errors import InvalidRequest
from turnout.domain.money import (
    EXPONENTS,
    MAX_AMOUNT_MINOR,
    amount_error,
    currency_error,
    exponent,
    format_money,
)


@pytest.mark.skipif("TURNOUT_SPECS" not in os.environ, reason="TURNOUT_SPECS is not set")
def test_the_table_is_the_iso_list() -> None:
    listed = json.loads((Path(os.environ["TURNOUT_SPECS"]) / "codes/iso4217.json").read_text())
    active = {
        one["code"]: one["minor_units"]
        for one in listed["currencies"]
        if not one["fund"] and one["minor_units"] is not None
    }
    assert active == EXPONENTS


@pytest.mark.parametrize(
    ("currency", "places"),
    [("EUR", 2), ("JPY", 0), ("KWD", 3), ("UYW", 4), ("ISK", 0), ("HUF", 2)],
)
def test_minor_units_are_looked_up(currency: str, places: int) -> None:
    assert exponent(currency) == places


@pytest.mark.parametrize("currency", ["", "eur", "XXX", "XTS", "EURO", "HRK", "\x00" * 99])
def test_what_is_no_currency_is_refused_with_its_field(currency: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        exponent(currency)
    assert caught.value.fields[0].reason == "UNKNOWN_CURRENCY"
    assert len(str(caught.value)) < 200


def test_a_currency_in_small_letters_is_told_the_right_ones() -> None:
    assert currency_error("eur", "currency").description.endswith('; did you mean "EUR"?')
    assert currency_error("", "currency").description.endswith('for example "EUR"')


@pytest.mark.parametrize(
    ("amount", "reason"),
    [
        (0, "AMOUNT_NOT_POSITIVE"),
        (-1, "AMOUNT_NOT_POSITIVE"),
        (MAX_AMOUNT_MINOR + 1, "AMOUNT_TOO_LARGE"),
        (2**63 - 1, "AMOUNT_TOO_LARGE"),
    ],
)
def test_amounts_that_no_card_message_carries_are_refused(amount: int, reason: str) -> None:
    error = amount_error(amount, "amount_minor")
    assert error is not None
    assert (error.field, error.reason) == ("amount_minor", reason)


def test_amounts_that_a_card_message_carries_are_taken() -> None:
    assert amount_error(1, "a") is None
    assert amount_error(MAX_AMOUNT_MINOR, "a") is None


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        (1234, "EUR", "12.34 EUR"),
        (5, "EUR", "0.05 EUR"),
        (-5, "EUR", "-0.05 EUR"),
        (1234, "JPY", "1234 JPY"),
        (1234, "KWD", "1.234 KWD"),
        (0, "KWD", "0.000 KWD"),
    ],
)
def test_money_is_shown_in_major_units(amount: int, currency: str, shown: str) -> None:
    assert format_money(amount, currency) == shown


def test_countries_are_two_capital_letters() -> None:
    assert len(COUNTRIES) == 250
    assert all(len(code) == 2 and code.isascii() and code.isupper() for code in COUNTRIES)
    assert {"DE", "US", "GB", "XK"} <= COUNTRIES
    assert not {"EU", "UK", "XX", "AN", "YU"} & COUNTRIES
