"""The tables keep the laws by themselves: here nobody stands between SQL and the record."""

from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest

from tests.contract.store_units import authorization, make_ledger
from turnout.domain.ledger import LedgerKind
from turnout.domain.operation import OPERATION_TRANSITIONS
from turnout.domain.payment import STARTS, TRANSITIONS
from turnout.ports import UnitOfWork
from turnout.stores.sqlite import SqliteStore


@pytest.fixture
async def shell(tmp_path: Path) -> AsyncIterator[apsw.Connection]:
    """A person's own connection to a record that holds one settled payment."""
    store = SqliteStore(tmp_path / "record.db")
    one = authorization(1)
    await store.commit(one.begin)
    await store.commit(one.settle())
    await store.commit(UnitOfWork(ledger=[make_ledger(one.operation, LedgerKind.RELEASE, 2)]))
    connection = apsw.Connection(str(tmp_path / "record.db"))
    connection.pragma("foreign_keys", True)
    yield connection
    connection.close()
    await store.close()


@pytest.mark.parametrize(
    ("sql", "law"),
    [
        ("UPDATE payments SET status = 'processing'", "payment_transition"),
        ("UPDATE payments SET status = 'nonsense'", "payment_transition"),
        ("UPDATE payments SET captured_minor = authorized_minor + 1", "captured_within"),
        ("UPDATE payments SET pending_capture_minor = 1001", "captured_within"),
        ("UPDATE payments SET refunded_minor = 1", "refunded_within"),
        ("UPDATE payments SET pending_refund_minor = -1", "amount_not_negative"),
        ("UPDATE operations SET state = 'sending'", "operation_transition"),
        ("DELETE FROM payments", "payments_kept"),
        ("DELETE FROM operations", "operations_kept"),
        ("UPDATE operations SET amount_minor = -1", "operation_amount"),
        ("UPDATE ledger_transactions SET currency = 'USD'", "ledger_append_only"),
        ("DELETE FROM ledger_transactions", "ledger_append_only"),
        ("UPDATE ledger_postings SET amount_minor = 0", "ledger_append_only"),
        ("DELETE FROM ledger_postings", "ledger_append_only"),
        (
            "INSERT INTO ledger_postings SELECT transaction_id, 9, 'payable', 0 "
            "FROM ledger_transactions",
            "ledger_append_only",
        ),
        ("INSERT INTO ledger_postings VALUES ('ltx_alone', 0, 'payable', 0)", "FOREIGN KEY"),
        (
            "INSERT INTO ledger_transactions SELECT 'ltx_new', merchant_id, account_id, "
            "payment_id, 'cap_1', 'capture', currency, 1 FROM ledger_transactions LIMIT 1",
            "ledger_zero_sum",
        ),
        (
            "INSERT INTO ledger_postings VALUES ('ltx_new', 0, 'payable', 5), "
            "('ltx_new', 1, 'captured', -4); INSERT INTO ledger_transactions VALUES "
            "('ltx_new', 'm', 'a', 'p', 'cap_1', 'capture', 'EUR', 1)",
            "ledger_zero_sum",
        ),
        (
            "INSERT INTO ledger_postings VALUES ('ltx_new', 0, 'payable', 5), "
            "('ltx_new', 1, 'captured', -5); INSERT INTO ledger_transactions "
            "SELECT 'ltx_new', merchant_id, account_id, payment_id, operation_id, kind, "
            "currency, 1 FROM ledger_transactions WHERE kind = 'authorization'",
            "ledger_cause",
        ),
    ],
)
def test_a_broken_law_is_refused_by_name(shell: apsw.Connection, sql: str, law: str) -> None:
    before = dump(shell)
    with pytest.raises(apsw.ConstraintError, match=law), shell:
        shell.execute(sql)
    assert dump(shell) == before


def dump(connection: apsw.Connection) -> list[object]:
    tables = ("payments", "operations", "ledger_transactions", "ledger_postings")
    return [connection.execute(f"SELECT * FROM {one}").fetchall() for one in tables]


def test_a_balanced_transaction_is_taken(shell: apsw.Connection) -> None:
    with shell:
        shell.execute(
            "INSERT INTO ledger_postings VALUES ('ltx_new', 0, 'payable', 5), "
            "('ltx_new', 1, 'captured', -5); INSERT INTO ledger_transactions VALUES "
            "('ltx_new', 'm', 'a', 'p', 'cap_1', 'capture', 'EUR', 1)"
        )


def test_the_record_holds_the_domains_table(shell: apsw.Connection) -> None:
    found = set(shell.execute("SELECT from_status, to_status FROM payment_transitions"))
    wanted = {
        (status.value, target.value) for status in TRANSITIONS for target in TRANSITIONS[status]
    }
    assert found == wanted | {("", start.value) for start in STARTS}
    moves = OPERATION_TRANSITIONS.items()
    found = set(shell.execute("SELECT from_state, to_state FROM operation_transitions"))
    assert found == {(state.value, target.value) for state, targets in moves for target in targets}


async def test_the_domains_table_is_written_anew_at_every_start(tmp_path: Path) -> None:
    path = tmp_path / "record.db"
    await SqliteStore(path).close()
    connection = apsw.Connection(str(path))
    connection.execute("DELETE FROM payment_transitions")
    connection.execute("INSERT INTO payment_transitions VALUES ('failed', 'succeeded')")
    connection.close()
    await SqliteStore(path).close()
    connection = apsw.Connection(str(path))
    rows = connection.execute(
        "SELECT to_status FROM payment_transitions WHERE from_status='failed'"
    )
    assert rows.fetchall() == []
    connection.close()
