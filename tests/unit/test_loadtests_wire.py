"""The load client's HTTP/2: what it writes, and what it makes of a server's bytes."""

import struct

import pytest
from loadtests.bench import wire
from loadtests.bench.messages import (
    ID_CHARS,
    REFERENCE_CHARS,
    SALT_CHARS,
    authorize_bodies,
    get_bodies,
)
from loadtests.bench.wire import Connection, frame, grpc_status, http_status

from turnout import v1

HEADERS = {":path": "/a.B/C", ":authority": "x", "content-type": "application/grpc"}


def frames(raw: bytes) -> list[tuple[int, int, int, bytes]]:
    """(kind, flags, stream, payload) of everything after the preface."""
    found = []
    at = len(wire.PREFACE) if raw.startswith(wire.PREFACE) else 0
    while at < len(raw):
        size = int.from_bytes(raw[at : at + 3])
        kind, flags, stream = raw[at + 3], raw[at + 4], int.from_bytes(raw[at + 5 : at + 9])
        found.append((kind, flags, stream, raw[at + 9 : at + 9 + size]))
        at += 9 + size
    return found


def opened(**changes: str) -> Connection:
    connection = Connection({**HEADERS, **changes}, "idempotency-key")
    connection.out.clear()
    return connection


def test_constant_headers_are_written_once_and_named_by_index_after() -> None:
    connection = opened()
    connection.call("one", b"body", "key-1")
    connection.call("two", b"body", "key-2")
    (_, _, first, said), _, (_, _, second, again), (kind, flags, _, body) = frames(
        bytes(connection.out)
    )
    assert (first, second) == (1, 3)
    assert b"/a.B/C" in said
    # Three entries came into the server's table; the newest has index 62.
    assert again.startswith(bytes((0x83, 0x86, 0x80 | 64, 0x80 | 63, 0x80 | 62)))
    assert again.endswith(b"key-2")
    assert (kind, flags, body) == (wire.DATA, wire.END_STREAM, b"body")


def test_an_answer_in_pieces_ends_its_call() -> None:
    connection = opened()
    connection.call("mine", b"", "k")
    said = (
        frame(wire.HEADERS, wire.END_HEADERS, 1, b"\x88")
        + frame(wire.DATA, 0, 1, b"answer")
        + frame(wire.HEADERS, wire.END_HEADERS | wire.END_STREAM, 1, b"\x00\x0bgrpc-status\x010")
    )
    for byte in said:
        connection.received(bytes((byte,)))
    assert connection.done == [("mine", 0, b"answer")]
    assert not connection.open


@pytest.mark.parametrize(
    ("block", "status"),
    [
        (b"\x00\x0bgrpc-status\x010", 0),
        (b"\x00\x0bgrpc-status\x0214\x00\x01a\x01b", 14),
        (b"\x00\x88\x9a\xca\xc8\xb2\x12\x34\xda\x8f\x018", 8),
        # The value in Huffman's code too: 0 is 00000 and the rest is padding.
        (b"\x00\x88\x9a\xca\xc8\xb2\x12\x34\xda\x8f\x81\x07", 0),
        (b"\x88", -1),
    ],
)
def test_the_grpc_status_in_every_spelling(block: bytes, status: int) -> None:
    assert grpc_status(block) == status


@pytest.mark.parametrize(
    ("block", "status"),
    [
        (b"\x88", 200),
        (b"\x20\x8c", 400),
        (b"\x08\x03503", 503),
        # 429 as Envoy's Huffman writes it: 4 is 011010, 2 is 00010, 9 is 011111.
        (b"\x08\x83\x68\x4f\xff", 429),
    ],
)
def test_the_http_status_in_every_spelling(block: bytes, status: int) -> None:
    assert http_status(block) == status


