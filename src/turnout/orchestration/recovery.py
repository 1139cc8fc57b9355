"""Recovery: finds out what became of what is not known, and lets expired authorizations go.

Its timers stand in the record (`check_at_ns`), not in memory, so they survive any crash. It asks
the provider where it can be asked, sends follow-ups again under their own key at the same account,
waits for a webhook where nothing else can tell, reverses by our reference where even that stays
away, and at last hands to a person. It never opens another account.
"""

from __future__ import annotations

import asyncio
import logging

from turnout.domain.errors import Unavailable
from turnout.domain.events import EventType
from turnout.domain.operation import Operation, OperationKind, OperationState
from turnout.domain.payment import CAPTURABLE, Payment, PaymentStatus
from turnout.orchestration.change import Change
from turnout.orchestration.follow_ups import FollowUps
from turnout.orchestration.parts import Parts
from turnout.orchestration.steadiness import Steadiness
from turnout.ports import StoreUnavailable, VersionConflict

log = logging.getLogger(__name__)

_PAGE = 200
# Some 25 ms of the record's writer, for which other commits wait.
_FENCED_AT_ONCE = 2_000
_SECOND_NS = 1_000_000_000
_CLAIM_LIFE_NS = 30 * 24 * 3_600 * _SECOND_NS
_SWEEP_S = 30.0


