"""One HTTP/2 connection of a load client, on bytes alone: no socket and no clock.

A general client would spend on headers, streams and futures what is to be measured at the server.
This one knows one kind of call: the same headers each time but one, a short body in one frame,
and an answer of which only the status and the first bytes matter. It costs some 15 us a call.

The server is told to keep no header table (SETTINGS_HEADER_TABLE_SIZE = 0), so each block of
headers can be read by itself. Our own constant headers go into the server's table with the first
call, as those of any long-lived client do.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK, PADDED, PRIORITY = 0x1, 0x4, 0x1, 0x8, 0x20
_HEADER_TABLE_SIZE, _MAX_STREAMS, _INITIAL_WINDOW = 1, 3, 4

_FRAME = struct.Struct(">BHBBI")
_SETTING = struct.Struct(">HI")
_WORD = struct.Struct(">I")

# As large as it may be.
_CONNECTION_WINDOW = 2**31 - 1
_DEFAULT_WINDOW = 65_535
_REPLENISH = 1 << 28

# In front of each gRPC message: whether it is compressed, and its length.
_GRPC_PREFIX = 5
# What a message of a stream has more than its request: key, tags and lengths.
_MOST_AROUND = 64

# RFC 7541, appendix A: the names and pairs that we send.
_STATIC = {":authority": 1, ":path": 4, "authorization": 23, "content-type": 31, "user-agent": 58}
_POST, _HTTP = b"\x83", b"\x86"
_FIRST_DYNAMIC = 62

# `grpc-status` as a literal name, plain and in RFC 7541's Huffman code.
_STATUS_PLAIN = b"\x0bgrpc-status"
_STATUS_HUFFMAN = bytes.fromhex("889acac8b21234da8f")
# RFC 7541, appendix A: the pairs of `:status` that have an index.
_HTTP_STATUS = {0x88: 200, 0x89: 204, 0x8A: 206, 0x8B: 304, 0x8C: 400, 0x8D: 404, 0x8E: 500}
_HUFFMAN_DIGITS = "012"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame of HTTP/2."""
    length = len(payload)
    return _FRAME.pack(length >> 16, length & 0xFFFF, kind, flags, stream) + payload


def _integer(value: int, prefix_bits: int, first: int) -> bytes:
    most = (1 << prefix_bits) - 1
    if value < most:
        return bytes((first | value,))
    out = bytearray((first | most,))
    value -= most
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _text(value: str) -> bytes:
    raw = value.encode()
    return _integer(len(raw), 7, 0) + raw


def _literal(name: str, value: str, *, keep: bool) -> bytes:
    """A header in full; `keep` puts it into the receiver's table."""
    index = _STATIC.get(name, 0)
    head = _integer(index, 6, 0x40) if keep else _integer(index, 4, 0)
    return head + (b"" if index else _text(name)) + _text(value)


def grpc_status(block: bytes) -> int:
    """The status in a block of trailers; -1 where there is none, as in a plain HTTP answer."""
    at = block.find(_STATUS_PLAIN)
    length = len(_STATUS_PLAIN)
    if at < 0:
        at = block.find(_STATUS_HUFFMAN)
        length = len(_STATUS_HUFFMAN)
    if at < 0:
        return -1
    return _number(block, at + length)


def http_status(block: bytes) -> int:
    """The `:status`, which comes first of all."""
    at = 0
    while block[at] & 0xE0 == 0x20:  # An update of the table's size.
        at += 1
    known = _HTTP_STATUS.get(block[at])
    if known is not None:
        return known
    # A literal whose name has an index from 8 to 14, in one of the three forms.
    return _number(block, at + 1)


def _number(block: bytes, at: int) -> int:
    """A literal of digits; Huffman's code gives 0, 1 and 2 five bits, the other digits six."""
    size = block[at] & 0x7F
    raw = block[at + 1 : at + 1 + size]
    if not block[at] & 0x80:
        return int(raw)
    bits = "".join(f"{byte:08b}" for byte in raw)
    digits = ""
    while len(bits) >= 5 and not (len(bits) < 8 and set(bits) == {"1"}):
        five = int(bits[:5], 2)
        if five < 3:
            digits, bits = digits + _HUFFMAN_DIGITS[five], bits[5:]
        else:
            # '3' is 011001 and the rest follow.
            digits, bits = digits + str(int(bits[:6], 2) - 0x19 + 3), bits[6:]
    return int(digits)


