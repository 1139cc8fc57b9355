"""The HTTP client against servers that misbehave, over real sockets.

Every case asks one thing: does it say "surely not sent" only where that is sure?
"""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
from asyncio import StreamReader as Reader
from asyncio import StreamWriter as Writer
from collections.abc import Awaitable, Callable

import pytest
from aiohttp.client_proto import ResponseHandler

from tests.integration.raw_server import (
    OK,
    RawServer,
    answers_with,
    http_client,
    post,
    raw_server,
    unsent,
)
from turnout.connectors.http import BODY_MAX_BYTES, HttpClient
from turnout.ports import HttpNotSent, HttpUnknown


async def fate(
    behave: Callable[[RawServer, Reader, Writer], Awaitable[None]], total_ms: int = 5_000
) -> str:
    async with raw_server(behave) as server, http_client() as client:
        with pytest.raises(HttpUnknown) as raised:
            await client.send(post(server.url, total_ms))
        assert len(server.requests) == 1, "a POST was repeated behind our back"
        return raised.value.reason


# --- what works ------------------------------------------------------------------------------


async def test_an_answer_comes_back_whole_and_the_connection_is_kept() -> None:
    async def behave(server: RawServer, reader: Reader, writer: Writer) -> None:
        while await server.take(reader):
            writer.write(OK)
            await writer.drain()

    async with raw_server(behave) as server, http_client() as client:
        for _ in range(3):
            response = await client.send(post(server.url))
            assert (response.status, response.body) == (200, b"{}")
            assert response.headers["content-type"] == "application/json"
        assert server.connections == 1
        head = server.requests[0].lower()
        assert b"accept-encoding: identity" in head
        assert b"cookie" not in head and b"authorization" not in head


@pytest.mark.parametrize("name", [b"gzip", b"GZIP", b"x-gzip "])
async def test_chunks_are_put_together_and_gzip_is_read_though_we_did_not_ask(
    name: bytes,
) -> None:
    packed = gzip.compress(b'{"status":"fine"}')
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in (packed[:7], packed[7:]))
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\nTransfer-Encoding: chunked\r\n\r\n"
    behave = answers_with(head % name, chunks, b"0\r\n\r\n")
    async with raw_server(behave) as server, http_client() as client:
        response = await client.send(post(server.url))
    assert response.body == b'{"status":"fine"}'


async def test_redirects_are_answers_and_cookies_are_forgotten() -> None:
    async def behave(server: RawServer, reader: Reader, writer: Writer) -> None:
        while await server.take(reader):
            writer.write(
                b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nSet-Cookie: a=b\r\n"
                b"Content-Length: 0\r\n\r\n"
            )
            await writer.drain()

    async with raw_server(behave) as server, http_client() as client:
        for _ in range(2):
            assert (await client.send(post(server.url))).status == 302
        assert len(server.requests) == 2
        assert all(b"cookie" not in one.lower() for one in server.requests)


async def test_an_interim_answer_is_not_the_answer() -> None:
    behave = answers_with(b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n", OK)
    async with raw_server(behave) as server, http_client() as client:
        assert (await client.send(post(server.url))).body == b"{}"


async def test_no_proxy_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with raw_server(answers_with(OK)) as server, http_client() as client:
        assert (await client.send(post(server.url))).status == 200


# --- surely not sent -------------------------------------------------------------------------


def idle_connections(client: HttpClient) -> list[tuple[ResponseHandler, float]]:
    """What aiohttp keeps; nothing public tells when bytes have come on it."""
    assert client._connector is not None
    return [one for kept in client._connector._conns.values() for one in kept]


async def test_a_closed_port_is_not_sent() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        async with http_client() as client:
            assert await unsent(f"http://127.0.0.1:{port}/", client) == "connect_failed"


async def test_an_unknown_name_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown_name(*args: object, **more: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown_name)
    async with http_client() as client:
        assert await unsent("https://no-such-provider.invalid/", client) == "dns_failed"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://psp.example/payments", "plain_http_refused"),
        ("http://localhost@psp.example/payments", "plain_http_refused"),
        ("http://127.0.0.1.psp.example/", "plain_http_refused"),
        ("ftp://127.0.0.1/", "bad_url"),
        ("https:///payments", "bad_url"),
        ("nonsense", "bad_url"),
        ("https://[::1", "bad_url"),
    ],
)
async def test_what_must_not_be_called_is_not_sent(url: str, reason: str) -> None:
    async with http_client() as client:
        assert await unsent(url, client) == reason


@pytest.mark.parametrize("value", ["a\r\nX-Other: b", "a\nX-Other: b", "a\r", "\u2028", "\xe9"])
async def test_a_header_that_could_be_two_is_not_sent(value: str) -> None:
    async with raw_server(answers_with(OK)) as server, http_client() as client:
        request = post(server.url)
        request.headers["X-API-Key"] = value
        with pytest.raises(HttpNotSent) as raised:
            await client.send(request)
        assert (raised.value.reason, server.connections) == ("bad_header", 0)


