"""Which payments a rule matches, as sets that can be intersected, subtracted and looked into.

Each fact is a dimension, each metadata key and each time zone one of its own. A condition is a set
of values in one dimension; a rule is a *box*, the payments whose value lies in its set in every
dimension that it names. Dimensions are taken as independent (a Visa card with any BIN, any hour in
Berlin with any in Tokyo), so there are more payments here than in the world: what is found covered
or impossible is truly so.

Two kinds of sets: words that are all known in advance are bits of a number, everything else is
half-open spans on a line. "Unknown" is a value too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeAlias

from turnout.routing.rules.document import Condition, Rule
from turnout.routing.rules.facts import DAYS, FACTS, Missing, Says, fold

# Longer than any metadata value, of the last character there is: nothing sorts behind it.
_TOP: Final = "\U0010ffff" * 501
_LAST_CHARACTER: Final = "\U0010ffff"
_AMOUNT_END: Final = 2**63
_WEEK_MINUTES: Final = 7 * 24 * 60
_DAY_MINUTES: Final = 24 * 60
# BINs have 6 to 8 digits. Those of one length are one stretch of the line.
_BIN_LENGTHS: Final = (6, 7, 8)
_BIN_START: Final = {6: 0, 7: 10**6, 8: 10**6 + 10**7}

Span: TypeAlias = tuple[Any, Any]
"""First value and the first one beyond; all of a line are numbers or all are texts."""


@dataclass(frozen=True, slots=True)
class Words:
    """A set of known words: bit 0 is "unknown", bit n + 1 the n-th word."""

    bits: int

    def __bool__(self) -> bool:
        return self.bits != 0

    def meet(self, other: Words) -> Words:
        """What is in both."""
        return Words(self.bits & other.bits)

    def minus(self, other: Words) -> Words:
        """What is in this one alone."""
        return Words(self.bits & ~other.bits)

    def covers(self, other: Words) -> bool:
        """Whether all of the other is in this one."""
        return not other.bits & ~self.bits

    def meets(self, other: Words) -> bool:
        """Whether anything is in both."""
        return bool(self.bits & other.bits)

    def values(self) -> Iterator[int]:
        """The bits' numbers; 0 is "unknown"."""
        bits = self.bits
        while bits:
            low = bits & -bits
            yield low.bit_length() - 1
            bits ^= low


@dataclass(frozen=True, slots=True)
class Spans:
    """A set of values on a line, as sorted spans that do not touch, and maybe "unknown"."""

    unknown: bool
    spans: tuple[Span, ...]

    def __bool__(self) -> bool:
        return self.unknown or bool(self.spans)

    def meet(self, other: Spans) -> Spans:
        """What is in both."""
        return Spans(self.unknown and other.unknown, tuple(_common(self.spans, other.spans)))

    def minus(self, other: Spans) -> Spans:
        """What is in this one alone."""
        rest: list[Span] = []
        for low, high in self.spans:
            at = low
            for first, beyond in other.spans:
                if beyond <= at:
                    continue
                if first >= high:
                    break
                if first > at:
                    rest.append((at, first))
                at = beyond
            if at < high:
                rest.append((at, high))
        return Spans(self.unknown and not other.unknown, tuple(rest))

    def covers(self, other: Spans) -> bool:
        """Whether all of the other is in this one."""
        if other.unknown and not self.unknown:
            return False
        return not other.minus(self).spans

    def meets(self, other: Spans) -> bool:
        """Whether anything is in both."""
        if self.unknown and other.unknown:
            return True
        return next(_common(self.spans, other.spans), None) is not None

    def values(self) -> Iterator[Any]:
        """The first value of each span, then None for "unknown"."""
        for low, _ in self.spans:
            yield low
        if self.unknown:
            yield None


Values: TypeAlias = Any
"""Words or Spans: always of one kind within a dimension."""
Box: TypeAlias = Mapping[str, Values]
"""Sets by dimension; a dimension that is not named is not restricted."""


def _common(one: tuple[Span, ...], two: tuple[Span, ...]) -> Iterator[Span]:
    left = right = 0
    while left < len(one) and right < len(two):
        low = max(one[left][0], two[right][0])
        high = min(one[left][1], two[right][1])
        if low < high:
            yield low, high
        if one[left][1] < two[right][1]:
            left += 1
        else:
            right += 1


def spans(parts: Iterable[Span]) -> tuple[Span, ...]:
    """Any spans as sorted ones that do not touch."""
    found: list[Span] = []
    for low, high in sorted(part for part in parts if part[0] < part[1]):
        if found and low <= found[-1][1]:
            if high > found[-1][1]:
                found[-1] = (found[-1][0], high)
        else:
            found.append((low, high))
    return tuple(found)


def dimension_of(condition: Condition) -> str:
    """The dimension that a condition is about."""
    if condition.fact == "metadata":
        return f"metadata.{condition.key}"
    if condition.fact == "time":
        return f"time in {condition.zone}"
    return condition.fact


def fact_of(dimension: str) -> str:
    """The fact that a dimension belongs to."""
    return dimension.split(".", 1)[0].split(" ", 1)[0]


@cache
def _words_of(fact: str) -> tuple[str, ...]:
    if fact == "recurring":
        return ("false", "true")
    return tuple(sorted(FACTS[fact].words or ()))


@cache
def _bit_of(fact: str) -> Mapping[str, int]:
    return {word: 1 << at + 1 for at, word in enumerate(_words_of(fact))}


