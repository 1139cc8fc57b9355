"""The ledger as its merchant reads it."""

from __future__ import annotations

from turnout.domain.ledger import Balance, LedgerTransaction
from turnout.orchestration.commands import Caller
from turnout.orchestration.parts import Parts
from turnout.ports import BalanceFilter, LedgerFilter


class Ledger:
    """What LedgerService does, knowing no proto."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def balances(self, caller: Caller, want: BalanceFilter) -> list[Balance]:
        """The caller's balances, by account, currency and book."""
        self._parts.admission.read()
        want.live = caller.live
        return await self._parts.store.ledger_balances(caller.merchant_id, want)

    async def entries(self, caller: Caller, want: LedgerFilter) -> list[LedgerTransaction]:
        """A page of the caller's ledger transactions, newest first."""
        self._parts.admission.read()
        want.live = caller.live
        return await self._parts.store.list_ledger(caller.merchant_id, want)
