"""Decisions in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

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


def ruled(then: dict[str, object], seed: int = 1) -> Explanation:
    """A decision between a and b in one tier, c behind them, under one rule."""
    content = {"mode": "first_match", "rules": [{"id": "one", "then": then}]}
    accounts = [A, B, RoutingAccount("acc_c")]
    profile = RoutingProfile("pro_1", [["acc_a", "acc_b"], ["acc_c"]], ruleset=content)
    engine = RoutingEngine(compile_config(accounts, [profile]))
    facts = replace(FACTS, sticky_key=f"pay_{seed}")
    decision = engine.decide("pro_1", facts, decision_id="dec_1", now_ns=0, seed=seed)
    return explain(decision, ruled=True)


def test_a_split_is_a_draw_and_no_tier_stands_before_it() -> None:
    told = ruled({"split": {"acc_c": 1, "acc_b": 1_000_000}})
    assert told.accounts[0].account_id == "acc_b"
    changes = {one.account_id: one.change for one in told.accounts}
    assert changes["acc_c"].startswith("another draw: its chance of the first place was 0.0%")
    told = ruled({"split": {"acc_c": 1}})
    assert told.summary == ("acc_c stands first: by its rules or the draw, with chance 100.0%.")
    assert [one.change for one in told.accounts[1:]] == [
        "other rules: by its score it would not stand behind acc_c"
    ] * 2


def test_what_rules_left_out_and_refused_is_said_so() -> None:
    told = ruled({"only": ["acc_a"]})
    assert "only account" in told.summary
    assert {one.change for one in told.accounts[1:]} == {"another payment, or other rules"}
    told = ruled({"block": "closed"})
    assert told.summary == "Rule one refuses the payment: closed."
