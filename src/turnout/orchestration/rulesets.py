"""Rulesets: made, checked, put in force, taken back and compared, by their merchant.

A test key works on what test payments follow, a live key on what live ones do. Versions are never
changed: what is in force changes by an activation, which is in the record before the engine
follows it, so a restart follows it too.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from turnout.domain.accounts import Account, Profile
from turnout.domain.errors import FieldError, InvalidRequest, NotFound, StateConflict
from turnout.orchestration.commands import (
    ActivateRulesetCommand,
    Caller,
    CreateRulesetCommand,
    Idempotency,
    RollbackRulesetCommand,
)
from turnout.orchestration.idempotency import Claims, Run
from turnout.orchestration.parts import Parts
from turnout.orchestration.routes import KeptRuleset
from turnout.orchestration.snapshots import (
    Snapshot,
    Snapshots,
    errors_of,
    findings_of,
    kept_versions,
)
from turnout.orchestration.validate import check_description
from turnout.ports import (
    ActivationRecord,
    Claim,
    RulesetFilter,
    RulesetRecord,
    UnitOfWork,
    VersionConflict,
)
from turnout.routing import RoutingError
from turnout.routing.rules import RulesetDocument, RulesetInvalid, from_json, from_mapping
from turnout.routing.rules.document import FIRST_MATCH
from turnout.routing.rules.findings import Finding, Severity

log = logging.getLogger(__name__)

_TOLD_ERRORS = 8


class RulesetState(StrEnum):
    """How a version stands."""

    DRAFT = "draft"
    ACTIVE = "active"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class Ruleset:
    """One version with what follows from the record's other parts.

    Attributes:
        activated_at_ns: when it was last put in force; 0 for never.
        findings: against the present accounts; None where they were not asked for.
    """

    record: RulesetRecord
    state: RulesetState
    activated_at_ns: int
    findings: Sequence[Finding] | None = None

    @property
    def content(self) -> dict[str, object]:
        """The document as plain data."""
        content: dict[str, object] = json.loads(self.record.document)
        return content


class Rulesets:
    """What RoutingService does with rulesets, knowing no proto."""

    def __init__(
        self,
        parts: Parts,
        claims: Claims,
        snapshots: Snapshots,
        encode: Callable[[Ruleset], bytes],
    ) -> None:
        self._parts = parts
        self._claims = claims
        self._snapshots = snapshots
        self._encode = encode

    # --- reading -------------------------------------------------------------------------

    async def validate(
        self, caller: Caller, profile_id: str, content: Mapping[str, object]
    ) -> list[Finding]:
        """What is wrong with a document, or probably not meant; stores nothing."""
        self._parts.admission.read()
        return await self._findings(caller, self._profile(caller, profile_id), content)

    async def get(self, caller: Caller, profile_id: str, version: int) -> Ruleset:
        """One version with its findings; 0 asks for the active one.

        Raises:
            NotFound: there is none.
        """
        self._parts.admission.read()
        profile = self._profile(caller, profile_id)
        activations = await self._activations(caller, profile)
        return await self._view(
            caller, profile, await self._record(caller, profile, version, activations), activations
        )

    async def page(
        self, caller: Caller, profile_id: str, before: int, limit: int
    ) -> list[Ruleset]:
        """A page of versions without findings, newest first."""
        self._parts.admission.read()
        profile = self._profile(caller, profile_id)
        activations = await self._activations(caller, profile)
        want = RulesetFilter(profile.profile_id, caller.live, before, limit)
        found = await self._parts.store.list_rulesets(caller.merchant_id, want)
        return [_ruleset(one, activations) for one in found]

    async def documents(
        self,
        caller: Caller,
        profile_id: str,
        from_version: int,
        to_version: int,
        content: Mapping[str, object] | None,
    ) -> tuple[RulesetDocument, RulesetDocument]:
        """Two documents to be compared: a stored one, and another or one that is not stored.

        Raises:
            InvalidRequest: not one of `to_version` and `content` is given, or it cannot be read.
            NotFound: there is no such version.
        """
        self._parts.admission.read()
        profile = self._profile(caller, profile_id)
        if (content is None) == (to_version == 0):
            raise InvalidRequest(
                [FieldError("to_version", "ONE_OF_TWO", "give to_version or document")]
            )
        activations = await self._activations(caller, profile)
        if from_version or activations:
            before = await self._record(caller, profile, from_version, activations)
            first = await _stored_document(before)
        else:
            first = RulesetDocument(mode=FIRST_MATCH, rules=())
        if content is not None:
            return first, await asyncio.to_thread(read_document, content)
        after = await self._record(caller, profile, to_version, activations)
        return first, await _stored_document(after)

    async def stored(self, caller: Caller, profile: Profile, version: int) -> RulesetRecord:
        """One version as it is kept.

        Raises:
            NotFound: there is none.
        """
        return await self._record(caller, profile, version, ())

    # --- changing ------------------------------------------------------------------------

    async def create(
        self, caller: Caller, idem: Idempotency, command: CreateRulesetCommand
    ) -> bytes:
        """Stores a document as the profile's next version.

        Raises:
            InvalidRequest: it cannot be read; nothing was stored.
        """
        self._parts.admission.follow_up()
        profile = self._profile(caller, command.profile_id)
        check_description(command.description)
        document = await asyncio.to_thread(lambda: read_document(command.content()))
        return await self._claims.run(
            caller, idem, lambda run: self._create(run, profile, document, command.description)
        )

    async def activate(
        self, caller: Caller, idem: Idempotency, command: ActivateRulesetCommand
    ) -> bytes:
        """Puts a version in force; the next payment follows it.

        Raises:
            NotFound: there is no such version.
            StateConflict: it has findings of severity error.
        """
        self._parts.admission.follow_up()
        profile = self._profile(caller, command.profile_id)
        if command.version <= 0:
            raise InvalidRequest([FieldError("version", "FIELD_REQUIRED", "must be given")])
        return await self._claims.run(
            caller, idem, lambda run: self._change(run, profile, command.version)
        )

    async def rollback(
        self, caller: Caller, idem: Idempotency, command: RollbackRulesetCommand
    ) -> bytes:
        """Puts the version in force that was before the active one.

        Raises:
            StateConflict: there was none, or it has findings of severity error today.
        """
        self._parts.admission.follow_up()
        profile = self._profile(caller, command.profile_id)
        return await self._claims.run(caller, idem, lambda run: self._change(run, profile, None))

    # --- the work ------------------------------------------------------------------------

    async def _create(
        self, run: Run, profile: Profile, document: RulesetDocument, description: str
    ) -> None:
        caller, parts = run.caller, self._parts
        text = await asyncio.to_thread(document.canonical_json)
        findings = await self._findings(caller, profile, json.loads(text))
        while True:
            want = RulesetFilter(profile.profile_id, caller.live, limit=1)
            newest = await parts.store.list_rulesets(caller.merchant_id, want)
            record = RulesetRecord(
                caller.merchant_id,
                profile.profile_id,
                caller.live,
                newest[0].version + 1 if newest else 1,
                text,
                description,
                caller.key_id,
                parts.mint.clock.now_ns(),
            )
            made = Ruleset(record, RulesetState.DRAFT, 0, findings)
            claim, answer = await self._answered_claim(run, made)
            try:
                await run.complete(parts.store.add_ruleset(record, claim), answer)
                return
            except VersionConflict:
                continue

    async def _change(self, run: Run, profile: Profile, version: int | None) -> None:
        """Puts a version in force, or with None the one before the active one."""
        caller = run.caller
        async with self._snapshots.lock:
            activations = await self._activations(caller, profile)
            activation = self._next(caller, profile, version, activations)
            record = await self._record(caller, profile, activation.version, ())
            findings = await self._findings(caller, profile, json.loads(record.document))
            _refuse_errors(record, errors_of(findings))
            if activations and activations[-1].version == version:
                await self._say_again(run, Ruleset(record, *_state(record, activations), findings))
                return
            activations = [*activations, activation]
            made = Ruleset(record, *_state(record, activations), findings)
            snapshot = await self._prepare(record, activations)
            await self._put_in_force(run, made, activation, snapshot)

    def _next(
        self,
        caller: Caller,
        profile: Profile,
        version: int | None,
        activations: Sequence[ActivationRecord],
    ) -> ActivationRecord:
        """The activation to be written."""
        last = activations[-1] if activations else None
        if version is None:
            back = last.below if last is not None else 0
            if back == 0:
                raise StateConflict(
                    "NO_EARLIER_RULESET",
                    f"profile {profile.profile_id} had no other ruleset in force before; activate "
                    "a version instead",
                )
            under = next(one for one in activations if one.sequence == back)
            version, below = under.version, under.below
        else:
            below = last.sequence if last is not None else 0
        return ActivationRecord(
            caller.merchant_id,
            profile.profile_id,
            caller.live,
            last.sequence + 1 if last is not None else 1,
            version,
            below,
            caller.key_id,
            self._parts.mint.clock.now_ns(),
        )

    async def _prepare(
        self, record: RulesetRecord, activations: Sequence[ActivationRecord]
    ) -> Snapshot:
        of = (record.profile_id, record.live)
        known = {one.version: one for one in self._snapshots.present.rulesets.get(of, ())}
        known[record.version] = KeptRuleset(record.version, json.loads(record.document))
        # A version that the start left out, because it fits no more, stays out.
        kept = [known[one] for one in kept_versions(activations) if one in known]
        try:
            return await self._snapshots.with_ruleset(of, kept, self._parts.mint.clock.now_ns())
        except RoutingError as error:
            told = Finding("refused_by_router", Severity.ERROR, "", (), str(error))
            raise _has_errors(record, [told]) from error

    async def _put_in_force(
        self,
        run: Run,
        made: Ruleset,
        activation: ActivationRecord,
        snapshot: Snapshot,
    ) -> None:
        """Makes the activation durable, then lets engine and directory follow it."""
        claim, answer = await self._answered_claim(run, made)

        async def commit() -> None:
            await self._parts.store.activate_ruleset(activation, snapshot.record, claim)
            self._snapshots.put_in_force(snapshot)

        await run.complete(commit(), answer)
        log.info(
            "ruleset %d of %s (%s) was put in force by %s",
            activation.version,
            activation.profile_id,
            "live" if activation.live else "test",
            activation.activated_by,
        )

    async def _say_again(self, run: Run, made: Ruleset) -> None:
        """It is in force already: only the call is kept."""
        claim, answer = await self._answered_claim(run, made)
        await run.complete(self._parts.store.commit(UnitOfWork(claim=claim)), answer)

    async def _answered_claim(self, run: Run, made: Ruleset) -> tuple[Claim, bytes]:
        """The run's claim with its answer."""
        answer = await asyncio.to_thread(self._encode, made)
        claim = run.claim("", "")
        claim.answer = answer
        return claim, answer

    # --- what they share -----------------------------------------------------------------

    def _profile(self, caller: Caller, profile_id: str) -> Profile:
        return self._parts.directory.profile(caller.merchant_id, profile_id)

    async def _activations(self, caller: Caller, profile: Profile) -> list[ActivationRecord]:
        return await self._parts.store.list_activations(
            caller.merchant_id, profile.profile_id, caller.live
        )

    async def _record(
        self,
        caller: Caller,
        profile: Profile,
        version: int,
        activations: Sequence[ActivationRecord],
    ) -> RulesetRecord:
        """A version; 0 is the active one."""
        wanted = version or (activations[-1].version if activations else 0)
        found = await self._parts.store.get_ruleset(
            caller.merchant_id, profile.profile_id, caller.live, wanted
        )
        if found is None:
            raise NotFound(
                "RULESET_NOT_FOUND",
                f"profile {profile.profile_id} has no {'live' if caller.live else 'test'} ruleset "
                + (f"of version {wanted}" if wanted else "in force")
                + "; list what there is with ListRulesets",
            )
        return found

    async def _view(
        self,
        caller: Caller,
        profile: Profile,
        record: RulesetRecord,
        activations: Sequence[ActivationRecord],
    ) -> Ruleset:
        findings = await self._findings(caller, profile, json.loads(record.document))
        return Ruleset(record, *_state(record, activations), findings)

    async def _findings(self, caller: Caller, profile: Profile, content: object) -> list[Finding]:
        # Thousands of rules take a second: not on the loop that payments wait for.
        return await asyncio.to_thread(
            findings_of, content, self._parts.directory.accounts, profile, caller.live
        )


