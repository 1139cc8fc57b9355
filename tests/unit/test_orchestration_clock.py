"""A host's clock that steps, and one by which a card has expired: what may not depend on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.rig import (
    MERCHANT,
    SECOND_NS,
    Rig,
    TestClock,
    idem,
    make_rig,
    payment_command,
    unknown,
)
from turnout import v1
from turnout.domain.cards import CardDetails
from turnout.domain.errors import InvalidRequest
from turnout.domain.operation import ClaimKey, OperationState
from turnout.orchestration.commands import CardInput, ConfirmCommand, TokenCommand
from turnout.orchestration.recovery import Recovery
from turnout.ports import ConnectorTraits

DAY_S = 86_400
# The test card is still good then.
YEARS_S = 3 * 365 * DAY_S


class SteppingClock(TestClock):
    """A wall clock that is put wrong, beside a monotonic one that nobody can."""

    __test__ = False
    wrong_ns = 0

    def now_ns(self) -> int:
        return self.now + self.wrong_ns

    def step(self, seconds: float) -> None:
        self.wrong_ns += int(seconds * SECOND_NS)


async def stepping(tmp_path: Path, **more: Any) -> tuple[Rig, SteppingClock]:
    clock = SteppingClock()
    return await make_rig(tmp_path, clock=clock, **more), clock


async def answered(rig: Rig, key: str) -> bool:
    """Whether the record still knows the key."""
    return await rig.store.find_claim(ClaimKey(MERCHANT, "authorize", key)) is not None


async def status(rig: Rig, payment_id: str) -> str:
    return (await rig.payments.get(rig.caller(), payment_id)).status.value


@pytest.mark.parametrize("step_s", [40 * DAY_S, YEARS_S])
async def test_a_clock_that_steps_forgets_no_key_and_lets_nothing_go(
    step_s: int, tmp_path: Path
) -> None:
    rig, clock = await stepping(tmp_path)
    held = await rig.authorize()
    assert await rig.recovery.sweep_once() == 0
    clock.step(step_s)
    assert await rig.recovery.sweep_once() == 0
    assert await answered(rig, "k1")
    assert await status(rig, held.payment_id) == "requires_capture"
    clock.step(-step_s)
    clock.forward(DAY_S + 60)
    assert await rig.recovery.sweep_once() == 0
    assert await status(rig, held.payment_id) == "requires_capture"


async def test_a_clock_that_runs_evenly_for_a_day_is_believed_again(tmp_path: Path) -> None:
    rig, clock = await stepping(tmp_path)
    held = await rig.authorize()
    assert await rig.recovery.sweep_once() == 0
    clock.step(9 * DAY_S)
    assert await rig.recovery.sweep_once() == 0
    clock.forward(DAY_S - 60)
    assert await rig.recovery.sweep_once() == 0
    clock.forward(120)
    assert await rig.recovery.sweep_once() == 1
    assert await status(rig, held.payment_id) == "canceled"


@pytest.mark.parametrize("step_s", [-YEARS_S, 40 * DAY_S, YEARS_S])
async def test_a_step_between_two_processes_is_seen_too(step_s: int, tmp_path: Path) -> None:
    rig, clock = await stepping(tmp_path)
    await rig.authorize()
    await rig.recovery.sweep_once()
    clock.step(step_s)
    after = Recovery(rig.parts, rig.recovery._follow_ups)
    assert await after.sweep_once() == 0
    # And a third one goes on doubting, though the clock goes on as the second has left it.
    third = Recovery(rig.parts, rig.recovery._follow_ups)
    clock.forward(60)
    assert await third.sweep_once() == 0
    assert await answered(rig, "k1")


async def test_a_clock_that_is_put_right_little_by_little_is_believed(tmp_path: Path) -> None:
    rig, clock = await stepping(tmp_path)
    held = await rig.authorize()
    for _ in range(9 * 24):
        await rig.recovery.sweep_once()
        clock.forward(3_600)
        clock.step(1)
    # After more than a week of it what has run out is let go.
    assert await status(rig, held.payment_id) == "canceled"


@pytest.mark.parametrize("ahead_s", [3 * 3_600, YEARS_S])
async def test_what_a_clock_has_dated_ahead_is_looked_at_in_time(
    ahead_s: int, tmp_path: Path
) -> None:
    rig, clock = await stepping(tmp_path)
    clock.step(ahead_s)
    rig.provider.says["acc_a"] = [unknown()]
    rig.provider.inquiries = [unknown(), *([unknown()] * 40)]
    payment = await rig.authorize()
    clock.step(-ahead_s)
    assert await rig.recovery.work_once() == 1
    # Nobody ever tells: a person hears of it in time, by the looks that were had at it.
    for _ in range(20):
        clock.forward(301)
        await rig.recovery.work_once()
    kept = await rig.payments.get(rig.caller(), payment.payment_id)
    assert kept.needs_review and kept.operations[0].state is OperationState.NEEDS_REVIEW


async def test_what_is_dated_ahead_is_reversed_where_nobody_can_be_asked(tmp_path: Path) -> None:
    rig, clock = await stepping(tmp_path)
    rig.provider.traits = ConnectorTraits(False, True, 60)
    clock.step(YEARS_S)
    rig.provider.says["acc_a"] = [unknown()]
    payment = await rig.authorize()
    clock.step(-YEARS_S)
    for _ in range(6):
        await rig.recovery.work_once()
        clock.forward(61)
    assert await status(rig, payment.payment_id) == "failed"
    assert [kind for _, kind, _ in rig.provider.calls] == ["authorize", "cancel"]


async def test_a_replay_is_answered_after_the_card_has_expired(tmp_path: Path) -> None:
    """The shop repeats its calls a second after the month that the card was good for."""
    rig = await make_rig(tmp_path)
    card = CardInput(CardDetails("4111111111111111", 9, 2026, "737"))
    asked_for = payment_command(method=card)
    created = v1.Payment.FromString(
        await rig.payments.create(
            rig.caller(), idem("c", rpc="create"), payment_command(method=None)
        )
    )

    async def all_of_them(key: str, reference: str) -> AsyncIterator[Awaitable[bytes]]:
        command = replace(asked_for, merchant_reference=reference)
        confirm = ConfirmCommand(created.payment_id, card)
        caller = rig.caller()
        yield rig.payments.authorize(caller, idem(key), command)
        yield rig.payments.confirm(caller, idem(key, rpc="confirm"), confirm)
        yield rig.tokens.create(caller, idem(key, rpc="token"), TokenCommand(card))
        command = replace(command, merchant_reference=f"{reference}-b")
        yield rig.payments.create(caller, idem(key, rpc="create"), command)

    first = [await one async for one in all_of_them("k", "ref-2")]
    sent = len(rig.provider.calls)
    rig.clock.forward(20 * DAY_S)
    assert [await one async for one in all_of_them("k", "ref-2")] == first
    # Under a key of its own it is refused as ever, and leaves nothing.
    async for one in all_of_them("other", "ref-3"):
        with pytest.raises(InvalidRequest) as refused:
            await one
        assert refused.value.reason == "CARD_EXPIRED"
    assert len(rig.provider.calls) == sent
    assert not await answered(rig, "other")
