"""What is told at a glance and what is told in full never contradict each other."""

from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.domain.cards import CardDetails
from turnout.domain.errors import InvalidRequest
from turnout.domain.payment import (
    Address,
    Browser,
    CaptureMethod,
    Customer,
    Initiator,
    PaymentDetails,
)
from turnout.orchestration import limits
from turnout.orchestration.commands import (
    CardInput,
    OtherMethodInput,
    PaymentCommand,
    TokenInput,
)
from turnout.orchestration.glance import is_ipv4, month_of, surely_sound
from turnout.orchestration.validate import check_payment, payment_errors

NOW_NS = 1_800_000_000_000_000_000
NUMBER = "4242424242424242"

# Lengths sit at the limits.
TEXTS = [
    *("", "a", "Two hats", "Zoë", NUMBER, "4242-4242 4242-4242", "\x00", "\n", "4242424242424241"),
    *(
        "x" * (getattr(limits, name) + over)
        for name in dir(limits)
        if name.endswith("_MOST")
        for over in (0, 1)
    ),
]
COUNTRIES = ["", "NL", "ZZ", "de", "DEU", "D1", "Ä"]
CVCS = ["", "737", "7373", "12", "12345", "٤٤٤"]
URLS = [
    "",
    "http://10.0.0.1:8080",
    "https://[::1]/",
    "https://[",
    "https://a]b",
    "HTTPS://shop.example",
    "https://",
    "https:///path",
    "https://?q",
    "ftp://shop.example",
    "//shop.example",
    "https://shop.example/\n",
    "https://sh op.example",
    "https://\u2100.example",
    "https://shop.example/" + "x" * limits.URL_MOST,
]
IPS = ["", "::1", "::g", "1.2.3", "1.2.3.4.5", "01.2.3.4", "256.1.1.1", "1.2.3.\u0661", "1.2.3."]
METADATA = [
    {},
    *({text: "v"} for text in TEXTS),
    *({"k": text} for text in TEXTS),
    {f"k{number}": "v" for number in range(limits.METADATA_PAIRS_MOST)},
    {f"k{number}": "v" for number in range(limits.METADATA_PAIRS_MOST + 1)},
]
ODD: dict[str, list[Any]] = {
    "merchant_reference": TEXTS,
    "amount_minor": [1, 0, -1, 999_999_999_999, 1_000_000_000_000],
    "currency": ["USD", "eur", "XXX", ""],
    "method": [None, OtherMethodInput("voucher"), TokenInput("")]
    + [TokenInput("tok_1", cvc) for cvc in CVCS],
    "method.card.number": ["4242424242424241", "42424242", "٤" * 16, ""],
    "method.card.expiry_month": [12, 0, 13],
    "method.card.expiry_year": [2027, 2026, 30],
    "method.card.cvc": CVCS,
    "method.card.holder_name": TEXTS,
    "method.issuer_country": COUNTRIES,
    **{f"details.customer.{name}": TEXTS for name in ("reference", "email", "name", "phone")},
    "details.customer.ip_address": IPS,
    "details.customer.browser": [None],
    **{
        f"details.customer.browser.{name}": TEXTS
        for name in ("user_agent", "accept_header", "language")
    },
    **{
        f"details.{kind}_address.{one.name}": COUNTRIES if one.name == "country" else TEXTS
        for kind in ("billing", "shipping")
        for one in fields(Address)
    },
    "details.billing_address": [None],
    "details.shipping_address": [None],
    "details.description": TEXTS,
    "details.statement_descriptor": TEXTS,
    "details.metadata": METADATA,
    "details.return_url": URLS,
    "details.initiator": list(Initiator),
    "details.previous_network_transaction_id": TEXTS,
    "details.risk_score": [None, 0, 100, -1, 101],
}


