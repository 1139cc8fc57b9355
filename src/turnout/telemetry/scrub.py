"""The last line of defence: nothing that looks like a card number or a secret leaves in a log.

The first line is that such data is in very few hands and hides itself from repr. But libraries
quote what they choked on and providers echo what they were sent, so every line is searched once
more, off the path of the payment. It is built to err on the side of hiding: one in ten harmless
numbers of 12 to 19 digits passes the Luhn check by chance and is hidden too.

What it cannot see: digits that were encoded (base64, hexadecimal text) or split over lines.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Final

from turnout.domain.cards import Network, luhn_valid, network_of

HIDDEN: Final = "[hidden]"
_CARD: Final = "[card number hidden]"
_PAN_MIN: Final = 12
_PAN_MAX: Final = 19
# `cvc:123` is the shortest text that says too much.
_SHORTEST: Final = 7
_DEPTH_MAX: Final = 6
_ITEMS_MAX: Final = 200
# Below this an integer has fewer digits than any card number.
_SMALL: Final = 10 ** (_PAN_MIN - 1)

# What people and programs put between the groups of a card number. `\s`, dashes of every kind
# (U+2010 to U+2015, minus), dots, the invisible U+200B to U+200D, and spaces in URLs and forms.
_GAP: Final = r"(?:[\s.\-_+/*\u00ad\u2010-\u2015\u2212\u200b-\u200d\u2060\ufeff]|%20|%2[dD])"
_RUN: Final = re.compile(rf"\d(?:{_GAP}{{0,3}}\d){{{_PAN_MIN - 1},}}")
# Without one of these there is neither a card number nor a CVC.
_DIGIT: Final = re.compile(r"\d")
_GROUP: Final = re.compile(r"%2[0dD]|(\d+)")

# Our own ids are 12 and more hexadecimal digits; letters must not stand before or in them.
_OWN_ID: Final = re.compile(r"\b[a-z]{2,4}_[0-9a-f]{32}\b")
# Nanoseconds, microseconds and milliseconds since the epoch, from 2017 to 2033.
_EPOCH: Final = re.compile(r"1[5-9]\d{11}(?:\d{3}){0,2}")

# A CVC is too short to be known by its digits; it is known by the name before it.
_CVC: Final = re.compile(
    r"(?i)(\b\w*(?:cvc|cvv|cvn|csc|security_?code|verification_value)\d?"
    r"(?:%5d|[\"'\]\\\s:=>,(])*(?:%3d)?[\"'\s]*)(\d{3,4})(?!\d)"
)
_SECRET: Final = re.compile(
    r"\b(?:sk|rk|pk)_(?:test|live)_\w{6,}|\bwhsec_\w{6,}|\bAQE[A-Za-z0-9]{20,}\S*"
    r"|(?i:\b(?:bearer|basic) )[A-Za-z0-9._~+/=-]{8,}"
)
# What must be in a text before the slower searches are worth their microseconds.
_CVC_HINTS: Final = ("cv", "csc", "security", "verification")
_SECRET_HINTS: Final = ("sk_", "rk_", "pk_", "whsec_", "aqe", "bearer ", "basic ")
# Each of them holds one of these; what is not in nearly every text is found fastest.
_PARTS_OF_HINTS: Final = (" ", "aqe", "cv", "csc", "k_", "whsec_", "security", "verif")

_HIDDEN_KEYS: Final = frozenset(
    {
        *("cvc", "cvc2", "cvv", "cvv2", "cvn", "csc", "security_code", "securitycode"),
        *("pan", "card_number", "cardnumber", "number", "track1", "track2", "pin"),
        *("authorization", "password", "secret", "api_key", "apikey", "x-api-key"),
        *("master_key", "private_key", "webhook_secret", "hmac_key"),
    }
)

# For `harmless`: digits as ones, what may stand in a gap left out, all else as zeros.
_ONES_AND_ZEROS: Final = bytes(1 if 0x30 <= byte <= 0x39 else 0 for byte in range(256))
_GAP_BYTES: Final = b"\t\n\v\f\r\x1c\x1d\x1e\x1f .-_+/*"
_RUN_OF_ONES: Final = b"\x01" * _PAN_MIN

# Names of fields that were looked at before and have nothing to hide, because they recur in every
# line; bounded, and never with a digit.
_plain_keys: Final[set[str]] = set()


def scrub(text: str) -> str:
    """A text without card numbers, CVCs that are named as such, and keys of the usual shapes."""
    if len(text) < _SHORTEST or _OWN_ID.fullmatch(text) is not None or harmless(text):
        return text
    return _searched(text)


def harmless(text: str) -> bool:
    """Whether `scrub` would change nothing in this text, or in any part of it, for certain.

    What nearly every text passes, at a tenth of what the search costs. It errs on one side alone:
    where there are marks beyond ASCII or in the manner of URLs, a dozen digits with anything
    between them, or a part of a word that stands before secrets, the answer is no.
    """
    if not text.isascii() or "%" in text:
        return False
    lowered = text.lower()
    for part in _PARTS_OF_HINTS:
        if part in lowered:
            return False
    return _RUN_OF_ONES not in text.encode().translate(_ONES_AND_ZEROS, _GAP_BYTES)


def plainly_named(fields: Mapping[str, object]) -> bool:
    """Whether all names were seen before and neither hide their value nor have to be hidden."""
    return fields.keys() <= _plain_keys


def _searched(text: str) -> str:
    lowered = text.lower()
    if _DIGIT.search(text) is not None:
        if len(text) >= _PAN_MIN and _RUN.search(text) is not None:
            text = _RUN.sub(_hide_run, text) if _OWN_ID.search(text) is None else _around_ids(text)
            lowered = text.lower()
        for hint in _CVC_HINTS:
            if hint in lowered:
                text = _CVC.sub(rf"\1{HIDDEN}", text)
                break
    for hint in _SECRET_HINTS:
        if hint in lowered:
            return _SECRET.sub(HIDDEN, text)
    return text


def scrub_value(value: object, depth: int = 0) -> object:
    """Any value as plain JSON data without card data; what is too deep or long is cut."""
    if isinstance(value, str):
        return scrub(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return _scrub_integer(value)
    if isinstance(value, float):
        # More places say nothing, and seventeen of them look like a card number.
        return round(value, 6)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if depth >= _DEPTH_MAX:
        return f"<{type(value).__name__}>"
    if isinstance(value, Mapping):
        found: dict[str, object] = {}
        for key, one in list(value.items())[:_ITEMS_MAX]:
            if key in _plain_keys:
                found[key] = scrub_value(one, depth + 1)
                continue
            name = str(key)
            shown = scrub(name)
            if name.lower() in _HIDDEN_KEYS:
                found[shown] = HIDDEN
                continue
            found[shown] = scrub_value(one, depth + 1)
            if shown is key and len(_plain_keys) < _ITEMS_MAX and _DIGIT.search(shown) is None:
                _plain_keys.add(shown)
        return found
    if isinstance(value, list | tuple | set | frozenset):
        return [scrub_value(one, depth + 1) for one in list(value)[:_ITEMS_MAX]]
    if isinstance(value, BaseException):
        return scrub(f"{type(value).__name__}: {value}")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        # Its own repr, which hides what it must; never its fields.
        return scrub(repr(value))
    return scrub(str(value))


def _scrub_integer(value: int) -> object:
    if -_SMALL < value < _SMALL:
        return value
    text = str(value)
    scrubbed = scrub(text)
    # 64 bits are all that JSON readers agree on.
    return value if scrubbed == text and abs(value) < 2**63 else scrubbed


def _around_ids(text: str) -> str:
    """Our own ids stay readable: they are how anything is found again."""
    parts: list[str] = []
    at = 0
    for match in _OWN_ID.finditer(text):
        parts += (_RUN.sub(_hide_run, text[at : match.start()]), match.group())
        at = match.end()
    parts.append(_RUN.sub(_hide_run, text[at:]))
    return "".join(parts)


def _hide_run(match: re.Match[str]) -> str:
    """Hides every stretch of whole groups that can be a card number, and what is glued to one.

    All stretches, not the first that fits: beside a card stand other numbers, and a chance match
    of one of them with half of the card must not let the other half through.
    """
    text = match.group()
    groups = [one.span() for one in _GROUP.finditer(text) if one[1] is not None]
    digits = ["".join(str(int(digit)) for digit in text[start:end]) for start, end in groups]
    parts: list[str] = []
    at = hidden_to = 0
    for first, (start, _) in enumerate(groups):
        last = _card_end(digits, first)
        if last is None:
            continue
        end = groups[last][1]
        if start >= hidden_to:
            parts += (text[at:start], _CARD)
        at = hidden_to = max(hidden_to, end)
    parts.append(text[at:])
    return "".join(parts)


def _card_end(digits: list[str], first: int) -> int | None:
    """The last group of the longest card number that begins with this group, or None."""
    joined = ""
    found: int | None = None
    for last in range(first, len(digits)):
        joined += digits[last]
        if len(joined) > _PAN_MAX:
            break
        if len(joined) >= _PAN_MIN and luhn_valid(joined) and not _is_time(digits, first, last):
            found = last
    if found is None and _holds_card(digits[first]):
        return first
    return found


def _is_time(digits: list[str], first: int, last: int) -> bool:
    return first == last and _EPOCH.fullmatch(digits[first]) is not None


def _holds_card(digits: str) -> bool:
    """Whether a card of a known network stands inside a longer run of digits."""
    if len(digits) <= _PAN_MIN or _EPOCH.fullmatch(digits):
        return False
    for start in range(len(digits) - _PAN_MIN + 1):
        for length in range(_PAN_MIN, min(_PAN_MAX, len(digits) - start) + 1):
            window = digits[start : start + length]
            if network_of(window) is not Network.UNKNOWN and luhn_valid(window):
                return True
    return False
