"""The providers' own API descriptions, found through TURNOUT_SPECS.

They are not part of this repository. Where the variable is not set, the contract tests are skipped
and say so.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from openapi_schema_validator import OAS30Validator, OAS31Validator

Json = dict[str, Any]


def folder() -> Path:
    """Where the descriptions are; skips the test, loudly, where nobody says."""
    found = os.environ.get("TURNOUT_SPECS")
    if not found:
        pytest.skip(
            "TURNOUT_SPECS is not set: the connectors are NOT checked against the providers' own "
            "descriptions in this run"
        )
    path = Path(found)
    assert path.is_dir(), f"TURNOUT_SPECS names no folder: {found}"
    return path


@cache
def load(path: Path) -> Any:
    """A JSON file, read once."""
    return json.loads(path.read_text(encoding="utf-8"))


class Description:
    """One OpenAPI document: its operations, and whether a body fits them."""

    def __init__(self, document: Json) -> None:
        self.document = document
        self._validator = (
            OAS30Validator if str(document["openapi"]).startswith("3.0") else OAS31Validator
        )
        self._checks: dict[str, Any] = {}
        self._paths: list[tuple[re.Pattern[str], str]] = [
            (re.compile(re.sub(r"\{[^}]+\}", r"[^/?]+", path) + r"\Z"), path)
            for path in sorted(document.get("paths", {}), key=lambda one: "{" in one)
        ]

    def path_of(self, actual: str) -> str:
        """The description's path for an actual one."""
        for pattern, path in self._paths:
            if pattern.match(actual):
                return path
        raise AssertionError(f"the description has no path for {actual}")

    def operation(self, method: str, actual: str) -> Json:
        """The description of one operation."""
        path = self.path_of(actual)
        operations = self.document["paths"][path]
        assert method.lower() in operations, f"{method} {path} is not described"
        found: Json = operations[method.lower()]
        return found

    def errors(self, schema: Json, value: Any, name: str = "") -> list[str]:
        """What does not fit, in words that never quote a value: bodies hold test cards only, but
        a habit is a habit."""
        key = name or json.dumps(schema, sort_keys=True)
        check = self._checks.get(key)
        if check is None:
            root = {"allOf": [schema], "components": self.document.get("components", {})}
            check = self._checks[key] = self._validator(root)
        return [
            f"{'/'.join(str(part) for part in error.absolute_path)}: {error.validator}"
            for error in check.iter_errors(value)
        ]


def stripe() -> Description:
    """Stripe's description with expandable fields cut to ids: the one that validates."""
    return _description(folder() / "stripe" / "openapi-unexpanded.json")


def adyen() -> Description:
    """Adyen's Checkout API."""
    return _description(folder() / "adyen" / "checkout-v72.json")


def adyen_webhooks() -> Json:
    """Adyen's standard webhooks."""
    document: Json = load(folder() / "adyen" / "webhooks-v1.json")
    return document


@cache
def _description(path: Path) -> Description:
    return Description(load(path))


def decode_form(text: str, schema: Json) -> Json:
    """`a[b][]=c` as nested values, typed as the schema says: forms know only text."""
    nested: Json = {}
    for name, value in parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text)):
        parts = [part.rstrip("]") for part in name.split("[")]
        node: Any = nested
        for part, following in pairwise(parts):
            node = node.setdefault(part, [] if following == "" else {})
        if isinstance(node, list):
            node.append(value)
        else:
            assert parts[-1] not in node, f"{name} was sent twice"
            node[parts[-1]] = value
    typed = _typed(nested, schema)
    assert isinstance(typed, dict)
    return typed


def _typed(value: Any, schema: Json) -> Any:
    options = schema.get("anyOf")
    if options:
        for option in options:
            typed = _typed(value, option)
            if _is(typed, option.get("type", "")):
                return typed
        return value
    kind = schema.get("type")
    if isinstance(value, dict):
        known = schema.get("properties", {})
        return {name: _typed(one, known.get(name, {})) for name, one in value.items()}
    if isinstance(value, list):
        return [_typed(one, schema.get("items", {})) for one in value]
    if kind == "integer" and re.fullmatch(r"-?[0-9]+", value):
        return int(value)
    if kind == "boolean" and value in ("true", "false"):
        return value == "true"
    return value


def _is(value: Any, kind: str) -> bool:
    kinds: dict[str, Any] = {
        "integer": int, "boolean": bool, "string": str, "object": dict, "array": list
    }  # fmt: skip
    return kind in kinds and isinstance(value, kinds[kind])


def query_of(url: str) -> tuple[str, str]:
    """Path and query of a URL."""
    split = urlsplit(url)
    return split.path, split.query


def examples(content: Json, document: Json) -> Iterator[tuple[str, Any]]:
    """The examples of one media type, named."""
    for name, example in content.get("examples", {}).items():
        found = example
        if "$ref" in example:
            found = document["components"]["examples"][example["$ref"].rsplit("/", 1)[1]]
        if "value" in found:
            yield name, found["value"]
    if "example" in content:
        yield "example", content["example"]
