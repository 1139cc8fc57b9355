"""Options from the environment: TURNOUT_<SECTION>__<KEY> wins over the file.

Only single options of sections: merchants, accounts and keys are many, and stand in the file.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from turnout.config.options import Wrong, did_you_mean

_PREFIX = "TURNOUT_"
_SEPARATOR = "__"


def override(
    raw: dict[str, Any], environ: Mapping[str, str], sections: Mapping[str, type]
) -> list[str]:
    """Puts what the environment says into the file's values; returns what was wrong."""
    problems: list[str] = []
    for variable in sorted(environ):
        if not variable.startswith(_PREFIX) or _SEPARATOR not in variable:
            continue
        section, _, key = variable.removeprefix(_PREFIX).lower().partition(_SEPARATOR)
        kind = sections.get(section)
        if kind is None:
            problems.append(
                f"{variable}: there is no section {section}; {did_you_mean(section, sections)}"
            )
            continue
        names = {field.name for field in dataclasses.fields(kind)}
        if key not in names:
            problems.append(
                f"{variable}: there is no option {section}.{key}; {did_you_mean(key, names)}"
            )
            continue
        hint = typing.get_type_hints(kind)[key]
        try:
            value = from_environment(hint, environ[variable])
        except Wrong as wrong:
            problems.append(f"{variable}: {wrong}")
            continue
        table = raw.setdefault(section, {})
        if isinstance(table, dict):
            table[key] = value
    return problems


def from_environment(hint: Any, text: str) -> object:
    """The TOML value that a string from the environment stands for; reading checks it later.

    Raises:
        Wrong: this option cannot be set from the environment.
    """
    if hint in (str, Path, Path | None):
        return text
    try:
        if hint is bool:
            return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
        if hint is int:
            return int(text)
        if hint is float:
            return float(text)
        if hint == tuple[float, ...]:
            return [float(part) for part in text.split(",")]
    except (ValueError, KeyError):
        wanted = {bool: "true or false", int: "a whole number"}.get(hint, "a number")
        raise Wrong(f"must be {wanted}") from None
    raise Wrong("cannot be set from the environment; write it into the file")
