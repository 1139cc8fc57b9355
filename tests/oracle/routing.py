"""Who is asked, in which order, with which propensities: docs/routing.md and docs/rules.md.

Given what was seen of each account, and what each was approved, everything else follows.
"""

from __future__ import annotations

import calendar
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tests.oracle.matching import lower, matching
from tests.oracle.payment import Payment
from turnout.domain.accounts import Fees, Objective
from turnout.routing.rules import Cap, Commit, Outcomes, RulesetDocument
from turnout.routing.snapshot import RoutingAccount, RoutingProfile

CALLABLE = ("healthy", "probe")
ILL = "breaker_open"
NEAR_BEST, TEMPERATURE, OPTIMISM, CASCADE_OPTIMISM = 0.02, 0.001, 0.5, 1.5
MASK = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of an account at the moment of a decision."""

    approval: float
    learnable_sd: float
    failure_rate: float
    latency_ms: float
    gate: str


@dataclass(frozen=True, slots=True)
class Approved:
    """An authorization of the profile that was approved."""

    account: str
    amount_minor: int
    currency: str
    at_ns: int


@dataclass(slots=True)
class Answer:
    """A decision."""

    account_ids: list[str] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    propensities: list[float] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    matched_rules: tuple[str, ...] = ()
    blocked: tuple[str, str] | None = None
    require_three_ds: bool = False
    degraded: bool = False


@dataclass(slots=True)
class Wanted:
    """What all rules that count want together."""

    blocked: tuple[str, str] | None = None
    only: set[str] | None = None
    exclude: set[str] = field(default_factory=set)
    priority: tuple[tuple[str, ...], ...] = ()
    split: tuple[str, Mapping[str, int]] | None = None
    weight: dict[str, float] = field(default_factory=dict)
    cap: list[Cap] = field(default_factory=list)
    commit: list[Commit] = field(default_factory=list)
    cheapest_within_points: float | None = None
    require_three_ds: bool = False

    def add(self, rule_id: str, outcomes: Outcomes) -> None:
        if outcomes.only:
            kept = set(outcomes.only)
            self.only = kept if self.only is None else self.only & kept
        self.exclude |= set(outcomes.exclude)
        for account, weight in outcomes.weight.items():
            self.weight[account] = self.weight.get(account, 0.0) + weight
        self.cap += outcomes.cap
        self.commit += outcomes.commit
        self.require_three_ds |= outcomes.require_three_ds
        if outcomes.block and self.blocked is None:
            self.blocked = (rule_id, outcomes.block)
        self.priority = self.priority or outcomes.priority
        if outcomes.split and self.split is None:
            self.split = (rule_id, outcomes.split)
        if self.cheapest_within_points is None:
            self.cheapest_within_points = outcomes.cheapest_within_points


@dataclass(slots=True)
class Candidate:
    """An account that takes the payment."""

    account: RoutingAccount
    tier: int
    seen: Seen
    fee_minor: float
    score: float = 0.0
    hope: float = 0.0
    propensity: float = 0.0

    @property
    def callable(self) -> bool:
        return self.seen.gate in CALLABLE


def decide(
    accounts: Mapping[str, RoutingAccount],
    profile: RoutingProfile,
    document: RulesetDocument | None,
    payment: Payment,
    seen: Mapping[str, Seen],
    approved: Sequence[Approved],
    seed: int,
    sticky_key: str | None,
) -> Answer:
    """The whole way from a payment to a ranking."""
    wanted, answer = Wanted(), Answer()
    if document is not None:
        rules = matching(document, payment)
        answer.matched_rules = tuple(rule.id for rule in rules)
        for rule in rules:
            wanted.add(rule.id, rule.then)
        if not rules and document.otherwise is not None:
            wanted.add("otherwise", document.otherwise)
    answer.blocked, answer.require_three_ds = wanted.blocked, wanted.require_three_ds
    candidates = []
    for tier, row in enumerate(profile.tiers):
        for account_id in row:
            account = accounts[account_id]
            if not takes(account, payment):
                continue
            reason = refused(account_id, wanted, payment, approved)
            if reason:
                answer.left_out[account_id] = reason
            elif wanted.blocked is None:
                place = tier_of(account_id, wanted, tier)
                fee = fee_minor(account.fees, payment)
                candidates.append(Candidate(account, place, seen[account_id], fee))
    own = None if document is None else document.objective
    score(candidates, own or profile.objective, payment, wanted)
    lagging = behind(wanted.commit, payment, approved)
    sticky = seed if sticky_key is None else hash64(sticky_key)
    candidates = rank(candidates, profile.explore, wanted, lagging, seed, sticky)
    answer.account_ids = [one.account.id for one in candidates]
    answer.scores = [one.score for one in candidates]
    answer.propensities = [one.propensity for one in candidates]
    answer.degraded = bool(candidates) and not candidates[0].callable
    return answer


def takes(account: RoutingAccount, payment: Payment) -> bool:
    """Whether an account takes a payment; what is unknown excludes nobody."""
    lists = (
        (account.methods, payment.method),
        (account.networks, payment.network),
        (account.currencies, payment.currency),
        (account.countries, payment.issuer_country),
    )
    for words, word in lists:
        if words and word is not None and lower(word) not in [lower(one) for one in words]:
            return False
    limit = account.amount_limits.get(payment.currency or "")
    if limit is not None and payment.amount_minor is not None:
        if limit.min_minor is not None and payment.amount_minor < limit.min_minor:
            return False
        if limit.max_minor is not None and payment.amount_minor > limit.max_minor:
            return False
    return account.enabled


def refused(
    account_id: str, wanted: Wanted, payment: Payment, approved: Sequence[Approved]
) -> str:
    """Why rules leave an account out; "" where they do not."""
    if wanted.only is not None and account_id not in wanted.only:
        return "rule_only"
    if account_id in wanted.exclude:
        return "rule_exclude"
    for cap in wanted.cap:
        if cap.account == account_id and reached(cap, payment, approved):
            return "rule_cap"
    return ""


def reached(cap: Cap, payment: Payment, approved: Sequence[Approved]) -> bool:
    past = within(cap.account, cap.per, payment, approved)
    if cap.payments is not None:
        return len(past) >= cap.payments
    assert cap.amount_minor is not None
    return sum(x.amount_minor for x in past if x.currency == cap.currency) >= cap.amount_minor


def moment(now_ns: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=now_ns / 1_000)


def within(
    account: str, per: str, payment: Payment, approved: Sequence[Approved]
) -> list[Approved]:
    """What an account was approved in the payment's day or month, by UTC."""
    digits = {"day": "%Y-%m-%d", "month": "%Y-%m"}[per]
    now = moment(payment.now_ns).strftime(digits)
    return [
        one
        for one in approved
        if one.account == account and f"{moment(one.at_ns):{digits}}" == now
    ]


