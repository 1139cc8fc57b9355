"""Between our minor units and a provider's, where the provider counts decimals otherwise.

Amounts in Turnout are ISO 4217 minor units; a few providers keep their own exponents for a few
currencies. Nothing is ever rounded: what cannot be said exactly is not said.
"""

from __future__ import annotations

from collections.abc import Mapping

from turnout.domain.money import EXPONENTS


class AmountScale:
    """One provider's way to write amounts.

    Args:
        exponents: the provider's decimals, only where they differ from ISO 4217.
        steps: multiples that the provider demands, in its own units, by currency.
    """

    def __init__(self, exponents: Mapping[str, int], steps: Mapping[str, int]) -> None:
        self._shift = {code: own - EXPONENTS[code] for code, own in exponents.items()}
        self._factor: dict[str, int] = {
            code: int("1" + "0" * abs(shift)) for code, shift in self._shift.items()
        }
        self._steps = dict(steps)
        self._special = frozenset(self._shift) | frozenset(self._steps)

    def to_provider(self, amount_minor: int, currency: str) -> int | None:
        """Our amount in the provider's units, or None where the provider cannot express it."""
        if currency not in self._special:
            return amount_minor
        shift = self._shift.get(currency, 0)
        if shift >= 0:
            scaled, rest = amount_minor * self._factor.get(currency, 1), 0
        else:
            scaled, rest = divmod(amount_minor, self._factor[currency])
        if rest or scaled % self._steps.get(currency, 1):
            return None
        return scaled

    def from_provider(self, amount: int, currency: str) -> int | None:
        """The provider's amount in ours, or None where our units cannot express it."""
        shift = self._shift.get(currency, 0)
        if shift == 0:
            return amount
        if shift < 0:
            return amount * self._factor[currency]
        scaled, rest = divmod(amount, self._factor[currency])
        return None if rest else scaled
