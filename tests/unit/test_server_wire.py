"""Bytes that cannot be carried out as meant are refused, and the refusal names the place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout import v1
from turnout.domain.errors import InvalidRequest
from turnout.server.wire import content, length_delimited, parse

REQUEST = v1.AuthorizePaymentRequest(
    merchant_reference="order-1",
    amount_minor=1_999,
    payment_method=v1.PaymentMethod(card=v1.Card(number="4242424242424242", holder_name="Zoë")),
    metadata={"k": "v"},
)
RAW = REQUEST.SerializeToString()


def fault(raw: bytes) -> tuple[str, str]:
    with pytest.raises(InvalidRequest) as caught:
        parse(v1.AuthorizePaymentRequest, raw)
    (one,) = caught.value.fields
    assert one.description and "4242" not in one.description
    return one.field, one.reason


def field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2, len(content)]) + content


def test_a_good_message_is_read() -> None:
    assert parse(v1.AuthorizePaymentRequest, RAW) == REQUEST
    assert parse(v1.AuthorizePaymentRequest, b"") == v1.AuthorizePaymentRequest()


def test_order_and_spelling_of_the_bytes_do_not_matter() -> None:
    parts = [field(3, b"EUR"), field(1, b"order-1")]
    one = parse(v1.AuthorizePaymentRequest, parts[0] + parts[1])
    # A varint with a needless byte, and a field that is overwritten.
    odd = field(1, b"x") + b"\x0a\x87\x00order-1" + parts[0]
    other = parse(v1.AuthorizePaymentRequest, odd)
    assert one.SerializeToString(deterministic=True) == other.SerializeToString(deterministic=True)


def test_the_form_that_keys_stand_for_stays() -> None:
    # Idempotency keys live 30 days, and a changed form would make repeated requests look new, so
    # an upgrade of protobuf must not change it unseen.
    request = v1.AuthorizePaymentRequest(
        currency="EUR",
        amount_minor=1_999,
        merchant_reference="order-1",
        metadata={"b": "2", "a": "1", "": ""},
        capture_method=v1.CAPTURE_METHOD_MANUAL,
        customer=v1.Customer(),
    )
    assert request.SerializeToString(deterministic=True).hex() == (
        "0a076f726465722d3110cf0f1a0345555228023a006a060a01611201316a060a01621201326a040a001200"
    )


@pytest.mark.parametrize(
    ("raw", "where", "reason"),
    [
        (field(1, b"\xff\xfe"), "merchant_reference", "INVALID_UTF8"),
        (field(7, field(3, b"\xc3")), "customer.email", "INVALID_UTF8"),
        (
            field(4, field(1, field(5, b"\x80"))),
            "payment_method.card.holder_name",
            "INVALID_UTF8",
        ),
        (field(13, field(1, b"k") + field(2, b"\xff")), "metadata.value", "INVALID_UTF8"),
        (b"\x0a\x05ab", "merchant_reference", "MALFORMED_MESSAGE"),
        (b"\x0a", "merchant_reference", "MALFORMED_MESSAGE"),
        (b"\x10\xff", "amount_minor", "MALFORMED_MESSAGE"),
        (b"\x80", "request", "MALFORMED_MESSAGE"),
        (b"\x00\x01", "request", "MALFORMED_MESSAGE"),
        (b"\x0f", "merchant_reference", "MALFORMED_MESSAGE"),
        (field(4, b"\x0a\x05ab"), "payment_method.card", "MALFORMED_MESSAGE"),
        (b"\x08\x01", "merchant_reference", "MALFORMED_MESSAGE"),
        (field(2, b"x"), "amount_minor", "MALFORMED_MESSAGE"),
        (b"\x11" + bytes(8), "amount_minor", "MALFORMED_MESSAGE"),
        (field(15, b"x") + b"\xfa\x07\x01x", "#127", "UNKNOWN_FIELD"),
        (b"\xf8\x07\x01", "#127", "UNKNOWN_FIELD"),
        (field(4, field(1, b"\xf8\x07\x01")), "payment_method.card.#127", "UNKNOWN_FIELD"),
        (field(4, b"\xfa\x07\x01x"), "payment_method.#127", "UNKNOWN_FIELD"),
    ],
)
def test_the_place_is_named(raw: bytes, where: str, reason: str) -> None:
    assert fault(raw) == (where, reason)
    # Also behind good fields.
    assert fault(field(6, b"shop") + raw) == (where, reason)


def test_a_later_contract_s_field_is_refused_even_where_it_is_empty() -> None:
    assert fault(RAW + b"\xf8\x07\x00") == ("#127", "UNKNOWN_FIELD")


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    try:
        message = parse(v1.AuthorizePaymentRequest, raw)
    except InvalidRequest as error:
        assert error.fields[0].reason in {"MALFORMED_MESSAGE", "INVALID_UTF8", "UNKNOWN_FIELD"}
    else:
        assert parse(v1.AuthorizePaymentRequest, message.SerializeToString()) == message


@given(st.integers(0, len(RAW) - 1), st.integers(0, 255))
def test_any_damage_is_read_or_refused(at: int, byte: int) -> None:
    raw = RAW[:at] + bytes([byte]) + RAW[at + 1 :]
    try:
        parse(v1.AuthorizePaymentRequest, raw)
    except InvalidRequest as error:
        assert error.fields[0].field


@given(st.integers(0, len(RAW)))
def test_any_cut_is_read_or_refused(at: int) -> None:
    try:
        parse(v1.AuthorizePaymentRequest, RAW[:at])
    except InvalidRequest as error:
        assert error.fields[0].reason == "MALFORMED_MESSAGE"


def test_a_message_nested_without_end_is_refused() -> None:
    raw = b""
    for _ in range(20_000):
        raw = b"\x0a" + _varint(len(raw)) + raw
    assert fault(raw)[1] in {"MALFORMED_MESSAGE", "INVALID_UTF8"}


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


@given(st.text(max_size=300), st.binary(max_size=300))
def test_a_field_can_be_found_and_written_without_its_message(key: str, junk: bytes) -> None:
    raw = v1.AuthorizeStreamRequest(
        idempotency_key=key, request=REQUEST, timeout_ms=7
    ).SerializeToString()
    assert content(raw, 1).decode() == key
    assert content(raw, 2) == RAW
    assert content(raw, 3) == content(raw, 4) == b""
    # Whatever stands behind a field, or is missing there, does not hide it nor raises.
    assert content(raw + junk, 5) in junk
    assert content(raw[:-1], 2) == RAW
    answer = length_delimited(1, key.encode()) + length_delimited(2, RAW)
    assert v1.AuthorizeStreamRequest.FromString(answer).request == REQUEST
    if key:
        assert (
            answer
            == v1.AuthorizeStreamRequest(idempotency_key=key, request=REQUEST).SerializeToString()
        )
