"""Decisions in words."""

from __future__ import annotations

from collections.abc import Sequence

from turnout.domain.accounts import Fees
from turnout.routing import (
    Permit,
    RoutingAccount,
    RoutingEngine,
    RoutingFacts,
    RoutingOutcome,
    RoutingProfile,
    compile_config,
)
from turnout.routing.explain import Explanation, explain

FACTS = RoutingFacts(amount_minor=500, currency="EUR", method="card")


def router(accounts: Sequence[RoutingAccount], tiers: Sequence[Sequence[str]]) -> RoutingEngine:
    return RoutingEngine(compile_config(accounts, [RoutingProfile("pro_1", tiers)]))


def explained(engine: RoutingEngine, seed: int = 1) -> Explanation:
    decision = engine.decide("pro_1", FACTS, decision_id="dec_1", now_ns=0, seed=seed)
    replayed = engine.replay(decision.record(), decision_id="dec_1")
    assert explain(replayed) == explain(decision)
    return explain(decision)


def fail(engine: RoutingEngine, account_id: str) -> None:
    for _ in range(4):
        permit = engine.begin(account_id, now_ns=0)
        assert isinstance(permit, Permit)
        engine.finish(permit, RoutingOutcome.TECHNICAL_ERROR, latency_ms=1.0, now_ns=0)


A, B = RoutingAccount("acc_a"), RoutingAccount("acc_b")


def test_every_account_has_its_sentence() -> None:
    told = explained(
        router([A, RoutingAccount("acc_b", currencies=["USD"])], [["acc_a"], ["acc_b"]])
    )
    assert "only account" in told.summary
    assert [(reason.account_id, reason.place) for reason in told.accounts] == [
        ("acc_a", 1),
        ("acc_b", None),
    ]
    assert "currency" in told.accounts[1].text


def test_a_preferred_account_that_was_passed_over_is_named() -> None:
    engine = router([A, B], [["acc_a"], ["acc_b"]])
    fail(engine, "acc_a")
    assert explained(engine).summary == (
        "acc_b stands first: the best of the next tier, because acc_a has an open breaker."
    )


def test_the_least_ill_is_called_so() -> None:
    engine = router([A, B], [["acc_a"], ["acc_b"]])
    fail(engine, "acc_a")
    fail(engine, "acc_b")
    assert "least ill" in explained(engine).summary


def test_rivals_of_a_tier() -> None:
    engine = router([A, B], [["acc_a", "acc_b"]])
    summaries = {explained(engine, seed).summary for seed in range(30)}
    assert any("best score of its tier" in summary for summary in summaries)


def test_nobody_can() -> None:
    off = RoutingAccount("acc_a", enabled=False)
    assert "None of the profile's 1" in explained(router([off], [["acc_a"]])).summary
    assert explained(router([], [])).summary == "The profile has no accounts."


def test_what_would_have_changed_the_choice_is_told() -> None:
    engine = router([A, B], [["acc_a", "acc_b"]])
    for k in range(60):
        for account_id, outcome in (
            ("acc_a", RoutingOutcome.APPROVED),
            ("acc_b", RoutingOutcome.ISSUER_DECLINED_SOFT),
        ):
            decision = engine.decide("pro_1", FACTS, decision_id="dec_1", now_ns=k, seed=k)
            permit = engine.begin(account_id, now_ns=k, decision=decision)
            assert isinstance(permit, Permit)
            engine.finish(permit, outcome, latency_ms=200.0, now_ns=k)
    first, second = explained(engine).accounts
    assert (first.account_id, first.change) == ("acc_a", "")
    decision = engine.decide("pro_1", FACTS, decision_id="dec_1", now_ns=60, seed=1)
    lead = decision.ranked[1].approval_to_lead
    assert lead is not None
    assert abs(lead - decision.ranked[0].approval) < 0.01
    assert f"{lead:.1%}"[:3] in second.change
    fail(engine, "acc_b")
    assert explained(engine).accounts[1].change == "not first while it has an open breaker"


def ruled(
    then: dict[str, object],
    *,
    accounts: Sequence[RoutingAccount] = (A, B, RoutingAccount("acc_c")),
    approved: Sequence[str] = (),
    now_ns: int = 0,
    currency: str = "EUR",
) -> Explanation:
    """A decision between a and b in one tier, c behind them, under one rule.

    `approved` are the accounts that approved a payment each before; the rule is for payments in
    EUR, and otherwise the same is asked for.
    """
    when = [{"fact": "currency", "in": ["EUR"]}]
    rules = [{"id": "one", "when": when, "then": then}]
    content = {"mode": "first_match", "rules": rules, "otherwise": then}
    profile = RoutingProfile("pro_1", [["acc_a", "acc_b"], ["acc_c"]], ruleset=content)
    engine = RoutingEngine(compile_config(accounts, [profile]))
    facts = FACTS._replace(currency=currency, sticky_key="pay_1", no_exploring=True)
    for account_id in approved:
        past = engine.decide("pro_1", facts, decision_id="dec_0", now_ns=now_ns, seed=1)
        permit = engine.begin(account_id, now_ns=now_ns, decision=past)
        assert isinstance(permit, Permit)
        engine.finish(permit, RoutingOutcome.APPROVED, latency_ms=1.0, now_ns=now_ns)
    decision = engine.decide("pro_1", facts, decision_id="dec_1", now_ns=now_ns, seed=1)
    assert explain(engine.replay(decision.record(), decision_id="dec_1")) == explain(decision)
    return explain(decision)


