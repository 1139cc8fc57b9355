"""The card schemes' rules on a payment's way: whether a card may be tried, and what is counted.

An attempt is counted in the commit that writes it ahead, so two payments at once cannot both take
the last place under a limit. Schemes count declined attempts only; therefore what was approved or
never left is given back in the commit that settles it. What is unknown stays counted meanwhile:
a limit may be felt too early for a moment, but is never passed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b

from turnout.domain.cards import CardFacts
from turnout.domain.declines import Decline, DeclineCode
from turnout.domain.errors import Overloaded, StateConflict
from turnout.domain.members import members
from turnout.domain.operation import Operation, OperationKind, OperationState
from turnout.domain.outcomes import Outcome, OutcomeKind
from turnout.domain.payment import Initiator, Payment
from turnout.ports import (
    AttemptCount,
    AttemptDecline,
    AttemptLimit,
    SchemeAttempt,
    SchemeFacts,
    SchemeKeys,
    Store,
    UnitOfWork,
)
from turnout.routing.schemes import Asked, Forbidden, SchemeRules, judge, room, rule_book

_Initiator = members(Initiator)
_Kind = members(OperationKind)
_State = members(OperationState)
_Outcome = members(OutcomeKind)
_Code = members(DeclineCode)

log = logging.getLogger(__name__)

_KEY_BYTES = 16
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_LIMIT = (1_000_000, "")
# Declines before anything was asked of the issuer.
_NEVER_ASKED = frozenset({_Code.ABANDONED_BY_CUSTOMER, _Code.AUTHENTICATION_FAILED})
_CLEARED = frozenset({_State.SUCCEEDED, _State.NOT_PROCESSED})


class Tally:
    """One payment's attempts under the rules of its card's scheme.

    Where the rules do not hold for it, everything is allowed and nothing is counted.
    """

    def __init__(
        self,
        payment: Payment,
        card: CardFacts,
        credential: Callable[[], bytes],
        now_ns: int,
        *,
        holds: bool,
    ) -> None:
        """Finds the rules and the keys; `look` reads what stands under them.

        Args:
            payment: to be authorized.
            card: what may be known of its card.
            credential: makes the vault's secret of that card.
            now_ns: the time by which the rules are chosen.
            holds: whether the rules hold for this payment.
        """
        self._holds = holds
        if not holds:
            # Nothing else is looked at then, and keys are dear.
            return
        self.rules: SchemeRules = rule_book().of(card.network, now_ns)
        self._payment = payment
        self._network = card.network.value
        self._expiry = card.expiry_year * 100 + card.expiry_month
        self._merchant_initiated = payment.details.initiator is _Initiator.MERCHANT
        self._keys = _keys(payment, credential(), counts_card=self.rules.card_window_ns > 0)
        self._facts = SchemeFacts()

    async def look(self, store: Store, now_ns: int) -> None:
        """Reads what stands under the payment's keys.

        Raises:
            StoreUnavailable: the record cannot be read now.
        """
        if self._holds:
            since_ns = now_ns - self.rules.card_window_ns
            self._facts = await store.scheme_facts(self._keys, since_ns)

    def forbids(self, now_ns: int, previous: Decline | None = None) -> Forbidden | None:
        """The rule that forbids an attempt now, or None.

        Args:
            now_ns: the present time.
            previous: the decline that this call has just seen.
        """
        if not self._holds or (previous is None and not self._facts):
            return None
        return judge(self.rules, self._facts, self._asked(now_ns, previous))

    def require(self, now_ns: int) -> None:
        """Refuses a first attempt that a rule forbids.

        Raises:
            StateConflict: SCHEME_RETRY_FORBIDDEN, with the rule and when it ends.
            Overloaded: SCHEME_COUNTERS_BUSY, where attempts under way hold the last places.
        """
        forbidden = self.forbids(now_ns)
        if forbidden is None:
            return
        if forbidden.passing:
            raise counters_busy(forbidden.rule)
        raise self._refusal(forbidden)

    def count(self, operation: Operation, now_ns: int) -> AttemptCount | None:
        """The attempt as it is to be counted in the commit that writes it ahead."""
        if not self._holds:
            return None
        facts, keys = self._facts, self._keys
        seen = sum(1 for one in facts.attempts if one.declined_at_ns) if facts.attempts else 0
        attempt = SchemeAttempt(
            operation.operation_id,
            keys.card,
            keys.acceptor,
            keys.intent,
            self._merchant_initiated,
            self._expiry,
            now_ns,
        )
        facts.attempts.append(attempt)
        facts.card_sent_at_ns.append(now_ns)
        facts.card_open += 1
        limits = tuple(
            AttemptLimit(one.scope, now_ns - one.window_ns, one.attempts, one.initiators_apart)
            for one in self.rules.limits
        )
        return AttemptCount(attempt, limits, seen)

    def heard(self, operation: Operation, outcome: Outcome, now_ns: int) -> None:
        """Notes what became of the attempt that was counted last, as its commit will."""
        if not self._holds:
            return
        facts = self._facts
        last = facts.attempts[-1]
        if outcome.kind in (_Outcome.NOT_PROCESSED, _Outcome.DECLINED):
            facts.card_open -= 1
        if outcome.kind is _Outcome.NOT_PROCESSED:
            facts.attempts.pop()
            facts.card_sent_at_ns.remove(last.sent_at_ns)
        elif outcome.kind is _Outcome.DECLINED and outcome.decline is not None:
            told = _declined(self.rules, operation.operation_id, outcome.decline, now_ns)
            last.declined_at_ns = told.declined_at_ns
            last.issuer_code, last.advice_code = told.issuer_code, told.advice_code
            if told.final:
                last.final = True
                facts.final = last

    def plan(self, accounts: Sequence[str], max_attempts: int, now_ns: int) -> str:
        """How many attempts there may be, in which order, and what bounds them."""
        left, rule = _NO_LIMIT
        unadvised = 0
        if self._holds:
            left, rule = self.rules.most
            if self._facts:
                left, rule = room(self.rules, self._facts, self._asked(now_ns, None))
            unadvised = self.rules.unadvised_attempts
            if unadvised and self._merchant_initiated:
                unadvised = 1
        return _plan(tuple(accounts), max_attempts, left, rule, unadvised)

    def _asked(self, now_ns: int, previous: Decline | None) -> Asked:
        own = [one.operation_id for one in self._payment.operations]
        return Asked(now_ns, self._merchant_initiated, self._expiry, own, previous)

    def _refusal(self, forbidden: Forbidden) -> StateConflict:
        metadata = {
            "network": self._network,
            "rule": forbidden.rule,
            "rule_reason": forbidden.reason.value,
        }
        if forbidden.limit:
            metadata["count"] = str(forbidden.count)
            metadata["limit"] = str(forbidden.limit)
        when = ""
        if forbidden.not_before_ns is not None:
            metadata["retry_after"] = _time(forbidden.not_before_ns)
            when = f", or with this one after {metadata['retry_after']}"
        return StateConflict(
            "SCHEME_RETRY_FORBIDDEN",
            f"the card's scheme forbids to try this card now: {forbidden.told} "
            f"({forbidden.rule}); nothing was stored or sent; pay with another card{when}",
            metadata=metadata,
        )


# Of most payments of a profile, plans are alike.
@lru_cache(maxsize=1_024)
def _plan(
    accounts: tuple[str, ...], max_attempts: int, left: int, rule: str, unadvised: int
) -> str:
    most, why = min(
        (max_attempts, "max_attempts of the profile"),
        (len(accounts), "there are no more accounts"),
        (left, rule),
        key=lambda one: one[0],
    )
    text = f"At most {most} attempts, in the order {', '.join(accounts)}: {why}"
    if 0 < unadvised < most:
        text += f"; {unadvised} where a decline brings no advice code"
    return text + "."


def counters_busy(rule: str) -> Overloaded:
    """The refusal where what is under way with this card has to be known first."""
    return Overloaded(
        "SCHEME_COUNTERS_BUSY",
        "payments with this card are under way, and until their outcomes are known the card's "
        f"scheme leaves no place for another ({rule}); nothing was stored; most are known "
        "within seconds, so call again then, or pay with another card",
        metadata={"rule": rule},
        retry_after_ms=1_000,
    )


def tell_settled(unit: UnitOfWork, payment: Payment, now_ns: int) -> None:
    """Adds to a unit what its operations' outcomes mean to the schemes' counters."""
    for operation in unit.operations:
        if operation.kind is not _Kind.AUTHORIZE:
            continue
        why = operation.decline
        asked = why is None or why.issuer_code or why.code not in _NEVER_ASKED
        if operation.state in _CLEARED or not asked:
            unit.uncounted.append(operation.operation_id)
        elif operation.state is _State.FAILED and why is not None:
            method = payment.method
            if method is not None and method.card is not None:
                rules = rule_book().of(method.card.network, now_ns)
                unit.declined.append(_declined(rules, operation.operation_id, why, now_ns))


def _declined(rules: SchemeRules, operation_id: str, why: Decline, now_ns: int) -> AttemptDecline:
    final = why.issuer_code in rules.final_codes
    return AttemptDecline(
        operation_id,
        now_ns,
        why.issuer_code,
        why.advice_code,
        final,
        0 if final else now_ns + rules.window_ns,
    )


def _keys(payment: Payment, credential: bytes, *, counts_card: bool) -> SchemeKeys:
    """Keyed hashes: without the vault's secret nobody can make them of a card number.

    Published test numbers belong to everybody, so in test mode a card is one merchant's own.
    """
    merchant = payment.merchant_id
    mode = "live" if payment.live else "test"
    owner = "" if payment.live else merchant

    def key(words: str) -> bytes:
        return blake2b(words.encode(), digest_size=_KEY_BYTES, key=credential).digest()

    return SchemeKeys(
        key(f"card|{mode}|{owner}") if counts_card else b"",
        key(f"acceptor|{mode}|{merchant}"),
        key(f"intent|{mode}|{payment.amount_minor}|{payment.currency}|{merchant}"),
    )


def _time(at_ns: int) -> str:
    """The first whole second after this time, as RFC 3339."""
    at = _EPOCH + timedelta(seconds=at_ns // 1_000_000_000 + 1)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
