"""The core decides as the oracle does, on random rulesets, payments and pasts."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracle import generate
from tests.oracle.generate import ACCOUNTS, WORDS, coin, some
from tests.oracle.payment import Payment
from tests.oracle.routing import Approved, Seen, decide, hash64, takes
from turnout.domain.accounts import Fees, Objective
from turnout.routing import (
    AmountLimit,
    Decision,
    Permit,
    RoutingAccount,
    RoutingEngine,
    RoutingFacts,
    RoutingOutcome,
    RoutingProfile,
    compile_config,
)
from turnout.routing.rules import RulesetDocument

GATES = ("healthy", "probe", "at_capacity", "breaker_open", "rate_limited")
SECOND_NS = 10**9


def facts_of(payment: Payment, sticky_key: str | None) -> RoutingFacts:
    return RoutingFacts(
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        method=payment.method,
        capture_method=payment.capture_method,
        network=payment.network,
        funding=payment.funding,
        channel=payment.channel,
        three_ds=payment.three_ds,
        issuer_country=payment.issuer_country,
        billing_country=payment.billing_country,
        bin=payment.bin,
        recurring=payment.recurring,
        risk_score=payment.risk_score,
        metadata=payment.metadata,
        sticky_key=sticky_key,
    )


def routing_account(rng: Random, account_id: str) -> RoutingAccount:
    def words(fact: str) -> list[str]:
        # Mostly any: an account that takes nothing teaches nothing.
        return some(rng, WORDS[fact]) if rng.random() < 0.3 else []

    limits = (AmountLimit(None, 5_000), AmountLimit(100, None))
    return RoutingAccount(
        account_id,
        enabled=rng.random() < 0.9,
        networks=words("network"),
        currencies=words("currency"),
        countries=words("issuer_country"),
        amount_limits={rng.choice(WORDS["currency"]): rng.choice(limits)} if coin(rng) else {},
        max_in_flight=rng.choice([0, 0, 0, 1]),
        fees=Fees(
            bps=rng.choice([0.0, 40.0, 150.0]),
            fixed_minor=rng.choice([0.0, 25.0]),
            cross_border_bps=rng.choice([0.0, 100.0]),
            home_country="DE",
        ),
    )


@dataclass(frozen=True)
class World:
    accounts: dict[str, RoutingAccount]
    profile: RoutingProfile
    document: RulesetDocument


OBJECTIVES = (
    Objective(),
    Objective("cost"),
    Objective("latency"),
    Objective("value"),
    Objective("weighted", approval_per_fee_bps=0.001, approval_per_latency_s=0.05),
)


def always(rng: Random) -> dict[str, Any]:
    return {"fact": "method", "in": WORDS["method"]}


def counting(rng: Random) -> dict[str, Any]:
    """Caps and commitments that a short history reaches exactly, or nearly."""

    def cap() -> dict[str, Any]:
        found = generate.cap(rng)
        if "payments" in found:
            return found | {"payments": rng.randint(1, 2)}
        return found | {"amount_minor": rng.choice([100, 5_000, 5_100, 10_000])}

    found: dict[str, Any] = {}
    for key in generate.either(rng, "cap", "commit"):
        if key == "cap":
            found[key] = [cap(), cap()]
        else:
            found[key] = [generate.commit(rng) | {"payments": rng.randint(1, 8)} for _ in "ab"]
    return found


def world_of(rng: Random) -> World:
    order = rng.sample(ACCOUNTS, len(ACCOUNTS))
    cut = rng.randint(1, len(ACCOUNTS))
    tiers = [row for row in (order[:cut], order[cut:]) if row]
    document = generate.document(rng)
    if rng.random() < 0.3:
        document = generate.document(rng, when=always, then=counting, most_rules=2)
    if coin(rng):
        document = replace(document, objective=rng.choice(OBJECTIVES))
    return World(
        {one: routing_account(rng, one) for one in ACCOUNTS},
        RoutingProfile("pro_a", tiers, rng.choice(OBJECTIVES), coin(rng)),
        document,
    )


def make(world: World) -> RoutingEngine:
    profile = replace(world.profile, ruleset=world.document.to_mapping())
    return RoutingEngine(compile_config(list(world.accounts.values()), [profile]))


def live(engine: RoutingEngine, rng: Random, now_ns: int) -> tuple[list[Approved], int]:
    """Makes calls; some stay open. Gives back what was approved, and when it is now."""
    approved = []
    for account_id in rng.sample(ACCOUNTS, rng.choice([0, 0, 0, 1, 2, 4])):
        # Ill enough for its breaker to open.
        for _ in range(5):
            permit = engine.begin(account_id, now_ns=now_ns, required=True)
            assert isinstance(permit, Permit)
            engine.finish(permit, RoutingOutcome.TECHNICAL_ERROR, latency_ms=90, now_ns=now_ns)
    for at in range(rng.randint(0, 12)):
        payment = generate.payment(rng)
        facts = facts_of(payment, f"pay_{at}")
        made = engine.decide("pro_a", facts, decision_id="dec", now_ns=now_ns, seed=at)
        # Not always the first: every account shall have a past.
        for account_id in made.account_ids[: rng.choice([1, 1, 2])][-1:]:
            permit = engine.begin(account_id, now_ns=now_ns, decision=made)
            if isinstance(permit, Permit) and rng.random() < 0.8:
                outcome = rng.choice([RoutingOutcome.APPROVED, *RoutingOutcome])
                latency_ms = rng.choice([80.0, 400.0, 9_000.0])
                engine.finish(permit, outcome, latency_ms=latency_ms, now_ns=now_ns)
                if outcome is RoutingOutcome.APPROVED:
                    assert payment.amount_minor is not None
                    assert payment.currency is not None
                    approved.append(
                        Approved(account_id, payment.amount_minor, payment.currency, now_ns)
                    )
        now_ns += rng.choice([0, 0, 1, 3_600, 50_000, 400_000]) * SECOND_NS
    return approved, now_ns


def seen_by(record: bytes, world: World, payment: Payment) -> dict[str, Seen]:
    """The evidence in a record: each eligible account's key, five numbers and its gate."""
    found = {}
    at = 0
    for account_id in (one for row in world.profile.tiers for one in row):
        if takes(world.accounts[account_id], payment):
            at = record.index(hash64(account_id).to_bytes(8, "little"), at)
            approval, _, learnable_sd, failure, latency_ms, gate = struct.unpack_from(
                "<5fB", record, at + 8
            )
            found[account_id] = Seen(approval, learnable_sd, failure, latency_ms, GATES[gate])
            at += 29
    return found


