"""How one thing that happened becomes one line: JSON for machines, text for people."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Final

import orjson

from turnout.telemetry.scrub import scrub, scrub_value

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]

_FRAMES_MAX: Final = 40
_TEXT_MAX: Final = 16_384
_GREY, _RED, _YELLOW, _PLAIN = "\x1b[2m", "\x1b[31m", "\x1b[33m", "\x1b[0m"
_COLOURS: Final = {"warning": _YELLOW, "error": _RED, "critical": _RED}


@dataclass(slots=True)
class Entry:
    """One thing to log, as it was handed over.

    Attributes:
        at_ns: wall-clock time.
        trouble: an exception with its traceback, already as text.
    """

    at_ns: int
    level: str
    logger: str
    event: str
    fields: Mapping[str, object] = field(default_factory=dict)
    trouble: str = ""


Render = Callable[[Entry], str]


def as_json(entry: Entry) -> str:
    """One JSON object."""
    line: dict[str, object] = {
        "time": _time(entry.at_ns),
        "level": entry.level,
        "logger": entry.logger,
        "event": scrub(entry.event[:_TEXT_MAX]),
    }
    for name, value in _scrubbed(entry).items():
        line[name if name not in line else f"field_{name}"] = value
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
    fields = " ".join(
        f"{quiet}{_one_line(name)}={plain}{_shown(value)}"
        for name, value in _scrubbed(entry).items()
    )
    line = (
        f"{quiet}{_time(entry.at_ns)[11:23]}{plain} {loud}{entry.level:<8}{plain} "
        f"{_one_line(scrub(entry.event[:_TEXT_MAX]))}  {fields} {quiet}({entry.logger}){plain}"
    )
    return f"{line}\n{_printable(scrub(entry.trouble))}" if entry.trouble else line


def _scrubbed(entry: Entry) -> dict[str, object]:
    found = scrub_value(entry.fields)
    assert isinstance(found, dict)
    return found


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
    at = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1_000)
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def trouble_text(info: ExcInfo) -> str:
    """An exception, its causes and where they came from; never the values of local variables.

    Made at once where it is logged: a traceback that waits in a queue would keep every frame, and
    every card in it, alive.
    """
    lines = traceback.TracebackException(
        *info, limit=_FRAMES_MAX, capture_locals=False, compact=True
    ).format()
    return "".join(lines).rstrip()[-_TEXT_MAX:]
