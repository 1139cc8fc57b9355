"""Copying and reading the domain's dataclasses, worked out once from their annotations.

`copy.deepcopy` costs some 100 us for a payment and a hand-written list of fields falls behind the
domain; so a small function is built for each type when a store is imported, and a field that is
added to the domain is copied and read back without a change here.

The encoding is orjson's own of a dataclass (an object by field name, enums by value), except that
bytes are hexadecimal and that fields as empty as by default are left out. Dataclasses are handed
to orjson as dicts and tuples all the same: it reads a dataclass with slots some four times slower
than `plainer`'s functions and the dict together.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from functools import cached_property
from operator import attrgetter
from typing import Any

import orjson

type_hints = typing.get_type_hints


def _without_none(hint: Any) -> Any:
    """`T` of `T | None`; anything else as it is."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        rest = [one for one in typing.get_args(hint) if one is not type(None)]
        if len(rest) != 1:
            raise TypeError(f"a field of type {hint} cannot be stored")
        return rest[0]
    return hint


def _copied(hint: Any, value: str, scope: dict[str, Any]) -> str | None:
    """The expression that copies `value`; None where sharing it does no harm."""
    inner = _without_none(hint)
    origin = typing.get_origin(inner)
    text: str | None = None
    if isinstance(inner, type) and is_dataclass(inner):
        # Frozen dataclasses of the domain hold only what cannot change.
        if not inner.__dataclass_params__.frozen:  # type: ignore[attr-defined]
            scope[inner.__name__] = copier(inner)
            text = f"{inner.__name__}({value})"
    elif origin is list:
        item = _copied(typing.get_args(inner)[0], "one", scope)
        # Most lists of a unit are empty, and a comprehension is a call.
        text = f"[*{value}]" if item is None else f"[{item} for one in {value}] if {value} else []"
    elif origin is dict:
        if _copied(typing.get_args(inner)[1], "one", scope) is not None:
            raise TypeError(f"a dict that holds what can change cannot be stored: {hint}")
        text = f"{{**{value}}}"
    if text is None or inner is hint:
        return text
    return f"None if {value} is None else {text}"


def _empty(one: Field[Any], scope: dict[str, Any]) -> str:
    """The expression that makes a field's default.

    Raises:
        TypeError: it has none.
    """
    made = one.default_factory is not MISSING
    if not made and one.default is MISSING:
        raise TypeError(f"{one.name} has no default")
    scope[f"empty_{one.name}"] = one.default_factory if made else one.default
    return f"empty_{one.name}{'()' if made else ''}"


def copier(kind: type, without: tuple[str, ...] = ()) -> Callable[[Any], Any]:
    """A function that copies a `kind` and all in it that can change.

    The function is generated, as dataclasses' own are, and sets one field after the other: half
    of a loop over the fields, two thirds of a call with so many arguments, and a simulation
    copies millions of rows.

    Args:
        kind: a dataclass that is not frozen and that nothing has to be done after making it.
        without: fields that a copy has empty; each has a default.
    """
    hints = type_hints(kind)
    scope: dict[str, Any] = {"kind": kind, "new": object.__new__}
    lines = ["def copy(v):", " c = new(kind)"]
    for one in fields(kind):
        if one.name in without:
            text = _empty(one, scope)
        else:
            value = f"v.{one.name}"
            text = _copied(hints[one.name], value, scope) or value
        lines.append(f" c.{one.name} = {text}")
    exec("\n".join([*lines, " return c"]), scope)
    made: Callable[[Any], Any] = scope["copy"]
    return made


def _read(hint: Any, value: str, scope: dict[str, Any]) -> str | None:
    """The expression that reads `value`, decoded JSON; None where it is the same."""
    inner = _without_none(hint)
    origin = typing.get_origin(inner)
    if isinstance(inner, type) and origin is None:
        name = f"read_{inner.__name__}"
        if is_dataclass(inner):
            scope[name] = reader(inner)
            return f"{name}({value})"
        if issubclass(inner, Enum):
            # A dict lookup is a tenth of what calling the enum costs.
            scope[name] = {member.value: member for member in inner}
            return f"{name}[{value}]"
        if issubclass(inner, bytes):
            return f"bytes.fromhex({value})"
    if origin in (list, tuple):
        item = _read(typing.get_args(inner)[0], "one", scope)
        if item is not None:
            text = f"[{item} for one in {value}] if {value} else []"
            return text if origin is list else f"tuple({text})"
        return None if origin is list else f"tuple({value})"
    return None


