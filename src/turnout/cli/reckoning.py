"""Our record against the providers' own books, payment by payment, to the minor unit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from turnout import v1
from turnout.domain.money import exponent

Charge = dict[str, Any]


@dataclass(slots=True)
class Reckoning:
    """What the comparison found.

    Attributes:
        payments, charges: how many were compared.
        held_minor, captured_minor: what both sides agree on, by currency, in minor units.
        differences: what does not agree, for people; empty where all does.
        charged_twice: payments for which providers hold or took money more than once.
    """

    payments: int = 0
    charges: int = 0
    held_minor: dict[str, int] = field(default_factory=dict)
    captured_minor: dict[str, int] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)
    charged_twice: list[str] = field(default_factory=list)


def reckon(payments: Iterable[v1.Payment], charges: Iterable[Charge]) -> Reckoning:
    """Compares payments as the API shows them with charges as the providers booked them."""
    found = Reckoning()
    by_name: dict[str, list[Charge]] = {}
    for charge in charges:
        found.charges += 1
        for name in {charge["reference"], charge["payment_id"], *charge["aliases"]}:
            by_name.setdefault(name, []).append(charge)
    ours: set[int] = set()
    for payment in payments:
        found.payments += 1
        names = [payment.payment_id, *(one.attempt_id for one in payment.attempts)]
        mine = {id(one): one for name in names for one in by_name.get(name, ())}
        ours |= mine.keys()
        _compare(found, payment, list(mine.values()))
    for several in by_name.values():
        for charge in several:
            if id(charge) not in ours and (charge["held_minor"] or charge["net_captured_minor"]):
                ours.add(id(charge))
                found.differences.append(
                    f"{charge['provider']} has money under {charge['reference']!r}, which no "
                    "payment of ours asked for"
                )
    return found


def _compare(found: Reckoning, payment: v1.Payment, charges: list[Charge]) -> None:
    currency = payment.currency
    held = sum(_minor(one, "held_minor", currency) for one in charges)
    taken = sum(_minor(one, "net_captured_minor", currency) for one in charges)
    moved = [one for one in charges if one["held_minor"] or one["net_captured_minor"]]
    if len(moved) > 1:
        found.charged_twice.append(payment.payment_id)
    our_held = payment.capturable_minor
    our_taken = payment.captured_minor - payment.refunded_minor
    status = v1.PaymentStatus.Name(payment.status).removeprefix("PAYMENT_STATUS_").lower()
    if (held, taken) != (our_held, our_taken):
        found.differences.append(
            f"{payment.payment_id} ({status}): the providers hold {held} and took {taken} "
            f"{currency}, our record says {our_held} and {our_taken}"
        )
    found.held_minor[currency] = found.held_minor.get(currency, 0) + held
    found.captured_minor[currency] = found.captured_minor.get(currency, 0) + taken


def _minor(charge: Charge, name: str, currency: str) -> int:
    """An amount of the books in ISO minor units, where the provider counts in others."""
    if charge["currency"].upper() != currency:
        raise ValueError(f"{charge['payment_id']} is in {charge['currency']}, not {currency}")
    theirs = len(charge["amount_major"].partition(".")[2])
    ours = exponent(currency)
    amount = int(charge[name])
    if ours >= theirs:
        return amount * int(10 ** (ours - theirs))
    return amount // int(10 ** (theirs - ours))
