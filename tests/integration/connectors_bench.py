"""Connectors and the sandbox on one bench, real sockets between them, the books beside."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from tests.sandbox_rig import START_S, Rig, running_rig
from tests.unit.connectors_rig import (
    RealClock,
    adyen_account,
    authorize,
    follow_up,
    inquiry,
    operation,
    stripe_account,
)
from turnout.connectors.http import HttpClient
from turnout.connectors.registry import build_connectors
from turnout.domain.accounts import Account, Secret
from turnout.domain.operation import Operation, OperationKind
from turnout.domain.outcomes import Outcome, ProviderEvent
from turnout.ports import Connector, WebhookDelivery
from turnout.sandbox.books import Charge
from turnout.sandbox.faults import Rule

NOW_NS = int(START_S) * 1_000_000_000
PROVIDERS = ("stripe", "adyen")


@dataclass
class Bench:
    """One provider's connector, account and simulator."""

    rig: Rig
    provider: str
    connector: Connector
    account: Account

    def fault(self, kind: str, **more: Any) -> None:
        """Makes the provider ill."""
        rule = Rule(kind, provider=self.provider, hang_s=30.0, interval_s=0.05, **more)
        self.rig.sandbox.faults.add(rule)

    def heal(self) -> None:
        """Makes it well."""
        self.rig.sandbox.faults.clear()

    def charges(self, operation_id: str) -> list[Charge]:
        """What the provider itself has on its books for this operation."""
        return list(self.rig.sandbox.books.find(provider=self.provider, reference=operation_id))

    def charge(self, operation_id: str) -> Charge:
        """The one charge of this operation."""
        (found,) = self.charges(operation_id)
        return found

    async def authorize(self, operation_id: str, left_s: float = 10.0, **more: Any) -> Outcome:
        """An authorization under this operation id."""
        request = authorize(
            operation_id=operation_id,
            payment_id=f"pay_of_{operation_id}",
            deadline_ns=_deadline_ns(left_s),
            **more,
        )
        return await self.connector.authorize(self.account, request)

    async def follow_up(
        self,
        kind: OperationKind,
        operation_id: str,
        authorized: str,
        authorization_id: str = "att_1",
        left_s: float = 10.0,
        **more: Any,
    ) -> Outcome:
        """A capture, cancel or refund of an authorization."""
        request = follow_up(
            kind,
            authorized,
            operation_id=operation_id,
            authorization_operation_id=authorization_id,
            deadline_ns=_deadline_ns(left_s),
            **more,
        )
        return await self.connector.follow_up(self.account, request)

    async def inquire(
        self,
        asked: Operation,
        authorization: Operation | None = None,
        *,
        settled: bool,
        **more: Any,
    ) -> Outcome:
        """What became of it?"""
        request = inquiry(
            asked,
            authorization,
            settled=settled,
            now_ns=NOW_NS + 60_000_000_000,
            sent_before_ns=NOW_NS + (59_000_000_000 if settled else 120_000_000_000),
            deadline_ns=_deadline_ns(10.0),
            **more,
        )
        return await self.connector.inquire(self.account, request)

    async def webhooks(self, **how: Any) -> list[ProviderEvent]:
        """Everything that the provider has to tell, delivered and read."""
        return [event for one in await self.deliveries(**how) for event in one.events]

    async def deliveries(self, **how: Any) -> list[WebhookDelivery]:
        """The notifications as they were read."""
        return [
            self.connector.read_webhook(
                self.account,
                {name.lower(): value for name, value in one.headers.items()},
                one.raw,
                NOW_NS,
            )
            for one in await self.rig.flush(**how)
        ]


def asked_of(kind: OperationKind, operation_id: str, **more: Any) -> Operation:
    """An operation as the record has it."""
    return operation(kind, operation_id=operation_id, created_at_ns=NOW_NS, **more)


def _deadline_ns(left_s: float) -> int:
    return RealClock().monotonic_ns() + int(left_s * 1_000_000_000)


@asynccontextmanager
async def running_bench(provider: str, **changes: Any) -> AsyncIterator[Bench]:
    """A bench; `changes` are fields of SandboxSettings."""
    async with running_rig(**changes) as rig:
        client = HttpClient()
        try:
            connector = build_connectors(client, RealClock())[provider]
            yield Bench(rig, provider, connector, _account(rig, provider))
        finally:
            await client.close()


def _account(rig: Rig, provider: str) -> Account:
    settings = rig.sandbox.settings
    if provider == "stripe":
        stripe = settings.stripe_accounts[0]
        return stripe_account(
            rig.sandbox.stripe_url,
            credentials={"api_key": Secret(stripe.api_key)},
            webhook_secrets=(Secret("whsec_the_next_one"), Secret(stripe.webhook_secret)),
        )
    adyen = settings.adyen_accounts[0]
    return adyen_account(
        rig.sandbox.adyen_url,
        credentials={"api_key": Secret(adyen.api_key)},
        settings={"merchant_account": adyen.name},
        webhook_secrets=(Secret("00" * 32), Secret(adyen.hmac_key)),
    )


def impatient(account: Account, timeout_ms: int = 150) -> Account:
    """The account with a short patience."""
    return replace(account, timeout_ms=timeout_ms)