class Connection:
    """The client's side of one connection.

    Attributes:
        out: bytes to send.
        open: what each stream in flight is for.
        done: (what it was for, status, answer's first frame), for the caller to take.
        limit: how many streams the server allows at once.
        stream_window: bytes of one answer; larger than any.
    """

    stream_window = 1 << 20

    def __init__(self, headers: Mapping[str, str], varying: str) -> None:
        """Prepares the preface.

        Args:
            headers: what every call says, `:path` and `:authority` among it, in their order.
            varying: name of the header whose value is another one for each call; "" for none.
        """
        self.out = bytearray(
            PREFACE
            + frame(
                SETTINGS,
                0,
                0,
                _SETTING.pack(_HEADER_TABLE_SIZE, 0)
                + _SETTING.pack(_INITIAL_WINDOW, self.stream_window),
            )
            + frame(WINDOW_UPDATE, 0, 0, _WORD.pack(_CONNECTION_WINDOW - _DEFAULT_WINDOW))
        )
        self.open: dict[int, object] = {}
        self.done: list[tuple[object, int, bytes]] = []
        self.limit = 2**31
        self.grpc = headers.get("content-type", "").startswith("application/grpc")
        self._answers: dict[int, bytes] = {}
        self._statuses: dict[int, int] = {}
        self._buffer = bytearray()
        self._next = 1
        self._window = _DEFAULT_WINDOW
        self._received = 0
        pseudo = _POST + _HTTP
        self._first = pseudo + b"".join(
            _literal(name, value, keep=True) for name, value in headers.items()
        )
        count = len(headers)
        self._again = pseudo + b"".join(
            _integer(_FIRST_DYNAMIC + count - 1 - place, 7, 0x80) for place in range(count)
        )
        self._varying = (b"\x00" + _text(varying)) if varying else b""

    def can_call(self, body_bytes: int) -> bool:
        """Whether the server lets us send a call of this size now."""
        return len(self.open) < self.limit and self._window >= body_bytes

    def call(self, about: object, body: bytes, varying: str = "") -> None:
        """Writes one call; `about` comes back with its end."""
        stream = self._next
        self._next += 2
        block = self._again if stream > 1 else self._first
        if self._varying:
            block = block + self._varying + _text(varying)
        self.open[stream] = about
        self._window -= len(body)
        length, size = len(block), len(body)
        self.out += _FRAME.pack(length >> 16, length & 0xFFFF, HEADERS, END_HEADERS, stream)
        self.out += block
        self.out += _FRAME.pack(size >> 16, size & 0xFFFF, DATA, END_STREAM, stream)
        self.out += body

    def received(self, data: bytes) -> None:
        """Takes bytes from the server.

        Raises:
            ConnectionError: the server ends the connection, or sends what we cannot read.
        """
        buffer = self._buffer
        buffer += data
        at, end = 0, len(buffer)
        while end - at >= 9:
            high, low, kind, flags, stream = _FRAME.unpack_from(buffer, at)
            stop = at + 9 + (high << 16 | low)
            if stop > end:
                break
            if kind == DATA:
                self._received += stop - at - 9
                self._data(stream, flags, bytes(buffer[at + 9 : stop]))
            elif kind == HEADERS:
                self._headers(stream, flags, bytes(buffer[at + 9 : stop]))
            else:
                self._control(kind, flags, stream, bytes(buffer[at + 9 : stop]))
            at = stop
        del buffer[:at]
        if self._received > _REPLENISH:
            self.out += frame(WINDOW_UPDATE, 0, 0, _WORD.pack(self._received))
            self._received = 0

    def _data(self, stream: int, flags: int, payload: bytes) -> None:
        if stream not in self._answers:
            self._answers[stream] = payload
        if flags & END_STREAM:
            self._end(stream, self._statuses.pop(stream, -1))

    def _headers(self, stream: int, flags: int, block: bytes) -> None:
        if flags & (PADDED | PRIORITY) or not flags & END_HEADERS:
            raise ConnectionError("the server sends headers in a form that is not read here")
        if flags & END_STREAM:
            status = self._statuses.pop(stream, None)
            if self.grpc:
                status = grpc_status(block)
                if status:
                    # Of an error its trailers tell more than its answer, which has no bytes.
                    self._answers.setdefault(stream, block)
            self._end(stream, status if status is not None else http_status(block))
        elif not self.grpc:
            self._statuses[stream] = http_status(block)

    def _end(self, stream: int, status: int) -> None:
        about = self.open.pop(stream, None)
        answer = self._answers.pop(stream, b"")
        if about is not None:
            self.done.append((about, status, answer))

    def _control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == SETTINGS and not flags & ACK:
            for at in range(0, len(payload), _SETTING.size):
                name, value = _SETTING.unpack_from(payload, at)
                if name == _MAX_STREAMS:
                    self.limit = value
            self.out += frame(SETTINGS, ACK, 0)
        elif kind == PING and not flags & ACK:
            self.out += frame(PING, ACK, 0, payload)
        elif kind == WINDOW_UPDATE:
            if stream == 0:
                self._window += _WORD.unpack(payload)[0]
        elif kind == RST_STREAM:
            self._end(stream, -2)
        elif kind == GOAWAY:
            code = _WORD.unpack_from(payload, 4)[0]
            raise ConnectionError(f"the server ends the connection, code {code}: {payload[8:]!r}")


