"""The audit finds every kind of damage, names the first, and runs beside a server or alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import pytest

from tests.contract.store_units import authorization
from tests.contract.test_store_ledger import captured
from turnout.cli.commands import run
from turnout.domain.audit import PaymentSums, Verdict, audit
from turnout.domain.ledger import Balance, Book, LedgerKind, LedgerTransaction, Posting, postings
from turnout.stores.sqlite import CannotOpen, SqliteStore, audit_file, opening
from turnout.stores.sqlite.opening import RECORD


def transaction(number: int, kind: LedgerKind, amount_minor: int = 100) -> LedgerTransaction:
    return LedgerTransaction(
        f"ltx_{number}", "mer_1", "acc_1", "pay_1", "att_1", kind, "EUR",
        postings(kind, amount_minor), 1,
    )  # fmt: skip


AUTHORIZED = transaction(1, LedgerKind.AUTHORIZATION)
SUMS = PaymentSums("pay_1", "mer_1", "EUR", False, 100, 0, 0, 0, 0)
BALANCES = [
    Balance("mer_1", "acc_1", Book.AUTHORIZED, "EUR", False, 100, 0, 1),
    Balance("mer_1", "acc_1", Book.AUTHORIZED_CONTRA, "EUR", False, 0, 100, 1),
]


def test_a_sound_ledger_passes() -> None:
    assert audit([AUTHORIZED], [SUMS], BALANCES) == Verdict(1, 1, 2)
    assert audit([], [], []) == Verdict()


CROOKED = [
    ((Posting(Book.AUTHORIZED, 100), Posting(Book.AUTHORIZED_CONTRA, -99)), "sum of its postings"),
    ((Posting(Book.CAPTURED, 100), Posting(Book.PAYABLE, -100)), "postings of a authorization"),
    ((), "postings of a authorization"),
]


@pytest.mark.parametrize(("lines", "what"), CROOKED)
def test_a_crooked_transaction_is_named(lines: tuple[Posting, ...], what: str) -> None:
    wrong = replace(AUTHORIZED, postings=lines)
    difference = audit([wrong], [SUMS], BALANCES).difference
    assert difference is not None
    assert (difference.place, difference.what) == ("ltx_1", what)


@pytest.mark.parametrize(
    "changes", [{"currency": "USD"}, {"merchant_id": "mer_2"}, {"payment_id": "pay_0"}]
)
def test_a_transaction_that_is_not_its_payment_s_is_named(changes: dict[str, Any]) -> None:
    difference = audit([replace(AUTHORIZED, **changes)], [SUMS], BALANCES).difference
    assert difference is not None
    assert difference.place == "ltx_1"


@pytest.mark.parametrize(
    "field",
    [
        "authorized_minor",
        "captured_minor",
        "refunded_minor",
        "pending_refund_minor",
        "released_minor",
    ],
)
def test_every_sum_of_a_payment_is_compared(field: str) -> None:
    wrong = replace(SUMS, **{field: getattr(SUMS, field) + 1})
    difference = audit([AUTHORIZED], [wrong], BALANCES).difference
    assert difference is not None
    assert (difference.place, difference.what) == ("pay_1", field)


@pytest.mark.parametrize(
    "balances",
    [
        BALANCES[:1],
        [replace(BALANCES[0], debits_minor=101), BALANCES[1]],
        [replace(BALANCES[0], postings=2), BALANCES[1]],
        [replace(BALANCES[0], live=True), BALANCES[1]],
        [*BALANCES, Balance("mer_1", "acc_1", Book.FEES, "EUR", False, 1, 0, 1)],
    ],
)
def test_every_balance_is_compared(balances: list[Balance]) -> None:
    difference = audit([AUTHORIZED], [SUMS], balances).difference
    assert difference is not None
    assert difference.place.startswith("mer_1 acc_1")


# --- on files ---------------------------------------------------------------------------------


async def make_record(path: Path) -> None:
    store = SqliteStore(path)
    for number in (1, 2, 3):
        await captured(store, number)
    await store.commit(authorization(9).begin)
    await store.close()


def shell(path: Path, *statements: str) -> None:
    """What somebody with a shell and too much power does."""
    connection = apsw.Connection(str(path))
    for name in [row[0] for row in connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'trigger'"
    ).fetchall()]:  # fmt: skip
        connection.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        connection.execute(statement)
    connection.close()


LTX = f"ltx_{20_000:032x}"
DAMAGE: list[tuple[str, str]] = [
    (f"UPDATE ledger_postings SET amount_minor = amount_minor + 1 "
     f"WHERE transaction_id = '{LTX}' AND line = 0", LTX),
    (f"DELETE FROM ledger_postings WHERE transaction_id = '{LTX}'", LTX),
    (f"UPDATE ledger_postings SET book = 'elsewhere' WHERE transaction_id = '{LTX}'", LTX),
    (f"UPDATE ledger_transactions SET kind = 'gift' WHERE transaction_id = '{LTX}'", LTX),
    (f"DELETE FROM ledger_transactions WHERE transaction_id = '{LTX}'",
     authorization(2).payment.payment_id),
    (f"UPDATE payments SET captured_minor = captured_minor - 1 "
     f"WHERE payment_id = '{authorization(3).payment.payment_id}'",
     authorization(3).payment.payment_id),
    ("UPDATE ledger_balances SET credits_minor = credits_minor + 1 WHERE book = 'payable'",
     "mer_shop acc_north payable EUR test"),
    ("DELETE FROM ledger_balances WHERE book = 'refunded'",
     "mer_shop acc_north refunded EUR test"),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "place"), DAMAGE)
async def test_what_a_shell_has_changed_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], statement: str, place: str
) -> None:
    path = tmp_path / "record.db"
    await make_record(path)
    assert run(["ledger", "verify", "--record", str(path)]) == 0
    shell(path, "PRAGMA foreign_keys = OFF", statement)
    assert run(["ledger", "verify", "--record", str(path)]) == 1
    told = capsys.readouterr()
    assert f"first difference: {place}" in told.err


async def test_it_reads_beside_a_process_that_writes(tmp_path: Path) -> None:
    path = tmp_path / "record.db"
    store = SqliteStore(path)
    await captured(store, 1)
    assert audit_file(path) == Verdict(4, 1, 6)
    await captured(store, 2)
    assert audit_file(path) == Verdict(8, 2, 6)
    await store.close()
    before = path.read_bytes()
    assert audit_file(path) == Verdict(8, 2, 6)
    assert path.read_bytes() == before


async def test_what_cannot_be_read_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "record.db"
    assert run(["ledger", "verify", "--record", str(path)]) == 69
    await make_record(path)
    shell(path, "DELETE FROM schema_version WHERE version > 1")
    assert run(["ledger", "verify", "--record", str(path)]) == 69
    assert "schema 1, and this program works with" in capsys.readouterr().err
    shell(path, "PRAGMA application_id = 7")
    with pytest.raises(CannotOpen, match="not a record of Turnout"):
        audit_file(path)


# --- a record that was made before there were balances ----------------------------------------


def _old(path: Path, fill: Callable[[apsw.Connection], Any]) -> None:
    """A record of schema 1, as the first version made it."""
    opening.create(path)
    connection = opening.connect(path, RECORD)
    connection.execute("CREATE TABLE schema_version (version INTEGER PRIMARY KEY) STRICT")
    connection.pragma("application_id", RECORD.application_id)
    connection.execute(opening.migrations(RECORD)[0][1])
    connection.execute("INSERT INTO schema_version VALUES (1)")
    fill(connection)
    connection.close()


def _one_refunded_payment(connection: apsw.Connection) -> None:
    connection.execute(
        "INSERT INTO payment_transitions VALUES ('', 'processing'), ('processing', 'succeeded');"
        "INSERT INTO ledger_undoes VALUES ('refund_reversed', 'refund'),"
        " ('refund_failed', 'refund_requested'), ('capture_failed', 'capture')"
    )
    names = [row[1] for row in connection.execute("PRAGMA table_info(payments)")]
    values: dict[str, Any] = dict.fromkeys(names, "")
    numbers = [name for name in names if name.endswith(("_minor", "_ns", "version"))]
    values |= dict.fromkeys(
        [*numbers, "live", "confirmed_separately", "capture_reversed", "needs_review"], 0
    )
    values |= {"payment_id": "pay_1", "merchant_id": "mer_1", "currency": "EUR"}
    values |= {"status": "processing", "authorized_minor": 100, "captured_minor": 100}
    values |= {"method": None, "next_action": None, "decline": None, "decision": None}
    marks = ", ".join("?" * len(names))
    connection.execute(f"INSERT INTO payments VALUES ({marks})", [values[name] for name in names])
    old = [
        ("authorization", "att_1", [("authorized", 100), ("authorized_contra", -100)]),
        ("capture", "att_1", [("authorized", -100), ("authorized_contra", 100),
                              ("receivable", 100), ("payable", -100)]),
        ("refund_requested", "ref_1", [("payable", 40), ("refunds_in_transit", -40)]),
        ("refund", "ref_1", [("refunds_in_transit", 40), ("receivable", -40)]),
        ("refund_reversed", "ref_1", [("receivable", 40), ("payable", -40)]),
    ]  # fmt: skip
    for number, (kind, cause, lines) in enumerate(old):
        name = f"ltx_{number:032x}"
        with connection:
            for line, (book, amount_minor) in enumerate(lines):
                connection.execute(
                    "INSERT INTO ledger_postings VALUES (?, ?, ?, ?)",
                    (name, line, book, amount_minor),
                )
            connection.execute(
                "INSERT INTO ledger_transactions VALUES (?, 'mer_1', 'acc_1', 'pay_1', ?, ?, "
                "'EUR', 1)",
                (name, cause, kind),
            )


async def test_an_older_record_gets_its_balances_when_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "record.db"
    _old(path, _one_refunded_payment)
    with pytest.raises(CannotOpen, match="start `turnout serve` once first"):
        audit_file(path)
    await SqliteStore(path).close()
    assert audit_file(path) == Verdict(6, 1, 6)
    connection = apsw.Connection(str(path))
    rows = connection.execute("SELECT book, debits_minor - credits_minor FROM ledger_balances")
    books = {row[0]: row[1] for row in rows}
    connection.close()
    assert books == {
        "authorized": 0,
        "authorized_contra": 0,
        "captured": 100,
        "payable": -100,
        "refunded": 0,
        "refunds_in_transit": 0,
    }
