"""A disk that cannot be written: refused units leave nothing, and all goes on when there is room.

Not simulated: the kernel refuses the writes, by a limit on the size of a file.
"""

import asyncio
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.contract.store_units import authorization
from tests.contract.test_store_vault import make_record
from turnout.ports import StoreUnavailable
from turnout.stores.sqlite import SqliteStore, SqliteVaultStore
from turnout.stores.sqlite.opening import quick_check


@contextmanager
def files_no_larger_than(size_bytes: int) -> Iterator[None]:
    """The kernel answers EFBIG to every write beyond this size, in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_record_that_cannot_grow_refuses_and_recovers(tmp_path: Path) -> None:
    path = tmp_path / "record.db"
    store = SqliteStore(path)
    for number in range(1, 20):
        await store.commit(authorization(number).begin)
    size = path.with_name("record.db-wal").stat().st_size
    units = [authorization(number).begin for number in range(20, 400)]
    with files_no_larger_than(size + 40_000):
        results = await asyncio.gather(*map(store.commit, units), return_exceptions=True)
        refused = [unit for unit, one in zip(units, results, strict=True) if one is not None]
        assert refused
        assert {type(one) for one in results if one is not None} == {StoreUnavailable}
        with pytest.raises(StoreUnavailable):
            await store.save_blob("router", bytes(1_000_000))
        # Reading goes on, and shows nothing of what was refused.
        for unit, result in zip(units, results, strict=True):
            assert unit.payment is not None
            found = await store.get_payment(unit.payment.payment_id)
            assert (found is None) is (result is not None)
    await asyncio.gather(*map(store.commit, refused))
    await store.close()
    again = SqliteStore(path)
    assert quick_check(again._reading) == []
    for number in range(1, 400):
        assert await again.get_payment(authorization(number).payment.payment_id) is not None
    await again.close()


async def test_a_vault_that_cannot_grow_refuses_and_recovers(tmp_path: Path) -> None:
    path = tmp_path / "vault.db"
    store = SqliteVaultStore(path)
    await store.put(make_record(1))
    size = path.with_name("vault.db-wal").stat().st_size
    records = [make_record(number) for number in range(2, 600)]
    with files_no_larger_than(size + 20_000):
        results = await asyncio.gather(*map(store.put, records), return_exceptions=True)
        refused = [one for one, result in zip(records, results, strict=True) if result is not None]
        assert refused
        assert {type(one) for one in results if one is not None} == {StoreUnavailable}
        assert await store.count() == 600 - 1 - len(refused)
    await asyncio.gather(*map(store.put, refused))
    assert await store.count() == 599
    await store.close()