@cache
def universe(fact: str) -> Values:
    """All values that payments can have. Facts that every payment has are never unknown."""
    words = _words_of(fact)
    unknown = FACTS[fact].missing is Says.REQUIRED
    if words:
        return Words((2 << len(words)) - (1 if unknown else 2))
    if fact == "amount_minor":
        line: tuple[Span, ...] = ((0, _AMOUNT_END),)
    elif fact == "risk_score":
        line = ((0, 101),)
    elif fact == "bin":
        line = ((0, _BIN_START[8] + 10**8),)
    elif fact == "time":
        line = ((0, _WEEK_MINUTES),)
    else:
        line = (("", _TOP),)
    return Spans(unknown, line)


def words(fact: str, chosen: Iterable[str], *, unknown: bool) -> Values:
    """A set of words of a fact, whatever their case; one that does not exist is left out."""
    if _words_of(fact):
        known = _bit_of(fact)
        bits = int(unknown)
        for word in chosen:
            bits |= known.get(fold(word), 0)
        return Words(bits)
    return Spans(unknown, spans(_only(fold(word)) for word in chosen))


def _only(text: str) -> Span:
    return text, text + "\0"


def _beginning(prefix: str) -> Span:
    stem = prefix.rstrip(_LAST_CHARACTER)
    if not stem:
        return prefix, _TOP
    return prefix, stem[:-1] + chr(ord(stem[-1]) + 1)


def _bin_span(first: str, last: str) -> Iterator[Span]:
    """The BINs whose leading digits lie between two of equal length."""
    for length in _BIN_LENGTHS:
        if len(first) <= length:
            scale = 10 ** (length - len(first))
            start = _BIN_START[length]
            yield start + int(first) * scale, start + (int(last) + 1) * scale


def _week(condition: Condition) -> Iterator[Span]:
    start = _minutes(condition.from_) if condition.from_ else 0
    end = _minutes(condition.until) if condition.until else _DAY_MINUTES
    if end <= start:
        end += _DAY_MINUTES
    for at, day in enumerate(DAYS):
        if not condition.days or day in condition.days:
            low, high = at * _DAY_MINUTES + start, at * _DAY_MINUTES + end
            yield low, min(high, _WEEK_MINUTES)
            # Sunday's night ends on Monday, where the line begins.
            yield 0, high - _WEEK_MINUTES


def _minutes(clock: str) -> int:
    return int(clock[:2]) * 60 + int(clock[3:])


def answers(condition: Condition) -> Values:
    """The values of which a condition says yes."""
    fact = condition.fact
    every = universe(fact)
    said = _said(condition)
    unknown = condition.missing == Missing.MATCH and FACTS[fact].missing is Says.REQUIRED
    if isinstance(every, Words):
        known = Words(every.bits & ~1)
        bits = (known.minus(said) if condition.not_ else known.meet(said)).bits
        return Words(bits | int(unknown))
    line = Spans(False, every.spans)
    return Spans(unknown, (line.minus(said) if condition.not_ else line.meet(said)).spans)


def _said(condition: Condition) -> Values:
    """The known values that a condition names, before `not`."""
    fact = condition.fact
    if fact == "recurring":
        return words(fact, ["true" if condition.is_ else "false"], unknown=False)
    if fact == "metadata":
        parts = [_only(word) for word in condition.in_]
        return Spans(False, spans(parts + [_beginning(one) for one in condition.prefix]))
    if fact == "bin":
        ends = [(one, one) for one in condition.prefix] + list(condition.ranges)
        return Spans(False, spans(part for end in ends for part in _bin_span(*end)))
    if fact == "time":
        return Spans(False, spans(_week(condition)))
    if "in" in FACTS[fact].operators:
        return words(fact, condition.in_, unknown=False)
    low = FACTS[fact].least if condition.min is None else condition.min
    high = FACTS[fact].most if condition.max is None else condition.max
    return Spans(False, spans([(low, high + 1)]))


def box_of(rule: Rule) -> dict[str, Values]:
    """A rule's box. A set in it may be empty: then nothing matches the rule."""
    box: dict[str, Values] = {}
    for condition in rule.when:
        dimension = dimension_of(condition)
        yes = answers(condition)
        box[dimension] = box[dimension].meet(yes) if dimension in box else yes
    return {
        dimension: held
        for dimension, held in box.items()
        if not held.covers(universe(fact_of(dimension)))
    }


def contains(box: Box, other: Box) -> bool:
    """Whether all payments of the other box are in this one."""
    for dimension, mine in box.items():
        theirs = other.get(dimension)
        if theirs is None or not mine.covers(theirs):
            return False
    return True


def intersects(one: Box, two: Box) -> bool:
    """Whether any payment is in both boxes, neither of which is empty."""
    if len(one) > len(two):
        one, two = two, one
    for dimension, mine in one.items():
        theirs = two.get(dimension)
        if theirs is not None and not mine.meets(theirs):
            return False
    return True


def meet(one: Box, two: Box) -> dict[str, Values] | None:
    """The payments that are in both boxes; None where there are none."""
    both = dict(one)
    for dimension, theirs in two.items():
        mine = both.get(dimension)
        both[dimension] = theirs if mine is None else mine.meet(theirs)
        if not both[dimension]:
            return None
    return both


def shown(dimension: str, value: Any) -> str:
    """A value of a dimension as people write it."""
    fact = fact_of(dimension)
    known = _words_of(fact)
    if value is None or (known and value == 0):
        return "unknown"
    if known:
        word: str = known[value - 1]
        return word.upper() if fact == "currency" or fact.endswith("_country") else word
    if fact == "bin":
        length = max(one for one in _BIN_LENGTHS if _BIN_START[one] <= value)
        return str(value - _BIN_START[length]).rjust(length, "0")
    if fact == "time":
        minute = value % _DAY_MINUTES
        return f"{DAYS[value // _DAY_MINUTES]} {minute // 60:02}:{minute % 60:02}"
    text = str(value)
    return text if text.isprintable() and text else repr(text)
