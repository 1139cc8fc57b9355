"""What the record keeps of attempts for the card schemes' rules about trying a card again.

Each attempt stands here from the commit that writes it ahead until it is known that it was
approved or never left; declined ones stay for as long as a rule looks back. So the counters are
the rows themselves: windows roll exactly, and none is counted twice or forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass, field


class AttemptRefused(Exception):
    """A limit is reached, or an attempt was declined since it was looked; nothing was written."""


@dataclass(slots=True)
class SchemeKeys:
    """Under which names an attempt is counted: keyed hashes, 16 bytes each.

    Attributes:
        card: the card; empty where no limit counts by it.
        acceptor: the card at one merchant.
        intent: the card at one merchant with one amount and currency.
    """

    card: bytes
    acceptor: bytes
    intent: bytes


@dataclass(slots=True)
class SchemeAttempt:
    """One attempt as the schemes count it.

    Attributes:
        expiry: the card's expiry date as year * 100 + month.
        declined_at_ns: 0 as long as its outcome is not known.
        final: the issuer's code forbids any further attempt with this card at this merchant.
        kept_until_ns: when it may be forgotten; 0 for an open or final one, which never is.
    """

    attempt_id: str
    card: bytes
    acceptor: bytes
    intent: bytes
    merchant_initiated: bool
    expiry: int
    sent_at_ns: int
    declined_at_ns: int = 0
    issuer_code: str = ""
    advice_code: str = ""
    final: bool = False
    kept_until_ns: int = 0


@dataclass(slots=True)
class AttemptLimit:
    """How many attempts may stand under one key, the one that is being added among them.

    Attributes:
        scope: `card` or `intent`.
        since_ns: only those sent after this count.
        apart: only those of the same initiator count.
    """

    scope: str
    since_ns: int
    attempts: int
    apart: bool = False


@dataclass(slots=True)
class AttemptCount:
    """An attempt to be counted in the commit that writes it ahead.

    Refused where one of the limits would be passed, where a final decline stands under its
    acceptor, or where the number of declines under its intent is not `declines_seen` any more.
    """

    attempt: SchemeAttempt
    limits: tuple[AttemptLimit, ...]
    declines_seen: int


@dataclass(slots=True)
class AttemptDecline:
    """An attempt of which it is now known that it was declined; see `SchemeAttempt`."""

    attempt_id: str
    declined_at_ns: int
    issuer_code: str
    advice_code: str
    final: bool
    kept_until_ns: int


@dataclass(slots=True)
class SchemeFacts:
    """What stands under an attempt's keys.

    Attributes:
        attempts: under the intent, oldest first.
        final: the newest final decline under the acceptor.
        card_sent_at_ns: when those under the card were sent, oldest first.
        card_open: how many of these have no outcome yet.

    False where nothing stands there, as for most payments.
    """

    attempts: list[SchemeAttempt] = field(default_factory=list)
    final: SchemeAttempt | None = None
    card_sent_at_ns: list[int] = field(default_factory=list)
    card_open: int = 0

    def __bool__(self) -> bool:
        return bool(self.attempts or self.card_sent_at_ns or self.final)
