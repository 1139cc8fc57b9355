"""TLS at the edge: served, trusted towards the server, and renewed while it runs."""

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import grpc
import pytest

import turnout.edge.run
from tests.integration.edge_backend import Payments, Running, Seen, require_envoy, running
from tests.integration.test_server_tls import write_certificate
from turnout import v1
from turnout.edge.run import Edge, EdgeFailed, run_edge
from turnout.edge.settings import EdgeSettings
from turnout.edge.tls import Certificates

PAYMENT = "/v1/payments/pay_1"


class Files:
    """A certificate and its key as certbot keeps them: links that each renewal makes again."""

    def __init__(self, room: Path) -> None:
        self.room = room
        self.chain, self.key = room / "edge.pem", room / "edge.key"
        self.serial = 0
        self.write()

    def write(self) -> bytes:
        """Writes the next pair and links to it; gives its certificate."""
        self.serial += 1
        chain, key = (self.room / f"{part}{self.serial}.pem" for part in ("chain", "key"))
        certificate = write_certificate(chain, key, self.serial)
        for link, target in ((self.chain, chain), (self.key, key)):
            link.unlink(missing_ok=True)
            link.symlink_to(target)
        return certificate

    def settings(self) -> EdgeSettings:
        # Relative to where we run, not to where Envoy does.
        chain, key = os.path.relpath(self.chain), os.path.relpath(self.key)
        log = str(self.room / "access.log")
        return EdgeSettings(
            listen_port=0, access_log_path=log, tls_certificate_path=chain, tls_key_path=key
        )


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@contextlib.asynccontextmanager
async def serving(files: Files) -> AsyncIterator[Running]:
    async with running(files.room, files.settings()) as edge:
        yield edge


async def shown(port: int) -> str:
    """The certificate that a new connection is shown; the handshake must succeed."""
    pem = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port), timeout=10)
    return pem.strip()


async def until_shown(port: int, certificate: bytes, before: bytes) -> None:
    """Returns when new connections are shown it; until then each is shown the one before."""
    async with asyncio.timeout(20):
        while (seen := await shown(port)) != certificate.decode().strip():
            assert seen == before.decode().strip()


async def test_tls_is_served(files: Files) -> None:
    async with serving(files) as edge:
        url = f"https://127.0.0.1:{edge.edge.port}{PAYMENT}"
        trust = ssl.create_default_context(cafile=str(files.chain))
        async with edge.client.get(url, ssl=trust) as answer:
            assert answer.status == 200
        with pytest.raises(aiohttp.ClientError):
            await edge.call("GET", PAYMENT)


async def test_a_renewed_certificate_is_shown_and_a_half_renewed_one_is_not(files: Files) -> None:
    first = files.chain.read_bytes()
    async with serving(files) as edge:
        port = edge.edge.port
        url = f"https://127.0.0.1:{port}{PAYMENT}"
        trust = ssl.create_default_context(cafile=str(files.chain))
        async with aiohttp.ClientSession() as held:
            async with held.get(url, ssl=trust) as answer:
                assert answer.status == 200
            assert not await edge.edge.renew()

            second = files.write()
            assert await edge.edge.renew()
            await until_shown(port, second, first)
            assert not await edge.edge.renew()
            # The connection that stands goes on.
            async with held.get(url, ssl=trust) as answer:
                assert answer.status == 200

        # The certificate is there, its key not yet.
        third = files.write()
        new_key = files.key.read_bytes()
        files.key.write_text("half of")
        with pytest.raises(OSError, match=r"edge\.pem and .*edge\.key are not a certificate"):
            await edge.edge.renew()
        assert await shown(port) == second.decode().strip()
        files.key.write_bytes(new_key)
        assert await edge.edge.renew()
        await until_shown(port, third, second)


async def test_it_looks_at_its_files_by_itself(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_envoy()
    monkeypatch.setattr(turnout.edge.run, "_LOOK_S", 0.01)
    first = files.chain.read_bytes()
    stop, ready = asyncio.Event(), asyncio.Queue[Edge]()
    room = files.room / "edge"
    edge = asyncio.create_task(run_edge(files.settings(), room, stop, ready.put_nowait))
    async with asyncio.timeout(30):
        port = (await ready.get()).port
    second = files.write()
    await until_shown(port, second, first)
    stop.set()
    await edge


async def test_renewed_authorities_are_trusted(tmp_path: Path) -> None:
    """The server shows another certificate after a while; the edge gets to know it in time."""
    require_envoy()
    chain, key = tmp_path / "server.pem", tmp_path / "server.key"
    write_certificate(chain, key)
    settings = EdgeSettings(
        listen_port=0, access_log_path=str(tmp_path / "log"), upstream_ca_path=str(chain)
    )
    port = 0
    async with aiohttp.ClientSession() as client:
        server, port = await secure_server(chain, key, port)
        edge = Edge(replace(settings, upstream_port=port), tmp_path / "edge")
        await edge.start()
        url = f"http://127.0.0.1:{edge.port}{PAYMENT}"
        try:
            assert (await client.get(url)).status == 200
            await server.stop(0)
            write_certificate(chain, key, 2)
            server, port = await secure_server(chain, key, port)
            assert (await client.get(url)).status == 503
            assert await edge.renew()
            async with asyncio.timeout(20):
                while (await client.get(url)).status != 200:
                    pass
        finally:
            await edge.stop()
            await server.stop(0)


async def secure_server(chain: Path, key: Path, port: int) -> tuple[grpc.aio.Server, int]:
    server = grpc.aio.server()
    v1.add_PaymentServiceServicer_to_server(Payments(Seen()), server)
    pair = (key.read_bytes(), chain.read_bytes())
    bound = server.add_secure_port(f"127.0.0.1:{port}", grpc.ssl_server_credentials([pair]))
    await server.start()
    return server, bound


@pytest.mark.parametrize("broken", ["edge.pem", "edge.key"])
async def test_files_that_cannot_be_used_keep_it_from_starting(files: Files, broken: str) -> None:
    require_envoy()
    (files.room / broken).write_text("not yet written to the end")
    with pytest.raises(EdgeFailed, match=r"are not a certificate and its key"):
        await Edge(files.settings(), files.room / "edge").start()


def test_authorities_that_are_none_are_named(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("nothing")
    with pytest.raises(OSError, match=r"ca\.pem holds no certificates"):
        Certificates(EdgeSettings(upstream_ca_path=str(path)), tmp_path)
