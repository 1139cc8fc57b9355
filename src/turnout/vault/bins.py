"""What an operator's BIN file says of card numbers.

The file is CSV in UTF-8 with a header; docs/operating/vault.md describes it. Ranges may nest: the
narrowest one that holds a number speaks for it. Nested ranges are flattened once, when the file is
read, into stretches that do not overlap, so that a look-up is one bisection.
"""

from __future__ import annotations

import csv
import heapq
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Final

from turnout.domain.cards import BinFacts, Funding, Network

# Ranges are compared as numbers of this many digits, the most that a PAN has; what is shorter is
# stretched, low ends with zeros and high ends with nines.
_DIGITS: Final = 19
_RANGE_COLUMNS: Final = ("low", "high")
_FACT_COLUMNS: Final = ("network", "funding", "issuer_country", "issuer_name")


class BinFileError(Exception):
    """The BIN file cannot be used; the message names file, line and column."""


@dataclass(frozen=True, slots=True)
class _Range:
    low: int
    high: int
    facts: BinFacts
    line: int

    @property
    def width(self) -> int:
        return self.high - self.low


class BinFile:
    """A BIN file in memory; implements `ports.BinDirectory`."""

    __slots__ = ("_facts", "_starts", "ranges")

    def __init__(self, found: list[_Range], origin: str) -> None:
        self.ranges = len(found)
        self._starts, self._facts = _flatten(found, origin)

    @classmethod
    def load(cls, path: Path) -> BinFile:
        """Reads and checks a whole file.

        Raises:
            BinFileError: it cannot be read, or a line of it cannot be understood.
        """
        try:
            with path.open(encoding="utf-8-sig", newline="") as lines:
                return cls.parse(lines, str(path))
        except OSError as error:
            raise BinFileError(f"{path}: cannot be read ({error.strerror})") from error
        except UnicodeDecodeError as error:
            raise BinFileError(f"{path}: is not UTF-8 (byte {error.start})") from error

    @classmethod
    def parse(cls, lines: Iterable[str], origin: str) -> BinFile:
        """Reads and checks lines of CSV; errors call them `origin`.

        Raises:
            BinFileError: a line cannot be understood.
        """
        reader = csv.DictReader(lines, strict=True)
        try:
            _check_header(reader.fieldnames or (), origin)
            return cls([_read(row, f"{origin}:{reader.line_num}") for row in reader], origin)
        except csv.Error as error:
            raise BinFileError(f"{origin}:{reader.reader.line_num}: {error}") from error

    def lookup(self, number: str) -> BinFacts | None:
        """The facts of the narrowest range that holds this number, or None."""
        at = bisect_right(self._starts, number[:_DIGITS].ljust(_DIGITS, "0")) - 1
        return self._facts[at] if at >= 0 else None


def sandbox_bins() -> BinFile:
    """Synthetic facts of our own about the providers' public test cards."""
    file = resources.files("turnout.vault").joinpath("data/sandbox_bins.csv")
    return BinFile.parse(file.read_text("utf-8").splitlines(), "sandbox_bins.csv")


def _check_header(columns: Iterable[str], origin: str) -> None:
    known = (*_RANGE_COLUMNS, *_FACT_COLUMNS)
    found = [column.strip() for column in columns]
    if "low" not in found:
        raise BinFileError(
            f"{origin}:1: the first line must name the columns: low is needed, "
            f"of {', '.join(known)}"
        )
    for column in found:
        if column not in known:
            raise BinFileError(
                f"{origin}:1: unknown column {column!r}; known are {', '.join(known)}"
            )


def _read(row: dict[str, str | None], place: str) -> _Range:
    if None in row:
        raise BinFileError(f"{place}: more values than columns")
    values = {column: (value or "").strip() for column, value in row.items()}
    low = values["low"]
    high = values.get("high") or low
    for column, digits in (("low", low), ("high", high)):
        if not (digits.isascii() and digits.isdigit() and 1 <= len(digits) <= 19):
            raise BinFileError(f"{place}: {column} is {digits!r}; write 1 to 19 leading digits")
    if len(low) != len(high):
        raise BinFileError(f"{place}: low {low} and high {high} must have as many digits")
    first = int(low[:_DIGITS].ljust(_DIGITS, "0"))
    last = int(high[:_DIGITS].ljust(_DIGITS, "9"))
    if first > last:
        raise BinFileError(f"{place}: low {low} is above high {high}")
    country = values.get("issuer_country", "").upper()
    if country and not (len(country) == 2 and country.isascii() and country.isalpha()):
        raise BinFileError(
            f"{place}: issuer_country is {country!r}; write two letters (ISO 3166-1 alpha-2)"
        )
    facts = BinFacts(
        Network(_one_of(Network, values.get("network", ""), "network", place)),
        Funding(_one_of(Funding, values.get("funding", ""), "funding", place)),
        country,
        values.get("issuer_name", "")[:100],
    )
    return _Range(first, last, facts, int(place.rpartition(":")[2]))


def _one_of(words: type[Network] | type[Funding], value: str, column: str, place: str) -> str:
    word = value.lower() or "unknown"
    known = [one.value for one in words]
    if word not in known:
        raise BinFileError(f"{place}: {column} is {value!r}; known are {', '.join(known)}")
    return word


def _flatten(found: list[_Range], origin: str) -> tuple[list[str], list[BinFacts | None]]:
    """Stretches without overlap: where each begins, and what holds until the next one begins.

    Beginnings are texts of _DIGITS digits, which sort as the numbers do and are what is asked for.
    """
    ordered = sorted(found, key=lambda one: (one.low, one.high))
    for one, following in pairwise(ordered):
        if (one.low, one.high) == (following.low, following.high):
            raise BinFileError(
                f"{origin}:{following.line}: the same range stands in line {one.line} too"
            )
    edges = sorted({edge for one in ordered for edge in (one.low, one.high + 1)})
    if edges and edges[-1] == 10**_DIGITS:
        # Behind the last of all numbers nothing begins.
        edges.pop()
    starts: list[str] = []
    facts: list[BinFacts | None] = []
    open_ranges: list[tuple[int, int, _Range]] = []
    waiting = iter(ordered)
    coming = next(waiting, None)
    for edge in edges:
        while coming is not None and coming.low <= edge:
            heapq.heappush(open_ranges, (coming.width, coming.low, coming))
            coming = next(waiting, None)
        # A closed range below the narrowest one does no harm there; it is dropped on the way up.
        while open_ranges and open_ranges[0][2].high < edge:
            heapq.heappop(open_ranges)
        here = open_ranges[0][2].facts if open_ranges else None
        if not facts or facts[-1] is not here:
            starts.append(str(edge).rjust(_DIGITS, "0"))
            facts.append(here)
    return starts, facts
