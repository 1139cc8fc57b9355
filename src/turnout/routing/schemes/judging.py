"""Whether a card may be tried now, by the schemes' rules. Pure: facts in, a verdict out."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from turnout.domain.declines import Decline
from turnout.ports import SchemeAttempt, SchemeFacts
from turnout.routing.schemes.book import Limit, SchemeRules, Until


class Reason(StrEnum):
    """Why an attempt is forbidden; stable, for machines."""

    HARD_DECLINE = "hard_decline"
    OUTCOME_UNKNOWN = "outcome_unknown"
    FINAL_CODE = "final_code"
    ADVICE = "advice"
    MEND_DATA = "mend_data"
    NO_ADVICE = "no_advice"
    LIMIT = "limit"


@dataclass(frozen=True, slots=True)
class Asked:
    """The attempt that is asked about.

    Attributes:
        merchant_initiated: the merchant starts the payment, without its customer.
        expiry: the card's expiry date as year * 100 + month.
        own: ids of the payment's earlier attempts.
        previous: the decline that this call has just seen; None where it has seen none.
    """

    now_ns: int
    merchant_initiated: bool
    expiry: int
    own: Collection[str] = ()
    previous: Decline | None = None


@dataclass(frozen=True, slots=True)
class Forbidden:
    """Why the attempt may not be made.

    Attributes:
        rule: which rule forbids it, such as `mastercard.advice_03`.
        not_before_ns: when it will be allowed as far as this rule goes; None where time alone
            does not help.
        count: for a limit: how many attempts stand.
        limit: for a limit: how many there may be.
        open: for a limit: how many of those that stand have no outcome yet.
    """

    rule: str
    reason: Reason
    told: str
    not_before_ns: int | None = None
    count: int = 0
    limit: int = 0
    open: int = 0

    @property
    def passing(self) -> bool:
        """Whether it may be over as soon as what is under way is known."""
        return self.reason is Reason.LIMIT and self.count - self.open < self.limit


def judge(rules: SchemeRules, facts: SchemeFacts, asked: Asked) -> Forbidden | None:
    """The first rule that forbids the attempt, or None where it may be made.

    Args:
        rules: those of the card's network at this time.
        facts: what stands under the attempt's keys, the payment's own attempts among it.
        asked: the attempt.
    """
    if not facts and asked.previous is None:
        return None
    return (
        _by_outcome(rules, facts, asked)
        or _by_final_code(rules, facts)
        or _by_advice(rules, facts, asked)
        or _by_data(rules, facts, asked)
        or _by_silence(rules, facts, asked)
        or _by_limits(rules, facts, asked)
        or _by_softness(rules, asked)
    )


def room(rules: SchemeRules, facts: SchemeFacts, asked: Asked) -> tuple[int, str]:
    """How many more attempts the limits leave, and the rule of the tightest one."""
    if not facts:
        return rules.most
    left = [
        (limit.attempts - len(_counted(limit, facts, asked)), limit.rule) for limit in rules.limits
    ]
    return min(left)


def _by_outcome(rules: SchemeRules, facts: SchemeFacts, asked: Asked) -> Forbidden | None:
    if any(not one.declined_at_ns and one.attempt_id in asked.own for one in facts.attempts):
        return Forbidden(
            f"{rules.scheme}.outcome_known",
            Reason.OUTCOME_UNKNOWN,
            "the outcome of an earlier attempt of this payment is not known",
        )
    return None


def _by_softness(rules: SchemeRules, asked: Asked) -> Forbidden | None:
    if asked.previous is None or asked.previous.soft:
        return None
    return Forbidden(
        f"{rules.scheme}.hard_decline", Reason.HARD_DECLINE, "the decline is a hard one"
    )


def _by_final_code(rules: SchemeRules, facts: SchemeFacts) -> Forbidden | None:
    if facts.final is None:
        return None
    return Forbidden(
        f"{rules.scheme}.final_code",
        Reason.FINAL_CODE,
        f"the issuer declined this card with {facts.final.issuer_code}, after which it is never "
        "tried again",
    )


def _by_advice(rules: SchemeRules, facts: SchemeFacts, asked: Asked) -> Forbidden | None:
    worst: Forbidden | None = None
    for one in facts.attempts:
        advice = rules.advice.get(one.advice_code)
        if advice is None or not one.declined_at_ns:
            continue
        ends_ns = one.declined_at_ns + advice.wait_ns
        if ends_ns <= asked.now_ns:
            continue
        if advice.until is Until.NEW_DETAILS and one.expiry != asked.expiry:
            continue
        if advice.until is Until.CUSTOMER and not (
            asked.merchant_initiated or one.attempt_id in asked.own
        ):
            continue
        if worst is None or ends_ns > (worst.not_before_ns or 0):
            worst = Forbidden(
                f"{rules.scheme}.advice_{one.advice_code}",
                Reason.ADVICE,
                f"the network's advice {one.advice_code} on an earlier decline still holds",
                ends_ns,
            )
    return worst


def _by_data(rules: SchemeRules, facts: SchemeFacts, asked: Asked) -> Forbidden | None:
    """Data is mended by the customer, or shows in another expiry date; else it is the same."""
    code = asked.previous.issuer_code if asked.previous is not None else ""
    ends_ns: int | None = None
    if code not in rules.mend_codes:
        if not asked.merchant_initiated:
            return None
        for one in facts.attempts:
            until_ns = one.declined_at_ns + rules.window_ns
            same = one.expiry == asked.expiry and one.issuer_code in rules.mend_codes
            if one.declined_at_ns and same and until_ns > asked.now_ns:
                code, ends_ns = one.issuer_code, until_ns
        if ends_ns is None:
            return None
    return Forbidden(
        f"{rules.scheme}.mend_data",
        Reason.MEND_DATA,
        f"the issuer declined these details with {code}: mend them, do not send them again",
        ends_ns,
    )


def _by_silence(rules: SchemeRules, facts: SchemeFacts, asked: Asked) -> Forbidden | None:
    own = [one for one in facts.attempts if one.declined_at_ns and one.attempt_id in asked.own]
    if not rules.unadvised_attempts or all(one.advice_code in rules.advice for one in own):
        return None
    most = 1 if asked.merchant_initiated else rules.unadvised_attempts
    if len(own) < most:
        return None
    return Forbidden(
        f"{rules.scheme}.no_advice",
        Reason.NO_ADVICE,
        f"the declines brought no advice code, and then a payment makes {most} attempts in all",
        None,
        len(own),
        most,
    )


def _by_limits(rules: SchemeRules, facts: SchemeFacts, asked: Asked) -> Forbidden | None:
    for limit in rules.limits:
        sent = _counted(limit, facts, asked)
        if len(sent) >= limit.attempts:
            return Forbidden(
                limit.rule,
                Reason.LIMIT,
                f"{len(sent)} attempts stand in the last {limit.window_ns // 3_600_000_000_000} h "
                f"for this {limit.scope}; {limit.attempts} are the most",
                sent[len(sent) - limit.attempts] + limit.window_ns,
                len(sent),
                limit.attempts,
                _open(limit, facts, asked),
            )
    return None


def _counted(limit: Limit, facts: SchemeFacts, asked: Asked) -> list[int]:
    """When the attempts that count against a limit were sent, oldest first."""
    since_ns = asked.now_ns - limit.window_ns
    if limit.scope == "card":
        return [one for one in facts.card_sent_at_ns if one > since_ns]
    return sorted(
        one.sent_at_ns
        for one in facts.attempts
        if one.sent_at_ns > since_ns and _same_side(limit, one, asked)
    )


def _open(limit: Limit, facts: SchemeFacts, asked: Asked) -> int:
    if limit.scope == "card":
        return facts.card_open
    return sum(
        1 for one in facts.attempts if not one.declined_at_ns and _same_side(limit, one, asked)
    )


def _same_side(limit: Limit, one: SchemeAttempt, asked: Asked) -> bool:
    return not limit.initiators_apart or one.merchant_initiated is asked.merchant_initiated
