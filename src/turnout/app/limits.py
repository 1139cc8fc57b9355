"""What the process asks of the kernel and of the interpreter, once, before it serves."""

from __future__ import annotations

import gc
import resource
import sys

# With the usual 5 ms, the record's writer waits up to that long for the interpreter's lock after
# each statement while the event loop is busy; the measurement is in docs/performance.md.
SWITCH_INTERVAL_S = 0.0005

# How many objects must have come for the collector to look at the youngest, how often those are
# looked at until the middle-aged are, and these until all are. Python's own numbers make it walk
# through every payment in flight many times a second, because what is frozen no longer counts as
# old: with 600 at slow providers that is half a second at p99. Our own objects form no cycles; the
# few that gRPC makes for each call are dead at once and go with the youngest.
GARBAGE_THRESHOLDS = (10_000, 10, 1_000)


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
    """Takes what lives as long as the process out of the collector's sight, and calms it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)
