"""The estimators against logged data whose truth is known, and the warnings where it cannot be."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from statistics import fmean

import pytest

from turnout.routing.replay import (
    DIRECT,
    DOUBLY_ROBUST,
    IPS,
    SELF_NORMALISED,
    Estimate,
    LoggedPayment,
    Option,
    Replay,
    Replayed,
)

ACCOUNTS = ("acc_a", "acc_b", "acc_c")
FEES = {"acc_a": 150.0, "acc_b": 80.0, "acc_c": 120.0}
# By kind of payment: the true approvals, how accounts were chosen, how the candidate would.
TRUTH = {"debit": (0.9, 0.7, 0.8), "credit": (0.6, 0.85, 0.7)}
LOGGED = {"debit": (0.6, 0.2, 0.2), "credit": (0.5, 0.3, 0.2)}
CANDIDATE = {"debit": (0.2, 0.2, 0.6), "credit": (0.05, 0.9, 0.05)}
WRONG = (0.5, 0.95, 0.3)

Three = tuple[float, float, float]


def truth(policy: dict[str, Three], worth: Callable[[str, int], float]) -> float:
    """A policy's value over payments of which half are debit."""
    return fmean(
        sum(policy[kind][at] * TRUTH[kind][at] * worth(ACCOUNTS[at], at) for at in range(3))
        for kind in TRUTH
    )


TRUE_CHANGE = truth(CANDIDATE, lambda _, __: 1.0) - truth(LOGGED, lambda _, __: 1.0)
TRUE_FEES = truth(CANDIDATE, lambda one, _: FEES[one]) - truth(LOGGED, lambda one, _: FEES[one])


def draw(
    seed: int,
    count: int,
    *,
    candidate: dict[str, Three] | None = None,
    guess: Callable[[str], Three] = TRUTH.__getitem__,
    told: Callable[[str], Three] = LOGGED.__getitem__,
) -> list[LoggedPayment]:
    """Payments as they were; `guess` and `told` say what was recorded of them."""
    dice = Random(seed)
    wanted = candidate or CANDIDATE
    found = []
    for _ in range(count):
        kind = dice.choice(("debit", "credit"))
        at = dice.choices(range(3), weights=LOGGED[kind])[0]
        options = {
            name: Option(told(kind)[i], wanted[kind][i], guess(kind)[i], FEES[name])
            for i, name in enumerate(ACCOUNTS)
        }
        approved = dice.random() < TRUTH[kind][at]
        found.append(LoggedPayment(ACCOUNTS[at], approved, options))
    return found


def replay(payments: list[LoggedPayment], seed: int = 1) -> Replayed:
    gathered = Replay(seed=seed)
    for one in payments:
        gathered.add(one)
    return gathered.result()


def holds(estimate: Estimate, true: float) -> bool:
    return estimate.low <= true <= estimate.high


@pytest.mark.parametrize(("count", "rounds"), [(300, 250), (60, 12)])
def test_the_intervals_cover_the_truth_as_often_as_they_say(count: int, rounds: int) -> None:
    covered = dict.fromkeys((IPS, SELF_NORMALISED, DOUBLY_ROBUST), 0)
    fees = dict(covered)
    for seed in range(rounds):
        found = replay(draw(seed, count))
        for one in covered:
            assert found.approval_changes[one].interval == (
                "normal" if count > 199 else "bootstrap"
            )
            covered[one] += holds(found.approval_changes[one], TRUE_CHANGE)
            fees[one] += holds(found.fee_changes[one], TRUE_FEES)
    least = 0.92 if rounds > 100 else 0.75
    for kind in (covered, fees):
        assert all(least <= one / rounds for one in kind.values()), kind


def errors(
    guess: Callable[[str], Three] = TRUTH.__getitem__,
    told: Callable[[str], Three] = LOGGED.__getitem__,
) -> dict[str, float]:
    """The mean error of each estimator over many rounds, in its own standard errors."""
    drawn = (draw(seed, 200, guess=guess, told=told) for seed in range(100))
    rounds = [replay(payments).approval_changes for payments in drawn]
    off: dict[str, float] = {}
    for one in (IPS, SELF_NORMALISED, DOUBLY_ROBUST, DIRECT):
        changes = [found[one].change - TRUE_CHANGE for found in rounds]
        mean = fmean(changes)
        spread = fmean((change - mean) ** 2 for change in changes) ** 0.5
        off[one] = abs(mean) / (spread / len(changes) ** 0.5)
    return off


def test_doubly_robust_is_right_where_only_the_propensities_are() -> None:
    off = errors(guess=lambda kind: WRONG)
    assert off[DOUBLY_ROBUST] < 3
    assert off[IPS] < 3
    assert off[DIRECT] > 10


def test_doubly_robust_is_right_where_only_the_estimates_are() -> None:
    off = errors(told=lambda kind: (0.34, 0.33, 0.33))
    assert off[DOUBLY_ROBUST] < 3
    assert off[IPS] > 10


def test_doubly_robust_is_the_surest_where_both_are_right() -> None:
    found = replay(draw(5, 2_000)).approval_changes
    width = {one: found[one].high - found[one].low for one in found}
    assert width[DOUBLY_ROBUST] < width[IPS]
    assert width[DIRECT] == 0


