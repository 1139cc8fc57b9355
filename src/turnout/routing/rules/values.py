"""Reading single values: their types, bounds and spelling. Notes what is wrong and goes on."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from turnout.domain.cards import holds_card_number
from turnout.domain.errors import FieldError
from turnout.domain.money import EXPONENTS

_RULE_ID: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_ACCOUNT_ID: Final = re.compile(r"acc_[A-Za-z0-9_-]{1,60}")
_SHOWN: Final = 64


def nearest(word: str, known: Iterable[str]) -> str:
    """A suggestion for a word that is not known, or the known words where they are few."""
    words = sorted(known)
    close = difflib.get_close_matches(word, words, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"known are {', '.join(words[:20])}{' and more' if len(words) > 20 else ''}"


def shown(text: str) -> str:
    """A text as problems quote it: its beginning, and nothing of a card number."""
    return "not shown here" if holds_card_number(text) else repr(text[:_SHOWN])


class Reader:
    """Gathers problems. Every method gives back something of its type, so that reading goes on."""

    def __init__(self) -> None:
        self.problems: list[FieldError] = []

    def wrong(self, path: str, reason: str, description: str) -> None:
        """Notes a problem."""
        self.problems.append(FieldError(path, reason, description))

    def missing(self, path: str, what: str) -> None:
        """Notes a key that must be there."""
        self.wrong(path, "KEY_MISSING", f"is missing: {what}")

    def wrong_type(self, path: str, wanted: str, raw: object) -> None:
        """Notes a value of another kind."""
        self.wrong(path, "WRONG_TYPE", f"must be {wanted}, not {_called(raw)}")

    def too_many(self, path: str, count: int, most: int) -> None:
        """Notes a list that is too long."""
        self.wrong(path, "TOO_MANY", f"has {count:,} entries; the most is {most:,}")

    def table(self, raw: object, path: str, keys: Sequence[str]) -> Mapping[str, Any]:
        """A table's known keys; an unknown one is a problem."""
        if not isinstance(raw, Mapping):
            self.wrong_type(path or "document", "a table", raw)
            return {}
        found = {}
        for key, value in raw.items():
            if key in keys:
                found[key] = value
                continue
            name = shown(str(key)).strip("'")
            where = f"{path}.{name}" if path else name
            self.wrong(where, "KEY_UNKNOWN", f"there is no such key; {nearest(name, keys)}")
        return found

    def array(
        self, table: Mapping[str, Any], key: str, path: str, most: int, *, least: int = 1
    ) -> Sequence[object]:
        """An array under a key; empty where it is absent or wrong."""
        if key not in table:
            return ()
        where = f"{path}.{key}" if path else key
        return self.items(table[key], where, most, least=least)

    def items(self, raw: object, path: str, most: int, *, least: int = 1) -> Sequence[object]:
        """An array's entries; none where it is wrong."""
        if not isinstance(raw, Sequence) or isinstance(raw, str | bytes):
            self.wrong_type(path, "an array", raw)
            return ()
        if len(raw) < least:
            self.wrong(path, "EMPTY", "is empty; name at least one, or leave the key out")
        if len(raw) > most:
            self.too_many(path, len(raw), most)
            return ()
        return raw

    def integer(self, raw: object, path: str, least: int, most: int) -> int:
        """A whole number within bounds, both inclusive."""
        if not isinstance(raw, int) or isinstance(raw, bool):
            self.wrong_type(path, "a whole number", raw)
        elif not least <= raw <= most:
            self._out_of_range(path, least, most)
        else:
            return raw
        return least

    def number(self, raw: object, path: str, least: float, most: float) -> float:
        """A finite number within bounds, both inclusive."""
        if not isinstance(raw, int | float) or isinstance(raw, bool) or raw != raw:
            self.wrong_type(path, "a number", raw)
        elif not least <= raw <= most:
            self._out_of_range(path, least, most)
        else:
            # -0.0 would be another spelling of 0.0.
            return float(raw) + 0.0
        return float(least)

    def _out_of_range(self, path: str, least: float, most: float) -> None:
        self.wrong(path, "OUT_OF_RANGE", f"must be {least:,} to {most:,}")

    def truth(self, raw: object, path: str) -> bool:
        """True or false."""
        if not isinstance(raw, bool):
            self.wrong_type(path, "true or false", raw)
            return False
        return raw

    def text(self, raw: object, path: str, most: int) -> str:
        """A text of 1 to `most` characters."""
        if not isinstance(raw, str):
            self.wrong_type(path, "a string in quotes", raw)
            return ""
        if not raw:
            self.wrong(path, "EMPTY", "is empty; write a text, or leave the key out")
        elif len(raw) > most:
            self.wrong(path, "TEXT_TOO_LONG", f"{len(raw):,} characters; at most {most} fit")
        elif holds_card_number(raw):
            self.wrong(
                path,
                "CARD_DATA_IN_TEXT",
                "holds what looks like a card number, which has no place in a ruleset",
            )
        elif _has_surrogate(raw):
            self.wrong(path, "NOT_UNICODE", "holds half of a surrogate pair, which is no letter")
        else:
            return raw
        return ""

    def optional_text(self, table: Mapping[str, Any], key: str, path: str, most: int) -> str:
        """A text that may be absent or empty."""
        if table.get(key, "") == "":
            return ""
        return self.text(table[key], f"{path}.{key}", most)

    def word(self, table: Mapping[str, Any], key: str, path: str, known: Sequence[str]) -> str:
        """One of a few words, under a key that must be there."""
        where = f"{path}.{key}" if path else key
        if key not in table:
            self.missing(where, f"write {' or '.join(known)}")
            return known[0]
        return self.one_of(table[key], where, known)

    def one_of(self, raw: object, path: str, known: Sequence[str]) -> str:
        """One of a few words."""
        if not isinstance(raw, str):
            self.wrong_type(path, "a string in quotes", raw)
        elif raw not in known:
            self.wrong(path, "WORD_UNKNOWN", f"is {shown(raw)}; {nearest(raw, known)}")
        else:
            return raw
        return known[0]

    def rule_id(self, table: Mapping[str, Any], path: str) -> str:
        """A rule's id; "" where it is wrong."""
        where = f"{path}.id"
        if "id" not in table:
            self.missing(where, "give the rule a name of its own, for example german-debit")
            return ""
        return self._spelt(
            table["id"],
            where,
            _RULE_ID,
            "a rule's id is 1 to 64 of a-z, 0-9, _ and -, and begins with a letter or a digit",
        )

    def account_of(self, table: Mapping[str, Any], path: str) -> str:
        """The account id under `account`, which must be there."""
        where = f"{path}.account"
        if "account" not in table:
            self.missing(where, "name the account")
            return ""
        return self.account_id(table["account"], where)

    def account_id(self, raw: object, path: str) -> str:
        """An account's id; "" where it is wrong."""
        return self._spelt(
            raw,
            path,
            _ACCOUNT_ID,
            "an account's id is acc_ and 1 to 60 of a-z, A-Z, 0-9, _ and -",
        )

    def _spelt(self, raw: object, path: str, spelling: re.Pattern[str], what: str) -> str:
        if not isinstance(raw, str):
            self.wrong_type(path, "a string in quotes", raw)
        elif not spelling.fullmatch(raw):
            self.wrong(path, "ID_MALFORMED", f"is {shown(raw)}; {what}")
        else:
            return raw
        return ""

    def currency(self, raw: object, path: str) -> str:
        """An ISO 4217 code in capitals, as given in any case."""
        code = self.text(raw, path, _SHOWN)
        if code and code.upper() not in EXPONENTS:
            self.wrong(
                path, "WORD_UNKNOWN", f"is {code!r}, which is no active ISO 4217 currency code"
            )
        return code.upper()


def _has_surrogate(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= one <= "\udfff" for one in text)


def _called(raw: object) -> str:
    for kind, name in _NAMES:
        if isinstance(raw, kind):
            return name
    return "nothing" if raw is None else f"a {type(raw).__name__}"


_NAMES: Final[tuple[tuple[type | tuple[type, ...], str], ...]] = (
    (bool, "true or false"),
    (int, "a whole number"),
    (float, "a number"),
    (str, "a string"),
    (Mapping, "a table"),
    ((list, tuple), "an array"),
)
