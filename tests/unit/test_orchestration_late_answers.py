"""What issuers answered after a call had ended unknown is learnt like any other answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.rig import YES, Rig, make_rig, no, unknown
from turnout.domain.outcomes import Outcome, OutcomeKind
from turnout.ports import DecisionRecord
from turnout.stores.memory import MemoryStore


@pytest.fixture
async def rig(tmp_path: Path) -> Rig:
    return await make_rig(tmp_path)


def answers(rig: Rig, account_id: str = "acc_a") -> tuple[float, float]:
    """How many answers of issuers the engine has learnt of an account, and their share."""
    for one in rig.parts.engine.health(now_ns=rig.clock.now_ns()):
        if one.account_id == account_id:
            return round(one.answers, 1), one.approval
    raise AssertionError(account_id)


async def leave_open(rig: Rig, first: Outcome | None = None) -> str:
    """A payment whose first attempt ended without an answer; returns the attempt."""
    rig.provider.says["acc_a"] = [first or unknown()]
    payment = await rig.authorize()
    assert answers(rig)[0] == 0
    return payment.attempts[0].attempt_id


@pytest.mark.parametrize("found", [YES, no()])
async def test_what_recovery_finds_out_is_learnt(rig: Rig, found: Outcome) -> None:
    await leave_open(rig)
    before = answers(rig)[1]
    rig.provider.inquiries.append(found)
    rig.clock.forward(20.0)
    assert await rig.recovery.work_once() == 1
    learnt, approval = answers(rig)
    assert learnt == 1.0
    assert (approval > before) is (found is YES)


async def test_what_a_webhook_tells_is_learnt_once(rig: Rig) -> None:
    attempt = await leave_open(rig)
    for _ in range(2):
        await rig.webhooks.receive("acc_a", {}, f"authorize {attempt} succeeded".encode())
        await rig.webhooks.work_once()
    rig.clock.forward(20.0)
    await rig.recovery.work_once()
    assert answers(rig)[0] == 1.0


async def test_the_answer_after_three_d_secure_is_learnt(rig: Rig) -> None:
    attempt = await leave_open(rig, Outcome(OutcomeKind.PENDING, reason="in_progress"))
    await rig.webhooks.receive("acc_a", {}, f"authorize {attempt} declined".encode())
    await rig.webhooks.work_once()
    assert answers(rig)[0] == 1.0


async def test_what_was_learnt_from_the_call_is_not_learnt_again(rig: Rig) -> None:
    payment = await rig.authorize()
    assert answers(rig)[0] == 1.0
    attempt = payment.attempts[0].attempt_id
    await rig.webhooks.receive("acc_a", {}, f"authorize {attempt} succeeded".encode())
    await rig.webhooks.work_once()
    assert answers(rig)[0] == 1.0


async def test_what_stays_unknown_teaches_nothing(rig: Rig) -> None:
    await leave_open(rig)
    rig.provider.inquiries.append(unknown())
    rig.clock.forward(20.0)
    await rig.recovery.work_once()
    assert answers(rig)[0] == 0


async def test_an_answer_of_another_day_is_not_learnt(rig: Rig) -> None:
    attempt = await leave_open(rig)
    rig.clock.forward(7_200.0)
    await rig.webhooks.receive("acc_a", {}, f"authorize {attempt} succeeded".encode())
    await rig.webhooks.work_once()
    assert answers(rig)[0] == 0


class Forgetful(MemoryStore):
    """A record whose decisions no engine of today can read."""

    async def get_decision(self, merchant_id: str, decision_id: str) -> DecisionRecord | None:
        found = await super().get_decision(merchant_id, decision_id)
        assert found is not None
        found.record = b"of another layout"
        return found


async def test_a_record_that_cannot_be_read_keeps_no_payment_open(tmp_path: Path) -> None:
    rig = await make_rig(tmp_path, store=Forgetful())
    attempt = await leave_open(rig)
    await rig.webhooks.receive("acc_a", {}, f"authorize {attempt} succeeded".encode())
    assert await rig.webhooks.work_once() == 1
    payment = await rig.store.find_payment_by_operation(attempt)
    assert payment is not None
    assert payment.status == "requires_capture"
    assert answers(rig)[0] == 0
