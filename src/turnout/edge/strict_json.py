"""The Lua filter that refuses unknown fields and wrong types, in JSON and in queries.

Envoy's transcoder passes over unknown fields and has no option against it, and its messages about
wrong types quote the value. The filter knows the contract through tables that are made here.
"""

from __future__ import annotations

import re
from importlib.resources import files

from google.api import annotations_pb2
from google.protobuf import descriptor_pb2

_Field = descriptor_pb2.FieldDescriptorProto

_KINDS = {
    _Field.TYPE_STRING: "string",
    _Field.TYPE_BYTES: "string",
    _Field.TYPE_BOOL: "boolean",
    _Field.TYPE_INT32: "int32",
    _Field.TYPE_INT64: "int64",
    _Field.TYPE_DOUBLE: "number",
}

# Longer enumerations are shown by their first few names.
_NAMES_SHOWN = 10


def source(image: descriptor_pb2.FileDescriptorSet) -> str:
    """Return the filter's Lua text for the contract in `image`."""
    ours = [file for file in image.file if file.package == "turnout.v1"]
    messages = {message.name: message for file in ours for message in file.message_type}
    enums = {enum.name: enum for file in ours for enum in file.enum_type}
    operations: list[str] = []
    reached: set[str] = set()
    for file in ours:
        for service in file.service:
            for method in service.method:
                operations += _operations(method)
                if _is_checked(method.options.Extensions[annotations_pb2.http]):
                    _reach(_short(method.input_type), messages, reached)
    lines = ["local OPERATIONS = {", *operations, "}", "local MESSAGES = {"]
    used_enums: set[str] = set()
    for name in sorted(reached):
        lines.append(f"  {name} = {{")
        for field in messages[name].field:
            # In brackets, because some fields are named as Lua names its own: in, not.
            lines.append(f'    ["{field.name}"] = {_field(messages[name], field)},')
            if field.type == _Field.TYPE_ENUM:
                used_enums.add(_short(field.type_name))
        lines.append("  },")
    lines += ["}", "local ENUMS = {"]
    for name in sorted(used_enums):
        names = [value.name for value in enums[name].value]
        values = ", ".join(f"{one} = true" for one in names)
        lines.append(f'  {name} = {{ names = {{ {values} }}, shown = "{_shown(names)}" }},')
    lines += ["}", ""]
    script = files("turnout.edge").joinpath("strict_json.lua").read_text(encoding="utf-8")
    return "\n".join(lines) + script


def _operations(method: descriptor_pb2.MethodDescriptorProto) -> list[str]:
    """Return the Lua table of each HTTP rule."""
    rule = method.options.Extensions[annotations_pb2.http]
    found = []
    for binding in (rule, *rule.additional_bindings):
        if not _is_checked(binding):
            continue
        verb = str(binding.WhichOneof("pattern"))
        path = str(getattr(binding, verb))
        variables = re.findall(r"{(\w+)}", path)
        # Lua's patterns escape with %, and have no other special character in our paths.
        pattern = re.sub(r"{\w+}", "([^/]+)", re.sub(r"[.\-+]", r"%\g<0>", path))
        in_path = ", ".join(f"{name} = true" for name in variables)
        in_order = ", ".join(f'"{name}"' for name in variables)
        found.append(
            f'  {{ verb = "{verb.upper()}", pattern = "^{pattern}$", '
            f'message = "{_short(method.input_type)}", in_path = {{ {in_path} }}, '
            f"variables = {{ {in_order} }}, has_body = {str(bool(binding.body)).lower()} }},"
        )
    return found


def _is_checked(rule: annotations_pb2.http_pb2.HttpRule) -> bool:
    """Whether the whole request stands in path and query or in the body, and not in raw bytes."""
    return rule.body in ("", "*") and rule.WhichOneof("pattern") is not None


def _shown(names: list[str]) -> str:
    """Return the names that a caller may mean, without the zero that says nothing."""
    said = names[1:]
    if len(said) <= _NAMES_SHOWN:
        return ", ".join(said)
    return ", ".join(said[:4]) + " and so on, see /openapi.yaml"


def _reach(
    name: str, messages: dict[str, descriptor_pb2.DescriptorProto], reached: set[str]
) -> None:
    if name in reached or name not in messages:
        return
    reached.add(name)
    for field in messages[name].field:
        _reach(_short(field.type_name), messages, reached)


def _field(message: descriptor_pb2.DescriptorProto, field: _Field) -> str:
    """Return the Lua table that describes one field."""
    short = _short(field.type_name)
    for nested in message.nested_type:
        if nested.name == short and nested.options.map_entry:
            return f'{{ kind = "map", value = {{ kind = "{_KINDS[nested.field[1].type]}" }} }}'
    if field.type_name == ".google.protobuf.Timestamp":
        kind = 'kind = "moment"'
    elif field.type_name == ".google.protobuf.ListValue":
        kind = 'kind = "texts"'
    elif field.type == _Field.TYPE_MESSAGE:
        kind = f'kind = "message", of = "{short}"'
    elif field.type == _Field.TYPE_ENUM:
        kind = f'kind = "enum", of = "{short}"'
    else:
        kind = f'kind = "{_KINDS[field.type]}"'
    many = ", list = true" if field.label == _Field.LABEL_REPEATED else ""
    choice = ""
    if field.HasField("oneof_index") and not field.proto3_optional:
        choice = f', oneof = "{message.oneof_decl[field.oneof_index].name}"'
    return f"{{ {kind}{many}{choice} }}"


def _short(full_name: str) -> str:
    return full_name.rpartition(".")[2]
