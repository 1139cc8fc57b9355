"""What a card number says of itself, and what is wrong with a card."""

import csv
import os
from pathlib import Path

import pytest

from turnout.domain.cards import (
    CardDetails,
    Network,
    bin_of,
    card_errors,
    luhn_valid,
    network_of,
)

# Published by the providers for their test systems.
TEST_NUMBERS = {
    "4242424242424242": Network.VISA,
    "4111111111111111": Network.VISA,
    "4000056655665556": Network.VISA,
    "4222222222222": Network.VISA,
    "5555555555554444": Network.MASTERCARD,
    "5105105105105100": Network.MASTERCARD,
    "2223003122003222": Network.MASTERCARD,
    "2222400070000005": Network.MASTERCARD,
    "378282246310005": Network.AMEX,
    "371449635398431": Network.AMEX,
    "6011111111111117": Network.DISCOVER,
    "6011000990139424": Network.DISCOVER,
    "6445644564456445": Network.DISCOVER,
    "3056930009020004": Network.DINERS,
    "36227206271667": Network.DINERS,
    "3566002020360505": Network.JCB,
    "3569990010095841": Network.JCB,
    "6200000000000005": Network.UNIONPAY,
    "6205500000000000004": Network.UNIONPAY,
    "8171999927660000": Network.UNIONPAY,
    "6771798021000008": Network.MAESTRO,
    "6304000000000000": Network.MAESTRO,
}


@pytest.mark.parametrize(("number", "network"), TEST_NUMBERS.items())
def test_published_test_numbers_are_known(number: str, network: Network) -> None:
    assert network_of(number) is network
    assert luhn_valid(number)


@pytest.mark.parametrize(
    "number",
    [
        "42424242424242",  # no Visa card has 14 digits
        "555555555555444",
        "37828224631000",
        "9792000000000001",
        "1234567890123456",
        "6262626262",
        "2720990000000007"[:15],
    ],
)
def test_numbers_outside_the_published_ranges_are_unknown(number: str) -> None:
    assert network_of(number) is Network.UNKNOWN


def test_ranges_end_where_they_end() -> None:
    assert network_of("2221000000000009") is Network.MASTERCARD
    assert network_of("2720999999999996") is Network.MASTERCARD
    assert network_of("2220999999999999") is Network.UNKNOWN
    assert network_of("2721000000000000") is Network.UNKNOWN
    assert network_of("6221259999999999") is Network.UNIONPAY
    assert network_of("6221260000000000") is Network.DISCOVER
    assert network_of("6229259999999999") is Network.DISCOVER
    assert network_of("6229260000000000") is Network.UNIONPAY


def test_a_bin_is_never_more_than_may_be_kept() -> None:
    assert bin_of("4242424242424242") == "42424242"
    assert bin_of("378282246310005") == "378282"
    assert bin_of("6205500000000000004") == "62055000"


def errors(**changes: object) -> list[tuple[str, str]]:
    fields: dict[str, object] = {
        "number": "4242424242424242",
        "expiry_month": 6,
        "expiry_year": 2030,
        "cvc": "123",
    }
    card = CardDetails(**{**fields, **changes})  # type: ignore[arg-type]
    return [(e.field, e.reason) for e in card_errors(card, 2028, 6, "card")]


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"number": ""}, "card.number", "CARD_NUMBER_MALFORMED"),
        ({"number": "4242 4242 4242 4242"}, "card.number", "CARD_NUMBER_MALFORMED"),
        ({"number": "4" * 20}, "card.number", "CARD_NUMBER_MALFORMED"),
        ({"number": "٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢"}, "card.number", "CARD_NUMBER_MALFORMED"),
        ({"number": "4242424242424241"}, "card.number", "CARD_NUMBER_INVALID"),
        ({"expiry_month": 0}, "card.expiry_month", "EXPIRY_MONTH_INVALID"),
        ({"expiry_month": 13}, "card.expiry_month", "EXPIRY_MONTH_INVALID"),
        ({"expiry_year": 30}, "card.expiry_year", "EXPIRY_YEAR_INVALID"),
        ({"expiry_year": 2027}, "card.expiry_year", "CARD_EXPIRED"),
        ({"expiry_year": 2028, "expiry_month": 5}, "card.expiry_year", "CARD_EXPIRED"),
        ({"cvc": "12"}, "card.cvc", "CVC_MALFORMED"),
        ({"cvc": "12a"}, "card.cvc", "CVC_MALFORMED"),
        ({"cvc": "12345"}, "card.cvc", "CVC_MALFORMED"),
    ],
)
def test_each_fault_of_a_card_names_its_field(
    changes: dict[str, object], field: str, reason: str
) -> None:
    assert errors(**changes) == [(field, reason)]


def test_a_good_card_has_no_faults() -> None:
    assert errors() == []
    assert errors(cvc="") == []
    assert errors(expiry_year=2028, expiry_month=6) == []


def test_all_faults_are_told_at_once() -> None:
    found = errors(number="1", expiry_month=0, cvc="x")
    assert [field for field, _ in found] == ["card.number", "card.expiry_month", "card.cvc"]


def test_a_card_hides_itself() -> None:
    shown = repr(CardDetails("4242424242424242", 1, 2030, "987", "Ada Lovelace"))
    assert not any(secret in shown for secret in ("4242", "987", "Ada"))


@pytest.mark.skipif("TURNOUT_SPECS" not in os.environ, reason="TURNOUT_SPECS is not set")
def test_networks_agree_with_collected_issuer_ranges() -> None:
    path = Path(os.environ["TURNOUT_SPECS"]) / "codes/bin-ranges.csv"
    usual_length = {"amex": 15, "diners": 14}
    agree = differ = 0
    with path.open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            length = int(row["number_length"] or usual_length.get(row["scheme"], 16))
            found = network_of(row["iin_start"].ljust(length, "0"))
            agree += found.value == row["scheme"]
            differ += found.value != row["scheme"]
    # Ranges that two networks share are all that may differ.
    assert agree > 5_000
    assert differ <= 5
