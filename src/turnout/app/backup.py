"""Backups of a running Turnout, and putting one back: nothing is believed that was not checked.

The record is copied first and the vault after it: cards are only ever added, so every token that
the record's copy refers to is in the vault's copy. The master key is never part of a backup.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from turnout.app.lock import RecordLock
from turnout.config import Settings
from turnout.domain.audit import Verdict
from turnout.stores.sqlite import CannotOpen, audit_file, copies
from turnout.vault.master import VaultLocked, master_key_id, read_master_key

RECORD: Final = "record.db"
VAULT: Final = "vault.db"
MANIFEST: Final = "manifest.json"
# While it stands beside the record, a restore has begun and not ended.
UNFINISHED: Final = "restore.unfinished"
_FORM: Final = 1
# A payment and its card are committed at the same time, by two threads: the card may be a moment
# later than the record's copy was begun. So the vault is copied again where one is missing.
_VAULT_COPIES: Final = 3
_BLOCK_BYTES: Final = 1 << 20


class BackupFailed(Exception):
    """There is no backup, or it was not put back; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class CopiedFile:
    """One file of a backup."""

    sha256: str
    size_bytes: int
    schema: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself.

    Attributes:
        made_at: UTC, ISO 8601.
        version: of the program that made it.
        tokens_without_card: payments whose card was never kept (the vault had failed).
        master_key_ids: which master keys its cards need.
    """

    made_at: str
    version: str
    files: Mapping[str, CopiedFile]
    payments: int
    ledger_entries: int
    cards: int
    tokens_without_card: int
    master_key_ids: tuple[str, ...]
    turnout_backup: int = _FORM


def make_backup(settings: Settings, room: Path, version: str, now_ns: int) -> Manifest:
    """Copies the record and the vault into a new directory, checks the copies, and says so.

    Args:
        settings: where record and vault are; the server may be running.
        room: must not exist, or be empty.
        version: of this program.
        now_ns: the present time.

    Raises:
        BackupFailed: the copies are not sound, or the place is taken.
        CannotOpen: a file cannot be read, or the place not be written.
    """
    if room.exists() and any(room.iterdir()):
        raise BackupFailed(f"{room} is not empty; name a new directory for every backup")
    room.mkdir(mode=0o700, parents=True, exist_ok=True)
    record, vault = room / RECORD, room / VAULT
    schemas = {RECORD: copies.copy_record(settings.store.path, record)}
    missing = 0
    for _ in range(_VAULT_COPIES):
        vault.unlink(missing_ok=True)
        schemas[VAULT] = copies.copy_vault(settings.vault.path, vault)
        missing = copies.tokens_without_card(record, vault)
        if not missing:
            break
    verdict = _proved(record, vault)
    facts = copies.facts_of_vault(vault)
    manifest = Manifest(
        datetime.fromtimestamp(now_ns / 1e9, UTC).isoformat(timespec="seconds"),
        version,
        {name: _described(room / name, schema) for name, schema in schemas.items()},
        verdict.payments,
        verdict.transactions,
        facts.cards,
        missing,
        facts.master_key_ids,
    )
    # Last of all: a directory without a manifest is no backup.
    _write(room / MANIFEST, json.dumps(asdict(manifest), indent=2).encode() + b"\n")
    return manifest


def restore_backup(
    settings: Settings, room: Path, now_ns: int, *, replace: bool = False
) -> tuple[Manifest, list[Path]]:
    """Puts a backup in the place of the record and the vault, after everything was checked.

    Args:
        settings: where record and vault are to be.
        room: the backup.
        now_ns: the present time.
        replace: moves aside what is there; otherwise its presence refuses the restore.

    Returns:
        What was restored, and the files that were moved aside.

    Raises:
        BackupFailed: the backup is not sound, or something is in its place.
        RecordInUse: a process serves this record.
        CannotOpen: a copy is not what it should be.
        VaultLocked: the master key that is there opens none of the backup's cards.
    """
    manifest = read_manifest(room)
    for name, said in manifest.files.items():
        if _described(room / name, said.schema) != said:
            raise BackupFailed(
                f"{room / name} is not what the manifest says it was; take another backup"
            )
    with RecordLock(settings.store.path.parent):
        _check_master_key(settings, manifest)
        places = {RECORD: settings.store.path, VAULT: settings.vault.path}
        standing = [path for place in places.values() for path in _with_logs(place)]
        if standing and not replace:
            raise BackupFailed(
                f"{standing[0]} is there already; move it away, or restore with --replace, which "
                "moves it aside"
            )
        drafts = {name: _draft(room / name, place) for name, place in places.items()}
        _proved(drafts[RECORD], drafts[VAULT])
        marker = settings.store.path.parent / UNFINISHED
        _write(marker, f"{room}\n".encode())
        stamp = datetime.fromtimestamp(now_ns / 1e9, UTC).strftime("%Y%m%dT%H%M%SZ")
        aside = [_move_aside(path, stamp) for path in standing]
        for name in (VAULT, RECORD):
            drafts[name].rename(places[name])
            _sync(places[name].parent)
        marker.unlink()
        _sync(marker.parent)
    return manifest, aside


def refuse_unfinished(settings: Settings) -> None:
    """Keeps a start away from a record that is half restored.

    Raises:
        CannotOpen: a restore was begun and not ended.
    """
    marker = settings.store.path.parent / UNFINISHED
    if marker.exists():
        raise CannotOpen(
            f"{marker}: a restore was begun and not ended, so record and vault may be of two "
            f"different moments; run `turnout restore --replace` again with the backup that is "
            "named in that file"
        )


def read_manifest(room: Path) -> Manifest:
    """What a backup says of itself.

    Raises:
        BackupFailed: this is no backup, or one of a form that this program does not know.
    """
    path = room / MANIFEST
    try:
        raw: dict[str, Any] = json.loads(path.read_bytes())
        if raw["turnout_backup"] != _FORM:
            raise BackupFailed(f"{path}: this backup was made by another version of Turnout")
        raw["files"] = {name: CopiedFile(**one) for name, one in raw["files"].items()}
        raw["master_key_ids"] = tuple(raw["master_key_ids"])
        if set(raw["files"]) != {RECORD, VAULT}:
            raise BackupFailed(f"{path}: names other files than {RECORD} and {VAULT}")
        return Manifest(**raw)
    except FileNotFoundError:
        raise BackupFailed(f"{room} is no backup, or one that was not finished: {path} is missing"
                           ) from None  # fmt: skip
    except (ValueError, KeyError, TypeError) as error:
        raise BackupFailed(f"{path} cannot be read: {error}") from error


def _proved(record: Path, vault: Path) -> Verdict:
    """Checks both files page by page, and the ledger from its beginning.

    Raises:
        BackupFailed: something is wrong with them.
    """
    for path, is_vault in ((record, False), (vault, True)):
        faults = copies.faults_of(path, is_vault)
        if faults:
            raise BackupFailed(f"{path} is damaged ({faults[0]}); keep it, and check its source")
    verdict = audit_file(record)
    if verdict.difference is not None:
        raise BackupFailed(
            f"{record}: the ledger does not agree ({verdict.difference}); check the source with "
            "`turnout ledger verify`"
        )
    return verdict


def _check_master_key(settings: Settings, manifest: Manifest) -> None:
    key = read_master_key(settings.vault.master_key_path)
    if key is not None and {master_key_id(key)} != set(manifest.master_key_ids):
        raise VaultLocked(
            f"the master key {settings.vault.master_key_path} is {master_key_id(key)}, and the "
            f"backup's cards need {', '.join(manifest.master_key_ids)}; put that one back first"
        )


def _draft(source: Path, place: Path) -> Path:
    """Copies a file of the backup beside its place, and brings its schema up to date."""
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = place.with_name(f".{place.name}.restoring")
    for left in _with_logs(draft):
        left.unlink()
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out, source.open("rb") as read:
        while block := read.read(_BLOCK_BYTES):
            out.write(block)
        out.flush()
        os.fsync(out.fileno())
    copies.bring_up_to_date(draft, source.name == VAULT)
    return draft


def _with_logs(path: Path) -> list[Path]:
    """A database file and what stands beside it, as far as it is there."""
    names = (path.name, f"{path.name}-wal", f"{path.name}-shm", f"{path.name}-journal")
    return [one for one in (path.with_name(name) for name in names) if one.exists()]


def _move_aside(path: Path, stamp: str) -> Path:
    target = path.with_name(f"{path.name}.before-restore-{stamp}")
    path.rename(target)
    return target


def _described(path: Path, schema: int) -> CopiedFile:
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
                size += len(block)
    except FileNotFoundError:
        raise BackupFailed(f"{path} is missing") from None
    return CopiedFile(digest.hexdigest(), size, schema)


def _write(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all."""
    draft = path.with_name(f".{path.name}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    draft.rename(path)
    _sync(path.parent)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
