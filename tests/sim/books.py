"""The providers' own books: what truly happened to money, whatever anybody was told.

One `Charge` is one approved authorization under one of our operation ids, with what was captured,
released and refunded of it and under which operation. Two charges that hold or took money for the
same payment at the same time are written down at the moment they meet.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random


def issuer_code(mind: str, random: Random) -> str:
    """An issuer's reason, where it gives one; some forbid another attempt."""
    roll = random.random()
    if roll < 0.4:
        return ""
    if mind == "soft" or roll < 0.8:
        return random.choice(("05", "51", "61", "65"))
    return random.choice(("04", "41", "43"))


@dataclass(slots=True)
class Charge:
    """One approved authorization.

    Attributes:
        done: what was booked under each operation id: (kind, amount), kinds as ours.
        undone: refunds and captures that the scheme took back later.
    """

    account_id: str
    operation_id: str
    payment_id: str
    currency: str
    authorized_minor: int
    captured_minor: int = 0
    refunded_minor: int = 0
    released_minor: int = 0
    done: dict[str, tuple[str, int]] = field(default_factory=dict)
    undone: set[str] = field(default_factory=set)

    @property
    def held_minor(self) -> int:
        """What is still held of it."""
        return self.authorized_minor - self.captured_minor - self.released_minor

    @property
    def live(self) -> bool:
        """Whether the payer's money is held or taken by it."""
        return self.held_minor > 0 or self.captured_minor > self.refunded_minor


class Books:
    """All charges at all providers."""

    def __init__(self) -> None:
        self.charges: dict[str, Charge] = {}
        self.of_payment: dict[str, list[Charge]] = {}
        self.by_operation: dict[str, Charge] = {}
        self.faults: list[str] = []
        self.asked_at: dict[str, str] = {}
        # How often issuers have declined each card, as its scheme counts it.
        self.declines: Counter[str] = Counter()

    def asked(self, operation_id: str, account_id: str) -> None:
        """An operation was asked for at an account: always the same one."""
        first = self.asked_at.setdefault(operation_id, account_id)
        if first != account_id:
            self.faults.append(f"I10: {operation_id} was sent to {first} and to {account_id}")

    def authorize(self, charge: Charge) -> None:
        """An approval."""
        if charge.operation_id in self.charges:
            self.faults.append(f"I1: {charge.operation_id} was charged twice at its provider")
        others = self.of_payment.setdefault(charge.payment_id, [])
        for other in others:
            if other.live:
                self.faults.append(
                    f"I1: {charge.payment_id} holds money as {other.operation_id} and as "
                    f"{charge.operation_id}"
                )
        others.append(charge)
        self.charges[charge.operation_id] = charge
        self.by_operation[charge.operation_id] = charge
        charge.done[charge.operation_id] = ("authorize", charge.authorized_minor)

    def move(self, charge: Charge, kind: str, amount_minor: int, operation_id: str) -> None:
        """A capture, release or refund under one of our operations (or the provider's own)."""
        if operation_id in charge.done and operation_id != charge.operation_id:
            self.faults.append(f"I1: {operation_id} ({kind}) was booked twice")
        if kind == "capture":
            charge.captured_minor += amount_minor
        elif kind == "cancel":
            charge.released_minor += amount_minor
        else:
            charge.refunded_minor += amount_minor
        if operation_id != charge.operation_id:
            charge.done[operation_id] = (kind, amount_minor)
            self.by_operation[operation_id] = charge
        if charge.held_minor < 0 or charge.refunded_minor > charge.captured_minor:
            self.faults.append(f"I3: the provider moved more than there was: {charge}")

    def undo(self, charge: Charge, operation_id: str) -> None:
        """The scheme takes a refund or a capture back after it was told as done."""
        kind, amount_minor = charge.done[operation_id]
        if kind == "refund":
            charge.refunded_minor -= amount_minor
        else:
            charge.captured_minor -= amount_minor
        charge.undone.add(operation_id)
