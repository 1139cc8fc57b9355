"""Rulesets, activations and snapshots in memory."""

from __future__ import annotations

from turnout.ports import (
    ActivationRecord,
    Claim,
    RulesetFilter,
    RulesetRecord,
    SnapshotRecord,
    VersionConflict,
)
from turnout.stores.memory_claims import MemoryClaims

_Of = tuple[str, str, bool]


class MemoryRulesets(MemoryClaims):
    """The `RulesetStore` part of the record in memory; records are frozen and need no copies."""

    def __init__(self) -> None:
        super().__init__()
        self._rulesets: dict[_Of, dict[int, RulesetRecord]] = {}
        self._activations: dict[_Of, list[ActivationRecord]] = {}
        self._snapshots: dict[str, SnapshotRecord] = {}

    async def add_ruleset(self, ruleset: RulesetRecord, claim: Claim) -> None:
        """See `RulesetStore.add_ruleset`."""
        self._check_claim(claim)
        of = (ruleset.merchant_id, ruleset.profile_id, ruleset.live)
        versions = self._rulesets.setdefault(of, {})
        if ruleset.version in versions:
            raise VersionConflict
        versions[ruleset.version] = ruleset
        self._put_claim(claim)

    async def activate_ruleset(
        self, activation: ActivationRecord, snapshot: SnapshotRecord, claim: Claim
    ) -> None:
        """See `RulesetStore.activate_ruleset`."""
        self._check_claim(claim)
        of = (activation.merchant_id, activation.profile_id, activation.live)
        standing = self._activations.setdefault(of, [])
        if any(one.sequence == activation.sequence for one in standing):
            raise VersionConflict
        standing.append(activation)
        standing.sort(key=lambda one: one.sequence)
        self._snapshots.setdefault(snapshot.snapshot_version, snapshot)
        self._put_claim(claim)

    async def keep_snapshot(self, snapshot: SnapshotRecord) -> None:
        """See `RulesetStore.keep_snapshot`."""
        self._snapshots.setdefault(snapshot.snapshot_version, snapshot)

    async def find_snapshot(self, snapshot_version: str) -> SnapshotRecord | None:
        """See `RulesetStore.find_snapshot`."""
        return self._snapshots.get(snapshot_version)

    async def get_ruleset(
        self, merchant_id: str, profile_id: str, live: bool, version: int
    ) -> RulesetRecord | None:
        """See `RulesetStore.get_ruleset`."""
        return self._rulesets.get((merchant_id, profile_id, live), {}).get(version)

    async def list_rulesets(self, merchant_id: str, want: RulesetFilter) -> list[RulesetRecord]:
        """See `RulesetStore.list_rulesets`."""
        versions = self._rulesets.get((merchant_id, want.profile_id, want.live), {})
        found = [one for one in versions if not want.before or one < want.before]
        return [versions[one] for one in sorted(found, reverse=True)[: want.limit]]

    async def list_activations(
        self, merchant_id: str, profile_id: str, live: bool
    ) -> list[ActivationRecord]:
        """See `RulesetStore.list_activations`."""
        return list(self._activations.get((merchant_id, profile_id, live), ()))
