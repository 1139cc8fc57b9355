"""The one way from connectors to the network: an HTTP client on aiohttp's connections.

What it adds to aiohttp is a sharp answer to the only question that matters when a call fails: can
the provider have seen it? HttpNotSent means surely not (name lookup, connect, TLS, no free
connection); everything after a connection was there is HttpUnknown, also a kept-alive connection
that turns out to be dead, because nothing proves that the other side closed it before it read.

From aiohttp come the connections (names, addresses tried side by side, TLS, the pool and its
limits) and the parser of answers. Its session is left out: what that does for every request
(cookies, redirects, proxies, payloads, tracing) we want none of, and it cost more than all the
rest of a provider's call; see docs/performance.md. So nothing repeats a request in secret either.

No redirects, no cookies, no proxies from the environment, no .netrc; TLS is always verified, and
plain HTTP goes to loopback only.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from turnout.ports import HttpNotSent, HttpRequest, HttpResponse, HttpUnknown

# Providers answer with a few kilobytes; more than this is not an answer that we should read.
BODY_MAX_BYTES = 1 << 20
# Deflate cannot do better than 1032:1, and no honest JSON comes near 100:1.
INFLATE_RATIO_MAX = 100
INFLATE_FREE_BYTES = 64 << 10
# A server closes an idle connection whenever it likes, and a POST that meets such a closing has an
# unknown outcome; so ours are let go sooner than the shortest idle time seen at providers (60 s).
KEEPALIVE_S = 15.0
# Kept connections that turn out to be unfit before anything is sent, and the one that is not.
_TRIES_MAX = 4
CONNECTIONS_MAX = 1024
CONNECTIONS_PER_HOST_MAX = 512
DNS_CACHE_S = 60

# aiohttp rounds timeouts above this number of seconds up to whole seconds; ours stay exact.
_NEVER_ROUND_S = 1e9
_DEFAULT_HEADERS = (
    "User-Agent: turnout/1\r\nAccept: application/json\r\nAccept-Encoding: identity\r\n"
)
# What says that an answer did not come, or not whole.
_NO_WHOLE_ANSWER = (HttpProcessingError, aiohttp.ClientError, aiohttp.EofStream, OSError)
# Far above any number of providers' hosts.
_ORIGINS_MAX = 1024


def is_loopback(host: str) -> bool:
    """Whether this host is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(slots=True, frozen=True)
class _Target:
    """Where a URL leads: whom to connect to, and what the request's head says of it."""

    origin: URL
    path: str
    host: str


@lru_cache(maxsize=1024)
def _target(url: str) -> _Target:
    """The URL taken apart, if it may be called at all.

    Raises:
        HttpNotSent: it is not a URL, or it would carry secrets in plain text over a network.
    """
    try:
        parsed = URL(url, encoded=True)
        host = parsed.raw_host
        if not host or parsed.scheme not in ("https", "http"):
            raise HttpNotSent("bad_url")
        if parsed.scheme == "http" and not is_loopback(host):
            raise HttpNotSent("plain_http_refused")
        return _Target(parsed.origin(), parsed.raw_path_qs, parsed.host_port_subcomponent or host)
    except ValueError as error:
        raise HttpNotSent("bad_url") from error


def _head(request: HttpRequest, target: _Target) -> bytes:
    """The request line and headers.

    Raises:
        HttpNotSent: something in it could be read as a header of its own.
    """
    lines = [f"{name}: {value}\r\n" for name, value in request.headers.items()]
    if request.body or request.method != "GET":
        lines.append(f"Content-Length: {len(request.body)}\r\n")
    text = (
        f"{request.method} {target.path} HTTP/1.1\r\nHost: {target.host}\r\n{_DEFAULT_HEADERS}"
        f"{''.join(lines)}\r\n"
    )
    # The request line, Host, three of our own, and the empty line.
    wanted = len(lines) + 6
    if text.count("\n") != wanted or text.count("\r") != wanted or not text.isascii():
        raise HttpNotSent("bad_header")
    return text.encode("ascii")


