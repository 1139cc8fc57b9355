"""Envoy's own answers, made to look like every other error: google.rpc.Status as JSON.

Where the JSON check of strict_json.lua has refused a request, the answer names the field.
Otherwise Envoy's texts are never passed on: where a body cannot be read they quote it, and a
quoted body may hold a card number. So each status has one sentence of ours.
"""

from __future__ import annotations

from typing import Any, NamedTuple

Json = dict[str, Any]


# Where strict_json.lua says what it refused.
METADATA = "turnout.edge"

_REQUEST_ID = "%REQ(X-REQUEST-ID)%"

_FIELD_IS_NAMED: Json = {
    "metadata_filter": {
        "matcher": {
            "filter": METADATA,
            "path": [{"key": "field"}],
            "value": {"present_match": True},
        },
        "match_if_key_not_found": False,
    }
}


class Reply(NamedTuple):
    """How one HTTP status of Envoy's own is worded.

    Attributes:
        status: The HTTP status that Envoy gives.
        code: The gRPC code that says the same.
        reason: ErrorInfo's reason, made for programs.
        message: The sentence for people.
    """

    status: int
    code: int
    reason: str
    message: str


_REPLIES = (
    Reply(
        400,
        3,
        "MALFORMED_REQUEST",
        "The request cannot be read: the body must be JSON of this call's request, with no field "
        "that it does not have and every value of its type, and so must the query. See "
        "/openapi.yaml. Nothing was done.",
    ),
    Reply(
        404,
        5,
        "NO_SUCH_PATH",
        "There is nothing at this path with this method. See /openapi.yaml.",
    ),
    Reply(408, 4, "REQUEST_TOO_SLOW", "The request did not arrive in time. Nothing was done."),
    Reply(413, 3, "REQUEST_TOO_LARGE", "The body is larger than is allowed. Nothing was done."),
    Reply(
        429,
        8,
        "OVERLOADED",
        "More new payments arrive than can be served. Nothing was done: ask again after the time "
        "in the retry-after header, with the same idempotency-key.",
    ),
    Reply(431, 3, "HEADERS_TOO_LARGE", "The headers are too large. Nothing was done."),
    Reply(
        503,
        14,
        "UNAVAILABLE",
        "The service cannot be reached, or the connection to it broke. What was asked may have "
        "been done: ask again with the same idempotency-key.",
    ),
    Reply(
        504,
        4,
        "DEADLINE_EXCEEDED",
        "No answer came in time. What was asked may have been done: ask again with the same "
        "idempotency-key.",
    ),
)
_OTHERWISE = Reply(500, 13, "EDGE_ERROR", "The edge could not serve this request.")


def local_reply_config() -> Json:
    """Return Envoy's `local_reply_config`."""
    named = {"filter": _FIELD_IS_NAMED, "body_format_override": _named_field()}
    worded = [
        {"filter": _status("EQ", reply.status), "body_format_override": _format(reply)}
        for reply in _REPLIES
    ]
    # Not as the general format: that would rewrite the pages that the edge itself serves, too.
    rest = {"filter": _status("GE", 400), "body_format_override": _format(_OTHERWISE)}
    return {"mappers": [named, *worded, rest]}


def _status(operator: str, status: int) -> Json:
    value = {"default_value": status, "runtime_key": "unused"}
    return {"status_code_filter": {"comparison": {"op": operator, "value": value}}}


def _format(reply: Reply) -> Json:
    return _body(reply.code, reply.message, [_error_info(reply.reason)])


def _named_field() -> Json:
    field = f"%DYNAMIC_METADATA({METADATA}:field)%"
    description = f"%DYNAMIC_METADATA({METADATA}:description)%"
    reason = "MALFORMED_REQUEST"
    violations = {
        "@type": "type.googleapis.com/google.rpc.BadRequest",
        "field_violations": [{"field": field, "reason": reason, "description": description}],
    }
    return _body(3, f"{field}: {description}", [_error_info(reason), violations])


def _body(code: int, message: str, details: list[Json]) -> Json:
    request = {
        "@type": "type.googleapis.com/google.rpc.RequestInfo",
        "request_id": _REQUEST_ID,
    }
    return {"json_format": {"code": code, "message": message, "details": [*details, request]}}


def _error_info(reason: str) -> Json:
    return {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": "turnout",
        "metadata": {"request_id": _REQUEST_ID},
    }
