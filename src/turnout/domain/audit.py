"""The ledger recomputed from its beginning, and compared with everything that claims to follow it.

Postings are the source: every transaction is held against its recipe, what a payment's postings
add up to against the sums that the payment shows, and what each book's postings add up to against
the balance that is kept. The first thing that does not fit is named; what comes after a broken
posting would only be its echo.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from turnout.domain.ledger import RECIPES, Balance, Book, LedgerKind, LedgerTransaction


@dataclass(slots=True)
class PaymentSums:
    """What a payment says of itself, minor units."""

    payment_id: str
    merchant_id: str
    currency: str
    live: bool
    authorized_minor: int
    captured_minor: int
    refunded_minor: int
    pending_refund_minor: int
    released_minor: int


@dataclass(frozen=True, slots=True)
class Difference:
    """The first thing that does not fit.

    Attributes:
        place: the transaction, payment or book that it is in.
        what: which figure or rule.
        expected: what the postings, or the rule, say.
        found: what stands there.
    """

    place: str
    what: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.place}: {self.what}: expected {self.expected}, found {self.found}"


@dataclass(slots=True)
class Verdict:
    """What an audit read, and the first difference where there is one."""

    transactions: int = 0
    payments: int = 0
    balances: int = 0
    difference: Difference | None = None


_Key = tuple[str, str, Book, str, bool]


@dataclass(slots=True)
class _Books:
    """What the postings add up to: debits, credits and their count, by book."""

    sums: dict[_Key, list[int]] = field(default_factory=dict)

    def add(self, one: LedgerTransaction, live: bool) -> None:
        for line in one.postings:
            key = (one.merchant_id, one.account_id, line.book, one.currency, live)
            sums = self.sums.setdefault(key, [0, 0, 0])
            sums[0 if line.amount_minor > 0 else 1] += abs(line.amount_minor)
            sums[2] += 1


def audit(
    transactions: Iterable[LedgerTransaction],
    payments: Iterable[PaymentSums],
    balances: Iterable[Balance],
) -> Verdict:
    """Recomputes everything.

    Args:
        transactions: all of them, those of one payment together, by payment id.
        payments: all of them, by payment id.
        balances: all that are kept.
    """
    verdict, books = Verdict(), _Books()
    rest = iter(transactions)
    waiting = next(rest, None)
    for payment in payments:
        verdict.payments += 1
        if waiting is not None and waiting.payment_id < payment.payment_id:
            break
        moved = dict.fromkeys(LedgerKind, 0)
        while waiting is not None and waiting.payment_id == payment.payment_id:
            verdict.transactions += 1
            verdict.difference = _wrong_transaction(waiting, payment)
            if verdict.difference is not None:
                return verdict
            moved[waiting.kind] += abs(waiting.postings[0].amount_minor)
            books.add(waiting, payment.live)
            waiting = next(rest, None)
        verdict.difference = _wrong_payment(payment, moved)
        if verdict.difference is not None:
            return verdict
    if waiting is not None:
        verdict.difference = Difference(
            waiting.transaction_id, "payment", "a payment of the record", waiting.payment_id
        )
        return verdict
    verdict.difference = _wrong_balance(books, balances, verdict)
    return verdict


def _wrong_transaction(one: LedgerTransaction, payment: PaymentSums) -> Difference | None:
    total = sum(line.amount_minor for line in one.postings)
    if total != 0:
        return Difference(one.transaction_id, "sum of its postings", "0", str(total))
    if one.currency != payment.currency:
        return Difference(one.transaction_id, "currency", payment.currency, one.currency)
    if one.merchant_id != payment.merchant_id:
        return Difference(one.transaction_id, "merchant", payment.merchant_id, one.merchant_id)
    amount_minor = abs(one.postings[0].amount_minor) if one.postings else 0
    recipe = sorted((book.value, sign * amount_minor) for book, sign in RECIPES[one.kind])
    posted = sorted((line.book.value, line.amount_minor) for line in one.postings)
    if amount_minor == 0 or recipe != posted:
        return Difference(
            one.transaction_id, f"postings of a {one.kind.value}", _told(recipe), _told(posted)
        )
    return None


def _told(lines: list[tuple[str, int]]) -> str:
    return ", ".join(f"{book} {amount_minor}" for book, amount_minor in lines) or "nothing"


def _wrong_payment(payment: PaymentSums, moved: dict[LedgerKind, int]) -> Difference | None:
    kind = LedgerKind
    reversed_minor = moved[kind.REFUND_REVERSED]
    refunded = moved[kind.REFUND] - reversed_minor
    pending = moved[kind.REFUND_REQUESTED] - moved[kind.REFUND_FAILED] - refunded
    for what, posted, shown in (
        ("authorized_minor", moved[kind.AUTHORIZATION], payment.authorized_minor),
        (
            "captured_minor",
            moved[kind.CAPTURE] - moved[kind.CAPTURE_FAILED],
            payment.captured_minor,
        ),
        ("released_minor", moved[kind.RELEASE], payment.released_minor),
        ("refunded_minor", refunded, payment.refunded_minor),
        ("pending_refund_minor", pending, payment.pending_refund_minor),
    ):
        if posted != shown:
            return Difference(payment.payment_id, what, f"{posted} by its postings", str(shown))
    return None


def _wrong_balance(
    books: _Books, balances: Iterable[Balance], verdict: Verdict
) -> Difference | None:
    left = dict(books.sums)
    for one in balances:
        verdict.balances += 1
        key = (one.merchant_id, one.account_id, one.book, one.currency, one.live)
        posted = left.pop(key, [0, 0, 0])
        shown = [one.debits_minor, one.credits_minor, one.postings]
        if posted != shown:
            return Difference(_named(key), "debits, credits, postings", str(posted), str(shown))
    for key, posted in sorted(left.items()):
        return Difference(_named(key), "debits, credits, postings", str(posted), "no balance")
    return None


def _named(key: _Key) -> str:
    merchant_id, account_id, book, currency, live = key
    return f"{merchant_id} {account_id} {book.value} {currency} {'live' if live else 'test'}"
