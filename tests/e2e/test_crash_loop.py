"""kill -9 in mid-load, twenty times at random moments: nothing lost, nobody charged twice."""

import asyncio
import secrets
import time
from pathlib import Path
from random import Random

import pytest

from tests.e2e.grounds import (
    GOOD_CARDS,
    Merchant,
    authorize_through_crashes,
    method,
    playground,
    request,
)
from turnout import v1
from turnout.cli.reckoning import reckon

KILLS = 20
CALLERS = 16

# Long enough that a kill meets payments at every stage of their way.
LATENCIES = (("stripe", 40, 200), ("adyen", 40, 200))


# A minute on two cores of its own; other work on the machine multiplies it.
@pytest.mark.timeout(500)
async def test_no_crash_loses_or_doubles_a_payment(tmp_path: Path) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    dice = Random(seed)
    async with playground(tmp_path / "turnout", timeout_ms=1_500) as ground:
        merchant = Merchant(ground)
        for provider, p50_ms, p99_ms in LATENCIES:
            latency = {"p50_ms": p50_ms, "p99_ms": p99_ms}
            await ground.control("PUT", f"{provider}/latency", latency)
        answers: dict[str, v1.Payment] = {}
        stop = asyncio.Event()

        async def call(caller: int) -> None:
            mine = Random(f"{seed}/{caller}")
            at = 0
            while not stop.is_set():
                at += 1
                manual = mine.random() < 0.5
                asked = request(
                    f"crash-{caller}-{at}",
                    amount_minor=mine.randrange(100, 90_000),
                    payment_method=method(mine.choice(GOOD_CARDS)),
                    # Half of them where the provider can be asked, half where it cannot.
                    profile_id=mine.choice(("pro_demo", "pro_adyen")),
                    capture_method=v1.CAPTURE_METHOD_MANUAL
                    if manual
                    else v1.CAPTURE_METHOD_AUTOMATIC,
                )
                answers[asked.merchant_reference] = await authorize_through_crashes(
                    merchant, asked
                )

        callers = [asyncio.create_task(call(at)) for at in range(CALLERS)]
        starts = []
        for _ in range(KILLS):
            await asyncio.sleep(dice.uniform(0.05, 1.2))
            await ground.kill("serve")
            began = time.monotonic()
            await ground.stack.restart("serve")
            starts.append(time.monotonic() - began)
        await asyncio.sleep(0.3)
        stop.set()
        await asyncio.gather(*callers)
        print(f"{len(answers)} payments, {KILLS} kills, slowest start {max(starts):.2f} s")

        payments = await merchant.all_settled()
        found = reckon(payments, await ground.books())
        assert not found.differences, f"seed {seed}"
        assert not found.charged_twice, f"seed {seed}"
        summary = await ground.control("GET", "summary")
        assert summary["balanced"] and not summary["charged_more_than_once"], f"seed {seed}"
        by_reference = {payment.merchant_reference: payment for payment in payments}
        assert by_reference.keys() == answers.keys(), f"seed {seed}"
        fenced = [line for name, line in ground.log if "in_flight_when_it_died" in line]
        assert len(fenced) == KILLS + 1
        # The test is worth something only where kills met payments that were under way.
        assert sum('"in_flight_when_it_died":0' not in line for line in fenced) >= KILLS / 2
        # A final answer is final, whatever died in between.
        for reference, answer in answers.items():
            if answer.status != v1.PAYMENT_STATUS_PROCESSING:
                assert by_reference[reference].status == answer.status, f"seed {seed}"
