"""Rulesets and the configuration: a restart keeps them, a reload that breaks them is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.unit.rig import idem
from turnout import v1
from turnout.app.house import House, open_house
from turnout.app.reload import reload_config
from turnout.config import ConfigError, load, write_sandbox_config
from turnout.orchestration.commands import ActivateRulesetCommand, Caller, CreateRulesetCommand
from turnout.orchestration.observer import Observer

TO_ADYEN: dict[str, object] = {
    "mode": "first_match",
    "rules": [{"id": "adyen", "then": {"only": ["acc_adyen_main"]}}],
}


def caller(house: House) -> Caller:
    return Caller("mer_demo", "key_demo_test", False, house.clock.monotonic_ns() + 30 * 10**9)


async def put_in_force(house: House, content: dict[str, object]) -> int:
    """Creates and activates a ruleset of the default profile."""
    rulesets = house.services.rulesets
    made = v1.Ruleset.FromString(
        await rulesets.create(
            caller(house),
            idem("c1", rpc="CreateRuleset"),
            CreateRulesetCommand("", lambda: content),
        )
    )
    active = v1.Ruleset.FromString(
        await rulesets.activate(
            caller(house),
            idem("a1", rpc="ActivateRuleset"),
            ActivateRulesetCommand("", made.version),
        )
    )
    assert active.state == v1.RULESET_STATE_ACTIVE
    return active.version


async def test_a_restart_and_a_reload_keep_the_rules(tmp_path: Path) -> None:
    path = write_sandbox_config(tmp_path, os.urandom).path
    house = await open_house(load(path, {}), Observer())
    version = await put_in_force(house, TO_ADYEN)
    before = house.engine.snapshot_version
    await house.close()

    house = await open_house(load(path, {}), Observer())
    assert house.engine.snapshot_version == before
    assert (await house.services.rulesets.get(caller(house), "", 0)).record.version == version
    path.write_text(path.read_text("utf-8") + "\n[routing.choice]\nnear_best = 0.05\n", "utf-8")
    assert await reload_config(house)
    assert house.engine.snapshot_version != before
    kept = house.directory.rulesets["pro_demo", False]
    assert list(kept) == [version]
    assert (await house.store.find_snapshot(house.engine.snapshot_version)) is not None
    await house.close()


async def test_a_configuration_that_breaks_a_ruleset_is_refused(tmp_path: Path) -> None:
    path = write_sandbox_config(tmp_path, os.urandom).path
    whole = path.read_text("utf-8")
    house = await open_house(load(path, {}), Observer())
    await put_in_force(house, TO_ADYEN)
    before = house.engine.snapshot_version
    without = whole.replace('"acc_adyen_main"', '"acc_adyen_other"')
    path.write_text(without, "utf-8")
    assert not await reload_config(house), "an account of the ruleset is gone"
    assert house.engine.snapshot_version == before
    assert "acc_adyen_main" in house.directory.accounts
    await house.close()

    with pytest.raises(ConfigError) as refused:
        await open_house(load(path, {}), Observer())
    (problem,) = refused.value.problems
    assert "version 1 of its test ruleset" in problem and "acc_adyen_main" in problem
    assert "enabled = false" in problem, "what to do is said"

    path.write_text(whole, "utf-8")
    house = await open_house(load(path, {}), Observer())
    assert house.engine.snapshot_version == before
    await house.close()