def behind(
    commits: Sequence[Commit], payment: Payment, approved: Sequence[Approved]
) -> list[Commit]:
    """Commitments behind the linear pace of their period, the furthest behind first."""
    now = moment(payment.now_ns)
    of_day = payment.now_ns % (86_400 * 10**9) / (86_400 * 10**9)
    days = calendar.monthrange(now.year, now.month)[1]
    passed = {"day": of_day, "month": (now.day - 1 + of_day) / days}
    lags = [
        (
            passed[one.per] - len(within(one.account, one.per, payment, approved)) / one.payments,
            one,
        )
        for one in commits
    ]
    late = [(lag, one) for lag, one in lags if lag > 0]
    return [one for _, one in sorted(late, key=lambda pair: -pair[0])]


def tier_of(account_id: str, wanted: Wanted, tier: int) -> int:
    if not wanted.priority:
        return tier
    for place, row in enumerate(wanted.priority):
        if account_id in row:
            return place
    return len(wanted.priority)


def fee_minor(fees: Fees, payment: Payment) -> float:
    """Fees in the payment's own currency; nothing is exchanged here."""
    amount = 10_000.0 if payment.amount_minor is None else float(payment.amount_minor)
    abroad = payment.issuer_country is None or payment.issuer_country != fees.home_country
    bps, fixed = fees.bps, fees.fixed_minor
    if abroad:
        bps += fees.cross_border_bps
    if fees.settlement_currencies and payment.currency not in fees.settlement_currencies:
        bps += fees.conversion_bps
    for line in fees.lines:
        if (
            line.network in ("", payment.network)
            and line.funding in ("", payment.funding)
            and line.issuer_country in ("", payment.issuer_country)
            and line.cross_border in (None, abroad)
        ):
            bps, fixed = bps + line.bps, fixed + line.fixed_minor
            break
    return amount * bps * 1e-4 + fixed


def score(
    candidates: Sequence[Candidate], objective: Objective, payment: Payment, wanted: Wanted
) -> None:
    """What an account is ranked by, and what one standard deviation of hope adds to it."""
    amount = 10_000.0 if payment.amount_minor is None else float(max(payment.amount_minor, 1))
    per_bps, per_s = {
        "weighted": (objective.approval_per_fee_bps, objective.approval_per_latency_s),
        "cost": (0.002, 0.0),
        "latency": (0.0, 0.1),
    }.get(objective.kind, (0.0, 0.0))
    value = objective.kind == "value"
    margin = amount * objective.margin_bps * 1e-4
    best = max([margin - one.fee_minor for one in candidates], default=0.0)
    for one in candidates:
        seconds = one.seen.latency_ms * 1e-3
        if value:
            scale = max(best, 1.0)
            gain = (margin - one.fee_minor) / scale
            waiting = objective.latency_minor_per_s * seconds / scale
        else:
            gain = 1.0 - per_bps * 1e4 * one.fee_minor / amount
            waiting = per_s * seconds
        works = 1.0 if one.seen.gate == "probe" else 1.0 - one.seen.failure_rate
        weight = wanted.weight.get(one.account.id, 0.0)
        one.score = one.seen.approval * works * gain - waiting + weight
        one.hope = one.seen.learnable_sd * max(works * gain, 0.0)


