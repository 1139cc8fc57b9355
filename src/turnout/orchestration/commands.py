"""What a face asks of orchestration, in the domain's words.

A face turns its wire format into these and hands down the bytes that fingerprint the request; the
checks in `validate.py` run on them, so every face has the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from turnout.domain.cards import CardDetails, CardFacts, Funding, Network
from turnout.domain.payment import Address, CaptureMethod, Customer, PaymentDetails


@dataclass(slots=True)
class Caller:
    """Who calls, and until when they wait.

    Attributes:
        live: the mode of the API key; test callers reach test accounts and test payments only.
        deadline_ns: monotonic time at which the caller hangs up.
    """

    merchant_id: str
    key_id: str
    live: bool
    deadline_ns: int
    request_id: str = ""


@dataclass(slots=True)
class Operator:
    """A person, or their tool, who works on what the machine could not decide.

    Attributes:
        deadline_ns: monotonic time at which the caller hangs up.
    """

    operator_id: str
    name: str
    deadline_ns: int
    request_id: str = ""


class Resolution(StrEnum):
    """What an operator says of a review."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    NOT_PROCESSED = "not_processed"
    RECORD_STANDS = "record_stands"


@dataclass(slots=True)
class Idempotency:
    """The caller's key and the request that it stands for.

    Attributes:
        rpc: short name of the call; keys are scoped by merchant and rpc.
        request: canonical bytes of the request without the CVC; hashed under a key of the vault
            and then forgotten.
    """

    rpc: str
    key: str
    request: bytes = field(repr=False)


@dataclass(slots=True)
class CardInput:
    """A card in full, and what the merchant knows of it."""

    card: CardDetails = field(repr=False)
    issuer_country: str = ""
    funding: Funding = Funding.UNKNOWN
    network: Network = Network.UNKNOWN


@dataclass(slots=True)
class TokenInput:
    """A card that the vault holds."""

    token_id: str
    cvc: str = field(default="", repr=False)


@dataclass(slots=True)
class OtherMethodInput:
    """A payment method that the contract knows and no account here takes yet."""

    kind: str


MethodInput = CardInput | TokenInput | OtherMethodInput


@dataclass(slots=True)
class PaymentCommand:
    """Creates a payment, and for AuthorizePayment confirms it in one go."""

    merchant_reference: str
    amount_minor: int
    currency: str
    capture_method: CaptureMethod
    method: MethodInput | None
    details: PaymentDetails
    profile_id: str = ""


@dataclass(slots=True)
class ConfirmCommand:
    """Confirms a created payment; what is None or empty stays as it was created."""

    payment_id: str
    method: MethodInput | None = None
    return_url: str = ""
    customer: Customer | None = None
    billing_address: Address | None = None
    three_d_secure: str = ""


@dataclass(slots=True)
class CaptureCommand:
    """Captures; amount 0 means all that is capturable."""

    payment_id: str
    amount_minor: int = 0
    currency: str = ""
    final: bool = False
    merchant_reference: str = ""


@dataclass(slots=True)
class CancelCommand:
    """Cancels what is authorized and not captured."""

    payment_id: str
    reason: str = ""


@dataclass(slots=True)
class RefundCommand:
    """Refunds; amount 0 means all that is refundable."""

    payment_id: str
    amount_minor: int = 0
    currency: str = ""
    reason: str = ""
    merchant_reference: str = ""
    description: str = ""
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class TokenCommand:
    """Seals a card."""

    source: CardInput
    customer_reference: str = ""


@dataclass(slots=True)
class ResolveCommand:
    """Says what truly happened to an operation under review."""

    payment_id: str
    operation_id: str
    resolution: Resolution
    note: str
    provider_reference: str = ""


@dataclass(slots=True)
class CreateRulesetCommand:
    """Stores a document as the profile's next version.

    Attributes:
        content: gives the document as plain data; it may be long, so that is asked for in a
            thread.
    """

    profile_id: str
    content: Callable[[], Mapping[str, object]] = field(repr=False)
    description: str = ""


@dataclass(slots=True)
class ActivateRulesetCommand:
    """Puts a version of the profile's ruleset in force."""

    profile_id: str
    version: int


@dataclass(slots=True)
class RollbackRulesetCommand:
    """Puts the version in force that was before the active one."""

    profile_id: str


@dataclass(slots=True)
class ReplayCommand:
    """Tries recorded decisions under another ruleset.

    Attributes:
        version: of a stored ruleset; 0 where `content` is given.
        content: a document that is not stored, as plain data.
        from_ns, to_ns: when they were decided; 0 for a week before the end, and for now.
        most_decisions: how many are read, the newest ones; 0 for the usual number.
    """

    profile_id: str
    version: int = 0
    content: Mapping[str, object] | None = field(default=None, repr=False)
    from_ns: int = 0
    to_ns: int = 0
    most_decisions: int = 0


@dataclass(slots=True)
class SimulateCommand:
    """Decides a payment that does not exist.

    Attributes:
        card: what would be known of the card.
        details: of them only what rules ask for.
        version: of a stored ruleset; 0 for the one in force.
        content: a document that is not stored, as plain data.
        seed: of the draw; None for a new one.
        time_ns: when; 0 for now.
    """

    profile_id: str
    amount_minor: int
    currency: str
    capture_method: CaptureMethod
    card: CardFacts
    details: PaymentDetails
    version: int = 0
    content: Mapping[str, object] | None = field(default=None, repr=False)
    seed: int | None = None
    time_ns: int = 0
