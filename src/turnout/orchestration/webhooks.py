"""Providers' webhooks: checked and kept before they are answered for, worked on afterwards.

Keeping is what makes the answer honest: a provider that was told 200 never sends again. To work
on one is to settle an Outcome, so duplicates and any order are harmless by the same rules that
make the synchronous answers harmless.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from turnout.domain import ids
from turnout.domain.errors import NotFound
from turnout.domain.operation import (
    Operation,
    OperationDetails,
    OperationKind,
)
from turnout.domain.outcomes import OutcomeKind, ProviderEvent
from turnout.domain.payment import CAPTURABLE, CaptureMethod, Payment
from turnout.orchestration.change import Change, new_operation
from turnout.orchestration.parts import Parts
from turnout.ports import StoredWebhook, StoreUnavailable, UnitOfWork, VersionConflict

log = logging.getLogger(__name__)

_PAGE = 100
# A webhook that fails this often is set aside for people; recovery still asks the provider.
_TRIES_MOST = 10
_RETRY_S = 1.0
# Ten tries take some five minutes: what is wrong for a moment is over by then.
_RETRY_MOST_S = 60.0
# One that became durable after its receiver was cancelled has woken nobody.
_LOOK_S = 15.0
_SECOND_NS = 1_000_000_000


class Webhooks:
    """Takes notifications in and works them off."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._wake = asyncio.Event()
        # When those that failed are tried next, on the monotonic clock. A restart tries at once.
        self._later_ns: dict[str, int] = {}

    async def receive(
        self, account_id: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[bytes, str]:
        """Checks and keeps a notification; returns what the provider wants to read, and its type.

        Raises:
            NotFound: there is no such account.
            WebhookRejected: it must not be believed; nothing was stored.
            StoreUnavailable: it could not be kept; the provider will send it again.
        """
        parts = self._parts
        account = parts.directory.accounts.get(account_id)
        if account is None or account.provider not in parts.directory.connectors:
            raise NotFound(
                "ACCOUNT_NOT_FOUND",
                "there is no such account; check the URL that the provider was told to notify",
            )
        now_ns = parts.mint.clock.now_ns()
        connector = parts.directory.connectors[account.provider]
        delivery = connector.read_webhook(account, headers, body, now_ns)
        if delivery.events:
            await parts.store.add_webhooks(
                [
                    StoredWebhook(parts.mint.new(ids.WEBHOOK, now_ns), account_id, now_ns, event)
                    for event in delivery.events
                ]
            )
            self._wake.set()
        return delivery.reply, delivery.reply_content_type

    async def work(self) -> None:
        """Works webhooks off until it is cancelled."""
        while True:
            self._wake.clear()
            try:
                done = await self.work_once()
            except StoreUnavailable as error:
                log.error("webhooks wait for the record: %s", error)
                await asyncio.sleep(_RETRY_S)
                continue
            if done < _PAGE:
                await self._woken()

    async def _woken(self) -> None:
        """Returns once a webhook came, one is to be tried again, or after `_LOOK_S`."""
        wait_s = _LOOK_S
        if self._later_ns:
            left_ns = min(self._later_ns.values()) - self._parts.mint.clock.monotonic_ns()
            wait_s = min(max(left_ns / _SECOND_NS, 0.0), _LOOK_S)
        timer = asyncio.get_running_loop().call_later(wait_s, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()

    async def work_once(self) -> int:
        """Works one page off; returns how many were done."""
        # As many more as wait for their next try, so that they never fill the page.
        pending = await self._parts.store.pending_webhooks(_PAGE + len(self._later_ns))
        done = 0
        for webhook in pending:
            now_ns = self._parts.mint.clock.monotonic_ns()
            if self._later_ns.get(webhook.webhook_id, 0) > now_ns:
                continue
            try:
                await self._apply(webhook)
                self._later_ns.pop(webhook.webhook_id, None)
                done += 1
            except StoreUnavailable:
                raise
            except Exception as error:
                log.exception("webhook %s failed", webhook.webhook_id)
                await self._put_off(webhook, error, now_ns)
        return done

    async def _put_off(self, webhook: StoredWebhook, error: Exception, now_ns: int) -> None:
        """Tries again later, each time twice as late, and at last sets it aside."""
        give_up = webhook.attempts + 1 >= _TRIES_MOST
        if give_up:
            self._later_ns.pop(webhook.webhook_id, None)
        else:
            wait_s = min(_RETRY_S * 2**webhook.attempts, _RETRY_MOST_S)
            self._later_ns[webhook.webhook_id] = now_ns + int(wait_s * _SECOND_NS)
        await self._parts.store.fail_webhook(webhook.webhook_id, type(error).__name__, give_up)

    async def _apply(self, webhook: StoredWebhook) -> None:
        event = webhook.event
        payment = await self._find(webhook.account_id, event)
        account_id = webhook.account_id
        operation = _operation_of(payment, event, account_id) if payment is not None else None
        if (
            payment is not None
            and operation is None
            and _is_foreign_cancel(payment, event, account_id)
        ):
            await self._cancel_by_provider(payment, webhook)
            return
        if payment is None or operation is None:
            # Not ours: the account is shared, or somebody worked in the provider's dashboard.
            log.info("webhook %s (%s) is about nothing of ours", event.event_id, event.event_type)
            await self._parts.store.commit(UnitOfWork(webhook_done=webhook.webhook_id))
            return
        await self._parts.settle(
            payment,
            operation.operation_id,
            event.outcome,
            reverses=event.reverses,
            webhook_id=webhook.webhook_id,
            occurred_at_ns=event.occurred_at_ns,
        )

    async def _find(self, account_id: str, event: ProviderEvent) -> Payment | None:
        store = self._parts.store
        payment: Payment | None = None
        if event.operation_reference:
            payment = await store.find_payment_by_operation(event.operation_reference)
        for reference in (event.outcome.provider_reference, event.payment_reference):
            if payment is None and reference:
                payment = await store.find_payment_by_provider_reference(account_id, reference)
        if payment is None:
            return None
        at = {one.account_id for one in payment.operations}
        return payment if account_id in at else None

    async def _cancel_by_provider(self, payment: Payment, webhook: StoredWebhook) -> None:
        """The provider let go of an authorization by itself, or somebody did it there."""
        parts = self._parts
        while True:
            authorization = payment.authorization
            if authorization is None or payment.status not in CAPTURABLE:
                await parts.store.commit(UnitOfWork(webhook_done=webhook.webhook_id))
                return
            change = Change(payment, parts.mint)
            operation = new_operation(
                payment, OperationKind.CANCEL, payment.rest_minor, parts.mint
            )
            operation.details = OperationDetails(reason="by_provider")
            change.add(operation)
            outcome = webhook.event.outcome
            outcome.amount_minor, outcome.currency = None, ""
            parts.settler.settle(change, operation, outcome)
            try:
                await parts.commit_change(change, webhook_id=webhook.webhook_id)
                return
            except VersionConflict:
                payment = await parts.read(payment.payment_id)


def _operation_of(payment: Payment, event: ProviderEvent, account_id: str) -> Operation | None:
    """The operation that an event speaks of.

    By our reference, by the provider's, or the only one of its kind that waits; and only ever one
    at the account that signed the notification: a payment that was tried at two accounts must not
    let one of them tell what became of it at the other.
    """
    if event.operation_reference:
        named = payment.operation(event.operation_reference)
        if named is not None and named.kind is event.kind:
            return named if named.account_id == account_id else None
    of_kind = [one for one in payment.of_kind(event.kind) if one.account_id == account_id]
    reference = event.outcome.provider_reference
    if reference:
        for one in of_kind:
            if one.provider_reference == reference:
                return one
    if event.kind is OperationKind.CAPTURE and not of_kind:
        automatic = payment.capture_method is CaptureMethod.AUTOMATIC
        authorization = payment.authorization
        here = authorization is not None and authorization.account_id == account_id
        return authorization if automatic and event.reverses and here else None
    waiting = [one for one in of_kind if one.open]
    return waiting[0] if len(waiting) == 1 and event.kind is not OperationKind.REFUND else None


def _is_foreign_cancel(payment: Payment, event: ProviderEvent, account_id: str) -> bool:
    authorization = payment.authorization
    return (
        authorization is not None
        and authorization.account_id == account_id
        and event.kind is OperationKind.CANCEL
        and event.outcome.kind is OutcomeKind.SUCCEEDED
        and not payment.of_kind(OperationKind.CANCEL)
        and payment.status in CAPTURABLE
    )
