"""The headers of a call: API key, idempotency key, request id, trace.

A header that comes twice is joined as HTTP joins it, with a comma and a space; none of these may
hold a space where it matters, so a repeated one is refused or, where harmless, passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from turnout.domain.errors import FieldError, InvalidRequest
from turnout.ports import Random
from turnout.telemetry import parse_traceparent

AUTHORIZATION: Final = "authorization"
IDEMPOTENCY_KEY: Final = "idempotency-key"
REQUEST_ID: Final = "x-request-id"
TRACEPARENT: Final = "traceparent"

_WANTED: Final = frozenset({AUTHORIZATION, IDEMPOTENCY_KEY, REQUEST_ID, TRACEPARENT})
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
# Narrower than the key: it is written to logs, headers and support tickets.
_SANE_ID: Final = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
_MADE_ID_BYTES: Final = 16


class Headers(NamedTuple):
    """What the face wants to know of a call's metadata; empty where it was not sent."""

    authorization: str
    idempotency_key: str
    request_id: str
    traceparent: str


def read(metadata: Iterable[tuple[str, str | bytes]] | None, random: Random) -> Headers:
    """Picks the headers out of the metadata; makes a request id where no sane one came."""
    found: dict[str, str] = {}
    for name, value in metadata or ():
        if name in _WANTED:
            text = value if isinstance(value, str) else value.decode("latin-1")
            found[name] = f"{found[name]}, {text}" if name in found else text
    request_id = found.get(REQUEST_ID, "")
    if not request_id or not _SANE_ID.fullmatch(request_id):
        request_id = f"req_{random.bytes(_MADE_ID_BYTES).hex()}"
    trace = parse_traceparent(found[TRACEPARENT]) if TRACEPARENT in found else None
    return Headers(
        found.get(AUTHORIZATION, ""),
        found.get(IDEMPOTENCY_KEY, ""),
        request_id,
        trace.traceparent() if trace is not None else "",
    )


def idempotency_key(said: Headers) -> str:
    """The caller's key.

    Raises:
        InvalidRequest: there is none, or it is not 1 to 255 visible ASCII characters.
    """
    return sound_key(said.idempotency_key, IDEMPOTENCY_KEY)


def sound_key(key: str, field: str) -> str:
    """A key that came in this header or field.

    Raises:
        InvalidRequest: as `idempotency_key`.
    """
    if _KEY.fullmatch(key):
        return key
    if not key:
        reason = "IDEMPOTENCY_KEY_REQUIRED"
        text = (
            f"this call changes something and needs `{field}`, so that it can be repeated "
            "safely; send a fresh random value for each new request"
        )
    else:
        reason = "IDEMPOTENCY_KEY_MALFORMED"
        text = "an idempotency key is 1 to 255 visible ASCII characters without spaces, sent once"
    raise InvalidRequest([FieldError(field, reason, text)])
