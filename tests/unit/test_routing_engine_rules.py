"""Rules through the engine: what goes in, what a decision says of them, and trials."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest

from turnout.routing import (
    RoutingAccount,
    RoutingEngine,
    RoutingError,
    RoutingFacts,
    RoutingProfile,
    compile_config,
)

RULES: dict[str, Any] = {
    "mode": "accumulate",
    "rules": [
        {
            "id": "north",
            "when": [
                {"fact": "metadata", "key": "shop", "prefix": ["north"], "missing": "no_match"},
                {"fact": "recurring", "is": False, "missing": "match"},
            ],
            "then": {"priority": [["b"]], "require_three_ds": True},
        },
        {
            "id": "risky",
            "when": [{"fact": "risk_score", "min": 90, "missing": "no_match"}],
            "then": {"block": "the risk score is 90 or more"},
        },
        {
            "id": "phone",
            "when": [
                {"fact": "channel", "in": ["moto"], "missing": "no_match"},
                {"fact": "three_ds", "in": ["none"], "missing": "match"},
                {"fact": "capture_method", "in": ["manual"]},
                {"fact": "billing_country", "in": ["DE"], "missing": "no_match"},
            ],
            "then": {"exclude": ["a"]},
        },
    ],
}


def _engine(rules: dict[str, Any] | None, *, profile_id: str = "p") -> RoutingEngine:
    accounts = [RoutingAccount("a"), RoutingAccount("b")]
    return RoutingEngine(
        compile_config(accounts, [RoutingProfile(profile_id, (("a",), ("b",)), ruleset=rules)])
    )


def _decide(engine: RoutingEngine, facts: RoutingFacts) -> Any:
    return engine.decide("p", facts, decision_id="d", now_ns=1, seed=2)


def test_facts_reach_the_rules_and_a_decision_names_them() -> None:
    engine = _engine(RULES)
    shop = MappingProxyType({"order": "1", "shop": "north-2"})
    decision = _decide(engine, RoutingFacts(metadata=shop))
    assert decision.matched_rules == ("north",)
    assert decision.account_ids == ["b", "a"]
    assert (decision.require_three_ds, decision.blocked) == (True, None)
    phone = RoutingFacts(
        channel="MOTO", three_ds="none", capture_method="manual", billing_country="de"
    )
    decision = _decide(engine, phone)
    assert decision.matched_rules == ("phone",)
    assert [(out.account_id, out.reason) for out in decision.filtered] == [("a", "rule_exclude")]
    nothing = _decide(engine, RoutingFacts(metadata={"shop": "south"}, recurring=True))
    assert (nothing.matched_rules, nothing.account_ids) == ((), ["a", "b"])


def test_a_block_says_which_rule_and_why() -> None:
    decision = _decide(_engine(RULES), RoutingFacts(risk_score=90))
    assert (decision.blocked.rule_id, decision.account_ids) == ("risky", [])
    assert decision.blocked.reason == "the risk score is 90 or more"


@pytest.mark.parametrize(
    "facts",
    [
        RoutingFacts(risk_score=101),
        RoutingFacts(risk_score=-1),
        RoutingFacts(risk_score=300),
        RoutingFacts(metadata={str(at): "" for at in range(51)}),
        RoutingFacts(metadata={"": "x"}),
        RoutingFacts(sticky_key="x" * 256),
    ],
)
def test_facts_that_are_none_are_refused(facts: RoutingFacts) -> None:
    with pytest.raises(RoutingError) as refused:
        _decide(_engine(None), facts)
    assert refused.value.code == "invalid_facts"


def test_a_recorded_payment_is_tried_under_other_rules() -> None:
    facts = RoutingFacts(metadata={"shop": "north"}, sticky_key="pay_1")
    record = _decide(_engine(None), facts).record()
    tried = _engine(RULES, profile_id="p#2").try_ruleset(record, "p#2", decision_id="t")
    assert (tried.account_ids, tried.matched_rules) == (["b", "a"], ("north",))
    with pytest.raises(RoutingError) as refused:
        _engine(RULES).try_ruleset(record, "p#2", decision_id="t")
    assert refused.value.code == "unknown_profile"


def test_a_wrong_rule_is_named_by_its_path() -> None:
    wrong = {"mode": "first_match", "rules": [{"id": "r", "then": {"only": ["a"], "ony": []}}]}
    with pytest.raises(RoutingError, match=r"profiles\[0\]\.ruleset\.rules\[0\]\.then\.ony: "):
        _engine(wrong)
