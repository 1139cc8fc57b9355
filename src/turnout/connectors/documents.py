"""A provider's JSON read without trust: what is not of the type that it should be is not there."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def text(source: Json, name: str) -> str:
    """A string field, or nothing."""
    value = source.get(name)
    return value if type(value) is str else ""


def table(source: Json, name: str) -> Json:
    """An object field, or an empty object."""
    value = source.get(name)
    return value if isinstance(value, dict) else {}
