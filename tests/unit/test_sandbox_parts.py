"""The sandbox's parts that need no socket: money, cards, ids, dice, settings, signatures."""

from __future__ import annotations

import dataclasses
from random import Random
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.sandbox import AdyenAccount, SandboxSettings, pan
from turnout.sandbox.adyen.notifications import sign
from turnout.sandbox.adyen.refusals import requested
from turnout.sandbox.books import MOVES, Books, BooksRefused, Charge
from turnout.sandbox.currencies import adyen_exponent, major, stripe_exponent
from turnout.sandbox.faults import FaultEngine, Latency, Rule
from turnout.sandbox.idempotency import Claim, KeyStore
from turnout.sandbox.ids import IdMint
from turnout.sandbox.settings import default_settings
from turnout.sandbox.stripe.cards import BEHAVIOURS, NAMED_METHODS
from turnout.sandbox.stripe.errors import StripeError
from turnout.sandbox.stripe.form import check, decode
from turnout.sandbox.stripe.parameters import TABLES
from turnout.sandbox.wire import Call


def _charge(reference: str = "pay_1") -> Charge:
    return Charge("stripe", "acc", f"pi_{reference}", reference, (), "EUR", 2, 1000, "4242")


@given(st.lists(st.tuples(st.sampled_from(sorted(MOVES)), st.integers(-5, 1500)), max_size=30))
def test_books_always_balance_and_never_overdraw(moves: list[tuple[str, int]]) -> None:
    books = Books(100)
    charge = _charge()
    books.open(charge)
    for kind, amount in moves:
        try:
            books.move(charge, kind, amount, 0.0, "op")
        except BooksRefused:
            continue
        assert charge.held_minor >= 0
        assert charge.captured_minor <= charge.authorized_minor
        if not any(entry.kind == "refund_failed" for entry in charge.entries):
            assert 0 <= charge.refunded_minor <= charge.captured_minor
    assert books.summary()["balanced"]


def test_a_capture_above_the_hold_is_refused() -> None:
    books = Books(100)
    charge = _charge()
    books.open(charge)
    books.move(charge, "authorized", 1000, 0.0, "op")
    with pytest.raises(BooksRefused):
        books.move(charge, "captured", 1001, 0.0, "op")
    assert charge.captured_minor == 0


def test_books_find_by_alias() -> None:
    books = Books(100)
    charge = dataclasses.replace(_charge(), aliases=("op_1",))
    books.open(charge)
    assert list(books.find(reference="op_1")) == [charge]
    assert list(books.find(reference="op_1", provider="adyen")) == []


@pytest.mark.parametrize("number", sorted({*BEHAVIOURS, *NAMED_METHODS.values()}))
def test_published_cards_pass_the_checksum_and_have_a_network(number: str) -> None:
    assert pan.luhn_ok(number)
    assert pan.network(number) != "unknown"


@pytest.mark.parametrize(
    ("number", "network", "country"),
    [
        ("4000008260003178", "visa", "GB"), ("4000002760003184", "visa", "DE"),
        ("5555555555554444", "mastercard", "US"), ("2223003122003222", "mastercard", "US"),
        ("378282246310005", "amex", "US"), ("6011111111111117", "discover", "US"),
        ("3566002020360505", "jcb", "US"), ("36227206271667", "diners", "US"),
        ("6200000000000005", "unionpay", "US"), ("9999999999999995", "unknown", "US"),
    ],
)  # fmt: skip
def test_a_number_tells_its_network_and_country(number: str, network: str, country: str) -> None:
    assert (pan.network(number), pan.country(number)) == (network, country)


def test_a_changed_digit_breaks_the_checksum() -> None:
    assert not pan.luhn_ok("4242424242424241")


def test_providers_differ_in_decimals() -> None:
    table = {code: (stripe_exponent(code), adyen_exponent(code)) for code in (
        "EUR", "JPY", "KWD", "CLP", "ISK", "IDR", "CVE", "MGA", "UGX",
    )}  # fmt: skip
    assert table == {
        "EUR": (2, 2), "JPY": (0, 0), "KWD": (3, 3), "CLP": (0, 2), "ISK": (2, 2), "IDR": (2, 0),
        "CVE": (2, 0), "MGA": (0, 2), "UGX": (2, 0),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("amount", "exponent", "text"),
    [(1000, 2, "10.00"), (1000, 0, "1000"), (5, 3, "0.005"), (-150, 2, "-1.50")],
)
def test_major_amounts(amount: int, exponent: int, text: str) -> None:
    assert major(amount, exponent) == text


def test_ids_are_unique_shaped_and_repeatable() -> None:
    mint = IdMint(Random(1))
    ids = [mint.stripe("pi") for _ in range(5000)]
    assert len(set(ids)) == 5000
    assert {len(identifier) for identifier in ids} == {27}
    references = [mint.adyen() for _ in range(5000)]
    assert len(set(references)) == 5000
    assert all(len(r) == 16 and r.isalnum() and r == r.upper() for r in references)
    assert IdMint(Random(1)).stripe("pi") == ids[0]
    assert IdMint(Random(2)).stripe("pi") != ids[0]


def test_a_latency_has_the_asked_percentiles() -> None:
    rng = Random(3)
    drawn = sorted(Latency(100.0, 800.0).sample_s(rng) for _ in range(20_000))
    assert drawn[10_000] == pytest.approx(0.1, rel=0.05)
    assert drawn[19_800] == pytest.approx(0.8, rel=0.15)
    assert Latency(50.0, 0.0).sample_s(rng) == 0.05


