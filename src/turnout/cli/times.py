"""Times and spans as people write them on a command line."""

from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import UTC, datetime

_UNITS_S = {"m": 60, "h": 3_600, "d": 86_400}
_SECOND_NS = 1_000_000_000


def span_s(text: str) -> int:
    """Seconds of a span like 90m, 12h or 7d.

    Raises:
        ArgumentTypeError: it is none.
    """
    number, unit = text[:-1], text[-1:]
    if unit not in _UNITS_S or not number.isdecimal() or int(number) == 0:
        raise ArgumentTypeError(f"{text!r} is no span of time; write 90m, 12h or 7d")
    return int(number) * _UNITS_S[unit]


def time_ns(text: str) -> int:
    """Nanoseconds since the epoch of an ISO 8601 time; UTC where it names no offset.

    Raises:
        ArgumentTypeError: it is none.
    """
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(
            f"{text!r} is no time; write 2026-11-20 or 2026-11-20T09:00:00+01:00"
        ) from None
    read = read if read.tzinfo is not None else read.replace(tzinfo=UTC)
    return int(read.timestamp()) * _SECOND_NS
