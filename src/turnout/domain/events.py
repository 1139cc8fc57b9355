"""Events: what merchants are told, written in the transaction that changes the state."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class EventType(StrEnum):
    """The types of events; stable strings that merchants match on."""

    PAYMENT_CREATED = "payment.created"
    PAYMENT_REQUIRES_ACTION = "payment.requires_action"
    PAYMENT_PROCESSING = "payment.processing"
    PAYMENT_AUTHORIZED = "payment.authorized"
    PAYMENT_CAPTURED = "payment.captured"
    PAYMENT_PARTIALLY_CAPTURED = "payment.partially_captured"
    PAYMENT_CAPTURE_FAILED = "payment.capture_failed"
    PAYMENT_CANCELED = "payment.canceled"
    PAYMENT_CANCEL_FAILED = "payment.cancel_failed"
    PAYMENT_AUTHORIZATION_EXPIRED = "payment.authorization_expired"
    PAYMENT_FAILED = "payment.failed"
    PAYMENT_NEEDS_REVIEW = "payment.needs_review"
    REFUND_CREATED = "refund.created"
    REFUND_SUCCEEDED = "refund.succeeded"
    REFUND_FAILED = "refund.failed"


@dataclass(slots=True)
class Event:
    """One event in the outbox.

    Attributes:
        payload: the payment or refund as the face encodes it, at the moment of the event.
        cursor: its place in the merchant's stream; 0 until it is stored.
    """

    event_id: str
    merchant_id: str
    type: EventType
    payment_id: str
    operation_id: str
    created_at_ns: int
    payload: bytes
    live: bool = False
    cursor: int = 0
