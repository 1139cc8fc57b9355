"""Rulesets' documents between the contract's messages and plain data.

The messages have the document's own keys, so nothing is translated: what is set becomes a key,
what is not set becomes none. protobuf's own JSON would turn 64-bit numbers into text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import ListValue

from turnout import v1


def content_of(document: v1.RulesetDocument) -> dict[str, object]:
    """A document as plain data, for `routing.rules.from_mapping`."""
    return _plain(document)


def fill_document(out: v1.RulesetDocument, content: Mapping[str, object]) -> None:
    """Writes a stored document, which was read before, into an empty message."""
    json_format.ParseDict(dict(content), out)


def _plain(message: Message) -> dict[str, object]:
    found: dict[str, object] = {}
    for field, value in message.ListFields():
        entry = field.message_type
        if entry is not None and entry.GetOptions().map_entry:
            found[field.name] = dict(value)
        elif field.is_repeated:
            found[field.name] = [_single(one) for one in value]
        else:
            found[field.name] = _single(value)
    return found


def _single(value: Any) -> object:
    if isinstance(value, ListValue):
        return json_format.MessageToDict(value)
    return _plain(value) if isinstance(value, Message) else value
