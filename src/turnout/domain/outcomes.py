"""What a provider's answer means, in the house's words.

One type for synchronous answers, inquiries and webhooks, so that there is one place
(`orchestration/settle.py`) where an answer changes a payment, whichever road it came by.
The difference that matters most: NOT_PROCESSED (no money moved, surely) and UNKNOWN (it may have).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from turnout.domain.declines import Decline
from turnout.domain.members import members
from turnout.domain.operation import OperationKind
from turnout.domain.payment import AvsResult, CaptureMethod, CvcResult, NextAction, Payment

_Avs = members(AvsResult)
_Capture = members(CaptureMethod)
_Cvc = members(CvcResult)


class OutcomeKind(StrEnum):
    """What is now known of an operation."""

    SUCCEEDED = "succeeded"
    DECLINED = "declined"
    REQUIRES_ACTION = "requires_action"
    PENDING = "pending"
    NOT_PROCESSED = "not_processed"
    UNKNOWN = "unknown"


@dataclass(slots=True)
class Outcome:
    """A provider's answer to one operation.

    Attributes:
        kind: what it says.
        reason: a short code for people and metrics, for example `connect_failed`, `timeout`,
            `http_503`, `garbage`; never card data. Required for NOT_PROCESSED and UNKNOWN.
        provider_reference: the provider's id of the operation.
        amount_minor: the amount that the provider says it acted on; None where it does not say.
        currency: likewise.
        decline: set where kind is DECLINED.
        provider_state: what to remember for asking again; merged into the operation's.
        retry_after_ms: how long the provider asked us to leave it alone; 0 where it did not.
        account_fault: NOT_PROCESSED because of this account (credentials, configuration), so
            that it counts against the account's health.
    """

    kind: OutcomeKind
    reason: str = ""
    provider_reference: str = ""
    amount_minor: int | None = None
    currency: str = ""
    decline: Decline | None = None
    next_action: NextAction | None = None
    network_transaction_id: str = ""
    avs_result: AvsResult = _Avs.UNKNOWN
    cvc_result: CvcResult = _Cvc.UNKNOWN
    capture_before_ns: int = 0
    provider_state: dict[str, str] = field(default_factory=dict)
    retry_after_ms: int = 0
    account_fault: bool = False


@dataclass(slots=True)
class ProviderEvent:
    """One thing that a provider's webhook tells.

    Attributes:
        event_id: unique at the provider and account; duplicates are dropped by it.
        kind: which operation it speaks of.
        operation_reference: our operation id, where the provider sends it back; else empty. On
            events of captures, cancels and refunds it may be the authorization's.
        payment_reference: the provider's id of the authorization it belongs to; may be empty.
        outcome: what it says.
        reverses: it takes back a success that was told earlier (CAPTURE_FAILED, REFUND_FAILED).
        occurred_at_ns: the provider's own time of it, nanoseconds since the epoch; 0 unknown.
    """

    event_id: str
    kind: OperationKind
    outcome: Outcome
    operation_reference: str = ""
    payment_reference: str = ""
    reverses: bool = False
    occurred_at_ns: int = 0
    event_type: str = ""


def take_facts(payment: Payment, outcome: Outcome) -> bool:
    """Fills what is not known yet of an approval; says whether anything was."""
    before = (payment.network_transaction_id, payment.avs_result, payment.cvc_result)
    payment.network_transaction_id = (
        payment.network_transaction_id or outcome.network_transaction_id
    )
    if payment.avs_result is _Avs.UNKNOWN:
        payment.avs_result = outcome.avs_result
    if payment.cvc_result is _Cvc.UNKNOWN:
        payment.cvc_result = outcome.cvc_result
    if not payment.capture_before_ns and payment.capture_method is _Capture.MANUAL:
        payment.capture_before_ns = outcome.capture_before_ns
    return before != (payment.network_transaction_id, payment.avs_result, payment.cvc_result)
