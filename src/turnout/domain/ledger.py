"""Double entry: every movement of money is a transaction whose postings sum to zero.

Amounts are signed minor units: debits positive, credits negative. `authorized` and its contra are
memorandum books (a hold is no money yet). `captured` less `refunded` is what the provider owes,
`payable` what is owed to the merchant, and `refunds_in_transit` what was asked back and not yet
confirmed. Entries are only ever added; a mistake is mended by another transaction.

Only what is known is posted. What a provider keeps as its fee and what is on its way to the bank
stand in its settlement reports alone, so `fees` and `payouts_in_transit` stay empty until those
are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Book(StrEnum):
    """The books kept for each merchant, account and currency."""

    AUTHORIZED = "authorized"
    AUTHORIZED_CONTRA = "authorized_contra"
    CAPTURED = "captured"
    REFUNDED = "refunded"
    REFUNDS_IN_TRANSIT = "refunds_in_transit"
    FEES = "fees"
    PAYOUTS_IN_TRANSIT = "payouts_in_transit"
    PAYABLE = "payable"


class LedgerKind(StrEnum):
    """Why a ledger transaction was made."""

    AUTHORIZATION = "authorization"
    CAPTURE = "capture"
    RELEASE = "release"
    CAPTURE_FAILED = "capture_failed"
    REFUND_REQUESTED = "refund_requested"
    REFUND = "refund"
    REFUND_FAILED = "refund_failed"
    REFUND_REVERSED = "refund_reversed"


# Not frozen: that would make each of a payment's six cost two and a half times as much.
@dataclass(slots=True)
class Posting:
    """One line: a book and a signed amount in minor units; never changed."""

    book: Book
    amount_minor: int


@dataclass(slots=True)
class LedgerTransaction:
    """Postings that belong together. `operation_id` and `kind` name its cause, once."""

    transaction_id: str
    merchant_id: str
    account_id: str
    payment_id: str
    operation_id: str
    kind: LedgerKind
    currency: str
    postings: tuple[Posting, ...]
    created_at_ns: int


@dataclass(frozen=True, slots=True)
class Balance:
    """What one book of one account holds in one currency, minor units.

    Attributes:
        debits_minor: the sum of all positive postings.
        credits_minor: the sum of all negative postings, without the sign.
        postings: how many there were.
    """

    merchant_id: str
    account_id: str
    book: Book
    currency: str
    live: bool
    debits_minor: int
    credits_minor: int
    postings: int

    @property
    def balance_minor(self) -> int:
        """Debits less credits."""
        return self.debits_minor - self.credits_minor


_B = Book

# For an amount of one: the sign of each book's posting. Each row sums to zero.
RECIPES: dict[LedgerKind, tuple[tuple[Book, int], ...]] = {
    LedgerKind.AUTHORIZATION: ((_B.AUTHORIZED, 1), (_B.AUTHORIZED_CONTRA, -1)),
    LedgerKind.CAPTURE: (
        (_B.AUTHORIZED, -1),
        (_B.AUTHORIZED_CONTRA, 1),
        (_B.CAPTURED, 1),
        (_B.PAYABLE, -1),
    ),
    LedgerKind.RELEASE: ((_B.AUTHORIZED, -1), (_B.AUTHORIZED_CONTRA, 1)),
    LedgerKind.CAPTURE_FAILED: (
        (_B.AUTHORIZED, 1),
        (_B.AUTHORIZED_CONTRA, -1),
        (_B.CAPTURED, -1),
        (_B.PAYABLE, 1),
    ),
    LedgerKind.REFUND_REQUESTED: ((_B.PAYABLE, 1), (_B.REFUNDS_IN_TRANSIT, -1)),
    LedgerKind.REFUND: ((_B.REFUNDS_IN_TRANSIT, 1), (_B.REFUNDED, -1)),
    LedgerKind.REFUND_FAILED: ((_B.REFUNDS_IN_TRANSIT, 1), (_B.PAYABLE, -1)),
    # Puts the refund back in transit; REFUND_FAILED, posted with it, gives it back to the
    # merchant. So each kind takes back exactly one other, and can be followed by it again.
    LedgerKind.REFUND_REVERSED: ((_B.REFUNDED, 1), (_B.REFUNDS_IN_TRANSIT, -1)),
}


def postings(kind: LedgerKind, amount_minor: int) -> tuple[Posting, ...]:
    """The postings of one movement.

    Args:
        kind: what happened.
        amount_minor: how much, positive.

    Raises:
        ValueError: the amount is not positive; a defect, never a caller's fault.
    """
    if amount_minor <= 0:
        raise ValueError(f"a {kind} of {amount_minor} cannot be posted")
    return tuple([Posting(book, sign * amount_minor) for book, sign in RECIPES[kind]])
