"""A disk that is full, fails or lies: no new money moves, and what is in flight is told honestly.

The disk is a real small file system where the tests may mount one, and otherwise a record that may
not grow; a failing fsync is put in front of the C library.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from tests.contract.store_units import authorization
from tests.contract.test_store_ledger import captured
from tests.unit.rig import MERCHANT, Rig, idem, make_rig
from turnout import v1
from turnout.app.house import open_house
from turnout.cli.commands import run
from turnout.config import load, write_sandbox_config
from turnout.domain.cards import CardDetails
from turnout.domain.outcomes import Outcome, OutcomeKind
from turnout.domain.payment import CaptureMethod
from turnout.orchestration.commands import Caller, CardInput, TokenCommand
from turnout.orchestration.observer import Observer
from turnout.ports import AuthorizeRequest, PaymentFilter, StoreUnavailable
from turnout.stores.sqlite import CannotOpen, SqliteStore, audit_file
from turnout.vault import VaultLocked

SIZE_BYTES = 2 << 20


@contextmanager
def small_disk(room: Path) -> Iterator[bool]:
    """Makes `room` a file system of 2 MiB; says whether it could."""
    room.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_BYTES}", "none", str(room)]
    mounted = os.geteuid() == 0 and subprocess.run(command, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            # Lazily: a store that a failed test left open must not keep the disk.
            subprocess.run(["umount", "-l", str(room)], check=True)


class Filler:
    """Takes all the room there is, and gives it back."""

    def __init__(self, room: Path, store: SqliteStore, mounted: bool) -> None:
        self._path = room / "filler"
        self._store = store
        self._mounted = mounted

    async def fill(self) -> None:
        if not self._mounted:
            # Old frames of the log would still be room, so it is folded back first.
            await self._store._writer.run(_stop_growing)
            return
        with self._path.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4_096))
            except OSError:
                return

    async def make_room(self) -> None:
        if self._mounted:
            self._path.unlink()
        else:
            self._store._writing.pragma("max_page_count", 1 << 30)


def _stop_growing(connection: apsw.Connection) -> None:
    connection.pragma("max_page_count", connection.pragma("page_count"))


@pytest.fixture
def room(tmp_path: Path) -> Iterator[tuple[Path, bool]]:
    with small_disk(tmp_path / "disk") as mounted:
        yield tmp_path / "disk", mounted


async def rig_on(tmp_path: Path, path: Path) -> tuple[Rig, SqliteStore]:
    store = SqliteStore(path)
    return await make_rig(tmp_path, store=store, names=("acc_a",)), store


async def test_a_full_disk_refuses_new_money_before_anything_is_sent(
    tmp_path: Path, room: tuple[Path, bool]
) -> None:
    disk, mounted = room
    rig, store = await rig_on(tmp_path, disk / "record.db")
    filler = Filler(disk, store, mounted)
    answered = []
    for number in range(5):
        answered.append(await rig.authorize(f"before-{number}"))
    await filler.fill()
    refused = 0
    for number in range(400):
        sent = len(rig.provider.calls)
        try:
            answered.append(await rig.authorize(f"full-{number}"))
        except StoreUnavailable:
            refused += 1
            assert len(rig.provider.calls) == sent
            if refused == 5:
                break
    assert refused == 5 and store.failing
    await filler.make_room()
    await store.probe()
    assert not store.failing
    # The same keys again: nothing was kept of what was refused.
    again = await rig.authorize("full-399")
    assert again.status == v1.PAYMENT_STATUS_REQUIRES_CAPTURE
    answered.append(again)
    recorded = await store.list_payments(MERCHANT, PaymentFilter(limit=1_000))
    assert {one.payment_id for one in recorded} == {one.payment_id for one in answered}
    charged = {one.operations[0].operation_id for one in recorded}
    assert charged == set(rig.provider.charged)
    await store.close()
    assert audit_file(disk / "record.db").difference is None


async def test_what_was_sent_when_the_disk_filled_up_is_settled_when_there_is_room(
    tmp_path: Path, room: tuple[Path, bool]
) -> None:
    disk, mounted = room
    rig, store = await rig_on(tmp_path, disk / "record.db")
    filler = Filler(disk, store, mounted)
    await rig.authorize("before")

    async def charge(request: AuthorizeRequest) -> Outcome:
        await filler.fill()
        # Whatever room is left inside the files is used up by writes of others.
        for number in range(2_000):
            try:
                await store.save_blob(f"filling-{number}", bytes(2_000))
            except StoreUnavailable:
                return Outcome(OutcomeKind.SUCCEEDED)
        raise AssertionError("the disk never filled up")

    rig.provider.says["acc_a"] = [charge]
    waiting = asyncio.create_task(
        rig.authorize("in-flight", capture_method=CaptureMethod.AUTOMATIC)
    )
    async with asyncio.timeout(30):
        while not store.failing:  # noqa: ASYNC110 (a writer's thread says so)
            await asyncio.sleep(0.01)
    stored = await store.list_payments(MERCHANT, PaymentFilter())
    assert sorted(one.status for one in stored) == ["processing", "requires_capture"]
    assert not waiting.done()
    await filler.make_room()
    async with asyncio.timeout(30):
        answer = await waiting
    assert answer.status == v1.PAYMENT_STATUS_SUCCEEDED
    assert [kind for _, kind, _ in rig.provider.calls].count("authorize") == 2
    await store.close()
    assert audit_file(disk / "record.db").difference is None


def test_a_failed_fsync_ends_writing_until_a_restart(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs a C compiler and LD_PRELOAD")
    library = tmp_path / "fault.so"
    source = Path(__file__).with_name("fsync_fault.c")
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True
    )
    path = tmp_path / "record.db"
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.fsync_child", str(path)],
        env={
            **os.environ,
            "LD_PRELOAD": str(library),
            "FSYNC_FAULT": str(tmp_path / "flag"),
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split() == ["durable", "wounded", "wounded", "readable"], done.stderr
    asyncio.run(_go_on(path))


async def _go_on(path: Path) -> None:
    again = SqliteStore(path)
    assert await again.get_payment(authorization(1).payment.payment_id) is not None
    assert await again.get_payment(authorization(3).payment.payment_id) is None
    await again.commit(authorization(4).begin)
    await again.close()


async def test_a_page_that_breaks_while_serving_stops_writing(tmp_path: Path) -> None:
    path = tmp_path / "record.db"
    store = SqliteStore(path)
    for number in range(1, 200):
        await store.commit(authorization(number, reference=f"order-{number}").begin)
    await store.close()
    store = SqliteStore(path)
    connection = apsw.Connection(str(path))
    root = connection.execute(
        "SELECT rootpage FROM sqlite_schema WHERE name = 'payments_reference'"
    ).get
    size = connection.pragma("page_size")
    connection.close()
    assert isinstance(root, int) and isinstance(size, int)
    with path.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(bytes([0x5A]) * size)
    # So that the page is read again, as it is when there are more than the cache holds.
    store._writing.pragma("shrink_memory")
    with pytest.raises(StoreUnavailable):
        await store.commit(authorization(900, reference="order-900").begin)
    assert store.wounded
    with pytest.raises(StoreUnavailable, match="until a restart has checked the file"):
        await store.commit(authorization(901).begin)
    with pytest.raises(StoreUnavailable):
        await store.probe()
    await store.close()
    with pytest.raises(CannotOpen, match="restore a backup"):
        SqliteStore(path)


async def test_a_flipped_byte_in_an_amount_is_found_by_the_audit(tmp_path: Path) -> None:
    """SQLite keeps no checksums, so that a sound page can hold a wrong number."""
    path = tmp_path / "record.db"
    store = SqliteStore(path)
    for number in (1, 2):
        await captured(store, number)
    await store.close()
    connection = apsw.Connection(str(path))
    root = connection.execute(
        "SELECT rootpage FROM sqlite_schema WHERE name = 'ledger_postings'"
    ).get
    size = connection.pragma("page_size")
    connection.close()
    assert isinstance(root, int) and isinstance(size, int)
    data = bytearray(path.read_bytes())
    page = data[(root - 1) * size : root * size]
    at = page.find((300).to_bytes(2, "big"), page.find(b"refunds_in_transit"))
    assert at > 0
    data[(root - 1) * size + at + 1] ^= 0x04
    path.write_bytes(data)
    assert run(["ledger", "verify", "--record", str(path)]) == 1


async def test_a_record_whose_vault_is_gone_does_not_start(tmp_path: Path) -> None:
    config = write_sandbox_config(tmp_path, os.urandom)
    settings = load(config.path, {})
    house = await open_house(settings, Observer())
    caller = Caller("mer_demo", "key_demo_test", False, house.clock.monotonic_ns() + 10**10)
    card = CardInput(CardDetails("4242424242424242", 3, 2030, "123", "A Payer"))
    await house.services.tokens.create(caller, idem("t1", rpc="CreateToken"), TokenCommand(card))
    await house.close()
    settings.vault.path.rename(tmp_path / "vault.elsewhere")
    with pytest.raises(VaultLocked, match="restore it from the same backup"):
        await open_house(settings, Observer())
    settings.vault.path.unlink()
    (tmp_path / "vault.elsewhere").rename(settings.vault.path)
    house = await open_house(settings, Observer())
    await house.close()