async def with_unfit_connections(kept: int) -> tuple[str, int, int]:
    """What comes of a call when more came on each kept-alive connection than was asked for.

    Returns the status or why it was not sent, and how many connections and requests there were.
    """
    all_asked = asyncio.Barrier(kept)
    more_came = asyncio.Event()

    async def behave(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.take(reader)
        if not more_came.is_set():
            await all_asked.wait()
            writer.write(OK)
            await more_came.wait()
        writer.write(OK)
        await writer.drain()
        await reader.read()

    async with raw_server(behave) as server, http_client() as client:
        await asyncio.gather(*(client.send(post(server.url)) for _ in range(kept)))
        protocols = [protocol for protocol, _ in idle_connections(client)]
        assert len(protocols) == kept
        more_came.set()
        for one in protocols:
            while not one.should_close:  # noqa: ASYNC110 - nothing tells when bytes have come
                await asyncio.sleep(0)
        try:
            found = str((await client.send(post(server.url))).status)
        except HttpNotSent as error:
            found = error.reason
        return found, server.connections, len(server.requests)


@pytest.mark.parametrize("kept", [1, 3])
async def test_bytes_that_answer_nothing_are_never_taken_for_an_answer(kept: int) -> None:
    assert await with_unfit_connections(kept) == ("200", kept + 1, kept + 1)


async def test_unfit_connections_are_not_tried_without_end() -> None:
    assert await with_unfit_connections(4) == ("connect_failed", 4, 4)


async def test_a_connect_that_hangs_is_not_sent() -> None:
    with socket.socket() as full:
        # A listener whose queue is full takes no more connections on Linux, and says nothing.
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
            fillers.append(filler)
        try:
            async with http_client() as client:
                url = f"http://127.0.0.1:{port}/"
                assert await unsent(url, client, connect_ms=200) == "connect_timeout"
        finally:
            for filler in fillers:
                filler.close()


async def test_no_free_connection_is_not_sent() -> None:
    release = asyncio.Event()

    async def behave(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.take(reader)
        await release.wait()
        writer.write(OK)
        await writer.drain()

    client = HttpClient(connections_max=1, connections_per_host_max=1)
    try:
        async with raw_server(behave) as server:
            first = asyncio.create_task(client.send(post(server.url)))
            await server.asked.wait()
            assert await unsent(server.url, client, connect_ms=100) == "connect_timeout"
            release.set()
            assert (await first).status == 200
            assert len(server.requests) == 1
    finally:
        await client.close()


# --- perhaps sent ----------------------------------------------------------------------------


async def test_silence_is_unknown() -> None:
    async def behave(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.take(reader)
        await reader.read()

    assert await fate(behave, total_ms=200) == "timeout"


async def test_a_close_without_an_answer_is_unknown() -> None:
    assert await fate(answers_with()) == "disconnected"


async def test_a_reset_is_unknown() -> None:
    async def behave(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.take(reader)
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    assert await fate(behave) in ("reset", "disconnected")


async def test_half_an_answer_is_unknown() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
    assert await fate(answers_with(head, b'{"half":')) == "truncated"
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nhalf"
    assert await fate(answers_with(chunked)) == "truncated"


async def test_nonsense_instead_of_http_is_unknown() -> None:
    assert await fate(answers_with(b"\x16\x03\x01\x02 this is not http\r\n\r\n")) == "bad_http"


async def test_a_slow_drip_ends_at_the_total_timeout() -> None:
    async def behave(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.take(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    assert await fate(behave, total_ms=300) == "timeout"


async def test_an_answer_without_length_is_not_whole_when_time_is_up() -> None:
    async def behave(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.take(reader)
        writer.write(b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"half":')
        await writer.drain()
        await reader.read()

    assert await fate(behave, total_ms=200) == "timeout"


async def test_an_announced_giant_is_not_read() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (1 << 30)
    assert await fate(answers_with(head, b"x" * 1000)) == "oversize"


async def test_an_unannounced_giant_is_cut_off() -> None:
    sent = 0

    async def behave(server: RawServer, reader: Reader, writer: Writer) -> None:
        nonlocal sent
        await server.take(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        block = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        for _ in range(1024):
            writer.write(block)
            await writer.drain()
            sent += 0x10000

    assert await fate(behave) == "oversize"
    assert sent < 16 * BODY_MAX_BYTES


def _bomb() -> bytes:
    packed = gzip.compress(b"\0" * (64 << 20))
    assert len(packed) < 100_000
    return packed


@pytest.mark.parametrize(
    ("encoding", "body", "reason"),
    [
        (b"gzip", _bomb(), "oversize"),
        (b"gzip", b"this is not gzip", "bad_encoding"),
        (b"gzip", gzip.compress(b"x" * 1000)[:-9], "truncated"),
        (b"br", b"anything", "bad_encoding"),
        (b"gzip, gzip", b"anything", "bad_encoding"),
    ],
)
async def test_compression_cannot_hurt(encoding: bytes, body: bytes, reason: str) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\nContent-Length: %d\r\n\r\n"
    assert await fate(answers_with(head % (encoding, len(body)), body)) == reason


async def test_endless_headers_are_unknown() -> None:
    head = b"HTTP/1.1 200 OK\r\n" + b"X-Filler: " + b"y" * 200_000 + b"\r\n\r\n"
    assert await fate(answers_with(head)) in ("bad_http", "reset", "disconnected")


async def test_a_dead_kept_alive_connection_is_unknown_and_never_resent_in_secret() -> None:
    """The server takes one request a connection and then, on the second, closes unread."""

    async def behave(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.take(reader)
        writer.write(OK)
        await writer.drain()
        await server.take(reader)

    async with raw_server(behave) as server, http_client() as client:
        assert (await client.send(post(server.url))).status == 200
        with pytest.raises(HttpUnknown) as raised:
            await client.send(post(server.url))
        assert raised.value.reason in ("disconnected", "reset")
        assert (server.connections, len(server.requests)) == (1, 2)


async def test_a_cancelled_wait_closes_its_connection() -> None:
    gone = asyncio.Event()

    async def behave(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.take(reader)
        await reader.read()
        gone.set()

    async with raw_server(behave) as server, http_client() as client:
        waiting = asyncio.create_task(client.send(post(server.url)))
        await server.asked.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await asyncio.wait_for(gone.wait(), 5)
