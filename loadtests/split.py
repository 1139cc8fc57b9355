"""An authorization's latency in two parts: what Turnout added, and what was spent at the provider.

The provider's part is what the answer itself tells: each attempt's started_at and ended_at. An
attempt starts when it is written down to be sent, so its write-ahead commit counts as the
provider's here; Turnout's own metrics (`turnout_authorize_latency_seconds`) draw the line exactly.

Kept as counts of rounded values: three significant digits are plenty for a percentile, and a test
of days needs no more memory than one of minutes. Counts of several workers add up.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

PARTS = ("total", "added", "provider")
PERCENTILES = (0.5, 0.9, 0.99, 0.999)
_DIGITS = 3


def rounded(value_ms: float) -> float:
    """To three significant digits; negative ones, which two clocks can make, to zero."""
    if value_ms <= 0:
        return 0.0
    return round(value_ms, _DIGITS - 1 - math.floor(math.log10(value_ms)))


def parts_ms(total_ms: float, attempts: Iterable[tuple[float, float]]) -> tuple[float, float]:
    """(added, at providers) of one authorization, in milliseconds.

    Args:
        total_ms: as the caller saw it.
        attempts: start and end of each attempt, in seconds. One without an end took its part of
            the time in another way; leave such an authorization out.
    """
    provider_ms = sum(max(end - start, 0.0) for start, end in attempts) * 1e3
    # The caller's clock and the server's may differ by a little.
    provider_ms = min(provider_ms, total_ms)
    return total_ms - provider_ms, provider_ms


class Split:
    """Latencies of authorizations by part, for each face (`grpc`, `http`)."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], Counter[float]] = {}

    def add(self, face: str, total_ms: float, added_ms: float, provider_ms: float) -> None:
        """Counts one authorization."""
        values = (total_ms, added_ms, provider_ms)
        for part, value in zip(PARTS, values, strict=True):
            self._counts.setdefault((face, part), Counter())[rounded(value)] += 1

    def take(self) -> list[list[Any]]:
        """All counts, for another process; this one then begins anew."""
        taken = [
            [face, part, list(counts.items())] for (face, part), counts in self._counts.items()
        ]
        self._counts.clear()
        return taken

    def merge(self, taken: Iterable[Iterable[Any]]) -> None:
        """Adds what another process has taken."""
        for face, part, counts in taken:
            mine = self._counts.setdefault((face, part), Counter())
            for value, count in counts:
                mine[value] += count

    def rows(self) -> list[dict[str, float | str]]:
        """One row a face and part: count and percentiles in milliseconds."""
        found = []
        for (face, part), counts in sorted(
            self._counts.items(), key=lambda pair: (pair[0][0], PARTS.index(pair[0][1]))
        ):
            row: dict[str, float | str] = {
                "face": face,
                "part": part,
                "count": sum(counts.values()),
            }
            row |= {name_of(share): value for share, value in percentiles(counts).items()}
            found.append(row)
        return found


def name_of(share: float) -> str:
    """p50, p90, p99, p99.9."""
    return f"p{share * 100:g}_ms"


def percentiles(counts: Mapping[float, int]) -> dict[float, float]:
    """The smallest value that at least this share of all does not exceed."""
    total = sum(counts.values())
    found: dict[float, float] = {}
    wanted = list(PERCENTILES)
    seen = 0
    for value in sorted(counts):
        seen += counts[value]
        while wanted and seen >= math.ceil(wanted[0] * total):
            found[wanted.pop(0)] = value
    return found
