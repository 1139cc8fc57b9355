"""The record's disk fills up in mid-load: no new money, nothing in flight forgotten, then on."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from tests.chaos.load import ANSWER_S, Load
from tests.chaos.verdict import patient, prepare, verdict
from tests.e2e.grounds import playground, request

DISK_MIB = 64
RESERVE_MIB = 16
MIB = 1 << 20
REFUSALS = 20
pytestmark = pytest.mark.timeout(1_800)


@contextmanager
def small_disk(place: Path) -> Iterator[None]:
    """A disk of its own, in memory."""
    if os.geteuid() != 0 or not sys.platform.startswith("linux"):
        pytest.skip("DISK FULL WAS NOT TESTED: mounting a tmpfs needs root on Linux")
    place.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=0700", "tmpfs", str(place)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"DISK FULL WAS NOT TESTED: no tmpfs may be mounted: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path, leave_bytes: int) -> Path:
    """Takes up all of a disk but so much."""
    ballast = place / "ballast"
    disk = os.statvfs(place)
    left = disk.f_bavail * disk.f_frsize - leave_bytes
    with ballast.open("ab") as file:
        while left > 0:
            try:
                left -= file.write(bytes(min(left, MIB)))
                file.flush()
            except OSError:
                break
    return ballast


async def is_refused(load: Load, name: str) -> bool:
    """Whether one more payment is refused, and as something that callers may repeat."""
    try:
        load.payments[name] = await load.merchant.authorize(name)
    except grpc.aio.AioRpcError as error:
        assert error.code() is grpc.StatusCode.UNAVAILABLE, error
        return True
    return False


async def until_shut(load: Load, var: Path, leave_bytes: int) -> list[str]:
    """Asks until several payments in a row were refused; SQLite gives room back at first.

    Returns:
        All that were refused.
    """
    at = in_a_row = 0
    refused = []
    async with asyncio.timeout(ANSWER_S):
        while in_a_row < REFUSALS:
            at += 1
            fill(var, leave_bytes)
            if await is_refused(load, f"full-{at}"):
                refused.append(f"full-{at}")
                in_a_row += 1
            else:
                in_a_row = 0
            await asyncio.sleep(0.05)
    return refused


# With a reserve what is in flight is settled while the disk is full; without one, afterwards.
@pytest.mark.parametrize("reserve_mib", [RESERVE_MIB, 0], ids=["reserve", "to-the-last-byte"])
async def test_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reserve_mib: int
) -> None:
    var = tmp_path / "var"
    monkeypatch.setenv("TURNOUT_STORE__MIN_FREE_MIB", str(reserve_mib))
    with small_disk(var):
        async with playground(tmp_path, timeout_ms=1_500, more=patient()) as ground:
            load = Load(await prepare(ground), 10)
            async with load.running():
                await load.until(40)
                try:
                    refused = await until_shut(load, var, reserve_mib * MIB // 2)
                    if reserve_mib:
                        settled = await load.merchant.all_settled(ANSWER_S)
                        known = {one.merchant_reference for one in settled}
                        assert not known & set(refused)
                finally:
                    (var / "ballast").unlink()
                await load.until(len(load.payments) + 40)
            # With room again, the same calls under the same keys are taken.
            for name in refused:
                load.payments[name] = await load.repeat(
                    load.merchant.payments.AuthorizePayment, request(name), name
                )
            payments = await verdict(load, tmp_path, hint=f"reserve {reserve_mib} MiB")
            ours = {one.payment_id for one in payments}
            ours |= {attempt.attempt_id for one in payments for attempt in one.attempts}
            # Refused was refused before anything was sent.
            assert {charge["reference"] for charge in await ground.books()} <= ours
