"""What the engine is made from: accounts, profiles, settings and the rulesets in force.

All of it changes under one lock, one change at a time: prepared and made durable first, then put
in force between two awaits. Each configuration is kept in the record before anything is decided
by it, so that a decision can be explained when everything has changed since.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from turnout.domain.accounts import Account, Profile
from turnout.orchestration.directory import Directory
from turnout.orchestration.routes import (
    KeptRuleset,
    ProfileMode,
    Rulesets,
    engine_config,
)
from turnout.ports import ActivationRecord, RulesetStore, SnapshotRecord, Store
from turnout.routing import CompiledConfig, RoutingEngine, RoutingSettings, fill_rulesets
from turnout.routing.rules import RulesetInvalid, from_mapping
from turnout.routing.rules.check import check
from turnout.routing.rules.findings import Finding, Severity

# How many versions that were in force before are kept for payments that began with them.
_KEPT_BEFORE = 16
# Engines of old configurations, made to explain decisions.
_OLD_ENGINES = 4


class RulesetsUnfit(Exception):
    """Rulesets in force do not fit the configuration.

    Attributes:
        problems: what does not fit, and what to do, for people.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class SnapshotLost(Exception):
    """A configuration cannot be made again; the message says why."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A configuration of the engine, ready to be put in force.

    Attributes:
        compiled: for the engine.
        record: as the record keeps it.
    """

    compiled: CompiledConfig
    record: SnapshotRecord
    settings: RoutingSettings
    rulesets: Rulesets = field(repr=False)

    @property
    def versions(self) -> dict[ProfileMode, tuple[int, ...]]:
        """What the directory is to know of the rulesets."""
        return {of: tuple(one.version for one in kept) for of, kept in self.rulesets.items()}


async def prepare(
    accounts: Mapping[str, Account],
    profiles: Mapping[str, Profile],
    settings: RoutingSettings,
    rulesets: Rulesets,
    now_ns: int,
) -> Snapshot:
    """Compiles a configuration, off the loop.

    Raises:
        RoutingError: the engine does not take it.
    """
    named = {
        of: [_name(profiles[of[0]].merchant_id, of, one.version) for one in kept]
        for of, kept in rulesets.items()
    }

    def make() -> Snapshot:
        config = engine_config(accounts, profiles, settings, rulesets)
        body = engine_config(accounts, profiles, settings, named)
        compiled = CompiledConfig(config)
        record = SnapshotRecord(compiled.snapshot_version, body, now_ns)
        return Snapshot(compiled, record, settings, rulesets)

    # Thousands of rules take a second: not on the loop that payments wait for.
    return await asyncio.to_thread(make)


def _name(merchant_id: str, of: ProfileMode, version: int) -> KeptRuleset:
    """Stands in a kept configuration for a ruleset that the record has anyway."""
    profile_id, live = of
    return KeptRuleset(version, {"stored": [merchant_id, profile_id, live, version]})


def kept_versions(activations: Sequence[ActivationRecord]) -> list[int]:
    """The active version and those that were active last, the active one first."""
    found: list[int] = []
    for one in reversed(activations):
        if one.version not in found:
            found.append(one.version)
    return found[: _KEPT_BEFORE + 1]


def findings_of(
    content: object, accounts: Mapping[str, Account], profile: Profile, live: bool
) -> list[Finding]:
    """What a check finds in a document; one that cannot be read has errors alone."""
    try:
        document = from_mapping(content)
    except RulesetInvalid as error:
        return [
            Finding(one.reason.lower(), Severity.ERROR, one.field, (), one.description)
            for one in error.problems
        ]
    return check(document, accounts, profile, live)


def errors_of(findings: Sequence[Finding]) -> list[Finding]:
    """Those that keep a ruleset from being put in force."""
    return [one for one in findings if one.severity is Severity.ERROR]


async def load_rulesets(
    store: Store, accounts: Mapping[str, Account], profiles: Mapping[str, Profile]
) -> dict[ProfileMode, tuple[KeptRuleset, ...]]:
    """The rulesets in force, and those before them, as the record has them.

    Versions that are not in force any more and do not fit are left out: payments that began with
    them follow what is in force.

    Raises:
        RulesetsUnfit: one that is in force does not fit these accounts.
    """
    found: dict[ProfileMode, tuple[KeptRuleset, ...]] = {}
    problems: list[str] = []
    for profile in profiles.values():
        for live in (False, True):
            kept, wrong = await _load(store, accounts, profile, live)
            problems += wrong
            if kept:
                found[profile.profile_id, live] = kept
    if problems:
        raise RulesetsUnfit(problems)
    return found


