"""Attempts: the cascade of one payment over its ranked accounts.

It moves on only where it is known that no money moved: the request was refused before it was sent
or taken up, or the decline is soft. An unknown outcome ends it for good; recovery then asks, waits
or reverses at the same account. Every attempt is in the record before its provider hears of it,
and counted there for the card's scheme; one that the scheme forbids is not made.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from turnout.domain import ids
from turnout.domain.accounts import Account, Profile
from turnout.domain.cards import CardFacts
from turnout.domain.errors import Overloaded, StateConflict
from turnout.domain.members import members
from turnout.domain.operation import Operation, OperationKind, OperationState
from turnout.domain.outcomes import Outcome, OutcomeKind
from turnout.domain.payment import Payment, PaymentStatus
from turnout.orchestration.change import Change
from turnout.orchestration.choice import choose
from turnout.orchestration.idempotency import Run
from turnout.orchestration.parts import Parts
from turnout.orchestration.routes import Choice, summary_of
from turnout.orchestration.schemes import Tally, counters_busy
from turnout.ports import (
    AttemptRefused,
    AuthorizeRequest,
    DecisionRecord,
    Reveal,
    StoreUnavailable,
    UnitOfWork,
    VersionConflict,
)
from turnout.routing import Blocked, Decision, Permit, Refusal, RoutingOutcome

_Kind = members(OperationKind)
_State = members(OperationState)
_Outcome = members(OutcomeKind)
_Status = members(PaymentStatus)
_Routed = members(RoutingOutcome)

log = logging.getLogger(__name__)

_MS = 1_000_000
# Each time the counters moved between look and commit, another payment with the card was settled.
_LOOKS_MOST = 5


@dataclass(slots=True)
class _Way:
    """One payment's way over its accounts."""

    run: Run
    payment: Payment
    profile: Profile
    facts: CardFacts
    reveal: Reveal
    choice: Choice
    candidates: Iterator[str]
    tally: Tally


