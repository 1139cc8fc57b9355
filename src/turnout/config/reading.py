"""From TOML values to declared options; every problem is noted with its path, none stops the rest.

Whoever starts a system wants all that is wrong with the file at once, not one thing for each try.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

from turnout.config.options import Declared, Wrong, declared, default_of, did_you_mean, plain
from turnout.config.references import SecretSource
from turnout.domain.accounts import AmountLimit, Secret

D = TypeVar("D")
_LARGEST = 2**63 - 1


@dataclasses.dataclass(slots=True)
class Reader:
    """What reading needs and gathers.

    Attributes:
        room: the directory that relative paths start from.
        problems: what was wrong, each with its path.
        warnings: what works and is probably not meant.
    """

    room: Path
    secrets: SecretSource
    problems: list[str] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)

    def wrong(self, path: str, message: str) -> None:
        """Notes a problem."""
        self.problems.append(f"{path}: {message}")

    def table(self, kind: type[D], raw: object, path: str) -> D:
        """Reads one table; what is wrong is noted and replaced by its default."""
        values: dict[str, Any] = {}
        given = raw if isinstance(raw, Mapping) else {}
        if not isinstance(raw, Mapping):
            self.wrong(path, f"must be a table, not {_called(raw)}")
        declared_fields = dataclasses.fields(kind)  # type: ignore[arg-type]
        fields = {field.name: field for field in declared_fields}
        for key in given:
            if key not in fields:
                self.wrong(
                    f"{path}.{key}", f"there is no such option; {did_you_mean(key, fields)}"
                )
        hints = typing.get_type_hints(kind)
        for name, field in fields.items():
            said = declared(field)
            if name in given:
                values[name] = self._value(hints[name], given[name], f"{path}.{name}", said)
            elif said.required:
                self.wrong(f"{path}.{name}", f"is missing: {said.doc}")
                values[name] = _EMPTY[typing.get_origin(hints[name]) or hints[name]]
            else:
                values[name] = default_of(field)
            if isinstance(values[name], Path):
                values[name] = self.room / values[name]
        return kind(**values)

    def _value(self, hint: Any, raw: object, path: str, said: Declared) -> Any:
        try:
            value = self._convert(hint, raw, path, said)
            _check(value, said)
            return value
        except Wrong as wrong:
            self.wrong(path, str(wrong))
            return _EMPTY[typing.get_origin(hint) or hint]

    def _convert(self, hint: Any, raw: object, path: str, said: Declared) -> Any:
        if hint in _SCALARS:
            return _SCALARS[hint](raw)
        if hint is Secret:
            return self.secrets.secret(raw, path)
        if hint is AmountLimit:
            return _limit(raw)
        if dataclasses.is_dataclass(hint):
            return self.table(typing.cast(type, hint), raw, path)
        origin, inner = typing.get_origin(hint), typing.get_args(hint)
        if origin is tuple or origin is frozenset:
            if not isinstance(raw, Sequence) or isinstance(raw, str):
                raise Wrong(f"must be an array, not {_called(raw)}")
            return origin(
                self._value(inner[0], one, f"{path}[{at}]", said) for at, one in enumerate(raw)
            )
        if not isinstance(raw, Mapping):
            raise Wrong(f"must be a table, not {_called(raw)}")
        return {
            str(key): self._value(inner[1], one, f"{path}.{key}", said) for key, one in raw.items()
        }


def _string(raw: object) -> str:
    if not isinstance(raw, str):
        raise Wrong(f"must be a string in quotes, not {_called(raw)}")
    return raw


def _integer(raw: object) -> int:
    if not isinstance(raw, int) or isinstance(raw, bool):
        raise Wrong(f"must be a whole number, not {_called(raw)}")
    if abs(raw) > _LARGEST:
        raise Wrong("is too large")
    return raw


def _number(raw: object) -> float:
    if not isinstance(raw, int | float) or isinstance(raw, bool) or not math.isfinite(raw):
        raise Wrong(f"must be a number, not {_called(raw)}")
    return float(raw)


def _truth(raw: object) -> bool:
    if not isinstance(raw, bool):
        raise Wrong(f"must be true or false, not {_called(raw)}")
    return raw


def _path(raw: object) -> Path:
    text = _string(raw)
    if not text or "\0" in text:
        raise Wrong("must name a file")
    return Path(text).expanduser()


def _path_or_none(raw: object) -> Path | None:
    return None if raw == "" else _path(raw)


def _limit(raw: object) -> AmountLimit:
    if not isinstance(raw, Mapping):
        raise Wrong(f"must be a table with min_minor and max_minor, not {_called(raw)}")
    for key in raw:
        if key not in ("min_minor", "max_minor"):
            raise Wrong(
                f"has an unknown key {key}; {did_you_mean(key, ('min_minor', 'max_minor'))}"
            )
    low, high = _integer(raw.get("min_minor", 0)), _integer(raw.get("max_minor", 0))
    if low < 0 or high < 0 or (high and low > high):
        raise Wrong("min_minor and max_minor must not be negative, nor min_minor above max_minor")
    return AmountLimit(low, high)


def _check(value: object, said: Declared) -> None:
    if isinstance(value, bool):
        return
    if isinstance(value, int | float):
        unit = f" {said.unit}" if said.unit else ""
        if said.least is not None and value < said.least:
            raise Wrong(f"is {plain(value)}; the least is {plain(said.least)}{unit}")
        if said.most is not None and value > said.most:
            raise Wrong(f"is {plain(value)}; the most is {plain(said.most)}{unit}")
    elif isinstance(value, str):
        if said.choices and value not in said.choices:
            raise Wrong(f"is {value[:40]!r}; {did_you_mean(value, said.choices)}")
    elif _are_secrets(value) and len(value) > (said.most or math.inf):
        raise Wrong(f"has {len(value)} entries; the most is {said.most:g}")


def _are_secrets(value: object) -> TypeGuard[tuple[Secret, ...]]:
    return isinstance(value, tuple) and bool(value) and isinstance(value[0], Secret)


def _called(raw: object) -> str:
    """A value's kind for people. Never the value: it may be a secret in the wrong place."""
    for kind, name in _NAMES:
        if isinstance(raw, kind):
            return name
    return type(raw).__name__


_NAMES: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "true or false"),
    (int, "a whole number"),
    (float, "a number"),
    (str, "a string"),
    (Mapping, "a table"),
    (list, "an array"),
)

_SCALARS: dict[Any, Callable[[object], Any]] = {
    str: _string,
    int: _integer,
    float: _number,
    bool: _truth,
    bool | None: _truth,
    Path: _path,
    Path | None: _path_or_none,
}

# What stands in for a value that was wrong, so that the rest can be checked too.
_EMPTY: dict[Any, Any] = {
    str: "",
    int: 0,
    float: 0.0,
    bool: False,
    Path: Path(),
    Path | None: None,
    typing.get_origin(Path | None): None,
    tuple: (),
    frozenset: frozenset(),
    Mapping: {},
    Secret: Secret(""),
    AmountLimit: AmountLimit(),
}
