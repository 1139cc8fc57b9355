"""The face: how answers are encoded."""

from __future__ import annotations

from typing import Protocol

from turnout.domain.operation import Operation
from turnout.domain.payment import Payment
from turnout.ports.vault import VaultRecord


class Encoder(Protocol):
    """How the face encodes what is stored as an answer or as an event's payload."""

    def payment(self, payment: Payment) -> bytes:
        """A payment as the API shows it."""

    def refund(self, payment: Payment, operation: Operation) -> bytes:
        """A refund as the API shows it."""

    def token(self, record: VaultRecord) -> bytes:
        """A token as the API shows it."""
