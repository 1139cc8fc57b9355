"""Bytes to messages, with errors that name the field.

grpcio's own deserializing answers INTERNAL to bytes that cannot be read; a caller who sent them
deserves to hear where. The parser says only yes or no, so a slow second walk over the bytes, run
on refusal alone, finds the place.

Fields that this build does not know are refused: a newer caller may mean by them that the money
is to go elsewhere, and carrying out half of a request is worse than none. The HTTP edge does the
same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

from turnout.domain.errors import FieldError, InvalidRequest

M = TypeVar("M", bound=Message)

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_WIDTH = {_FIXED64: 8, _FIXED32: 4}
_WIRE_TYPE = {
    FieldDescriptor.TYPE_STRING: _BYTES,
    FieldDescriptor.TYPE_BYTES: _BYTES,
    FieldDescriptor.TYPE_MESSAGE: _BYTES,
    FieldDescriptor.TYPE_DOUBLE: _FIXED64,
    FieldDescriptor.TYPE_FIXED64: _FIXED64,
    FieldDescriptor.TYPE_SFIXED64: _FIXED64,
    FieldDescriptor.TYPE_FLOAT: _FIXED32,
    FieldDescriptor.TYPE_FIXED32: _FIXED32,
    FieldDescriptor.TYPE_SFIXED32: _FIXED32,
}
_VARINT_BYTES = 10
# Deeper than any message of the contract can nest.
_MAX_DEPTH = 32


def parse(kind: type[M], raw: bytes) -> M:
    """Reads a request.

    Raises:
        InvalidRequest: the bytes are not such a message, a text in it is not UTF-8, or it has a
            field that this build does not know.
    """
    try:
        message = kind.FromString(raw)
    except DecodeError as error:
        raise InvalidRequest([_first_fault(kind, raw)]) from error
    size = message.ByteSize()
    message.DiscardUnknownFields()
    if message.ByteSize() != size:
        raise InvalidRequest([_first_fault(kind, raw)])
    return message


def content(raw: bytes, number: int) -> bytes:
    """What the bytes hold for one field of text or of a message, though the rest be unreadable.

    Returns:
        The field's last appearance that is whole; empty where there is none.
    """
    found = b""
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        if tag < 0:
            break
        wire_type = tag & 7
        if wire_type == _VARINT:
            _, at = _varint(raw, at)
        elif wire_type in _WIDTH:
            at += _WIDTH[wire_type]
        elif wire_type == _BYTES:
            length, at = _varint(raw, at)
            if not 0 <= length <= len(raw) - at:
                break
            if tag >> 3 == number:
                found = raw[at : at + length]
            at += length
        else:
            break
    return found


def length_delimited(number: int, content: bytes) -> bytes:
    """A field of text or of a message, written around bytes that nobody needs to look into."""
    head = bytearray((number << 3 | _BYTES,))
    length = len(content)
    while length > 0x7F:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return bytes(head) + content


def _first_fault(kind: type[Message], raw: bytes) -> FieldError:
    descriptor = cast(Descriptor, kind.DESCRIPTOR)
    for fault in _faults(descriptor, raw, "", 0):
        return fault
    return FieldError(
        "request",
        "MALFORMED_MESSAGE",
        f"the bytes are not a {descriptor.full_name} in protobuf's binary format",
    )


def _faults(descriptor: Descriptor, raw: bytes, path: str, depth: int) -> Iterator[FieldError]:
    """Everything wrong in one message, in the order of the bytes; ends where it is cut off."""
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        number, wire_type = tag >> 3, tag & 7
        field = descriptor.fields_by_number.get(number)
        where = f"{path}{field.name}" if field else f"{path}#{number}"
        if wire_type == _VARINT:
            value, at = _varint(raw, at)
            content = b"" if value >= 0 else None
        elif wire_type in _WIDTH:
            at += _WIDTH[wire_type]
            content = b"" if at <= len(raw) else None
        elif wire_type == _BYTES:
            length, at = _varint(raw, at)
            content = raw[at : at + length] if 0 <= length <= len(raw) - at else None
            at += length
        else:
            content = None
        if tag < 0 or number == 0 or content is None:
            yield FieldError(
                where if number > 0 else path.rstrip(".") or "request",
                "MALFORMED_MESSAGE",
                f"the bytes of {descriptor.full_name} are cut off or not in protobuf's binary "
                "format here",
            )
            return
        if field is None:
            yield FieldError(
                where,
                "UNKNOWN_FIELD",
                f"this server's {descriptor.full_name} has no field number {number}; use the "
                "contract of this server's version, or leave the field out",
            )
        elif not _fits(field, wire_type):
            yield FieldError(
                where,
                "MALFORMED_MESSAGE",
                "the bytes hold a value of another type than the field's",
            )
        elif wire_type == _BYTES:
            yield from _inside(field, content, where, depth)


def _fits(field: FieldDescriptor, wire_type: int) -> bool:
    if wire_type == _WIRE_TYPE.get(field.type, _VARINT):
        return True
    # Repeated numbers may come packed.
    return field.is_repeated and wire_type == _BYTES


def _inside(
    field: FieldDescriptor, content: bytes, where: str, depth: int
) -> Iterator[FieldError]:
    if field.type == FieldDescriptor.TYPE_STRING:
        try:
            content.decode("utf-8")
        except UnicodeDecodeError:
            yield FieldError(where, "INVALID_UTF8", "the text is not valid UTF-8")
    elif field.message_type is not None and depth < _MAX_DEPTH:
        yield from _faults(field.message_type, content, f"{where}.", depth + 1)


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    """The number at this place and the place after it; (-1, end) where it is cut off."""
    value = 0
    for count in range(_VARINT_BYTES):
        if at + count >= len(raw):
            break
        byte = raw[at + count]
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return value, at + count + 1
    return -1, len(raw)
