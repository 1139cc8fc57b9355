"""Reading one condition: a fact, what is asked of it, and what is said where it is unknown."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from turnout.routing.rules.document import Condition
from turnout.routing.rules.facts import DAYS, FACTS, Fact, Missing, Says, fold
from turnout.routing.rules.values import Reader, nearest, shown

MOST_WORDS: Final = 1_000
# Bounds of a payment's own words (orchestration refuses longer ones).
_LONGEST_KEY: Final = 40
_LONGEST_VALUE: Final = 500
_LONGEST_WORD: Final = 64
_DIGITS: Final = re.compile(r"[0-9]{1,8}")
_CLOCK: Final = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
_OPERATORS: Final = ("in", "prefix", "ranges", "min", "max", "is", "days", "from", "until")
_KEYS: Final = ("fact", "key", "zone", *_OPERATORS, "not", "missing")


def read_condition(raw: object, path: str, reader: Reader) -> Condition:
    """Reads one condition; what is wrong is noted."""
    table = reader.table(raw, path, _KEYS)
    name = _fact_name(table, path, reader)
    if name is None:
        return Condition(fact="")
    fact = FACTS[name]
    _check_keys(table, name, fact, path, reader)
    low, high = (_bound(table, key, fact, path, reader) for key in ("min", "max"))
    if low is not None and high is not None and low > high:
        reader.wrong(
            f"{path}.min", "RANGE_REVERSED", f"is {low}, above max, which is {high}; swap them"
        )
    start, end = (_clock(table, key, path, reader) for key in ("from", "until"))
    if (start or "00:00") == end:
        reader.wrong(
            f"{path}.until",
            "RANGE_EMPTY",
            "is when the time begins, so there is none; leave out from and until for whole days",
        )
    return Condition(
        fact=name,
        key=_metadata_key(table, path, reader) if name == "metadata" else "",
        in_=_words(table, name, fact, path, reader),
        prefix=_prefixes(table, name, path, reader),
        ranges=_ranges(table, path, reader),
        min=low,
        max=high,
        is_=reader.truth(table["is"], f"{path}.is") if "is" in table else None,
        zone=_zone(table, path, reader) if name == "time" else "",
        days=_days(table, path, reader),
        from_=start,
        until=end,
        not_=reader.truth(table["not"], f"{path}.not") if "not" in table else False,
        missing=_missing(table, name, fact, path, reader),
    )


def _fact_name(table: Mapping[str, Any], path: str, reader: Reader) -> str | None:
    where = f"{path}.fact"
    name = table.get("fact")
    if "fact" not in table:
        reader.missing(where, f"name the fact that is asked for, one of {', '.join(FACTS)}")
    elif not isinstance(name, str):
        reader.wrong_type(where, "a string in quotes", name)
    elif name not in FACTS:
        reader.wrong(where, "FACT_UNKNOWN", f"is {shown(name)}; {nearest(name, FACTS)}")
    else:
        return name
    return None


def _check_keys(
    table: Mapping[str, Any], name: str, fact: Fact, path: str, reader: Reader
) -> None:
    for key in table:
        strange = key in _OPERATORS and key not in fact.operators
        if strange or (key in ("key", "zone") and key != fact.needs):
            reader.wrong(
                f"{path}.{key}",
                "OPERATOR_WRONG",
                f"does not go with {name}, which is asked by {', '.join(fact.operators)}",
            )
    if not any(key in table for key in fact.operators):
        reader.missing(path, f"say what {name} must be, by {' or '.join(fact.operators)}")


def _missing(table: Mapping[str, Any], name: str, fact: Fact, path: str, reader: Reader) -> str:
    where = f"{path}.missing"
    if "missing" in table:
        if fact.missing is Says.FORBIDDEN:
            reader.wrong(where, "KEY_UNKNOWN", f"{name} is always known; leave it out")
            return ""
        return reader.one_of(table["missing"], where, tuple(Missing))
    if fact.missing is Says.REQUIRED:
        reader.missing(
            where,
            f"say whether payments whose {name} is unknown match: write "
            f'missing = "{Missing.MATCH}" or missing = "{Missing.NO_MATCH}"',
        )
    return ""


def _bound(
    table: Mapping[str, Any], key: str, fact: Fact, path: str, reader: Reader
) -> int | None:
    if key not in table or key not in fact.operators:
        return None
    return reader.integer(table[key], f"{path}.{key}", fact.least, fact.most)


def _strings(
    table: Mapping[str, Any], key: str, path: str, longest: int, reader: Reader
) -> list[tuple[str, str]]:
    """The texts under a key, each with its path."""
    found = []
    for at, raw in enumerate(reader.array(table, key, path, MOST_WORDS)):
        where = f"{path}.{key}[{at}]"
        word = reader.text(raw, where, longest)
        if word:
            found.append((word, where))
    return found


def _words(
    table: Mapping[str, Any], name: str, fact: Fact, path: str, reader: Reader
) -> tuple[str, ...]:
    longest = _LONGEST_VALUE if name == "metadata" else _LONGEST_WORD
    words = _strings(table, "in", path, longest, reader)
    if fact.words is not None:
        for word, where in words:
            if fold(word) not in fact.words:
                reader.wrong(
                    where, "WORD_UNKNOWN", f"{word!r} is no {name}; {nearest(word, fact.words)}"
                )
    return tuple(word for word, _ in words)


def _prefixes(table: Mapping[str, Any], name: str, path: str, reader: Reader) -> tuple[str, ...]:
    found = _strings(table, "prefix", path, _LONGEST_VALUE, reader)
    if name == "bin":
        for word, where in found:
            _check_digits(word, where, reader)
    return tuple(word for word, _ in found)


def _check_digits(word: str, path: str, reader: Reader) -> bool:
    if _DIGITS.fullmatch(word):
        return True
    # Not shown: somebody may have put a whole card number here.
    reader.wrong(path, "BIN_MALFORMED", "must be the first 1 to 8 digits of card numbers")
    return False


def _ranges(table: Mapping[str, Any], path: str, reader: Reader) -> tuple[tuple[str, str], ...]:
    found = []
    for at, raw in enumerate(reader.array(table, "ranges", path, MOST_WORDS)):
        where = f"{path}.ranges[{at}]"
        ends = raw if isinstance(raw, Sequence) and not isinstance(raw, str | bytes) else ()
        if len(ends) != 2 or not all(isinstance(one, str) for one in ends):
            reader.wrong(
                where, "WRONG_TYPE", 'must be first and last, for example ["400000", "499999"]'
            )
            continue
        first, last = ends
        sound = [_check_digits(one, f"{where}[{end}]", reader) for end, one in enumerate(ends)]
        if not all(sound):
            continue
        if len(first) != len(last):
            reader.wrong(where, "RANGE_UNEVEN", f"{first} and {last} must have as many digits")
        elif first > last:
            reader.wrong(where, "RANGE_REVERSED", f"{first} is above {last}; swap them")
        found.append((first, last))
    return tuple(found)


def _metadata_key(table: Mapping[str, Any], path: str, reader: Reader) -> str:
    if "key" not in table:
        reader.missing(f"{path}.key", "name the metadata key whose value is asked for")
        return ""
    return reader.text(table["key"], f"{path}.key", _LONGEST_KEY)


def _days(table: Mapping[str, Any], path: str, reader: Reader) -> tuple[str, ...]:
    rows = reader.array(table, "days", path, len(DAYS))
    return tuple(reader.one_of(one, f"{path}.days[{at}]", DAYS) for at, one in enumerate(rows))


def _clock(table: Mapping[str, Any], key: str, path: str, reader: Reader) -> str:
    if key not in table:
        return ""
    raw = table[key]
    if isinstance(raw, str) and _CLOCK.fullmatch(raw):
        return raw
    reader.wrong(f"{path}.{key}", "TIME_MALFORMED", 'must be a time in quotes, "00:00" to "23:59"')
    return ""


def _zone(table: Mapping[str, Any], path: str, reader: Reader) -> str:
    where = f"{path}.zone"
    if "zone" not in table:
        reader.missing(where, 'name the time zone, for example zone = "Europe/Berlin"')
        return ""
    name = reader.text(table["zone"], where, _LONGEST_WORD)
    if name and name not in zones():
        reader.wrong(
            where,
            "ZONE_UNKNOWN",
            f"{name!r} is no time zone of the IANA list; {nearest(name, zones())}",
        )
    return name


@cache
def zones() -> frozenset[str]:
    """The time zones that rules may name: Area/City, and UTC.

    The list's other names are abbreviations and leftovers, and `localtime` is another zone on
    every host.
    """
    return frozenset(
        name for name in zoneinfo.available_timezones() if "/" in name or name == "UTC"
    )