class Recovery:
    """Works off what is due."""

    def __init__(self, parts: Parts, follow_ups: FollowUps) -> None:
        self._parts = parts
        self._follow_ups = follow_ups
        self._busy: set[str] = set()
        settings = parts.schedule.settings
        self._gate = asyncio.Semaphore(settings.concurrency)
        self._steadiness = Steadiness(parts.store, parts.mint.clock, settings.clock_doubt_s)

    async def fence(self, limit: int = 0) -> int:
        """At start: whatever was being sent is unknown now; returns how many those were.

        Without a limit before anything is served. What a limit leaves may wait, because an open
        operation binds its money whether it is `sending` or `unknown`; `fence_rest` takes it.
        """
        return await self._parts.store.fence_in_flight(self._parts.mint.clock.now_ns(), limit)

    async def fence_rest(self) -> None:
        """Goes on with what `fence` has left, beside whatever is served."""
        while True:
            try:
                if await self.fence(_FENCED_AT_ONCE) < _FENCED_AT_ONCE:
                    return
            except StoreUnavailable as error:
                log.error("fencing waits for the record: %s", error)
                await asyncio.sleep(self._parts.schedule.settings.poll_s)

    async def work(self) -> None:
        """Looks at what is due, again and again, until it is cancelled."""
        while True:
            try:
                await self.work_once()
            except StoreUnavailable as error:
                log.error("recovery waits for the record: %s", error)
            await asyncio.sleep(self._parts.schedule.settings.poll_s)

    async def work_once(self) -> int:
        """Looks at everything that is due now; returns how much that was."""
        await self._steadiness.look()
        now_ns = self._parts.mint.clock.now_ns()
        budgets = self._parts.budgets
        spent = budgets.spent() if budgets is not None else []
        beyond_ns = self._parts.schedule.beyond_ns(now_ns)
        due = await self._parts.store.due_operations(now_ns, _PAGE, spent, beyond_ns)
        calling = self._parts.calling
        fresh = [one for one in due if one[0] not in self._busy and one[1] not in calling]
        # One payment at a time: two operations of one are looked at one after the other.
        chosen = dict(reversed(fresh))
        if not chosen:
            return 0
        await asyncio.gather(*(self._look(*one) for one in chosen.items()))
        return len(chosen)

    async def sweep(self) -> None:
        """Expires authorizations, forgets old claims and attempts, until it is cancelled."""
        while True:
            try:
                await self.sweep_once()
            except StoreUnavailable as error:
                log.error("expiry waits for the record: %s", error)
            await asyncio.sleep(min(_SWEEP_S, self._parts.schedule.settings.poll_s * 4))

    async def sweep_once(self) -> int:
        """Expires what has expired; returns how many authorizations that were."""
        now_ns = await self._steadiness.now_ns()
        if now_ns is None:
            return 0
        store = self._parts.store
        await store.delete_expired_claims(now_ns - _CLAIM_LIFE_NS, _PAGE)
        await store.forget_attempts(now_ns, _PAGE)
        grace_ns = int(self._parts.schedule.settings.expiry_grace_s * _SECOND_NS)
        expired = await store.expired_authorizations(now_ns - grace_ns, _PAGE)
        count = 0
        for payment_id in expired:
            count += await self._expire(payment_id)
        return count

    async def _look(self, payment_id: str, operation_id: str) -> None:
        self._busy.add(payment_id)
        try:
            async with self._gate:
                payment = await self._parts.read(payment_id)
                operation = payment.operation(operation_id)
                if operation is None or not operation.check_at_ns or not operation.open:
                    return
                if self._follow_ups.repeats(operation) and not self._parts.may_repeat(
                    operation.account_id
                ):
                    # It stays due, and its turn comes when there is budget again.
                    return
                await self._resolve(payment, operation)
        except Unavailable as error:
            log.warning("%s of %s cannot be looked at: %s", operation_id, payment_id, error)
            await self._put_off(payment_id, operation_id, error.reason.lower())
        except StoreUnavailable:
            raise
        except Exception:
            # One payment that trips over a defect must not keep the others waiting.
            log.exception("%s of %s cannot be looked at", operation_id, payment_id)
            await self._put_off(payment_id, operation_id, "recovery_defect")
        finally:
            self._busy.discard(payment_id)

    async def _resolve(self, payment: Payment, operation: Operation) -> None:
        """One step towards knowing."""
        schedule, now_ns = self._parts.schedule, self._parts.mint.clock.now_ns()
        account, connector = self._parts.directory.reach(operation.account_id)
        payment = await self._follow_ups.ask(payment, operation)
        current = payment.operation(operation.operation_id)
        if current is None or not current.open or current.check_at_ns == 0:
            return
        if schedule.overdue(current, now_ns):
            await self._review(payment, current, current.reason or "nobody_tells")
        elif current.kind is OperationKind.AUTHORIZE and not payment.cancel_open:
            if current.state is OperationState.REQUIRES_ACTION:
                if now_ns > schedule.action_ends_ns(current):
                    await self._follow_ups.undo(payment, current, "abandoned")
            elif (
                not connector.traits.can_inquire
                and connector.traits.can_cancel_by_reference
                and current.state is OperationState.UNKNOWN
                and schedule.reversal_due(current, connector.traits.inquiry_wait_s, now_ns)
                and self._parts.quiet(current)
            ):
                log.warning(
                    "%s at %s: nobody tells its outcome, reversing it by reference",
                    current.operation_id,
                    account.account_id,
                )
                await self._follow_ups.undo(payment, current, "outcome_reversed")

    async def _review(self, payment: Payment, operation: Operation, why: str) -> None:
        change = Change(payment, self._parts.mint)
        self._parts.settler.review(change, operation, why)
        try:
            await self._parts.store.commit(change.unit(self._parts.encoder))
        except VersionConflict:
            return
        self._parts.observer.review(payment, operation)

    async def _put_off(self, payment_id: str, operation_id: str, why: str) -> None:
        """Nothing could be asked now: look again later, or call a person where it is too late."""
        payment = await self._parts.read(payment_id)
        operation = payment.operation(operation_id)
        if operation is None or not operation.open or not operation.check_at_ns:
            return
        if self._parts.schedule.overdue(operation, self._parts.mint.clock.now_ns()):
            await self._review(payment, operation, why)
            return
        change = Change(payment, self._parts.mint)
        operation.checks += 1
        operation.check_at_ns = self._parts.schedule.next_check_ns(operation, change.now_ns)
        change.touch(operation)
        try:
            await self._parts.store.commit(change.unit(self._parts.encoder, answer=False))
        except VersionConflict:
            return

    async def _expire(self, payment_id: str) -> int:
        """Lets an authorization go whose time at the provider is over."""
        payment = await self._parts.read(payment_id)
        authorization = payment.authorization
        if (
            authorization is None
            or payment.status not in CAPTURABLE
            or payment.pending_capture_minor
            or payment.cancel_open
        ):
            return 0
        change = Change(payment, self._parts.mint)
        self._parts.settler.release_rest(change, authorization)
        if payment.captured_minor:
            payment.move(PaymentStatus.SUCCEEDED, change.now_ns)
        else:
            payment.cancellation_reason = "expired"
            payment.move(PaymentStatus.CANCELED, change.now_ns)
        change.touch()
        change.tell(EventType.PAYMENT_AUTHORIZATION_EXPIRED)
        try:
            await self._parts.store.commit(change.unit(self._parts.encoder, answer=False))
        except VersionConflict:
            return 0
        return 1