class _Limit:
    """Ends a call when its time is up, by closing its connection."""

    __slots__ = ("_handle", "_transport", "reached")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, at: float, transport: asyncio.Transport
    ) -> None:
        self.reached = False
        self._transport = transport
        self._handle = loop.call_at(at, self._reach)

    def _reach(self) -> None:
        self.reached = True
        self._transport.abort()

    def cancel(self) -> None:
        """Takes it away."""
        self._handle.cancel()


class HttpClient:
    """An HttpTransport with kept-alive connections; one for all connectors and accounts."""

    def __init__(
        self,
        *,
        ssl_context: ssl.SSLContext | None = None,
        connections_max: int = CONNECTIONS_MAX,
        connections_per_host_max: int = CONNECTIONS_PER_HOST_MAX,
        keepalive_s: float = KEEPALIVE_S,
    ) -> None:
        """Opens nothing yet.

        `ssl_context` is for operators whose providers sit behind a private authority, and it must
        verify; without it the platform's own authorities are trusted.

        Raises:
            ValueError: the context would let an unverified peer pass.
        """
        context = ssl.create_default_context() if ssl_context is None else ssl_context
        if context.verify_mode is not ssl.CERT_REQUIRED or not context.check_hostname:
            raise ValueError("the TLS context must require a certificate and check the host name")
        context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
        self._ssl = context
        self._connections_max = connections_max
        self._connections_per_host_max = connections_per_host_max
        self._keepalive_s = keepalive_s
        self._connector: aiohttp.TCPConnector | None = None
        self._origins: dict[URL, aiohttp.ClientRequest] = {}

    def _open(self) -> aiohttp.TCPConnector:
        """The connector, made inside the running loop at the first request."""
        self._connector = aiohttp.TCPConnector(
            limit=self._connections_max,
            limit_per_host=self._connections_per_host_max,
            keepalive_timeout=self._keepalive_s,
            ttl_dns_cache=DNS_CACHE_S,
            ssl=self._ssl,
            timeout_ceil_threshold=_NEVER_ROUND_S,
        )
        return self._connector

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Sends one request and reads the whole answer; see `turnout.ports.HttpTransport`."""
        target = _target(request.url)
        head = _head(request, target)
        loop = asyncio.get_running_loop()
        until = loop.time() + request.total_timeout_ms / 1000
        connection, protocol, transport = await self._connection(request, target.origin, loop)
        limit = _Limit(loop, until, transport)
        try:
            transport.write(head + request.body)
            status, headers, body = await _answer(protocol)
            if limit.reached:
                # An answer without a length ends with its connection, which we have closed.
                raise HttpUnknown("timeout")
        except BaseException as error:
            connection.close()
            if isinstance(error, _NO_WHOLE_ANSWER):
                raise HttpUnknown("timeout" if limit.reached else _fate(error)) from error
            raise
        finally:
            limit.cancel()
        if transport.get_write_buffer_size():
            # It was answered before it was read, and the rest would begin the next request.
            connection.close()
        else:
            connection.release()
        encoding = headers.get("content-encoding")
        if encoding:
            body = _inflate(body, encoding.strip().lower())
        return HttpResponse(status, headers, body)

    async def _connection(
        self, request: HttpRequest, origin: URL, loop: asyncio.AbstractEventLoop
    ) -> tuple[Connection, ResponseHandler, asyncio.Transport]:
        """A connection with nothing on it, from the pool or new.

        Raises:
            HttpNotSent: there is none.
        """
        connector = self._connector or self._open()
        to = self._origins.get(origin)
        if to is None:
            if len(self._origins) >= _ORIGINS_MAX:
                self._origins.clear()
            to = self._origins[origin] = aiohttp.ClientRequest("POST", origin, loop=loop)
        # A connect that takes all the time is told apart from an answer that does not come.
        connect_ms = min(request.connect_timeout_ms, int(request.total_timeout_ms * 0.95))
        latest = loop.time() + (request.total_timeout_ms - connect_ms) / 1000
        for _ in range(_TRIES_MAX):
            try:
                connection = await connector.connect(to, [], _connect_timeout(connect_ms))
            except aiohttp.ClientConnectorDNSError as error:
                raise HttpNotSent("dns_failed") from error
            except aiohttp.ClientSSLError as error:
                raise HttpNotSent("tls_failed") from error
            except TimeoutError as error:
                raise HttpNotSent("connect_timeout") from error
            except (aiohttp.ClientError, OSError) as error:
                raise HttpNotSent("connect_failed") from error
            protocol, transport = connection.protocol, connection.transport
            if protocol is not None and transport is not None and not protocol.should_close:
                protocol.set_response_params(auto_decompress=False, read_until_eof=True)
                return connection, protocol, transport
            # It went away in the same moment, or bytes have come that answer nothing of ours.
            # Nothing was sent on it, so that is no reason to fail.
            connection.close()
            if loop.time() > latest:
                break
        raise HttpNotSent("connect_failed")

    async def close(self) -> None:
        """Closes all connections."""
        connector, self._connector = self._connector, None
        self._origins.clear()
        if connector is not None:
            await connector.close()
            # aiohttp closes TLS transports in the loop's next turn.
            await asyncio.sleep(0)


@lru_cache(maxsize=256)
def _connect_timeout(connect_ms: int) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(connect=connect_ms / 1000, ceil_threshold=_NEVER_ROUND_S)


def _fate(error: BaseException) -> str:
    """Why no whole answer came."""
    if isinstance(error, aiohttp.ClientPayloadError):
        return "truncated"
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.EofStream):
        return "disconnected"
    return "bad_http" if isinstance(error, HttpProcessingError) else "reset"


async def _answer(protocol: ResponseHandler) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers whose names' case does not matter, and the body as it came.

    Raises:
        HttpUnknown: the body is larger than BODY_MAX_BYTES.
        HttpProcessingError, aiohttp.ClientError, aiohttp.EofStream, OSError: no whole answer came.
    """
    message, stream = await protocol.read()
    while 100 <= message.code < 200 and message.code != 101:
        message, stream = await protocol.read()
    headers = message.headers
    if stream.is_eof():
        body = stream.read_nowait()
        if len(body) > BODY_MAX_BYTES:
            raise HttpUnknown("oversize")
        return message.code, headers, body
    return message.code, headers, await _read(stream, headers)