async def _stored_document(record: RulesetRecord) -> RulesetDocument:
    return await asyncio.to_thread(from_json, record.document)


def read_document(content: Mapping[str, object]) -> RulesetDocument:
    """A document of a request, whose problems are told with the request's paths.

    Raises:
        InvalidRequest: it cannot be read.
    """
    try:
        return from_mapping(content)
    except RulesetInvalid as error:
        raise InvalidRequest(
            [
                FieldError(f"document.{one.field}", one.reason, one.description)
                for one in error.problems
            ],
            "RULESET_INVALID",
        ) from None


def refuse_unfit(
    content: Mapping[str, object], accounts: Mapping[str, Account], profile: Profile, live: bool
) -> None:
    """Refuses a request's document that could not be put in force.

    Raises:
        InvalidRequest: with its errors, at the request's paths.
    """
    errors = errors_of(findings_of(content, accounts, profile, live))
    if errors:
        raise InvalidRequest(
            [
                FieldError(f"document.{one.path}", one.code.upper(), one.text)
                for one in errors[:_TOLD_ERRORS]
            ],
            "RULESET_INVALID",
        )


def _state(
    record: RulesetRecord, activations: Sequence[ActivationRecord]
) -> tuple[RulesetState, int]:
    own = [one.activated_at_ns for one in activations if one.version == record.version]
    if not own:
        return RulesetState.DRAFT, 0
    active = activations[-1].version == record.version
    return RulesetState.ACTIVE if active else RulesetState.RETIRED, own[-1]


def _ruleset(record: RulesetRecord, activations: Sequence[ActivationRecord]) -> Ruleset:
    return Ruleset(record, *_state(record, activations))


def _refuse_errors(record: RulesetRecord, errors: Sequence[Finding]) -> None:
    if errors:
        raise _has_errors(record, errors)


def _has_errors(record: RulesetRecord, errors: Sequence[Finding]) -> StateConflict:
    first = errors[0]
    where = f"{first.path}: " if first.path else ""
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return StateConflict(
        "RULESET_HAS_ERRORS",
        f"version {record.version} cannot be put in force: {where}{first.text}{more}; make "
        "another version without them",
        metadata={one.path or one.code: one.text for one in errors[:_TOLD_ERRORS]},
    )
