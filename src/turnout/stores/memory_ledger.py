"""The ledger in memory, with its balances, and its audit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from turnout.domain.audit import PaymentSums, Verdict, audit
from turnout.domain.ledger import Balance, LedgerKind, LedgerTransaction
from turnout.domain.payment import Payment
from turnout.ports import BalanceFilter, LedgerFilter
from turnout.stores.filters import within
from turnout.stores.laws import RecordRefused, ledger_fault, posted_already


class MemoryLedger:
    """Everything that was posted.

    Attributes:
        transactions: oldest first.
    """

    def __init__(self) -> None:
        self.transactions: list[LedgerTransaction] = []
        self._live: dict[str, bool] = {}
        self._posted: dict[str, dict[LedgerKind, int]] = {}
        self._balances: dict[tuple[str, str, str, str, bool], Balance] = {}

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
        """Adds a transaction that was checked."""
        self.transactions.append(replace(one))
        self._live[one.transaction_id] = live
        counts = self._posted.setdefault(one.operation_id, {})
        counts[one.kind] = counts.get(one.kind, 0) + 1
        for line in one.postings:
            key = (one.merchant_id, one.account_id, one.currency, line.book.value, live)
            old = self._balances.get(key) or Balance(
                one.merchant_id, one.account_id, line.book, one.currency, live, 0, 0, 0
            )
            self._balances[key] = replace(
                old,
                debits_minor=old.debits_minor + max(line.amount_minor, 0),
                credits_minor=old.credits_minor + max(-line.amount_minor, 0),
                postings=old.postings + 1,
            )

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
            for _, one in sorted(self._balances.items())
            if one.merchant_id == merchant_id
            and one.live is want.live
            and want.account_id in ("", one.account_id)
            and want.currency in ("", one.currency)
            and (not want.books or one.book in want.books)
        ]

    def audit(self, payments: Iterable[Payment]) -> Verdict:
        """See `Store.audit_ledger`."""
        return audit(
            sorted(self.transactions, key=lambda one: one.payment_id),
            [_sums(one) for one in sorted(payments, key=lambda one: one.payment_id)],
            self._balances.values(),
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
