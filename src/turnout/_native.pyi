"""The compiled routing core (Rust). Only `turnout.routing.engine` imports it.

One crossing per call, no I/O, no clock and no randomness of its own: `now_ns` (nanoseconds of
any clock, the same one in all calls) and `seed` are arguments. Clock readings may stand still,
go back or be absurd; they then count as no time. All methods are safe to call from any thread.
"""

from collections.abc import Sequence
from typing import Final, final

__all__ = ["CompiledConfig", "Decision", "Permit", "Router", "RouterError", "__version__"]

__version__: Final[str]

class RouterError(Exception):
    """What the core refuses. The text is for people.

    `code` is one of invalid_config (the text names the key), invalid_facts, unknown_profile,
    unknown_account, unknown_permit, corrupt_state, corrupt_record, other_snapshot, internal.
    """

    code: str

@final
class Decision:
    """The ranked accounts for one payment. Immutable; nothing is converted before it is read."""

    @property
    def account_ids(self) -> list[str]:
        """The eligible accounts, the one to try first in front."""
    @property
    def degraded(self) -> bool:
        """No eligible account may be called as it should: the least ill stands first."""
    @property
    def first_by(self) -> str:
        """What gave the first place: draw, split, commit, cheapest_within_points or least_ill."""
    @property
    def matched_rules(self) -> list[str]:
        """The ids of the rules that the payment matched, in their order."""
    @property
    def blocked(self) -> tuple[str, str] | None:
        """The id of the rule that refuses the payment, and its reason; nothing is ranked then."""
    @property
    def require_three_ds(self) -> bool:
        """A rule wants 3-D Secure."""
    @property
    def snapshot_version(self) -> str:
        """The configuration's content as 16 hex digits."""
    @property
    def now_ns(self) -> int:
        """The time it was made at, as it was given."""
    @property
    def seed(self) -> int:
        """The seed it was made with."""
    def ranked(
        self,
    ) -> list[
        tuple[str, int, str, float, float, float, float, float, float, float, float | None, float]
    ]:
        """One row per account, best first.

        Account id, tier, gate, score, propensity, approval, failure_rate, approval_sd,
        latency_ms, fee_minor, approval_to_lead (at which the account's score would have equalled
        the first one's; None where none is enough), weight (what rules added to the score). The
        gate is healthy, probe, at_capacity, rate_limited or breaker_open. The score is what the
        profile's objective makes of the estimates (with objective "approval": the probability
        that a call is approved); the propensity is the exact probability that this account was
        ranked first.
        """
    def filtered(self) -> list[tuple[str, str, str]]:
        """Account id, reason code, reason in words, for the profile's accounts that fell out."""
    def record(self) -> bytes:
        """All that the decision was made from, for `Router.replay`.

        About 130 bytes, the facts, and 29 for each account.
        """

@final
class Permit:
    """The right to make one call at one account, to be finished exactly once."""

    @property
    def account_id(self) -> str:
        """The account it is for."""
    @property
    def probe(self) -> bool:
        """Whether this call tests an account whose breaker is half-open."""

@final
class CompiledConfig:
    """A configuration that a router can switch to at once. Immutable."""

    def __new__(cls, config_json: bytes) -> CompiledConfig:
        """Compile a configuration, without holding the interpreter's lock.

        Raises:
            RouterError: invalid_config; the text names the key.
        """
    @property
    def snapshot_version(self) -> str:
        """Its content as 16 hex digits."""

