"""Processes that are killed, stopped and replaced while money is under way."""

import asyncio
import os
import secrets
import signal
from pathlib import Path
from random import Random

import pytest

from tests.chaos.load import ANSWER_S, Load
from tests.chaos.verdict import CONVERGE_S, patient, prepare, verdict
from tests.e2e.grounds import playground
from turnout import v1

KILLS = 5
RESTARTS = 3
# The minute, where there is time for it; else longer than every timeout in play.
STOP_S = 60.0 if os.environ.get("CHAOS_FULL") == "1" else 4.0
TIMEOUT_MS = 1_500
pytestmark = pytest.mark.timeout(1_800)


async def test_kill_9_at_random_moments(tmp_path: Path) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    dice = Random(seed)
    async with playground(tmp_path, timeout_ms=TIMEOUT_MS, more=patient()) as ground:
        load = Load(await prepare(ground), seed)
        async with load.running():
            for _ in range(KILLS):
                # Something goes through before each, so that it meets payments under way.
                await load.until(len(load.payments) + 1)
                await asyncio.sleep(dice.uniform(0.0, 0.9))
                await ground.kill("serve")
                await ground.stack.restart("serve")
            await load.until(len(load.payments) + 1)
        fenced = [line for _, line in ground.log if "in_flight_when_it_died" in line]
        # The test is worth something only where kills met payments that were under way.
        assert sum('"in_flight_when_it_died":0' not in line for line in fenced) >= KILLS / 2
        await verdict(load, tmp_path, hint=f"seed {seed}")


async def test_a_server_that_stands_still(tmp_path: Path) -> None:
    """SIGSTOP: connections stay open and nobody answers; then time has jumped for the server."""
    async with playground(tmp_path, timeout_ms=TIMEOUT_MS, more=patient()) as ground:
        load = Load(await prepare(ground), 2, call_s=3.0)
        async with load.running():
            await load.until(40)
            server = ground.child("serve")
            pid = server.pid
            server.signal(signal.SIGSTOP)
            try:
                await asyncio.sleep(STOP_S)
            finally:
                server.signal(signal.SIGCONT)
            await load.until(len(load.payments) + 40)
        assert load.errors["DEADLINE_EXCEEDED"]
        assert ground.child("serve").pid == pid and not server.ended
        await verdict(load, tmp_path, hint="server stopped")


async def test_providers_that_stand_still(tmp_path: Path) -> None:
    """Both providers accept connections and say nothing, in the middle of whatever they did."""
    async with playground(tmp_path, timeout_ms=TIMEOUT_MS, more=patient(STOP_S)) as ground:
        load = Load(await prepare(ground), 3)
        async with load.running():
            await load.until(40)
            providers = ground.child("sandbox")
            providers.signal(signal.SIGSTOP)
            try:
                await asyncio.sleep(STOP_S)
            finally:
                providers.signal(signal.SIGCONT)
            await load.until(len(load.payments) + 40)
        await verdict(load, tmp_path, limit_s=CONVERGE_S + 2 * STOP_S, hint="providers stopped")
    unsure = [one for one in load.payments.values() if one.status == v1.PAYMENT_STATUS_PROCESSING]
    assert unsure, "nothing was under way when the providers fell silent"


async def test_rolling_restarts_fail_nobody(tmp_path: Path) -> None:
    """SIGTERM drains: no payment is cut off, refused ones are taken by the next process."""
    # Nobody gives up waiting, so that whatever ends otherwise was cut off.
    async with playground(tmp_path, timeout_ms=60_000, more=patient()) as ground:
        load = Load(await prepare(ground), 4, call_s=ANSWER_S)
        async with load.running():
            for _ in range(RESTARTS):
                await load.until(len(load.payments) + 25)
                ground.child("serve").signal(signal.SIGTERM)
                assert await ground.child("serve").wait() == 0
                await ground.stack.restart("serve")
            await load.until(len(load.payments) + 25)
        assert load.errors.keys() <= {"UNAVAILABLE"}, load.errors
        ready = [line for _, line in ground.log if "in_flight_when_it_died" in line]
        assert len(ready) == RESTARTS + 1
        assert all('"in_flight_when_it_died":0' in line for line in ready), ready
        wrong = (v1.PAYMENT_STATUS_FAILED, v1.PAYMENT_STATUS_PROCESSING)
        assert not [one for one in load.payments.values() if one.status in wrong]
        await verdict(load, tmp_path, hint="rolling restarts")
