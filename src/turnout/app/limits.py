"""What the process asks of the kernel and of the interpreter, once, before it serves."""

from __future__ import annotations

import gc
import resource
import sys

# With the usual 5 ms, the record's writer waits up to that long for the interpreter's lock after
# each statement while the event loop is busy; see docs/adr for the measurement.
SWITCH_INTERVAL_S = 0.0005


def no_core_dumps() -> None:
    """A core dump would hold card data; so there is none."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def many_files() -> None:
    """Raises the soft limit of open files to the hard one: each connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard and hard != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def share_fairly() -> None:
    """Lets the writer's thread have the interpreter's lock soon."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)


def freeze_garbage() -> None:
    """Takes what lives as long as the process out of the collector's sight."""
    gc.collect()
    gc.freeze()
