"""`turnout up`: everything with one command, and what happens when a part of it dies."""

import asyncio
import json
import os
import re
import signal
import socket
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.running import Command, exists, turnout, until_gone
from turnout.cli.playground import write_playground

READY = re.compile(r"Turnout is ready, after [\d.]+ s")
LAST_LINE = "ctrl-C drains and stops everything."


async def ready(command: Command) -> None:
    """Waits until everything is said."""
    await command.until(lambda line: line == LAST_LINE)
    for part in ("serve", "edge", "sandbox"):
        await command.until(partial(_tells, f'"{part}.ready"'))
    assert READY.search(command.text)


def _tells(word: str, line: str) -> bool:
    return word in line


async def pasted(line: str, cwd: Path) -> tuple[int, str]:
    """Runs a line as a shell would."""
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", line),
        cwd=cwd,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


def pids(command: Command) -> dict[str, int]:
    """The parts' process ids, from their logs."""
    found = {}
    for line in command.lines:
        if line.startswith("{") and '.ready"' in line:
            said = json.loads(line)
            found[said["event"].removesuffix(".ready")] = said["pid"]
            if "envoy_pid" in said:
                found["envoy"] = said["envoy_pid"]
    return found


async def test_both_printed_lines_pay_and_the_record_outlives_a_restart(tmp_path: Path) -> None:
    write_playground(tmp_path)
    async with turnout("up", cwd=tmp_path) as up:
        await ready(up)
        curl = next(line for line in up.lines if line.startswith("curl "))
        python = next(line for line in up.lines if "import grpc; from turnout import v1" in line)
        status, said = await pasted(curl, tmp_path)
        assert status == 0, said
        over_http = json.loads(said)
        assert over_http["status"] in ("PAYMENT_STATUS_SUCCEEDED", "PAYMENT_STATUS_PROCESSING")
        status, printed = await pasted(python, tmp_path)
        assert status == 0, printed
        assert "status: PAYMENT_STATUS_" in printed
        first = pids(up)
        assert first.keys() == {"serve", "sandbox", "edge", "envoy"}
        up.process.send_signal(signal.SIGINT)
        assert await up.ended() == 0
    # The switch in GRPC_EXPERIMENTS that this version of gRPC must still know.
    assert "Unknown experiment" not in up.text
    assert not [name for name, pid in first.items() if exists(pid)]

    async with turnout("up", cwd=tmp_path) as again:
        await ready(again)
        # The same call again: the same answer, byte for byte, from before the restart.
        assert await pasted(curl, tmp_path) == (0, said)
        again.process.send_signal(signal.SIGTERM)
        assert await again.ended() == 0
    order = [json.loads(line)["event"] for line in again.lines if '.ended"' in line]
    assert order == ["edge.ended", "serve.ended", "sandbox.ended"]


@pytest.mark.parametrize("name", ["serve", "edge", "sandbox", "envoy"])
async def test_a_part_that_dies_is_named_and_takes_the_others_with_it(
    tmp_path: Path, name: str
) -> None:
    write_playground(tmp_path)
    async with turnout("up", cwd=tmp_path) as up:
        await ready(up)
        running = pids(up)
        os.kill(running[name], signal.SIGKILL)
        assert await up.ended() == 1
    died = "edge" if name == "envoy" else name
    how = "ended with status" if name == "envoy" else "was ended by SIGKILL"
    assert re.search(rf"turnout: {died} \(process \d+\) {how}.*its last lines:", up.text)
    await until_gone(list(running.values()))


async def test_no_part_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    write_playground(tmp_path)
    async with turnout("up", cwd=tmp_path) as up:
        await ready(up)
        running = pids(up)
        up.process.kill()
        await until_gone(list(running.values()))


async def test_a_taken_port_is_named(tmp_path: Path) -> None:
    settings = write_playground(tmp_path)
    with socket.create_server(("127.0.0.1", settings.server.port)):
        async with turnout("up", cwd=tmp_path) as up:
            assert await up.ended() == 1
    assert f"cannot listen on 127.0.0.1:{settings.server.port}" in up.text
    assert "turnout: serve (process" in up.text


async def test_the_first_start_makes_a_configuration(tmp_path: Path) -> None:
    """Made, but not started: its usual ports may be somebody else's on this machine."""
    async with turnout("init", cwd=tmp_path) as init:
        assert await init.ended() == 0
    assert (tmp_path / "turnout.toml").is_file()
    key = tmp_path / "var/secrets/test_api_key"
    assert key.stat().st_mode & 0o777 == 0o600
    before = key.read_bytes()
    async with turnout("init", cwd=tmp_path) as again:
        assert await again.ended() == 0
    assert "nothing was changed" in again.text
    assert key.read_bytes() == before
    async with turnout("config", "check", cwd=tmp_path) as check:
        assert await check.ended() == 0
    assert "is sound" in check.text


async def test_without_envoy_everything_else_runs(tmp_path: Path) -> None:
    write_playground(tmp_path)
    nowhere = str(tmp_path / "no-envoy-here")
    async with turnout("up", cwd=tmp_path, TURNOUT_EDGE__ENVOY_PATH=nowhere) as up:
        await up.until(lambda line: line == LAST_LINE)
        assert any("no-envoy-here" in line and line.startswith("turnout: ") for line in up.lines)
        assert not [line for line in up.lines if line.startswith("curl ")]
        python = next(line for line in up.lines if "import grpc; from turnout import v1" in line)
        status, printed = await pasted(python, tmp_path)
        assert status == 0, printed
        assert "status: PAYMENT_STATUS_" in printed
        up.process.send_signal(signal.SIGTERM)
        assert await up.ended() == 0
