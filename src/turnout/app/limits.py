"""What the process asks of the kernel and of the interpreter, once, before it serves."""

from __future__ import annotations

import gc
import resource
import sys

# With the usual 5 ms, the record's writer waits up to that long for the interpreter's lock after
# each statement while the event loop is busy; the measurement is in docs/performance.md.
SWITCH_INTERVAL_S = 0.0005

# How many objects must have come for the collector to look at the youngest, how often those are
# looked at until the middle-aged are, and these until all are. What it finds is what gRPC makes in
# a circle at each call's arrival, dead at once; our own objects form none. A look walks through
# every payment that has come since the last one and is still in flight, 40 us each, and nothing
# else runs meanwhile: so with many in flight it looks more often and at fewer, which costs no
# more, and with few in flight seldom, which costs less. A look at the middle-aged walks through
# all in flight and finds next to nothing, so there is hardly one.
GARBAGE_FEW_IN_FLIGHT = (10_000, 1_000, 10)
GARBAGE_MANY_IN_FLIGHT = (1_000, 1_000, 100)
MANY_IN_FLIGHT = 200


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
    pace_garbage(0)


def pace_garbage(in_flight: int) -> None:
    """Lets the collector look as often as is right for so many payments in flight."""
    many = in_flight >= MANY_IN_FLIGHT
    gc.set_threshold(*(GARBAGE_MANY_IN_FLIGHT if many else GARBAGE_FEW_IN_FLIGHT))
