"""One process for one record: an exclusive lock beside its file.

The kernel holds the lock and lets go of it when the process ends, however it ends, so there is
never a stale one to remove. The process id inside is for people only.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType

LOCK_NAME = "turnout.lock"


class RecordInUse(Exception):
    """Another process has the record; the message says which."""


class RecordLock:
    """Held from construction to `release`."""

    def __init__(self, room: Path) -> None:
        """Takes the lock.

        Args:
            room: the directory of the record; made if it is missing.

        Raises:
            RecordInUse: another process has it.
            OSError: the lock file cannot be made.
        """
        room.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = room / LOCK_NAME
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise RecordInUse(
                f"{self.path} is held by process {holder or '(unknown)'}: it serves this record "
                "already, and two would break it; stop that one, or set store.path to another "
                "place"
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Lets go; harmless when it was done before. The file stays, for the next one."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> RecordLock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def holder_of(room: Path) -> int | None:
    """The process id that holds the record in this directory, or None where none does."""
    try:
        descriptor = os.open(room / LOCK_NAME, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
        return int(text) if text.isdigit() else None
    finally:
        os.close(descriptor)
    return None
