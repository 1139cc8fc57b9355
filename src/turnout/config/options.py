"""How an option is declared: once, with its type, default, unit, limits and meaning.

Reading, checking, the reference in docs/operating/configuration.md and the dataclass that the
rest of the house sees all come from that one declaration.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")
_KEY = "turnout.config"


class ConfigError(Exception):
    """The configuration cannot be used. `problems` has everything that is wrong with it."""

    def __init__(self, origin: str, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        lines = "".join(f"\n  {problem}" for problem in self.problems)
        super().__init__(f"{origin} cannot be used:{lines}")


class Wrong(Exception):
    """One value cannot be used; the message does not repeat the path, and never a secret."""


@dataclass(frozen=True, slots=True)
class Declared:
    """What is said of one option besides its name, type and default.

    Attributes:
        doc: one or two sentences for the operator.
        unit: of a number.
        least, most: limits of a number, inclusive.
        choices: the words that a string may be.
        required: it has no default.
    """

    doc: str
    unit: str = ""
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()
    required: bool = False


def option(
    default: T,
    doc: str,
    *,
    unit: str = "",
    least: float | None = None,
    most: float | None = None,
    choices: tuple[str, ...] = (),
) -> T:
    """A field of a section with its default."""
    metadata = {_KEY: Declared(doc, unit, least, most, choices)}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def required(doc: str, *, choices: tuple[str, ...] = ()) -> Any:
    """A field of a table that must be given."""
    return dataclasses.field(metadata={_KEY: Declared(doc, choices=choices, required=True)})


def declared(field: dataclasses.Field[Any]) -> Declared:
    """What was said of a field by `option` or `required`."""
    found = field.metadata[_KEY]
    assert isinstance(found, Declared)
    return found


def default_of(field: dataclasses.Field[Any]) -> object:
    """The default of a field that is not required."""
    if field.default is not dataclasses.MISSING:
        return field.default
    assert field.default_factory is not dataclasses.MISSING
    return field.default_factory()


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A suggestion for a word that is not known, or the known words."""
    words = sorted(known)
    close = difflib.get_close_matches(word, words, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"known are {', '.join(words)}"


def plain(number: float) -> str:
    """A number for people: 67,108,864 and not 6.71e+07."""
    return f"{int(number):,}" if float(number).is_integer() else f"{number:,g}"