def changes(told: Explanation) -> dict[str, str]:
    return {one.account_id: one.change for one in told.accounts}


def test_a_split_is_a_draw_and_no_tier_stands_before_it() -> None:
    told = ruled({"split": {"acc_c": 1, "acc_b": 1_000_000}})
    assert told.summary == (
        "acc_b stands first: drawn by the split of rule one, with chance 100.0%."
    )
    assert changes(told)["acc_c"] == "another draw: its chance of the first place was 0.0%"
    told = ruled({"split": {"acc_c": 1}})
    assert told.summary.startswith("acc_c stands first: drawn by the split of rule one")
    assert changes(told)["acc_a"] == changes(told)["acc_b"] == "a share in the split of rule one"


def test_the_rules_otherwise_is_named() -> None:
    told = ruled({"split": {"acc_c": 1}}, currency="USD")
    assert "drawn by the split of the ruleset's otherwise" in told.summary


def test_a_commitment_that_lags_is_said_so() -> None:
    commit = [{"account": "acc_c", "payments": 100, "per": "month", "within_points": 100}]
    told = ruled({"commit": commit}, now_ns=15 * 24 * 3600 * 1_000_000_000)
    assert told.summary.startswith(
        "acc_c stands first: it lags behind its commitment in rule one, and its score is 0."
    )
    assert changes(told)["acc_a"] == "not first while acc_c lags behind its commitment"


def test_the_cheapest_within_points_is_said_so() -> None:
    accounts = [
        RoutingAccount("acc_a", fees=Fees(fixed_minor=30)),
        RoutingAccount("acc_b", fees=Fees(fixed_minor=10)),
        RoutingAccount("acc_c"),
    ]
    told = ruled({"cheapest_within_points": 50}, accounts=accounts)
    assert told.summary == (
        "acc_b stands first: the cheapest, at 10.0 minor units, of those within the points of "
        "rule one."
    )
    assert changes(told)["acc_a"] == "a fee below 10.0 minor units instead of 30.0"
    assert changes(told)["acc_c"] == "not first while an account of tier 1 may be called"
    # Now a is the cheaper one, but a weight sets it too far below.
    accounts[0] = RoutingAccount("acc_a", fees=Fees(fixed_minor=1))
    told = ruled({"cheapest_within_points": 0, "weight": {"acc_b": 0.3}}, accounts=accounts)
    assert changes(told)["acc_a"] == ("a better score: it is cheaper, but too far below the best")


def test_a_weight_of_rules_is_told_where_it_changed_the_choice() -> None:
    told = ruled({"weight": {"acc_b": 0.3}}, approved=["acc_a"])
    assert "by the weights of rule one" in told.summary
    assert told.accounts[0].account_id == "acc_b"
    assert "(rules add +0.3000)" in told.accounts[0].text
    assert changes(told)["acc_a"] == (
        "no weights: without those of rule one its score would be the higher one"
    )
    told = ruled({"weight": {"acc_a": 0.3}}, approved=["acc_a"])
    assert "by the weights" not in told.summary
    assert changes(told)["acc_b"] == (
        "no approval would be enough: its fees or its failures weigh too much"
    )


def test_what_rules_left_out_and_refused_is_said_so() -> None:
    told = ruled({"only": ["acc_a"]})
    assert "only account" in told.summary
    assert set(list(changes(told).values())[1:]) == {
        "a place in the `only` of rule one, or a payment with other facts"
    }
    told = ruled({"exclude": ["acc_b"]})
    assert changes(told)["acc_b"] == (
        "no `exclude` of it in rule one, or a payment with other facts"
    )
    cap = [{"account": "acc_b", "payments": 1, "per": "day"}]
    told = ruled({"cap": cap}, approved=["acc_b"])
    assert changes(told)["acc_b"] == (
        "a higher cap in rule one, or the next UTC day or month, where it counts anew"
    )
    told = ruled({"block": "closed"})
    assert told.summary == "Rule one refuses the payment: closed."


def test_an_account_without_evidence_is_said_so() -> None:
    recorded = router([A], [["acc_a"]]).decide(
        "pro_1", FACTS, decision_id="dec_1", now_ns=0, seed=1
    )
    tried = router([A, B], [["acc_a", "acc_b"]]).try_ruleset(
        recorded.record(), "pro_1", decision_id="dec_1"
    )
    assert changes(explain(tried))["acc_b"] == (
        "a payment decided with this account: the record says nothing of it"
    )
