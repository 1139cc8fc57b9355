"""The comparison of record and books finds what it is there to find."""

from typing import Any

from turnout import v1
from turnout.cli.demo.report import Report
from turnout.cli.reckoning import reckon


def payment(**changes: Any) -> v1.Payment:
    fields = {
        "payment_id": "pay_1",
        "currency": "EUR",
        "captured_minor": 1_000,
        "attempts": [v1.Attempt(attempt_id="att_1"), v1.Attempt(attempt_id="att_2")],
    }
    return v1.Payment(**{**fields, **changes})


def charge(**changes: Any) -> dict[str, Any]:
    fields = {
        "provider": "stripe",
        "payment_id": "pi_1",
        "reference": "att_1",
        "aliases": [],
        "currency": "EUR",
        "amount_major": "10.00",
        "held_minor": 0,
        "net_captured_minor": 1_000,
    }
    return {**fields, **changes}


def test_what_agrees_agrees() -> None:
    found = reckon([payment()], [charge()])
    assert not found.differences and not found.charged_twice
    assert found.captured_minor == {"EUR": 1_000}


def test_a_cent_is_a_difference() -> None:
    assert reckon([payment()], [charge(net_captured_minor=999)]).differences
    assert reckon([payment()], [charge(held_minor=1)]).differences
    assert reckon([payment(refunded_minor=1)], [charge()]).differences


def test_a_payment_that_nobody_charged_is_a_difference() -> None:
    assert reckon([payment()], []).differences


def test_a_charge_that_nobody_asked_for_is_a_difference() -> None:
    found = reckon([payment()], [charge(), charge(reference="att_9", payment_id="pi_9")])
    assert "no payment of ours" in found.differences[0]


def test_two_charges_of_one_payment_are_told_even_where_the_sum_is_right() -> None:
    halves = [
        charge(net_captured_minor=400),
        charge(provider="adyen", reference="att_2", payment_id="psp", net_captured_minor=600),
    ]
    found = reckon([payment()], halves)
    assert found.charged_twice == ["pay_1"]
    assert not found.differences


def test_a_provider_may_count_a_currency_otherwise() -> None:
    krona = payment(currency="ISK", captured_minor=500)
    theirs = charge(currency="ISK", amount_major="500.00", net_captured_minor=50_000)
    assert not reckon([krona], [theirs]).differences


def test_a_broken_claim_decides_the_exit_status() -> None:
    report = Report(quiet=True)
    report.claim("one is one", True)
    assert report.close() == 0
    report.claim("one is two", False, "1")
    assert report.close() == 1
    assert Report(quiet=True).close() == 1  # Nothing claimed is nothing kept.
