"""JSON schemas of the contract's messages, as Envoy's transcoder reads and prints them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.api import field_behavior_pb2
from google.protobuf import descriptor_pb2

Json = dict[str, Any]

_Field = descriptor_pb2.FieldDescriptorProto
_Member = (
    descriptor_pb2.FieldDescriptorProto
    | descriptor_pb2.EnumValueDescriptorProto
    | descriptor_pb2.MethodDescriptorProto
)

_SCALARS: dict[int, Json] = {
    _Field.TYPE_STRING: {"type": "string"},
    _Field.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    _Field.TYPE_BOOL: {"type": "boolean"},
    _Field.TYPE_INT32: {"type": "integer", "format": "int32"},
    _Field.TYPE_DOUBLE: {"type": "number", "format": "double"},
}
_INT64_ANSWER: Json = {"type": "string", "format": "int64", "pattern": "^-?[0-9]+$"}
_INT64_REQUEST: Json = {"type": ["integer", "string"], "format": "int64"}

_WELL_KNOWN: dict[str, Json] = {
    ".google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    # The contract's lists in lists are of words: accounts, or leading digits of cards.
    ".google.protobuf.ListValue": {"type": "array", "items": {"type": "string"}},
}

# The error's details are Any: their fields stand beside "@type".
_STATUS: Json = {
    "type": "object",
    "description": "An error, google.rpc.Status.",
    "required": ["code", "message", "details"],
    "properties": {
        "code": {"type": "integer", "description": "The gRPC code.", "example": 3},
        "message": {"type": "string", "description": "What was wrong, for the developer."},
        "details": {
            "type": "array",
            "description": "ErrorInfo (`reason`, `domain`, `metadata`), BadRequest "
            "(`field_violations`), RetryInfo (`retry_delay`).",
            "items": {
                "type": "object",
                "required": ["@type"],
                "properties": {"@type": {"type": "string"}},
                "additionalProperties": True,
            },
        },
    },
    "examples": [
        {
            "code": 3,
            "message": "amount_minor must be above 0",
            "details": [
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "INVALID_REQUEST",
                    "domain": "turnout",
                    "metadata": {},
                },
                {
                    "@type": "type.googleapis.com/google.rpc.BadRequest",
                    "field_violations": [
                        {"field": "amount_minor", "description": "must be above 0"}
                    ],
                },
            ],
        }
    ],
}


class Comments:
    """Finds the comment above any element of the contract, as running text."""

    def __init__(self, image: descriptor_pb2.FileDescriptorSet) -> None:
        self._text: dict[str, str] = {}
        for file in image.file:
            at = {tuple(p.path): p.leading_comments for p in file.source_code_info.location}
            package = f".{file.package}"
            # The numbers are the fields' numbers in descriptor.proto, which paths are made of.
            for number, message in enumerate(file.message_type):
                self._note(f"{package}.{message.name}", at, (4, number), message.field, 2)
            for number, enum in enumerate(file.enum_type):
                self._note(f"{package}.{enum.name}", at, (5, number), enum.value, 2)
            for number, service in enumerate(file.service):
                self._note(f"{package}.{service.name}", at, (6, number), service.method, 2)

    def _note(
        self,
        name: str,
        at: dict[tuple[int, ...], str],
        path: tuple[int, ...],
        members: Iterable[_Member],
        members_field: int,
    ) -> None:
        self._text[name] = _running_text(at.get(path, ""))
        for number, member in enumerate(members):
            comment = at.get((*path, members_field, number), "")
            self._text[f"{name}.{member.name}"] = _running_text(comment)

    def of(self, name: str) -> str:
        """Return the comment above an element, such as `.turnout.v1.Payment.status`."""
        return self._text[name]


def _running_text(comment: str) -> str:
    paragraphs = comment.replace("\n \n", "\n\n").strip().split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _in_oneof(field: _Field) -> bool:
    """Whether it is one of several kinds; protoc gives an optional field a oneof of its own."""
    return field.HasField("oneof_index") and not field.proto3_optional


class Schemas:
    """Makes the schema of every message and enumeration asked for, and of what they use."""

    def __init__(self, image: descriptor_pb2.FileDescriptorSet, comments: Comments) -> None:
        self._comments = comments
        self._messages: dict[str, descriptor_pb2.DescriptorProto] = {}
        self._enums: dict[str, descriptor_pb2.EnumDescriptorProto] = {}
        self._done: dict[str, Json] = {"Status": _STATUS}
        for file in image.file:
            prefix = f".{file.package}."
            self._messages.update((prefix + m.name, m) for m in file.message_type)
            self._enums.update((prefix + e.name, e) for e in file.enum_type)
        methods = [m for file in image.file for service in file.service for m in service.method]
        self._requests = self._reached_from({method.input_type for method in methods})
        self._answers = self._reached_from({method.output_type for method in methods})

    def _reached_from(self, names: set[str]) -> set[str]:
        seen: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name in seen or name not in self._messages:
                continue
            seen.add(name)
            for field in self._messages[name].field:
                value = self._map_value(name, field)
                waiting.append(value.type_name if value else field.type_name)
        return seen

    def message(self, name: str) -> descriptor_pb2.DescriptorProto:
        """Return the message with the full name `name`, such as `.turnout.v1.Payment`."""
        return self._messages[name]

    def about(self, name: str) -> str:
        """Return the comment above the message `name`."""
        return self._comments.of(name)

    def components(self) -> Json:
        """Return every schema made so far, by name."""
        return {name: self._done[name] for name in sorted(self._done)}

    def reference(self, name: str) -> Json:
        """Return a reference to the message or enumeration `name`; make its schema once."""
        short = name.rpartition(".")[2]
        if short not in self._done:
            self._done[short] = {}  # Entered first: messages may contain themselves.
            if name in self._enums:
                self._done[short] = self._enum(name)
            else:
                self._done[short] = self._object(name, without=())
        return {"$ref": f"#/components/schemas/{short}"}

    def body_without(self, name: str, path_fields: list[str]) -> Json:
        """Return a reference to the message `name` less the fields that stand in the path."""
        short = name.rpartition(".")[2]
        self._done[short] = self._object(name, without=path_fields)
        return {"$ref": f"#/components/schemas/{short}"}

    def of_field(self, owner: str, field: _Field) -> Json:
        """Return the schema of one field of the message `owner`, with its comment."""
        value = self._map_value(owner, field)
        if value is not None:
            schema: Json = {"type": "object", "additionalProperties": self._single(owner, value)}
        elif field.label == _Field.LABEL_REPEATED:
            schema = {"type": "array", "items": self._single(owner, field)}
        else:
            schema = self._single(owner, field)
        about = self._comments.of(f"{owner}.{field.name}")
        behaviors = field.options.Extensions[field_behavior_pb2.field_behavior]
        if field_behavior_pb2.INPUT_ONLY in behaviors:
            schema["writeOnly"] = True
        if _in_oneof(field):
            oneof = self._messages[owner].oneof_decl[field.oneof_index].name
            about = f"One of the kinds of `{oneof}`. {about}"
        return {**schema, "description": about}

    def _single(self, owner: str, field: _Field) -> Json:
        if field.type_name in _WELL_KNOWN:
            return dict(_WELL_KNOWN[field.type_name])
        if field.type in (_Field.TYPE_MESSAGE, _Field.TYPE_ENUM):
            return self.reference(field.type_name)
        if field.type == _Field.TYPE_INT64:
            return dict(_INT64_ANSWER if owner in self._answers else _INT64_REQUEST)
        return dict(_SCALARS[field.type])

    def _map_value(self, owner: str, field: _Field) -> _Field | None:
        for nested in self._messages[owner].nested_type:
            is_entry = nested.options.map_entry and field.type_name == f"{owner}.{nested.name}"
            if is_entry:
                return nested.field[1]
        return None

    def _object(self, name: str, without: list[str] | tuple[()]) -> Json:
        message = self._messages[name]
        fields = [field for field in message.field if field.name not in without]
        schema: Json = {"type": "object", "description": self._comments.of(name)}
        required = [field.name for field in fields if self._always_there(name, field)]
        if required:
            schema["required"] = required
        schema["properties"] = {field.name: self.of_field(name, field) for field in fields}
        if fields and all(_in_oneof(field) for field in fields):
            schema["maxProperties"] = 1
        if name not in self._answers:
            schema["additionalProperties"] = False  # The edge refuses unknown fields.
        return schema

    def _always_there(self, owner: str, field: _Field) -> bool:
        """Whether a request must have the field, or an answer always has it."""
        behaviors = field.options.Extensions[field_behavior_pb2.field_behavior]
        if owner not in self._answers:
            return field_behavior_pb2.REQUIRED in behaviors
        single_message = field.type == _Field.TYPE_MESSAGE and field.label != _Field.LABEL_REPEATED
        # A message that requests have too, such as Customer, demands nothing of them.
        shared = owner in self._requests
        return not single_message and not field.HasField("oneof_index") and not shared

    def _enum(self, name: str) -> Json:
        values = [value.name for value in self._enums[name].value]
        lines = [f"* `{value}`: {self._comments.of(f'{name}.{value}')}" for value in values]
        about = "\n".join([self._comments.of(name), "", *lines])
        return {"type": "string", "description": about, "enum": values}
