"""The routing engine: the one door to the Rust core.

Thin on purpose: a decision stays in Rust until someone reads it, because the hot path needs the
first account's id and the record, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import NamedTuple

from turnout import _native

RoutingError = _native.RouterError
"""What the core refuses: `.code` for programs, the text for people."""


class RoutingOutcome(StrEnum):
    """What became of a call, in the two channels that are kept apart.

    An issuer's decline is a call that worked; only the last three are about the account.
    """

    APPROVED = "approved"
    ISSUER_DECLINED_SOFT = "issuer_declined_soft"
    ISSUER_DECLINED_HARD = "issuer_declined_hard"
    TECHNICAL_ERROR = "technical_error"
    TIMEOUT = "timeout"
    ABANDONED = "abandoned"


class RoutingFacts(NamedTuple):
    """What is known of a payment; None means unknown, which excludes no account by itself.

    In the order in which the core takes them.

    Attributes:
        amount_minor: In the currency's minor units.
        currency: ISO 4217.
        method: Payment method, say "card".
        network: Card network, say "visa".
        funding: "credit", "debit", "prepaid".
        bin: The card number's first 6 to 8 digits, never more.
        issuer_country: ISO 3166-1 alpha-2.
        capabilities: What the account must be able to do.
        excluded: Accounts not to be named.
        no_exploring: The payment is not to be used for finding out: the best by the estimates.
        capture_method: automatic or manual.
        channel: ecommerce, in_app, moto and the like.
        three_ds: What 3-D Secure said before: none, attempted, authenticated, failed, exempted.
        billing_country: ISO 3166-1 alpha-2.
        recurring: Whether it is one of a series.
        risk_score: 0 to 100.
        metadata: The merchant's own, at most 50 keys.
        sticky_key: The payment's id; a rule's volume split draws the same for the same one.
    """

    amount_minor: int | None = None
    currency: str | None = None
    method: str | None = None
    network: str | None = None
    funding: str | None = None
    bin: str | None = None
    issuer_country: str | None = None
    capabilities: Sequence[str] | None = None
    excluded: Sequence[str] | None = None
    no_exploring: bool = False
    capture_method: str | None = None
    channel: str | None = None
    three_ds: str | None = None
    billing_country: str | None = None
    recurring: bool | None = None
    risk_score: int | None = None
    metadata: Mapping[str, str] | None = None
    sticky_key: str | None = None


class RankedAccount(NamedTuple):
    """An eligible account's place in a decision.

    Attributes:
        account_id: The account.
        tier: The profile's tier, 0 preferred.
        gate: healthy, probe, at_capacity, rate_limited or breaker_open.
        score: What it is ranked by: what the profile's objective makes of the estimates, scaled
            to about 0 to 1; with "approval", the probability that a call is approved.
        propensity: Exact probability that this account was ranked first.
        approval: Estimated probability that the issuer approves, if the call works.
        failure_rate: Estimated probability that the call fails technically.
        approval_sd: Standard deviation of `approval`: how sure the estimate is.
        latency_ms: Expected time to an answer; 0 before the first.
        fee_minor: What an approved payment would cost, in minor units of its currency.
        approval_to_lead: What would have changed the choice: the approval at which its score
            would have equalled the first one's. None where none would have been enough.
        weight: What rules added to its score.
    """

    account_id: str
    tier: int
    gate: str
    score: float
    propensity: float
    approval: float
    failure_rate: float
    approval_sd: float
    latency_ms: float
    fee_minor: float
    approval_to_lead: float | None
    weight: float


# `_make` without its step of Python and its count: the core's rows are as long as the tuple.
_ranked = partial(tuple.__new__, RankedAccount)


class FilteredAccount(NamedTuple):
    """An account of the profile that cannot take the payment, and why."""

    account_id: str
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Blocked:
    """The rule that refuses a payment, and its reason. `otherwise` stands for no rule's match."""

    rule_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a call may not begin; nothing was sent.

    Attributes:
        account_id: The account.
        code: unknown_account, at_capacity, rate_limited, probes_busy or breaker_open.
        reason: Why the breaker opened, where it did.
        retry_in_s: Seconds until its next probe, where it is open, or until its rate allows.
    """

    account_id: str
    code: str
    reason: str
    retry_in_s: float


@dataclass(frozen=True, slots=True)
class AccountHealth:
    """One account as operators see it.

    Attributes:
        account_id: The account.
        breaker: closed, open or half_open.
        reason: Why it opened: error_rate, timeouts, overdue_calls, slowness, probe_failed.
        retry_in_s: Seconds until the next probe, while it is open.
        approval: The faded share of issuers' answers that were approvals, beginning at the prior.
        answers: How many (faded) answers that rests on.
        failure_rate: Estimated probability that a call fails technically.
        latency_ms: Weighted mean of answered calls; 0 before the first.
        in_flight: Calls open now.
        overdue: Open calls that take suspiciously long.
        max_in_flight: The cap; 0 means none.
    """

    account_id: str
    breaker: str
    reason: str
    retry_in_s: float
    approval: float
    answers: float
    failure_rate: float
    latency_ms: float
    in_flight: int
    overdue: int
    max_in_flight: int


CompiledConfig = _native.CompiledConfig
"""A configuration, compiled: thousands of rules take a good part of a second, any thread's."""

