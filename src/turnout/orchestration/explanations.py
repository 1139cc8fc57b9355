"""Why an account was chosen, and which one would be: decisions explained and simulated.

A decision is explained by making it again from its record, under the configuration and rules of
that time. A simulated one is made under today's and leaves no trace.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass

from turnout.domain.accounts import Profile
from turnout.domain.errors import FieldError, InvalidRequest, NotFound, StateConflict
from turnout.domain.payment import Payment, PaymentStatus
from turnout.orchestration.commands import Caller, SimulateCommand
from turnout.orchestration.parts import Parts
from turnout.orchestration.routes import KeptRuleset, engine_config, facts_of, profile_key
from turnout.orchestration.rulesets import Rulesets, read_document, refuse_unfit
from turnout.orchestration.snapshots import SnapshotLost, Snapshots
from turnout.orchestration.validate import check_simulation
from turnout.ports import DecisionRecord
from turnout.routing import Decision, RoutingEngine, RoutingError

_SIMULATED = "dec_simulated"


@dataclass(frozen=True, slots=True)
class Explained:
    """A decision with where it comes from.

    Attributes:
        payment_id: empty for a simulated one, as `decision_id` is.
        ruleset_version: 0 for none, or for a document that is not stored.
    """

    decision_id: str
    payment_id: str
    profile_id: str
    live: bool
    ruleset_version: int
    decision: Decision


class Explanations:
    """What RoutingService tells of decisions, knowing no proto."""

    def __init__(self, parts: Parts, snapshots: Snapshots, rulesets: Rulesets) -> None:
        self._parts = parts
        self._snapshots = snapshots
        self._rulesets = rulesets

    async def explain(self, caller: Caller, decision_id: str, payment_id: str) -> Explained:
        """Makes a recorded decision again.

        Args:
            caller: whose it must be.
            decision_id: the decision; or empty.
            payment_id: whose last decision, where no decision is named.

        Raises:
            InvalidRequest: not one of the two is given.
            NotFound: there is no such payment or decision.
            StateConflict: it cannot be made again; the message says why.
        """
        self._parts.admission.read()
        if bool(decision_id) == bool(payment_id):
            raise InvalidRequest(
                [FieldError("decision_id", "ONE_OF_TWO", "give decision_id or payment_id")]
            )
        record = await self._record(caller, decision_id, payment_id)
        payment = await self._parts.own(caller, record.payment_id)
        version, snapshot = record.ruleset_version, record.snapshot_version
        summary = payment.decision
        if not snapshot and summary is not None and summary.decision_id == record.decision_id:
            snapshot = summary.snapshot_version
        try:
            engine = await self._snapshots.engine_of(snapshot)
            decision = engine.replay(record.record, decision_id=record.decision_id)
        except (SnapshotLost, RoutingError) as error:
            raise _not_replayable(record, error) from error
        return Explained(
            record.decision_id,
            payment.payment_id,
            payment.profile_id,
            payment.live,
            version,
            decision,
        )

    async def _record(self, caller: Caller, decision_id: str, payment_id: str) -> DecisionRecord:
        if payment_id:
            payment = await self._parts.own(caller, payment_id)
            if payment.decision is None:
                raise NotFound(
                    "DECISION_NOT_FOUND",
                    f"no account was chosen for {payment_id} yet: it is {payment.status}",
                )
            decision_id = payment.decision.decision_id
        found = await self._parts.store.get_decision(caller.merchant_id, decision_id)
        if found is not None:
            payment_of = await self._parts.store.get_payment(found.payment_id)
            if payment_of is not None and payment_of.live is caller.live:
                return found
        raise NotFound(
            "DECISION_NOT_FOUND",
            f"there is no decision {decision_id[:64]!r} for this key; check the id, and that a "
            "test key is used for a test payment",
        )

    async def simulate(self, caller: Caller, command: SimulateCommand) -> Explained:
        """Decides a payment that does not exist; stores and counts nothing.

        Raises:
            InvalidRequest: facts, seed, version or document are not right.
            NotFound: there is no such version.
        """
        parts = self._parts
        parts.admission.read()
        profile = parts.directory.profile(caller.merchant_id, command.profile_id)
        check_simulation(command)
        now_ns = parts.mint.clock.now_ns()
        seed = parts.mint.random.seed() if command.seed is None else command.seed
        payment = _imagined(caller, profile, command, command.time_ns or now_ns, seed)
        engine, key, version = await self._rules_of(caller, profile, command, now_ns)
        decision = engine.decide(
            key,
            facts_of(payment, command.card),
            decision_id=_SIMULATED,
            now_ns=payment.created_at_ns,
            seed=seed,
        )
        return Explained("", "", profile.profile_id, caller.live, version, decision)

    async def _rules_of(
        self, caller: Caller, profile: Profile, command: SimulateCommand, now_ns: int
    ) -> tuple[RoutingEngine, str, int]:
        """An engine that has the rules asked for, its name of the profile, and their version."""
        known = self._parts.directory.rulesets.get((profile.profile_id, caller.live), ())
        active = known[0] if known else 0
        key = profile_key(profile.profile_id, caller.live)
        if command.content is not None:
            document = await asyncio.to_thread(read_document, command.content)
            ruleset = KeptRuleset(0, document.to_mapping())
        elif command.version in (0, *known):
            version = command.version or active
            name = profile_key(profile.profile_id, caller.live, version)
            return self._parts.engine, name, version
        else:
            record = await self._rulesets.stored(caller, profile, command.version)
            ruleset = KeptRuleset(record.version, json.loads(record.document))
        engine = await self._other_engine(caller, profile, ruleset, now_ns)
        return engine, key, ruleset.version

    async def _other_engine(
        self, caller: Caller, profile: Profile, ruleset: KeptRuleset, now_ns: int
    ) -> RoutingEngine:
        """An engine with another ruleset in force, which knows what the present one has learnt."""
        directory, present = self._parts.directory, self._snapshots.present
        accounts, live = directory.accounts, caller.live
        await asyncio.to_thread(refuse_unfit, ruleset.content, accounts, profile, live)
        config = engine_config(
            accounts,
            directory.profiles,
            present.settings,
            {**present.rulesets, (profile.profile_id, live): (ruleset,)},
        )
        learnt = self._parts.engine.save()

        def make() -> RoutingEngine:
            engine = RoutingEngine(config)
            engine.restore(learnt, now_ns=now_ns)
            return engine

        try:
            return await asyncio.to_thread(make)
        except RoutingError as error:
            raise InvalidRequest(
                [FieldError("document", "RULESET_REFUSED", str(error))]
            ) from error


def _imagined(
    caller: Caller, profile: Profile, command: SimulateCommand, now_ns: int, seed: int
) -> Payment:
    """The payment as it would be. Its id is what a split draws by, so it follows the seed."""
    return Payment(
        f"pay_{seed:032x}",
        caller.merchant_id,
        profile.profile_id,
        "",
        caller.live,
        command.amount_minor,
        command.currency,
        command.capture_method,
        PaymentStatus.PROCESSING,
        now_ns,
        now_ns,
        command.details,
    )


def _not_replayable(record: DecisionRecord, error: Exception) -> StateConflict:
    why = error.code if isinstance(error, RoutingError) else "snapshot_lost"
    return StateConflict(
        "DECISION_NOT_REPLAYABLE",
        f"{record.decision_id} cannot be made again: {error}. What was kept in words stands in "
        "the payment's `decision.reasons`",
        metadata={"why": why, "snapshot_version": record.snapshot_version},
    )
