"""Copying and reading the domain's dataclasses, worked out once from their annotations.

`copy.deepcopy` costs some 100 us for a payment and a hand-written list of fields falls behind the
domain; so a small function is built for each type when a store is imported, and a field that is
added to the domain is copied and read back without a change here.

The encoding is orjson's own of a dataclass (an object by field name, enums by value), except that
bytes are hexadecimal. Dataclasses are handed to orjson as dicts and tuples all the same: it reads
a dataclass with slots some four times slower than `plainer`'s functions and the dict together.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
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
            made_empty = one.default_factory is not MISSING
            scope[f"empty_{one.name}"] = one.default_factory if made_empty else one.default
            text = f"empty_{one.name}{'()' if made_empty else ''}"
        else:
            value = f"v.{one.name}"
            text = _copied(hints[one.name], value, scope) or value
        lines.append(f" c.{one.name} = {text}")
    exec("\n".join([*lines, " return c"]), scope)
    made: Callable[[Any], Any] = scope["copy"]
    return made


def _read_list(item: Callable[[Any], Any], make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda values: make([item(value) for value in values])


def _reader_of(hint: Any) -> Callable[[Any], Any] | None:
    """How to turn decoded JSON into this type; None where it is the same."""
    hint = _without_none(hint)
    if isinstance(hint, type):
        if is_dataclass(hint):
            return reader(hint)
        if issubclass(hint, Enum):
            # A dict lookup is a tenth of what calling the enum costs.
            return {member.value: member for member in hint}.__getitem__
        if issubclass(hint, bytes):
            return bytes.fromhex
    origin = typing.get_origin(hint)
    if origin in (list, tuple):
        inner = _reader_of(typing.get_args(hint)[0])
        if inner is not None:
            return _read_list(inner, origin)
        return None if origin is list else tuple
    return None


def reader(kind: type) -> Callable[[dict[str, Any]], Any]:
    """A function that makes a `kind` of its decoded JSON object, which it may change.

    Args:
        kind: a dataclass.
    """
    hints = type_hints(kind)
    steps = [(one.name, _reader_of(hints[one.name])) for one in fields(kind)]
    needed = [(name, step) for name, step in steps if step is not None]

    def read(document: dict[str, Any]) -> Any:
        for name, step in needed:
            part = document.get(name)
            if part is not None:
                document[name] = step(part)
        return kind(**document)

    return read


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


def plainer(kind: type) -> Callable[[Any], dict[str, Any]]:
    """A function that makes a dict of a `kind`, and of all dataclasses in it.

    Args:
        kind: a dataclass.
    """
    names = [one.name for one in fields(kind)]
    scope: dict[str, Any] = {}
    hints = type_hints(kind)
    parts = [
        f"{name!r}: {_plain(hints[name], f'v.{name}', scope) or f'v.{name}'}" for name in names
    ]
    made: Callable[[Any], dict[str, Any]] = eval(f"lambda v: {{{', '.join(parts)}}}", scope)
    return made


def _column_reader(hint: Any) -> Callable[[Any], Any] | None:
    """How to turn a column's value into a field of this type; None where it is the same."""
    hint = _without_none(hint)
    if hint is bool:
        return bool
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _reader_of(hint)
    if isinstance(hint, type) and not is_dataclass(hint):
        return None
    inner = _reader_of(hint)
    if inner is None:
        return orjson.loads
    found = inner
    return lambda text: found(orjson.loads(text))


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
        steps = [(index, _column_reader(hints[name])) for index, name in enumerate(self.names)]
        self._steps = [(index, step) for index, step in steps if step is not None]

    def read(self, row: tuple[Any, ...]) -> Any:
        """An instance of the columns' values, in the columns' order."""
        parts = list(row)
        for index, step in self._steps:
            part = parts[index]
            if part is not None:
                parts[index] = step(part)
        return self.kind(*parts)
