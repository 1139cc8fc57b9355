"""Child processes as the supervisor sees them."""

import os
from pathlib import Path

import pytest

from turnout.cli.children import Child
from turnout.cli.playground import free_ports, write_playground
from turnout.cli.stack import PartDied, Stack, status_of


def test_free_ports_are_different() -> None:
    ports = free_ports(50)
    assert len(set(ports)) == 50


async def test_a_child_is_listened_to_and_its_end_is_told() -> None:
    heard: list[tuple[str, str]] = []
    child = Child("version", lambda name, line: heard.append((name, line)))
    await child.start(["version"], os.environ)
    assert await child.wait() == 0
    assert heard[0][0] == "version"
    assert heard[0][1].startswith("turnout ")
    assert child.epitaph() == f"version (process {child.pid}) ended with status 0"
    assert await child.stop(1.0)


async def test_a_part_that_cannot_start_is_named_with_its_last_words(tmp_path: Path) -> None:
    settings = write_playground(tmp_path)
    settings.path.write_text(settings.path.read_text().replace("[server]", "[sever]"))
    stack = Stack(settings, os.environ, lambda name, line: None)
    with pytest.raises(PartDied, match=r"(?s)ended with status 78; its last lines:\n.*sever"):
        await stack.start()
    assert await stack.stop() == []
    assert all(child.ended for child in stack.children.values())


async def test_nobody_answers_where_nobody_listens() -> None:
    assert await status_of("127.0.0.1", free_ports(1)[0], "/readyz") == 0


async def test_the_playground_is_as_closed_as_the_real_thing(tmp_path: Path) -> None:
    settings = write_playground(tmp_path)
    for path in (tmp_path / "var/secrets").iterdir():
        assert path.stat().st_mode & 0o077 == 0
    assert settings.server.host == settings.edge.host == "127.0.0.1"
