"""What another ruleset would have done with yesterday's payments: off-policy evaluation.

Each recorded decision says exactly how probable each account was to come first, and the payment
says what became of the one that did. So the approvals and fees that a candidate would have had can
be estimated without sending it a single payment, and with an honest interval. Everything here is
about first attempts; what a cascade saves is not replayed.

Four estimators of the change from what was done to what the candidate would have done:

- inverse propensity scoring (`ips`): each payment weighs as much more or less as the candidate
  would have sent it there (D. G. Horvitz, D. J. Thompson, A generalization of sampling without
  replacement from a finite universe, JASA 1952);
- the same over the sum of the weights (`self_normalised`: A. Swaminathan, T. Joachims, The
  self-normalized estimator for counterfactual learning, NIPS 2015), slightly biased and steadier;
- doubly robust (`doubly_robust`: M. Dudik, J. Langford, L. Li, Doubly robust policy evaluation and
  learning, ICML 2011): the recorded estimates of approval, corrected by what the payments showed;
  right where either the propensities or the estimates are;
- the recorded estimates alone (`direct`): what the router believed, for comparison. Payments do
  not correct it, so it has no interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from statistics import fmean
from typing import NamedTuple, TypeVar

T = TypeVar("T")
# Two-sided, 95 percent of a normal distribution.
_Z = 1.959964
# With fewer decisions the sum is not yet normal enough, and intervals come from resampling.
_NORMAL_FROM = 200
_RESAMPLES = 1_000
# An account that the candidate puts first this much more often than it came first has no support:
# a single payment would weigh so much that no interval would be honest.
MOST_WEIGHT = 1_000.0
# What the candidate may do without support in a decision that counts as supported.
_NEGLIGIBLE = 1e-3
_SAME = 1e-9

# Below these a warning is given.
_FEW = 100
_EFFECTIVE_LEAST = 50.0
_HEAVIEST_MOST = 0.1
_UNSUPPORTED_MOST = 0.01
# By how many standard errors the mean weight may be off 1.
_WEIGHT_SIGMAS = 4.0

# Of a supported decision: weight, what came of it, the sum of the candidate's probabilities.
_Told = tuple[float, float, float]

IPS = "ips"
SELF_NORMALISED = "self_normalised"
DOUBLY_ROBUST = "doubly_robust"
DIRECT = "direct"

NORMAL = "normal"
BOOTSTRAP = "bootstrap"
NO_INTERVAL = "none"


@dataclass(frozen=True, slots=True)
class Option:
    """An account that could have taken a payment, as it was known then.

    Attributes:
        logged: probability with which it came first.
        candidate: probability with which the candidate would have put it first.
        approval: estimated probability that a call there is approved, failures counted in.
        fee_bps: what an approved payment would cost there, in basis points of its amount.
    """

    logged: float
    candidate: float
    approval: float
    fee_bps: float


@dataclass(frozen=True, slots=True)
class LoggedPayment:
    """A decision with its outcome.

    Attributes:
        account_id: where the first attempt went; one of `options`.
        approved: whether it was approved.
        options: by account id. The candidate's probabilities sum to 1, or to 0 where it would
            have named no account (a block, or nobody left).
    """

    account_id: str
    approved: bool
    options: Mapping[str, Option]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A change, candidate minus what was done.

    Attributes:
        change: of approvals: in probability; of fees: in basis points of the amount.
        low, high: 95 percent interval; equal to `change` where there is none.
        interval: normal (empirical variance), bootstrap (percentiles), or none.
        decisions: how many it rests on.
    """

    change: float
    low: float
    high: float
    interval: str
    decisions: int


@dataclass(frozen=True, slots=True)
class Replayed:
    """What replaying decisions under a candidate tells.

    Attributes:
        decisions: how many were used.
        approval: share of first attempts that were approved.
        fee_bps: what they cost, in basis points of the amount; a declined one costs nothing.
        approval_changes: by estimator.
        fee_changes: by estimator, in basis points of the amount.
        moved: how many payments would be expected to go to another account.
        different: decisions in which another account would be the likeliest first one.
        no_support: decisions in which the candidate may put an account first that could not have
            come first then. No payment tells what would have happened: `ips` and
            `self_normalised` leave them out, `doubly_robust` takes the estimates there.
        no_account: decisions in which the candidate names no account; they count as declined.
        effective: of how many decisions made by the candidate itself the supported ones are worth
            (L. Kish, Survey sampling, 1965: square of the sum of weights by sum of squares).
        shares_before, shares_after: of first places, by account.
        warnings: why the figures cannot be trusted, in words; read them first.
    """

    decisions: int
    approval: float
    fee_bps: float
    approval_changes: Mapping[str, Estimate]
    fee_changes: Mapping[str, Estimate]
    moved: float
    different: int
    no_support: int
    no_account: int
    effective: float
    shares_before: Mapping[str, float]
    shares_after: Mapping[str, float]
    warnings: tuple[str, ...]


