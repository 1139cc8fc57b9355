"""When to look again at what is not known yet, and when to stop and call a person."""

from __future__ import annotations

from dataclasses import dataclass, replace

from turnout.domain.accounts import AUTHORIZATION_VALID_H
from turnout.domain.members import members
from turnout.domain.operation import Operation, OperationState
from turnout.domain.payment import NextAction
from turnout.orchestration.directory import Directory
from turnout.ports import Random

_State = members(OperationState)

_SECOND_NS = 1_000_000_000
_HOUR_NS = 3_600 * _SECOND_NS
_LARGEST_SEED = 2**64
# A provider may ask to be left alone for longer; the retry budget then sees to the rest.
_PUT_OFF_MOST_S = 1_800.0
# By how much a host's clock may be wrong that is tended.
_SKEW_NS = 120 * _SECOND_NS


@dataclass(frozen=True, slots=True)
class RecoverySettings:
    """How recovery waits.

    Attributes:
        intervals_s: waits before the first, second, ... look at an unknown outcome; the last one
            repeats. The first waits are FAULTS-driven: soon, because most providers know at once.
        action_timeout_s: how long a payer may take over 3-D Secure before the attempt is undone.
        review_after_s: an unknown outcome older than this goes to a person.
        pending_review_after_s: a `received` that no webhook finished within this goes to a person.
        settle_after_s: after a call's own timeout, how long until no copy of it can still be on
            its way; only then may "not found" mean that nothing happened.
        webhook_wait_s: where a provider cannot be asked: how long to wait for its webhook before
            reversing by reference; 0 leaves it to the connector.
        resend_within_s: how long a provider surely keeps our idempotency key (Stripe: 24 hours,
            Adyen: 7 days); after that nothing is resent.
        expiry_grace_s: how long after capture_before an authorization counts as expired.
        jitter: by what share, at most, a wait is longer than said, so that what went wrong
            together is not asked about together.
        clock_doubt_s: after a step of the wall clock: how long it must run evenly before keys
            are forgotten and authorizations let go by it.
    """

    intervals_s: tuple[float, ...] = (5.0, 30.0, 60.0, 300.0)
    action_timeout_s: float = 3_600.0
    review_after_s: float = 900.0
    pending_review_after_s: float = 72 * 3_600.0
    settle_after_s: float = 60.0
    webhook_wait_s: float = 0.0
    resend_within_s: float = 12 * 3_600.0
    expiry_grace_s: float = 0.0
    jitter: float = 0.2
    poll_s: float = 0.5
    concurrency: int = 16
    clock_doubt_s: float = 86_400.0


class Schedule:
    """Turns settings into times for one operation."""

    def __init__(
        self, settings: RecoverySettings, directory: Directory, random: Random | None = None
    ) -> None:
        """Takes the settings.

        Args:
            settings: how recovery waits.
            directory: for the accounts' timeouts.
            random: for jitter; without it there is none.
        """
        self.settings = settings
        self._directory = directory
        self._random = random

    def next_check_ns(self, operation: Operation, now_ns: int, retry_after_ms: int = 0) -> int:
        """When recovery should look at an operation next.

        Args:
            operation: of which nothing final is known.
            now_ns: the present time.
            retry_after_ms: how long the provider asked to be left alone; 0 where it did not.
        """
        intervals = self.settings.intervals_s
        wait_s = intervals[min(operation.checks, len(intervals) - 1)]
        if operation.state is _State.REQUIRES_ACTION:
            # The payer is typing: look rarely, and once more when their time is up.
            due = self.action_ends_ns(operation)
            return min(max(due, now_ns + _SECOND_NS), now_ns + 60 * _SECOND_NS)
        wait_s = max(wait_s, min(retry_after_ms / 1_000, _PUT_OFF_MOST_S))
        if self._random is not None:
            wait_s *= 1 + self.settings.jitter * self._random.seed() / _LARGEST_SEED
        return now_ns + int(wait_s * _SECOND_NS)

    def beyond_ns(self, now_ns: int) -> int:
        """Later than any wait that begins now ends: only a clock that was ahead sets that."""
        settings = self.settings
        longest_s = max(_PUT_OFF_MOST_S, settings.settle_after_s + 60.0, *settings.intervals_s)
        return now_ns + int(2 * longest_s * _SECOND_NS)

    def age_ns(self, operation: Operation, now_ns: int) -> int:
        """How long ago it was written down.

        A clock that was ahead then has dated it later than now; the looks at it tell instead.
        """
        age_ns = now_ns - operation.created_at_ns
        if age_ns >= -_SKEW_NS:
            return age_ns
        intervals = self.settings.intervals_s
        waits = (intervals[min(one, len(intervals) - 1)] for one in range(operation.checks))
        return int(sum(waits) * _SECOND_NS)

    def overdue(self, operation: Operation, now_ns: int) -> bool:
        """Whether a person must look at it."""
        limit_s = (
            self.settings.pending_review_after_s
            if operation.state is _State.PENDING
            else self.settings.review_after_s
        )
        if operation.state is _State.REQUIRES_ACTION:
            limit_s += self.settings.action_timeout_s
        return self.age_ns(operation, now_ns) > limit_s * _SECOND_NS

    def action_ends_ns(self, operation: Operation) -> int:
        """When the payer's time is up, and what they began is undone."""
        return operation.created_at_ns + int(self.settings.action_timeout_s * _SECOND_NS)

    def ending(self, action: NextAction | None, operation: Operation) -> NextAction | None:
        """What the payer must do, and until when."""
        return action and replace(action, expires_at_ns=self.action_ends_ns(operation))

    def may_resend(self, operation: Operation, now_ns: int) -> bool:
        """Whether the provider surely still knows our idempotency key."""
        return self.age_ns(operation, now_ns) < self.settings.resend_within_s * _SECOND_NS

    def sent_before_ns(self, operation: Operation) -> int:
        """When no copy of the request can be on its way any more.

        Every operation is written ahead with this as its first look: whatever happens to the task
        that sends it, recovery comes by.
        """
        return operation.created_at_ns + self.in_flight_ns(operation)

    def in_flight_ns(self, operation: Operation) -> int:
        """How long after its sending a copy of a request may still arrive."""
        account = self._directory.accounts.get(operation.account_id)
        timeout_ms = account.timeout_ms if account is not None else 60_000
        return timeout_ms * 1_000_000 + int(self.settings.settle_after_s * _SECOND_NS)

    def reversal_due(self, operation: Operation, connector_wait_s: int, now_ns: int) -> bool:
        """Whether waiting for a webhook has lasted long enough to reverse instead.

        Recovery also waits until no copy of the request can be on its way (`Parts.quiet`): it
        would arrive after the reversal had found nothing to reverse.
        """
        wait_s = self.settings.webhook_wait_s or connector_wait_s
        return self.age_ns(operation, now_ns) > wait_s * _SECOND_NS

    def keeps_rest(self, account_id: str) -> bool:
        """Whether what a final capture leaves over stays on hold there until it is cancelled."""
        account = self._directory.accounts.get(account_id)
        connector = self._directory.connectors.get(account.provider) if account else None
        if account is None or connector is None:
            return False
        return account.multi_capture and connector.traits.keeps_rest

    def capture_before_ns(self, account_id: str, now_ns: int) -> int:
        """When an authorization made now expires at the account's provider, if it did not say.

        An account that has left the configuration counts as one of the usual kind: without a time
        the hold would stand in our books for ever.
        """
        account = self._directory.accounts.get(account_id)
        valid_h = AUTHORIZATION_VALID_H if account is None else account.authorization_valid_h
        return now_ns + valid_h * _HOUR_NS
