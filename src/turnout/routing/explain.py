"""Turns a decision into sentences: what filtered each account, and why the winner won."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter

from turnout.routing.engine import Decision, RankedAccount

_GATES = {
    "healthy": "may be called",
    "probe": "was ill and gets a probe",
    "at_capacity": "is at its cap of open calls",
    "rate_limited": "has used up its calls a second",
    "breaker_open": "has an open breaker",
}
_CALLABLE = ("healthy", "probe")


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


def explain(decision: Decision) -> Explanation:
    """Explain a decision; a replayed one gives the same words."""
    ranked, filtered = decision.ranked, decision.filtered
    reasons = [
        AccountReason(
            account.account_id, place, _place_text(account), _change(account, ranked[0], decision)
        )
        for place, account in enumerate(ranked, start=1)
    ]
    reasons += [
        AccountReason(
            out.account_id, None, out.text, _change_of_filter(out.reason, _rules(decision))
        )
        for out in filtered
    ]
    return Explanation(_summary(decision, ranked, len(filtered)), tuple(reasons))


def brief(decision: Decision) -> list[str]:
    """What a payment itself keeps of the reasons: the summary, and why accounts fell out."""
    filtered = decision.filtered
    reasons = [_summary(decision, decision.ranked, len(filtered))]
    for out in filtered:
        reasons.append(f"{out.account_id}: {out.text}")
    return reasons


def _rules(decision: Decision) -> str:
    """What the payment's rules are called in a sentence."""
    matched = decision.matched_rules
    if not matched:
        return "the ruleset's otherwise"
    return f"rule {matched[0]}" if len(matched) == 1 else f"rules {', '.join(matched)}"


def _place_text(account: RankedAccount) -> str:
    by_rules = f" (rules add {account.weight:+.4f})" if account.weight else ""
    return (
        f"tier {account.tier + 1}, {_GATES[account.gate]}; estimated approval "
        f"{account.approval:.1%} (+-{1.96 * account.approval_sd:.1%}), technical failure "
        f"{account.failure_rate:.1%}, "
        f"score {account.score:.4f}{by_rules}; chance of the first place {account.propensity:.1%}"
    )


def _change_of_filter(reason: str, rules: str) -> str:
    if reason == "rule_only":
        return f"a place in the `only` of {rules}, or a payment with other facts"
    if reason == "rule_exclude":
        return f"no `exclude` of it in {rules}, or a payment with other facts"
    if reason == "rule_cap":
        return f"a higher cap in {rules}, or the next UTC day or month, where it counts anew"
    if reason == "no_evidence":
        return "a payment decided with this account: the record says nothing of it"
    return "another payment, or another configuration"


def _change(account: RankedAccount, first: RankedAccount, decision: Decision) -> str:
    if account is first:
        return ""
    if account.gate != first.gate and not _callable(account):
        return f"not first while it {_GATES[account.gate]}"
    by = decision.first_by
    if by == "split":
        if account.propensity > 0:
            return f"another draw: its chance of the first place was {account.propensity:.1%}"
        return f"a share in the split of {_rules(decision)}"
    if by == "commit":
        return f"not first while {first.account_id} lags behind its commitment"
    if account.tier > first.tier:
        return f"not first while an account of tier {first.tier + 1} may be called"
    if by == "cheapest_within_points":
        if account.fee_minor < first.fee_minor:
            return "a better score: it is cheaper, but too far below the best"
        return f"a fee below {first.fee_minor:.1f} minor units instead of {account.fee_minor:.1f}"
    if account.score >= first.score:
        return "another draw: its score is no lower than the first one's"
    if account.score - account.weight > first.score - first.weight:
        return f"no weights: without those of {_rules(decision)} its score would be the higher one"
    if account.approval_to_lead is None:
        return "no approval would be enough: its fees or its failures weigh too much"
    return (
        f"an approval of {account.approval_to_lead:.1%}, "
        f"{account.approval_to_lead - account.approval:.1%} more than estimated"
    )


def _callable(account: RankedAccount) -> bool:
    return account.gate in _CALLABLE


def _summary(decision: Decision, ranked: tuple[RankedAccount, ...], filtered: int) -> str:
    if not ranked:
        blocked = decision.blocked
        if blocked is not None:
            return f"Rule {blocked.rule_id} refuses the payment: {blocked.reason}."
        if not filtered:
            return "The profile has no accounts."
        return f"None of the profile's {filtered} accounts can take this payment."
    first = ranked[0]
    if decision.degraded:
        return f"No account may be called as it should; {first.account_id} is the least ill."
    if len(ranked) == 1:
        return f"{first.account_id} is the only account that can take this payment."
    why = _why_ruled(first, ranked, decision) or _why_first(first, ranked[1:], decision)
    return f"{first.account_id} stands first: {why}."


def _why_ruled(
    first: RankedAccount, ranked: tuple[RankedAccount, ...], decision: Decision
) -> str | None:
    """What outcome of a rule gave the first place; None where none did."""
    by = decision.first_by
    if by == "split":
        return f"drawn by the split of {_rules(decision)}, with chance {first.propensity:.1%}"
    if by == "commit":
        best = max(account.score for account in ranked if _callable(account))
        return (
            f"it lags behind its commitment in {_rules(decision)}, and its score is "
            f"{best - first.score:.4f} below the best"
        )
    if by == "cheapest_within_points":
        return (
            f"the cheapest, at {first.fee_minor:.1f} minor units, of those within the points of "
            f"{_rules(decision)}"
        )
    return None


_score = attrgetter("score")


def _why_first(first: RankedAccount, others: tuple[RankedAccount, ...], decision: Decision) -> str:
    tier = first.tier
    rivals = [other for other in others if other.tier == tier and other.gate in _CALLABLE]
    if rivals:
        best = max(rivals, key=_score) if len(rivals) > 1 else rivals[0]
        ahead = first.score - best.score
        if ahead >= 0:
            bare = first.score - first.weight
            weighed = False
            for rival in rivals:
                if bare < rival.score - rival.weight:
                    weighed = True
            by_rules = f" by the weights of {_rules(decision)}" if weighed else ""
            return f"the best score of its tier{by_rules}, {ahead:.4f} before the next"
        return (
            f"drawn with chance {first.propensity:.1%} among the nearly equal, "
            f"{best.score - first.score:.4f} behind {best.account_id}"
        )
    preferred = [other for other in others if other.tier < first.tier]
    if preferred:
        passed = ", ".join(f"{other.account_id} {_GATES[other.gate]}" for other in preferred)
        return f"the best of the next tier, because {passed}"
    return "the only account of its tier, which is the most preferred that can take the payment"
