"""What a decision costs through Python: medians and 99th percentiles of single calls.

    python -m loadtests.bench_core             a table
    JSON=1 python -m loadtests.bench_core      a line for each figure instead

Ten accounts, and rulesets of several sizes like those of `rust/core/benches/hot_path.rs`. The
clock's own cost is in every figure.
"""

from __future__ import annotations

import gc
import random
import time
from typing import Any

from loadtests.bench.figures import Figure, figure, tell
from turnout.routing import (
    Refusal,
    RoutingAccount,
    RoutingEngine,
    RoutingFacts,
    RoutingOutcome,
    RoutingProfile,
    compile_config,
)

COUNTRIES = ("GB", "US", "DE", "FR", "HK", "SG", "BR", "IN")
IDS = tuple(f"acc_{at:03}" for at in range(10))
ROUNDS = 50_000
WARM = 5_000


def ruleset(count: int, draw: random.Random) -> dict[str, Any] | None:
    """Rules as merchants write them: country and amount, and a BIN, a shop or hours."""
    if not count:
        return None
    rules = []
    for at in range(count):
        low = draw.randrange(90_000)
        third: dict[str, Any] = draw.choice(
            (
                {"fact": "bin", "prefix": [str(400_000 + draw.randrange(768))]},
                {"fact": "metadata", "key": "shop", "in": [f"shop_{draw.randrange(400)}"]},
                {"fact": "time", "zone": "Europe/Berlin", "from": f"{draw.randrange(24):02}:30"},
            )
        )
        when = [
            {"fact": "issuer_country", "in": [draw.choice(COUNTRIES)], "missing": "no_match"},
            {"fact": "amount_minor", "min": low, "max": low + 2_000},
            third if third["fact"] == "time" else {**third, "missing": "no_match"},
        ]
        rules.append({"id": f"r{at}", "when": when, "then": {"priority": [["acc_001"]]}})
    return {"mode": "first_match", "rules": rules}


def facts(draw: random.Random, told: bool) -> RoutingFacts:
    """A card payment; where `told`, with metadata and its id as well."""
    return RoutingFacts(
        amount_minor=draw.randrange(100_000),
        currency="EUR",
        method="card",
        network="visa",
        funding="credit",
        bin=str(400_000 + draw.randrange(768)),
        issuer_country=draw.choice(COUNTRIES),
        metadata={"shop": f"shop_{draw.randrange(400)}", "order": "1"} if told else None,
        sticky_key="pay_1" if told else None,
    )


def measure(rules: int) -> list[Figure]:
    """Decisions under so many rules, each with an outcome learnt."""
    draw = random.Random(7)
    accounts = [RoutingAccount(one) for one in IDS]
    profile = RoutingProfile("p", (IDS,), ruleset=ruleset(rules, draw))
    engine = RoutingEngine(compile_config(accounts, [profile]))
    payments = [facts(draw, rules > 0) for _ in range(1_000)]
    decided, learnt = [], []
    for at in range(WARM + ROUNDS):
        now_ns, payment = at * 1_000_000, payments[at % 1_000]
        begun = time.perf_counter_ns()
        decision = engine.decide("p", payment, decision_id="d", now_ns=now_ns, seed=at)
        decided.append(time.perf_counter_ns() - begun)
        chosen = decision.account_ids[0]
        permit = engine.begin(chosen, now_ns=now_ns, decision=decision, required=True)
        assert not isinstance(permit, Refusal)
        outcome = RoutingOutcome.APPROVED if at % 8 else RoutingOutcome.ISSUER_DECLINED_SOFT
        begun = time.perf_counter_ns()
        engine.finish(permit, outcome, latency_ms=300.0, now_ns=now_ns)
        learnt.append(time.perf_counter_ns() - begun)
    return [
        *_figures(f"core.python.decide.rules_{rules}", decided),
        *([] if rules else _figures("core.python.finish", learnt)),
    ]


def _figures(name: str, spent: list[int]) -> list[Figure]:
    """The median and the 99th percentile; the first calls are not counted."""
    spent = sorted(spent[WARM:])
    how = "single calls through RoutingEngine, 10 accounts"
    return [
        figure(f"{name}_p{share}", spent[len(spent) * share // 100] / 1e3, "us", how)
        for share in (50, 99)
    ]


if __name__ == "__main__":
    # The collector's pauses belong to what keeps objects, not to a decision.
    gc.freeze()
    tell([one for rules in (0, 10, 100, 1_000, 10_000) for one in measure(rules)])
