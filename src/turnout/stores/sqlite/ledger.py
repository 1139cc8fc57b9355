"""The ledger and the reviews, read from the record."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw

from turnout.domain.audit import Difference, PaymentSums, Verdict, audit
from turnout.domain.ledger import Balance, LedgerTransaction
from turnout.domain.payment import Payment
from turnout.ports import BalanceFilter, LedgerFilter, ReviewFilter
from turnout.stores.shapes import Row
from turnout.stores.sqlite import opening
from turnout.stores.sqlite.reads import SELECT_WHOLE, Where, read_payments
from turnout.stores.sqlite.units import LEDGER

BALANCE = Row(Balance)
_SUMS = Row(PaymentSums)

_POSTINGS = """(SELECT json_group_array(json_object('book', book, 'amount_minor', amount_minor))
    FROM (SELECT book, amount_minor FROM ledger_postings AS p
        WHERE p.transaction_id = t.transaction_id ORDER BY line))"""
_TRANSACTIONS = "SELECT {} FROM ledger_transactions AS t".format(
    ", ".join(_POSTINGS if name == "postings" else f"t.{name}" for name in LEDGER.names)
)
_LIVE = "(SELECT live FROM payments AS p WHERE p.payment_id = t.payment_id)"
_BALANCES = f"SELECT {', '.join(BALANCE.names)} FROM ledger_balances"
_ALL_SUMS = f"SELECT {', '.join(_SUMS.names)} FROM payments ORDER BY payment_id"


def list_ledger(
    connection: apsw.Connection, merchant_id: str, want: LedgerFilter
) -> list[LedgerTransaction]:
    """A page of ledger transactions, newest first."""
    where = Where()
    where.add(f"t.merchant_id = ? AND coalesce({_LIVE}, 0) = ?", merchant_id, want.live)
    where.created("t.", want.created_from_ns, want.created_to_ns)
    where.equal("t.payment_id", want.payment_id)
    where.equal("t.account_id", want.account_id)
    where.equal("t.currency", want.currency)
    where.among("t.kind", want.kinds)
    if want.books:
        marks = ", ".join("?" * len(want.books))
        where.add(
            "EXISTS (SELECT 1 FROM ledger_postings AS p "
            f"WHERE p.transaction_id = t.transaction_id AND p.book IN ({marks}))",
            *map(str, want.books),
        )
    if want.before is not None:
        where.add("(t.created_at_ns, t.transaction_id) < (?, ?)", *want.before)
    sql = f"""{_TRANSACTIONS} WHERE {where}
        ORDER BY t.created_at_ns DESC, t.transaction_id DESC LIMIT ?"""
    rows = connection.execute(sql, (*where.values, want.limit))
    return [LEDGER.read(row) for row in rows]


def balances(connection: apsw.Connection, merchant_id: str, want: BalanceFilter) -> list[Balance]:
    """A merchant's balances."""
    where = Where()
    where.add("merchant_id = ? AND live = ?", merchant_id, want.live)
    where.equal("account_id", want.account_id)
    where.equal("currency", want.currency)
    where.among("book", want.books)
    sql = f"{_BALANCES} WHERE {where} ORDER BY account_id, currency, book"
    return [BALANCE.read(row) for row in connection.execute(sql, where.values)]


def audit_record(connection: apsw.Connection) -> Verdict:
    """Recomputes the ledger; one transaction, so that all of it is of one moment."""
    try:
        with connection:
            verdict = audit(
                _each(connection, f"{_TRANSACTIONS} ORDER BY t.payment_id, t.rowid", LEDGER),
                _each(connection, _ALL_SUMS, _SUMS),
                _each(connection, _BALANCES, BALANCE),
            )
    except _Unreadable as error:
        return Verdict(difference=error.difference)
    return verdict


def audit_file(path: Path) -> Verdict:
    """Recomputes the ledger of a record, whether a process has it open or not. Only reads.

    Raises:
        CannotOpen: it is no record that this program can read, or it is damaged.
    """
    connection = opening.connect_inspector(path, opening.RECORD)
    try:
        return audit_record(connection)
    except apsw.Error as error:
        raise opening.cannot(path, opening.RECORD, error) from error
    finally:
        connection.close()


class _Unreadable(Exception):
    """A row says what no code of this version can have written."""

    def __init__(self, difference: Difference) -> None:
        super().__init__(str(difference))
        self.difference = difference


def _each(connection: apsw.Connection, sql: str, row: Row) -> Iterator[Any]:
    for values in connection.execute(sql):
        try:
            one = row.read(values)
        except (KeyError, ValueError, TypeError) as error:
            raise _Unreadable(
                Difference(str(values[0]), "words of its row", "known ones", str(error))
            ) from error
        yield one


def list_reviews(connection: apsw.Connection, want: ReviewFilter) -> list[Payment]:
    """A page of payments under review, oldest first."""
    where = Where()
    where.add(
        "q.payment_id IN (SELECT payment_id FROM payments WHERE needs_review = 1 "
        "UNION SELECT payment_id FROM operations WHERE state = 'needs_review')"
    )
    where.equal("q.merchant_id", want.merchant_id)
    where.equal("q.payment_id", want.payment_id)
    if want.account_id:
        where.add(
            "EXISTS (SELECT 1 FROM operations AS a "
            "WHERE a.payment_id = q.payment_id AND a.account_id = ?)",
            want.account_id,
        )
    if want.live is not None:
        where.add("q.live = ?", want.live)
    if want.after is not None:
        where.add("(q.created_at_ns, q.payment_id) > (?, ?)", *want.after)
    page = f"""SELECT q.payment_id FROM payments AS q WHERE {where}
        ORDER BY q.created_at_ns, q.payment_id LIMIT ?"""
    sql = f"""{SELECT_WHOLE} WHERE p.payment_id IN ({page})
        ORDER BY p.created_at_ns, p.payment_id, o.sequence"""
    return read_payments(connection.execute(sql, (*where.values, want.limit)))
