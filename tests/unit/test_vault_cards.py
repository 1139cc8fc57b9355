"""The vault seals, opens for the right merchant only, and refuses to start with wrong keys."""

import asyncio
import dataclasses
import os
import pickle
from pathlib import Path

import pytest

from turnout.domain.cards import CardDetails, Funding, Network
from turnout.domain.errors import DataLoss, NotFound
from turnout.ports import StoreUnavailable, VaultRecord, WrappedKey
from turnout.vault import CardHints, CardVault, VaultLocked, sandbox_bins
from turnout.vault.master import master_key_id

VISA = "4242424242424242"
CVC = "737"
HOLDER = "Ada Lovelace"


class TestClock:
    __test__ = False

    def __init__(self) -> None:
        self.ns = 1_800_000_000_000_000_000

    def now_ns(self) -> int:
        self.ns += 1_000_000
        return self.ns

    def monotonic_ns(self) -> int:
        return self.ns


class SystemRandom:
    def bytes(self, count: int) -> bytes:
        return os.urandom(count)

    def seed(self) -> int:
        return 1


class MemoryVaultStore:
    """A VaultStore over lists; what a test wants to break, it breaks here."""

    def __init__(self) -> None:
        self.records: dict[str, VaultRecord] = {}
        self.keys: list[WrappedKey] = []

    def put(self, record: VaultRecord) -> asyncio.Future[None]:
        self.records[record.token_id] = record
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    async def get(self, token_id: str) -> VaultRecord | None:
        return self.records.get(token_id)

    async def add_key(self, key: WrappedKey) -> None:
        self.keys.append(key)

    async def list_keys(self) -> list[WrappedKey]:
        return list(self.keys)

    async def count(self) -> int:
        return len(self.records)

    async def close(self) -> None:
        pass


def card(number: str = VISA) -> CardDetails:
    return CardDetails(number, 12, 2030, CVC, HOLDER)


async def open_vault(store: MemoryVaultStore, path: Path) -> CardVault:
    return await CardVault.open(store, path, TestClock(), SystemRandom(), sandbox_bins())


@pytest.fixture
def store() -> MemoryVaultStore:
    return MemoryVaultStore()


