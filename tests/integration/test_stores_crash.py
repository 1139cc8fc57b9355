"""A process killed in mid-commit loses nothing that it had told, and leaves nothing half."""

import random
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import apsw
import pytest

from tests.contract.store_units import authorization
from turnout.domain.operation import OperationState
from turnout.domain.payment import PaymentStatus
from turnout.stores.sqlite import SqliteStore
from turnout.stores.sqlite.opening import quick_check

_ROUNDS = 6
_FAR = 10_000_000


def start_child(path: Path, first: int, in_flight: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.integration.store_child"]
    return subprocess.Popen(
        [*command, str(path), str(first), str(in_flight)], stdout=subprocess.PIPE, bufsize=0
    )


def run_and_kill(path: Path, first: int, in_flight: int, lines: int) -> set[tuple[str, int]]:
    """Lets the child tell this many commits, kills it, and returns all that it told."""
    child = start_child(path, first, in_flight)
    assert child.stdout is not None
    told = b""
    try:
        while told.count(b"\n") < lines:
            part = child.stdout.read(65_536)
            assert part, "the child ended by itself"
            told += part
    finally:
        child.send_signal(signal.SIGKILL)
        told += child.stdout.read()
        child.stdout.close()
        child.wait()
    whole = told[: told.rfind(b"\n") + 1].decode().split()
    return set(zip(whole[::2], map(int, whole[1::2]), strict=True))


def numbers_in(path: Path) -> list[int]:
    connection = apsw.Connection(str(path))
    try:
        assert quick_check(connection) == []
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        rows = connection.execute("SELECT payment_id FROM payments").fetchall()
    finally:
        connection.close()
    return sorted(int(str(row[0]).removeprefix("pay_"), 16) for row in rows)


def rows_of(path: Path, table: str, column: str, names: Iterable[str]) -> int:
    connection = apsw.Connection(str(path))
    try:
        sql = f"SELECT count(*) FROM {table} WHERE {column} = ?"
        return sum(int(str(connection.execute(sql, (one,)).get)) for one in names)
    finally:
        connection.close()


@pytest.mark.parametrize("in_flight", [1, 64])
async def test_what_was_told_is_there_and_nothing_is_half(tmp_path: Path, in_flight: int) -> None:
    path = tmp_path / "record.db"
    dice = random.Random(in_flight)
    told: set[tuple[str, int]] = set()
    for round_ in range(_ROUNDS):
        lines = dice.randint(1, 400)
        told |= run_and_kill(path, 1 + round_ * _FAR, in_flight, lines)

    store = SqliteStore(path)
    begun, settled = set(), set()
    for number in numbers_in(path):
        one = authorization(number, reference=f"order-{number}")
        found = await store.get_payment(one.payment.payment_id)
        claim = await store.find_claim(one.claim.key)
        assert found is not None and claim is not None
        begun.add(number)
        (operation,) = found.operations
        if found.version == 1:
            assert found.status is PaymentStatus.PROCESSING
            assert operation.state is OperationState.SENDING
            assert claim.answer is None
        else:
            one.settle()
            assert found == one.payment
            assert claim.answer == b"answer-%d" % number
            settled.add(number)
    assert {number for what, number in told if what == "begin"} <= begun
    assert {number for what, number in told if what == "settle"} <= settled

    # What only some units have must be there for exactly those.
    ids = [authorization(number).payment.payment_id for number in begun]
    done = [authorization(number).payment.payment_id for number in settled]
    assert rows_of(path, "decisions", "payment_id", ids) == len(begun)
    for table in ("ledger_transactions", "events"):
        assert rows_of(path, table, "payment_id", done) == len(settled)
        assert rows_of(path, table, "payment_id", ids) == len(settled)

    assert await store.fence_in_flight(1) == len(begun) - len(settled)
    await store.close()


async def test_a_record_that_was_killed_while_it_was_made_is_made_again(tmp_path: Path) -> None:
    for number in range(8):
        path = tmp_path / f"{number}.db"
        child = start_child(path, 1, 1)
        # From the moment at which the file appears, sooner or later in its migration.
        while not path.exists():
            assert child.poll() is None
        for _ in range(number * 20_000):
            pass
        child.kill()
        child.communicate()
        store = SqliteStore(path)
        await store.commit(authorization(_FAR).begin)
        await store.close()
