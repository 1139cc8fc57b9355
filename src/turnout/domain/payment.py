"""A payment and the one table of its states.

Code, database and documents share TRANSITIONS: `Payment.move` obeys it, the stores write it into a
CHECKed table, `docs/states.md` is generated from it, and a property test walks it.

Sums of money are never kept beside the operations by hand: `retotal` recomputes them from the
operations after every change, so the two cannot drift apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from turnout.domain.cards import CardFacts
from turnout.domain.declines import Decline
from turnout.domain.members import members
from turnout.domain.operation import Operation, OperationKind, OperationState


class PaymentStatus(StrEnum):
    """Where a payment stands. `processing` also holds unknown outcomes until they are resolved."""

    REQUIRES_PAYMENT_METHOD = "requires_payment_method"
    REQUIRES_CONFIRMATION = "requires_confirmation"
    REQUIRES_ACTION = "requires_action"
    PROCESSING = "processing"
    REQUIRES_CAPTURE = "requires_capture"
    PARTIALLY_CAPTURED = "partially_captured"
    SUCCEEDED = "succeeded"
    CANCELED = "canceled"
    FAILED = "failed"


_Kind = members(OperationKind)
_State = members(OperationState)
_Status = members(PaymentStatus)

# The only table of edges. A payment begins in one of STARTS.
STARTS: frozenset[PaymentStatus] = frozenset(
    {_Status.REQUIRES_PAYMENT_METHOD, _Status.REQUIRES_CONFIRMATION, _Status.PROCESSING}
)
TRANSITIONS: dict[PaymentStatus, frozenset[PaymentStatus]] = {
    _Status.REQUIRES_PAYMENT_METHOD: frozenset(
        {_Status.REQUIRES_CONFIRMATION, _Status.PROCESSING, _Status.CANCELED}
    ),
    _Status.REQUIRES_CONFIRMATION: frozenset({_Status.PROCESSING, _Status.CANCELED}),
    _Status.REQUIRES_ACTION: frozenset(
        {
            _Status.PROCESSING,
            _Status.REQUIRES_CAPTURE,
            _Status.SUCCEEDED,
            _Status.FAILED,
            _Status.REQUIRES_PAYMENT_METHOD,
            _Status.CANCELED,
        }
    ),
    _Status.PROCESSING: frozenset(
        {
            _Status.REQUIRES_ACTION,
            _Status.REQUIRES_CAPTURE,
            _Status.SUCCEEDED,
            _Status.FAILED,
            _Status.REQUIRES_PAYMENT_METHOD,
            _Status.CANCELED,
        }
    ),
    _Status.REQUIRES_CAPTURE: frozenset(
        {_Status.PARTIALLY_CAPTURED, _Status.SUCCEEDED, _Status.CANCELED}
    ),
    # Back to requires_capture only when a provider takes a capture back (CAPTURE_FAILED).
    _Status.PARTIALLY_CAPTURED: frozenset({_Status.SUCCEEDED, _Status.REQUIRES_CAPTURE}),
    _Status.SUCCEEDED: frozenset({_Status.REQUIRES_CAPTURE, _Status.PARTIALLY_CAPTURED}),
    _Status.CANCELED: frozenset(),
    _Status.FAILED: frozenset(),
}
CAPTURABLE: frozenset[PaymentStatus] = frozenset(
    {_Status.REQUIRES_CAPTURE, _Status.PARTIALLY_CAPTURED}
)


class CaptureMethod(StrEnum):
    """Whether an approval is captured at once or by a later call."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"


_Capture = members(CaptureMethod)


class Initiator(StrEnum):
    """Who starts the payment: the cardholder in session, or the merchant without them."""

    CUSTOMER = "customer"
    MERCHANT = "merchant"


class Channel(StrEnum):
    """Where the payer pays."""

    ECOMMERCE = "ecommerce"
    IN_APP = "in_app"
    MOTO = "moto"
    PAY_BY_LINK = "pay_by_link"
    IN_PERSON = "in_person"


