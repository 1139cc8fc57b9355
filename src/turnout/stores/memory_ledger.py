"""The ledger in memory, with its balances, and its audit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from turnout.domain.audit import PaymentSums, Verdict, audit
from turnout.domain.ledger import Balance, Book, LedgerKind, LedgerTransaction
from turnout.domain.payment import Payment
from turnout.ports import BalanceFilter, LedgerFilter
from turnout.stores.filters import within
from turnout.stores.laws import RecordRefused, ledger_fault, posted_already

_Place = tuple[str, str, str, str, bool]


class MemoryLedger:
    """Everything that was posted.

    Attributes:
        transactions: oldest first.
    """

    def __init__(self) -> None:
        self.transactions: list[LedgerTransaction] = []
        self._live: dict[str, bool] = {}
        self._posted: dict[str, dict[LedgerKind, int]] = {}
        # Debits, credits and postings of each book; `_balance` makes a Balance of them.
        self._sums: dict[_Place, list[int]] = {}

    def check(self, fresh: Iterable[LedgerTransaction]) -> None:
        """Holds transactions against the laws of the ledger.

        Raises:
            RecordRefused: one of them breaks one.
        """
        counts: dict[str, dict[LedgerKind, int]] = {}
        for one in fresh:
            cause = one.operation_id
            count = counts.setdefault(cause, dict(self._posted.get(cause, {})))
            fault = ledger_fault(one)
            if not fault and posted_already(one.kind, count):
                fault = f"ledger_cause: {one.kind} of {cause} is posted already"
            if fault:
                raise RecordRefused(fault)
            count[one.kind] = count.get(one.kind, 0) + 1

    def post(self, one: LedgerTransaction, live: bool) -> None:
        """Adds a transaction that was checked, and that nobody else will touch again."""
        self.transactions.append(one)
        self._live[one.transaction_id] = live
        counts = self._posted.setdefault(one.operation_id, {})
        counts[one.kind] = counts.get(one.kind, 0) + 1
        for line in one.postings:
            place = (one.merchant_id, one.account_id, one.currency, line.book.value, live)
            sums = self._sums.get(place)
            if sums is None:
                sums = self._sums[place] = [0, 0, 0]
            amount_minor = line.amount_minor
            sums[amount_minor < 0] += abs(amount_minor)
            sums[2] += 1

    def page(self, merchant_id: str, want: LedgerFilter) -> list[LedgerTransaction]:
        """See `Store.list_ledger`."""
        found = [
            one
            for one in self.transactions
            if one.merchant_id == merchant_id and self._wanted(one, want)
        ]
        found.sort(key=lambda one: (one.created_at_ns, one.transaction_id), reverse=True)
        return [replace(one) for one in found[: want.limit]]

    def _wanted(self, one: LedgerTransaction, want: LedgerFilter) -> bool:
        return (
            self._live[one.transaction_id] is want.live
            and within(one.created_at_ns, want.created_from_ns, want.created_to_ns)
            and want.payment_id in ("", one.payment_id)
            and want.account_id in ("", one.account_id)
            and want.currency in ("", one.currency)
            and (not want.kinds or one.kind in want.kinds)
            and (not want.books or any(line.book in want.books for line in one.postings))
            and (want.before is None or (one.created_at_ns, one.transaction_id) < want.before)
        )

    def balances(self, merchant_id: str, want: BalanceFilter) -> list[Balance]:
        """See `Store.ledger_balances`."""
        return [
            one
            for one in self._balances()
            if one.merchant_id == merchant_id
            and one.live is want.live
            and want.account_id in ("", one.account_id)
            and want.currency in ("", one.currency)
            and (not want.books or one.book in want.books)
        ]

    def _balances(self) -> list[Balance]:
        return [
            Balance(merchant_id, account_id, Book(book), currency, live, *sums)
            for (merchant_id, account_id, currency, book, live), sums in sorted(self._sums.items())
        ]

    def audit(self, payments: Iterable[Payment]) -> Verdict:
        """See `Store.audit_ledger`."""
        return audit(
            sorted(self.transactions, key=lambda one: one.payment_id),
            [_sums(one) for one in sorted(payments, key=lambda one: one.payment_id)],
            self._balances(),
        )


def _sums(payment: Payment) -> PaymentSums:
    return PaymentSums(
        payment.payment_id,
        payment.merchant_id,
        payment.currency,
        payment.live,
        payment.authorized_minor,
        payment.captured_minor,
        payment.refunded_minor,
        payment.pending_refund_minor,
        payment.released_minor,
    )
