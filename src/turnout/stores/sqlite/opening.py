"""Opens a database file: its modes, its schema, and a clear word where it cannot be trusted.

One file has one schema version, the number of the last migration that was applied. Migrations are
applied in order, each in a transaction of its own together with its entry in `schema_version`, so
that a crash between two leaves a schema that the next start goes on from.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import apsw

# "Trno" and "Trnv": so that one file is never taken for the other.
RECORD_ID = 0x54726E6F
VAULT_ID = 0x54726E76

# SQLite's own bookkeeping, off: every connection is used by one thread at a time, so none needs a
# mutex of its own, and nobody asks how much memory it uses, which costs a global mutex and a count
# for each allocation. More of the small ones come from each connection's own store instead. It is
# a fifth of what a commit costs, and must be said before the first connection is opened.
apsw.shutdown()
apsw.config(apsw.SQLITE_CONFIG_MULTITHREAD)
apsw.config(apsw.SQLITE_CONFIG_MEMSTATUS, False)
apsw.config(apsw.SQLITE_CONFIG_LOOKASIDE, 512, 500)
apsw.initialize()

# How long a statement waits for another process (a backup, a person with a shell) to let go.
_BUSY_TIMEOUT_MS = 5_000

# fullfsync matters on macOS, where fsync alone does not reach the disk. Temporary tables and sorts
# stay in memory, so that nothing of the record spills into a file beside it. The page cache stays
# SQLite's own 2 MB for each connection: what it does not hold the operating system does, and with
# 16 MiB payments cost no less, but the process grew until five caches were full.
_MODES = {
    "journal_mode": "wal",
    "synchronous": "full",
    "fullfsync": True,
    "checkpoint_fullfsync": True,
    "foreign_keys": True,
    "temp_store": "memory",
    "trusted_schema": False,
    "cell_size_check": True,
}

# Up to this size every page is checked at open (some 20 ms); above it that would keep a restart
# waiting, and `turnout` checks it on request instead.
_CHECKED_AT_OPEN_BYTES = 16 << 20


class CannotOpen(Exception):
    """The file cannot be used as it is: damaged, another kind, or of a newer schema.

    The message says which file, what is wrong and what to do.
    """


@dataclass(frozen=True, slots=True)
class Kind:
    """What sort of file it is.

    Attributes:
        name: for people, and the folder of its migrations.
        application_id: stands in the file's header.
        secure_delete: deleted content is overwritten with zeros.
    """

    name: str
    application_id: int
    secure_delete: bool = False


RECORD = Kind("record", RECORD_ID)
VAULT = Kind("vault", VAULT_ID, secure_delete=True)


def migrations(kind: Kind) -> list[tuple[int, str]]:
    """(number, SQL) of every migration, in order."""
    folder = resources.files("turnout.stores").joinpath("migrations", kind.name)
    found = [(int(one.name[:4]), one.read_text("utf-8")) for one in folder.iterdir()]
    return sorted(found)


def create(path: Path) -> None:
    """Makes an empty file that only its owner may read, and its folder, where there are none."""
    if path.exists():
        return
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise CannotOpen(f"{path}: cannot be made ({error.strerror}); check the folder") from error


def connect(path: Path, kind: Kind) -> apsw.Connection:
    """A connection in the modes that the store is built on."""
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        connection.set_busy_timeout(_BUSY_TIMEOUT_MS)
        # Without it SQLite plans a statement again for each new value that it might compare with
        # the condition of a partial index: 120 us instead of 10 for reading a payment.
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        for name, value in _MODES.items():
            connection.pragma(name, value)
        connection.pragma("secure_delete", kind.secure_delete)
    except apsw.Error as error:
        raise cannot(path, kind, error) from error
    return connection


def connect_writer(path: Path, kind: Kind) -> apsw.Connection:
    """The connection that writes, to a file that is made, checked and migrated where needed.

    Raises:
        CannotOpen: it is damaged, something else, or of a newer schema.
    """
    create(path)
    connection = connect(path, kind)
    try:
        migrate(connection, path, kind)
    except CannotOpen:
        connection.close()
        raise
    return connection


def connect_reader(path: Path, kind: Kind) -> apsw.Connection:
    """A connection that cannot write."""
    connection = connect(path, kind)
    connection.pragma("query_only", True)
    return connection


def connect_inspector(path: Path, kind: Kind) -> apsw.Connection:
    """A connection that only looks: for checks and copies, beside a process that writes or not.

    Raises:
        CannotOpen: it is missing, damaged, something else, or of another schema.
    """
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    except apsw.Error as error:
        raise cannot(path, kind, error) from error
    try:
        connection.set_busy_timeout(_BUSY_TIMEOUT_MS)
        connection.pragma("query_only", True)
        connection.pragma("temp_store", "memory")
        connection.pragma("cell_size_check", True)
        if connection.pragma("application_id") != kind.application_id:
            raise CannotOpen(f"{path}: this is not a {kind.name} of Turnout")
        standing, known = _schema_version(connection), migrations(kind)[-1][0]
        if standing != known:
            way = "the newer program that wrote it" if standing > known else "`turnout serve` once"
            raise CannotOpen(
                f"{path}: the {kind.name} has schema {standing}, and this program works with "
                f"{known}; start {way} first"
            )
    except apsw.Error as error:
        connection.close()
        raise cannot(path, kind, error) from error
    except CannotOpen:
        connection.close()
        raise
    return connection


def migrate(connection: apsw.Connection, path: Path, kind: Kind) -> None:
    """Checks that the file is ours and whole, and brings its schema up to date.

    Raises:
        CannotOpen: it is damaged, something else, or newer than this program.
    """
    try:
        _check_identity(connection, path, kind)
        steps = migrations(kind)
        standing = _schema_version(connection)
        if standing > steps[-1][0]:
            raise CannotOpen(
                f"{path}: the {kind.name} has schema {standing}, and this program knows up to "
                f"{steps[-1][0]}; start the newer program that wrote it, or restore a backup "
                "from before"
            )
        _check_pages(connection, path, kind)
        for number, sql in steps:
            if number > standing:
                _apply(connection, number, sql)
    except apsw.Error as error:
        raise cannot(path, kind, error) from error


def _apply(connection: apsw.Connection, number: int, sql: str) -> None:
    with connection:
        connection.execute(sql)
        connection.execute("INSERT INTO schema_version (version) VALUES (?)", (number,))


def _check_identity(connection: apsw.Connection, path: Path, kind: Kind) -> None:
    found = connection.pragma("application_id")
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").get
    if found == 0 and tables == 0:
        with connection:
            connection.execute("CREATE TABLE schema_version (version INTEGER PRIMARY KEY) STRICT")
            connection.pragma("application_id", kind.application_id)
    elif found != kind.application_id:
        raise CannotOpen(
            f"{path}: this is a SQLite file, but not a {kind.name} of Turnout; point the "
            "configuration at the right folder"
        )


def _schema_version(connection: apsw.Connection) -> int:
    found = connection.execute("SELECT coalesce(max(version), 0) FROM schema_version").get
    assert isinstance(found, int)
    return found


def _check_pages(connection: apsw.Connection, path: Path, kind: Kind) -> None:
    if path.stat().st_size <= _CHECKED_AT_OPEN_BYTES:
        faults = quick_check(connection)
        if faults:
            raise CannotOpen(_damaged(path, kind, faults[0]))


def touch(connection: apsw.Connection) -> None:
    """Writes a row as it stands, which costs the medium a page like any other write."""
    connection.execute("UPDATE schema_version SET version = version")


def quick_check(connection: apsw.Connection, most: int = 1) -> list[str]:
    """What SQLite finds wrong with the pages of the file; empty where nothing is.

    Args:
        connection: to the file; it reads every page, so not on the event loop.
        most: stop after this many faults.
    """
    found = [str(row[0]) for row in connection.execute(f"PRAGMA quick_check({int(most)})")]
    return [] if found == ["ok"] else [" ".join(one.split()) for one in found]


def _damaged(path: Path, kind: Kind, what: str) -> str:
    return (
        f"{path}: the {kind.name} is damaged ({what}); do not start on it, keep the file as it "
        "is, and restore a backup"
    )


def cannot(path: Path, kind: Kind, error: apsw.Error) -> CannotOpen:
    """How SQLite's refusal is told."""
    if isinstance(error, apsw.CorruptError | apsw.NotADBError):
        return CannotOpen(_damaged(path, kind, str(error)))
    return CannotOpen(
        f"{path}: the {kind.name} cannot be opened ({error}); check that the disk has room and "
        "that this user may read and write the file and its folder"
    )
