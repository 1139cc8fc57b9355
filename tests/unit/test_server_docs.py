"""docs/api names every reason and every type of event that there is, and no other."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from turnout.domain.events import EventType
from turnout.server import errors

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "src" / "turnout"
DOCUMENT = ROOT / "docs" / "api" / "errors.md"
ROOMS = ("domain", "vault", "orchestration", "server")

REASON = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")
# Constants of that shape that are no reasons: names of other things.
OTHER = {"NONCE_BYTES", "MULTI_CAPTURE", "STATE_BLOB"}
ONE_WORD = {"INTERNAL", "DRAINING", "OVERLOADED"}


def given() -> set[str]:
    found = set()
    for room in ROOMS:
        for path in (PACKAGE / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    whole = REASON.fullmatch(node.value)
                    if whole or node.value in ONE_WORD:
                        found.add(node.value)
    return found - OTHER


def documented() -> set[str]:
    rows = [
        line.split("|")[1] for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")
    ]
    return {reason for row in rows for reason in re.findall(r"`([A-Z0-9_]+)`", row)}


def test_every_reason_is_documented_and_every_documented_one_is_given() -> None:
    text = DOCUMENT.read_text()
    missing = {one for one in given() - documented() if f"`{one}`" not in text}
    assert not missing, f"not in {DOCUMENT.name}: {sorted(missing)}"
    assert not documented() - given(), "documented, but given nowhere"


def test_every_status_is_documented() -> None:
    statuses = {code.name for code in errors.CODES.values()} | {"INTERNAL", "CANCELLED"}
    rows = re.findall(r"^\| ([A-Z_]+) \| \d{3} \|", DOCUMENT.read_text(), re.MULTILINE)
    assert set(rows) == statuses


def test_the_statuses_in_the_reasons_tables_exist() -> None:
    statuses = {code.name for code in errors.CODES.values()} | {"INTERNAL"}
    for line in DOCUMENT.read_text().splitlines():
        if line.startswith("| `"):
            assert line.split("|")[2].strip() in statuses, line


def test_every_type_of_event_is_documented() -> None:
    text = DOCUMENT.with_name("events.md").read_text()
    rows = re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \|", text, re.MULTILINE)
    assert rows == [one.value for one in EventType]
