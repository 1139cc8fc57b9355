"""Providers: connectors, and the transport below them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from turnout.domain.accounts import Account
from turnout.domain.cards import CardFacts
from turnout.domain.operation import Operation, OperationKind
from turnout.domain.outcomes import Outcome, ProviderEvent
from turnout.domain.payment import CaptureMethod, PaymentDetails
from turnout.ports.vault import Reveal


@dataclass(slots=True)
class AuthorizeRequest:
    """What a connector needs to authorize; `operation_id` is our reference and provider key.

    `deadline_ns` is monotonic: after it the connector gives up waiting (and says UNKNOWN if
    anything may have left). `require_three_ds`: a routing rule wants 3-D Secure, whatever the
    merchant asked for.
    """

    operation_id: str
    payment_id: str
    merchant_reference: str
    amount_minor: int
    currency: str
    capture_method: CaptureMethod
    card: CardFacts
    reveal: Reveal
    details: PaymentDetails
    deadline_ns: int
    require_three_ds: bool = False


@dataclass(slots=True)
class FollowUpRequest:
    """What a connector needs to capture, cancel or refund.

    Attributes:
        authorization_reference: the provider's id of the authorization; empty in a cancel of an
            authorization whose outcome is unknown, which goes by `authorization_operation_id`.
        final: for a capture: the rest is to be released.
    """

    kind: OperationKind
    operation_id: str
    payment_id: str
    authorization_operation_id: str
    authorization_reference: str
    amount_minor: int
    currency: str
    final: bool
    reason: str
    deadline_ns: int


@dataclass(slots=True)
class InquiryRequest:
    """What a connector needs to ask what became of an operation.

    Attributes:
        operation: as it stands in the record.
        authorization: the authorize operation it belongs to (itself, for an authorize).
        sent_before_ns: wall-clock time after which no copy of the request can still be on its
            way; only once it has passed may "not found" mean NOT_PROCESSED.
        now_ns: the present wall-clock time.
        parameters: the query parameters with which the payer came back from a redirect; some
            providers finish an authentication only when they are handed over.
    """

    operation: Operation
    authorization: Operation
    capture_method: CaptureMethod
    sent_before_ns: int
    now_ns: int
    deadline_ns: int
    parameters: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ConnectorTraits:
    """What orchestration must know of a provider.

    Attributes:
        can_inquire: the provider can be asked what became of an operation.
        can_cancel_by_reference: an authorization of unknown outcome can be reversed by our own
            reference.
        inquiry_wait_s: how long to wait for a webhook before reversing, where it cannot be asked.
        keeps_rest: where an account may capture several times, what is left after the final
            capture stays on hold until it is cancelled.
    """

    can_inquire: bool
    can_cancel_by_reference: bool
    inquiry_wait_s: int = 0
    keeps_rest: bool = False


@dataclass(slots=True)
class WebhookDelivery:
    """What a provider's notification holds, and what it wants to read as the answer."""

    events: list[ProviderEvent]
    reply: bytes
    reply_content_type: str


class WebhookRejected(Exception):
    """The notification is not the provider's, not fresh, not this account's, or not readable.

    `reason` is a short code for metrics; the message says what to look at.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Connector(Protocol):
    """Our adapter to one provider's API. Stateless; one serves all accounts.

    `authorize`, `follow_up` and `inquire` never raise for anything that a network or a provider
    can do: every such thing is an Outcome. What they raise is a defect, and orchestration treats
    it as UNKNOWN.
    """

    provider: str
    traits: ConnectorTraits

    async def authorize(self, account: Account, request: AuthorizeRequest) -> Outcome:
        """Asks for the authorization, and for the capture with it where it is automatic."""

    async def follow_up(self, account: Account, request: FollowUpRequest) -> Outcome:
        """Captures, cancels or refunds."""

    async def inquire(self, account: Account, request: InquiryRequest) -> Outcome:
        """Asks what became of an operation; UNKNOWN where nothing can tell yet."""

    def read_webhook(
        self, account: Account, headers: Mapping[str, str], body: bytes, now_ns: int
    ) -> WebhookDelivery:
        """Checks the signature over the raw bytes, then reads.

        Args:
            account: the one that the notification's URL names.
            headers: names in lower case.
            body: the bytes as they came.
            now_ns: wall-clock time, for freshness.

        Raises:
            WebhookRejected: it must not be believed.
        """

    def check_account(self, account: Account) -> list[str]:
        """What is missing or wrong in the account's credentials and settings, for people."""


@dataclass(slots=True)
class HttpRequest:
    """One HTTP request. Times in milliseconds; `total_timeout_ms` covers all phases.

    Headers hold keys and the body may hold a card, so neither stands in the repr.
    """

    method: str
    url: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    connect_timeout_ms: int = 2_000
    total_timeout_ms: int = 20_000


@dataclass(slots=True)
class HttpResponse:
    """One HTTP answer, read whole and under the size cap.

    Headers are looked up by names in lower case; what else the mapping holds is left open.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpNotSent(Exception):
    """No byte of the request can have reached the provider. `reason` is a short code."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class HttpUnknown(Exception):
    """The request may have arrived, and no whole answer came. `reason` is a short code."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class RetryBudget(Protocol):
    """How much may be asked of an account's provider again."""

    def take(self, account_id: str) -> bool:
        """Whether a request may be repeated now; takes from the budget where it may."""


class HttpTransport(Protocol):
    """The only road from connectors to the network; faults are put in here by simulations."""

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Sends one request and reads the whole answer.

        Raises:
            HttpNotSent: name lookup, connect, TLS, or no free connection in time.
            HttpUnknown: timeout, reset, oversize or broken answer after bytes may have left.
        """

    async def close(self) -> None:
        """Closes all connections."""
