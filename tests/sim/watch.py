"""Looks over the record's shoulder: every commit, as it becomes durable, must keep the laws.

Also gathers whatever the code itself calls a defect: exceptions that were logged or that nobody
caught.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from turnout.domain.errors import TurnoutError
from turnout.domain.operation import (
    OPERATION_TRANSITIONS,
    Operation,
    OperationKind,
    OperationState,
)
from turnout.ports import (
    AttemptRefused,
    ClaimTaken,
    MerchantReferenceTaken,
    StoreUnavailable,
    UnitOfWork,
    VersionConflict,
    WebhookRejected,
)
from turnout.stores.memory import MemoryStore

_HONEST = (AttemptRefused, ClaimTaken, MerchantReferenceTaken, VersionConflict)
_DEAD = (OperationState.FAILED, OperationState.NOT_PROCESSED)


class Watch(logging.Handler):
    """All that one world found wrong."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.faults: list[str] = []
        self.commits = 0
        self.reviews: dict[str, str] = {}
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}

    def fault(self, law: str, text: str) -> None:
        """Something that may never happen has happened."""
        if len(self.faults) < 50:
            self.faults.append(f"{law}: {text}")

    async def change_of(self, payment_id: str, most_s: float) -> None:
        """Returns once a commit has touched this payment, or after so long."""
        loop = asyncio.get_running_loop()
        told: asyncio.Future[None] = loop.create_future()
        self._waiting.setdefault(payment_id, []).append(told)
        timer = loop.call_later(most_s, lambda: told.done() or told.cancel())
        try:
            await told
        except asyncio.CancelledError:
            if not told.cancelled():
                raise
        timer.cancel()

    # --- commits -------------------------------------------------------------------------

    def before(self, record: MemoryStore, unit: UnitOfWork) -> dict[str, OperationState]:
        """The states of the payment's operations as they stand before a unit."""
        assert unit.payment is not None
        operations = record._operations
        names = record._of_payment.get(unit.payment.payment_id, ())
        return {name: operations[name].state for name in names}

    def committed(self, before: dict[str, OperationState] | None, unit: UnitOfWork) -> None:
        """A unit that is durable now."""
        self.commits += 1
        for transaction in unit.ledger:
            if sum([one.amount_minor for one in transaction.postings]):
                self.fault("I3", f"{transaction.transaction_id} does not sum to zero")
        if before is None or unit.payment is None:
            return
        for told in self._waiting.pop(unit.payment.payment_id, ()):
            if not told.done():
                told.set_result(None)
        opened: list[Operation] = []
        for one in unit.operations:
            was = before.get(one.operation_id)
            if was is None:
                if one.kind is OperationKind.AUTHORIZE:
                    opened.append(one)
                continue
            if one.state is not was and one.state not in OPERATION_TRANSITIONS[was]:
                self.fault("I6", f"{one.operation_id} went from {was} to {one.state}")
            if one.state is OperationState.NEEDS_REVIEW:
                self.reviews[one.operation_id] = one.reason
        if opened:
            after = before | {one.operation_id: one.state for one in unit.operations}
            for one in opened:
                self._opened(one, after)

    def _opened(self, opened: Operation, after: dict[str, OperationState]) -> None:
        """Another attempt: all others must surely be without money."""
        for name, state in after.items():
            if name.startswith("att_") and name != opened.operation_id and state not in _DEAD:
                self.fault(
                    "I10", f"{opened.operation_id} was opened while {name} was still {state}"
                )

    def started(self, record: MemoryStore) -> None:
        """A process is about to serve: whatever was being sent must be unknown by now."""
        for one in record._operations.values():
            if one.state is OperationState.SENDING:
                self.fault("fence", f"{one.operation_id} is still sending after a start")

    def refused(self, unit: UnitOfWork, error: Exception | BaseException) -> None:
        """A unit that the record would not take."""
        if not isinstance(error, _HONEST):
            self.fault("record", f"{type(error).__name__}: {error}")

    def webhook_failed(self, webhook_id: str, reason: str, give_up: bool) -> None:
        """Working a webhook off failed."""
        self.fault("webhook", f"{webhook_id} failed with {reason}, given up: {give_up}")

    # --- defects -------------------------------------------------------------------------

    def emit(self, record: logging.LogRecord) -> None:
        """An error that was logged with its exception is a defect."""
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            if not isinstance(error, (TurnoutError, StoreUnavailable)):
                self.fault("defect", f"{record.getMessage()}: {error!r}")

    def loop_error(self, _: Any, context: dict[str, Any]) -> None:
        """An exception that no task awaited."""
        error = context.get("exception")
        expected = (TurnoutError, StoreUnavailable, WebhookRejected)
        if error is not None and not isinstance(error, expected):
            self.fault("defect", f"{context.get('message')}: {error!r}")
