"""How a provider fails on the wire: silence, resets, garbage, lies and endless bodies.

A client must tell three things apart: refused before anything happened, happened, and unknown.
Every failure here is one that leaves most clients with the third while they believe the second.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import zlib
from typing import Any

import orjson
from aiohttp import web

from turnout.sandbox.faults import Rule
from turnout.sandbox.wire import Answer, Call, Simulator

_LINGER_RESET = struct.pack("ii", 1, 0)
_CHUNK = b" " * 65_536
_HTML = (
    b"<!DOCTYPE html><html><head><title>Gateway</title></head>"
    b"<body><h1>The upstream server did not answer in time</h1></body></html>"
)
# How often a hanging handler looks whether its client is still there.
_WATCH_S = 0.25


async def refuse(request: web.BaseRequest, call: Call, rule: Rule) -> web.StreamResponse:
    """Fail before anything was carried out."""
    if rule.kind == "timeout_before":
        return await _hang(request, rule)
    if rule.kind in ("reset_before", "close_before"):
        return hang_up(request, reset=rule.kind == "reset_before")
    status = 429 if rule.kind == "rate_limit" else rule.status
    headers = {}
    if rule.retry_after_s is not None:
        headers["Retry-After"] = f"{rule.retry_after_s:g}"
    return web.json_response(_refusal(call, status), status=status, headers=headers)


async def mislead(
    request: web.BaseRequest, call: Call, answer: Answer, rule: Rule, simulator: Simulator
) -> web.StreamResponse:
    """Fail after the request was carried out: the answer is lost, broken or false."""
    kind = rule.kind
    if kind == "timeout_after":
        return await _hang(request, rule)
    if kind in ("reset_after", "close_after"):
        return hang_up(request, reset=kind == "reset_after")
    if kind == "status_after":
        return web.json_response(_refusal(call, rule.status), status=rule.status)
    if kind in ("html_200", "html_502"):
        status = 200 if kind == "html_200" else 502
        return web.Response(status=status, body=_HTML, content_type="text/html")
    if kind.startswith("mismatch_"):
        return _lie(call, answer, rule, simulator)
    body = answer.body if isinstance(answer.body, bytes) else orjson.dumps(answer.body)
    if kind == "reset_mid_answer":
        return await _cut(request, answer, body)
    if kind == "truncated_json":
        return _whole(answer, body[: len(body) // 2])
    if kind == "empty":
        return _whole(answer, b"")
    if kind == "garbage":
        return _whole(answer, bytes(byte ^ 0xA5 for byte in body))
    if kind == "wrong_charset":
        text = body.decode().replace("{", '{"note":"Zahlung bestätigt für Müller",', 1)
        return web.Response(
            status=answer.status,
            body=text.encode("utf-16"),
            headers={"Content-Type": "application/json; charset=iso-8859-1"},
        )
    if kind == "gzip_bomb":
        return await _gzip_bomb(request, answer, rule)
    if kind == "huge_body":
        return await _huge(request, answer, body, rule)
    return await _drip(request, answer, body, rule)


def hang_up(request: web.BaseRequest, *, reset: bool) -> web.StreamResponse:
    """Drop the connection without an answer: with RST, or with an ordinary end."""
    transport = request.transport
    if transport is not None:
        if reset:
            sock = transport.get_extra_info("socket")
            if sock is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
            transport.abort()
        else:
            transport.close()
    # The connection is gone: what is returned here reaches nobody.
    return web.Response(status=500)


async def _hang(request: web.BaseRequest, rule: Rule) -> web.StreamResponse:
    left_s = rule.hang_s
    while left_s > 0.0 and request.transport is not None and not request.transport.is_closing():
        await asyncio.sleep(min(_WATCH_S, left_s))
        left_s -= _WATCH_S
    return hang_up(request, reset=False)


def _refusal(call: Call, status: int) -> dict[str, Any]:
    """An error in the provider's own envelope, as its gateway would write it."""
    if call.provider == "adyen":
        error = {"errorCode": "905", "message": "Not processed", "errorType": "configuration"}
        return {"status": status, **error}
    if status == 429:
        return {
            "error": {
                "type": "invalid_request_error",
                "code": "rate_limit",
                "message": "Too many requests in a short time; slow down.",
            }
        }
    return {"error": {"type": "api_error", "message": "Something failed at the provider."}}


def _whole(answer: Answer, body: bytes) -> web.Response:
    headers = {**answer.headers, "Content-Type": answer.content_type}
    return web.Response(status=answer.status, body=body, headers=headers)


def _lie(call: Call, answer: Answer, rule: Rule, simulator: Simulator) -> web.Response:
    body = answer.body
    falsified = orjson.loads(body) if isinstance(body, bytes) else orjson.loads(orjson.dumps(body))
    simulator.distort(call, falsified, rule.kind.removeprefix("mismatch_"), rule.delta_minor)
    return _whole(answer, orjson.dumps(falsified))


async def _begin(
    request: web.BaseRequest, answer: Answer, length: int | None, **headers: str
) -> web.StreamResponse:
    response = web.StreamResponse(
        status=answer.status,
        headers={**answer.headers, "Content-Type": answer.content_type, **headers},
    )
    response.content_length = length
    await response.prepare(request)
    return response


async def _cut(request: web.BaseRequest, answer: Answer, body: bytes) -> web.StreamResponse:
    response = await _begin(request, answer, len(body))
    await response.write(body[: len(body) // 2])
    # Bytes in the kernel's buffer would be discarded by an immediate RST.
    await asyncio.sleep(0.02)
    hang_up(request, reset=True)
    return response


async def _drip(
    request: web.BaseRequest, answer: Answer, body: bytes, rule: Rule
) -> web.StreamResponse:
    response = await _begin(request, answer, len(body))
    for position in range(len(body)):
        if request.transport is None or request.transport.is_closing():
            break
        await response.write(body[position : position + 1])
        await asyncio.sleep(rule.interval_s)
    return response


async def _huge(
    request: web.BaseRequest, answer: Answer, body: bytes, rule: Rule
) -> web.StreamResponse:
    response = await _begin(request, answer, None)
    try:
        await response.write(body[:-1])
        for _ in range(rule.size_bytes // len(_CHUNK)):
            await response.write(_CHUNK)
        await response.write(body[-1:])
    except (ConnectionError, RuntimeError):
        # The client rightly hung up; there is nobody left to write to.
        return response
    return response


async def _gzip_bomb(request: web.BaseRequest, answer: Answer, rule: Rule) -> web.StreamResponse:
    response = await _begin(request, answer, None, **{"Content-Encoding": "gzip"})
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    loop = asyncio.get_running_loop()
    megabyte = b" " * 1_048_576
    try:
        for _ in range(max(1, rule.size_bytes // len(megabyte))):
            packed = await loop.run_in_executor(None, packer.compress, megabyte)
            if packed:
                await response.write(packed)
        await response.write(packer.flush())
    except (ConnectionError, RuntimeError):
        # The client rightly hung up; there is nobody left to write to.
        return response
    return response
