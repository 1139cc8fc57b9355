"""Everything that a caller can be told went wrong, one class per kind of answer.

`server/errors.py` has the one table from these classes to gRPC statuses. A decline is not here:
it is an answer, not an error. `reason` is stable and machine-readable (google.rpc.ErrorInfo);
the message says what was wrong, where, and what to do about it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field of a request that cannot be accepted. Never carries card data."""

    field: str
    reason: str
    description: str


class TurnoutError(Exception):
    """Base of all errors that a caller sees.

    Attributes:
        reason: UPPER_SNAKE_CASE, stable.
        metadata: further facts for machines; strings only, never card data.
        retry_after_ms: how long a caller should wait before the same call may work, or None.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata = dict(metadata or {})
        self.retry_after_ms = retry_after_ms


class InvalidRequest(TurnoutError):
    """The request itself is wrong; sending it again unchanged will fail again."""

    def __init__(self, fields: Sequence[FieldError], reason: str = "INVALID_REQUEST") -> None:
        self.fields = tuple(fields)
        first = self.fields[0]
        more = f" (and {len(fields) - 1} more)" if len(fields) > 1 else ""
        super().__init__(
            first.reason if len(self.fields) == 1 else reason,
            f"{first.field}: {first.description}{more}",
        )


class IdempotencyKeyReused(InvalidRequest):
    """The key was used before with another body."""

    def __init__(self) -> None:
        super().__init__(
            [
                FieldError(
                    "idempotency-key",
                    "IDEMPOTENCY_KEY_REUSED",
                    "this key was used before with a different request; use a new key for a new "
                    "request, or send the first request again unchanged to get its answer",
                )
            ]
        )


class Unauthenticated(TurnoutError):
    """No API key, or one that is not known."""


class PermissionDenied(TurnoutError):
    """The key is good, but not for this."""


class NotFound(TurnoutError):
    """There is no such thing, or it belongs to another merchant, which looks the same."""


class AlreadyExists(TurnoutError):
    """The natural key (merchant_reference) is taken."""


class StateConflict(TurnoutError):
    """The payment is not in a state that allows this; the state must change first."""


class RequestInProgress(TurnoutError):
    """The first call with this key has not been answered yet, and the caller's time is up."""


class DeadlineExceeded(TurnoutError):
    """Time ran out before anything was stored or sent."""


class Overloaded(TurnoutError):
    """Too much is asked for at once; nothing was done."""


class Unavailable(TurnoutError):
    """A part that is needed is down; nothing was done."""


class DataLoss(TurnoutError):
    """The record or the vault cannot be read as it was written."""