Permit = _native.Permit
"""The right to make one call, from `RoutingEngine.begin`; finish it exactly once."""


class Decision:
    """The ranked accounts for one payment, under an id given from outside."""

    __slots__ = ("account_ids", "decision_id", "native")

    def __init__(self, decision_id: str, native: _native.Decision) -> None:
        self.decision_id = decision_id
        self.native = native
        self.account_ids = native.account_ids

    @property
    def degraded(self) -> bool:
        """All eligible accounts are ill or full: the least ill stands first."""
        return self.native.degraded

    @property
    def first_by(self) -> str:
        """What gave the first place: draw, split, commit, cheapest_within_points or least_ill."""
        return self.native.first_by

    @property
    def matched_rules(self) -> tuple[str, ...]:
        """The ids of the rules that the payment matched, in their order."""
        return tuple(self.native.matched_rules)

    @property
    def blocked(self) -> Blocked | None:
        """The rule that refuses the payment; nothing is ranked then."""
        blocked = self.native.blocked
        return None if blocked is None else Blocked(*blocked)

    @property
    def require_three_ds(self) -> bool:
        """A rule wants 3-D Secure: the connector asks the provider for it."""
        return self.native.require_three_ds

    @property
    def snapshot_version(self) -> str:
        """The configuration it was made from."""
        return self.native.snapshot_version

    @property
    def now_ns(self) -> int:
        """When it was made."""
        return self.native.now_ns

    @property
    def seed(self) -> int:
        """The seed it was made with."""
        return self.native.seed

    @property
    def ranked(self) -> tuple[RankedAccount, ...]:
        """The eligible accounts, best first."""
        return tuple(map(_ranked, self.native.ranked()))

    @property
    def filtered(self) -> tuple[FilteredAccount, ...]:
        """The profile's accounts that cannot take the payment."""
        return tuple(map(FilteredAccount._make, self.native.filtered()))

    def record(self) -> bytes:
        """What it was made from, to be kept with the payment and replayed."""
        return self.native.record()

    def __repr__(self) -> str:
        return f"<Decision {self.decision_id} {self.account_ids}>"