@dataclass(slots=True)
class _Column:
    """One kind of reward (approval or fee), a number for each decision.

    Attributes:
        seen: what came of the attempt.
        guessed: what was expected of it.
        hoped: what is expected under the candidate.
        believed: what is expected under what was done.
    """

    seen: list[float] = field(default_factory=list)
    guessed: list[float] = field(default_factory=list)
    hoped: list[float] = field(default_factory=list)
    believed: list[float] = field(default_factory=list)

    def add(self, payment: LoggedPayment, worth: Callable[[Option], float], one: float) -> None:
        """One decision: `worth` is an option's expected reward, `one` what came of it."""
        options = payment.options.values()
        self.seen.append(one)
        self.guessed.append(worth(payment.options[payment.account_id]))
        self.hoped.append(math.fsum(o.candidate * worth(o) for o in options))
        self.believed.append(math.fsum(o.logged * worth(o) for o in options))


class Replay:
    """Gathers decisions one by one and keeps some numbers of each, not the decision."""

    def __init__(self, *, seed: int = 1) -> None:
        """Begins empty; `seed` is for the bootstrap of small samples."""
        self._random = Random(seed)
        self._weights: list[float] = []
        self._masses: list[float] = []
        self._off = self._off_variance = 0.0
        self._supported: list[int] = []
        self._approval = _Column()
        self._fee = _Column()
        self._before: dict[str, list[float]] = {}
        self._moved: list[float] = []
        self._different = 0
        self._no_account = 0

    def __len__(self) -> int:
        return len(self._weights)

    def add(self, payment: LoggedPayment) -> None:
        """Takes one decision in.

        Raises:
            KeyError: the attempt's account is none of the options.
        """
        taken, options = payment.options[payment.account_id], payment.options.values()
        self._approval.add(payment, _approval, float(payment.approved))
        self._fee.add(payment, _fee, taken.fee_bps if payment.approved else 0.0)
        backed = [one for one in options if one.candidate <= MOST_WEIGHT * one.logged]
        mass = math.fsum(one.candidate for one in backed)
        weight = 0.0
        if taken.candidate and taken.candidate <= MOST_WEIGHT * taken.logged:
            weight = taken.candidate / taken.logged
        if math.fsum(one.candidate for one in options) - mass <= _NEGLIGIBLE:
            self._supported.append(len(self._weights))
            self._off += weight - mass
            # What the weight's variance is, if the recorded probabilities are the true ones.
            square = math.fsum(one.candidate**2 / one.logged for one in backed if one.candidate)
            self._off_variance += square - mass**2
        # Without support nothing is corrected (weight 0): the estimates stand there.
        self._weights.append(weight)
        self._masses.append(mass)
        for account_id, option in payment.options.items():
            sums = self._before.setdefault(account_id, [0.0, 0.0])
            sums[0] += option.logged
            sums[1] += option.candidate
        self._moved.append(math.fsum(max(o.logged - o.candidate, 0.0) for o in options))
        if not any(one.candidate > _SAME for one in options):
            self._no_account += 1
            self._different += 1
        elif _likeliest(payment, _logged) != _likeliest(payment, _candidate):
            self._different += 1

    def result(self) -> Replayed:
        """The estimates over all that was taken in.

        Raises:
            ValueError: nothing was.
        """
        count = len(self)
        if not count:
            raise ValueError("there is no decision to replay")
        weights = [self._weights[at] for at in self._supported]
        squares = math.fsum(one * one for one in weights)
        effective = math.fsum(weights) ** 2 / squares if squares else 0.0
        found = Replayed(
            count,
            fmean(self._approval.seen),
            fmean(self._fee.seen),
            self._changes(self._approval),
            self._changes(self._fee),
            math.fsum(self._moved),
            self._different,
            count - len(self._supported),
            self._no_account,
            effective,
            {one: sums[0] / count for one, sums in sorted(self._before.items())},
            {one: sums[1] / count for one, sums in sorted(self._before.items())},
            (),
        )
        off = _Off(
            self._off / max(len(weights), 1), self._off_variance / max(len(weights), 1) ** 2
        )
        return replace(found, warnings=tuple(_warnings(found, weights, off)))

    def _changes(self, column: _Column) -> dict[str, Estimate]:
        """By estimator."""
        seen, weights = column.seen, self._weights
        told = [(weights[at], seen[at], self._masses[at]) for at in self._supported]
        robust = [
            hoped + weight * (one - guessed) - one
            for weight, one, guessed, hoped in zip(
                weights, seen, column.guessed, column.hoped, strict=True
            )
        ]
        direct = fmean(column.hoped) - fmean(column.believed)
        return {
            DOUBLY_ROBUST: self._of_mean(robust),
            SELF_NORMALISED: self._of_ratio(told),
            IPS: self._of_mean([(weight - 1.0) * one for weight, one, _ in told]),
            DIRECT: Estimate(direct, direct, direct, NO_INTERVAL, len(seen)),
        }

    def _of_mean(self, terms: Sequence[float]) -> Estimate:
        count = len(terms)
        if count < 2:
            return _unknown(count)
        mean = fmean(terms)
        if count < _NORMAL_FROM:
            return self._bootstrap(mean, terms, fmean)
        variance = math.fsum((one - mean) ** 2 for one in terms) / (count - 1)
        return _normal(mean, variance, count)

    def _of_ratio(self, told: Sequence[_Told]) -> Estimate:
        """The self-normalised value minus the mean; variance by linearisation (delta method)."""
        count = len(told)
        if count < 2 or not any(weight for weight, _, _ in told):
            return _unknown(count)
        change = _ratio(told)
        if count < _NORMAL_FROM:
            return self._bootstrap(change, told, _ratio)
        weight, mass = fmean(one[0] for one in told), fmean(one[2] for one in told)
        value = math.fsum(w * one for w, one, _ in told) / (weight * count)
        terms = [
            mass * w * (one - value) / weight + (m - mass) * value - one for w, one, m in told
        ]
        mean = fmean(terms)
        variance = math.fsum((one - mean) ** 2 for one in terms) / (count - 1)
        return _normal(change, variance, count)

    def _bootstrap(
        self, value: float, rows: Sequence[T], of: Callable[[Sequence[T]], float]
    ) -> Estimate:
        """Percentiles over resampled decisions (B. Efron, Bootstrap methods, 1979)."""
        count = len(rows)
        drawn = sorted(of(self._random.choices(rows, k=count)) for _ in range(_RESAMPLES))
        low, high = drawn[int(0.025 * _RESAMPLES)], drawn[int(0.975 * _RESAMPLES) - 1]
        return Estimate(value, min(low, value), max(high, value), BOOTSTRAP, count)


