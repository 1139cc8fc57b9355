"""The documents that follow from code say what the code says."""

import dataclasses
import subprocess
import sys
import typing
from pathlib import Path

import pytest

from turnout.config.options import declared
from turnout.config.reference import reference
from turnout.config.settings import SECTIONS, TABLES

ROOT = Path(__file__).resolve().parents[2]


def test_written_documents_are_current() -> None:
    run = subprocess.run(
        [sys.executable, str(ROOT / "scripts/docs.py"), "--check"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("kind", [*SECTIONS.values(), *TABLES.values()])
def test_every_option_is_documented_and_of_a_kind_that_can_be_read(kind: type) -> None:
    text = reference()
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        said = declared(field)
        assert len(said.doc) >= 10, field.name
        assert f"| `{field.name}` |" in text
        number = hints[field.name] in (int, float) and not said.required
        if number and field.name.rsplit("_", 1)[-1] in ("ms", "s", "h", "bytes"):
            assert said.unit, f"{field.name} is a number without a unit"