def test_a_probability_is_kept_by_the_dice() -> None:
    engine = FaultEngine(Random(4))
    engine.add(Rule("empty", probability=0.25))
    call = Call("stripe", "authorize", "acc", "POST", "/", {})
    struck = sum(engine.pick(call) is not None for _ in range(4000))
    assert 900 < struck < 1100


def test_a_decline_waits_for_an_authorization() -> None:
    engine = FaultEngine(Random(4))
    engine.add(Rule("decline", code="do_not_honor", count=1))
    assert engine.pick(Call("stripe", "capture", "acc", "POST", "/", {})) is None
    assert engine.pick(Call("stripe", "authorize", "acc", "POST", "/", {})) is not None
    assert engine.pick(Call("stripe", "authorize", "acc", "POST", "/", {})) is None


def test_keys_are_kept_apart_forgotten_and_bounded() -> None:
    keys = KeyStore(2, 100.0)
    assert keys.claim("a", "k", "/x", b"1", 0.0)[0] is Claim.FRESH
    assert keys.claim("a", "k", "/x", b"1", 1.0)[0] is Claim.IN_PROGRESS
    assert keys.claim("a", "k", "/x", b"2", 1.0)[0] is Claim.OTHER_REQUEST
    assert keys.claim("a", "k", "/y", b"1", 1.0)[0] is Claim.OTHER_REQUEST
    assert keys.claim("b", "k", "/x", b"1", 1.0)[0] is Claim.FRESH
    keys.forget("b", "k")
    stored = keys.claim("a", "k", "/x", b"1", 101.0)[1]
    stored.status = 200
    assert keys.claim("a", "k", "/x", b"1", 101.0)[0] is Claim.REPLAY
    for number in range(5):
        keys.claim("a", f"k{number}", "/x", b"1", 101.0)
    assert len(keys) == 2


def test_adyens_published_signature_is_reproduced() -> None:
    item: dict[str, Any] = {
        "pspReference": "7914073381342284",
        "merchantAccountCode": "TestMerchant",
        "merchantReference": "TestPayment-1407325143704",
        "amount": {"value": 1130, "currency": "EUR"},
        "eventCode": "AUTHORISATION",
        "success": "true",
    }
    key = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"
    assert sign(item, key) == "coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0="


@pytest.mark.parametrize(
    ("holder", "code", "found"),
    [
        ("John Smith", "", None), ("APPROVED", "", None), ("DECLINED", "", ("2", None)),
        ("DECLINED : 05 : Do not honor", "", ("2", "05 : Do not honor")),
        ("DECLINED", "12", ("12", None)), ("X", "NOT_ENOUGH_BALANCE", ("12", None)),
        ("X", "1", None), ("PENDING", "", ("13", None)),
    ],
)  # fmt: skip
def test_refusals_are_asked_for_by_name_or_number(
    holder: str, code: str, found: tuple[str, str | None] | None
) -> None:
    assert requested(holder, code) == found


FORM_TEXT = st.text(
    st.characters(codec="utf-8", exclude_characters="[]&=%+\x00"), min_size=1, max_size=8
)


@given(st.dictionaries(FORM_TEXT, FORM_TEXT, min_size=1, max_size=5))
def test_forms_decode_to_what_was_encoded(values: dict[str, str]) -> None:
    text = "&".join(
        f"metadata[{quote_plus(name)}]={quote_plus(value)}" for name, value in values.items()
    )
    assert decode(text) == {"metadata": values}


@given(st.text(max_size=60))
def test_no_form_makes_the_decoder_fail_otherwise_than_by_refusal(text: str) -> None:
    try:
        check(decode(text), TABLES["POST /v1/payment_intents"])
    except StripeError as error:
        assert error.status == 400


@pytest.mark.parametrize(
    ("text", "param"),
    [
        ("amount=1&foo=2", "foo"), ("metadata[a][b]=c", "metadata"),
        ("payment_method_options[card][foo]=x", "payment_method_options[card][foo]"),
        ("confirm=yes", "confirm"), ("expand=x", "expand"), ("capture_method=later",
        "capture_method"), ("amount[a]=1", "amount"), ("currency[]=eur", "currency"),
    ],
)  # fmt: skip
def test_bad_parameters_are_named(text: str, param: str) -> None:
    with pytest.raises(StripeError) as caught:
        check(decode(text), TABLES["POST /v1/payment_intents"])
    assert caught.value.error["param"] == param


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"host": "0.0.0.0"}, "127.0.0.1"),
        ({"adyen_modification_reference": "x"}, "adyen_modification_reference"),
        ({"adyen_accounts": (AdyenAccount("M", "k", "not hex"),)}, "hexadecimal"),
        ({"adyen_accounts": (AdyenAccount("M", "k", "ab", capture="later"),)}, "capture"),
    ],
)
def test_bad_settings_are_named(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError) as caught:
        SandboxSettings(**values)
    assert told in str(caught.value)


def test_two_accounts_may_not_share_a_key() -> None:
    (first, second) = default_settings().stripe_accounts
    twin = dataclasses.replace(second, api_key=first.api_key)
    with pytest.raises(ValueError, match="share one API key"):
        SandboxSettings(stripe_accounts=(first, twin))


def test_secrets_are_not_printed() -> None:
    settings = default_settings()
    assert "sk_test_sandbox" not in repr(settings)
    assert "whsec_" not in repr(settings)
    assert settings.adyen_accounts[0].hmac_key not in repr(settings)