def _approval(option: Option) -> float:
    return option.approval


def _fee(option: Option) -> float:
    return option.approval * option.fee_bps


def _logged(option: Option) -> float:
    return option.logged


def _candidate(option: Option) -> float:
    return option.candidate


def _likeliest(payment: LoggedPayment, of: Callable[[Option], float]) -> str:
    # By id where two are equal, so that equal policies never differ.
    return max(sorted(payment.options), key=lambda one: of(payment.options[one]))


def _ratio(told: Sequence[_Told]) -> float:
    """Weighted mean, times how often the candidate names an account at all, minus the mean."""
    weights = math.fsum(weight for weight, _, _ in told)
    before = fmean(one for _, one, _ in told)
    if weights <= 0.0:
        return -before
    value = math.fsum(weight * one for weight, one, _ in told) / weights
    return value * fmean(mass for _, _, mass in told) - before


def _normal(value: float, variance: float, count: int) -> Estimate:
    half = _Z * math.sqrt(variance / count)
    return Estimate(value, value - half, value + half, NORMAL, count)


def _unknown(count: int) -> Estimate:
    """No decision tells anything: no change, and an interval that says so."""
    return Estimate(0.0, -math.inf, math.inf, NO_INTERVAL, count)


class _Off(NamedTuple):
    """How far the mean weight is from what it must be, and the variance that this should have."""

    mean: float
    variance: float


def _warnings(found: Replayed, weights: Sequence[float], off: _Off) -> Iterator[str]:
    """What makes the figures doubtful."""
    if abs(off.mean) > _WEIGHT_SIGMAS * math.sqrt(max(off.variance, 0.0)) + _SAME:
        yield (
            f"the weights are {off.mean:+.2f} off what they must be on average: the recorded "
            "probabilities are not those by which accounts were chosen, so believe none of it"
        )
    yield from _of_support(found)
    if found.moved >= 1.0 and found.effective < _EFFECTIVE_LEAST:
        yield (
            f"the supported decisions are worth {found.effective:.0f} of the candidate's own: "
            "the intervals of inverse propensity and self-normalised may be too narrow; take a "
            "longer time"
        )
    total = math.fsum(weights)
    if total > 0.0 and max(weights) > _HEAVIEST_MOST * total:
        yield (
            f"one payment carries {max(weights) / total:.0%} of the weight: the candidate chooses "
            "what hardly ever came first"
        )
    robust = found.approval_changes[DOUBLY_ROBUST]
    weighted = found.approval_changes[SELF_NORMALISED]
    if robust.low > weighted.high or robust.high < weighted.low:
        yield (
            "doubly robust and self-normalised do not agree: the estimates of approval are wrong "
            "for these payments, or too few payments tell of the candidate's choices"
        )


def _of_support(found: Replayed) -> Iterator[str]:
    if found.decisions < _FEW:
        yield (f"only {found.decisions} decisions: the intervals are rough; take a longer time")
    share = found.no_support / found.decisions
    if share > _UNSUPPORTED_MOST:
        yield (
            f"in {found.no_support} of {found.decisions} decisions ({share:.0%}) the candidate "
            "may put an account first that could not come first then: no payment tells what "
            "would have happened, and there doubly robust is the router's own estimate; give the "
            "candidate a small share of real payments first (a split) and replay those"
        )
    if found.no_account:
        yield (
            f"in {found.no_account} decisions the candidate names no account: those payments "
            "would be refused"
        )
