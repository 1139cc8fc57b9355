"""Turns a decision into sentences: what filtered each account, and why the winner won."""

from __future__ import annotations

from dataclasses import dataclass

from turnout.routing.engine import Decision, RankedAccount

_GATES = {
    "healthy": "may be called",
    "probe": "was ill and gets a probe",
    "at_capacity": "is at its cap of open calls",
    "rate_limited": "has used up its calls a second",
    "breaker_open": "has an open breaker",
}


@dataclass(frozen=True, slots=True)
class AccountReason:
    """One account's part in a decision.

    Attributes:
        account_id: The account.
        place: Its place in the ranking from 1; None where it was filtered.
        text: Why.
        change: What would have put it first; empty for the first.
    """

    account_id: str
    place: int | None
    text: str
    change: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision in words: a sentence on the whole, and one for each account."""

    summary: str
    accounts: tuple[AccountReason, ...]


def explain(decision: Decision, *, ruled: bool = False) -> Explanation:
    """Explain a decision; a replayed one gives the same words.

    Args:
        decision: what was decided.
        ruled: a ruleset was followed, so that a rule may have given the first place.
    """
    ranked, filtered = decision.ranked, decision.filtered
    reasons = [
        AccountReason(
            account.account_id, place, _place_text(account), _change(account, ranked[0], ruled)
        )
        for place, account in enumerate(ranked, start=1)
    ]
    reasons += [
        AccountReason(out.account_id, None, out.text, _change_of_filter(out.reason))
        for out in filtered
    ]
    return Explanation(_summary(decision, ranked, len(filtered), ruled), tuple(reasons))


def brief(decision: Decision, *, ruled: bool = False) -> list[str]:
    """What a payment itself keeps of the reasons: the summary, and why accounts fell out."""
    filtered = decision.filtered
    return [
        _summary(decision, decision.ranked, len(filtered), ruled),
        *(f"{out.account_id}: {out.text}" for out in filtered),
    ]


def _place_text(account: RankedAccount) -> str:
    return (
        f"tier {account.tier + 1}, {_GATES[account.gate]}; estimated approval "
        f"{account.approval:.1%} (+-{1.96 * account.approval_sd:.1%}), technical failure "
        f"{account.failure_rate:.1%}, "
        f"score {account.score:.4f}; chance of the first place {account.propensity:.1%}"
    )


def _change_of_filter(reason: str) -> str:
    if reason.startswith("rule_"):
        return "another payment, or other rules"
    return "another payment, or another configuration"


def _change(account: RankedAccount, first: RankedAccount, ruled: bool) -> str:
    if account is first:
        return ""
    if account.gate != first.gate and account.gate not in ("healthy", "probe"):
        return f"not first while it {_GATES[account.gate]}"
    if ruled and account.propensity > 0:
        return f"another draw: its chance of the first place was {account.propensity:.1%}"
    if ruled and (account.tier < first.tier or account.score > first.score):
        return f"other rules: by its score it would not stand behind {first.account_id}"
    if account.tier > first.tier:
        return f"not first while an account of tier {first.tier + 1} may be called"
    if account.score >= first.score:
        return "another draw: its score is no lower than the first one's"
    if account.approval_to_lead is None:
        return "no approval would be enough: its fees or its failures weigh too much"
    return (
        f"an approval of {account.approval_to_lead:.1%}, "
        f"{account.approval_to_lead - account.approval:.1%} more than estimated"
    )


def _summary(
    decision: Decision, ranked: tuple[RankedAccount, ...], filtered: int, ruled: bool
) -> str:
    blocked = decision.blocked
    if blocked is not None:
        return f"Rule {blocked.rule_id} refuses the payment: {blocked.reason}."
    if not ranked:
        if not filtered:
            return "The profile has no accounts."
        return f"None of the profile's {filtered} accounts can take this payment."
    first = ranked[0]
    if decision.degraded:
        return f"No account may be called as it should; {first.account_id} is the least ill."
    if len(ranked) == 1:
        return f"{first.account_id} is the only account that can take this payment."
    return f"{first.account_id} stands first: {_why_first(first, ranked[1:], ruled)}."


def _why_first(first: RankedAccount, others: tuple[RankedAccount, ...], ruled: bool) -> str:
    callable_ = [other for other in others if other.gate in ("healthy", "probe")]
    if ruled and any(
        other.tier < first.tier or (other.tier == first.tier and other.score > first.score)
        for other in callable_
    ):
        # A split, a commitment, the cheapest, or the usual draw: the core does not say which.
        return f"by its rules or the draw, with chance {first.propensity:.1%}"
    rivals = [other for other in callable_ if other.tier == first.tier]
    if rivals:
        best = max(rivals, key=lambda rival: rival.score)
        if first.score >= best.score:
            return f"the best score of its tier, {first.score - best.score:.4f} before the next"
        return (
            f"drawn with chance {first.propensity:.1%} among the nearly equal, "
            f"{best.score - first.score:.4f} behind {best.account_id}"
        )
    preferred = [other for other in others if other.tier < first.tier]
    if preferred:
        passed = ", ".join(f"{other.account_id} {_GATES[other.gate]}" for other in preferred)
        return f"the best of the next tier, because {passed}"
    return "the only account of its tier, which is the most preferred that can take the payment"