async def _load(
    store: Store, accounts: Mapping[str, Account], profile: Profile, live: bool
) -> tuple[tuple[KeptRuleset, ...], list[str]]:
    name = (profile.merchant_id, profile.profile_id, live)
    kept: list[KeptRuleset] = []
    for place, version in enumerate(kept_versions(await store.list_activations(*name))):
        record = await store.get_ruleset(*name, version)
        if record is None:
            raise KeyError(f"ruleset {version} of {profile.profile_id} is not in the record")
        content = json.loads(record.document)
        errors = errors_of(await asyncio.to_thread(findings_of, content, accounts, profile, live))
        if not errors:
            kept.append(KeptRuleset(version, content))
        elif place == 0:
            return (), [_unfit(profile.profile_id, live, version, errors)]
    return tuple(kept), []


def _unfit(profile_id: str, live: bool, version: int, errors: Sequence[Finding]) -> str:
    told = "; ".join(f"{one.path}: {one.text}" for one in errors[:3])
    return (
        f"profile {profile_id}: version {version} of its {'live' if live else 'test'} ruleset is "
        f"in force and does not fit this configuration ({told}). Restore what it names (an "
        "account may be `enabled = false`), then activate a version that does without"
    )


class Snapshots:
    """The engine's present configuration, and those of before.

    Attributes:
        lock: held by whoever changes the configuration, from reading to putting in force.
    """

    def __init__(
        self, store: Store, directory: Directory, engine: RoutingEngine, present: Snapshot
    ) -> None:
        self.lock = asyncio.Lock()
        self.present = present
        self._store = store
        self._directory = directory
        self._engine = engine
        self._old: dict[str, RoutingEngine] = {}
        directory.rulesets = present.versions

    def put_in_force(self, snapshot: Snapshot) -> None:
        """Swaps the engine's configuration and the directory's rulesets, without an await."""
        self._engine.install(snapshot.compiled)
        self._directory.rulesets = snapshot.versions
        self.present = snapshot

    async def with_ruleset(
        self, of: ProfileMode, kept: Sequence[KeptRuleset], now_ns: int
    ) -> Snapshot:
        """The present configuration, but with these rulesets of one profile and mode.

        Raises:
            RoutingError: the engine does not take it.
        """
        rulesets = {**self.present.rulesets, of: tuple(kept)}
        return await prepare(
            self._directory.accounts,
            self._directory.profiles,
            self.present.settings,
            rulesets,
            now_ns,
        )

    async def engine_of(self, snapshot_version: str) -> RoutingEngine:
        """An engine of a configuration, present or past, to replay decisions by.

        Raises:
            SnapshotLost: the record does not have what it takes.
            RoutingError: this build does not take it.
        """
        if snapshot_version in ("", self._engine.snapshot_version):
            return self._engine
        found = self._old.pop(snapshot_version, None)
        if found is None:
            found = await engine_again(self._store, snapshot_version)
        # The one used last stands last, and the first goes.
        self._old[snapshot_version] = found
        if len(self._old) > _OLD_ENGINES:
            del self._old[next(iter(self._old))]
        return found


async def engine_again(store: RulesetStore, snapshot_version: str) -> RoutingEngine:
    """An engine of a configuration that the record has.

    Raises:
        SnapshotLost: the record does not have what it takes.
        RoutingError: this build does not take it.
    """
    record = await store.find_snapshot(snapshot_version)
    if record is None:
        raise SnapshotLost("the configuration that it was made from is not in the record")
    contents = {}
    for profile in json.loads(record.body)["profiles"]:
        if "ruleset" in profile:
            found = await store.get_ruleset(*profile["ruleset"]["stored"])
            if found is None:
                raise SnapshotLost(f"the ruleset of {profile['id']} is not in the record")
            contents[profile["id"]] = json.loads(found.document)
    config = fill_rulesets(record.body, contents)
    engine = await asyncio.to_thread(RoutingEngine, config)
    if engine.snapshot_version != snapshot_version:
        raise SnapshotLost("this version of Turnout makes another configuration of it")
    return engine