class Cascade:
    """Takes one payment to a provider, and to the next where that is safe."""

    def __init__(self, parts: Parts, answer_margin_ms: int = 50) -> None:
        self._parts = parts
        self._margin_ns = answer_margin_ms * _MS

    async def authorize(
        self,
        run: Run,
        payment: Payment,
        profile: Profile,
        facts: CardFacts,
        reveal: Reveal,
        credential: Callable[[], bytes],
        *,
        insert: bool,
        seal: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Decides, writes ahead, attempts, settles, and resolves the run.

        Args:
            run: the call; its claim is written with the first attempt.
            payment: new, or loaded and to be confirmed. Its status is set here.
            profile: whose accounts to choose among.
            facts: what may be known of the card.
            reveal: the capability to see it.
            credential: makes the vault's secret of it, by which its attempts are counted.
            insert: the payment is not in the record yet.
            seal: submits the vault's own commit of the card, awaited before anything is sent.

        Raises:
            StateConflict: a rule refuses the payment, no account can take it, or the card's
                scheme forbids to try it now; nothing was stored.
            Overloaded: every account that could is at its limit; nothing was stored.
            ClaimTaken, MerchantReferenceTaken, VersionConflict, StoreUnavailable: nothing was
                stored or sent.
        """
        parts = self._parts
        clock = parts.mint.clock
        now_ns = clock.now_ns()
        holds = payment.live or profile.scheme_rules_in_test
        tally = Tally(payment, facts, credential, now_ns, holds=holds)
        if holds:
            await tally.look(parts.store, now_ns)
            tally.require(now_ns)
        choice = choose(parts, payment, facts, now_ns)
        decision = choice.decision
        if decision.blocked is not None:
            raise _blocked(decision.blocked)
        candidates = iter(decision.account_ids)
        taken = self._take(decision, candidates)
        if taken is None:
            raise _no_account(decision)
        account, permit = taken
        way = _Way(run, payment, profile, facts, reveal, choice, candidates, tally)
        try:
            operation, unsealed = await self._write_ahead(way, account, insert=insert, seal=seal)
        except BaseException:
            self._give_back(permit)
            raise
        if unsealed is not None:
            self._give_back(permit)
            await parts.settle(payment, operation.operation_id, unsealed, run=run)
            return
        await self._attempts(way, operation, account, permit)

    async def _write_ahead(
        self,
        way: _Way,
        account: Account,
        *,
        insert: bool,
        seal: Callable[[], Awaitable[None]] | None,
    ) -> tuple[Operation, Outcome | None]:
        """Makes claim, payment, decision and first attempt durable, and the card beside them.

        Returns:
            The first attempt; and an outcome where the card could not be kept, so that nothing
            may be sent.
        """
        parts, run, payment, choice = self._parts, way.run, way.payment, way.choice
        decision = choice.decision
        change = Change(payment, parts.mint)
        if not insert:
            payment.move(_Status.PROCESSING, change.now_ns)
            payment.decline = None
        summary = payment.decision = summary_of(choice, payment.config_version)
        summary.reasons.append(
            way.tally.plan(decision.account_ids, way.profile.max_attempts, change.now_ns)
        )
        operation = self._add_attempt(change, account, run)
        unit = change.unit(
            parts.encoder,
            claim=run.claim(payment.payment_id, operation.operation_id),
            decision=DecisionRecord(
                decision.decision_id,
                payment.merchant_id,
                payment.payment_id,
                change.now_ns,
                decision.record(),
                summary.snapshot_version,
                choice.ruleset_version,
            ),
            answer=False,
            insert=insert,
        )
        unit.count = way.tally.count(operation, change.now_ns)
        committed = parts.store.commit(unit)
        sealed = seal() if seal is not None else None
        try:
            await run.begin(committed, lambda: parts.encoder.payment(payment))
        except AttemptRefused:
            await self._begin_again(way, operation, unit)
        finally:
            unsealed = None
            if sealed is not None:
                try:
                    await sealed
                except StoreUnavailable as error:
                    log.error("a card could not be kept: %s", error)
                    unsealed = Outcome(_Outcome.NOT_PROCESSED, reason="vault_unavailable")
        return operation, unsealed

    async def _begin_again(self, way: _Way, operation: Operation, unit: UnitOfWork) -> None:
        """The card's counters moved before the first commit: looks again, and commits again.

        Raises:
            StateConflict, Overloaded: now the scheme forbids the attempt; nothing was stored.
        """
        parts, payment = self._parts, way.payment
        for _ in range(_LOOKS_MOST):
            now_ns = parts.mint.clock.now_ns()
            await way.tally.look(parts.store, now_ns)
            way.tally.require(now_ns)
            unit.count = way.tally.count(operation, now_ns)
            committed = parts.store.commit(unit)
            try:
                await way.run.begin(committed, lambda: parts.encoder.payment(payment))
                return
            except AttemptRefused:
                continue
        raise counters_busy(way.tally.rules.scheme)

    async def _attempts(
        self, way: _Way, operation: Operation, account: Account, permit: Permit
    ) -> None:
        """The attempts themselves; the first one is in the record already."""
        run, payment = way.run, way.payment
        made = 1
        while True:
            outcome = await self._send(way, operation, account, permit)
            way.tally.heard(operation, outcome, self._parts.mint.clock.now_ns())
            following = None
            if made < way.profile.max_attempts and self._may_go_on(way, outcome):
                following = self._take(way.choice.decision, way.candidates)
            if following is None:
                await self._parts.settle(payment, operation.operation_id, outcome, run=run)
                return
            moved = await self._move_on(way, operation, outcome, following)
            if moved is None:
                payment = await self._parts.read_again(payment.payment_id, run)
                await self._parts.settle(payment, operation.operation_id, outcome, run=run)
                return
            operation = moved
            account, permit = following
            made += 1

    async def _move_on(
        self,
        way: _Way,
        operation: Operation,
        outcome: Outcome,
        following: tuple[Account, Permit],
    ) -> Operation | None:
        """Settles a failed attempt and writes the next one ahead, in one commit.

        Returns:
            The next attempt; None where the payment was changed by somebody else meanwhile (a
            webhook, a recovery), so that it is no longer known that no money moved, where the
            card's scheme forbids it since another payment was settled, or where the record
            cannot be written now; the outcome is then still to be settled.
        """
        account, permit = following
        change = Change(way.payment, self._parts.mint)
        self._parts.settler.settle(change, operation, outcome, conclude=False)
        operation.claim = None
        following_attempt = self._add_attempt(change, account, way.run)
        unit = change.unit(self._parts.encoder, answer=False)
        unit.count = way.tally.count(following_attempt, change.now_ns)
        try:
            await self._parts.store.commit(unit)
        except (VersionConflict, AttemptRefused, StoreUnavailable):
            self._give_back(permit)
            return None
        except BaseException:
            self._give_back(permit)
            raise
        return following_attempt

    def _may_go_on(self, way: _Way, outcome: Outcome) -> bool:
        """Whether no money moved for certain, the scheme allows it, and the caller is there."""
        run = way.run
        if outcome.kind is _Outcome.NOT_PROCESSED:
            known = True
        else:
            known = (
                outcome.kind is _Outcome.DECLINED
                and outcome.decline is not None
                and outcome.decline.soft
            )
        left_ns = run.caller.deadline_ns - self._margin_ns - self._parts.mint.clock.monotonic_ns()
        if not known or run.answered or run.late or left_ns <= 0:
            return False
        forbidden = way.tally.forbids(self._parts.mint.clock.now_ns(), outcome.decline)
        if forbidden is not None and way.payment.decision is not None:
            way.payment.decision.reasons.append(
                f"No further attempt: {forbidden.told} ({forbidden.rule})."
            )
            run.noted = True
        return forbidden is None

    def _take(
        self, decision: Decision, candidates: Iterator[str]
    ) -> tuple[Account, Permit] | None:
        """The next account that may be called now, with its permit."""
        parts = self._parts
        now_ns = parts.mint.clock.now_ns()
        for account_id in candidates:
            account = parts.directory.accounts.get(account_id)
            if account is None or account.provider not in parts.directory.connectors:
                continue
            permit = parts.engine.begin(account_id, now_ns=now_ns, decision=decision)
            if not isinstance(permit, Refusal):
                return account, permit
        return None

    def _give_back(self, permit: Permit) -> None:
        self._parts.engine.finish(
            permit,
            _Routed.ABANDONED,
            latency_ms=0.0,
            now_ns=self._parts.mint.clock.now_ns(),
        )

    def _add_attempt(self, change: Change, account: Account, run: Run) -> Operation:
        payment = change.payment
        operation = Operation(
            self._parts.mint.new(ids.ATTEMPT, change.now_ns),
            payment.payment_id,
            payment.merchant_id,
            _Kind.AUTHORIZE,
            len(payment.operations) + 1,
            account.account_id,
            account.provider,
            payment.amount_minor,
            payment.currency,
            _State.SENDING,
            change.now_ns,
            change.now_ns,
            claim=run.key,
        )
        operation.check_at_ns = self._parts.schedule.sent_before_ns(operation)
        change.add(operation)
        return operation

    def _send(
        self, way: _Way, operation: Operation, account: Account, permit: Permit
    ) -> Awaitable[Outcome]:
        parts, payment = self._parts, way.payment
        request = AuthorizeRequest(
            operation.operation_id,
            payment.payment_id,
            payment.merchant_reference,
            operation.amount_minor,
            operation.currency,
            payment.capture_method,
            way.facts,
            way.reveal,
            payment.details,
            parts.mint.clock.monotonic_ns() + account.timeout_ms * _MS,
            require_three_ds=way.choice.decision.require_three_ds,
        )
        connector = parts.directory.connectors[account.provider]
        return parts.call(
            operation, permit, lambda: connector.authorize(account, request), way.run
        )


def _blocked(by: Blocked) -> StateConflict:
    return StateConflict(
        "BLOCKED_BY_RULE",
        f"rule {by.rule_id} of this profile's ruleset refuses the payment: {by.reason}; nothing "
        "was stored",
        metadata={"rule_id": by.rule_id, "reason": by.reason},
    )


def _no_account(decision: Decision) -> StateConflict | Overloaded:
    if decision.account_ids:
        return Overloaded(
            "ACCOUNTS_BUSY",
            "every account that could take this payment is at its limit of calls or still closed "
            "after failures; nothing was stored, call again shortly",
            retry_after_ms=1_000,
        )
    reasons = {one.account_id: one.text for one in decision.filtered}
    told = "; ".join(f"{name}: {text}" for name, text in reasons.items())
    return StateConflict(
        "NO_ELIGIBLE_ACCOUNT",
        f"no account of this profile can take this payment ({told or 'it has no accounts'}); "
        "change the payment, or the accounts in turnout.toml",
        metadata=reasons,
    )
