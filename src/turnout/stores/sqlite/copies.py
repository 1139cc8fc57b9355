"""Copies of database files that may be in use, and what can be proved of a copy.

SQLite's own backup reads the source in one transaction, so a copy is of one moment and writers go
on meanwhile. It is then a file by itself, without a log beside it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import apsw

from turnout.stores.sqlite import opening
from turnout.stores.sqlite.opening import RECORD, VAULT, CannotOpen, Kind


@dataclass(frozen=True, slots=True)
class VaultFacts:
    """What may be told of a vault's file.

    Attributes:
        cards: how many it holds.
        master_key_ids: fingerprints of the master keys that its keys are wrapped under.
    """

    cards: int
    master_key_ids: tuple[str, ...]


def copy_record(source: Path, target: Path) -> int:
    """Copies a record, live or not; gives its schema.

    Raises:
        CannotOpen: the source cannot be read, or the target not be written.
    """
    return _copy(source, target, RECORD)


def copy_vault(source: Path, target: Path) -> int:
    """Copies a vault, live or not; gives its schema.

    Raises:
        CannotOpen: as `copy_record`.
    """
    return _copy(source, target, VAULT)


def _copy(source: Path, target: Path, kind: Kind) -> int:
    reading = opening.connect_inspector(source, kind)
    try:
        opening.create(target)
        writing = apsw.Connection(str(target), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            writing.pragma("synchronous", "full")
            writing.pragma("fullfsync", True)
            with writing.backup("main", reading, "main") as backup:
                # All pages in one step: in several, a busy writer would make it begin again.
                backup.step(-1)
            # The copy says that it has a log; it has none, and must not need one.
            writing.pragma("journal_mode", "delete")
        finally:
            writing.close()
        return opening.migrations(kind)[-1][0]
    except apsw.Error as error:
        raise opening.cannot(target, kind, error) from error
    finally:
        reading.close()
        _sync(target)


def _sync(path: Path) -> None:
    if path.exists():
        for one in (path, path.parent):
            descriptor = os.open(one, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def bring_up_to_date(path: Path, vault: bool) -> None:
    """Migrates a copy to this program's schema, so that it can be checked.

    Raises:
        CannotOpen: it is damaged, something else, or of a newer schema.
    """
    if not path.is_file():
        raise CannotOpen(f"{path}: there is no such file")
    kind = VAULT if vault else RECORD
    connection = opening.connect_writer(path, kind)
    try:
        connection.pragma("journal_mode", "delete")
    except apsw.Error as error:
        raise opening.cannot(path, kind, error) from error
    finally:
        connection.close()
    _sync(path)


def faults_of(path: Path, vault: bool) -> list[str]:
    """Everything that SQLite finds wrong: pages, indexes against tables, laws; empty if nothing.

    Raises:
        CannotOpen: it cannot even be opened.
    """
    kind = VAULT if vault else RECORD
    connection = opening.connect_inspector(path, kind)
    try:
        found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(5)")]
        found = [] if found == ["ok"] else [" ".join(one.split()) for one in found]
        if not found:
            found = [f"{row[0]} refers to nothing in {row[2]}" for row in _orphans(connection)]
        return found
    except apsw.Error as error:
        raise opening.cannot(path, kind, error) from error
    finally:
        connection.close()


def _orphans(connection: apsw.Connection) -> list[tuple[object, ...]]:
    return connection.execute("PRAGMA foreign_key_check").fetchall()[:5]


def tokens_without_card(record: Path, vault: Path) -> int:
    """How many payments refer to a token that the vault does not hold.

    Raises:
        CannotOpen: one of them cannot be read.
    """
    connection = opening.connect_inspector(record, RECORD)
    other = opening.connect_inspector(vault, VAULT)
    missing = 0
    try:
        held = "SELECT 1 FROM cards WHERE token_id = ?"
        for row in connection.execute(
            "SELECT method ->> 'token_id' FROM payments WHERE method IS NOT NULL"
        ):
            if row[0] and other.execute(held, (row[0],)).fetchone() is None:
                missing += 1
    except apsw.Error as error:
        raise opening.cannot(record, RECORD, error) from error
    finally:
        connection.close()
        other.close()
    return missing


def facts_of_vault(path: Path) -> VaultFacts:
    """What may be told of a vault.

    Raises:
        CannotOpen: it cannot be read.
    """
    connection = opening.connect_inspector(path, VAULT)
    try:
        cards = connection.execute("SELECT count(*) FROM cards").get
        rows = connection.execute("SELECT DISTINCT master_key_id FROM vault_keys ORDER BY 1")
        ids = tuple(str(row[0]) for row in rows)
    except apsw.Error as error:
        raise opening.cannot(path, VAULT, error) from error
    finally:
        connection.close()
    assert isinstance(cards, int)
    return VaultFacts(cards, ids)