def change(command: PaymentCommand, path: str, value: Any) -> None:
    """Puts a value in its place, if another change has left that there."""
    *outer, name = path.split(".")
    holder: Any = command
    for one in outer:
        holder = getattr(holder, one, None)
    if hasattr(holder, name):
        setattr(holder, name, value)


def agree(command: PaymentCommand) -> None:
    """Asserts that a glance says yes only where nothing is wrong, and that the check obeys."""
    errors = payment_errors(command, NOW_NS)
    assert not (surely_sound(command, NOW_NS) and errors)
    if errors:
        with pytest.raises(InvalidRequest) as refused:
            check_payment(command, NOW_NS)
        assert refused.value.fields == tuple(errors)
    else:
        check_payment(command, NOW_NS)


def sound(**changes: Any) -> PaymentCommand:
    """A payment with something well in every place."""
    person = Customer(
        "cus-1", "a@b.example", "Zoë", "+49 30 1", "192.0.2.1", Browser("Agent/1.0", "*/*", "de")
    )
    home = Address("1 Street", "2", "Berlin", "BE", "10115", "DE", "Zoë", "+49 30 1")
    details = PaymentDetails(
        person,
        home,
        replace(home),
        "x" * limits.TEXT_MOST,
        "SHOP",
        {"cart": "0f8a-5b1c", "note": "y" * limits.METADATA_VALUE_MOST},
        "https://shop.example/paid?a=b",
        Initiator.MERCHANT,
        previous_network_transaction_id="ntid",
        risk_score=100,
    )
    parts: dict[str, Any] = {
        "merchant_reference": "order-1",
        "amount_minor": 1_999,
        "currency": "EUR",
        "capture_method": CaptureMethod.AUTOMATIC,
        "method": CardInput(CardDetails(NUMBER, 3, 2030, "737", "Zoë"), "DE"),
        "details": details,
    }
    return PaymentCommand(**{**parts, **changes})


@pytest.mark.parametrize("path", ODD)
def test_no_odd_value_alone_is_overlooked_at_a_glance(path: str) -> None:
    for value in ODD[path]:
        command = sound()
        change(command, path, value)
        agree(command)


@given(st.data())
def test_what_is_sound_at_a_glance_has_no_error(data: st.DataObject) -> None:
    command = sound()
    for path in data.draw(st.lists(st.sampled_from(sorted(ODD)), min_size=1, max_size=3)):
        odd = ODD[path]
        free = st.text(alphabet="aé4:/.[]@?#% -", max_size=20)
        value = st.sampled_from(odd) | free if isinstance(odd[-1], str) else st.sampled_from(odd)
        change(command, path, data.draw(value))
    agree(command)


@pytest.mark.parametrize(
    "method",
    [
        None,
        TokenInput("tok_1"),
        TokenInput("tok_1", "737"),
        CardInput(CardDetails(NUMBER, 3, 2030, "737", "Zoë"), "DE"),
    ],
)
def test_a_payment_with_everything_in_it_is_sound_at_a_glance(method: Any) -> None:
    assert surely_sound(sound(method=method), NOW_NS)


def test_one_fault_among_much_that_is_well_is_seen() -> None:
    command = sound()
    assert command.details.shipping_address is not None
    command.details.shipping_address.phone = NUMBER
    with pytest.raises(InvalidRequest) as refused:
        check_payment(command, NOW_NS)
    assert [one.reason for one in refused.value.fields] == ["CARD_DATA_IN_TEXT"]


@given(st.integers(0, 4_000_000_000_000_000_000))
def test_the_month_is_that_of_the_calendar(now_ns: int) -> None:
    date = datetime.fromtimestamp(now_ns // 1_000_000_000, UTC)
    assert month_of(now_ns) == (date.year, date.month)


@given(st.ip_addresses(v=4))
def test_every_ipv4_address_is_known_at_a_glance(address: object) -> None:
    assert is_ipv4(str(address))
    assert not is_ipv4(f"{address}.1")
    assert not is_ipv4(f"0{address}")
