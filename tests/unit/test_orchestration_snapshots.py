"""What the engine is made from: names, kept versions, and old configurations made again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.rig import MERCHANT, START_NS, Rig, accounts, idem, make_rig
from turnout import v1
from turnout.domain.accounts import Profile
from turnout.orchestration.commands import ActivateRulesetCommand, CreateRulesetCommand
from turnout.orchestration.routes import KeptRuleset, engine_config, profile_key
from turnout.orchestration.snapshots import (
    RulesetsUnfit,
    SnapshotLost,
    engine_again,
    kept_versions,
    load_rulesets,
    prepare,
)
from turnout.ports import ActivationRecord
from turnout.routing import RoutingSettings
from turnout.stores.memory import MemoryStore

ACCOUNTS = accounts("acc_a", "acc_b")
PROFILES = {"main": Profile("main", MERCHANT, (("acc_a", "acc_b"),))}
SETTINGS = RoutingSettings()


def content(account: str) -> dict[str, object]:
    return {"mode": "first_match", "rules": [{"id": "one", "then": {"only": [account]}}]}


async def put_in_force(rig: Rig, account: str) -> int:
    """Creates and activates."""
    key = f"{account}-{rig.clock.now}"
    rig.clock.forward(1)
    made = v1.Ruleset.FromString(
        await rig.rulesets.create(
            rig.caller(),
            idem(key, rpc="CreateRuleset"),
            CreateRulesetCommand("", lambda: content(account)),
        )
    )
    command = ActivateRulesetCommand("", made.version)
    await rig.rulesets.activate(rig.caller(), idem(key, rpc="ActivateRuleset"), command)
    return made.version


def profiles_of(config: bytes) -> dict[str, object]:
    return {one["id"]: one.get("ruleset") for one in json.loads(config)["profiles"]}


def test_a_profile_is_there_by_every_version_and_without_any() -> None:
    plain = profiles_of(engine_config(ACCOUNTS, PROFILES, SETTINGS))
    assert plain == dict.fromkeys(("main/test", "main/test#0", "main/live", "main/live#0"))
    kept = [KeptRuleset(9, content("acc_a")), KeptRuleset(4, content("acc_b"))]
    ruled = profiles_of(engine_config(ACCOUNTS, PROFILES, SETTINGS, {("main", False): kept}))
    assert ruled == {
        "main/test": content("acc_a"),
        "main/test#9": content("acc_a"),
        "main/test#4": content("acc_b"),
        "main/test#0": None,
        "main/live": None,
        "main/live#0": None,
    }
    # A document that is only tried has no version.
    tried = [KeptRuleset(0, content("acc_a"))]
    names = profiles_of(engine_config(ACCOUNTS, PROFILES, SETTINGS, {("main", True): tried}))
    assert set(names) == {"main/test", "main/test#0", "main/live", "main/live#0"}
    assert profile_key("main", True, 0) == "main/live#0"


def activations(*versions: int) -> list[ActivationRecord]:
    return [
        ActivationRecord(MERCHANT, "main", False, place, version, place - 1, "key_1", START_NS)
        for place, version in enumerate(versions, start=1)
    ]


def test_the_last_seventeen_versions_in_force_are_kept_each_once() -> None:
    assert kept_versions([]) == []
    assert kept_versions(activations(1, 2, 1, 3, 1)) == [1, 3, 2]
    assert kept_versions(activations(*range(1, 40))) == list(range(39, 22, -1))


async def test_a_configuration_is_made_again_with_its_rulesets(tmp_path: Path) -> None:
    rig = await make_rig(tmp_path)
    await put_in_force(rig, "acc_a")
    await put_in_force(rig, "acc_b")
    old = rig.parts.engine.snapshot_version
    await put_in_force(rig, "acc_c")
    assert rig.parts.engine.snapshot_version != old
    again = await rig.snapshots.engine_of(old)
    assert again.snapshot_version == old
    assert await rig.snapshots.engine_of(old) is again, "made once"
    present = rig.parts.engine.snapshot_version
    assert await rig.snapshots.engine_of(present) is rig.parts.engine
    kept = await rig.store.find_snapshot(old)
    assert kept is not None and b'"only"' not in kept.body, "rulesets are named, not copied"


async def test_few_old_engines_are_held(tmp_path: Path) -> None:
    rig = await make_rig(tmp_path)
    versions = []
    for account in ("acc_a", "acc_b", "acc_c") * 2:
        await put_in_force(rig, account)
        versions.append(rig.parts.engine.snapshot_version)
    for version in versions[:-1]:
        await rig.snapshots.engine_of(version)
    assert len(rig.snapshots._old) == 4
    assert versions[0] not in rig.snapshots._old


async def test_what_is_not_kept_or_is_another_s_is_said_to_be_lost(tmp_path: Path) -> None:
    store = MemoryStore()
    with pytest.raises(SnapshotLost, match="not in the record"):
        await engine_again(store, "0" * 16)
    kept = {("main", False): (KeptRuleset(1, content("acc_a")),)}
    snapshot = await prepare(ACCOUNTS, PROFILES, SETTINGS, kept, START_NS)
    await store.keep_snapshot(snapshot.record)
    with pytest.raises(SnapshotLost, match=r"the ruleset of main/test.* is not in the record"):
        await engine_again(store, snapshot.record.snapshot_version)


async def test_a_start_leaves_out_what_fits_no_more_and_is_not_in_force(tmp_path: Path) -> None:
    store = MemoryStore()
    rig = await make_rig(tmp_path, store=store)
    await put_in_force(rig, "acc_a")
    await put_in_force(rig, "acc_b")
    both = await load_rulesets(store, ACCOUNTS, PROFILES)
    assert [one.version for one in both["main", False]] == [2, 1]
    profiles = {"main": Profile("main", MERCHANT, (("acc_b",),))}
    fewer = await load_rulesets(store, accounts("acc_b"), profiles)
    assert [one.version for one in fewer["main", False]] == [2]
    without = {"main": Profile("main", MERCHANT, (("acc_a",),))}
    with pytest.raises(RulesetsUnfit) as unfit:
        await load_rulesets(store, accounts("acc_a"), without)
    (problem,) = unfit.value.problems
    assert "profile main: version 2 of its test ruleset" in problem and "acc_b" in problem
