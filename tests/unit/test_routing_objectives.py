"""What profiles may want of their accounts, through the engine."""

from __future__ import annotations

import pytest

from turnout.domain.accounts import FeeLine, Fees, Objective
from turnout.routing import (
    RoutingAccount,
    RoutingEngine,
    RoutingError,
    RoutingFacts,
    RoutingProfile,
    RoutingSettings,
    compile_config,
)

FACTS = RoutingFacts(
    amount_minor=10_000,
    currency="EUR",
    method="card",
    network="visa",
    funding="debit",
    issuer_country="DE",
)
DEAR = RoutingAccount("acc_dear", fees=Fees(bps=200, fixed_minor=30))
CHEAP = RoutingAccount("acc_cheap", fees=Fees(bps=40, fixed_minor=10))


def engine(
    objective: Objective,
    *accounts: RoutingAccount,
    explore: bool = True,
    settings: RoutingSettings | None = None,
) -> RoutingEngine:
    ids = [account.id for account in accounts]
    profile = RoutingProfile("pro_1", [ids], objective, explore)
    return RoutingEngine(compile_config(accounts, [profile], settings))


@pytest.mark.parametrize("kind", ["value", "cost"])
def test_the_cheaper_of_equals_wins_where_fees_count(kind: str) -> None:
    router = engine(Objective(kind), DEAR, CHEAP)
    decision = router.decide("pro_1", FACTS, decision_id="dec_1", now_ns=0, seed=1)
    assert decision.account_ids == ["acc_cheap", "acc_dear"]
    assert [account.fee_minor for account in decision.ranked] == [50.0, 230.0]
    assert decision.ranked[0].propensity == 1.0


def test_fees_do_not_count_for_approval() -> None:
    router = engine(Objective(), DEAR, CHEAP)
    decision = router.decide("pro_1", FACTS, decision_id="dec_1", now_ns=0, seed=1)
    assert [account.propensity for account in decision.ranked] == [0.5, 0.5]


def test_without_exploring_the_first_of_equals_is_certain() -> None:
    for explore, facts in (
        (False, FACTS),
        (True, RoutingFacts(amount_minor=10_000, no_exploring=True)),
    ):
        router = engine(Objective(), DEAR, CHEAP, explore=explore)
        for seed in range(20):
            decision = router.decide("pro_1", facts, decision_id="dec_1", now_ns=0, seed=seed)
            assert decision.account_ids == ["acc_dear", "acc_cheap"]
            assert decision.ranked[0].propensity == 1.0
            assert router.replay(decision.record(), decision_id="dec_1").ranked == decision.ranked


def test_interchange_borders_and_currencies_add_up() -> None:
    fees = Fees(
        bps=10,
        fixed_minor=8,
        currency="USD",
        cross_border_bps=60,
        home_country="FR",
        conversion_bps=100,
        settlement_currencies=["USD"],
        lines=[
            FeeLine(network="mastercard", bps=999),
            FeeLine(network="visa", funding="debit", cross_border=True, bps=115),
        ],
    )
    settings = RoutingSettings(exchange_rates={"EUR": 1.0, "USD": 0.875})
    router = engine(Objective("value"), RoutingAccount("acc_a", fees=fees), settings=settings)
    decision = router.decide("pro_1", FACTS, decision_id="dec_1", now_ns=0, seed=1)
    assert decision.ranked[0].fee_minor == pytest.approx(10 + 60 + 100 + 115 + 7)


@pytest.mark.parametrize(
    ("fees", "key"),
    [
        (Fees(bps=20_000), r"accounts\[0\]\.fees\.bps"),
        (Fees(currency="USD"), r"accounts\[0\]\.fees\.currency"),
        (Fees(cross_border_bps=5), r"accounts\[0\]\.fees\.home_country"),
    ],
)
def test_wrong_fees_name_their_key(fees: Fees, key: str) -> None:
    with pytest.raises(RoutingError, match=key):
        engine(Objective(), RoutingAccount("acc_a", fees=fees))


def test_a_wrong_objective_names_its_key() -> None:
    with pytest.raises(RoutingError, match=r"profiles\[0\]\.objective"):
        engine(Objective("profit"), CHEAP)
    with pytest.raises(RoutingError, match=r"profiles\[0\]\.objective\.margin_bps"):
        engine(Objective("value", margin_bps=-1), CHEAP)
