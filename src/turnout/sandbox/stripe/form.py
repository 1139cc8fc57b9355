"""Stripe's request encoding: `a[b][]=c` forms in, checked and typed values out.

Stripe refuses what it does not know, and connectors break on that first; so the check is strict.
A table says which parameters an operation has; what the description has but this simulator does
not act on is refused by name instead of being ignored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_plus

from turnout.sandbox.stripe.errors import StripeError

_NUMBER = re.compile(r"-?[0-9]{1,18}")

INT = "integer"
BOOL = "boolean"
STR = "string"
MAP = "map"
STRS = "strings"
# A table of parameters: name -> kind, a tuple of allowed words, or a nested table.
Table = Mapping[str, Any]


def decode(text: str) -> dict[str, Any]:
    """The form as nested dictionaries; lists only where the form says `[]`."""
    out: dict[str, Any] = {}
    if not text:
        return out
    for pair in text.split("&"):
        name, _, value = pair.partition("=")
        if "%" in value or "+" in value:
            value = unquote_plus(value)
        if "%" in name or "+" in name:
            name = unquote_plus(name)
        if "[" not in name:
            out[name] = value
            continue
        _put(out, name, value)
    return out


def _put(out: dict[str, Any], name: str, value: str) -> None:
    head, _, rest = name.partition("[")
    parts = [head, *rest.rstrip("]").split("][")]
    node: Any = out
    for depth, part in enumerate(parts[:-1], start=2):
        child = node.get(part) if isinstance(node, dict) else None
        if not isinstance(child, dict | list):
            child = [] if parts[-1] == "" and depth == len(parts) else {}
            if not isinstance(node, dict):
                raise StripeError.bad_request(f"Invalid array at {name[:80]}", None, head)
            node[part] = child
        node = child
    if isinstance(node, list):
        node.append(value)
    else:
        node[parts[-1]] = value


def check(params: Mapping[str, Any], table: Table, prefix: str = "") -> dict[str, Any]:
    """The parameters with their types.

    Raises:
        StripeError: 400 with the parameter's name; nothing has begun.
    """
    out: dict[str, Any] = {}
    for name, value in params.items():
        kind = table.get(name)
        shown = f"{prefix}[{name}]" if prefix else name
        if kind is None:
            raise StripeError.bad_request(
                f"Received unknown parameter: {shown}", "parameter_unknown", shown
            )
        out[name] = _convert(value, kind, shown)
    return out


def _convert(value: Any, kind: Any, shown: str) -> Any:
    if kind is STR:
        if not isinstance(value, str):
            raise StripeError.bad_request(f"Invalid string at {shown}", None, shown)
        return value
    if kind is INT:
        if not isinstance(value, str) or not _NUMBER.fullmatch(value):
            raise StripeError.bad_request(
                f"Invalid integer at {shown}", "parameter_invalid_integer", shown
            )
        return int(value)
    if kind is MAP:
        return _texts(value, shown)
    if isinstance(kind, tuple):
        if value not in kind:
            raise StripeError.bad_request(
                f"Invalid {shown}: must be one of {', '.join(kind)}", None, shown
            )
        return value
    if kind is BOOL:
        if value not in ("true", "false"):
            raise StripeError.bad_request(f"Invalid boolean at {shown}", None, shown)
        return value == "true"
    if kind is STRS:
        return _strings(value, shown)
    if kind is None or not isinstance(value, dict):
        raise StripeError.bad_request(f"Invalid object at {shown}", None, shown)
    return check(value, kind, shown)


def _texts(value: Any, shown: str) -> dict[str, str]:
    if value == "":
        return {}
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise StripeError.bad_request(f"Invalid object at {shown}", None, shown)
    if len(value) > 50 or any(len(k) > 40 or len(v) > 500 for k, v in value.items()):
        raise StripeError.bad_request(
            f"{shown}: at most 50 keys of 40 characters, values of 500", None, shown
        )
    return value


def _strings(value: Any, shown: str) -> list[str]:
    if isinstance(value, dict) and all(key.isdigit() for key in value):
        value = [value[key] for key in sorted(value, key=int)]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise StripeError.bad_request(f"Invalid array at {shown}", None, shown)
    return value
