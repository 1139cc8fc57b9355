"""Figures and probes of a serving process, tied to the rooms that they are about."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from turnout.app.system import SystemClock
from turnout.domain.errors import TurnoutError
from turnout.domain.members import members
from turnout.domain.operation import Operation, OperationKind, OperationState
from turnout.domain.outcomes import Outcome, OutcomeKind
from turnout.domain.payment import Payment
from turnout.orchestration.observer import Observer
from turnout.orchestration.webhooks import Webhooks
from turnout.ports import StoreUnavailable, WebhookRejected
from turnout.server.face import Call
from turnout.telemetry import Logs, Metrics, OperationsServer, Readiness, get_logger
from turnout.telemetry.metrics import CallFigures, Counts, PaymentFigures
from turnout.telemetry.traffic import Traffic

if TYPE_CHECKING:
    from turnout.app.house import House
    from turnout.server.server import GrpcServer

log = get_logger("turnout.calls")

_Kind = members(OperationKind)
_Outcome = members(OutcomeKind)
_State = members(OperationState)
_NOT_ANSWERED = frozenset({_Outcome.UNKNOWN, _Outcome.NOT_PROCESSED})
# What is due is counted up to here; more is a backlog in any case.
_DUE_MOST = 1_000


def package_version() -> str:
    """The version of the installed package."""
    try:
        return version("turnout")
    except PackageNotFoundError:
        return "unpackaged"


class Calls:
    """Counts calls, and logs those that went wrong or moved something."""

    def __init__(self, figures: CallFigures) -> None:
        self._figures = figures

    def finished(self, call: Call) -> None:
        """A call has ended."""
        self._figures.finished(call)
        ended_well = call.code == "OK"
        if ended_well and not log.is_enabled_for(logging.DEBUG):
            return
        fields = {
            "rpc": call.rpc,
            "code": call.code,
            "request_id": call.request_id,
            "merchant_id": call.merchant_id,
            "key_id": call.key_id,
            "elapsed_ms": call.elapsed_ns / 1e6,
        }
        if ended_well:
            log.debug("call.finished", **fields)
        else:
            log.info("call.refused", reason=call.reason, **fields)


class Payments(Observer):
    """Counts and logs what orchestration tells."""

    def __init__(self, figures: PaymentFigures, refused: Counts, traffic: Traffic) -> None:
        self._figures = figures
        self._refused = refused
        self._traffic = traffic

    def attempt(self, operation: Operation, outcome: Outcome, latency_s: float) -> None:
        """A provider was asked, and this came of it."""
        kind = outcome.kind
        self._figures.attempt(operation.provider, kind, latency_s)
        if operation.kind is _Kind.AUTHORIZE and operation.state is _State.SENDING:
            # Later than that it is only asked what became of it.
            self._traffic.attempt(operation.account_id, kind is _Outcome.SUCCEEDED)
        if outcome.decline is not None:
            self._figures.declines.count(operation.provider, outcome.decline.code)
        if kind in _NOT_ANSWERED:
            log.warning(
                "provider.not_answered",
                payment_id=operation.payment_id,
                operation_id=operation.operation_id,
                kind=operation.kind,
                account_id=operation.account_id,
                outcome=kind,
                reason=outcome.reason,
                elapsed_ms=latency_s * 1e3,
            )

    def settled(self, payment: Payment, operation: Operation, request_id: str) -> None:
        """An outcome was written down."""
        self._figures.payment(payment.status)
        log.info(
            "payment.settled",
            payment_id=payment.payment_id,
            status=payment.status,
            operation_id=operation.operation_id,
            kind=operation.kind,
            state=operation.state,
            account_id=operation.account_id,
            request_id=request_id,
        )

    def review(self, payment: Payment, operation: Operation) -> None:
        """A person must look at the payment."""
        self._figures.reviews.count(operation.reason)
        log.error(
            "payment.needs_review",
            payment_id=payment.payment_id,
            operation_id=operation.operation_id,
            account_id=operation.account_id,
            reason=operation.reason,
        )

    def authorized(self, total_s: float, provider_s: float) -> None:
        """An authorization was answered."""
        self._figures.authorized(total_s, provider_s)

    def refused(self, what: str, why: str) -> None:
        """A call was refused at the door."""
        self._refused.count(what, why)

    def replayed(self, result: str) -> None:
        """A key came again."""
        self._figures.replays.count(result)


class CountedWebhooks:
    """Webhooks with their rejections counted."""

    def __init__(self, webhooks: Webhooks, watch: Watch) -> None:
        self._webhooks = webhooks
        self._watch = watch

    async def receive(
        self, account_id: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[bytes, str]:
        """See `Webhooks.receive`."""
        figures = self._watch.metrics.webhooks
        try:
            reply = await self._webhooks.receive(account_id, headers, body)
        except WebhookRejected as error:
            figures.rejected.count(self._watch.provider_of(account_id), error.reason)
            log.warning(
                "webhook.rejected", account_id=account_id, reason=error.reason, why=str(error)
            )
            raise
        except TurnoutError as error:
            figures.rejected.count("unknown", error.reason.lower())
            raise
        figures.received.count(self._watch.provider_of(account_id))
        return reply


class Watch:
    """What is shown of one process."""

    def __init__(self, logs: Logs | None = None) -> None:
        self.metrics = Metrics(package_version())
        self.readiness = Readiness()
        self.calls = Calls(self.metrics.calls)
        self._traffic = Traffic(SystemClock().monotonic_ns)
        self.payments = Payments(self.metrics.payments, self.metrics.calls.refused, self._traffic)
        self._logs = logs
        self._house: House | None = None
        self._server: OperationsServer | None = None
        self._grpc: GrpcServer | None = None
        self._written: dict[str, tuple[int, int]] = {}

    @property
    def port(self) -> int:
        """Where the operations port really is."""
        return self._server.port if self._server is not None else 0

    def provider_of(self, account_id: str) -> str:
        """The provider of an account, for a figure's label."""
        account = self._house.directory.accounts.get(account_id) if self._house else None
        return account.provider if account is not None else "unknown"

    async def open(self, house: House, grpc: GrpcServer) -> None:
        """Listens on the operations port.

        Args:
            house: what is shown.
            grpc: whose calls and streams are counted.

        Raises:
            OSError: the address cannot be listened on.
        """
        self._house, self._grpc = house, grpc
        settings = house.settings.operations
        server = OperationsServer(self.metrics, self.readiness, [self._refresh], self.accounts)
        try:
            await server.start(settings.host, settings.port)
        except OSError as error:
            raise OSError(
                f"operations.host, operations.port: cannot listen on "
                f"{settings.host}:{settings.port} ({error.strerror or error})"
            ) from error
        self._server = server

    def accounts(self) -> list[dict[str, object]]:
        """The accounts of this moment with what routing believes of them, as plain data."""
        house = self._house
        if house is None:
            return []
        found: list[dict[str, object]] = []
        for one in house.engine.health(now_ns=house.clock.now_ns()):
            attempts, approved = self._traffic.last_minute(one.account_id)
            account = house.directory.accounts.get(one.account_id)
            found.append(
                {
                    **dataclasses.asdict(one),
                    "provider": account.provider if account is not None else "unknown",
                    "enabled": account is not None and account.enabled,
                    "attempts": attempts,
                    "approved": approved,
                }
            )
        return found

    async def close(self) -> None:
        """Stops listening."""
        if self._server is not None:
            await self._server.stop()

    async def _refresh(self) -> None:
        """Sets what nobody counts."""
        house = self._house
        if house is None:
            return
        metrics, now_ns = self.metrics, house.clock.now_ns()
        metrics.config_version.set(house.directory.config_version)
        if self._logs is not None:
            metrics.log_lines_dropped.set(self._logs.dropped)
        if self._grpc is not None:
            metrics.calls.in_flight.set(self._grpc.calls)
            metrics.calls.streams.set(self._grpc.streams)
        # A newer configuration may have other accounts.
        metrics.accounts.clear()
        for one in house.engine.health(now_ns=now_ns):
            metrics.accounts.set(
                one.account_id, one.breaker, one.approval, one.failure_rate, one.in_flight
            )
        for name, store in (("record", house.store), ("vault", house.vault_store)):
            before = self._written.get(name, (0, 0))
            now = self._written[name] = (store.transactions, store.units)
            metrics.commits.commits.add(now[0] - before[0], name)
            metrics.commits.units.add(now[1] - before[1], name)
        try:
            due = await house.store.due_operations(now_ns, _DUE_MOST)
            earliest_ns = await house.store.next_check_ns()
        except StoreUnavailable as error:
            log.warning("figures.record_unreadable", error=str(error))
            return
        metrics.recovery.due.set(len(due))
        late_ns = now_ns - earliest_ns if earliest_ns else 0
        metrics.recovery.lag.set(max(late_ns, 0) / 1e9)