def check_same(made: Decision, world: World, payment: Payment, approved: list[Approved]) -> None:
    seen = seen_by(made.record(), world, payment)
    answer = decide(
        world.accounts,
        world.profile,
        world.document,
        payment,
        seen,
        approved,
        made.seed,
        "pay_now",
    )
    blocked = made.blocked
    assert made.matched_rules == answer.matched_rules
    assert (None if blocked is None else (blocked.rule_id, blocked.reason)) == answer.blocked
    assert made.require_three_ds == answer.require_three_ds
    left_out = {one.account_id: one.reason for one in made.filtered}
    by_rule = {one: why for one, why in left_out.items() if why.startswith("rule_")}
    assert by_rule == answer.left_out
    ranked = made.ranked
    # Scores are sums of floats in two languages: near ties may fall either way.
    scores = dict(zip(answer.account_ids, answer.scores, strict=True))
    chances = dict(zip(answer.account_ids, answer.propensities, strict=True))
    assert {one.account_id for one in ranked} == set(scores)
    for one in ranked:
        assert abs(one.score - scores[one.account_id]) < 1e-9
        assert abs(one.propensity - chances[one.account_id]) < 1e-6
    assert list(made.account_ids) == answer.account_ids
    assert made.degraded == answer.degraded


@given(st.integers(0, 2**64 - 1))
@settings(max_examples=4 * settings().max_examples)
def test_the_core_decides_as_the_oracle_does(seed: int) -> None:
    rng = Random(seed)
    world = world_of(rng)
    engine = make(world)
    payment = generate.payment(rng)
    approved, now_ns = live(engine, rng, payment.now_ns)
    now = replace(payment, now_ns=now_ns)
    made = engine.decide(
        "pro_a", facts_of(now, "pay_now"), decision_id="dec", now_ns=now_ns, seed=seed
    )
    check_same(made, world, now, approved)
    again = engine.replay(made.record(), decision_id="dec")
    assert again.record() == made.record()
    assert again.ranked == made.ranked
