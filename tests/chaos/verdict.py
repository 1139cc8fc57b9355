"""Heal, converge, compare: what must hold after every fault, whatever it was.

The providers' own books are asked, not only ours: I1 nobody charged twice, I2 nothing acknowledged
is lost and nothing stays undecided, I3 the ledger adds up, I5 answers are repeated as they were.
"""

import asyncio
import time
from pathlib import Path

from tests.chaos.load import Answered, Load
from tests.e2e.grounds import UNDECIDED, Merchant
from tests.e2e.running import run
from turnout import v1
from turnout.cli.playground import IMPATIENT, Playground
from turnout.cli.reckoning import Reckoning, reckon

# With impatient intervals seconds do, on a machine of its own. What is left is room for other
# work on it.
CONVERGE_S = 240.0
# A provider that gets no core for a while carries out late what it was sent before; for as long
# its "not found" must not be believed. Far longer than any pause on a busy machine.
SETTLE_AFTER_S = 10.0
REPLAYS_AT_ONCE = 16
# Webhooks come soon, in any order, twice, and are tried again until the server is back.
UNRULY = {
    "preset": "unruly",
    "delay_p50_ms": 20.0,
    "delay_p99_ms": 400.0,
    "duplicate_delay_ms": 300.0,
    "reorder_delay_ms": 500.0,
    "attempts_max": 200,
    "retry_base_ms": 200.0,
    "retry_cap_ms": 1_000.0,
}
# Long enough that every fault meets payments at all stages of their way.
LATENCY = {"p50_ms": 40, "p99_ms": 200}


def patient(stall_s: float = 0.0) -> str:
    """Recovery's times, for providers that may stand still for so long."""
    return IMPATIENT.replace(
        "settle_after_s = 0.5", f"settle_after_s = {stall_s + SETTLE_AFTER_S}"
    )


async def prepare(ground: Playground) -> Merchant:
    """Providers that take their time, and webhooks without manners."""
    for provider in ("stripe", "adyen"):
        await ground.control("PUT", f"{provider}/latency", LATENCY)
    await ground.control("PUT", "webhooks", UNRULY)
    return Merchant(ground)


async def heal(ground: Playground) -> None:
    """Nothing is wrong any more."""
    await ground.control("DELETE", "faults")
    for provider in ("stripe", "adyen"):
        await ground.control("PUT", f"{provider}/outage", {"mode": "none"})


def undecided(payments: list[v1.Payment]) -> list[str]:
    """Payments whose outcome nobody knows yet, for people."""
    return [
        f"{one.payment_id} at {one.provider}: "
        f"{v1.PaymentStatus.Name(one.status)}, {v1.ProcessingReason.Name(one.processing_reason)}"
        for one in payments
        if one.status in UNDECIDED
    ]


async def converged(merchant: Merchant, limit_s: float) -> tuple[list[v1.Payment], Reckoning]:
    """The record and what the books say of it, as soon as they agree or when time is up."""
    ground = merchant.ground
    end_s = time.monotonic() + limit_s
    while True:
        payments = await merchant.all()
        found = reckon(payments, await ground.books())
        waiting = (await ground.control("GET", "webhooks?limit=1"))["waiting"]
        open_ = undecided(payments)
        if not (open_ or found.differences or waiting) or time.monotonic() > end_s:
            assert not open_, f"after {limit_s:.0f} s undecided: {open_[:5]}"
            assert not waiting, f"{waiting} webhooks are still refused"
            return payments, found
        await asyncio.sleep(0.25)


async def verdict(
    load: Load, room: Path, *, limit_s: float = CONVERGE_S, hint: str = ""
) -> list[v1.Payment]:
    """Heals the world, waits until nothing is open, and compares everything with everything."""
    merchant, ground = load.merchant, load.merchant.ground
    await heal(ground)
    began_s = time.monotonic()
    payments, found = await converged(merchant, limit_s)
    print(
        f"{hint}: {len(payments)} payments, {len(load.answered)} answers, callers saw "
        f"{dict(load.errors)}, refused {dict(load.refused)}; settled after "
        f"{time.monotonic() - began_s:.1f} s; captured {found.captured_minor}"
    )
    _agrees(found, hint)
    summary = await ground.control("GET", "summary")
    assert summary["balanced"] and not summary["charged_more_than_once"], hint
    now = {payment.merchant_reference: payment for payment in payments}
    assert now.keys() == load.payments.keys(), hint
    for reference, answer in load.payments.items():
        assert now[reference].payment_id == answer.payment_id, hint
        # What was told declined stays so, and what was told approved is not taken back.
        if answer.status != v1.PAYMENT_STATUS_PROCESSING:
            failed = v1.PAYMENT_STATUS_FAILED
            assert (now[reference].status == failed) is (answer.status == failed), reference
    await _replays(load, hint)
    # Repeating moved no money.
    _agrees(reckon(await merchant.all(), await ground.books()), hint)
    status, said = await run("ledger", "verify", cwd=room)
    assert status == 0, f"{hint}: {said}"
    return payments


def _agrees(found: Reckoning, hint: str) -> None:
    assert not found.differences, f"{hint}: {found.differences[:5]}"
    assert not found.charged_twice, f"{hint}: {found.charged_twice}"


async def _replays(load: Load, hint: str) -> None:
    """Every call again, under its key: the first answer, byte for byte."""
    waiting = iter(load.answered)

    async def work() -> None:
        for one in waiting:
            answer = await load.repeat(one.call, one.request, one.key)
            again = Answered(one.call, one.request, one.key, answer)
            assert again.bytes == one.bytes, f"{hint}: {one.key}\n{one.answer}\n{again.answer}"

    await asyncio.gather(*(work() for _ in range(REPLAYS_AT_ONCE)))
