"""The members of an enum, for modules that stand on a payment's way.

In Python 3.11 the metaclass of enums has a `__getattr__` of its own, so every `Kind.MEMBER` takes
the slow way through it, at twenty times the cost of an attribute (950 instructions, not 47). Such
a module says `_Kind = members(OperationKind)` and then `_Kind.CAPTURE`; all others say
`OperationKind.CAPTURE`.
"""

from __future__ import annotations

from enum import Enum
from typing import TypeVar, cast

E = TypeVar("E", bound=Enum)


def members(kind: type[E]) -> type[E]:
    """An object with the enum's members as attributes; for naming them, and nothing else."""
    found = kind.__members__
    plain = type(kind.__name__, (), {"__slots__": tuple(found)})()
    for name, member in found.items():
        setattr(plain, name, member)
    return cast("type[E]", plain)
