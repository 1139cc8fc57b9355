"""Operations: each request that asks a provider to do something with money.

Authorize, capture, cancel and refund are all written ahead: the operation stands in the record as
`sending` before a byte leaves, so a crash at any moment leaves a row that says what may have
happened. An authorize operation is what the API calls an attempt.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from turnout.domain import ids
from turnout.domain.declines import Decline
from turnout.domain.members import members


class OperationKind(StrEnum):
    """What a provider was asked to do."""

    AUTHORIZE = "authorize"
    CAPTURE = "capture"
    CANCEL = "cancel"
    REFUND = "refund"


class OperationState(StrEnum):
    """What is known of an operation.

    `failed` and `not_processed` both mean that no money moved: in the first the provider said no,
    in the second it never took the request up. `unknown` means that it may have happened.
    """

    SENDING = "sending"
    PENDING = "pending"
    REQUIRES_ACTION = "requires_action"
    UNKNOWN = "unknown"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    NOT_PROCESSED = "not_processed"
    NEEDS_REVIEW = "needs_review"


_State = members(OperationState)

# Every state may be entered from `sending`. What has succeeded can still fail: providers report
# CAPTURE_FAILED and REFUND_FAILED days after the success; what has failed can still succeed where
# a provider's webhook contradicts its own earlier answer, and then only through `unknown` or
# `needs_review`, never silently.
OPERATION_TRANSITIONS: dict[OperationState, frozenset[OperationState]] = {
    _State.SENDING: frozenset(
        {
            _State.PENDING,
            _State.REQUIRES_ACTION,
            _State.UNKNOWN,
            _State.SUCCEEDED,
            _State.FAILED,
            _State.NOT_PROCESSED,
            _State.NEEDS_REVIEW,
        }
    ),
    _State.UNKNOWN: frozenset(
        {
            _State.PENDING,
            _State.REQUIRES_ACTION,
            _State.SUCCEEDED,
            _State.FAILED,
            _State.NOT_PROCESSED,
            _State.NEEDS_REVIEW,
        }
    ),
    _State.PENDING: frozenset(
        {_State.UNKNOWN, _State.SUCCEEDED, _State.FAILED, _State.NEEDS_REVIEW}
    ),
    _State.REQUIRES_ACTION: frozenset(
        {_State.PENDING, _State.UNKNOWN, _State.SUCCEEDED, _State.FAILED, _State.NEEDS_REVIEW}
    ),
    _State.NEEDS_REVIEW: frozenset({_State.SUCCEEDED, _State.FAILED, _State.NOT_PROCESSED}),
    _State.SUCCEEDED: frozenset({_State.FAILED, _State.NEEDS_REVIEW}),
    _State.FAILED: frozenset({_State.NEEDS_REVIEW}),
    _State.NOT_PROCESSED: frozenset({_State.NEEDS_REVIEW}),
}

# States in which an operation still binds money: it counts against what may be captured/refunded.
OPEN_STATES: frozenset[OperationState] = frozenset(
    {_State.SENDING, _State.PENDING, _State.REQUIRES_ACTION, _State.UNKNOWN, _State.NEEDS_REVIEW}
)

# The reason of a cancel that frees what a final capture left over.
FINAL_CAPTURE: Final = "final_capture"
# Why an operation is `unknown` that is written down for recovery to send.
NOT_SENT: Final = "not_sent_yet"

ID_PREFIX: dict[OperationKind, str] = {
    OperationKind.AUTHORIZE: ids.ATTEMPT,
    OperationKind.CAPTURE: ids.CAPTURE,
    OperationKind.CANCEL: ids.CANCEL,
    OperationKind.REFUND: ids.REFUND,
}


@dataclass(slots=True)
class ClaimKey:
    """Where an idempotent call's answer is kept: one per merchant, rpc and key."""

    merchant_id: str
    rpc: str
    key: str


@dataclass(slots=True)
class OperationDetails:
    """What the merchant said of a capture, a cancel or a refund."""

    reason: str = ""
    merchant_reference: str = ""
    description: str = ""
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Operation:
    """One request to a provider and what became of it.

    Attributes:
        operation_id: also our reference and idempotency key at the provider.
        sequence: 1 for the payment's first operation, then counting up.
        provider_reference: the provider's id of this operation, once known.
        final: for a capture: no more captures follow and the rest is released.
        claim: the call that waits for this operation's outcome, if one does.
        provider_state: what the connector wants remembered to ask again; never card data.
        check_at_ns: when recovery looks at it next; 0 where it need not.
        checks: how often recovery has looked.
    """

    operation_id: str
    payment_id: str
    merchant_id: str
    kind: OperationKind
    sequence: int
    account_id: str
    provider: str
    amount_minor: int
    currency: str
    state: OperationState
    created_at_ns: int
    updated_at_ns: int
    provider_reference: str = ""
    final: bool = False
    reason: str = ""
    decline: Decline | None = None
    claim: ClaimKey | None = None
    provider_state: dict[str, str] = field(default_factory=dict)
    check_at_ns: int = 0
    checks: int = 0
    details: OperationDetails | None = None

    @property
    def open(self) -> bool:
        """Whether its outcome is still to come, so that its amount is bound."""
        return self.state in OPEN_STATES

    @property
    def unsent(self) -> bool:
        """Whether recovery is to send it first, rather than to find out what became of it."""
        return self.state is _State.UNKNOWN and self.reason == NOT_SENT

    @property
    def frees_rest(self) -> bool:
        """Whether it cancels what a final capture left over, and the record has given up."""
        return self.details is not None and self.details.reason == FINAL_CAPTURE

    def move(self, state: OperationState, now_ns: int) -> None:
        """Goes to `state`.

        Raises:
            ValueError: the table has no such edge; a defect, never a caller's fault.
        """
        if state is not self.state and state not in OPERATION_TRANSITIONS[self.state]:
            raise ValueError(f"{self.operation_id}: no edge {self.state} -> {state}")
        self.state = state
        self.updated_at_ns = now_ns
