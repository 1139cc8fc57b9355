"""The members of an enum, for places where a payment's way asks for many of them.

In Python 3.11 a member does not stand in its class: `Kind.MEMBER` fails first and is then found by
the metaclass's `__getattr__`, at twenty times the cost of an attribute (950 instructions, not 47).
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