def _read_cell(hint: Any, value: str, scope: dict[str, Any]) -> str:
    """The expression that reads `value`, which a column holds."""
    inner = _without_none(hint)
    if isinstance(inner, type) and typing.get_origin(inner) is None and not is_dataclass(inner):
        if issubclass(inner, Enum):
            return f"None if {value} is None else {_read(inner, value, scope)}"
        return f"None if {value} is None else {value} != 0" if inner is bool else value
    scope["loads"] = orjson.loads
    text = _read(inner, "v", scope)
    if text is None:
        return f"None if {value} is None else loads({value})"
    return f"None if {value} is None or (v := loads({value})) is None else {text}"


def _made(kind: type, texts: dict[str, str], scope: dict[str, Any]) -> list[str]:
    """The lines that make a `kind` and return it, one field after the other as in `copier`.

    Args:
        kind: a dataclass.
        texts: the expression of each field; the others get their defaults.
        scope: the function's.
    """
    parts = {
        one.name: texts[one.name] if one.name in texts else _empty(one, scope)
        for one in fields(kind)
    }
    scope["kind"], scope["new"] = kind, object.__new__
    frozen = kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    if frozen or hasattr(kind, "__post_init__"):
        return [f" return kind({', '.join(f'({text})' for text in parts.values())})"]
    sets = [f" c.{name} = {text}" for name, text in parts.items()]
    return [" c = new(kind)", *sets, " return c"]


def _required(one: Field[Any]) -> bool:
    return one.default is MISSING and one.default_factory is MISSING


def _read_field(one: Field[Any], hint: Any, scope: dict[str, Any]) -> str:
    """The expression that reads a field of `d`, a decoded JSON object."""
    text, value = _read(hint, "v", scope), f"d[{one.name!r}]"
    if one.default_factory is not MISSING:
        # None stands for one that is made anew: records share nothing that can change.
        return f"{_empty(one, scope)} if (v := {value}) is None else {text or 'v'}"
    return value if text is None else f"None if (v := {value}) is None else {text}"


def reader(kind: type) -> Callable[[dict[str, Any]], Any]:
    """A function that makes a `kind` of its decoded JSON object.

    Fields that are missing get their defaults: those that `plainer` leaves out, and those that an
    older version did not know. Keys that are no fields are refused, and so is a record without
    what has no default.

    Args:
        kind: a dataclass.
    """
    hints = type_hints(kind)
    defaults = {
        one.name: one.default if one.default_factory is MISSING else None
        for one in fields(kind)
        if not _required(one)
    }

    def refuse(document: dict[str, Any]) -> None:
        raise TypeError(f"not the fields of {kind.__name__}: {sorted(document)}")

    empty = orjson.loads(orjson.dumps(defaults, bytes.hex))
    scope: dict[str, Any] = {"empty": empty, "refuse": refuse}
    texts = {one.name: _read_field(one, hints[one.name], scope) for one in fields(kind)}
    # As many keys as fields, and each field's: so there is no other.
    lines = [
        "def read(d):",
        f" if len(d) != {len(texts)}:",
        "  d = {**empty, **d}",
        f"  if len(d) != {len(texts)}: refuse(d)",
    ]
    exec("\n".join([*lines, *_made(kind, texts, scope)]), scope)
    made: Callable[[dict[str, Any]], Any] = scope["read"]
    return made


def _plain(hint: Any, value: str, scope: dict[str, Any]) -> str | None:
    """The expression that makes `value` what orjson writes fast; None where it is that already."""
    inner = _without_none(hint)
    origin = typing.get_origin(inner)
    text: str | None = None
    if inner is bytes:
        text = f"{value}.hex()"
    elif isinstance(inner, type) and is_dataclass(inner):
        scope[inner.__name__] = plainer(inner)
        text = f"{inner.__name__}({value})"
    elif origin in (list, tuple):
        item = _plain(typing.get_args(inner)[0], "one", scope)
        text = None if item is None else f"[{item} for one in {value}]"
    if text is None or inner is hint:
        return text
    return f"None if {value} is None else {text}"


