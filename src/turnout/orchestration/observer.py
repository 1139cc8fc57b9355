"""What orchestration tells whoever watches: metrics and logs hang on here, off the money's way.

Every method is called after the thing it tells of is durable, and must neither wait nor raise.
"""

from __future__ import annotations

from turnout.domain.operation import Operation
from turnout.domain.outcomes import Outcome
from turnout.domain.payment import Payment


class Observer:
    """Watches nothing; a subclass counts and logs."""

    def attempt(self, operation: Operation, outcome: Outcome, latency_s: float) -> None:
        """A provider was asked, and this came of it."""

    def settled(self, payment: Payment, operation: Operation, request_id: str) -> None:
        """An outcome was written down; `request_id` is empty where no call waited for it."""

    def review(self, payment: Payment, operation: Operation) -> None:
        """A person must look at the payment; `operation.reason` says why."""

    def authorized(self, total_s: float, provider_s: float) -> None:
        """An authorization was answered: its whole time, and its providers' part of it."""

    def replayed(self, result: str) -> None:
        """A key came again: `replayed`, `joined`, or `refused` for another request."""

    def refused(self, what: str, why: str) -> None:
        """A call was refused at the door: what was asked, and `overload` or `record`."""