def test_the_same_policy_changes_nothing() -> None:
    found = replay(draw(7, 500, candidate=LOGGED))
    assert found.approval_changes[IPS].change == 0
    assert found.approval_changes[SELF_NORMALISED].change == pytest.approx(0, abs=1e-12)
    assert found.approval_changes[DIRECT].change == 0
    assert holds(found.approval_changes[DOUBLY_ROBUST], 0)
    assert (found.moved, found.different, found.no_support) == (0, 0, 0)
    assert found.effective == pytest.approx(500)
    assert found.shares_before == pytest.approx(found.shares_after)
    assert found.warnings == ()


def test_shares_and_moved_payments_are_what_the_probabilities_say() -> None:
    found = replay(draw(9, 1_000))
    assert sum(found.shares_before.values()) == pytest.approx(1)
    assert sum(found.shares_after.values()) == pytest.approx(1)
    # 0.4 of each debit and 0.6 of each credit payment; all of both have another likeliest one.
    assert 400 < found.moved < 600
    assert found.different == 1_000
    assert 0 < found.effective < 1_000
    assert found.approval == fmean(float(one.approved) for one in draw(9, 1_000))


def test_a_block_counts_as_a_decline() -> None:
    blocked = {"debit": (0.0, 0.0, 0.0), "credit": LOGGED["credit"]}
    payments = draw(11, 2_000, candidate=blocked)
    found = replay(payments)
    lost = sum(one.approved for one in payments if not any(
        option.candidate for option in one.options.values()))  # fmt: skip
    assert found.no_account == found.different > 900
    for one in (IPS, SELF_NORMALISED, DOUBLY_ROBUST):
        assert found.approval_changes[one].change == pytest.approx(-lost / 2_000, abs=0.01), one
    assert any("names no account" in one for one in found.warnings)


def test_choices_that_nothing_backs_are_told() -> None:
    narrow = dict.fromkeys(LOGGED, (1.0, 0.0, 0.0))
    candidate = {"debit": (0.0, 0.0, 1.0), "credit": (1.0, 0.0, 0.0)}
    payments = draw(13, 500, candidate=candidate, told=narrow.__getitem__)
    payments = [one for one in payments if one.account_id == "acc_a"]
    found = replay(payments)
    debit = sum(one.options["acc_c"].candidate == 1.0 for one in payments)
    assert found.no_support == debit > 100
    assert found.approval_changes[IPS].decisions == len(payments) - debit
    assert found.approval_changes[IPS].change == 0
    # The router's own estimates stand for what no payment tells.
    expected = fmean(
        0.8 - one.approved if one.options["acc_c"].candidate == 1.0 else 0.0 for one in payments
    )
    assert found.approval_changes[DOUBLY_ROBUST].change == pytest.approx(expected, abs=0.05)
    assert any("could not come first then" in one for one in found.warnings)


def test_a_thin_base_is_told() -> None:
    rare = dict.fromkeys(LOGGED, (0.994, 0.004, 0.002))
    candidate = dict.fromkeys(LOGGED, (0.0, 0.0, 1.0))
    payments = draw(15, 300, candidate=candidate, told=rare.__getitem__)
    thin = [one for one in payments if one.account_id == "acc_a"] + [
        one for one in payments if one.account_id == "acc_c"
    ][:2]
    warnings = replay(thin).warnings
    assert any("are worth 2 of the candidate's own" in one for one in warnings)
    assert any("one payment carries 50% of the weight" in one for one in warnings)


def test_recorded_probabilities_that_are_not_the_true_ones_are_told() -> None:
    payments = draw(17, 2_000, told=lambda kind: (0.1, 0.1, 0.8))
    assert any("believe none of it" in one for one in replay(payments).warnings)
    assert not any("believe" in one for one in replay(draw(17, 2_000)).warnings)


def test_estimates_that_payments_contradict_are_told() -> None:
    candidate = dict.fromkeys(LOGGED, (0.02, 0.02, 0.96))
    few = dict.fromkeys(LOGGED, (0.0, 0.0, 1.0))
    payments = draw(19, 800, candidate=candidate, guess=lambda kind: (0.7, 0.7, 0.7))
    assert not any("do not agree" in one for one in replay(payments).warnings)
    # Half of the decisions have no support, and what is believed of them is far off.
    lone = [
        LoggedPayment(
            one.account_id,
            one.approved,
            {
                name: Option(float(name == one.account_id), few["debit"][at], 0.05, 0.0)
                for at, name in enumerate(ACCOUNTS)
            },
        )
        for one in payments
        if one.account_id == "acc_a"
    ]
    assert any("do not agree" in one for one in replay(payments + lone).warnings)


def test_few_decisions_have_wide_intervals_and_a_warning() -> None:
    found = replay(draw(21, 40))
    assert found.approval_changes[DOUBLY_ROBUST].interval == "bootstrap"
    assert any(one.startswith("only 40 decisions") for one in found.warnings)
    again = replay(draw(21, 40))
    assert found == again
    one = replay(draw(23, 1)).approval_changes[IPS]
    assert (one.low, one.high, one.interval) == (float("-inf"), float("inf"), "none")


def test_nothing_to_replay_is_an_error() -> None:
    with pytest.raises(ValueError, match="no decision"):
        Replay().result()