def rank(
    candidates: Sequence[Candidate],
    explore: bool,
    wanted: Wanted,
    lagging: Sequence[Commit],
    seed: int,
    sticky: int,
) -> list[Candidate]:
    """The order: who may be called, by tier and score; then the full; then the least ill."""
    next_optimism = CASCADE_OPTIMISM if explore else 0.0
    order = sorted(
        (one for one in candidates if one.callable),
        key=lambda one: (one.tier, -(one.score + next_optimism * one.hope)),
    )
    well = list(order)
    order += sorted(
        (one for one in candidates if not one.callable and one.seen.gate != ILL),
        key=lambda one: (one.tier, -one.score),
    )
    order += sorted(
        (one for one in candidates if one.seen.gate == ILL), key=lambda one: -one.score
    )
    if not well:
        for one in order[:1]:
            one.propensity = 1.0
        return order
    first = lead(well, explore, wanted, lagging, seed, sticky)
    return [first, *(one for one in order if one is not first)]


def lead(
    well: Sequence[Candidate],
    explore: bool,
    wanted: Wanted,
    lagging: Sequence[Commit],
    seed: int,
    sticky: int,
) -> Candidate:
    """Who is first of those that may be called, with everybody's chance of it."""
    tier = [one for one in well if one.tier == well[0].tier]
    if wanted.split is not None:
        rule_id, shares = wanted.split
        sharing = [one for one in well if one.account.id in shares]
        if sharing:
            return draw_split(sharing, rule_id, shares, sticky)
    best = max(one.score for one in well)
    for commit in lagging:
        for one in well:
            near = one.score >= best - commit.within_points * 0.01
            if one.account.id == commit.account and near:
                one.propensity = 1.0
                return one
    if wanted.cheapest_within_points is not None:
        least = max(one.score for one in tier) - wanted.cheapest_within_points * 0.01
        near_best = [one for one in tier if one.score >= least]
        cheapest = min(near_best, key=lambda one: (one.fee_minor, -one.score))
        cheapest.propensity = 1.0
        return cheapest
    return draw(tier, explore, unit(seed))


def draw_split(
    sharing: Sequence[Candidate], rule_id: str, shares: Mapping[str, int], sticky: int
) -> Candidate:
    """Weighted rendezvous: the earliest of exponential times, whose rates are the shares."""
    rule_seed = 0 if rule_id == "otherwise" else hash64(rule_id)
    start = mix64(rule_seed ^ mix64(sticky))
    total = sum(shares[one.account.id] for one in sharing)
    times = []
    for one in sharing:
        share = shares[one.account.id]
        one.propensity = share / total
        times.append(-math.log(1.0 - unit(start ^ hash64(one.account.id))) / share)
    return sharing[times.index(min(times))]


def draw(tier: Sequence[Candidate], explore: bool, at: float) -> Candidate:
    """The softmax over the near-best."""
    best = max(one.score for one in tier)
    near = [one for one in tier if one.score >= best - NEAR_BEST]
    if not explore:
        first = max(near, key=lambda one: one.score)
        first.propensity = 1.0
        return first
    hoped = [one.score + OPTIMISM * one.hope for one in near]
    parts = [math.exp((one - max(hoped)) / TEMPERATURE) for one in hoped]
    for one, part in zip(near, parts, strict=True):
        one.propensity = part / sum(parts)
    left = at * sum(parts)
    winner = near[0]
    for one, part in zip(near, parts, strict=True):
        if left >= 0 and part > 0:
            winner = one
        left -= part
    return winner


def unit(seed: int) -> float:
    """A number in [0, 1): one step of splitmix64."""
    return (mix64(seed + 0x9E3779B97F4A7C15 & MASK) >> 11) / 2**53


def mix64(z: int) -> int:
    """The finalizer of splitmix64."""
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
    return z ^ z >> 31


def hash64(text: str) -> int:
    """FNV-1a, then mixed."""
    found = 0xCBF29CE484222325
    for byte in text.encode():
        found = (found ^ byte) * 0x100000001B3 & MASK
    return mix64(found)
