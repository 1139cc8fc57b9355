"""Identifiers in the providers' shapes.

A salt from the seed keeps two runs of the sandbox apart (a restarted sandbox must not hand out an
id that Turnout already stored), a counter keeps the ids of one run apart, and both make a run
repeatable.
"""

from __future__ import annotations

from random import Random

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CAPITALS = "BCDFGHJKLMNPQRSTVWXZ"


class IdMint:
    """Hands out ids that no other id of this run equals."""

    __slots__ = ("_adyen_salt", "_count", "_stripe_salt")

    def __init__(self, rng: Random) -> None:
        self._stripe_salt = "".join(rng.choices(_BASE62, k=10))
        self._adyen_salt = "".join(rng.choices(_CAPITALS, k=8))
        self._count = 0

    def stripe(self, prefix: str) -> str:
        """An id such as `pi_3...`: the prefix, an underscore and 24 letters and digits."""
        self._count += 1
        return f"{prefix}_3{self._stripe_salt}{self._count:013d}"

    def adyen(self) -> str:
        """A pspReference: 16 capital letters and digits."""
        self._count += 1
        return f"{self._adyen_salt}{self._count:08d}"
