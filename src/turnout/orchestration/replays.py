"""Recorded decisions tried under another ruleset, and what that says of the ruleset.

Decisions are read by the page and worked on a few at a time, so that payments go on beside it.
Nothing is stored, counted or learnt: the candidate has an engine of its own.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from turnout.domain import ids
from turnout.domain.errors import FieldError, InvalidRequest
from turnout.domain.operation import OperationState
from turnout.orchestration.commands import Caller, ReplayCommand
from turnout.orchestration.parts import Parts
from turnout.orchestration.routes import KeptRuleset, engine_config, profile_key
from turnout.orchestration.rulesets import Rulesets, read_document, refuse_unfit
from turnout.orchestration.snapshots import SnapshotLost, Snapshots
from turnout.ports import DecidedAttempt, DecisionFilter
from turnout.routing import Decision, RankedAccount, RoutingEngine, RoutingError
from turnout.routing.replay import LoggedPayment, Option, Replay, Replayed

MOST_DECISIONS = 100_000
DECISIONS = 10_000
_PAGE = 200
# Decisions between two looks of the event loop: less than half a millisecond. A thread would keep
# payments waiting longer, because the interpreter changes threads every five.
_SLICE = 4
_DAY_NS = 24 * 3_600 * 1_000_000_000
_USUAL_SPAN_NS = 7 * _DAY_NS
# Beyond this share what is left out may be what differs.
_LEFT_OUT_MOST = 0.05

_OUTCOMES = {
    OperationState.SUCCEEDED: True,
    OperationState.FAILED: False,
    OperationState.NOT_PROCESSED: False,
}
_COUNTERS = frozenset({"cap", "commit"})

EngineOf = Callable[[str], Awaitable[RoutingEngine]]
"""Gives the engine of a snapshot's version; raises SnapshotLost or RoutingError."""