class ThreeDSecureState(StrEnum):
    """What came of 3-D Secure before the payment reached Turnout."""

    NONE = "none"
    ATTEMPTED = "attempted"
    AUTHENTICATED = "authenticated"
    FAILED = "failed"
    EXEMPTED = "exempted"


class AvsResult(StrEnum):
    """What the issuer said of the billing address."""

    UNKNOWN = "unknown"
    MATCH = "match"
    ADDRESS_ONLY = "address_only"
    POSTAL_CODE_ONLY = "postal_code_only"
    NO_MATCH = "no_match"
    NOT_CHECKED = "not_checked"
    UNAVAILABLE = "unavailable"


class CvcResult(StrEnum):
    """What the issuer said of the card verification code."""

    UNKNOWN = "unknown"
    MATCH = "match"
    NO_MATCH = "no_match"
    NOT_CHECKED = "not_checked"
    UNAVAILABLE = "unavailable"


@dataclass(slots=True)
class Address:
    """A postal address; every part may be empty."""

    line1: str = ""
    line2: str = ""
    city: str = ""
    state: str = ""
    postal_code: str = ""
    country: str = ""
    name: str = ""
    phone: str = ""


@dataclass(slots=True)
class Browser:
    """What 3-D Secure wants to know of the payer's browser."""

    user_agent: str = ""
    accept_header: str = ""
    language: str = ""
    color_depth_bits: int = 0
    screen_height_px: int = 0
    screen_width_px: int = 0
    time_zone_offset_min: int = 0
    java_enabled: bool = False
    javascript_enabled: bool = False


@dataclass(slots=True)
class Customer:
    """The payer as the merchant knows them."""

    reference: str = ""
    email: str = ""
    name: str = ""
    phone: str = ""
    ip_address: str = ""
    browser: Browser | None = None


@dataclass(slots=True)
class PaymentDetails:
    """What the merchant said of a payment; written once, and again only by a confirmation.

    Attributes:
        three_d_secure: what the merchant wants of it: "", automatic, challenge or exemption.
        channel, recurring, three_ds, risk_score: facts that routing rules ask for; None where
            the merchant said nothing. `three_ds` is what was done before; `risk_score` is 0 to
            100.
    """

    customer: Customer = field(default_factory=Customer)
    billing_address: Address | None = None
    shipping_address: Address | None = None
    description: str = ""
    statement_descriptor: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    return_url: str = ""
    initiator: Initiator = Initiator.CUSTOMER
    three_d_secure: str = ""
    previous_network_transaction_id: str = ""
    channel: Channel | None = None
    recurring: bool | None = None
    three_ds: ThreeDSecureState | None = None
    risk_score: int | None = None


@dataclass(slots=True)
class MethodView:
    """A payment method as it may be shown: its kind, its token, and what is known of the card."""

    kind: str = "card"
    token_id: str = ""
    card: CardFacts | None = None


@dataclass(slots=True)
class NextAction:
    """What the payer must do now: today always a redirect; `kind` leaves room for others.

    Attributes:
        expires_at_ns: from when on it does not help any more; 0 until that is known.
    """

    kind: str
    url: str = ""
    method: str = "GET"
    form: dict[str, str] = field(default_factory=dict)
    expires_at_ns: int = 0


