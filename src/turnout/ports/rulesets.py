"""The record's rulesets: their versions, what is in force, what the router was made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from turnout.ports.record import Claim


@dataclass(frozen=True, slots=True)
class RulesetRecord:
    """One version of a profile's ruleset in one mode; written once.

    Attributes:
        version: counts 1, 2, 3 for each merchant, profile and mode.
        document: canonical JSON (`RulesetDocument.canonical_json`).
        created_by: id of the key that made it.
    """

    merchant_id: str
    profile_id: str
    live: bool
    version: int
    document: str
    description: str
    created_by: str
    created_at_ns: int


@dataclass(frozen=True, slots=True)
class ActivationRecord:
    """A version was put in force; the last one of a profile and mode names the active version.

    Attributes:
        sequence: counts 1, 2, 3 for each merchant, profile and mode.
        below: sequence of the activation that a rollback leads back to; 0 where there is none.
        activated_by: id of the key that did it.
    """

    merchant_id: str
    profile_id: str
    live: bool
    sequence: int
    version: int
    below: int
    activated_by: str
    activated_at_ns: int


@dataclass(frozen=True, slots=True)
class SnapshotRecord:
    """What the router's configuration was made from, so that old decisions can be explained.

    Attributes:
        snapshot_version: the router's own name of the configuration.
        body: the configuration as JSON, in which a ruleset is named by its version.
    """

    snapshot_version: str
    body: bytes
    created_at_ns: int


@dataclass(slots=True)
class RulesetFilter:
    """Which rulesets to list, newest first.

    Attributes:
        before: only smaller versions; 0 for all.
    """

    profile_id: str
    live: bool
    before: int = 0
    limit: int = 20


class RulesetStore(Protocol):
    """The part of `Store` that keeps rulesets. What is in it is never changed or deleted."""

    async def add_ruleset(self, ruleset: RulesetRecord, claim: Claim) -> None:
        """Keeps a version together with its answered claim, durably.

        Raises:
            ClaimTaken: the call was made before; nothing was written.
            VersionConflict: there is such a version; nothing was written.
        """

    async def activate_ruleset(
        self, activation: ActivationRecord, snapshot: SnapshotRecord, claim: Claim
    ) -> None:
        """Keeps an activation with the snapshot that follows from it and its answered claim.

        Raises:
            ClaimTaken: the call was made before; nothing was written.
            VersionConflict: there is an activation with this sequence; nothing was written.
        """

    async def keep_snapshot(self, snapshot: SnapshotRecord) -> None:
        """Keeps a snapshot, durably; one that is there stays as it is."""

    async def find_snapshot(self, snapshot_version: str) -> SnapshotRecord | None:
        """The snapshot of this version, or None."""

    async def get_ruleset(
        self, merchant_id: str, profile_id: str, live: bool, version: int
    ) -> RulesetRecord | None:
        """One version of the merchant's ruleset, or None."""

    async def list_rulesets(self, merchant_id: str, want: RulesetFilter) -> list[RulesetRecord]:
        """A page of the merchant's rulesets, newest first."""

    async def list_activations(
        self, merchant_id: str, profile_id: str, live: bool
    ) -> list[ActivationRecord]:
        """All that was ever put in force for a profile and mode, oldest first."""
