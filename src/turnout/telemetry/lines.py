"""How one thing that happened becomes one line: JSON for machines, text for people."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType, TracebackType
from typing import Final, NamedTuple, cast

import orjson

from turnout.telemetry.scrub import harmless, plainly_named, scrub, scrub_value

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]

_FRAMES_MAX: Final = 40
_TEXT_MAX: Final = 16_384
_GREY, _RED, _YELLOW, _PLAIN = "\x1b[2m", "\x1b[31m", "\x1b[33m", "\x1b[0m"
_COLOURS: Final = {"warning": _YELLOW, "error": _RED, "critical": _RED}


# What every line has; a field of that name gets another.
_HEAD: Final = frozenset({"time", "level", "logger", "event"})
_NO_FIELDS: Final[Mapping[str, object]] = MappingProxyType({})
# In no card number's gaps and in no CVC's: what is beside it stays beside it.
_BETWEEN: Final = "\0"


class Entry(NamedTuple):
    """One thing to log, as it was handed over.

    Attributes:
        at_ns: wall-clock time.
        trouble: an exception with its traceback, already as text.
    """

    at_ns: int
    level: str
    logger: str
    event: str
    fields: Mapping[str, object] = _NO_FIELDS
    trouble: str = ""


Render = Callable[[Entry], str]


def as_json(entry: Entry) -> str:
    """One JSON object."""
    event, fields = _scrubbed(entry)
    line: dict[str, object] = {
        "time": _time(entry.at_ns),
        "level": entry.level,
        "logger": entry.logger,
        "event": event,
    }
    if _HEAD.isdisjoint(fields):
        line |= fields
    else:
        line |= {f"field_{name}" if name in _HEAD else name: fields[name] for name in fields}
    if entry.trouble:
        line["exception"] = scrub(entry.trouble)
    return _json(line)


def as_text(entry: Entry) -> str:
    """For a person who reads a file or a pipe."""
    return _text(entry, "", "", "")


def as_coloured_text(entry: Entry) -> str:
    """For a person at a terminal."""
    return _text(entry, _COLOURS.get(entry.level, ""), _GREY, _PLAIN)


def _text(entry: Entry, loud: str, quiet: str, plain: str) -> str:
    event, found = _scrubbed(entry)
    fields = " ".join(
        f"{quiet}{_one_line(name)}={plain}{_shown(value)}" for name, value in found.items()
    )
    line = (
        f"{quiet}{_time(entry.at_ns)[11:23]}{plain} {loud}{entry.level:<8}{plain} "
        f"{_one_line(event)}  {fields} {quiet}({entry.logger}){plain}"
    )
    return f"{line}\n{_printable(scrub(entry.trouble))}" if entry.trouble else line


def _scrubbed(entry: Entry) -> tuple[str, Mapping[str, object]]:
    """Event and fields as they may be shown: most pass with one look at all of them together."""
    event, fields = entry.event[:_TEXT_MAX], entry.fields
    if plainly_named(fields):
        texts = cast("Mapping[str, str]", fields)
        try:
            if harmless(_BETWEEN.join((event, *texts.values()))):
                return event, fields
        except TypeError:
            # Some are no texts.
            pass
    found = scrub_value(fields)
    assert isinstance(found, dict)
    return scrub(event), found


def _shown(value: object) -> str:
    if isinstance(value, str):
        simple = value and not any(char in value for char in " \"'=")
        return _one_line(value if simple else repr(value))
    if isinstance(value, dict | list):
        return _json(value)
    return str(value)


def _json(value: object) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        # Half a character (a lone surrogate) is no UTF-8; the slower writer escapes it.
        return json.dumps(value, default=str)


def _one_line(text: str) -> str:
    """Nobody who can put a newline or an escape into a message can forge a line with it."""
    return text if text.isprintable() else "".join(map(_escaped, text))


def _printable(text: str) -> str:
    return "\n".join(map(_one_line, text.splitlines()))


def _escaped(char: str) -> str:
    return char if char.isprintable() else char.encode("unicode_escape").decode()


def _time(at_ns: int) -> str:
    """RFC 3339 in UTC with microseconds."""
    seconds, rest = divmod(at_ns, 1_000_000_000)
    # The first digit keeps the noughts.
    return f"{_second(seconds)}.{str(1_000_000 + rest // 1_000)[1:]}Z"


@lru_cache(maxsize=8)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]


def trouble_text(info: ExcInfo) -> str:
    """An exception, its causes and where they came from; never the values of local variables.

    Made at once where it is logged: a traceback that waits in a queue would keep every frame, and
    every card in it, alive.
    """
    lines = traceback.TracebackException(
        *info, limit=_FRAMES_MAX, capture_locals=False, compact=True
    ).format()
    return "".join(lines).rstrip()[-_TEXT_MAX:]
