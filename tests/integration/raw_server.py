"""A server that does exactly what a test says, byte for byte, and the client's side of it."""

from __future__ import annotations

import asyncio
import ssl
from asyncio import StreamReader as Reader
from asyncio import StreamWriter as Writer
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from turnout.connectors.http import HttpClient
from turnout.ports import HttpNotSent, HttpRequest

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


@dataclass
class RawServer:
    """Does exactly what a test says, byte for byte, and counts what reaches it."""

    behave: Callable[[RawServer, Reader, Writer], Awaitable[None]]
    port: int = 0
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/payments"

    async def take(self, reader: Reader) -> bytes:
        """One request, whole; empty where the other side went away."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""
        length = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        body = await reader.readexactly(length) if length else b""
        self.requests.append(head + body)
        self.asked.set()
        return head + body

    async def serve(self, reader: Reader, writer: Writer) -> None:
        self.connections += 1
        try:
            await self.behave(self, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # The client gave up, as most of these tests make it do.
        finally:
            writer.close()


@asynccontextmanager
async def raw_server(
    behave: Callable[[RawServer, Reader, Writer], Awaitable[None]],
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[RawServer]:
    server = RawServer(behave)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()


@asynccontextmanager
async def http_client(context: ssl.SSLContext | None = None) -> AsyncIterator[HttpClient]:
    client = HttpClient(ssl_context=context)
    try:
        yield client
    finally:
        await client.close()


def post(url: str, total_ms: int = 5_000, connect_ms: int = 2_000) -> HttpRequest:
    return HttpRequest(
        "POST", url, {"Content-Type": "application/json"}, b'{"a":1}', connect_ms, total_ms
    )


def answers_with(*parts: bytes) -> Callable[[RawServer, Reader, Writer], Awaitable[None]]:
    async def behave(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.take(reader)
        for part in parts:
            writer.write(part)
            await writer.drain()

    return behave


async def unsent(url: str, client: HttpClient, connect_ms: int = 2_000) -> str:
    with pytest.raises(HttpNotSent) as raised:
        await client.send(post(url, connect_ms=connect_ms))
    return raised.value.reason
