"""A provider inside the process that says yes, at once or after a set time.

With it a figure tells what Turnout costs and not what a provider's simulator or a socket costs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from turnout.domain.accounts import Account
from turnout.domain.outcomes import Outcome, OutcomeKind
from turnout.ports import (
    AuthorizeRequest,
    Connector,
    ConnectorTraits,
    FollowUpRequest,
    InquiryRequest,
    WebhookDelivery,
    WebhookRejected,
)


class InstantConnector:
    """Approves everything; reveals the card, as every connector must to send it."""

    def __init__(self, provider: str, delay_s: float = 0.0) -> None:
        self.provider = provider
        self.traits = ConnectorTraits(can_inquire=True, can_cancel_by_reference=True)
        self._delay_s = delay_s

    async def authorize(self, account: Account, request: AuthorizeRequest) -> Outcome:
        """Approves."""
        card = await request.reveal.card()
        if self._delay_s:
            await asyncio.sleep(self._delay_s)
        return Outcome(
            OutcomeKind.SUCCEEDED,
            provider_reference=f"psp_{request.operation_id}_{card.number[-4:]}",
            amount_minor=request.amount_minor,
            currency=request.currency,
        )

    async def follow_up(self, account: Account, request: FollowUpRequest) -> Outcome:
        """Captures, cancels, refunds."""
        if self._delay_s:
            await asyncio.sleep(self._delay_s)
        return Outcome(
            OutcomeKind.SUCCEEDED,
            provider_reference=f"psp_{request.operation_id}",
            amount_minor=request.amount_minor,
            currency=request.currency,
        )

    async def inquire(self, account: Account, request: InquiryRequest) -> Outcome:
        """Knows of nothing that it has not answered."""
        return Outcome(OutcomeKind.UNKNOWN, reason="not_found")

    def read_webhook(
        self, account: Account, headers: Mapping[str, str], body: bytes, now_ns: int
    ) -> WebhookDelivery:
        """Sends none, so believes none."""
        raise WebhookRejected("unexpected", "this provider sends no notifications")

    def check_account(self, account: Account) -> list[str]:
        """Works with any account."""
        return []


def instant_connectors(delay_s: float = 0.0) -> dict[str, Connector]:
    """In place of the real ones, under their names, so that configuration and routing stay."""
    return {name: InstantConnector(name, delay_s) for name in ("stripe", "adyen")}
