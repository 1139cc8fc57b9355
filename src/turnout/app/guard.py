"""Looks after the process itself: how late its event loop runs, and whether its disk takes more.

What it finds closes and opens the door (`orchestration/admission.py`) and the readiness probe. The
record is watched because running out of room must not be found out by payments that have already
been sent: below a reserve of free space no new ones are taken, and those in flight still fit.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from turnout.orchestration.admission import Admission
from turnout.ports import StoreUnavailable
from turnout.telemetry import Readiness, get_logger
from turnout.telemetry.metrics import Metrics

log = get_logger("turnout.app")

# Short against the lags that matter, long against what a timer costs.
_SAMPLE_S = 0.025
# A full disk at a thousand payments a second takes 4 MiB a second; the reserve is larger.
_LOOK_S = 0.5
_MIB = 1 << 20


class Watched(Protocol):
    """What is asked of a store."""

    @property
    def failing(self) -> str:
        """Why it cannot be written now, or empty."""

    @property
    def wounded(self) -> bool:
        """Whether only a restart helps."""

    async def probe(self) -> None:
        """Writes something that changes nothing."""


def free_bytes(path: Path) -> int:
    """What an ordinary user may still write on the disk of this file."""
    room = os.statvfs(path.parent)
    return room.f_bavail * room.f_frsize


class Guard:
    """Watches the record and the vault, and opens and closes the door."""

    def __init__(
        self,
        record: Watched,
        vault: Watched,
        paths: dict[str, Path],
        min_free_mib: int,
        admission: Admission,
        readiness: Readiness,
        metrics: Metrics,
        free: Callable[[Path], int] = free_bytes,
    ) -> None:
        """Takes what is watched and who is told.

        Args:
            record: the record's store.
            vault: the vault's store.
            paths: their files, by `record` and `vault`.
            min_free_mib: the reserve; 0 keeps none.
            admission: the door.
            readiness: the probe.
            metrics: the figures.
            free: asks the operating system.
        """
        self._record = record
        self._vault = vault
        self._paths = paths
        self._reserve_bytes = min_free_mib * _MIB
        self._admission = admission
        self._readiness = readiness
        self._metrics = metrics
        self._free = free
        self._found: dict[str, str] = {}

    async def work(self) -> None:
        """Looks, again and again, until it is cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(_LOOK_S)

    async def look(self) -> None:
        """Looks once, and opens or closes the door."""
        for store in (self._record, self._vault):
            if store.failing and not store.wounded:
                # Nobody writes while the door is shut, so only this finds that it goes again.
                try:
                    await store.probe()
                except StoreUnavailable as error:
                    log.debug("record.probe_failed", error=str(error))
        failing = self._record.failing
        self._metrics.commits.writable.set(0 if failing else 1)
        self._say("record_failing", failing, "the record cannot be written", follow_ups=True)
        self._say("vault_failing", self._vault.failing, "the vault cannot be written")
        for name, path in self._paths.items():
            free = self._free(path)
            self._metrics.commits.free_bytes.labels(name).set(free)
            low = free < self._reserve_bytes
            told = f"{free // _MIB} MiB free at {path.parent}; make room, or add disk"
            self._say(f"{name}_space", told if low else "", f"the {name}'s disk is nearly full")

    def _say(self, name: str, found: str, reason: str, *, follow_ups: bool = False) -> None:
        """Tells of a change once; `found` is for operators, `reason` for callers."""
        if bool(found) == (name in self._found):
            return
        if found:
            self._found[name] = found
            self._admission.hold(name, reason, follow_ups=follow_ups)
            self._readiness.hold(name, f"{reason}: {found}")
            log.error("record.closed", what=name, problem=found, new_payments=False)
        else:
            del self._found[name]
            self._admission.clear(name)
            self._readiness.clear(name)
            log.info("record.open_again", what=name)


async def sample_lag(admission: Admission, metrics: Metrics) -> None:
    """Measures how late the event loop's timers come, until it is cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due_s = loop.time() + _SAMPLE_S
        await asyncio.sleep(_SAMPLE_S)
        late_s = max(loop.time() - due_s, 0.0)
        admission.note_lag(late_s * 1_000)
        metrics.calls.lag.set(late_s)