class RoutingEngine:
    """Routes payments over one configuration. Safe to call from any thread.

    `now_ns` is nanoseconds since the epoch (or of any one clock that survives restarts, for
    `save` and `restore`); `seed` is an unsigned 64-bit number, new for each payment.
    """

    __slots__ = ("_router",)

    def __init__(self, config: bytes | CompiledConfig) -> None:
        """Begin with a configuration (`snapshot.compile_config`), compiled already or not.

        Raises:
            RoutingError: invalid_config; the text names the key.
        """
        compiled = CompiledConfig(config) if isinstance(config, bytes) else config
        self._router = _native.Router(compiled)

    @property
    def snapshot_version(self) -> str:
        """The present configuration's version."""
        return self._router.snapshot_version

    def decide(
        self,
        profile_id: str,
        facts: RoutingFacts,
        *,
        decision_id: str,
        now_ns: int,
        seed: int,
    ) -> Decision:
        """Rank the profile's accounts for a payment. Only reads; microseconds.

        Raises:
            RoutingError: unknown_profile, invalid_facts.
        """
        metadata = facts.metadata
        native = self._router.decide(
            profile_id,
            now_ns,
            seed,
            *facts[:-2],
            tuple(metadata.items()) if metadata else None,
            facts.sticky_key,
        )
        return Decision(decision_id, native)

    def replay(self, record: bytes, *, decision_id: str) -> Decision:
        """Make a recorded decision again.

        Raises:
            RoutingError: corrupt_record; other_snapshot, if it was made from another
                configuration: make an engine from that one.
        """
        return Decision(decision_id, self._router.replay(record))

    def try_ruleset(self, record: bytes, profile_id: str, *, decision_id: str) -> Decision:
        """Decide a recorded payment again, but under another profile of this configuration.

        Facts, time, seed and what was known of each account are the record's, whichever
        configuration made it. Accounts that it says nothing of fall out with `no_evidence`; caps
        and commitments that it did not count stand at nothing.

        Raises:
            RoutingError: unknown_profile, corrupt_record.
        """
        return Decision(decision_id, self._router.try_ruleset(record, profile_id))

    def begin(
        self,
        account_id: str,
        *,
        now_ns: int,
        decision: Decision | None = None,
        required: bool = False,
    ) -> Permit | Refusal:
        """Ask to call an account; pass the payment's decision with every authorization.

        Args:
            account_id: The account.
            now_ns: The time.
            decision: Lets the issuer's answer be learnt, and a degraded decision be served.
            required: The call can go nowhere else (capture, cancel, refund, inquiry): it is
                counted, and refused only where the account is unknown.
        """
        permit, code, reason, retry_in_s = self._router.begin(
            account_id,
            now_ns=now_ns,
            decision=None if decision is None else decision.native,
            required=required,
        )
        if permit is not None:
            return permit
        return Refusal(account_id, code, reason, retry_in_s)

    def finish(
        self, permit: Permit, outcome: RoutingOutcome, *, latency_ms: float, now_ns: int
    ) -> None:
        """End a call and learn from it; exactly once for each permit.

        Raises:
            RoutingError: unknown_permit, where it was finished before.
        """
        self._router.finish(permit, outcome, latency_ms=latency_ms, now_ns=now_ns)

    def observe(
        self, account_id: str, record: bytes, outcome: RoutingOutcome, *, now_ns: int
    ) -> None:
        """Learn an issuer's answer that came after its call had ended as a timeout.

        Raises:
            RoutingError: unknown_account, corrupt_record.
        """
        self._router.observe(account_id, record, outcome, now_ns=now_ns)

    def install(self, compiled: CompiledConfig) -> None:
        """Switch to another configuration, in microseconds.

        Accounts that stay keep their health, breakers and open calls.
        """
        self._router.install(compiled)

    def health(self, *, now_ns: int) -> list[AccountHealth]:
        """Every account's health, in the configuration's order."""
        return [AccountHealth(*row) for row in self._router.health(now_ns=now_ns)]

    def save(self) -> bytes:
        """Everything learnt, so that a restart is not a cold start."""
        return self._router.save()

    def restore(self, saved: bytes, *, now_ns: int) -> None:
        """Put a saved state back; it may come from another configuration.

        Raises:
            RoutingError: corrupt_state; nothing has changed then.
        """
        self._router.restore(saved, now_ns=now_ns)
