"""What goes wrong, as gRPC tells it: ONE table from error classes to status codes.

Every refusal carries google.rpc.Status in `grpc-status-details-bin`: ErrorInfo (a stable reason,
for programs), BadRequest (which fields), RetryInfo (when to come again) and RequestInfo (what to
quote to support). The HTTP edge prints the same as JSON. An error that is in no table is a defect
of ours: the caller gets its request id and nothing else, the log gets the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import grpc
from google.rpc import error_details_pb2, status_pb2

from turnout.domain import errors as domain
from turnout.ports import StoreUnavailable, WebhookRejected
from turnout.telemetry import scrub

DOMAIN: Final = "turnout"
DETAILS_HEADER: Final = "grpc-status-details-bin"

# Details travel in a header, in base64, and clients bound their headers (8 KiB is grpc's default),
# so everything is cut to what still fits in the worst case.
_MOST_VIOLATIONS = 10
_MOST_FACTS = 10
_LONGEST_NAME = 64
_LONGEST_FIELD = 100
_LONGEST_TEXT = 240
_LONGEST_MESSAGE = 400
# An id that is none may be a card number at the wrong place, so what quotes one is searched; and
# cut before, because a caller may send a great deal.
_LONGEST_SEARCHED = 4_096
_STORE_RETRY_MS = 1_000


class MessageTooLarge(domain.TurnoutError):
    """The request has more bytes than this server reads."""


CODES: Final[dict[type[Exception], grpc.StatusCode]] = {
    domain.InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    domain.IdempotencyKeyReused: grpc.StatusCode.INVALID_ARGUMENT,
    domain.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    domain.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    domain.NotFound: grpc.StatusCode.NOT_FOUND,
    domain.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    domain.StateConflict: grpc.StatusCode.FAILED_PRECONDITION,
    domain.RequestInProgress: grpc.StatusCode.ABORTED,
    domain.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    domain.Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    domain.Unavailable: grpc.StatusCode.UNAVAILABLE,
    domain.DataLoss: grpc.StatusCode.DATA_LOSS,
    MessageTooLarge: grpc.StatusCode.RESOURCE_EXHAUSTED,
    StoreUnavailable: grpc.StatusCode.UNAVAILABLE,
    WebhookRejected: grpc.StatusCode.INVALID_ARGUMENT,
}


@dataclass(slots=True)
class Refusal:
    """A call's unhappy end.

    Attributes:
        defect: nobody foresaw this error; it must be logged with its trace.
        details: a serialized google.rpc.Status.
    """

    code: grpc.StatusCode
    reason: str
    message: str
    details: bytes
    defect: bool = False


def refusal(error: Exception, request_id: str) -> Refusal:
    """Turns any error into what the caller is told."""
    code = _code_of(type(error))
    if code is None:
        return _build(grpc.StatusCode.INTERNAL, _internal(request_id), request_id, defect=True)
    if isinstance(error, domain.TurnoutError):
        return _build(code, error, request_id)
    if isinstance(error, WebhookRejected):
        reason = f"WEBHOOK_{error.reason.upper()}"
        return _build(code, domain.TurnoutError(reason, str(error)), request_id)
    return _build(code, _store_unavailable(), request_id)


def _code_of(kind: type[Exception]) -> grpc.StatusCode | None:
    for one in kind.__mro__:
        code = CODES.get(one)
        if code is not None:
            return code
    return None


def _internal(request_id: str) -> domain.TurnoutError:
    return domain.TurnoutError(
        "INTERNAL",
        "an error inside Turnout, which has been logged; call again with the same "
        f"idempotency-key, and quote request {request_id} if it stays",
    )


def _store_unavailable() -> domain.TurnoutError:
    # The medium's own words (paths, errno) are for the operator, not for the caller.
    return domain.TurnoutError(
        "RECORD_UNAVAILABLE",
        "the record cannot be read or written now; call again with the same idempotency-key",
        retry_after_ms=_STORE_RETRY_MS,
    )


def _build(
    code: grpc.StatusCode, error: domain.TurnoutError, request_id: str, *, defect: bool = False
) -> Refusal:
    number, _ = code.value
    message = _told(error.message, _LONGEST_MESSAGE)
    status = status_pb2.Status(code=number, message=message)
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN)
    for name, value in list(error.metadata.items())[:_MOST_FACTS]:
        info.metadata[name[:_LONGEST_NAME]] = _told(value, _LONGEST_TEXT)
    status.details.add().Pack(info)
    if isinstance(error, domain.InvalidRequest):
        status.details.add().Pack(_bad_request(error))
    if error.retry_after_ms is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(error.retry_after_ms)
        status.details.add().Pack(retry)
    status.details.add().Pack(error_details_pb2.RequestInfo(request_id=request_id))
    return Refusal(code, error.reason, message, status.SerializeToString(), defect)


def _bad_request(error: domain.InvalidRequest) -> error_details_pb2.BadRequest:
    bad = error_details_pb2.BadRequest()
    for one in error.fields[:_MOST_VIOLATIONS]:
        bad.field_violations.add(
            field=one.field[:_LONGEST_FIELD],
            reason=one.reason,
            description=_told(one.description, _LONGEST_TEXT),
        )
    return bad


def _told(text: str, limit: int) -> str:
    return scrub(text[:_LONGEST_SEARCHED])[:limit]
