"""The record: payments, claims, ledger, events, webhooks."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from turnout.domain.audit import Verdict
from turnout.domain.events import Event
from turnout.domain.ledger import Balance, Book, LedgerKind, LedgerTransaction
from turnout.domain.operation import ClaimKey, Operation, OperationState
from turnout.domain.outcomes import ProviderEvent
from turnout.domain.payment import Payment, PaymentStatus
from turnout.ports.rulesets import RulesetStore
from turnout.ports.schemes import AttemptCount, AttemptDecline, SchemeFacts, SchemeKeys

# Later than any time.
MAX_NS: Final = 2**63 - 1


class ClaimTaken(Exception):
    """The idempotency key is already claimed; nothing of the unit was written."""


class MerchantReferenceTaken(Exception):
    """The merchant has a payment or refund with this reference; nothing was written."""


class VersionConflict(Exception):
    """The payment has moved on since it was read; nothing of the unit was written."""


class StoreUnavailable(Exception):
    """The record cannot be written or read now (disk full, I/O error); nothing was written."""


@dataclass(slots=True)
class Claim:
    """An idempotent call as it is kept.

    Attributes:
        fingerprint: keyed hash of the request without the CVC.
        payment_id, operation_id: what the call made or changes; empty where it is none.
        answer: the encoded answer, or None while the call is still running.
        created_at_ns: when it was claimed; it expires 30 days later.
    """

    key: ClaimKey
    fingerprint: bytes
    payment_id: str
    operation_id: str
    created_at_ns: int
    answer: bytes | None = None


@dataclass(slots=True)
class DecisionRecord:
    """A routing decision as it is kept, so that it can be explained and replayed.

    Attributes:
        record: the router's compact record (inputs, versions, now_ns, seed, scores).
        snapshot_version: the router's configuration that it was made from (`SnapshotRecord`).
        ruleset_version: of the profile's ruleset that it followed; 0 for none.
    """

    decision_id: str
    merchant_id: str
    payment_id: str
    created_at_ns: int
    record: bytes
    snapshot_version: str = ""
    ruleset_version: int = 0


@dataclass(slots=True)
class DecidedAttempt:
    """A decision, and what became of the first attempt that followed from it.

    Attributes:
        account_id: where the attempt went: the decision's first account, but where that one
            refused the call at the last moment.
        state: what is known of the attempt now.
        amount_minor: of the payment, in minor units of `currency`.
    """

    decision: DecisionRecord
    account_id: str
    state: OperationState
    amount_minor: int
    currency: str


@dataclass(slots=True)
class ReviewRecord:
    """What an operator said of a payment under review; kept for ever.

    Attributes:
        operation_id: the operation that it is about; empty where it is about the payment.
        resolution: one of `orchestration.commands.Resolution`.
        operator_id: whose key it was.
        note: in the operator's words.
    """

    payment_id: str
    operation_id: str
    merchant_id: str
    resolution: str
    operator_id: str
    note: str
    created_at_ns: int


@dataclass(slots=True)
class UnitOfWork:
    """What must become durable together or not at all.

    The store reads everything when `commit` is CALLED; the caller may go on changing the
    objects afterwards. `payment.version == 1` inserts; otherwise the row must stand at
    version - 1. Operations are inserted or replaced by id, under the payment's version check.

    Attributes:
        claim: inserted, answered at once where its `answer` is set; ClaimTaken where it exists.
        answers: encoded answers to set where the claim has none yet; an answered claim keeps its
            first answer, and that is no error.
        payment: the payment as it is to stand, without its operations.
        operations: those that changed or are new.
        count: an attempt to be counted for the schemes; AttemptRefused where it may not be.
        declined: counted attempts of which it is now known that they were declined.
        uncounted: attempts that were approved or never left, so that they count no more.
        details_stand: the payment's details, method and decision are those in the record, so
            they need not be compared and written again.
    """

    claim: Claim | None = None
    answers: list[tuple[ClaimKey, bytes]] = field(default_factory=list)
    payment: Payment | None = None
    operations: list[Operation] = field(default_factory=list)
    ledger: list[LedgerTransaction] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    decision: DecisionRecord | None = None
    webhook_done: str = ""
    review: ReviewRecord | None = None
    count: AttemptCount | None = None
    declined: list[AttemptDecline] = field(default_factory=list)
    uncounted: list[str] = field(default_factory=list)
    details_stand: bool = False


@dataclass(slots=True)
class PaymentFilter:
    """Which payments to list, newest first.

    Empty parts do not filter; all that are set must hold. The mode always does: `live` False lists
    test payments only.

    Attributes:
        before: (created_at_ns, payment_id) of the last payment of the page before.
    """

    statuses: Sequence[PaymentStatus] = ()
    merchant_reference: str = ""
    customer_reference: str = ""
    currency: str = ""
    account_id: str = ""
    created_from_ns: int = 0
    created_to_ns: int = 0
    before: tuple[int, str] | None = None
    limit: int = 20
    live: bool = False


@dataclass(slots=True)
class RefundFilter:
    """Which refunds to list, newest first."""

    payment_id: str = ""
    states: Sequence[str] = ()
    merchant_reference: str = ""
    created_from_ns: int = 0
    created_to_ns: int = 0
    before: tuple[int, str] | None = None
    limit: int = 20
    live: bool = False


@dataclass(slots=True)
class EventFilter:
    """Which events to read, oldest first.

    Attributes:
        types: exact types, or families that end in `.*`.
        after: only events with a greater cursor.
    """

    types: Sequence[str] = ()
    payment_id: str = ""
    created_from_ns: int = 0
    created_to_ns: int = 0
    after: int = 0
    limit: int = 20
    live: bool = False


@dataclass(slots=True)
class LedgerFilter:
    """Which ledger transactions to list, newest first.

    Attributes:
        books: those with a posting to one of these books.
        before: (created_at_ns, transaction_id) of the last one of the page before.
    """

    payment_id: str = ""
    account_id: str = ""
    currency: str = ""
    books: Sequence[Book] = ()
    kinds: Sequence[LedgerKind] = ()
    created_from_ns: int = 0
    created_to_ns: int = 0
    before: tuple[int, str] | None = None
    limit: int = 20
    live: bool = False


@dataclass(slots=True)
class BalanceFilter:
    """Which balances to read."""

    account_id: str = ""
    currency: str = ""
    books: Sequence[Book] = ()
    live: bool = False


@dataclass(slots=True)
class ReviewFilter:
    """Which payments under review to list, oldest first.

    Attributes:
        live: None lists both modes.
        after: (created_at_ns, payment_id) of the last one of the page before.
    """

    merchant_id: str = ""
    payment_id: str = ""
    account_id: str = ""
    live: bool | None = None
    after: tuple[int, str] | None = None
    limit: int = 20


@dataclass(slots=True)
class StoredWebhook:
    """A provider's notification, kept before it is answered for and worked on afterwards.

    Attributes:
        event: as the connector read it, after the signature was checked.
        attempts: how often working on it has failed.
        reason: why it failed the last time.
    """

    webhook_id: str
    account_id: str
    received_at_ns: int
    event: ProviderEvent
    attempts: int = 0
    reason: str = ""


@dataclass(slots=True)
class DecisionFilter:
    """Which decisions to read, newest first.

    Attributes:
        profile_id: of the payments that they were made for.
        after: only decisions with a greater id; `ids.id_time` makes one of a time.
        before: only decisions with a smaller id.
    """

    profile_id: str
    live: bool
    after: str
    before: str
    limit: int = 100


class Store(RulesetStore, Protocol):
    """The record. All reads and writes raise StoreUnavailable where the medium fails."""

    def commit(self, unit: UnitOfWork) -> Awaitable[None]:
        """Makes the unit durable; concurrent units share a commit.

        Raises (when awaited):
            ClaimTaken, MerchantReferenceTaken, VersionConflict, AttemptRefused: nothing was
                written.
        """

    async def find_claim(self, key: ClaimKey) -> Claim | None:
        """The claim under this key, or None."""

    async def find_taken(self, key: ClaimKey, merchant_reference: str) -> tuple[Claim | None, str]:
        """What stands in the way of a new payment: the claim of its key, and who has its name.

        One read for both, because every authorization begins with it.

        Returns:
            The claim, or None; and the id of the key's merchant's payment with this reference,
            empty where there is none, and where there is a claim, which says what to do.
        """

    async def find_to_change(
        self, key: ClaimKey, payment_id: str
    ) -> tuple[Claim | None, Payment | None]:
        """The claim under a key, and the payment that its call is about.

        One read for both, because every capture, cancel and refund begins with it. The payment is
        whoever's it is.
        """

    async def answer_claim(self, key: ClaimKey, answer: bytes) -> bytes:
        """Sets the answer where there is none yet, durably; returns the one that stands.

        Raises:
            KeyError: there is no such claim.
        """

    async def get_payment(self, payment_id: str) -> Payment | None:
        """A payment with all its operations, whoever's it is, or None."""

    async def find_payment_by_operation(self, operation_id: str) -> Payment | None:
        """The payment that has this operation, or None."""

    async def find_payment_by_provider_reference(
        self, account_id: str, provider_reference: str
    ) -> Payment | None:
        """The payment of which this account's provider calls an operation so, or None."""

    async def get_decision(self, merchant_id: str, decision_id: str) -> DecisionRecord | None:
        """The merchant's decision with this id, or None."""

    async def list_decisions(self, merchant_id: str, want: DecisionFilter) -> list[DecidedAttempt]:
        """A page of the merchant's decisions with their first attempts, newest first."""

    async def list_payments(self, merchant_id: str, want: PaymentFilter) -> list[Payment]:
        """A page of the merchant's payments, newest first."""

    async def list_refunds(
        self, merchant_id: str, want: RefundFilter
    ) -> list[tuple[Payment, Operation]]:
        """A page of the merchant's refunds with their payments, newest first."""

    async def list_events(self, merchant_id: str, want: EventFilter) -> list[Event]:
        """A page of the merchant's events, oldest first."""

    async def last_cursor(self, merchant_id: str) -> int:
        """The cursor of the merchant's newest event, 0 where there is none."""

    def subscribe(self, merchant_id: str) -> EventSubscription:
        """Wakes its holder whenever events of this merchant have become durable."""

    # --- the ledger --------------------------------------------------------------------------

    async def list_ledger(self, merchant_id: str, want: LedgerFilter) -> list[LedgerTransaction]:
        """A page of the merchant's ledger transactions, newest first."""

    async def ledger_balances(self, merchant_id: str, want: BalanceFilter) -> list[Balance]:
        """The merchant's balances, by account, currency and book; books never posted to lack."""

    async def audit_ledger(self) -> Verdict:
        """Recomputes the whole ledger, of one moment, and compares everything that follows it."""

    # --- what waits for a person -------------------------------------------------------------

    async def list_reviews(self, want: ReviewFilter) -> list[Payment]:
        """A page of payments that are flagged, or have an operation, for review, oldest first."""

    async def set_aside_webhooks(
        self, after: tuple[int, str] | None, limit: int
    ) -> list[StoredWebhook]:
        """Webhooks that were given up on, oldest first.

        Args:
            after: (received_at_ns, webhook_id) of the last one of the page before.
            limit: how many at most.
        """

    # --- recovery ------------------------------------------------------------------------------

    async def fence_in_flight(self, now_ns: int, limit: int = 0) -> int:
        """Turns operations that are still `sending` into `unknown`, due now.

        Called at start: whoever was sending is dead. With a limit it may go on while others are
        served, because it then leaves alone what was written since the record was opened.

        Args:
            now_ns: the present time.
            limit: at most this many, of those that were there at open; 0 takes all that there are.

        Returns:
            How many were fenced.
        """

    async def due_operations(
        self, now_ns: int, limit: int, without: Sequence[str] = (), beyond_ns: int = MAX_NS
    ) -> list[tuple[str, str]]:
        """(payment_id, operation_id) of operations whose check_at_ns has come, oldest first.

        Args:
            now_ns: the present time.
            limit: how many at most.
            without: leaves out those at these accounts.
            beyond_ns: those too, last, whose check_at_ns is later than this: only a clock that
                was wrong can have set it.
        """

    async def next_check_ns(self) -> int:
        """The earliest check_at_ns that is set, 0 where there is none."""

    async def expired_authorizations(self, now_ns: int, limit: int) -> list[str]:
        """payment_ids that may still be captured, but whose capture_before_ns has passed."""

    async def add_webhooks(self, webhooks: Sequence[StoredWebhook]) -> int:
        """Keeps those that are new (by account and event id), durably; returns how many were."""

    async def pending_webhooks(self, limit: int) -> list[StoredWebhook]:
        """Webhooks that have not been worked on, oldest first."""

    async def fail_webhook(self, webhook_id: str, reason: str, give_up: bool) -> None:
        """Notes that working on it failed; `give_up` sets it aside for people to look at."""

    async def load_blob(self, name: str) -> bytes | None:
        """A named state that outlives the process, such as the router's."""

    async def save_blob(self, name: str, value: bytes) -> None:
        """Replaces a named state."""

    async def import_config(self, digest: str, body: bytes, now_ns: int) -> int:
        """Keeps a configuration, without secrets, and returns its version.

        The same digest as the newest one's keeps its version.
        """

    async def delete_expired_claims(self, before_ns: int, limit: int) -> int:
        """Deletes answered claims made before this time; returns how many."""

    # --- attempts as the schemes count them --------------------------------------------------

    async def scheme_facts(self, keys: SchemeKeys, card_since_ns: int) -> SchemeFacts:
        """What stands under an attempt's keys.

        Args:
            keys: the attempt's.
            card_since_ns: under the card: only those that were sent after this.
        """

    async def forget_attempts(self, now_ns: int, limit: int) -> int:
        """Forgets declined attempts that no rule looks back to any more; returns how many."""

    async def close(self) -> None:
        """Finishes what was submitted and lets go of the medium."""


class EventSubscription(Protocol):
    """A wake-up call; the events themselves are read from the store."""

    async def wait(self) -> None:
        """Returns once events came since the last return."""

    def close(self) -> None:
        """No more wake-ups."""
