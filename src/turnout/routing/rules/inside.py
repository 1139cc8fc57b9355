"""What can be told of one rule alone: its accounts, its conditions, its outcomes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from turnout.domain.money import EXPONENTS
from turnout.routing.rules.document import Condition, Outcomes, Rule
from turnout.routing.rules.facts import fold
from turnout.routing.rules.findings import Findings
from turnout.routing.rules.roster import Roster
from turnout.routing.rules.spaces import Values, answers, dimension_of
from turnout.routing.rules.values import nearest


def check_conditions(rule: Rule, path: str, findings: Findings) -> None:
    """Conditions that contradict or repeat each other, words that stand twice."""
    ids = (rule.id,)
    together: dict[str, Values] = {}
    told: set[str] = set()
    for at, condition in enumerate(rule.when):
        where = f"{path}.when[{at}]"
        if condition in rule.when[:at]:
            findings.warn(
                "duplicate_condition", where, ids, "stands in this rule before; delete one of them"
            )
            continue
        dimension = dimension_of(condition)
        yes = answers(condition)
        both = together[dimension].meet(yes) if dimension in together else yes
        if not both and dimension not in told:
            told.add(dimension)
            why = (
                f"and the conditions before it on {dimension} are never both fulfilled"
                if yes
                else "holds for no payment"
            )
            findings.error(
                "impossible_conditions",
                where,
                ids,
                f"{why}, so nothing can match this rule; join them into one condition with all "
                "the values that are meant, or make two rules",
            )
        together[dimension] = both
        for word in _twice(_folded(condition)):
            findings.warn(
                "duplicate_word", where, ids, f"{word!r} stands here twice; delete one of them"
            )
    _check_amounts(rule, path, findings)


def _folded(condition: Condition) -> Iterable[str]:
    if condition.fact == "metadata":
        return condition.in_
    return [fold(word) for word in condition.in_]


def _twice(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def _check_amounts(rule: Rule, path: str, findings: Findings) -> None:
    """10000 is 100.00 EUR, 10000 JPY and 10.000 KWD: an amount means little without a currency."""
    amounts = [at for at, one in enumerate(rule.when) if one.fact == "amount_minor"]
    if not amounts:
        return
    where = f"{path}.when[{amounts[0]}]"
    named = [one for one in rule.when if one.fact == "currency" and not one.not_]
    if not named:
        findings.warn(
            "amount_without_currency",
            where,
            (rule.id,),
            "the same minor units are another amount in each currency; add a condition that "
            "names the currencies that are meant",
        )
        return
    codes = [code.upper() for code in named[0].in_]
    if len({EXPONENTS[code] for code in codes}) > 1:
        findings.warn(
            "amount_in_currencies",
            where,
            (rule.id,),
            f"{', '.join(codes[:8])} do not all have as many decimal places, so the same minor "
            "units are amounts of another size; make a rule for each kind",
        )


def check_outcomes(
    outcomes: Outcomes, path: str, ids: tuple[str, ...], roster: Roster, findings: Findings
) -> None:
    """Accounts that are not there, outcomes that contradict each other."""
    for place, account_id in outcomes.accounts():
        _check_account(account_id, f"{path}.{place}", ids, roster, findings)
    for key, named in (("only", outcomes.only), ("exclude", outcomes.exclude)):
        for account_id in _twice(named):
            findings.warn(
                "duplicate_account",
                f"{path}.{key}",
                ids,
                f"{account_id} stands here twice; delete one of them",
            )
    _check_left(outcomes, path, ids, roster, findings)
    _check_block(outcomes, path, ids, findings)
    _check_commitments(outcomes, path, ids, findings)


def _check_account(
    account_id: str, path: str, ids: tuple[str, ...], roster: Roster, findings: Findings
) -> None:
    account = roster.accounts.get(account_id)
    own = f"known are {', '.join(roster.named)}" if roster.named else "the profile has none"
    if account is None:
        near = nearest(account_id, roster.named) if roster.named else own
        findings.error("account_unknown", path, ids, f"there is no account {account_id}; {near}")
    elif account_id in roster.named:
        if not account.enabled:
            findings.warn(
                "account_disabled",
                path,
                ids,
                f"{account_id} is disabled, so no payment goes there; enable it or take it out",
            )
    elif account.live is not roster.live:
        mode, other = ("live", "test") if roster.live else ("test", "live")
        findings.error(
            "account_wrong_mode",
            path,
            ids,
            f"{account_id} is a {other} account, and this policy is for {mode} payments; {own}",
        )
    else:
        findings.error(
            "account_not_in_profile",
            path,
            ids,
            f"{account_id} is not among the accounts of {roster.profile_id}; add it to the "
            f"profile's tiers or name another: {own}",
        )


def _check_left(
    outcomes: Outcomes, path: str, ids: tuple[str, ...], roster: Roster, findings: Findings
) -> None:
    kept = roster.kept(outcomes)
    if (outcomes.only or outcomes.exclude) and not outcomes.block:
        # Where the accounts do not exist that has been told already.
        known = all(one in roster.named for one in (*outcomes.only, *outcomes.exclude))
        if not kept and known:
            findings.error(
                "no_account_left",
                path,
                ids,
                "only and exclude leave no account; leave one, or say block and why",
            )
            return
    for key, named, grave in (
        ("split", tuple(outcomes.split), True),
        ("priority", tuple(one for tier in outcomes.priority for one in tier), False),
        ("weight", tuple(outcomes.weight), False),
        ("cap", tuple(one.account for one in outcomes.cap), False),
        ("commit", tuple(one.account for one in outcomes.commit), False),
    ):
        gone = sorted({one for one in named if one in roster.named and one not in kept})
        if not gone:
            continue
        what = f"{', '.join(gone)} cannot be chosen, because only or exclude leaves it out"
        if grave:
            findings.error(
                "split_excluded", f"{path}.{key}", ids, f"{what}; take it out of one of them"
            )
        else:
            findings.warn(
                "named_but_excluded", f"{path}.{key}", ids, f"{what}; take it out of one of them"
            )


def _check_block(outcomes: Outcomes, path: str, ids: tuple[str, ...], findings: Findings) -> None:
    others = outcomes.accounts() or outcomes.require_three_ds
    if outcomes.block and (others or outcomes.cheapest_within_points is not None):
        findings.warn(
            "block_with_others",
            f"{path}.block",
            ids,
            "a payment that is blocked goes nowhere, so the other outcomes do nothing; take out "
            "either",
        )


def _check_commitments(
    outcomes: Outcomes, path: str, ids: tuple[str, ...], findings: Findings
) -> None:
    for at, promised in enumerate(outcomes.commit):
        for cap in outcomes.cap:
            same = cap.account == promised.account and cap.per == promised.per
            if same and cap.payments is not None and cap.payments < promised.payments:
                findings.error(
                    "commit_above_cap",
                    f"{path}.commit[{at}]",
                    ids,
                    f"{promised.payments:,} payments a {cap.per} are promised, but the cap is "
                    f"{cap.payments:,}; raise the cap or lower the commitment",
                )
