"""The providers' own record of money, which tests ask instead of believing ours.

Every movement is booked twice, from one place to another: a hold comes from the payer, a capture
moves the hold to the merchant, a release gives it back. So the three places of an account and
currency always sum to zero, and the books can say by themselves whether a payer was charged twice
under one of our references, at one provider or across all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from turnout.sandbox.currencies import major

PAYER, HOLD, MERCHANT = "payer", "hold", "merchant"

# kind -> (from, to)
MOVES = {
    "authorized": (PAYER, HOLD),
    "captured": (HOLD, MERCHANT),
    "released": (HOLD, PAYER),
    "capture_failed": (MERCHANT, PAYER),
    "refunded": (MERCHANT, PAYER),
    "refund_failed": (PAYER, MERCHANT),
}


class BooksRefused(ValueError):
    """A movement that no provider would make, for example a capture above the hold."""


@dataclass(slots=True)
class Entry:
    """One movement of money on a charge."""

    sequence: int
    at_s: float
    kind: str
    amount_minor: int
    operation_id: str


@dataclass(slots=True)
class Charge:
    """One attempt to charge a card, with what became of its money, in minor units."""

    provider: str
    account: str
    payment_id: str
    reference: str
    aliases: tuple[str, ...]
    currency: str
    exponent: int
    amount_minor: int
    last4: str
    declined: str | None = None
    authorized_minor: int = 0
    held_minor: int = 0
    captured_minor: int = 0
    released_minor: int = 0
    refunded_minor: int = 0
    entries: list[Entry] = field(default_factory=list)

    @property
    def net_captured_minor(self) -> int:
        """What the payer has paid and not got back."""
        return self.captured_minor - self.refunded_minor

    def view(self) -> dict[str, Any]:
        """The charge as the control API shows it."""
        return {
            "provider": self.provider,
            "account": self.account,
            "payment_id": self.payment_id,
            "reference": self.reference,
            "aliases": list(self.aliases),
            "currency": self.currency,
            "amount_minor": self.amount_minor,
            "amount_major": major(self.amount_minor, self.exponent),
            "last4": self.last4,
            "declined": self.declined,
            "authorized_minor": self.authorized_minor,
            "held_minor": self.held_minor,
            "captured_minor": self.captured_minor,
            "captured_major": major(self.captured_minor, self.exponent),
            "released_minor": self.released_minor,
            "refunded_minor": self.refunded_minor,
            "net_captured_minor": self.net_captured_minor,
            "entries": [
                {
                    "sequence": entry.sequence,
                    "at_s": entry.at_s,
                    "kind": entry.kind,
                    "amount_minor": entry.amount_minor,
                    "operation_id": entry.operation_id,
                }
                for entry in self.entries
            ],
        }


class Books:
    """All charges of all providers, found by payment id and by our references."""

    def __init__(self, charges_max: int) -> None:
        self._charges_max = charges_max
        self._sequence = 0
        self._evicted = 0
        self._by_payment: dict[tuple[str, str], list[Charge]] = {}
        self._by_reference: dict[str, list[Charge]] = {}
        self._charges: dict[int, Charge] = {}
        self._next = 0
        self._places: dict[tuple[str, str, str], dict[str, int]] = {}

    def clear(self) -> None:
        """Forget everything."""
        self.__init__(self._charges_max)  # type: ignore[misc]

    def open(self, charge: Charge) -> None:
        """Begin the record of a charge, before any money moves."""
        self._charges[self._next] = charge
        self._next += 1
        self._by_payment.setdefault((charge.provider, charge.payment_id), []).append(charge)
        for name in dict.fromkeys((charge.reference, *charge.aliases)):
            self._by_reference.setdefault(name, []).append(charge)
        if len(self._charges) > self._charges_max:
            self._evict()

    def move(
        self, charge: Charge, kind: str, amount_minor: int, at_s: float, operation_id: str
    ) -> None:
        """Book one movement.

        Raises:
            BooksRefused: the place it comes from does not hold that much.
        """
        source, target = MOVES[kind]
        if amount_minor <= 0:
            raise BooksRefused(f"{kind} of {amount_minor} on {charge.payment_id}: not positive")
        if kind == "authorized":
            charge.authorized_minor += amount_minor
            charge.held_minor += amount_minor
        elif kind in ("captured", "released"):
            if amount_minor > charge.held_minor:
                raise BooksRefused(f"{kind} {amount_minor} of {charge.held_minor} held")
            charge.held_minor -= amount_minor
            if kind == "captured":
                charge.captured_minor += amount_minor
            else:
                charge.released_minor += amount_minor
        elif kind == "refund_failed":
            charge.refunded_minor -= amount_minor
        else:
            if amount_minor > charge.net_captured_minor:
                raise BooksRefused(f"{kind} {amount_minor} of {charge.net_captured_minor} left")
            if kind == "refunded":
                charge.refunded_minor += amount_minor
            else:
                charge.captured_minor -= amount_minor
                charge.released_minor += amount_minor
        self._sequence += 1
        charge.entries.append(Entry(self._sequence, at_s, kind, amount_minor, operation_id))
        key = (charge.provider, charge.account, charge.currency)
        places = self._places.get(key)
        if places is None:
            places = self._places[key] = {PAYER: 0, HOLD: 0, MERCHANT: 0}
        places[source] -= amount_minor
        places[target] += amount_minor

    def find(
        self,
        provider: str | None = None,
        account: str | None = None,
        reference: str | None = None,
        payment_id: str | None = None,
    ) -> Iterator[Charge]:
        """Charges that match all that is given, oldest first."""
        if payment_id is not None and provider is not None:
            found = self._by_payment.get((provider, payment_id), [])
        elif reference is not None:
            found = self._by_reference.get(reference, [])
        else:
            found = list(self._charges.values())
        for charge in found:
            if (
                (provider is None or charge.provider == provider)
                and (account is None or charge.account == account)
                and (payment_id is None or charge.payment_id == payment_id)
                and (reference is None or reference in (charge.reference, *charge.aliases))
            ):
                yield charge

    def summary(self, provider: str | None = None) -> dict[str, Any]:
        """Totals by account and currency, and the references with more than one charge."""
        places = [p for key, p in self._places.items() if provider in (None, key[0])]
        totals = [
            {"provider": key[0], "account": key[1], "currency": key[2], **sums}
            for key, sums in sorted(self._places.items())
            if provider in (None, key[0])
        ]
        counts = {"charges": 0, "declined": 0, "authorized": 0, "captured": 0, "open_holds": 0}
        charged: dict[str, int] = {}
        for charge in self.find(provider=provider):
            counts["charges"] += 1
            counts["declined"] += charge.declined is not None
            counts["authorized"] += charge.authorized_minor > 0
            counts["open_holds"] += charge.held_minor > 0
            if charge.net_captured_minor > 0:
                counts["captured"] += 1
                charged[charge.reference] = charged.get(charge.reference, 0) + 1
        return {
            "totals": totals,
            "counts": counts,
            "evicted": self._evicted,
            "balanced": all(sum(sums.values()) == 0 for sums in places),
            "charged_more_than_once": sorted(r for r, n in charged.items() if n > 1),
        }

    def position(self, reference: str) -> dict[str, Any]:
        """What all providers together hold, took and gave back under one reference."""
        charges = list(self.find(reference=reference))
        fields = ("authorized", "held", "captured", "released", "refunded", "net_captured")
        by_currency: dict[str, dict[str, int]] = {}
        for charge in charges:
            sums = by_currency.setdefault(charge.currency, {f"{f}_minor": 0 for f in fields})
            for name in sums:
                sums[name] += getattr(charge, name)
        return {
            "reference": reference,
            "charges": len(charges),
            "declined": sum(charge.declined is not None for charge in charges),
            "authorized": sum(charge.authorized_minor > 0 for charge in charges),
            "charged": sum(charge.net_captured_minor > 0 for charge in charges),
            "holding_or_charged": sum(
                charge.held_minor > 0 or charge.net_captured_minor > 0 for charge in charges
            ),
            "by_currency": by_currency,
        }

    def _evict(self) -> None:
        # The oldest goes; totals keep what it moved, so sums stay true for any length of run.
        key = next(iter(self._charges))
        charge = self._charges.pop(key)
        self._evicted += 1
        _drop(self._by_payment, (charge.provider, charge.payment_id), charge)
        for name in dict.fromkeys((charge.reference, *charge.aliases)):
            _drop(self._by_reference, name, charge)


_K = TypeVar("_K")


def _drop(index: dict[_K, list[Charge]], name: _K, charge: Charge) -> None:
    rest = [other for other in index.get(name, ()) if other is not charge]
    if rest:
        index[name] = rest
    else:
        index.pop(name, None)
