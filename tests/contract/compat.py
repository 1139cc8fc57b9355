"""Finds what a change of the contract takes away from those who already call it.

Old callers send old fields and read old fields: names (JSON), numbers (protobuf), types, paths and
the need for an idempotency key must stay. Adding is free, except of what old requests lack.
"""

from collections.abc import Iterator

from google.api import annotations_pb2, field_behavior_pb2
from google.protobuf import descriptor_pb2

FileSet = descriptor_pb2.FileDescriptorSet
Message = descriptor_pb2.DescriptorProto
Enum = descriptor_pb2.EnumDescriptorProto
Method = descriptor_pb2.MethodDescriptorProto
Field = descriptor_pb2.FieldDescriptorProto

PACKAGE = "turnout.v1"


def breaking_changes(old: FileSet, new: FileSet) -> list[str]:
    """Say what a caller of `old` would miss or find changed in `new`."""
    findings: list[str] = []
    messages = dict(all_messages(new))
    for name, message in all_messages(old):
        if name not in messages:
            findings.append(f"{name}: message removed")
        else:
            findings += _message_changes(name, message, messages[name])
    enums = dict(all_enums(new))
    for name, enum in all_enums(old):
        if name not in enums:
            findings.append(f"{name}: enumeration removed")
        else:
            findings += _enum_changes(name, enum, enums[name])
    methods = dict(all_methods(new))
    for name, method in all_methods(old):
        if name not in methods:
            findings.append(f"{name}: rpc removed")
        else:
            findings += _method_changes(name, method, methods[name])
    return findings


def all_messages(image: FileSet) -> Iterator[tuple[str, Message]]:
    """Every message of our package, map entries and other nested ones included."""

    def walk(prefix: str, message: Message) -> Iterator[tuple[str, Message]]:
        name = f"{prefix}.{message.name}"
        yield name, message
        for nested in message.nested_type:
            yield from walk(name, nested)

    for file in image.file:
        if file.package == PACKAGE:
            for message in file.message_type:
                yield from walk(PACKAGE, message)


def all_enums(image: FileSet) -> Iterator[tuple[str, Enum]]:
    """Every enumeration of our package, nested ones included."""
    for file in image.file:
        if file.package == PACKAGE:
            yield from ((f"{PACKAGE}.{enum.name}", enum) for enum in file.enum_type)
    for name, message in all_messages(image):
        yield from ((f"{name}.{enum.name}", enum) for enum in message.enum_type)


def all_methods(image: FileSet) -> Iterator[tuple[str, Method]]:
    """Every rpc of our package."""
    for file in image.file:
        if file.package == PACKAGE:
            for service in file.service:
                for method in service.method:
                    yield f"{PACKAGE}.{service.name}.{method.name}", method


def required(field: Field) -> bool:
    """Whether requests must have the field."""
    behaviors = field.options.Extensions[field_behavior_pb2.field_behavior]
    return field_behavior_pb2.REQUIRED in behaviors


def _message_changes(name: str, old: Message, new: Message) -> Iterator[str]:
    by_number = {field.number: field for field in new.field}
    for field in old.field:
        now = by_number.get(field.number)
        if now is None:
            yield f"{name}.{field.name}: field {field.number} removed"
            continue
        facts = (
            ("name", field.name, now.name),
            ("JSON name", field.json_name, now.json_name),
            ("type", (field.type, field.type_name), (now.type, now.type_name)),
            ("label", field.label, now.label),
            ("oneof", _oneof(old, field), _oneof(new, now)),
            ("presence", field.proto3_optional, now.proto3_optional),
        )
        for what, before, after in facts:
            if before != after:
                yield f"{name}.{field.name}: {what} changed from {before!r} to {after!r}"
        if required(now) and not required(field):
            yield f"{name}.{field.name}: became required"
    known = {field.number for field in old.field}
    for field in new.field:
        if field.number not in known and required(field):
            yield f"{name}.{field.name}: added as required"


def _oneof(message: Message, field: Field) -> str:
    if not field.HasField("oneof_index"):
        return ""
    return message.oneof_decl[field.oneof_index].name


def _enum_changes(name: str, old: Enum, new: Enum) -> Iterator[str]:
    numbers = {value.name: value.number for value in new.value}
    for value in old.value:
        if value.name not in numbers:
            yield f"{name}.{value.name}: value removed"
        elif numbers[value.name] != value.number:
            yield f"{name}.{value.name}: number changed to {numbers[value.name]}"


def _method_changes(name: str, old: Method, new: Method) -> Iterator[str]:
    facts = (
        ("request", old.input_type, new.input_type),
        ("answer", old.output_type, new.output_type),
        ("client streaming", old.client_streaming, new.client_streaming),
        ("server streaming", old.server_streaming, new.server_streaming),
        ("idempotency", old.options.idempotency_level, new.options.idempotency_level),
    )
    for what, before, after in facts:
        if before != after:
            yield f"{name}: {what} changed from {before!r} to {after!r}"
    for binding in sorted(bindings(old) - bindings(new)):
        yield f"{name}: HTTP binding {' '.join(binding)} removed"


def bindings(method: Method) -> set[tuple[str, str, str]]:
    """The rpc's HTTP bindings: verb, path and body."""
    rule = method.options.Extensions[annotations_pb2.http]
    found = set()
    for one in (rule, *rule.additional_bindings):
        verb = one.WhichOneof("pattern")
        if verb is not None:
            found.add((verb, str(getattr(one, verb)), one.body))
    return found
