"""Envoy as our child: deadlines, access log, drain, and every way to start or end."""

import asyncio
import importlib.util
import json
import os
import signal
import socket
import sys
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from tests.integration.edge_backend import require_envoy, running
from turnout.edge.config import build
from turnout.edge.examples import REQUESTS
from turnout.edge.run import Edge, EdgeFailed, find_envoy, run_edge
from turnout.edge.settings import EdgeSettings

CARD = REQUESTS["AuthorizePayment"]["card"]
PAN = "4111111111111111"


def local(room: Path) -> EdgeSettings:
    return EdgeSettings(listen_port=0, access_log_path=str(room / "access.log"))


@pytest.mark.parametrize(
    ("asked", "least_s", "most_s"),
    [(None, 3.0, 5.0), ("700m", 0.1, 0.7), ("2S", 1.0, 2.0), ("1H", 7.0, 9.0)],
)
async def test_the_deadline_reaches_the_server(
    tmp_path: Path, asked: str | None, least_s: float, most_s: float
) -> None:
    settings = replace(local(tmp_path), timeout_ms=5_000, timeout_max_ms=9_000)
    async with running(tmp_path, settings) as edge:
        headers = {"grpc-timeout": asked} if asked else None
        status, _, _ = await edge.authorize(CARD, headers)
        assert status == 200
        remaining_s = edge.seen.last.remaining_s
        assert remaining_s is not None
        assert least_s < remaining_s <= most_s


async def test_a_stream_has_no_short_deadline(tmp_path: Path) -> None:
    async with running(tmp_path, replace(local(tmp_path), timeout_ms=100)) as edge:
        edge.seen.gate.set()
        async with edge.client.get(f"{edge.url}/v1/events:stream") as answer:
            assert len((await answer.read()).splitlines()) == 3
        remaining_s = edge.seen.last.remaining_s
        assert remaining_s is None or remaining_s > 3000


