"""Runs and what they are made with: who waits for an answer, ids, members, looks at counters."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from tests.unit.rig import TestClock, TestRandom, make_rig, until
from turnout import v1
from turnout.domain.errors import Overloaded
from turnout.domain.ids import id_time
from turnout.domain.members import members
from turnout.domain.operation import OperationKind, OperationState
from turnout.domain.outcomes import Outcome, OutcomeKind
from turnout.orchestration.commands import Idempotency
from turnout.orchestration.idempotency import Run
from turnout.orchestration.mint import Mint
from turnout.ports import AttemptRefused, UnitOfWork
from turnout.stores.memory import MemoryStore


async def test_each_caller_with_the_key_gives_up_for_themselves_alone(tmp_path: Path) -> None:
    rig = await make_rig(tmp_path)
    gate = asyncio.Event()

    async def slow(_: Any) -> Outcome:
        await gate.wait()
        return Outcome(OutcomeKind.SUCCEEDED)

    rig.provider.says = {"acc_a": [slow]}
    calls = [asyncio.create_task(rig.authorize()) for _ in range(4)]
    await until(lambda: bool(rig.provider.calls))
    calls[0].cancel()
    calls[2].cancel()
    late = rig.authorize(timeout_s=0.05)
    with pytest.raises(Exception, match="still running"):
        await late
    gate.set()
    told = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(one, asyncio.CancelledError) for one in told] == [True, False, True, False]
    assert told[1] == told[3]
    assert isinstance(told[1], v1.Payment)
    assert await rig.claims.drain(5.0) == 0
    assert rig.claims.in_flight == 0
    assert len(rig.provider.calls) == 1


async def test_a_drain_waits_for_work_whose_caller_has_gone(tmp_path: Path) -> None:
    rig = await make_rig(tmp_path)
    gate = asyncio.Event()

    async def slow(_: Any) -> Outcome:
        await gate.wait()
        return Outcome(OutcomeKind.SUCCEEDED)

    rig.provider.says = {"acc_a": [slow]}
    call = asyncio.create_task(rig.authorize())
    await until(lambda: bool(rig.provider.calls))
    call.cancel()
    assert rig.claims.in_flight == 1
    assert await rig.claims.drain(0.0) == 1
    gate.set()
    assert await rig.claims.drain(5.0) == 0


async def test_an_error_is_not_lost_where_its_caller_has_gone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rig = await make_rig(tmp_path)
    gate = asyncio.Event()

    async def broken(run: Run) -> None:
        await gate.wait()
        raise RuntimeError("a defect")

    calls = [
        asyncio.create_task(rig.claims.run(rig.caller(), Idempotency("Try", "k", b""), broken))
        for _ in range(2)
    ]
    await until(lambda: rig.claims.in_flight == 1)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert "a defect" not in caplog.text
    gate.set()
    assert await rig.claims.drain(5.0) == 0
    assert "Try failed when its callers had gone" in caplog.text
    assert "a defect" in caplog.text


def test_ids_are_new_and_carry_their_time() -> None:
    mint = Mint(TestClock(), TestRandom())
    made = [mint.new("att_", (1 + at // 3) * 1_000_000) for at in range(1_000)]
    assert len({one[-20:] for one in made}) == 1_000
    assert {len(one) for one in made} == {36}
    for at, one in enumerate(made):
        assert one.startswith(id_time("att_", (1 + at // 3) * 1_000_000))


@pytest.mark.parametrize("kind", [OperationKind, OperationState, OutcomeKind])
def test_members_are_the_enum_s_own(kind: type[Enum]) -> None:
    plain = members(kind)
    for one in kind:
        assert getattr(plain, one.name) is one


class MovingCounters(MemoryStore):
    """A record whose counters have moved whenever an attempt is to be counted."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def commit(self, unit: UnitOfWork) -> Awaitable[None]:
        if unit.count is None or self.times == 0:
            return super().commit(unit)
        self.times -= 1
        refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        refused.set_exception(AttemptRefused())
        return refused


@pytest.mark.parametrize("times", range(8))
async def test_counters_that_move_are_looked_at_again_or_nothing_is_stored(
    times: int, tmp_path: Path
) -> None:
    store = MovingCounters(times)
    rig = await make_rig(tmp_path, store=store)
    try:
        payment = await rig.authorize()
    except Overloaded as busy:
        assert busy.reason == "SCHEME_COUNTERS_BUSY"
        assert times > 5
        assert not rig.provider.calls
        assert await rig.called("ref-k1") is None
    else:
        assert times <= 5
        assert payment.status == v1.PAYMENT_STATUS_REQUIRES_CAPTURE
