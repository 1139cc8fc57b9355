"""Random histories of many payments: whatever the provider answers, the books agree at the end.

The provider here keeps its own books: it decides at random whether money moved and, separately,
what it says about that (the truth, nothing, or the truth later by webhook or inquiry). After the
world has healed and recovery has run, our record is compared with those books.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import defaultdict
from pathlib import Path
from random import Random as Generator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.rig import MERCHANT, Rig, ScriptedProvider, idem, make_rig
from turnout.domain.declines import DeclineCode, decline
from turnout.domain.errors import TurnoutError
from turnout.domain.operation import OperationKind, OperationState
from turnout.domain.outcomes import Outcome, OutcomeKind, ProviderEvent
from turnout.domain.payment import CaptureMethod
from turnout.orchestration.commands import CancelCommand, CaptureCommand, RefundCommand
from turnout.ports import ConnectorTraits, InquiryRequest, PaymentFilter, StoredWebhook
from turnout.stores.memory import MemoryStore

_TERMINAL = {"succeeded", "failed", "canceled", "requires_capture", "partially_captured"}


class Liar(ScriptedProvider):
    """Moves money or not, and tells the truth, nothing, or the truth late.

    Attributes:
        moved: what truly happened, by our operation id.
        honest: it answers every question now.
    """

    def __init__(self, generator: Generator) -> None:
        super().__init__(traits=ConnectorTraits(True, True, keeps_rest=True))
        self.generator = generator
        self.moved: dict[str, tuple[OperationKind, int]] = {}
        self.refused: set[str] = set()
        self.late: list[tuple[str, str, OperationKind]] = []
        self.honest = False

    def _do(self, account_id: str, kind: OperationKind, operation_id: str, amount: int) -> Outcome:
        dice = self.generator
        fate = dice.random()
        reference = f"their-{operation_id}"
        if fate < 0.15:
            return Outcome(OutcomeKind.NOT_PROCESSED, reason="connect_failed")
        if fate < 0.35:
            self.refused.add(operation_id)
            soft = dice.random() < 0.5
            code = DeclineCode.DO_NOT_HONOR if soft else DeclineCode.LOST_CARD
            said = Outcome(
                OutcomeKind.DECLINED, provider_reference=reference, decline=decline(code)
            )
        else:
            self.moved[operation_id] = (kind, amount)
            said = Outcome(OutcomeKind.SUCCEEDED, provider_reference=reference)
        self.late.append((account_id, operation_id, kind))
        silence = dice.random()
        if silence < 0.25 and not self.honest:
            return Outcome(OutcomeKind.UNKNOWN, reason="timeout")
        if silence < 0.4 and kind is not OperationKind.AUTHORIZE:
            return Outcome(OutcomeKind.PENDING, provider_reference=reference)
        return said

    async def authorize(self, account: Any, request: Any) -> Outcome:
        self.calls.append((account.account_id, "authorize", request.operation_id))
        return self._do(
            account.account_id, OperationKind.AUTHORIZE, request.operation_id, request.amount_minor
        )

    async def follow_up(self, account: Any, request: Any) -> Outcome:
        self.calls.append((account.account_id, request.kind.value, request.operation_id))
        if request.operation_id in self.moved:
            return Outcome(OutcomeKind.SUCCEEDED, provider_reference=f"their-{request}"[:20])
        return self._do(
            account.account_id, request.kind, request.operation_id, request.amount_minor
        )

    def truth(self, operation_id: str) -> Outcome:
        """What became of an operation."""
        if operation_id in self.moved:
            return Outcome(OutcomeKind.SUCCEEDED, provider_reference=f"their-{operation_id}")
        if operation_id in self.refused:
            return Outcome(OutcomeKind.DECLINED, decline=decline(DeclineCode.LOST_CARD))
        return Outcome(OutcomeKind.NOT_PROCESSED, reason="not_found")

    async def inquire(self, account: Any, request: InquiryRequest) -> Outcome:
        if not self.honest and self.generator.random() < 0.5:
            return Outcome(OutcomeKind.UNKNOWN, reason="timeout")
        return self.truth(request.operation.operation_id)


async def deliver(rig: Rig, provider: Liar, count: int) -> None:
    """Some webhooks, in any order and some of them again."""
    for _ in range(min(count, len(provider.late))):
        account_id, operation_id, kind = provider.generator.choice(provider.late)
        event = ProviderEvent(
            f"evt-{operation_id}-{provider.generator.randrange(2)}",
            kind,
            provider.truth(operation_id),
            operation_reference=operation_id,
        )
        hook = StoredWebhook(f"whk-{provider.generator.random()}", account_id, 0, event)
        await rig.store.add_webhooks([hook])
    await rig.webhooks.work_once()


async def one_step(rig: Rig, provider: Liar, number: int, payments: list[str]) -> None:
    dice = provider.generator
    roll = dice.random()
    key = f"k{number}"
    try:
        if roll < 0.4 or not payments:
            method = dice.choice(list(CaptureMethod))
            # Each of another amount: no scheme would have one retried so often.
            amount_minor = 1_099 + number
            payment = await rig.authorize(key, capture_method=method, amount_minor=amount_minor)
            payments.append(payment.payment_id)
        elif roll < 0.6:
            command = CaptureCommand(
                dice.choice(payments), dice.choice([0, 100, 700]), final=dice.random() < 0.3
            )
            await rig.payments.capture(rig.caller(), idem(key, rpc="capture"), command)
        elif roll < 0.7:
            await rig.payments.cancel(
                rig.caller(), idem(key, rpc="cancel"), CancelCommand(dice.choice(payments))
            )
        elif roll < 0.85:
            refund = RefundCommand(dice.choice(payments), dice.choice([0, 50, 600]))
            await rig.refunds.create(rig.caller(), idem(key, rpc="refund"), refund)
        elif roll < 0.95:
            await deliver(rig, provider, 3)
        else:
            rig.clock.forward(dice.choice([1, 10, 60]))
            await rig.recovery.work_once()
    except TurnoutError:
        return


async def history(seed: int, steps: int, multi_capture: bool) -> None:
    provider = Liar(Generator(seed))
    with tempfile.TemporaryDirectory() as folder:
        rig = await make_rig(Path(folder), provider=provider, multi_capture=multi_capture)
        payments: list[str] = []
        for number in range(steps):
            await one_step(rig, provider, number, payments)
            await check_sums(rig)
        provider.honest = True
        for _ in range(12):
            rig.clock.forward(61)
            await rig.recovery.work_once()
            await deliver(rig, provider, 20)
        await check_against_books(rig, provider)


async def check_sums(rig: Rig) -> None:
    """I3, at every commit."""
    for payment in await rig.store.list_payments(MERCHANT, PaymentFilter(limit=100)):
        held = payment.captured_minor + payment.pending_capture_minor
        assert held <= payment.authorized_minor
        assert payment.refunded_minor + payment.pending_refund_minor <= payment.captured_minor
    assert isinstance(rig.store, MemoryStore)
    for transaction in rig.store.ledger():
        assert sum(line.amount_minor for line in transaction.postings) == 0
    assert (await rig.store.audit_ledger()).difference is None


async def check_against_books(rig: Rig, provider: Liar) -> None:
    """I1, I2 and I10 against what the provider truly did."""
    assert isinstance(rig.store, MemoryStore)
    posted: dict[tuple[str, str], int] = defaultdict(int)
    for transaction in rig.store.ledger():
        for line in transaction.postings:
            posted[transaction.payment_id, line.book.value] += line.amount_minor
    for payment in await rig.store.list_payments(MERCHANT, PaymentFilter(limit=100)):
        assert payment.status in _TERMINAL, (payment.payment_id, payment.status)
        approved = [
            one.operation_id
            for one in payment.operations
            if one.kind is OperationKind.AUTHORIZE and one.operation_id in provider.moved
        ]
        assert len(approved) <= 1, "charged twice"
        for one in payment.operations:
            believed = one.state is OperationState.SUCCEEDED
            assert believed is (one.operation_id in provider.moved), one
        assert posted[payment.payment_id, "captured"] == payment.captured_minor
        assert posted[payment.payment_id, "refunded"] == -payment.refunded_minor
        held = payment.authorized_minor - payment.captured_minor - payment.released_minor
        assert posted[payment.payment_id, "authorized"] == held
        assert posted[payment.payment_id, "refunds_in_transit"] == 0
    assert (await rig.store.audit_ledger()).difference is None


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), steps=st.integers(1, 40), multi_capture=st.booleans())
def test_books_agree_whatever_happens(seed: int, steps: int, multi_capture: bool) -> None:
    asyncio.run(history(seed, steps, multi_capture))


def test_a_long_history() -> None:
    asyncio.run(history(20_261_121, 400, True))
