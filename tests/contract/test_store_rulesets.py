"""What every record promises of rulesets: versions, activations, snapshots, and their claims."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.contract.store_kinds import KINDS, open_store
from tests.contract.store_units import MERCHANT, NOW_NS, authorization
from turnout.domain.operation import ClaimKey
from turnout.ports import (
    ActivationRecord,
    Claim,
    ClaimTaken,
    RulesetFilter,
    RulesetRecord,
    SnapshotRecord,
    Store,
    VersionConflict,
)
from turnout.stores.sqlite import SqliteStore

DOCUMENT = '{"mode":"first_match","rules":[]}'
SNAPSHOT = SnapshotRecord("0123456789abcdef", b'{"accounts":[]}', NOW_NS)


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(request.param, tmp_path) as opened:
        yield opened


def ruleset(version: int = 1, **changes: Any) -> RulesetRecord:
    made = RulesetRecord(
        MERCHANT, "shop", False, version, DOCUMENT, "why", "key_1", NOW_NS + version
    )
    return replace(made, **changes)


def activation(sequence: int = 1, version: int = 1, below: int = 0) -> ActivationRecord:
    return ActivationRecord(
        MERCHANT, "shop", False, sequence, version, below, "key_1", NOW_NS + sequence
    )


def claim(key: str) -> Claim:
    return Claim(ClaimKey(MERCHANT, "CreateRuleset", key), b"print", "", "", NOW_NS, b"answer")


async def test_a_version_is_found_with_its_claim(store: Store) -> None:
    made = ruleset(live=True, document='{"name":"Ä"}')
    await store.add_ruleset(made, claim("k1"))
    assert await store.get_ruleset(MERCHANT, "shop", True, 1) == made
    assert await store.get_ruleset(MERCHANT, "shop", False, 1) is None
    assert await store.get_ruleset(MERCHANT, "other", True, 1) is None
    assert await store.get_ruleset("mer_other", "shop", True, 1) is None
    kept = await store.find_claim(claim("k1").key)
    assert kept is not None and kept.answer == b"answer"


async def test_a_version_is_written_once_and_a_call_once(store: Store) -> None:
    await store.add_ruleset(ruleset(), claim("k1"))
    with pytest.raises(VersionConflict):
        await store.add_ruleset(ruleset(description="another"), claim("k2"))
    assert await store.find_claim(claim("k2").key) is None
    with pytest.raises(ClaimTaken):
        await store.add_ruleset(ruleset(2), claim("k1"))
    with pytest.raises(ClaimTaken):
        await store.add_ruleset(ruleset(), claim("k1"))
    assert await store.get_ruleset(MERCHANT, "shop", False, 2) is None
    assert await store.get_ruleset(MERCHANT, "shop", False, 1) == ruleset()


async def test_versions_are_listed_newest_first_page_by_page(store: Store) -> None:
    for version in range(1, 6):
        await store.add_ruleset(ruleset(version), claim(f"k{version}"))
    await store.add_ruleset(ruleset(live=True), claim("live"))
    await store.add_ruleset(ruleset(profile_id="other"), claim("other"))
    seen: list[int] = []
    want = RulesetFilter("shop", False, limit=2)
    while page := await store.list_rulesets(MERCHANT, want):
        seen += [one.version for one in page]
        want.before = page[-1].version
    assert seen == [5, 4, 3, 2, 1]
    assert await store.list_rulesets(MERCHANT, RulesetFilter("shop", True)) == [ruleset(live=True)]
    assert await store.list_rulesets("mer_other", RulesetFilter("shop", False)) == []


async def test_activations_are_told_oldest_first_with_their_snapshot(store: Store) -> None:
    for version in (1, 2):
        await store.add_ruleset(ruleset(version), claim(f"k{version}"))
    made = [activation(1, 1), activation(2, 2, 1), activation(3, 1, 0)]
    for one in made:
        await store.activate_ruleset(one, SNAPSHOT, claim(f"a{one.sequence}"))
    assert await store.list_activations(MERCHANT, "shop", False) == made
    assert await store.list_activations(MERCHANT, "shop", True) == []
    assert await store.find_snapshot(SNAPSHOT.snapshot_version) == SNAPSHOT
    with pytest.raises(VersionConflict):
        await store.activate_ruleset(activation(3, 2, 1), SNAPSHOT, claim("a4"))
    with pytest.raises(ClaimTaken):
        await store.activate_ruleset(activation(4, 2, 1), SNAPSHOT, claim("a1"))
    assert await store.list_activations(MERCHANT, "shop", False) == made
    assert await store.find_claim(claim("a4").key) is None


async def test_a_snapshot_that_is_there_stays_as_it_is(store: Store) -> None:
    await store.keep_snapshot(SNAPSHOT)
    await store.keep_snapshot(replace(SNAPSHOT, body=b"other", created_at_ns=1))
    assert await store.find_snapshot(SNAPSHOT.snapshot_version) == SNAPSHOT
    assert await store.find_snapshot("none") is None


async def test_a_decision_names_its_snapshot_and_ruleset(store: Store) -> None:
    unit = authorization().begin
    assert unit.decision is not None
    unit.decision = replace(unit.decision, snapshot_version="abc", ruleset_version=3)
    await store.commit(unit)
    assert await store.get_decision(MERCHANT, unit.decision.decision_id) == unit.decision


async def test_what_is_kept_of_rulesets_is_there_after_a_restart(tmp_path: Path) -> None:
    async with open_store("sqlite", tmp_path) as first:
        await first.add_ruleset(ruleset(), claim("k1"))
        await first.activate_ruleset(activation(), SNAPSHOT, claim("a1"))
    async with open_store("sqlite", tmp_path) as second:
        assert isinstance(second, SqliteStore)
        assert await second.get_ruleset(MERCHANT, "shop", False, 1) == ruleset()
        assert await second.list_activations(MERCHANT, "shop", False) == [activation()]
