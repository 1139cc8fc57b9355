"""The door shuts before the disk is full and while the record cannot be written, and reopens."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from turnout.app.guard import Guard, sample_lag
from turnout.domain.errors import Unavailable
from turnout.orchestration.admission import Admission
from turnout.ports import StoreUnavailable
from turnout.telemetry import Metrics, Readiness

MIB = 1 << 20


@dataclass
class Medium:
    """A store whose medium fails, and goes again when it is told to."""

    failing: str = ""
    wounded: bool = False
    broken: bool = False
    probes: int = 0

    def fail(self) -> None:
        self.broken, self.failing = True, "disk I/O error"

    async def probe(self) -> None:
        self.probes += 1
        if self.broken:
            raise StoreUnavailable(self.failing)
        self.failing = ""


@dataclass
class Watched:
    record: Medium = field(default_factory=Medium)
    vault: Medium = field(default_factory=Medium)
    free: dict[str, int] = field(default_factory=lambda: {"record.db": 100, "vault.db": 100})
    refusals: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.admission = Admission(told=lambda *said: self.refusals.append(said))
        self.readiness = Readiness()
        self.readiness.started()
        self.metrics = Metrics(process=False)
        self.guard = Guard(
            self.record,
            self.vault,
            {"record": Path("room/record.db"), "vault": Path("room/vault.db")},
            64,
            self.admission,
            self.readiness,
            self.metrics,
            lambda path: self.free[path.name] * MIB,
        )

    def new_refused(self) -> bool:
        try:
            self.admission.authorize(0)
        except Unavailable as error:
            assert error.reason == "RECORD_UNAVAILABLE"
            assert error.retry_after_ms == 5_000
            assert "nothing was stored or sent" in error.message
            return True
        return False

    def follow_up_refused(self) -> bool:
        try:
            self.admission.follow_up()
        except Unavailable:
            return True
        return False


@pytest.mark.parametrize("name", ["record", "vault"])
async def test_too_little_room_shuts_out_new_payments_only(name: str) -> None:
    watched = Watched()
    await watched.guard.look()
    assert not watched.new_refused()
    watched.free[f"{name}.db"] = 63
    await watched.guard.look()
    assert watched.new_refused() and not watched.follow_up_refused()
    (why,) = watched.readiness.reasons.values()
    assert "63 MiB free at room" in why and "make room" in why
    watched.free[f"{name}.db"] = 64
    await watched.guard.look()
    assert not watched.new_refused()
    assert watched.readiness.reasons == {}
    assert watched.refusals == [("new payments", "record")]


async def test_a_record_that_cannot_be_written_shuts_out_all_that_moves_money() -> None:
    watched = Watched()
    watched.record.fail()
    await watched.guard.look()
    assert watched.new_refused() and watched.follow_up_refused()
    assert watched.readiness.reasons
    assert "turnout_record_writable_state 0.0" in watched.metrics.text().decode()
    await watched.guard.look()
    watched.record.broken = False
    await watched.guard.look()
    assert not watched.new_refused() and not watched.follow_up_refused()
    assert watched.readiness.reasons == {}
    assert watched.record.probes == 3
    assert "turnout_record_writable_state 1.0" in watched.metrics.text().decode()


async def test_a_vault_that_cannot_be_written_shuts_out_new_payments_and_is_probed() -> None:
    watched = Watched()
    watched.vault.fail()
    await watched.guard.look()
    assert watched.new_refused() and not watched.follow_up_refused()
    watched.vault.broken = False
    await watched.guard.look()
    assert not watched.new_refused()


async def test_a_wounded_record_stays_shut_and_is_not_probed() -> None:
    watched = Watched()
    watched.record.fail()
    watched.record.wounded = True
    watched.record.broken = False
    for _ in range(3):
        await watched.guard.look()
    assert watched.new_refused() and watched.follow_up_refused()
    assert watched.record.probes == 0


async def test_the_lag_of_the_loop_is_measured() -> None:
    admission, metrics = Admission(), Metrics(process=False)
    task = asyncio.create_task(sample_lag(admission, metrics))
    loop = asyncio.get_running_loop()
    await asyncio.sleep(0.01)
    until = loop.time() + 0.2
    while loop.time() < until:
        pass
    async with asyncio.timeout(5):
        while admission.lag_ms < 100:  # noqa: ASYNC110 (the sampler says so)
            await asyncio.sleep(0)
    task.cancel()