@pytest.fixture
def key_path(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "master.key"


async def test_a_sealed_card_opens_after_a_restart_without_its_cvc(
    store: MemoryVaultStore, key_path: Path
) -> None:
    sealed = (await open_vault(store, key_path)).seal("mer_a", False, card())
    vault = await open_vault(store, key_path)
    await vault.persist(sealed)
    opened = await vault.open_token("mer_a", False, sealed.token_id)
    shown = await opened.reveal.card()
    assert shown == CardDetails(VISA, 12, 2030, "", HOLDER)
    assert opened.facts == sealed.facts
    again = await vault.open_token("mer_a", False, sealed.token_id, cvc=CVC)
    assert (await again.reveal.card()).cvc == CVC


async def test_the_first_start_makes_a_private_key_and_the_second_keeps_it(
    store: MemoryVaultStore, key_path: Path
) -> None:
    await open_vault(store, key_path)
    first = key_path.read_bytes()
    assert len(first) == 32
    assert key_path.stat().st_mode & 0o777 == 0o600
    assert key_path.parent.stat().st_mode & 0o777 == 0o700
    assert [name.name for name in key_path.parent.iterdir()] == [key_path.name]
    await open_vault(store, key_path)
    assert key_path.read_bytes() == first
    assert sorted(key.purpose for key in store.keys) == ["data", "index"]
    assert {key.master_key_id for key in store.keys} == {master_key_id(first)}


async def test_what_the_store_sees_holds_no_card(store: MemoryVaultStore, key_path: Path) -> None:
    vault = await open_vault(store, key_path)
    number = "5555341244441115"
    sealed = vault.seal("mer_a", True, card(number), customer_reference="cus-1")
    seen = repr(sealed.record).encode() + sealed.record.sealed + sealed.record.fingerprint
    for secret in (number, number[8:12], HOLDER):
        assert secret.encode() not in seen
    assert (sealed.facts.bin, sealed.facts.last4) == ("55553412", "1115")
    for hidden in (sealed, sealed.reveal, vault):
        assert number not in repr(hidden)
        assert CVC not in repr(hidden)


async def test_a_token_is_nobody_elses(store: MemoryVaultStore, key_path: Path) -> None:
    vault = await open_vault(store, key_path)
    sealed = vault.seal("mer_a", False, card())
    with pytest.raises(NotFound):
        await vault.open_token("mer_a", False, sealed.token_id)
    await vault.persist(sealed)
    for merchant_id, live in (("mer_b", False), ("mer_a", True), ("mer_b", True)):
        with pytest.raises(NotFound) as caught:
            await vault.open_token(merchant_id, live, sealed.token_id)
        assert caught.value.reason == "TOKEN_NOT_FOUND"


@pytest.mark.parametrize(
    "damage",
    [
        lambda r: {"sealed": r.sealed[:-1] + bytes([r.sealed[-1] ^ 1])},
        lambda r: {"sealed": r.sealed[:10]},
        lambda r: {"sealed": b""},
        lambda r: {"token_id": "tok_other"},
        lambda r: {"merchant_id": "mer_b"},
        lambda r: {"live": True},
        lambda r: {"key_id": "key_gone"},
    ],
)
async def test_a_damaged_or_moved_record_is_data_loss(
    store: MemoryVaultStore, key_path: Path, damage: object
) -> None:
    vault = await open_vault(store, key_path)
    record = vault.seal("mer_a", False, card()).record
    changed = dataclasses.replace(record, **damage(record))  # type: ignore[operator]
    store.records[changed.token_id] = changed
    with pytest.raises(DataLoss) as caught:
        await vault.open_token(changed.merchant_id, changed.live, changed.token_id)
    assert VISA not in str(caught.value)


async def test_a_wiped_reveal_shows_nothing(store: MemoryVaultStore, key_path: Path) -> None:
    vault = await open_vault(store, key_path)
    fresh = vault.seal("mer_a", False, card())
    assert (await fresh.reveal.card()).cvc == CVC
    await vault.persist(fresh)
    by_token = await vault.open_token("mer_a", False, fresh.token_id, cvc=CVC)
    for reveal in (fresh.reveal, by_token.reveal):
        reveal.wipe()
        assert reveal.wiped
        with pytest.raises(StoreUnavailable):
            await reveal.card()
        with pytest.raises(TypeError):
            pickle.dumps(reveal)


async def test_fingerprints_are_keyed_and_kept_apart(
    store: MemoryVaultStore, key_path: Path, tmp_path: Path
) -> None:
    vault = await open_vault(store, key_path)
    other = await open_vault(MemoryVaultStore(), tmp_path / "other.key")
    assert vault.card_fingerprint(VISA) == vault.seal("mer_b", True, card()).record.fingerprint
    assert vault.card_fingerprint(VISA) != other.card_fingerprint(VISA)
    assert vault.fingerprint(VISA.encode()) != vault.card_fingerprint(VISA)
    assert vault.fingerprint(b"a") == (await open_vault(store, key_path)).fingerprint(b"a")
    assert vault.fingerprint(b"a") != vault.fingerprint(b"b")
    assert len(vault.fingerprint(b"")) == 32


async def with_one_card(store: MemoryVaultStore, key_path: Path) -> None:
    vault = await open_vault(store, key_path)
    await vault.persist(vault.seal("mer_a", False, card()))


async def test_a_missing_master_key_stops_the_start_and_is_not_made_anew(
    store: MemoryVaultStore, key_path: Path
) -> None:
    await with_one_card(store, key_path)
    key_path.unlink()
    with pytest.raises(VaultLocked, match="is missing; put the file back"):
        await open_vault(store, key_path)
    assert not key_path.exists()
    store.records.clear()
    with pytest.raises(VaultLocked, match="0 cards and 2 keys"):
        await open_vault(store, key_path)
    assert not key_path.exists()


@pytest.mark.parametrize("length", [0, 16, 31, 33])
async def test_a_master_key_of_wrong_length_stops_the_start(
    store: MemoryVaultStore, key_path: Path, length: int
) -> None:
    await with_one_card(store, key_path)
    key_path.write_bytes(bytes(length))
    with pytest.raises(VaultLocked, match="instead of 32"):
        await open_vault(store, key_path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
async def test_a_master_key_that_others_can_reach_stops_the_start(
    store: MemoryVaultStore, key_path: Path, mode: int
) -> None:
    await with_one_card(store, key_path)
    key_path.chmod(mode)
    with pytest.raises(VaultLocked, match="chmod 600"):
        await open_vault(store, key_path)


async def test_another_master_key_stops_the_start(store: MemoryVaultStore, key_path: Path) -> None:
    await with_one_card(store, key_path)
    key_path.write_bytes(os.urandom(32))
    with pytest.raises(VaultLocked, match="put that master key back"):
        await open_vault(store, key_path)


async def test_a_master_key_that_is_no_file_stops_the_start(
    store: MemoryVaultStore, key_path: Path
) -> None:
    key_path.mkdir(parents=True)
    with pytest.raises(VaultLocked, match="not a regular file"):
        await open_vault(store, key_path)


async def test_wrapped_keys_cannot_be_swapped(store: MemoryVaultStore, key_path: Path) -> None:
    await with_one_card(store, key_path)
    index, data = store.keys
    store.keys = [
        dataclasses.replace(index, wrapped=data.wrapped),
        dataclasses.replace(data, wrapped=index.wrapped),
    ]
    with pytest.raises(VaultLocked, match="does not open although"):
        await open_vault(store, key_path)


async def test_a_key_cannot_be_passed_off_for_another_purpose(
    store: MemoryVaultStore, key_path: Path
) -> None:
    await with_one_card(store, key_path)
    index, data = store.keys
    store.keys = [index, dataclasses.replace(data, purpose="index")]
    with pytest.raises(VaultLocked, match="does not open although"):
        await open_vault(store, key_path)


@pytest.mark.parametrize("purpose", ["data", "index"])
async def test_cards_without_their_key_stop_the_start(
    store: MemoryVaultStore, key_path: Path, purpose: str
) -> None:
    await with_one_card(store, key_path)
    store.keys = [key for key in store.keys if key.purpose != purpose]
    with pytest.raises(VaultLocked, match=f"but no {purpose} key"):
        await open_vault(store, key_path)
    assert len(store.keys) == 1


async def test_a_start_that_died_between_its_keys_is_finished_by_the_next(
    store: MemoryVaultStore, key_path: Path
) -> None:
    await open_vault(store, key_path)
    kept = store.keys.pop(0)
    store.keys = [kept]
    await open_vault(store, key_path)
    assert store.keys[0] is kept
    assert sorted(key.purpose for key in store.keys) == ["data", "index"]


async def test_an_operators_own_master_key_is_used_for_a_new_vault(
    store: MemoryVaultStore, key_path: Path
) -> None:
    key_path.parent.mkdir()
    key = os.urandom(32)
    key_path.write_bytes(key)
    key_path.chmod(0o600)
    await open_vault(store, key_path)
    assert key_path.read_bytes() == key
    assert {one.master_key_id for one in store.keys} == {master_key_id(key)}


async def test_the_newest_data_key_seals_and_older_ones_still_open(
    store: MemoryVaultStore, key_path: Path
) -> None:
    old = await open_vault(store, key_path)
    first = old.seal("mer_a", False, card())
    await old.persist(first)
    spare = MemoryVaultStore()
    await open_vault(spare, key_path)
    store.keys.append(next(key for key in spare.keys if key.purpose == "data"))
    vault = await open_vault(store, key_path)
    second = vault.seal("mer_a", False, card())
    await vault.persist(second)
    assert second.record.key_id == store.keys[-1].key_id != first.record.key_id
    for sealed in (first, second):
        opened = await vault.open_token("mer_a", False, sealed.token_id)
        assert (await opened.reveal.card()).number == VISA


@pytest.mark.parametrize(
    ("number", "hints", "network"),
    [
        (VISA, CardHints(), Network.VISA),
        ("4035501000000008", CardHints(), Network.CARTES_BANCAIRES),
        ("4035501000000008", CardHints(network=Network.VISA), Network.VISA),
        (VISA, CardHints(network=Network.CARTES_BANCAIRES), Network.CARTES_BANCAIRES),
        (VISA, CardHints(network=Network.AMEX), Network.VISA),
        (VISA, CardHints(network=Network.TROY), Network.VISA),
        ("9792000000000001", CardHints(network=Network.TROY), Network.TROY),
        ("9792000000000001", CardHints(network=Network.VISA), Network.UNKNOWN),
        ("378282246310005", CardHints(network=Network.CARTES_BANCAIRES), Network.AMEX),
    ],
)
async def test_a_network_preference_counts_where_such_cards_exist(
    store: MemoryVaultStore, key_path: Path, number: str, hints: CardHints, network: Network
) -> None:
    vault = await open_vault(store, key_path)
    assert vault.seal("mer_a", False, card(number), hints).facts.network is network


async def test_the_merchants_word_wins_over_the_file(
    store: MemoryVaultStore, key_path: Path
) -> None:
    vault = await open_vault(store, key_path)
    plain = vault.seal("mer_a", False, card()).facts
    assert (plain.issuer_country, plain.funding) == ("US", Funding.CREDIT)
    hints = CardHints(issuer_country="DE", funding=Funding.PREPAID)
    told = vault.seal("mer_a", False, card(), hints).facts
    assert (told.issuer_country, told.funding) == ("DE", Funding.PREPAID)
    unknown = vault.seal("mer_a", False, card("4917610000000000")).facts
    assert (unknown.issuer_country, unknown.funding) == ("", Funding.UNKNOWN)