class Decisions(Protocol):
    """The part of `Store` that is read here."""

    async def list_decisions(self, merchant_id: str, want: DecisionFilter) -> list[DecidedAttempt]:
        """See `Store.list_decisions`."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What decisions are tried under.

    Attributes:
        engine: has it in force, and is used for nothing else.
        key: the engine's name of the profile.
        content: the document as plain data.
    """

    engine: RoutingEngine
    key: str
    content: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What was found, and what was left out.

    Attributes:
        result: None where no decision could be used.
        read: decisions in the time that was asked for, as far as they were read.
        undecided: of those, attempts whose outcome is not known yet.
        elsewhere: whose first account refused the call at the last moment.
        unreadable: that cannot be made again: the configuration of that time is lost, or the
            record is another build's.
        unknown: decisions, among those used, in which the candidate may use an account of which
            nothing was recorded; it is left out there.
        more: whether older decisions of that time were not read.
        warnings: why the figures cannot be trusted; read them first.
    """

    result: Replayed | None
    read: int
    undecided: int
    elsewhere: int
    unreadable: int
    unknown: int
    more: bool
    warnings: tuple[str, ...]


class Trial:
    """Decisions made again under what was in force and under a candidate."""

    def __init__(self, candidate: Candidate, *, seed: int) -> None:
        self._candidate = candidate
        self._replay = Replay(seed=seed)
        self.read = self.undecided = self.elsewhere = self.unreadable = self.unknown = 0

    def take(
        self, page: Sequence[DecidedAttempt], engines: Mapping[str, RoutingEngine | None]
    ) -> None:
        """Takes decisions in; `engines` by snapshot version, None for those that are lost."""
        for one in page:
            self.read += 1
            approved = _OUTCOMES.get(one.state)
            engine = engines[one.decision.snapshot_version]
            if approved is None:
                self.undecided += 1
            elif engine is None:
                self.unreadable += 1
            else:
                try:
                    self._take(one, approved, engine)
                except RoutingError:
                    # Of another build's layout; how many those are is told.
                    self.unreadable += 1

    def _take(self, one: DecidedAttempt, approved: bool, engine: RoutingEngine) -> None:
        record, decision_id = one.decision.record, one.decision.decision_id
        logged = engine.replay(record, decision_id=decision_id)
        if not logged.account_ids or logged.account_ids[0] != one.account_id:
            self.elsewhere += 1
            return
        tried = self._candidate.engine.try_ruleset(
            record, self._candidate.key, decision_id=decision_id
        )
        self.unknown += any(out.reason == "no_evidence" for out in tried.filtered)
        options = _options(logged, tried, one.amount_minor)
        self._replay.add(LoggedPayment(one.account_id, approved, options))

    def report(self, *, more: bool) -> ReplayReport:
        """What all of them together say."""
        result = self._replay.result() if len(self._replay) else None
        return ReplayReport(
            result,
            self.read,
            self.undecided,
            self.elsewhere,
            self.unreadable,
            self.unknown,
            more,
            (*self._warnings(), *(result.warnings if result is not None else ())),
        )

    def _warnings(self) -> list[str]:
        said: list[str] = []
        if not len(self._replay):
            said.append("no decision of this profile, mode and time could be used")
        for count, why in (
            (self.undecided, "their outcome is not known yet, and that may not be by chance"),
            (self.elsewhere, "their first account refused the call at the last moment"),
            (self.unreadable, "they cannot be made again by this version and this record"),
        ):
            if count > _LEFT_OUT_MOST * self.read:
                said.append(f"{count} of {self.read} decisions are left out: {why}")
        if self.unknown > _LEFT_OUT_MOST * max(len(self._replay), 1):
            said.append(
                f"in {self.unknown} decisions the candidate may use an account that could not "
                "take the payment then: nothing is known of it, and it is left out there"
            )
        if _counts(self._candidate.content):
            said.append(
                "caps and commitments stand as they stood then (at nothing where they were not "
                "counted): how the candidate itself would have used them up is not replayed"
            )
        return said


def _options(logged: Decision, tried: Decision, amount_minor: int) -> dict[str, Option]:
    before: dict[str, RankedAccount] = {one.account_id: one for one in logged.ranked}
    after: dict[str, RankedAccount] = {one.account_id: one for one in tried.ranked}
    found: dict[str, Option] = {}
    for account_id in before | after:
        was, would = before.get(account_id), after.get(account_id)
        # What was known is the same in both; fees are today's where the candidate knows them.
        known = would or was
        assert known is not None
        found[account_id] = Option(
            was.propensity if was is not None else 0.0,
            would.propensity if would is not None else 0.0,
            known.approval * (1.0 - known.failure_rate),
            known.fee_minor / amount_minor * 10_000.0 if amount_minor else 0.0,
        )
    return found


def _counts(content: object) -> bool:
    """Whether a document has caps or commitments anywhere."""
    if isinstance(content, Mapping):
        return any(
            (key in _COUNTERS and bool(value)) or _counts(value) for key, value in content.items()
        )
    return isinstance(content, list | tuple) and any(_counts(one) for one in content)


async def try_decisions(
    source: Decisions,
    merchant_id: str,
    want: DecisionFilter,
    candidate: Candidate,
    engine_of: EngineOf,
    *,
    seed: int = 1,
) -> ReplayReport:
    """Reads decisions, newest first, and tries each under the candidate.

    Args:
        source: the record.
        merchant_id: whose they are.
        want: profile, mode and time; at most `limit` are read.
        candidate: what to try.
        engine_of: the engines that they were made by.
        seed: for the intervals of small samples.

    Raises:
        StoreUnavailable: the record cannot be read.
    """
    trial = Trial(candidate, seed=seed)
    engines: dict[str, RoutingEngine | None] = {}
    before, left = want.before, want.limit
    while left > 0:
        part = replace(want, before=before, limit=min(_PAGE, left))
        page = await source.list_decisions(merchant_id, part)
        if not page:
            return await asyncio.to_thread(trial.report, more=False)
        versions = {one.decision.snapshot_version for one in page}
        # Those of later pages are seldom needed again, and with thousands of rules they are large.
        engines = {version: engines[version] for version in versions & engines.keys()}
        for version in versions - engines.keys():
            engines[version] = await _engine(engine_of, version)
        for at in range(0, len(page), _SLICE):
            trial.take(page[at : at + _SLICE], engines)
            await asyncio.sleep(0)
        before, left = page[-1].decision.decision_id, left - len(page)
    further = await source.list_decisions(merchant_id, replace(want, before=before, limit=1))
    return await asyncio.to_thread(trial.report, more=bool(further))


async def _engine(engine_of: EngineOf, version: str) -> RoutingEngine | None:
    try:
        return await engine_of(version)
    except (SnapshotLost, RoutingError):
        # How many decisions are lost with it is told.
        return None


class Replays:
    """What RoutingService tells of candidates, knowing no proto."""

    def __init__(self, parts: Parts, snapshots: Snapshots, rulesets: Rulesets) -> None:
        self._parts = parts
        self._snapshots = snapshots
        self._rulesets = rulesets
        # One at a time: each takes what the payments leave of a core while it runs.
        self._one = asyncio.Lock()

    async def replay(self, caller: Caller, command: ReplayCommand) -> ReplayReport:
        """Tries the recorded decisions of a profile under a candidate.

        Raises:
            InvalidRequest: version, document, time or number are not right.
            NotFound: there is no such profile or version.
        """
        parts = self._parts
        parts.admission.read()
        profile = parts.directory.profile(caller.merchant_id, command.profile_id)
        now_ns = parts.mint.clock.now_ns()
        want = _filter(profile.profile_id, caller.live, command, now_ns)
        if (command.content is None) == (command.version == 0):
            raise InvalidRequest([FieldError("version", "ONE_OF_TWO", "give version or document")])
        if command.content is not None:
            document = await asyncio.to_thread(read_document, command.content)
            content = document.to_mapping()
        else:
            record = await self._rulesets.stored(caller, profile, command.version)
            content = await asyncio.to_thread(json.loads, record.document)
        accounts = parts.directory.accounts
        await asyncio.to_thread(refuse_unfit, content, accounts, profile, caller.live)
        present = self._snapshots.present
        of = (profile.profile_id, caller.live)
        rulesets = {**present.rulesets, of: (KeptRuleset(0, content),)}
        profiles, settings = parts.directory.profiles, present.settings

        def make() -> RoutingEngine:
            return RoutingEngine(engine_config(accounts, profiles, settings, rulesets))

        async with self._one:
            candidate = Candidate(await asyncio.to_thread(make), profile_key(*of), content)
            return await try_decisions(
                parts.store, caller.merchant_id, want, candidate, self._snapshots.engine_of
            )


def _filter(profile_id: str, live: bool, command: ReplayCommand, now_ns: int) -> DecisionFilter:
    problems: list[FieldError] = []
    if command.version < 0:
        problems.append(FieldError("version", "VERSION_INVALID", "versions count from 1"))
    to_ns = command.to_ns or now_ns
    from_ns = command.from_ns or to_ns - _USUAL_SPAN_NS
    if from_ns >= to_ns:
        problems.append(FieldError("from_time", "TIME_RANGE_EMPTY", "must be before to_time"))
    limit = command.most_decisions or DECISIONS
    if not 1 <= limit <= MOST_DECISIONS:
        problems.append(
            FieldError("max_decisions", "COUNT_OUT_OF_RANGE", f"must be 1 to {MOST_DECISIONS:,}")
        )
    if problems:
        raise InvalidRequest(problems)
    after, before = (ids.id_time(ids.DECISION, one) for one in (from_ns, to_ns))
    return DecisionFilter(profile_id, live, after, before, limit)
