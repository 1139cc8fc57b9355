"""What every serving process shares: limits, one way of logging, one loop, and a told death."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import uvloop

from turnout.app.limits import many_files, no_core_dumps
from turnout.app.system import SystemClock
from turnout.config import ConfigError, Settings
from turnout.telemetry import Logs, configure_logs, get_logger

log = get_logger("turnout.app")

# As in sysexits.h: a defect of ours, and not something that the operator can mend.
DEFECT = 70


def is_operators(error: BaseException) -> bool:
    """Whether an error is one that the operator can mend and its message says how."""
    from turnout.app.backup import BackupFailed
    from turnout.app.lock import RecordInUse
    from turnout.edge.run import EdgeFailed
    from turnout.ports import StoreUnavailable
    from turnout.stores.sqlite import CannotOpen
    from turnout.vault import BinFileError, VaultLocked

    kinds = (RecordInUse, EdgeFailed, StoreUnavailable, CannotOpen, BinFileError, VaultLocked)
    return isinstance(error, (*kinds, BackupFailed, ConfigError, OSError))


def run_process(settings: Settings, main: Callable[[Logs], Coroutine[None, None, None]]) -> None:
    """Runs `main` in a loop of its own until it returns.

    A defect is logged while there is still a log: the interpreter's own traceback would come
    after it has been closed, and past the scrubber.

    Raises:
        Exception: whatever the operator can mend.
        SystemExit: with DEFECT, for everything else, after it was logged.
    """
    no_core_dumps()
    many_files()
    logs = configure_logs(
        now_ns=SystemClock().now_ns,
        output=settings.log.format,
        level=settings.log.level,
        queue_lines=settings.log.queue_lines,
    )
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main(logs))
    except Exception as error:
        if is_operators(error):
            raise
        log.exception("process.failed")
        raise SystemExit(DEFECT) from None
    finally:
        logs.close()