@dataclass(slots=True)
class DecisionSummary:
    """What a payment keeps of its routing decision; the whole stands in the decisions table.

    Attributes:
        ruleset_version: which of the profile's rulesets it followed; 0 for none. A later
            decision of the same payment follows the same one.
        matched_rules: ids of its rules that matched, in order.
    """

    decision_id: str
    chosen: str
    ranked: list[str]
    reasons: list[str]
    snapshot_version: str
    config_version: int
    decided_at_ns: int
    degraded: bool = False
    ruleset_version: int = 0
    matched_rules: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Payment:
    """A merchant's intent to be paid, with all its operations.

    Amounts are in minor units of `currency`; times are nanoseconds since the epoch, 0 for never.
    `version` counts commits: the store writes version n only over n - 1. `confirmed_separately`:
    it came by CreatePayment, so a decline asks for another method instead of ending it.
    `capture_reversed`: the provider took an automatic capture back. `released_minor`: what was
    authorized and given up, by a final capture, a cancel or expiry.
    """

    payment_id: str
    merchant_id: str
    profile_id: str
    merchant_reference: str
    live: bool
    amount_minor: int
    currency: str
    capture_method: CaptureMethod
    status: PaymentStatus
    created_at_ns: int
    updated_at_ns: int
    details: PaymentDetails
    version: int = 1
    config_version: int = 0
    method: MethodView | None = None
    account_id: str = ""
    provider_reference: str = ""
    authorized_minor: int = 0
    captured_minor: int = 0
    pending_capture_minor: int = 0
    refunded_minor: int = 0
    pending_refund_minor: int = 0
    released_minor: int = 0
    capture_before_ns: int = 0
    network_transaction_id: str = ""
    avs_result: AvsResult = AvsResult.UNKNOWN
    cvc_result: CvcResult = CvcResult.UNKNOWN
    next_action: NextAction | None = None
    decline: Decline | None = None
    cancellation_reason: str = ""
    confirmed_separately: bool = False
    capture_reversed: bool = False
    needs_review: bool = False
    decision: DecisionSummary | None = None
    operations: list[Operation] = field(default_factory=list)

    def move(self, status: PaymentStatus, now_ns: int) -> None:
        """Goes to `status` along the table.

        Raises:
            ValueError: the table has no such edge; a defect, never a caller's fault.
        """
        if status is not self.status and status not in TRANSITIONS[self.status]:
            raise ValueError(f"{self.payment_id}: no edge {self.status} -> {status}")
        self.status = status
        self.updated_at_ns = now_ns

    def operation(self, operation_id: str) -> Operation | None:
        """The operation with this id, or None."""
        for one in self.operations:
            if one.operation_id == operation_id:
                return one
        return None

    def of_kind(self, kind: OperationKind) -> list[Operation]:
        """Its operations of one kind, oldest first."""
        return [one for one in self.operations if one.kind is kind]

    @property
    def authorization(self) -> Operation | None:
        """The authorize operation that succeeded, or None."""
        for one in self.operations:
            if one.kind is _Kind.AUTHORIZE and one.state is _State.SUCCEEDED:
                return one
        return None

    @property
    def cancel_open(self) -> bool:
        """Whether a cancel is under way, so that nothing may be captured."""
        return any(one.kind is _Kind.CANCEL and one.open for one in self.operations)

    @property
    def rest_minor(self) -> int:
        """What is authorized, and neither captured nor given up."""
        return self.authorized_minor - self.captured_minor - self.released_minor

    @property
    def capturable_minor(self) -> int:
        """What a capture could ask for now."""
        if self.status not in CAPTURABLE or self.cancel_open:
            return 0
        return self.rest_minor - self.pending_capture_minor

    @property
    def refundable_minor(self) -> int:
        """What a refund could ask for now."""
        return self.captured_minor - self.refunded_minor - self.pending_refund_minor

    def retotal(self) -> None:
        """Recomputes all sums from the operations."""
        authorized = captured = pending_capture = refunded = pending_refund = 0
        for one in self.operations:
            succeeded = one.state is _State.SUCCEEDED
            if one.kind is _Kind.AUTHORIZE:
                if succeeded:
                    authorized += one.amount_minor
                    if self.capture_method is _Capture.AUTOMATIC and not self.capture_reversed:
                        captured += one.amount_minor
            elif one.kind is _Kind.CAPTURE:
                if succeeded:
                    captured += one.amount_minor
                elif one.open:
                    pending_capture += one.amount_minor
            elif one.kind is _Kind.REFUND:
                if succeeded:
                    refunded += one.amount_minor
                elif one.open:
                    pending_refund += one.amount_minor
        self.authorized_minor = authorized
        self.captured_minor = captured
        self.pending_capture_minor = pending_capture
        self.refunded_minor = refunded
        self.pending_refund_minor = pending_refund
