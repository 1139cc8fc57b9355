"""One decision, in the core through Python and in the plain-Python oracle, in one run.

Ten accounts and a hundred rules of up to three conditions; both get the same payments, and are
held to the same answers before anything is measured. Run by `make bench-core`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from tests.oracle import generate
from tests.oracle.payment import Payment
from tests.oracle.routing import Seen, decide

from turnout.domain.accounts import Fees
from turnout.routing import (
    RoutingAccount,
    RoutingEngine,
    RoutingFacts,
    RoutingProfile,
    compile_config,
)
from turnout.routing.rules import RulesetDocument, from_mapping

ACCOUNTS = 10
RULES = 100
PAYMENTS = 100


def document() -> RulesetDocument:
    """A hundred rules, half of whose conditions are turned round."""
    rng = Random(1)
    keys = ("only", "priority", "split", "weight", "cheapest_within_points")
    rules = []
    for at in range(RULES):
        key = rng.choice(keys)
        rules.append(
            {
                "id": f"rule-{at}",
                "when": [generate.condition(rng) for _ in range(rng.randint(2, 3))],
                "then": {key: generate.OUTCOMES[key](rng)},
            }
        )
    return from_mapping({"mode": "first_match", "rules": rules})


RULESET = document()
IDS = [f"acc_{letter}" for letter in "abcdefghij"[:ACCOUNTS]]
ROSTER = {one: RoutingAccount(one, fees=Fees(bps=80, fixed_minor=10)) for one in IDS}
PROFILE = RoutingProfile("pro_a", [IDS[:5], IDS[5:]])
PAID = [generate.payment(Random(seed)) for seed in range(PAYMENTS)]


def facts_of(payment: Payment) -> RoutingFacts:
    """A payment as the engine takes it."""
    told = {name: getattr(payment, name) for name in Payment.__slots__ if name != "now_ns"}
    return RoutingFacts(**told, sticky_key="pay_1")


@pytest.fixture(scope="module")
def engine() -> RoutingEngine:
    """The core with the ruleset."""
    profile = replace(PROFILE, ruleset=RULESET.to_mapping())
    return RoutingEngine(compile_config(list(ROSTER.values()), [profile]))


def native(engine: RoutingEngine) -> Callable[[], list[str]]:
    """One decision by the core, as orchestration asks for it."""
    given = itertools.cycle([(facts_of(one), one.now_ns) for one in PAID])

    def one() -> list[str]:
        facts, now_ns = next(given)
        made = engine.decide("pro_a", facts, decision_id="dec_1", now_ns=now_ns, seed=7)
        return list(made.account_ids)

    return one


def oracle(engine: RoutingEngine) -> Callable[[], list[str]]:
    """The same decision in plain Python."""
    made = engine.decide("pro_a", RoutingFacts(), decision_id="dec_1", now_ns=0, seed=7)
    # A fresh router knows the same of every account: nothing but the prior.
    one = made.ranked[0]
    seen = dict.fromkeys(IDS, Seen(one.approval, 0.0, one.failure_rate, 0.0, "healthy"))
    given = itertools.cycle(PAID)
    return lambda: decide(ROSTER, PROFILE, RULESET, next(given), seen, (), 7, "pay_1").account_ids


def test_both_answer_alike(engine: RoutingEngine) -> None:
    """What is compared does the same."""
    here, there = native(engine), oracle(engine)
    assert [sorted(here()) for _ in PAID] == [sorted(there()) for _ in PAID]


@pytest.mark.parametrize("side", [native, oracle], ids=["native", "oracle"])
def test_decide(benchmark: Any, engine: RoutingEngine, side: Callable[..., Any]) -> None:
    """Rounds as long as the set of payments, so that each measures the same mix."""
    benchmark.pedantic(side(engine), rounds=20, iterations=PAYMENTS, warmup_rounds=1)
