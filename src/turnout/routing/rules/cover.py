"""Whether some payments are all taken by other rules, and if not, one that is not.

Two questions, cheap before dear. *Is there a payment of this box that no other box has?* is tried
by choosing, dimension by dimension, the value that fewest boxes admit: bitmaps tell which, and
for most rules of a large ruleset the first choice proves them reachable. *Are they all taken?*
cuts the box along one of the others and asks again for what sticks out. That is exact, but takes
more steps the more boxes overlap, so it has a budget; a question that runs out of it is not
answered.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from turnout.routing.rules.spaces import (
    Box,
    Spans,
    Values,
    Words,
    contains,
    fact_of,
    intersects,
    universe,
)

# Values that are tried for one dimension of one box.
_TRIED: Final = 24
# Dimensions that are tried besides the box's own: metadata may have any number of keys.
_DIMENSIONS: Final = 64
# What the bitmaps of values on lines may take together.
_ROOM_BYTES: Final = 64 * 2**20
# Cuts of one question: beyond it Python's own stack would be at stake.
_DEEPEST: Final = 200


class Undecided(Exception):
    """The budget is spent; nothing is known."""


class Budget:
    """Comparisons of boxes that may still be made."""

    def __init__(self, comparisons: int) -> None:
        self.left = comparisons

    def spend(self, comparisons: int) -> None:
        """Raises Undecided where there is no more."""
        self.left -= comparisons
        if self.left < 0:
            raise Undecided


class Index:
    """For each dimension and value, which of the boxes admit it, as the bits of a number."""

    def __init__(self, boxes: Sequence[Box]) -> None:
        self.boxes = boxes
        self.all = (1 << len(boxes)) - 1
        by_dimension: dict[str, list[tuple[int, Values]]] = {}
        for at, box in enumerate(boxes):
            for dimension, held in box.items():
                by_dimension.setdefault(dimension, []).append((at, held))
        every = sum(map(len, by_dimension.values()))
        bitmaps = _ROOM_BYTES // (len(boxes) // 8 + 64)
        self._columns = {
            dimension: _Column(dimension, rows, self.all, bitmaps * len(rows) // every)
            for dimension, rows in by_dimension.items()
        }
        # Dimensions that many boxes restrict tell them apart best.
        order = sorted(by_dimension, key=lambda name: -len(by_dimension[name]))
        self._order = order[:_DIMENSIONS]

    def lonely(self, box: Box, others: int) -> tuple[dict[str, Any], int]:
        """A payment of the box that few of the `others` (bits) have, and which of them have it.

        Returns:
            Its values in the dimensions that mattered, and bits: 0 proves that it is in the box
            alone.
        """
        payment: dict[str, Any] = {}
        own = [name for name in box if name in self._columns and name not in self._order]
        for dimension in [*self._order, *own]:
            if not others:
                break
            admits = self._columns[dimension].admits
            best, left, kept = None, -1, others
            for value in self._candidates(dimension, box.get(dimension)):
                rest = others & admits[value]
                count = rest.bit_count()
                if left < 0 or count < left:
                    best, left, kept = value, count, rest
                    if not count:
                        break
            if left >= 0:
                payment[dimension] = best
                others = kept
        for dimension, held in box.items():
            if dimension not in payment:
                payment[dimension] = next(iter(held.values()))
        return payment, others

    def near(self, box: Box, others: int) -> int:
        """Those of the others (bits) that may meet the box: all that do, and few that do not."""
        for dimension, held in box.items():
            if not others:
                break
            if dimension in self._columns:
                others &= self._columns[dimension].meeting(held, others)
        return others

    def _candidates(self, dimension: str, held: Values | None) -> Iterable[Any]:
        rare = self._columns[dimension].rare
        if held is None:
            return rare
        admits = self._columns[dimension].admits
        own = [value for value in islice(held.values(), _TRIED) if value in admits]
        return [value for value in rare if _holds(held, value)] + own


def _holds(held: Values, value: Any) -> bool:
    if isinstance(held, Words):
        return bool(held.bits >> value & 1)
    if value is None:
        return bool(held.unknown)
    return any(low <= value < high for low, high in held.spans)


class _Column:
    """One dimension of the index; of a line, only so many values get a bitmap."""

    def __init__(
        self, dimension: str, rows: list[tuple[int, Values]], every: int, bitmaps: int
    ) -> None:
        restricted = 0
        for at, _ in rows:
            restricted |= 1 << at
        self._free = every & ~restricted
        self._starting: dict[Any, list[int]] = {}
        self._starts: list[Any] = []
        if isinstance(rows[0][1], Words):
            self.admits: dict[Any, int] = self._words(dimension, rows)
            self.rare = sorted(self.admits, key=lambda one: self.admits[one].bit_count())[:_TRIED]
        else:
            self.admits, self.rare = self._spans(dimension, rows, bitmaps)

    def meeting(self, held: Values, others: int) -> int:
        """Boxes whose set here may meet this one; `others` itself where that is dear to tell."""
        if isinstance(held, Words):
            found = 0
            for value in held.values():
                found |= self.admits[value]
            return found
        found = self.admits[None] if held.unknown else 0
        for low, high in held.spans:
            first, last = bisect_right(self._starts, low), bisect_left(self._starts, high)
            if low not in self.admits or last - first > _TRIED or len(held.spans) > _TRIED:
                return others
            found |= self.admits[low]
            for start in self._starts[first:last]:
                found |= _bits(self._starting[start])
        return found

    def _words(self, dimension: str, rows: list[tuple[int, Words]]) -> dict[Any, int]:
        every = universe(fact_of(dimension))
        # Lists of rules first: setting bits one by one would copy the number each time.
        found: dict[Any, list[int]] = {value: [] for value in every.values()}
        for at, held in rows:
            for value in held.values():
                found[value].append(at)
        return {value: self._free | _bits(rules) for value, rules in found.items()}

    def _spans(
        self, dimension: str, rows: list[tuple[int, Spans]], bitmaps: int
    ) -> tuple[dict[Any, int], list[Any]]:
        """Walks along the line once for the rarest values, once for all that may be asked."""
        every = universe(fact_of(dimension))
        starts: dict[Any, list[int]] = {}
        ends: dict[Any, list[int]] = {}
        unknown = []
        for at, held in rows:
            for low, high in held.spans:
                starts.setdefault(low, []).append(at)
                ends.setdefault(high, []).append(at)
            if held.unknown:
                unknown.append(at)
        self._starting, self._starts = starts, sorted(starts)
        cuts = sorted({every.spans[0][0], *starts, *ends})
        end = every.spans[0][1]
        counts = []
        inside = 0
        for cut in cuts:
            inside += len(starts.get(cut, ())) - len(ends.get(cut, ()))
            if cut < end:
                counts.append((inside, cut))
        rare = [cut for _, cut in heapq.nsmallest(_TRIED, counts)]
        each = min(max(bitmaps // len(rows), 1), _TRIED)
        asked = {low for _, held in rows[:bitmaps] for low, _ in held.spans[:each]} | set(rare)
        admits: dict[Any, int] = {}
        bits = self._free
        for cut in cuts:
            bits ^= _bits(ends.get(cut, ())) ^ _bits(starts.get(cut, ()))
            if cut in asked:
                admits[cut] = bits
        if every.unknown:
            admits[None] = self._free | _bits(unknown)
            rare.insert(0, None)
        return admits, rare


def _bits(numbers: Iterable[int]) -> int:
    """A number with these bits set."""
    chosen = list(numbers)
    if len(chosen) < 4:
        few = 0
        for one in chosen:
            few |= 1 << one
        return few
    many = bytearray(max(chosen) // 8 + 1)
    for one in chosen:
        many[one >> 3] |= 1 << (one & 7)
    return int.from_bytes(many, "little")


def uncovered(
    box: Box, others: Sequence[Box], budget: Budget, cuts: list[Box] | None = None
) -> dict[str, Values] | None:
    """Payments of the box that none of the others have; None where they have them all.

    Args:
        box: not empty.
        others: none of them empty.
        budget: what it may cost.
        cuts: gets the others that were needed, some maybe more than once.

    Raises:
        Undecided: the budget does not suffice.
    """
    return _search(dict(box), others, budget, [] if cuts is None else cuts, 0)


def _search(
    box: dict[str, Values], others: Sequence[Box], budget: Budget, cuts: list[Box], depth: int
) -> dict[str, Values] | None:
    budget.spend(len(others) + 1)
    near = [other for other in others if intersects(other, box)]
    if not near:
        return box
    if depth >= _DEEPEST:
        raise Undecided
    # The one that sticks out in the fewest dimensions leaves the fewest pieces.
    budget.spend(len(near))
    cut = min(near, key=lambda other: _outside(other, box))
    cuts.append(cut)
    rest = [other for other in near if other is not cut]
    for dimension, theirs in cut.items():
        mine = box.get(dimension)
        if mine is None:
            mine = universe(fact_of(dimension))
        beyond = mine.minus(theirs)
        if beyond:
            piece = {**box, dimension: beyond}
            found = _search(piece, rest, budget, cuts, depth + 1)
            if found is not None:
                return found
            box = {**box, dimension: mine.meet(theirs)}
    return None


def _outside(other: Box, box: Box) -> int:
    """In how many dimensions the box sticks out of the other one."""
    return sum(
        1
        for dimension, theirs in other.items()
        if dimension not in box or not theirs.covers(box[dimension])
    )


def chosen(bits: int) -> Iterator[int]:
    """The numbers of the bits that are set, smallest first."""
    # Through text, because taking bits off a long number copies it each time.
    text = bin(bits)[:1:-1]
    at = text.find("1")
    while at >= 0:
        yield at
        at = text.find("1", at + 1)


def container(box: Box, boxes: Sequence[Box], among: int) -> int | None:
    """The first of some boxes (bits) that has all of a box."""
    return next((at for at in chosen(among) if contains(boxes[at], box)), None)
