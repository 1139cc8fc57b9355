"""What is refused first when there is too much work, and that a refusal leaves nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.rig import MERCHANT, Rig, idem, make_rig
from turnout import v1
from turnout.domain.errors import Overloaded
from turnout.orchestration.commands import CaptureCommand
from turnout.ports import PaymentFilter


@pytest.fixture
async def rig(tmp_path: Path) -> Rig:
    return await make_rig(tmp_path)


async def test_reads_go_first_then_payments_then_follow_ups(rig: Rig) -> None:
    payment = await rig.authorize("held")
    admission = rig.parts.admission
    admission.note_lag(200.0)
    with pytest.raises(Overloaded) as refused:
        await rig.payments.get(rig.caller(), payment.payment_id)
    assert refused.value.retry_after_ms == 500
    await rig.authorize("still")
    admission.note_lag(400.0)
    with pytest.raises(Overloaded):
        await rig.authorize("not any more")
    command = CaptureCommand(payment.payment_id)
    answer = await rig.payments.capture(rig.caller(), idem("c", rpc="capture"), command)
    assert v1.Payment.FromString(answer).status == v1.PAYMENT_STATUS_SUCCEEDED
    admission.note_lag(5_000.0)
    with pytest.raises(Overloaded):
        await rig.payments.capture(rig.caller(), idem("d", rpc="capture"), command)
    assert len(await rig.store.list_payments(MERCHANT, PaymentFilter())) == 2
    assert admission.refused == 3


async def test_a_stall_is_forgotten_soon(rig: Rig) -> None:
    rig.parts.admission.note_lag(400.0)
    for _ in range(2):
        rig.parts.admission.note_lag(1.0)
    assert (await rig.authorize()).status == v1.PAYMENT_STATUS_REQUIRES_CAPTURE