def _cell(hint: Any, value: str, scope: dict[str, Any]) -> str:
    """The expression that makes `value` what a column holds: itself, or JSON."""
    inner = _without_none(hint)
    is_leaf = isinstance(inner, type) and not is_dataclass(inner)
    if is_leaf and typing.get_origin(inner) is None:
        return value
    scope["dumps"] = orjson.dumps
    text = f"dumps({_plain(inner, value, scope) or value}).decode()"
    return text if inner is hint else f"None if {value} is None else {text}"


def _there(one: Field[Any], hint: Any) -> str:
    """The condition on which a field, as `x`, has to be written; empty where it always has."""
    if hint is not _without_none(hint):
        return "x is not None" if one.default is None else ""
    default = one.default if one.default_factory is MISSING else one.default_factory()
    return "" if _required(one) or default else "x"


def plainer(kind: type) -> Callable[[Any], dict[str, Any]]:
    """A function that makes a dict of a `kind`, and of all dataclasses in it.

    Fields that are as empty as by default are left out, for they are half of what merchants say
    of a payment; `reader` puts them back.

    Args:
        kind: a dataclass.
    """
    scope: dict[str, Any] = {}
    hints = type_hints(kind)
    always, lines = [], []
    for one in fields(kind):
        name, hint, when = one.name, hints[one.name], _there(one, hints[one.name])
        if when:
            text = _plain(hint, "x", scope) or "x"
            lines += [f" x = v.{name}", f" if {when}: d[{name!r}] = {text}"]
        else:
            always.append(f"{name!r}: {_plain(hint, f'v.{name}', scope) or f'v.{name}'}")
    lines = ["def plain(v):", f" d = {{{', '.join(always)}}}", *lines, " return d"]
    exec("\n".join(lines), scope)
    made: Callable[[Any], dict[str, Any]] = scope["plain"]
    return made


class Row:
    """A dataclass as the columns of a table: one column for each field, in the field's order.

    Fields that are dataclasses, lists or dicts are columns that hold JSON.

    Attributes:
        names: the columns.
        blobs: those that hold bytes.
        values: all fields of an instance as a tuple.
        cells: all columns of an instance as a tuple of what SQLite takes.
    """

    def __init__(
        self, kind: type, without: tuple[str, ...] = (), nulls: tuple[str, ...] = ()
    ) -> None:
        """Takes a dataclass.

        Args:
            kind: the dataclass.
            without: fields that are no columns.
            nulls: columns that `cells` leaves null, whatever the instance holds.
        """
        hints = type_hints(kind)
        self.kind = kind
        self.names = tuple(one.name for one in fields(kind) if one.name not in without)
        self.blobs = frozenset(name for name in self.names if hints[name] is bytes)
        self.values: Callable[[Any], tuple[Any, ...]] = attrgetter(*self.names)
        scope: dict[str, Any] = {}
        parts = [
            "None" if name in nulls else _cell(hints[name], f"v.{name}", scope)
            for name in self.names
        ]
        self.cells: Callable[[Any], tuple[Any, ...]] = eval(
            f"lambda v: ({', '.join(parts)},)", scope
        )

    @cached_property
    def read(self) -> Callable[[tuple[Any, ...]], Any]:
        """Makes an instance of the columns' values, in the columns' order.

        Raises:
            TypeError: a field without a default is no column, so these rows cannot be read.
        """
        hints = type_hints(self.kind)
        scope: dict[str, Any] = {}
        texts = {name: _read_cell(hints[name], f"f_{name}", scope) for name in self.names}
        lines = ["def read(row):", f" {', '.join(f'f_{name}' for name in self.names)}, = row"]
        exec("\n".join([*lines, *_made(self.kind, texts, scope)]), scope)
        made: Callable[[tuple[Any, ...]], Any] = scope["read"]
        return made
