"""What every store of sealed cards promises."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.store_kinds import KINDS, open_vault_store
from tests.contract.store_units import MERCHANT, NOW_NS
from turnout.domain.cards import CardFacts, Funding, Network
from turnout.ports import VaultRecord, VaultStore, WrappedKey
from turnout.stores.laws import RecordRefused


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[VaultStore]:
    async with open_vault_store(request.param, tmp_path) as opened:
        yield opened


def make_record(number: int = 1) -> VaultRecord:
    return VaultRecord(
        f"tok_{number:032x}",
        MERCHANT,
        "key_1",
        bytes(range(256)),
        b"\x00" * 32,
        CardFacts(Network.MASTERCARD, "55555555", "4444", 3, 2031, Funding.DEBIT, "FR", "Bank é"),
        "cus-1",
        True,
        NOW_NS + number,
    )


def make_key(number: int, purpose: str = "data") -> WrappedKey:
    return WrappedKey(f"key_{number}", purpose, "master", b"\xff\x00wrapped", NOW_NS + number)


async def test_a_record_comes_back_as_it_was_put(store: VaultStore) -> None:
    record = make_record()
    put = store.put(record)
    record.facts.last4 = "0000"
    await put
    assert await store.get(record.token_id) == make_record()
    found = await store.get(record.token_id)
    assert found is not None
    found.facts.last4 = "1111"
    assert await store.get(record.token_id) == make_record()
    assert await store.get("tok_none") is None


async def test_a_token_is_never_put_twice(store: VaultStore) -> None:
    await store.put(make_record())
    with pytest.raises(RecordRefused):
        await store.put(replace(make_record(), sealed=b"other"))
    assert await store.get(make_record().token_id) == make_record()
    assert await store.count() == 1


async def test_many_records_put_at_once_are_all_kept(store: VaultStore) -> None:
    records = [make_record(number) for number in range(1, 301)]
    puts = [store.put(record) for record in [*records, records[7]]]
    results = await asyncio.gather(*puts, return_exceptions=True)
    assert results[:-1] == [None] * 300 and isinstance(results[-1], RecordRefused)
    assert await store.count() == 300
    assert await store.get(records[299].token_id) == records[299]


async def test_keys_are_listed_oldest_first(store: VaultStore) -> None:
    assert await store.list_keys() == []
    await store.add_key(make_key(2))
    await store.add_key(make_key(1, "index"))
    await store.add_key(make_key(3))
    assert await store.list_keys() == [make_key(1, "index"), make_key(2), make_key(3)]
    with pytest.raises(RecordRefused):
        await store.add_key(make_key(3, "index"))
    assert len(await store.list_keys()) == 3
