"""Time, randomness, output and errors go through their doors."""

import pytest

from tests.house.bans import (
    ALLOWED,
    allowance_for,
    banned_names,
    check_bans,
    check_file_name,
    check_swallowing,
)
from tests.house.sources import ROOT, Source, every_file, expect_none, package_files, report


def test_the_package_mentions_no_banned_name() -> None:
    expect_none(finding for module in package_files() for finding in check_bans(module))


def test_no_allowance_outlives_its_use() -> None:
    used = {
        allowance_for(module.path, name)
        for module in package_files()
        for name, _, _ in banned_names(module)
    }
    package = ROOT / "src/turnout"
    standing = [
        allowance
        for allowance in ALLOWED
        if (package / allowance.place).exists() or (package / f"{allowance.place}.py").exists()
    ]
    stale = [allowance.place for allowance in standing if allowance not in used]
    assert not stale, f"nothing there needs its allowance; take it out of bans.py: {stale}"


def test_no_error_is_swallowed() -> None:
    modules = [s for s in every_file() if s.path.endswith(".py") and not s.generated]
    expect_none(finding for module in modules for finding in check_swallowing(module))


def test_no_file_is_a_drawer() -> None:
    expect_none(finding for s in every_file() for finding in check_file_name(s.path))


@pytest.mark.parametrize(
    "text",
    [
        "import time\nx = time.time()",
        "import time as t\nx = t.monotonic_ns()",
        "from time import monotonic as now\nx = now()",
        "import time\ndef f(now=time.monotonic): ...",
        "import datetime as dt\nx = dt.datetime.now(dt.UTC)",
        "from datetime import datetime\nx = datetime.utcnow()",
        "import random\nx = random.random()",
        "from random import choice\nx = choice([1])",
        "import random\nx = random.SystemRandom()",
        "import os\nx = os.urandom(12)",
        "import secrets\nx = secrets.token_hex()",
        "from uuid import uuid4\nx = uuid4()",
        "import time\ntime.sleep(1)",
        "print('here')",
    ],
)
def test_a_banned_name_is_found(text: str) -> None:
    assert "is banned here" in report(check_bans(Source("src/turnout/domain/x.py", text)))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("domain/x.py", "import random\ndef f(dice: random.Random): return dice.random()"),
        ("domain/x.py", "import time\nx = time.struct_time"),
        ("domain/x.py", "def f(random, secrets):\n    return random.token(secrets)"),
        ("domain/x.py", "def f(clock):\n    return clock.time()"),
        ("app.py", "import time\nx = time.monotonic_ns"),
        ("app/clock.py", "import secrets\nx = secrets.token_hex()"),
        ("cli/tour.py", "print('hello')"),
    ],
)
def test_what_is_allowed_is_left_alone(path: str, text: str) -> None:
    expect_none(check_bans(Source(f"src/turnout/{path}", text)))


@pytest.mark.parametrize("path", ["application.py", "server/app.py", "sandbox/x.py"])
def test_an_allowance_covers_its_own_place_only(path: str) -> None:
    assert check_bans(Source(f"src/turnout/{path}", "import time\nx = time.time()"))


@pytest.mark.parametrize(
    "text",
    [
        "try: f()\nexcept: raise",
        "try: f()\nexcept Exception: pass",
        "try: f()\nexcept (ValueError, BaseException): ...",
        "def g():\n    try: f()\n    except Exception: return None",
        "for x in y:\n    try: f()\n    except Exception: continue",
        "import contextlib\nwith contextlib.suppress(Exception): f()",
        "from contextlib import suppress\nwith suppress(BaseException): f()",
    ],
)
def test_a_swallowed_error_is_found(text: str) -> None:
    assert check_swallowing(Source("src/turnout/domain/x.py", text))


@pytest.mark.parametrize(
    "text",
    [
        "try: f()\nexcept Exception:\n    log.exception('f failed')\n    raise",
        "try: f()\nexcept FileNotFoundError: pass",
        "from contextlib import suppress\nwith suppress(KeyError): f()",
    ],
)
def test_a_handled_error_is_left_alone(text: str) -> None:
    assert not check_swallowing(Source("src/turnout/domain/x.py", text))


@pytest.mark.parametrize("path", ["src/turnout/utils.py", "a/helpers/x.rs", "t/test_common.py"])
def test_a_drawer_is_found(path: str) -> None:
    assert check_file_name(path)
