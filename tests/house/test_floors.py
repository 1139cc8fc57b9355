"""Imports go down only."""

import re

import pytest

from tests.house.floors import FLOORS, check_floors
from tests.house.sources import ROOT, Source, expect_none, package_files, report


def test_every_import_of_the_package_goes_down() -> None:
    modules = package_files()
    assert modules
    expect_none(finding for module in modules for finding in check_floors(module))


@pytest.mark.parametrize(
    ("path", "text", "words"),
    [
        ("domain/money.py", "import aiohttp", "standard library alone"),
        ("ports.py", "import orjson", "standard library alone"),
        ("domain/money.py", "from turnout import ports", "may not import ports"),
        ("config.py", "import turnout.telemetry", "may not import telemetry"),
        ("vault/seal.py", "from turnout.routing.engine import decide", "may not import routing"),
        ("orchestration/payments.py", "from turnout.stores import sqlite", "not import stores"),
        ("orchestration/payments.py", "from ..stores import sqlite", "not import stores"),
        ("orchestration/payments.py", "import turnout.v1.types_pb2", "knows no proto"),
        ("connectors/stripe.py", "from turnout.sandbox import x", "not import sandbox"),
        ("stores/__init__.py", "from ..vault import tokens", "not import vault"),
        ("server/payments.py", "def f():\n    from turnout.connectors import base", "connectors"),
        ("server/payments.py", "import_module('turnout.stores.sqlite')", "not import stores"),
        ("edge/pages.py", "import turnout.server", "not import server"),
        ("routing/snapshot.py", "from turnout._native import Engine", "only routing/engine"),
        ("routing/engines.py", "from turnout import _native", "only routing/engine"),
        ("vault/store.py", "import apsw", "only stores"),
        ("orchestration/deadline.py", "from grpc import aio", "only server"),
        ("newroom.py", "", "on no floor"),
        ("app.py", "import turnout.newroom", "on no floor"),
        ("__init__.py", "from turnout.app import main", "imports no room"),
    ],
)
def test_an_import_that_goes_up_is_found(path: str, text: str, words: str) -> None:
    findings = check_floors(Source(f"src/turnout/{path}", text))
    assert words in report(findings)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (
            "domain/money.py",
            "from __future__ import annotations\nimport decimal\nfrom . import ids",
        ),
        ("routing/engine.py", "from turnout import _native\nimport turnout._native"),
        ("orchestration/payments.py", "from turnout.vault import tokens\nimport turnout.ports"),
        ("server/payments.py", "from turnout.v1 import payments_pb2\nimport grpc.aio"),
        ("cli.py", "from turnout import app, __version__\nimport turnout.stores.sqlite"),
        ("stores/sqlite/writer.py", "import apsw\nfrom ..contract import Unit"),
    ],
)
def test_an_import_that_goes_down_is_left_alone(path: str, text: str) -> None:
    expect_none(check_floors(Source(f"src/turnout/{path}", text)))


def test_the_architecture_document_shows_the_same_table() -> None:
    document = (ROOT / "docs/architecture.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d) \| ([^|]+) \|", document, re.MULTILINE)
    shown = {int(number): set(re.findall(r"`(\w+)`", rooms)) for number, rooms in rows}
    assert shown == {
        floor.number: {room for room in floor.rooms if room != "__main__"} for floor in FLOORS
    }