class OneStream(Connection):
    """A connection with one long AuthorizeStream: each call is a message, each message an answer.

    `limit` and the answers' order are as if each were a call of its own.
    """

    # Never renewed: two gigabytes of answers are more than a bench asks for.
    stream_window = _CONNECTION_WINDOW

    def __init__(self, headers: Mapping[str, str]) -> None:
        """Prepares the preface; no header varies."""
        super().__init__(headers, "")
        self._asked: dict[bytes, object] = {}
        self._initial = self._left = _DEFAULT_WINDOW
        self._incoming = bytearray()

    def can_call(self, body_bytes: int) -> bool:
        """Whether the server lets us send a message of this size now."""
        return min(self._window, self._left) >= body_bytes + _MOST_AROUND

    def call(self, about: object, body: bytes, varying: str = "") -> None:
        """Writes one message, a gRPC message of AuthorizePayment with its key around it."""
        key, request = varying.encode(), body[_GRPC_PREFIX:]
        message = b"\x0a" + _varint(len(key)) + key
        message += b"\x12" + _varint(len(request)) + request
        if self._next == 1:
            self._next += 2
            self.out += frame(HEADERS, END_HEADERS, 1, self._first)
        data = b"\x00" + _WORD.pack(len(message)) + message
        self._window -= len(data)
        self._left -= len(data)
        self._asked[key] = about
        self.out += frame(DATA, 0, 1, data)

    def _data(self, stream: int, flags: int, payload: bytes) -> None:
        incoming = self._incoming
        incoming += payload
        at = 0
        while len(incoming) - at >= _GRPC_PREFIX:
            stop = at + _GRPC_PREFIX + _WORD.unpack_from(incoming, at + 1)[0]
            if stop > len(incoming):
                break
            message = bytes(incoming[at + _GRPC_PREFIX : stop])
            key_end = 2 + message[1]
            good = message[key_end : key_end + 1] == b"\x12"
            about = self._asked.pop(message[2:key_end])
            self.done.append((about, 0 if good else -1, message))
            at = stop
        del incoming[:at]

    def _end(self, stream: int, status: int) -> None:
        raise ConnectionError(f"the server ends the stream, status {status}")

    def _control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == SETTINGS and not flags & ACK:
            for at in range(0, len(payload), _SETTING.size):
                name, value = _SETTING.unpack_from(payload, at)
                if name == _INITIAL_WINDOW:
                    self._left += value - self._initial
                    self._initial = value
        elif kind == WINDOW_UPDATE and stream:
            self._left += _WORD.unpack(payload)[0]
        super()._control(kind, flags, stream, payload)


def _varint(value: int) -> bytes:
    """A length as protobuf writes it."""
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
