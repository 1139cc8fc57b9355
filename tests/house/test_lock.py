"""The lock holds what pyproject.toml asks for, by hash."""

import re
import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.house.sources import ROOT


def locked(text: str) -> dict[str, tuple[str, int]]:
    """Each pinned project's version and how many hashes stand under it."""
    pins: dict[str, tuple[str, int]] = {}
    name = ""
    for line in text.splitlines():
        if match := re.match(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", line):
            name = canonicalize_name(match[1])
            pins[name] = (match[2], 0)
        elif line.lstrip().startswith("--hash=sha256:"):
            version, hashes = pins[name]
            pins[name] = (version, hashes + 1)
    return pins


def unmet(requirements: list[str], lock: str) -> list[str]:
    """The requirements that the lock does not pin within their range."""
    pins = locked(lock)
    missing = []
    for text in requirements:
        requirement = Requirement(text)
        version, _ = pins.get(canonicalize_name(requirement.name), ("", 0))
        if not version or not requirement.specifier.contains(version, prereleases=True):
            missing.append(f"{text}: locked at {version or 'nothing'}; run `make lock`")
    return missing


def test_the_lock_meets_every_requirement() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    assert not unmet(wanted, (ROOT / "requirements.lock").read_text("utf-8"))


def test_every_pin_has_a_hash() -> None:
    pins = locked((ROOT / "requirements.lock").read_text("utf-8"))
    assert pins
    assert not [name for name, (_, hashes) in pins.items() if not hashes]


def test_a_stale_lock_is_found() -> None:
    lock = "orjson==3.1.0 \\\n    --hash=sha256:00\napsw==3.50.0\n"
    assert len(unmet(["orjson>=3.11,<4", "Aiohttp>=3", "apsw"], lock)) == 2
    assert locked(lock)["apsw"] == ("3.50.0", 0)
