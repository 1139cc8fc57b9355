"""Opening a database file: its modes and rights, its schema, and what is refused."""

import os
import stat
from importlib import resources
from pathlib import Path

import apsw
import pytest

from tests.contract.store_units import authorization, make_operation
from turnout.domain.operation import OperationDetails, OperationKind
from turnout.stores.sqlite import CannotOpen, SqliteStore, SqliteVaultStore, opening
from turnout.stores.sqlite.opening import RECORD, VAULT

KINDS = [(SqliteStore, RECORD), (SqliteVaultStore, VAULT)]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("store", [SqliteStore, SqliteVaultStore])
async def test_only_the_owner_may_read(tmp_path: Path, store: type[SqliteStore]) -> None:
    mask = os.umask(0)
    try:
        path = tmp_path / "new" / "folder" / "data.db"
        opened = store(path)
    finally:
        os.umask(mask)
    beside = sorted(one.name for one in path.parent.iterdir())
    assert beside == ["data.db", "data.db-shm", "data.db-wal"]
    assert {mode(one) for one in path.parent.iterdir()} == {0o600}
    assert mode(path.parent) == 0o700
    await opened.close()
    assert [one.name for one in path.parent.iterdir()] == ["data.db"]


@pytest.mark.parametrize("kind", [RECORD, VAULT])
def test_every_mode_takes_effect(tmp_path: Path, kind: opening.Kind) -> None:
    path = tmp_path / "data.db"
    opening.create(path)
    connection = opening.connect(path, kind)
    wanted = {
        "journal_mode": "wal",
        "synchronous": 2,
        "fullfsync": 1,
        "checkpoint_fullfsync": 1,
        "foreign_keys": 1,
        "temp_store": 2,
        "trusted_schema": 0,
        "cell_size_check": 1,
        "secure_delete": int(kind is VAULT),
    }
    assert {name: connection.pragma(name) for name in wanted} == wanted
    connection.close()


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    opening.create(path)
    writing = opening.connect(path, RECORD)
    opening.migrate(writing, path, RECORD)
    reading = opening.connect_reader(path, RECORD)
    with pytest.raises(apsw.ReadOnlyError):
        reading.execute("DELETE FROM blobs")
    reading.close()
    writing.close()


@pytest.mark.parametrize(("store", "kind"), KINDS)
async def test_a_newer_schema_is_refused(
    tmp_path: Path, store: type[SqliteStore], kind: opening.Kind
) -> None:
    path = tmp_path / "data.db"
    await store(path).close()
    connection = apsw.Connection(str(path))
    connection.execute("INSERT INTO schema_version VALUES (9999)")
    connection.close()
    with pytest.raises(CannotOpen, match="schema 9999, and this program knows up to"):
        store(path)


async def test_one_kind_is_not_taken_for_the_other(tmp_path: Path) -> None:
    await SqliteStore(tmp_path / "record.db").close()
    with pytest.raises(CannotOpen, match="not a vault of Turnout"):
        SqliteVaultStore(tmp_path / "record.db")
    foreign = apsw.Connection(str(tmp_path / "foreign.db"))
    foreign.execute("CREATE TABLE other (x)")
    foreign.close()
    with pytest.raises(CannotOpen, match="not a record of Turnout"):
        SqliteStore(tmp_path / "foreign.db")


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "record.db"
    path.write_bytes(b"not a database at all, but long enough to have a header" * 40)
    with pytest.raises(CannotOpen, match="damaged"):
        SqliteStore(path)
    assert path.read_bytes().startswith(b"not a database")


async def test_a_damaged_page_is_refused_at_open(tmp_path: Path) -> None:
    path = tmp_path / "record.db"
    store = SqliteStore(path)
    for number in range(1, 60):
        await store.commit(authorization(number).begin)
    await store.close()
    data = bytearray(path.read_bytes())
    connection = apsw.Connection(str(path))
    root = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'payments'").get
    size = connection.pragma("page_size")
    connection.close()
    assert isinstance(root, int) and isinstance(size, int)
    start = (root - 1) * size
    data[start : start + size] = bytes([0x5A]) * size
    path.write_bytes(data)
    with pytest.raises(CannotOpen, match=r"damaged .*restore a backup"):
        SqliteStore(path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(CannotOpen, match="check the folder"):
        SqliteStore(blocked / "record.db")


@pytest.mark.parametrize("kind", [RECORD, VAULT])
def test_migrations_are_numbered_without_gaps(kind: opening.Kind) -> None:
    steps = opening.migrations(kind)
    assert [number for number, _ in steps] == list(range(1, len(steps) + 1))
    folder = resources.files("turnout.stores").joinpath("migrations", kind.name)
    assert all(one.name.endswith(".sql") for one in folder.iterdir())


def test_a_migration_that_fails_leaves_the_schema_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "record.db"
    steps = opening.migrations(RECORD)
    last = steps[-1][0]
    broken = (last + 1, "CREATE TABLE half (x); CREATE TABLE half (x);")
    monkeypatch.setattr(opening, "migrations", lambda kind: [*steps, broken])
    opening.create(path)
    connection = opening.connect(path, RECORD)
    with pytest.raises(CannotOpen):
        opening.migrate(connection, path, RECORD)
    assert connection.execute("SELECT max(version) FROM schema_version").get == last
    assert connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'half'").get == 0
    whole = (last + 1, "CREATE TABLE half (x);")
    monkeypatch.setattr(opening, "migrations", lambda kind: [*steps, whole])
    opening.migrate(connection, path, RECORD)
    opening.migrate(connection, path, RECORD)
    assert connection.execute("SELECT max(version) FROM schema_version").get == last + 1
    connection.close()


async def test_refunds_of_both_modes_that_share_a_reference_do_not_stop_the_migration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "record.db"
    steps = opening.migrations(RECORD)
    with monkeypatch.context() as before:
        before.setattr(opening, "migrations", lambda kind: steps[:6])
        store = SqliteStore(path)
        for number, live in ((1, False), (2, True), (3, False)):
            one = authorization(number)
            one.payment.live = live
            refund = make_operation(one.payment, number, kind=OperationKind.REFUND, sequence=2)
            name = "refund-3" if number == 3 else "refund-1"
            refund.details = OperationDetails(merchant_reference=name)
            one.begin.operations.append(refund)
            await store.commit(one.begin)
        await store.close()
    store = SqliteStore(path)
    borne = {}
    for number in (1, 2, 3):
        payment = await store.get_payment(authorization(number).payment.payment_id)
        assert payment is not None
        (refund,) = payment.of_kind(OperationKind.REFUND)
        assert refund.details is not None
        borne[number] = refund.details.merchant_reference
    await store.close()
    assert borne == {1: "", 2: "refund-1", 3: "refund-3"}
