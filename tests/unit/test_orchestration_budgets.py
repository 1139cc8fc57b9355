"""Retry budgets: repetitions stay a tenth of the traffic, and an outage's end is a ramp."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from tests.contract.store_units import authorization
from tests.unit.rig import (
    MERCHANT,
    Rig,
    ScriptedProvider,
    TestClock,
    TestRandom,
    make_rig,
    unknown,
)
from turnout.connectors.exchange import Exchange
from turnout.domain.accounts import Account
from turnout.domain.operation import OperationState
from turnout.domain.outcomes import Outcome, OutcomeKind
from turnout.orchestration.budgets import RetryBudgets, RetrySettings
from turnout.orchestration.directory import Directory
from turnout.orchestration.schedule import RecoverySettings, Schedule
from turnout.ports import (
    ConnectorTraits,
    HttpRequest,
    HttpResponse,
    HttpUnknown,
    PaymentFilter,
    Store,
)
from turnout.stores.memory import MemoryStore
from turnout.stores.sqlite import SqliteStore

SETTLED = Outcome(OutcomeKind.SUCCEEDED)
SILENT = Outcome(OutcomeKind.UNKNOWN, reason="timeout")


def drain(budgets: RetryBudgets, account_id: str = "acc_a") -> int:
    count = 0
    while budgets.take(account_id):
        count += 1
    return count


def test_repetitions_stay_a_tenth_of_the_traffic() -> None:
    clock = TestClock()
    budgets = RetryBudgets(clock)
    assert drain(budgets) == 20
    repeated = 0
    for _ in range(10_000):
        budgets.first("acc_a")
        clock.forward(0.001)
        repeated += budgets.take("acc_a")
    # A tenth of ten thousand, and the trickle of ten seconds.
    assert 1_000 <= repeated <= 1_020
    assert budgets.refused >= 8_980


def test_tokens_are_not_saved_up_beyond_the_burst() -> None:
    clock = TestClock()
    budgets = RetryBudgets(clock)
    for _ in range(10_000):
        budgets.first("acc_a")
    clock.forward(86_400)
    assert drain(budgets) == 20


def asked_each_second(answer: Outcome, seconds: int) -> list[int]:
    """How often an account is asked in each second, with endless questions waiting."""
    clock = TestClock()
    budgets = RetryBudgets(clock)
    drain(budgets)
    counts = []
    for _ in range(seconds):
        count = 0
        for _ in range(100):
            clock.forward(0.01)
            while budgets.take("acc_a"):
                count += 1
                budgets.answered("acc_a", answer)
        counts.append(count)
    return counts


def test_a_silent_provider_is_asked_at_the_trickle() -> None:
    counts = asked_each_second(SILENT, 60)
    assert max(counts) <= 3
    assert 110 <= sum(counts) <= 122


def test_the_end_of_an_outage_is_a_ramp_and_not_a_storm() -> None:
    counts = asked_each_second(SETTLED, 120)
    assert counts[0] <= 3
    assert counts[5] <= 10
    assert counts[10] <= 20
    assert max(counts) <= 51
    assert min(counts[-10:]) >= 49
    # It never more than doubles from one second to the next.
    assert all(later <= 2 * earlier + 2 for earlier, later in pairwise(counts))


def test_an_account_that_asks_for_quiet_gets_it() -> None:
    clock = TestClock()
    budgets = RetryBudgets(clock)
    budgets.quiet("acc_a", 30_000)
    clock.forward(29)
    assert not budgets.take("acc_a")
    assert budgets.spent() == ["acc_a"]
    assert budgets.take("acc_b")
    clock.forward(2)
    assert budgets.spent() == []
    assert budgets.take("acc_a")


def test_a_falling_answer_halves_the_ramp() -> None:
    clock = TestClock()
    budgets = RetryBudgets(clock, RetrySettings(trickle_per_s=1, ramp_per_s=64, growth_per_s=7.0))
    for _ in range(10):
        budgets.answered("acc_a", SETTLED)
    drain(budgets)
    clock.forward(0.25)
    assert drain(budgets) == 16
    budgets.answered("acc_a", SILENT)
    clock.forward(0.5)
    assert drain(budgets) == 16


# --- in recovery ------------------------------------------------------------------------------

_ASKED = ConnectorTraits(can_inquire=True, can_cancel_by_reference=True)


async def many_unknown(tmp_path: Path, store: Store, count: int) -> Rig:
    """A rig whose first account has this many unknown outcomes, and the second account one."""
    provider = ScriptedProvider(traits=_ASKED)
    rig = await make_rig(
        tmp_path,
        store=store,
        names=("acc_a", "acc_b"),
        provider=provider,
        recovery=RecoverySettings(review_after_s=1e9),
    )
    rig.parts.budgets = RetryBudgets(rig.clock)
    for number in range(1, count + 2):
        # Left by a process that died while it was sending.
        one = authorization(number, merchant_id=MERCHANT)
        one.operation.account_id = "acc_b" if number > count else "acc_a"
        one.operation.provider = "scripted"
        await rig.store.commit(one.begin)
    rig.clock.forward(1)
    assert await rig.recovery.fence() == count + 1
    return rig


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_recovery_asks_within_the_budget_and_starves_nobody(
    tmp_path: Path, kind: str
) -> None:
    store: Store = MemoryStore() if kind == "memory" else SqliteStore(tmp_path / "record.db")
    count = 230
    rig = await many_unknown(tmp_path, store, count)
    rig.provider.inquiries = [unknown() for _ in range(10_000)]
    await rig.recovery.work_once()
    assert [account_id for account_id, _, _ in rig.provider.calls] == ["acc_a"] * 20
    # The other account's, behind two hundred that wait, has its turn all the same.
    await rig.recovery.work_once()
    assert [account_id for account_id, _, _ in rig.provider.calls[20:]] == ["acc_b"]
    rig.clock.forward(1)
    await rig.recovery.work_once()
    assert len(rig.provider.calls) == 23
    await store.close()


async def test_all_are_asked_in_the_end(tmp_path: Path) -> None:
    store = MemoryStore()
    rig = await many_unknown(tmp_path, store, 120)
    seconds = 0
    while await store.due_operations(rig.clock.now_ns(), 1):
        before = len(rig.provider.calls)
        await rig.recovery.work_once()
        rig.clock.forward(1)
        seconds += 1
        assert seconds < 200
        assert len(rig.provider.calls) - before <= 51
    for payment in await store.list_payments(MERCHANT, PaymentFilter(limit=200)):
        assert payment.operations[0].state is OperationState.SUCCEEDED
    assert seconds > 5


async def test_a_merchant_s_polling_is_no_way_around_it(tmp_path: Path) -> None:
    rig = await many_unknown(tmp_path, MemoryStore(), 1)
    rig.provider.inquiries = [unknown() for _ in range(1_000)]
    payment = await rig.store.get_payment(authorization(1).payment.payment_id)
    assert payment is not None
    for _ in range(500):
        found = await rig.payments.sync(rig.caller(), payment.payment_id)
        assert found.status == "processing"
    asked = [kind for _, kind, _ in rig.provider.calls]
    assert asked.count("inquire") == 20
    # A payer who comes back from the bank is never turned away.
    await rig.payments.sync(rig.caller(), payment.payment_id, {"redirectResult": "x"})
    assert len(rig.provider.calls) == 21


async def test_a_rate_limit_puts_the_next_look_off(tmp_path: Path) -> None:
    rig = await make_rig(tmp_path, names=("acc_a",), provider=ScriptedProvider(traits=_ASKED))
    rig.parts.budgets = RetryBudgets(rig.clock)
    rig.provider.says["acc_a"] = [unknown()]
    payment = await rig.authorize()
    rig.clock.forward(6)
    rig.provider.inquiries = [Outcome(OutcomeKind.UNKNOWN, "rate_limited", retry_after_ms=90_000)]
    await rig.recovery.work_once()
    stored = await rig.store.get_payment(payment.payment_id)
    assert stored is not None
    assert stored.operations[0].check_at_ns == rig.clock.now_ns() + 90 * 10**9
    assert rig.parts.budgets.spent() == ["acc_a"]


# --- waiting ----------------------------------------------------------------------------------


async def test_waits_are_longer_by_a_share_that_can_be_repeated(tmp_path: Path) -> None:
    rig = await make_rig(tmp_path, names=("acc_a",))
    rig.provider.says["acc_a"] = [unknown()]
    payment = await rig.authorize()
    stored = await rig.store.get_payment(payment.payment_id)
    assert stored is not None
    operation = stored.operations[0]

    def waits(seed: int) -> list[float]:
        schedule = Schedule(RecoverySettings(jitter=0.5), Directory(), TestRandom(seed))
        return [schedule.next_check_ns(operation, 0) / 1e9 for _ in range(200)]

    assert waits(1) == waits(1) != waits(2)
    assert 5.0 <= min(waits(1)) < 5.3 and 7.2 < max(waits(1)) <= 7.5
    still = Schedule(RecoverySettings(), Directory())
    assert still.next_check_ns(operation, 0) == 5 * 10**9
    assert still.next_check_ns(operation, 0, 1_000) == 5 * 10**9
    assert still.next_check_ns(replace(operation, checks=9), 0, 400_000) == 400 * 10**9


# --- in a connector's own call ----------------------------------------------------------------


class Silent:
    """A transport that never gets an answer."""

    def __init__(self) -> None:
        self.sent = 0

    async def send(self, request: HttpRequest) -> HttpResponse:
        self.sent += 1
        raise HttpUnknown("timeout")

    async def close(self) -> None:
        """Nothing is open."""


async def test_a_connector_s_second_try_comes_out_of_the_same_budget() -> None:
    clock, transport = TestClock(), Silent()
    budgets = RetryBudgets(clock)
    exchange = Exchange(transport, clock, budgets)
    account = Account("acc_a", "mer_1", "stripe", "http://127.0.0.1")
    for _ in range(100):
        deadline_ns = clock.monotonic_ns() + 10 * 10**9
        answer = await exchange.send(
            account, "POST", "http://127.0.0.1/", {}, b"", deadline_ns, again=lambda _: True
        )
        assert answer.in_doubt
    assert transport.sent == 120


def test_a_hold_at_an_account_that_has_left_ends_all_the_same() -> None:
    schedule = Schedule(RecoverySettings(), Directory())
    assert schedule.capture_before_ns("acc_gone", 5) == 5 + 168 * 3_600 * 10**9