async def _read(stream: aiohttp.StreamReader, headers: Mapping[str, str]) -> bytes:
    """The body as it comes, never more than BODY_MAX_BYTES of it.

    Raises:
        HttpUnknown: it is larger.
    """
    announced = headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > BODY_MAX_BYTES:
        raise HttpUnknown("oversize")
    parts = []
    size = 0
    while part := await stream.readany():
        parts.append(part)
        size += len(part)
        if size > BODY_MAX_BYTES:
            raise HttpUnknown("oversize")
    return b"".join(parts)


def _inflate(body: bytes, encoding: str) -> bytes:
    """Decompresses under a cap. We ask for `identity`, but proxies on the way may not listen.

    Raises:
        HttpUnknown: not a compression that we know, broken, or a bomb.
    """
    if encoding == "identity":
        return body
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise HttpUnknown("bad_encoding")
    limit = min(BODY_MAX_BYTES, max(INFLATE_FREE_BYTES, INFLATE_RATIO_MAX * len(body)))
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    try:
        plain = inflater.decompress(body, limit)
    except zlib.error as error:
        raise HttpUnknown("bad_encoding") from error
    if inflater.unconsumed_tail:
        raise HttpUnknown("oversize")
    if not inflater.eof:
        raise HttpUnknown("truncated")
    return plain