async def test_the_access_log_has_no_card_data(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    async with running(tmp_path) as edge:
        await edge.authorize(CARD, {"x-request-id": "request-1", "authorization": "Bearer sk_1"})
        await edge.authorize({"payment_method": {"card": {PAN: 1}}})
        await edge.call("GET", f"/v1/payments/{PAN}")
        await edge.call("GET", f"/v1/payments?merchant_reference={PAN}")
        await edge.call("GET", f"/{PAN}?{PAN}")
        async with edge.client.get(f"{edge.url}/readyz"):
            pass  # Probes come all the time, and are not logged.
        await edge.call("POST", "/v1/payments:authorize", data=f'{{"{PAN}'.encode())
    text = log.read_text("utf-8")  # Envoy has written all of it: it has ended.
    lines = [json.loads(line) for line in text.splitlines()]
    assert len(lines) == 6
    for secret in (PAN, '"123"', "Lovelace", "sk_1", "?"):
        assert secret not in text
    first = lines[0]
    assert first["rpc"] == "turnout.v1.PaymentService/AuthorizePayment"
    assert (first["method"], first["status"]) == ("POST", 200)
    assert (first["request_id"], first["event"]) == ("request-1", "http_request")
    assert first["remote_ip"] == "127.0.0.1"
    assert lines[2]["method"] == "GET"
    assert isinstance(first["duration_ms"], int)


async def test_the_room_and_the_admin_socket_are_private(tmp_path: Path) -> None:
    async with running(tmp_path) as edge:
        assert (edge.room / "admin.sock").stat().st_mode & 0o077 == 0
        configuration = (edge.room / "envoy.json").read_text("utf-8")
    assert json.loads(configuration)["admin"]["address"] == {
        "pipe": {"path": "admin.sock", "mode": 0o600}
    }


async def test_a_deep_room_is_no_obstacle(tmp_path: Path) -> None:
    room = tmp_path / ("d" * 100) / ("e" * 100)
    async with running(room, replace(local(tmp_path))) as edge:
        status, _, _ = await edge.authorize(CARD)
        assert status == 200


async def test_stop_answers_what_is_under_way(tmp_path: Path) -> None:
    async with running(tmp_path) as edge:
        waiting = asyncio.create_task(edge.authorize({"merchant_reference": "wait"}))
        await edge.seen.arrived.wait()
        stopping = asyncio.create_task(edge.edge.stop())
        await until_refused(edge.edge.port)
        assert not waiting.done()
        assert not stopping.done()
        edge.seen.gate.set()
        status, answer, _ = await waiting
        assert (status, answer["payment_id"]) == (200, "pay_1")
        await stopping


async def test_stop_gives_up_waiting_at_its_limit(tmp_path: Path) -> None:
    settings = replace(local(tmp_path), drain_timeout_ms=100)
    async with running(tmp_path, settings) as edge:
        waiting = asyncio.create_task(edge.authorize({"merchant_reference": "wait"}))
        await edge.seen.arrived.wait()
        async with asyncio.timeout(10):
            await edge.edge.stop()
        with pytest.raises(aiohttp.ClientError):
            await waiting


async def test_run_edge_runs_until_it_is_told_to_stop(tmp_path: Path) -> None:
    require_envoy()
    stop = asyncio.Event()
    ports = []

    def ready(edge: Edge) -> None:
        ports.append(edge.port)
        assert accepts(edge.port)
        stop.set()

    await run_edge(local(tmp_path), tmp_path, stop, ready)
    assert not accepts(ports[0])


async def test_run_edge_tells_that_envoy_ended(tmp_path: Path) -> None:
    require_envoy()

    def ready(edge: Edge) -> None:
        assert edge.pid is not None
        os.kill(edge.pid, signal.SIGKILL)

    with pytest.raises(EdgeFailed, match="ended by itself with status -9"):
        await run_edge(local(tmp_path), tmp_path, asyncio.Event(), ready)


async def test_a_taken_port_is_an_error(tmp_path: Path) -> None:
    async with running(tmp_path) as edge:
        settings = replace(local(tmp_path), listen_port=edge.edge.port)
        with pytest.raises(EdgeFailed, match=rf"127\.0\.0\.1:{edge.edge.port} taken"):
            await Edge(settings, tmp_path / "second").start()


async def test_envoy_dies_with_its_parent(tmp_path: Path) -> None:
    require_envoy()
    program = (
        "import asyncio, sys, pathlib\n"
        "from turnout.edge.run import run_edge\n"
        "from turnout.edge.settings import EdgeSettings\n"
        "asyncio.run(run_edge(EdgeSettings(listen_port=0), pathlib.Path(sys.argv[1]),\n"
        "    asyncio.Event(), lambda edge: print(edge.port, flush=True)))\n"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    port = int(await parent.stdout.readline())
    assert accepts(port)
    parent.kill()
    # Envoy holds the pipe's other end: it closes when both are gone.
    async with asyncio.timeout(20):
        await parent.stdout.read()
        await parent.wait()
    assert not accepts(port)


def test_a_machine_without_envoy_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EdgeFailed, match="no Envoy for this machine"):
        find_envoy(EdgeSettings())
    with pytest.raises(EdgeFailed, match="envoy_path /nowhere"):
        find_envoy(EdgeSettings(envoy_path="/nowhere"))


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        (EdgeSettings(tls_key_path="/key.pem"), "tls_certificate_path"),
        (EdgeSettings(timeout_ms=70_000), "timeout_max_ms"),
    ],
)
def test_settings_that_contradict_each_other_are_named(settings: EdgeSettings, names: str) -> None:
    with pytest.raises(ValueError, match=names):
        build(settings)


async def until_refused(port: int) -> None:
    """Return when nobody listens any more; each probe is answered by the kernel at once."""
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                return
            except ConnectionResetError:
                continue  # Was in the queue of the socket that has just been closed.
            writer.close()


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
