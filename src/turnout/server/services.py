"""What the face asks of orchestration, as types; the composition hands the real ones in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping
from dataclasses import dataclass
from typing import Protocol

from turnout.domain.events import Event
from turnout.domain.ledger import Balance, LedgerTransaction
from turnout.domain.operation import Operation
from turnout.domain.payment import Payment
from turnout.orchestration.commands import (
    ActivateRulesetCommand,
    Caller,
    CancelCommand,
    CaptureCommand,
    ConfirmCommand,
    CreateRulesetCommand,
    Idempotency,
    Operator,
    PaymentCommand,
    RefundCommand,
    ReplayCommand,
    ResolveCommand,
    RollbackRulesetCommand,
    SimulateCommand,
    TokenCommand,
)
from turnout.orchestration.explanations import Explained
from turnout.orchestration.replays import ReplayReport
from turnout.orchestration.rulesets import Ruleset
from turnout.ports import (
    BalanceFilter,
    EventFilter,
    LedgerFilter,
    PaymentFilter,
    RefundFilter,
    ReviewFilter,
    StoredWebhook,
)
from turnout.routing.rules.document import RulesetDocument
from turnout.routing.rules.findings import Finding

# All raise domain.errors, StoreUnavailable and, for webhooks, WebhookRejected; anything else is
# a defect and told as INTERNAL. Answers in bytes are stored answers, sent on as they are.


class Payments(Protocol):
    """PaymentService's work."""

    def authorize(
        self, caller: Caller, idem: Idempotency, command: PaymentCommand, /
    ) -> Awaitable[bytes]:
        """Creates and confirms."""

    def create(
        self, caller: Caller, idem: Idempotency, command: PaymentCommand, /
    ) -> Awaitable[bytes]:
        """Creates."""

    def confirm(
        self, caller: Caller, idem: Idempotency, command: ConfirmCommand, /
    ) -> Awaitable[bytes]:
        """Confirms."""

    def capture(
        self, caller: Caller, idem: Idempotency, command: CaptureCommand, /
    ) -> Awaitable[bytes]:
        """Captures."""

    def cancel(
        self, caller: Caller, idem: Idempotency, command: CancelCommand, /
    ) -> Awaitable[bytes]:
        """Cancels."""

    def get(self, caller: Caller, payment_id: str, /) -> Awaitable[Payment]:
        """Reads one."""

    def list(self, caller: Caller, want: PaymentFilter, /) -> Awaitable[list[Payment]]:
        """Reads a page, newest first."""

    def sync(
        self, caller: Caller, payment_id: str, parameters: dict[str, str], /
    ) -> Awaitable[Payment]:
        """Asks the provider, then reads; `parameters` came back with the payer."""


class Refunds(Protocol):
    """RefundService's work."""

    def create(
        self, caller: Caller, idem: Idempotency, command: RefundCommand, /
    ) -> Awaitable[bytes]:
        """Refunds."""

    def get(self, caller: Caller, refund_id: str, /) -> Awaitable[tuple[Payment, Operation]]:
        """Reads one."""

    def list(
        self, caller: Caller, want: RefundFilter, /
    ) -> Awaitable[list[tuple[Payment, Operation]]]:
        """Reads a page, newest first."""


class Tokens(Protocol):
    """TokenService's work."""

    def create(
        self, caller: Caller, idem: Idempotency, command: TokenCommand, /
    ) -> Awaitable[bytes]:
        """Seals a card."""


class Events(Protocol):
    """EventService's work."""

    def list(self, caller: Caller, want: EventFilter, /) -> Awaitable[list[Event]]:
        """Reads a page, oldest first."""

    def stream(self, caller: Caller, want: EventFilter, from_now: bool, /) -> AsyncIterator[Event]:
        """Reads on for ever, oldest first."""


class Webhooks(Protocol):
    """WebhookService's work."""

    def receive(
        self, account_id: str, headers: Mapping[str, str], body: bytes, /
    ) -> Awaitable[tuple[bytes, str]]:
        """Takes a notification in; gives the reply and its content type."""


class Ledger(Protocol):
    """LedgerService's work."""

    def balances(self, caller: Caller, want: BalanceFilter, /) -> Awaitable[list[Balance]]:
        """Reads all balances, in order."""

    def entries(self, caller: Caller, want: LedgerFilter, /) -> Awaitable[list[LedgerTransaction]]:
        """Reads a page, newest first."""


class Reviews(Protocol):
    """OperationsService's work."""

    def resolve(
        self, operator: Operator, idem: Idempotency, command: ResolveCommand, /
    ) -> Awaitable[bytes]:
        """Says what truly happened."""

    def set_aside(
        self, after: tuple[int, str] | None, limit: int, /
    ) -> Awaitable[list[StoredWebhook]]:
        """Reads a page, oldest first."""

    def list(self, want: ReviewFilter, /) -> Awaitable[list[Payment]]:
        """Reads a page, oldest first."""


class Rulesets(Protocol):
    """RoutingService's work on rulesets."""

    def create(
        self, caller: Caller, idem: Idempotency, command: CreateRulesetCommand, /
    ) -> Awaitable[bytes]:
        """Stores a version."""

    def activate(
        self, caller: Caller, idem: Idempotency, command: ActivateRulesetCommand, /
    ) -> Awaitable[bytes]:
        """Puts a version in force."""

    def rollback(
        self, caller: Caller, idem: Idempotency, command: RollbackRulesetCommand, /
    ) -> Awaitable[bytes]:
        """Puts the version before in force."""

    def validate(
        self, caller: Caller, profile_id: str, content: Mapping[str, object], /
    ) -> Awaitable[list[Finding]]:
        """Checks a document."""

    def get(self, caller: Caller, profile_id: str, version: int, /) -> Awaitable[Ruleset]:
        """Reads one; 0 is the active one."""

    def page(
        self, caller: Caller, profile_id: str, before: int, limit: int, /
    ) -> Awaitable[list[Ruleset]]:
        """Reads a page, newest first."""

    def documents(
        self,
        caller: Caller,
        profile_id: str,
        from_version: int,
        to_version: int,
        content: Mapping[str, object] | None,
        /,
    ) -> Awaitable[tuple[RulesetDocument, RulesetDocument]]:
        """Reads two to be compared."""


class Explanations(Protocol):
    """RoutingService's work on decisions."""

    def explain(
        self, caller: Caller, decision_id: str, payment_id: str, /
    ) -> Awaitable[Explained]:
        """Makes a decision again."""

    def simulate(self, caller: Caller, command: SimulateCommand, /) -> Awaitable[Explained]:
        """Decides a payment that does not exist."""


class Replays(Protocol):
    """RoutingService's work on candidates."""

    def replay(self, caller: Caller, command: ReplayCommand, /) -> Awaitable[ReplayReport]:
        """Tries recorded decisions under another ruleset."""


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that stands behind the face."""

    payments: Payments
    refunds: Refunds
    events: Events
    tokens: Tokens
    webhooks: Webhooks
    ledger: Ledger
    reviews: Reviews
    rulesets: Rulesets
    explanations: Explanations
    replays: Replays
