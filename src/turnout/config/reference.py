"""The reference of all options, written from their declarations."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from turnout.config.options import Declared, declared, default_of, plain
from turnout.config.settings import SECTIONS, TABLES
from turnout.domain.accounts import AmountLimit, Secret

_HEAD = """\
# Configuration

<!-- Generated from src/turnout/config by scripts/docs.py; edit the declarations there. -->

Turnout reads one file, `turnout.toml` ([TOML](https://toml.io)). `turnout init` makes one for
local work. Relative paths start from the directory of the file. Everything is checked at the
start: all that is wrong is told at once, each with its path, for example
`accounts[2].credentials.api_key`, and nothing starts. An option that does not exist is an error.

**Environment.** An option of a section can also be set as `TURNOUT_<SECTION>__<KEY>`, for example
`TURNOUT_SERVER__PORT=50052`; it wins over the file. Lists of numbers are written with commas.
Tables and the arrays of tables below stand in the file only.

**Secrets** never stand in the file. They are named as `env:NAME` (an environment variable) or
`file:PATH` (a file; surrounding white space is cut off), and a plain one is refused. So the file
can be committed, copied and shown. A secret file that everybody can read is warned of.

**Reload.** SIGHUP reads the file again and takes over merchants, profiles, accounts, API keys and
`[routing]` without a restart. What else has changed is told and waits for one. A file that cannot
be used changes nothing.

**Versions.** What decides about payments is kept in the record as a numbered version, without
secrets, and each payment names the version that it was made under.
"""

_PARTIES = """\

## Merchants, profiles, accounts, API keys

These are arrays of tables: write `[[accounts]]` above each. An organisation owns merchants; a
merchant is a business that is paid; a profile is its settings for one shop or region; an account
is its credentials at one provider. Ids are yours, stay for ever, and stand in payments and
webhook addresses.

Accounts, profiles and keys are either for test or for live payments, and never mix: a profile's
accounts are all of one kind, and a test key reaches test accounts only.
"""


def reference() -> str:
    """All of docs/operating/configuration.md."""
    parts = [_HEAD]
    for name, kind in SECTIONS.items():
        parts.append(f"\n## [{name}]\n\n{_doc(kind)}\n\n{''.join(_rows(kind))}")
    parts.append(_PARTIES)
    for name, kind in TABLES.items():
        parts.append(f"\n### [[{name}]]\n\n{_doc(kind)}\n\n{''.join(_rows(kind))}")
        parts += _inner(name, kind)
    return "".join(parts)


def _inner(name: str, kind: type) -> Iterator[str]:
    """The tables within a table, each under its own heading."""
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        hint, path = hints[field.name], f"{name}.{field.name}"
        inner = typing.get_args(hint)
        if inner and dataclasses.is_dataclass(inner[0]) and inner[0] is not AmountLimit:
            hint, head = inner[0], f"[[{path}]]"
        else:
            head = f"[{path}]"
        if dataclasses.is_dataclass(hint):
            table = typing.cast(type, hint)
            yield f"\n#### {head}\n\n{_doc(table)}\n\n{''.join(_rows(table))}"
            yield from _inner(path, table)


def _doc(kind: type) -> str:
    return inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0]


def _rows(kind: type) -> Iterator[str]:
    hints = typing.get_type_hints(kind)
    yield "| option | type | default | meaning |\n|---|---|---|---|\n"
    for field in dataclasses.fields(kind):
        said = declared(field)
        default = "required" if said.required else _shown(default_of(field))
        meaning = said.doc.replace("|", "\\|") + _limits(said)
        yield f"| `{field.name}` | {_type(hints[field.name], said)} | {default} | {meaning} |\n"


def _limits(said: Declared) -> str:
    if said.choices:
        return f" One of {', '.join(f'`{choice}`' for choice in said.choices)}."
    low = plain(said.least) if said.least is not None else ""
    high = plain(said.most) if said.most is not None else ""
    if low and high:
        return f" From {low} to {high}."
    if low:
        return f" At least {low}."
    return f" At most {high}." if high else ""


def _type(hint: Any, said: Declared) -> str:
    if hint in _SIMPLE:
        return f"{_SIMPLE[hint]}, {said.unit}" if said.unit else _SIMPLE[hint]
    if dataclasses.is_dataclass(hint):
        return "table"
    inner = typing.get_args(hint)
    if typing.get_origin(hint) is Mapping:
        return f"table of {_MANY[inner[1]]}"
    if dataclasses.is_dataclass(inner[0]):
        return "array of tables"
    if typing.get_origin(inner[0]) is tuple:
        return "array of arrays of strings"
    unit = f", {said.unit}" if said.unit else ""
    return f"array of {_MANY[inner[0]]}{unit}"


_SIMPLE = {
    str: "string",
    int: "whole number",
    float: "number",
    bool: "true or false",
    bool | None: "true or false",
    Path: "path",
    Path | None: "path",
}
_MANY = {str: "strings", float: "numbers", Secret: "secrets", AmountLimit: "limits"}


def _shown(default: object) -> str:
    if default is None or default == "" or dataclasses.is_dataclass(default):
        return "empty"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, tuple | frozenset | dict):
        if not default:
            return "empty"
        return ", ".join(f"`{_plain(one)}`" for one in default)
    return f"`{_plain(default)}`"


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) and value < 1e6 else str(value)