@final
class Router:
    """Eligibility, health, breakers, concurrency and choice over one configuration."""

    def __new__(cls, compiled: CompiledConfig) -> Router:
        """A router that knows nothing yet."""
    @property
    def snapshot_version(self) -> str:
        """The present configuration's content as 16 hex digits."""
    @property
    def segment_count(self) -> int:
        """Segments in memory; bounded by `settings.health.max_segments`."""
    @property
    def segment_bytes(self) -> int:
        """Bytes of what was learnt of segments: 20 for each (account x segment), and some."""
    def install(self, compiled: CompiledConfig) -> None:
        """Switch to another configuration; accounts that stay keep all that was learnt."""
    def decide(
        self,
        profile_id: str,
        now_ns: int,
        seed: int,
        amount_minor: int | None,
        currency: str | None,
        method: str | None,
        network: str | None,
        funding: str | None,
        bin: str | None,
        issuer_country: str | None,
        capabilities: Sequence[str] | None,
        excluded: Sequence[str] | None,
        no_exploring: bool,
        capture_method: str | None,
        channel: str | None,
        three_ds: str | None,
        billing_country: str | None,
        recurring: bool | None,
        risk_score: int | None,
        metadata: Sequence[tuple[str, str]] | None,
        sticky_key: str | None,
        /,
    ) -> Decision:
        """Rank the profile's accounts for one payment. Only reads.

        By position only, because matching so many keywords would cost as much as the decision.
        None means "unknown", which excludes no account unless the account says so. `seed` is
        an unsigned 64-bit number, new for each payment. `bin` has at most 8 digits.
        `no_exploring` takes the best by the estimates, without trying what is uncertain.
        `metadata` are at most 50 pairs, each key once. `sticky_key` (the payment's id) makes
        rules' volume splits draw the same again.

        Raises:
            RouterError: unknown_profile, invalid_facts.
        """
    def replay(self, record: bytes) -> Decision:
        """Make a recorded decision again, byte for byte.

        Raises:
            RouterError: corrupt_record, other_snapshot.
        """
    def try_ruleset(self, record: bytes, profile_id: str) -> Decision:
        """Decide a recorded payment under one of this router's profiles.

        Facts, time, seed and what was known of accounts are the record's; the record's snapshot
        may be another one. Accounts that it says nothing of fall out with no_evidence; caps and
        commitments that it did not count stand at nothing.

        Raises:
            RouterError: unknown_profile, corrupt_record.
        """
    def begin(
        self,
        account_id: str,
        *,
        now_ns: int,
        decision: Decision | None = None,
        required: bool = False,
    ) -> tuple[Permit | None, str, str, float]:
        """Ask to call an account.

        Args:
            account_id: The account.
            now_ns: The time.
            decision: The payment's decision, so that the issuer's answer can be learnt and a
                degraded decision may call the least ill account.
            required: The call can go nowhere else; it is counted, never refused.

        Returns:
            The permit; or None with the refusal (unknown_account, at_capacity, rate_limited,
            probes_busy, breaker_open), the breaker's reason and the seconds until its next probe
            (or until the rate allows a call).
        """
    def finish(self, permit: Permit, outcome: str, *, latency_ms: float, now_ns: int) -> None:
        """End a call and learn from it.

        Args:
            permit: What `begin` gave.
            outcome: approved, issuer_declined_soft, issuer_declined_hard, technical_error,
                timeout or abandoned.
            latency_ms: How long the call took.
            now_ns: The time.

        Raises:
            RouterError: unknown_permit: it was finished before.
            ValueError: the outcome is none of these.
        """
    def observe(self, account_id: str, record: bytes, outcome: str, *, now_ns: int) -> None:
        """Learn an issuer's answer that came after its call had ended as a timeout.

        Args:
            account_id: The account that was called.
            record: The record of the payment's decision.
            outcome: As for `finish`; only the issuer's answers say anything here.
            now_ns: The time.

        Raises:
            RouterError: unknown_account, corrupt_record.
            ValueError: the outcome is none of `finish`'s.
        """
    def health(
        self, *, now_ns: int
    ) -> list[tuple[str, str, str, float, float, float, float, float, int, int, int]]:
        """One row per account, in the configuration's order.

        Account id, breaker phase (closed, open, half_open), reason, retry_in_s, approval,
        answers (how many it rests on), failure_rate, latency_ms, in_flight, overdue,
        max_in_flight (0: no cap).
        """
    def save(self) -> bytes:
        """Everything learnt, with a version and a checksum."""
    def restore(self, saved: bytes, *, now_ns: int) -> None:
        """Put a saved state back; accounts that are gone or new do no harm.

        Raises:
            RouterError: corrupt_state; nothing has changed then.
        """