def test_the_servers_limits_are_kept() -> None:
    connection = opened()
    settings = struct.pack(">HI", 3, 1)
    connection.received(frame(wire.SETTINGS, 0, 0, settings))
    assert frames(bytes(connection.out)) == [(wire.SETTINGS, wire.ACK, 0, b"")]
    connection.call("one", b"x" * 60_000, "k")
    assert not connection.can_call(0)
    connection.limit = 10
    assert not connection.can_call(6_000)
    connection.received(frame(wire.WINDOW_UPDATE, 0, 0, struct.pack(">I", 1_000)))
    assert connection.can_call(6_000)


def test_pings_are_answered_and_an_end_is_an_error() -> None:
    connection = opened()
    connection.received(frame(wire.PING, 0, 0, b"12345678"))
    assert frames(bytes(connection.out)) == [(wire.PING, wire.ACK, 0, b"12345678")]
    connection.call("one", b"", "k")
    connection.received(frame(wire.RST_STREAM, 0, 1, b"\0\0\0\x08"))
    assert connection.done == [("one", -2, b"")]
    with pytest.raises(ConnectionError, match="code 11"):
        connection.received(frame(wire.GOAWAY, 0, 0, struct.pack(">II", 0, 11) + b"calm"))


def test_bodies_are_messages_with_any_reference_of_the_right_length() -> None:
    reference = "s" * SALT_CHARS + "-0000000042"
    assert len(reference) == REFERENCE_CHARS
    for before, after in authorize_bodies(token="tok_1"):
        raw = bytes.fromhex(before) + reference.encode() + bytes.fromhex(after)
        request = v1.AuthorizePaymentRequest.FromString(raw)
        assert request.merchant_reference == reference
        assert request.payment_method.token.token_id == "tok_1"
    ((before, after),) = get_bodies()
    raw = bytes.fromhex(before) + b"p" * ID_CHARS + bytes.fromhex(after)
    assert v1.GetPaymentRequest.FromString(raw).payment_id == "p" * ID_CHARS


def test_a_stream_s_messages_and_answers_belong_together_by_their_keys() -> None:
    connection = wire.OneStream({":path": "/rpc", ":authority": "a"})
    connection.out.clear()
    request = v1.AuthorizePaymentRequest(merchant_reference="r").SerializeToString()
    for key in ("one", "two"):
        connection.call(key, bytes(5) + request, key)
    sent = frames(bytes(connection.out))
    assert [(kind, stream) for kind, _, stream, _ in sent] == [
        (wire.HEADERS, 1), (wire.DATA, 1), (wire.DATA, 1),
    ]  # fmt: skip
    message = v1.AuthorizeStreamRequest.FromString(sent[2][3][5:])
    assert (message.idempotency_key, message.request.merchant_reference) == ("two", "r")
    answers = b""
    for answer in (
        v1.AuthorizeStreamResponse(idempotency_key="two", payment=v1.Payment(payment_id="p")),
        v1.AuthorizeStreamResponse(idempotency_key="one", error={"code": 3}),
    ):
        raw = answer.SerializeToString()
        answers += b"\0" + struct.pack(">I", len(raw)) + raw
    connection.received(frame(wire.DATA, 0, 1, answers[:20]))
    connection.received(frame(wire.DATA, 0, 1, answers[20:]))
    assert [(about, status) for about, status, _ in connection.done] == [("two", 0), ("one", -1)]


def test_a_stream_s_window_is_kept() -> None:
    connection = wire.OneStream({":path": "/rpc"})
    connection.call("one", bytes(60_000), "k")
    assert not connection.can_call(6_000)
    connection.received(frame(wire.WINDOW_UPDATE, 0, 0, struct.pack(">I", 10_000)))
    assert not connection.can_call(6_000)
    connection.received(frame(wire.SETTINGS, 0, 0, struct.pack(">HI", 4, 75_535)))
    assert connection.can_call(6_000)
    with pytest.raises(ConnectionError, match="ends the stream"):
        connection.received(frame(wire.RST_STREAM, 0, 1, b"\0\0\0\x08"))
