"""One table from error classes to statuses, and details that programs can read."""

from __future__ import annotations

import inspect

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from turnout.domain import errors as domain
from turnout.domain.errors import FieldError, TurnoutError
from turnout.ports import StoreUnavailable, WebhookRejected
from turnout.server import errors

REQUEST_ID = "req_1"


def details(told: errors.Refusal) -> dict[str, object]:
    status = status_pb2.Status.FromString(told.details)
    assert status.code == told.code.value[0]
    assert status.message == told.message
    found = {}
    for detail in status.details:
        name = detail.type_url.rpartition(".")[2]
        one = getattr(error_details_pb2, name)()
        assert detail.Unpack(one)
        found[name] = one
    return found


def all_subclasses(kind: type[TurnoutError]) -> set[type[TurnoutError]]:
    found = {kind}
    for one in kind.__subclasses__():
        found |= all_subclasses(one)
    return found


def test_every_error_that_a_caller_can_see_is_in_the_table() -> None:
    kinds = {one for one in all_subclasses(TurnoutError) if one is not TurnoutError}
    declared = {
        one
        for _, one in inspect.getmembers(domain, inspect.isclass)
        if issubclass(one, TurnoutError) and one is not TurnoutError
    }
    assert declared <= kinds
    ours = {one for one in kinds if one.__module__.startswith("turnout.")}
    # A kind of an error is answered as that error is.
    assert not {one for one in ours if not issubclass(one, tuple(errors.CODES))}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (domain.InvalidRequest([FieldError("a", "B", "c")]), "INVALID_ARGUMENT"),
        (domain.IdempotencyKeyReused(), "INVALID_ARGUMENT"),
        (domain.Unauthenticated("R", "m"), "UNAUTHENTICATED"),
        (domain.PermissionDenied("R", "m"), "PERMISSION_DENIED"),
        (domain.NotFound("R", "m"), "NOT_FOUND"),
        (domain.AlreadyExists("R", "m"), "ALREADY_EXISTS"),
        (domain.StateConflict("R", "m"), "FAILED_PRECONDITION"),
        (domain.RequestInProgress("R", "m"), "ABORTED"),
        (domain.DeadlineExceeded("R", "m"), "DEADLINE_EXCEEDED"),
        (domain.Overloaded("R", "m"), "RESOURCE_EXHAUSTED"),
        (domain.Unavailable("R", "m"), "UNAVAILABLE"),
        (domain.DataLoss("R", "m"), "DATA_LOSS"),
        (errors.MessageTooLarge("R", "m"), "RESOURCE_EXHAUSTED"),
        (StoreUnavailable("disk full at /var/x"), "UNAVAILABLE"),
        (WebhookRejected("signature", "no match"), "INVALID_ARGUMENT"),
    ],
)
def test_code_of_each_error(error: Exception, code: str) -> None:
    told = errors.refusal(error, REQUEST_ID)
    assert told.code.name == code
    assert not told.defect
    found = details(told)
    info = found["ErrorInfo"]
    assert isinstance(info, error_details_pb2.ErrorInfo)
    assert info.domain == "turnout"
    assert info.reason == told.reason
    request = found["RequestInfo"]
    assert isinstance(request, error_details_pb2.RequestInfo)
    assert request.request_id == REQUEST_ID


def test_fields_metadata_and_retry_are_told() -> None:
    invalid = domain.InvalidRequest(
        [
            FieldError("currency", "UNKNOWN_CURRENCY", "no such currency"),
            FieldError("amount_minor", "AMOUNT_NOT_POSITIVE", "0 is not positive"),
        ]
    )
    bad = details(errors.refusal(invalid, REQUEST_ID))["BadRequest"]
    assert isinstance(bad, error_details_pb2.BadRequest)
    assert [(one.field, one.reason) for one in bad.field_violations] == [
        ("currency", "UNKNOWN_CURRENCY"),
        ("amount_minor", "AMOUNT_NOT_POSITIVE"),
    ]
    late = domain.Unavailable("R", "m", metadata={"part": "vault"}, retry_after_ms=1_500)
    found = details(errors.refusal(late, REQUEST_ID))
    retry, info = found["RetryInfo"], found["ErrorInfo"]
    assert isinstance(retry, error_details_pb2.RetryInfo)
    assert retry.retry_delay.ToMilliseconds() == 1_500
    assert isinstance(info, error_details_pb2.ErrorInfo)
    assert dict(info.metadata) == {"part": "vault"}


@pytest.mark.parametrize(
    "error",
    [
        domain.InvalidRequest([FieldError("f" * 5_000, "R", "d" * 5_000) for _ in range(200)]),
        domain.StateConflict(
            "R", "m" * 9_000, metadata={f"{n}{'k' * 200}": "v" * 5_000 for n in range(200)}
        ),
    ],
)
def test_details_stay_small_enough_for_a_header(error: TurnoutError) -> None:
    told = errors.refusal(error, REQUEST_ID)
    # Base64 makes four bytes of three.
    assert len(told.details) * 4 / 3 + len(told.message) < 7_500


def test_a_defect_says_nothing_of_itself() -> None:
    told = errors.refusal(RuntimeError("password hunter2 at line 3"), REQUEST_ID)
    assert told.code is grpc.StatusCode.INTERNAL
    assert told.defect
    assert told.reason == "INTERNAL"
    assert REQUEST_ID in told.message
    assert b"hunter2" not in told.details and "hunter2" not in told.message


def test_the_medium_s_own_words_stay_inside() -> None:
    told = errors.refusal(StoreUnavailable("disk full at /var/x"), REQUEST_ID)
    assert b"/var/x" not in told.details and "/var/x" not in told.message
    assert told.reason == "RECORD_UNAVAILABLE"


def test_a_webhook_s_rejection_names_its_reason() -> None:
    told = errors.refusal(WebhookRejected("bad_signature", "no match"), REQUEST_ID)
    assert told.reason == "WEBHOOK_BAD_SIGNATURE"


def test_a_new_subclass_takes_its_parent_s_code() -> None:
    class Special(domain.NotFound):
        pass

    assert errors.refusal(Special("R", "m"), REQUEST_ID).code is grpc.StatusCode.NOT_FOUND


PAN = "4242424242424242"
GROUPED = "4242 4242 4242 4242"
KEY = "sk_test_0123456789abcdef"


@pytest.mark.parametrize("secret", [PAN, GROUPED, KEY])
def test_what_was_sent_at_the_wrong_place_is_not_repeated(secret: str) -> None:
    """An id that is none is quoted, and people paste card numbers and keys anywhere."""
    for error in (
        domain.NotFound("R", f"there is no payment {secret!r} for this key"),
        domain.NotFound("R", "x" * 380 + " " + secret, metadata={"why": secret}),
        domain.InvalidRequest([FieldError("profile_id", "R", f"there is no profile {secret!r}")]),
    ):
        told = errors.refusal(error, REQUEST_ID)
        for text in (told.message, told.details.decode("utf-8", "replace")):
            assert secret not in text
            assert secret[:12] not in text


def test_ids_of_ours_are_repeated() -> None:
    id_ = "pay_01234567890123456789012345678901"
    assert id_ in errors.refusal(domain.NotFound("R", f"there is no {id_!r}"), REQUEST_ID).message
