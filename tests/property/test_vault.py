"""The vault, whatever is put into it."""

import asyncio
import hmac
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_vault_cards import MemoryVaultStore, open_vault
from turnout.domain.cards import BinFacts, CardDetails
from turnout.domain.errors import DataLoss
from turnout.vault import BinFile, CardVault
from turnout.vault.keys import KeyRing

NUMBERS = st.text(alphabet="0123456789", min_size=12, max_size=19)
NAMES = st.text(max_size=60)


def fresh() -> tuple[CardVault, MemoryVaultStore]:
    store = MemoryVaultStore()
    with tempfile.TemporaryDirectory() as room:
        return asyncio.run(open_vault(store, Path(room) / "master.key")), store


VAULT, STORE = fresh()


@given(NUMBERS, st.integers(1, 12), st.integers(2000, 2100), NAMES, st.text(max_size=4))
def test_what_is_sealed_comes_back_without_its_cvc(
    number: str, month: int, year: int, holder: str, cvc: str
) -> None:
    async def there_and_back() -> CardDetails:
        sealed = VAULT.seal("mer_a", True, CardDetails(number, month, year, cvc, holder))
        await VAULT.persist(sealed)
        opened = await VAULT.open_token("mer_a", True, sealed.token_id)
        return await opened.reveal.card()

    assert asyncio.run(there_and_back()) == CardDetails(number, month, year, "", holder)


@given(NUMBERS, st.integers(0), st.integers(1, 255))
def test_no_flipped_byte_goes_unseen(number: str, at: int, flip: int) -> None:
    async def damaged() -> None:
        sealed = VAULT.seal("mer_a", True, CardDetails(number, 1, 2030))
        record = sealed.record
        bent = bytearray(record.sealed)
        bent[at % len(bent)] ^= flip
        record.sealed = bytes(bent)
        await VAULT.persist(sealed)
        await VAULT.open_token("mer_a", True, sealed.token_id)

    with pytest.raises(DataLoss):
        asyncio.run(damaged())


@given(NUMBERS)
def test_the_same_card_seals_differently_and_is_known_again(number: str) -> None:
    one, two = (VAULT.seal("mer_a", True, CardDetails(number, 1, 2030)) for _ in range(2))
    assert one.token_id != two.token_id
    assert one.record.sealed != two.record.sealed
    assert one.record.fingerprint == two.record.fingerprint
    assert number.encode() not in one.record.sealed


@given(NUMBERS, NUMBERS)
def test_other_cards_have_other_fingerprints(one: str, two: str) -> None:
    same = VAULT.card_fingerprint(one) == VAULT.card_fingerprint(two)
    assert same == (one == two)


@st.composite
def bin_rows(draw: st.DrawFn) -> list[tuple[str, str]]:
    rows = set()
    for _ in range(draw(st.integers(0, 12))):
        width = draw(st.integers(1, 6))
        low, high = sorted(draw(st.tuples(*[st.integers(0, 10**width - 1)] * 2)))
        rows.add((f"{low:0{width}}", f"{high:0{width}}"))
    spans = {(low.ljust(19, "0"), high.ljust(19, "9")) for low, high in rows}
    return sorted(rows) if len(spans) == len(rows) else []


@given(bin_rows(), NUMBERS)
def test_a_look_up_is_a_search_through_all_ranges(
    rows: list[tuple[str, str]], number: str
) -> None:
    lines = [f"{low},{high},,,,{low}-{high}" for low, high in rows]
    bins = BinFile.parse(["low,high,network,funding,issuer_country,issuer_name", *lines], "x")
    padded = number.ljust(19, "0")
    holding = [
        (int(high.ljust(19, "9")) - int(low.ljust(19, "0")), low.ljust(19, "0"), f"{low}-{high}")
        for low, high in rows
        if low.ljust(19, "0") <= padded <= high.ljust(19, "9")
    ]
    found = bins.lookup(number)
    if not holding:
        assert found is None
        return
    assert isinstance(found, BinFacts)
    narrowest = min(holding)[0]
    assert found.issuer_name in {name for width, _, name in holding if width == narrowest}


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=300), NUMBERS)
def test_every_fingerprint_is_hmac_under_a_key_of_its_own(
    key: bytes, data: bytes, number: str
) -> None:
    ring = KeyRing([("key_1", bytes(32))], key)

    def under(use: bytes, text: bytes) -> bytes:
        own = hmac.digest(key, b"turnout/vault/" + use, "sha256")
        return hmac.digest(own, text, "sha256")

    assert ring.request_fingerprint(data) == under(b"request-fingerprint/v1", data)
    fingerprint = ring.card_fingerprint(number)
    assert fingerprint == under(b"card-fingerprint/v1", number.encode())
    assert ring.credential(fingerprint) == under(b"credential/pan/v1", fingerprint)
