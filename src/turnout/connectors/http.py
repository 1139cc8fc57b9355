"""The one way from connectors to the network: an HTTP client over aiohttp.

What it adds to aiohttp is a sharp answer to the only question that matters when a call fails: can
the provider have seen it? HttpNotSent means surely not (name lookup, connect, TLS, no free
connection); everything after a connection was there is HttpUnknown, also a kept-alive connection
that turns out to be dead, because nothing proves that the other side closed it before it read.

aiohttp repeats requests by itself when a kept-alive connection breaks, but only those with
idempotent methods (`client.py`, IDEMPOTENT_METHODS: not POST), as RFC 9110 section 9.2.2 allows.
A test counts the requests that arrive, so that an upgrade cannot change this unseen.

No redirects, no cookies, no proxies from the environment, no .netrc; TLS is always verified, and
plain HTTP goes to loopback only.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
import zlib
from functools import lru_cache

import aiohttp
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
CONNECTIONS_MAX = 1024
CONNECTIONS_PER_HOST_MAX = 512
DNS_CACHE_S = 60

# aiohttp rounds timeouts above this number of seconds up to whole seconds; ours stay exact.
_NEVER_ROUND_S = 1e9
_DEFAULT_HEADERS = {
    "User-Agent": "turnout/1",
    "Accept": "application/json",
    "Accept-Encoding": "identity",
}


def is_loopback(host: str) -> bool:
    """Whether this host is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@lru_cache(maxsize=1024)
def _checked(url: str) -> URL:
    """The URL, if it may be called at all.

    Raises:
        HttpNotSent: it is not a URL, or it would carry secrets in plain text over a network.
    """
    try:
        parsed = URL(url, encoded=True)
        host = parsed.raw_host
    except ValueError as error:
        raise HttpNotSent("bad_url") from error
    if not host or parsed.scheme not in ("https", "http"):
        raise HttpNotSent("bad_url")
    if parsed.scheme == "http" and not is_loopback(host):
        raise HttpNotSent("plain_http_refused")
    return parsed


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
        self._session: aiohttp.ClientSession | None = None

    def _open(self) -> aiohttp.ClientSession:
        """The session, made inside the running loop at the first request."""
        connector = aiohttp.TCPConnector(
            limit=self._connections_max,
            limit_per_host=self._connections_per_host_max,
            keepalive_timeout=self._keepalive_s,
            ttl_dns_cache=DNS_CACHE_S,
            ssl=self._ssl,
            timeout_ceil_threshold=_NEVER_ROUND_S,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=_DEFAULT_HEADERS,
            auto_decompress=False,
            trust_env=False,
            raise_for_status=False,
        )
        return self._session

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Sends one request and reads the whole answer; see `turnout.ports.HttpTransport`."""
        url = _checked(request.url)
        session = self._session or self._open()
        total_s = request.total_timeout_ms / 1000
        # The phase before the first byte ends a little before the whole, so that a connect that
        # takes all the time is still told apart from an answer that does not come.
        connect_s = min(request.connect_timeout_ms / 1000, total_s * 0.95)
        timeout = aiohttp.ClientTimeout(
            total=total_s, connect=connect_s, ceil_threshold=_NEVER_ROUND_S
        )
        try:
            response = await session.request(
                request.method,
                url,
                headers=request.headers,
                data=request.body or None,
                allow_redirects=False,
                timeout=timeout,
            )
            try:
                body = await _read(response)
            except BaseException:
                response.close()
                raise
        except aiohttp.ClientConnectorDNSError as error:
            raise HttpNotSent("dns_failed") from error
        except aiohttp.ClientSSLError as error:
            raise HttpNotSent("tls_failed") from error
        except aiohttp.ClientConnectorError as error:
            raise HttpNotSent("connect_failed") from error
        except aiohttp.ConnectionTimeoutError as error:
            raise HttpNotSent("connect_timeout") from error
        except aiohttp.InvalidURL as error:
            raise HttpNotSent("bad_url") from error
        except TimeoutError as error:
            raise HttpUnknown("timeout") from error
        except aiohttp.ServerDisconnectedError as error:
            raise HttpUnknown("disconnected") from error
        except aiohttp.ClientPayloadError as error:
            raise HttpUnknown("truncated") from error
        except aiohttp.ClientResponseError as error:
            raise HttpUnknown("bad_http") from error
        except (aiohttp.ClientError, OSError) as error:
            raise HttpUnknown("reset") from error
        headers = {name.lower(): value for name, value in response.headers.items()}
        encoding = headers.get("content-encoding", "identity")
        if encoding not in ("identity", ""):
            body = _inflate(body, encoding)
        return HttpResponse(response.status, headers, body)

    async def close(self) -> None:
        """Closes all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
            # aiohttp closes TLS transports in the loop's next turn.
            await asyncio.sleep(0)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The body as it came, never more than BODY_MAX_BYTES of it.

    Raises:
        HttpUnknown: it is larger.
    """
    announced = response.content_length
    if announced is not None and announced > BODY_MAX_BYTES:
        raise HttpUnknown("oversize")
    stream = response.content
    first = await stream.readany()
    if not first or stream.at_eof():
        return first
    parts = [first]
    size = len(first)
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
