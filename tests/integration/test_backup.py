"""Backup and restore: of one moment, checked, never over a living record, and never half."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from tests.contract.store_units import authorization
from tests.contract.test_store_ledger import captured
from tests.contract.test_store_vault import make_record
from tests.unit.rig import idem
from turnout.app.backup import (
    UNFINISHED,
    BackupFailed,
    make_backup,
    read_manifest,
    restore_backup,
)
from turnout.app.house import House, open_house
from turnout.app.lock import RecordInUse
from turnout.cli.commands import run
from turnout.config import Settings, load, write_sandbox_config
from turnout.domain.cards import CardDetails
from turnout.orchestration.commands import Caller, CardInput, TokenCommand
from turnout.orchestration.observer import Observer
from turnout.stores.sqlite import CannotOpen, SqliteStore, SqliteVaultStore, audit_file, copies
from turnout.vault import VaultLocked

NOW_NS = 1_790_000_000 * 10**9


async def token(house: House, key: str) -> None:
    caller = Caller("mer_demo", "key_demo_test", False, house.clock.monotonic_ns() + 10**10)
    card = CardInput(CardDetails("4242424242424242", 3, 2030, "123", "A Payer"))
    await house.services.tokens.create(caller, idem(key, rpc="CreateToken"), TokenCommand(card))


async def used(room: Path) -> Settings:
    """A configuration whose record and vault have been in use."""
    settings = load(write_sandbox_config(room, os.urandom).path, {})
    house = await open_house(settings, Observer())
    await token(house, "first")
    for number in (1, 2, 3):
        await captured(house.store, number)
    # The payments' own token, as the contract's units name it.
    record = make_record(1)
    record.token_id = "tok_1"
    await house.vault_store.put(record)
    await house.close()
    return settings


async def test_a_backup_comes_back_whole(tmp_path: Path) -> None:
    settings = await used(tmp_path / "one")
    room = tmp_path / "backup"
    made = make_backup(settings, room, "1.2.3", NOW_NS)
    assert (made.payments, made.ledger_entries, made.cards) == (3, 12, 2)
    assert made.tokens_without_card == 0
    assert sorted(one.name for one in room.iterdir()) == ["manifest.json", "record.db", "vault.db"]
    assert {stat.S_IMODE(one.stat().st_mode) for one in room.iterdir()} == {0o600}
    assert stat.S_IMODE(room.stat().st_mode) == 0o700
    assert read_manifest(room) == made

    other = load(write_sandbox_config(tmp_path / "two", os.urandom).path, {})
    key = other.vault.master_key_path
    key.parent.mkdir(parents=True)
    key.write_bytes(settings.vault.master_key_path.read_bytes())
    key.chmod(0o600)
    back, aside = restore_backup(other, room, NOW_NS)
    assert (back, aside) == (made, [])
    assert audit_file(other.store.path).difference is None
    house = await open_house(other, Observer())
    found = await house.store.get_payment(authorization(2).payment.payment_id)
    assert found is not None and found.refunded_minor == 300
    assert await house.vault_store.count() == 2
    await house.close()


async def test_a_backup_of_a_busy_record_is_of_one_moment(tmp_path: Path) -> None:
    settings = await used(tmp_path)
    store, vault = SqliteStore(settings.store.path), SqliteVaultStore(settings.vault.path)
    going = True

    async def pay(first: int) -> None:
        number = first
        while going:
            record = make_record(number)
            one = authorization(number)
            assert one.payment.method is not None
            one.payment.method.token_id = record.token_id
            # Together, as the hot path does it: the record may be a moment earlier.
            begun, sealed = store.commit(one.begin), vault.put(record)
            await begun
            await sealed
            await store.commit(one.settle())
            number += 1

    payers = [asyncio.create_task(pay(1_000_000 * one)) for one in range(1, 5)]
    try:
        for number in range(4):
            room = tmp_path / f"backup-{number}"
            made = await asyncio.to_thread(make_backup, settings, room, "1", NOW_NS)
            assert made.tokens_without_card == 0
            assert made.cards >= made.payments - 3
    finally:
        going = False
        await asyncio.gather(*payers)
        await store.close()
        await vault.close()
    counts = [read_manifest(tmp_path / f"backup-{number}").payments for number in range(4)]
    assert counts == sorted(counts) and counts[0] < counts[-1]


async def test_a_living_record_is_not_restored_over(tmp_path: Path) -> None:
    settings = await used(tmp_path)
    make_backup(settings, tmp_path / "backup", "1", NOW_NS)
    house = await open_house(settings, Observer())
    with pytest.raises(RecordInUse):
        restore_backup(settings, tmp_path / "backup", NOW_NS, replace=True)
    await house.close()


async def test_what_stands_there_is_refused_or_moved_aside(tmp_path: Path) -> None:
    settings = await used(tmp_path)
    make_backup(settings, tmp_path / "backup", "1", NOW_NS)
    before = settings.store.path.read_bytes()
    with pytest.raises(BackupFailed, match="is there already"):
        restore_backup(settings, tmp_path / "backup", NOW_NS)
    assert settings.store.path.read_bytes() == before
    _, aside = restore_backup(settings, tmp_path / "backup", NOW_NS, replace=True)
    names = {one.name.split(".before-restore-")[0]: one for one in aside}
    assert {"record.db", "vault.db"} <= names.keys()
    assert names["record.db"].read_bytes() == before
    left = {one.name for one in settings.store.path.parent.glob(".*")}
    assert left == set()
    assert audit_file(settings.store.path).payments == 3


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def forge(path: Path) -> None:
    """A damaged copy whose manifest was written to fit."""
    connection = apsw.Connection(str(path / "record.db"))
    for name in ("ledger_transactions_changed", "ledger_postings_changed"):
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute("UPDATE ledger_postings SET amount_minor = -amount_minor")
    connection.execute("UPDATE payments SET released_minor = 1 WHERE rowid = 1")
    connection.close()
    refit(path)


def refit(path: Path) -> None:
    from turnout.app import backup

    manifest = json.loads((path / "manifest.json").read_bytes())
    for name, said in manifest["files"].items():
        found = backup._described(path / name, said["schema"])
        manifest["files"][name] = {
            "sha256": found.sha256,
            "size_bytes": found.size_bytes,
            "schema": found.schema,
        }
    (path / "manifest.json").write_text(json.dumps(manifest))


def newer(path: Path) -> None:
    connection = apsw.Connection(str(path / "vault.db"))
    connection.execute("INSERT INTO schema_version VALUES (999)")
    connection.close()
    refit(path)


DAMAGE: list[tuple[Callable[[Path], object], str]] = [
    (lambda room: flip(room / "record.db"), "not what the manifest says"),
    (lambda room: flip(room / "vault.db"), "not what the manifest says"),
    (lambda room: (room / "vault.db").unlink(), "is missing"),
    (lambda room: (room / "manifest.json").unlink(), "not finished"),
    (lambda room: (room / "manifest.json").write_text("{}"), "cannot be read"),
    (lambda room: (room / "manifest.json").write_text('{"turnout_backup": 9}'), "another version"),
    (forge, "the ledger does not agree"),
    (newer, "schema 999"),
]


@pytest.mark.parametrize(("damage", "told"), DAMAGE)
async def test_an_unsound_backup_changes_nothing(
    tmp_path: Path, damage: Callable[[Path], object], told: str
) -> None:
    settings = await used(tmp_path)
    room = tmp_path / "backup"
    make_backup(settings, room, "1", NOW_NS)
    damage(room)
    before = settings.store.path.read_bytes(), settings.vault.path.read_bytes()
    with pytest.raises((BackupFailed, CannotOpen), match=told):
        restore_backup(settings, room, NOW_NS, replace=True)
    assert (settings.store.path.read_bytes(), settings.vault.path.read_bytes()) == before
    house = await open_house(settings, Observer())
    await house.close()


async def test_an_unsound_source_gives_no_backup(tmp_path: Path) -> None:
    settings = await used(tmp_path)
    connection = apsw.Connection(str(settings.store.path))
    connection.execute("UPDATE payments SET released_minor = 7 WHERE rowid = 1")
    connection.close()
    with pytest.raises(BackupFailed, match="released_minor"):
        make_backup(settings, tmp_path / "backup", "1", NOW_NS)
    assert not (tmp_path / "backup" / "manifest.json").exists()


async def test_a_directory_in_use_is_refused(tmp_path: Path) -> None:
    settings = await used(tmp_path)
    with pytest.raises(BackupFailed, match="is not empty"):
        make_backup(settings, tmp_path, "1", NOW_NS)


async def test_another_master_key_is_told_before_anything_moves(tmp_path: Path) -> None:
    settings = await used(tmp_path)
    make_backup(settings, tmp_path / "backup", "1", NOW_NS)
    settings.vault.master_key_path.write_bytes(bytes(32))
    before = settings.store.path.read_bytes()
    with pytest.raises(VaultLocked, match="put that one back first"):
        restore_backup(settings, tmp_path / "backup", NOW_NS, replace=True)
    assert settings.store.path.read_bytes() == before


async def test_a_restore_that_was_cut_off_stops_the_start_until_it_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = await used(tmp_path)
    make_backup(settings, tmp_path / "backup", "1", NOW_NS)
    rename = Path.rename

    def cut_off(self: Path, target: Path) -> Path:
        if target == settings.store.path:
            raise OSError("the power went")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", cut_off)
    with pytest.raises(OSError, match="power"):
        restore_backup(settings, tmp_path / "backup", NOW_NS, replace=True)
    monkeypatch.undo()
    assert (settings.store.path.parent / UNFINISHED).exists()
    with pytest.raises(CannotOpen, match="begun and not ended"):
        await open_house(settings, Observer())
    restore_backup(settings, tmp_path / "backup", NOW_NS + 10**9, replace=True)
    house = await open_house(settings, Observer())
    assert await house.store.get_payment(authorization(1).payment.payment_id) is not None
    await house.close()


async def test_a_card_that_was_never_kept_is_counted(tmp_path: Path) -> None:
    settings = await used(tmp_path)
    store = SqliteStore(settings.store.path)
    one = authorization(77)
    assert one.payment.method is not None
    one.payment.method.token_id = "tok_never_kept"
    await store.commit(one.begin)
    await store.close()
    made = make_backup(settings, tmp_path / "backup", "1", NOW_NS)
    assert made.tokens_without_card == 1


async def test_a_record_that_is_gone_beside_its_vault_does_not_start(tmp_path: Path) -> None:
    settings = await used(tmp_path)
    settings.store.path.unlink()
    for _ in range(2):
        with pytest.raises(CannotOpen, match="nobody would know what has been paid"):
            await open_house(settings, Observer())


async def test_the_commands_say_what_they_did(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = await used(tmp_path)
    config = ["--config", str(settings.path)]
    assert run(["backup", str(tmp_path / "b"), *config]) == 0
    key_id = copies.facts_of_vault(settings.vault.path).master_key_ids[0]
    told = capsys.readouterr().out
    assert "3 payments, 12 ledger entries and 2 cards" in told and key_id in told
    assert run(["restore", str(tmp_path / "b"), *config]) == 69
    assert "is there already" in capsys.readouterr().err
    assert run(["restore", str(tmp_path / "b"), "--replace", *config]) == 0
    assert "compare with the providers" in capsys.readouterr().out
    assert run(["ledger", "verify", *config]) == 0


async def test_no_card_number_and_no_master_key_is_in_a_backup(tmp_path: Path) -> None:
    settings = await used(tmp_path)
    make_backup(settings, tmp_path / "backup", "1", NOW_NS)
    secret = settings.vault.master_key_path.read_bytes()
    for path in (tmp_path / "backup").iterdir():
        content = path.read_bytes()
        assert b"4242424242424242" not in content
        assert secret not in content
