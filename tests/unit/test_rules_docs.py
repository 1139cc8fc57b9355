"""docs/rules.md is the reference: its examples are read, checked and decided, its tables held."""

import re
from pathlib import Path
from typing import Any

import pytest

from turnout.domain.accounts import Account, Profile
from turnout.routing import (
    RoutingAccount,
    RoutingEngine,
    RoutingFacts,
    RoutingProfile,
    compile_config,
)
from turnout.routing.rules import Outcomes, check, conditions, facts, from_toml, reading

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/rules.md").read_text("utf-8")
EXAMPLES = re.findall(r"^```toml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
IDS = ("acc_home", "acc_world", "acc_new")
CURRENCIES = {"acc_home": frozenset({"EUR"})}
PROFILE = Profile("pro_a", "mer_a", (IDS,))


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading."""
    below = TEXT.split(f"\n{heading}\n", 1)[1]
    table = re.search(r"^\|.*?\n(?=\n)", below, re.MULTILINE | re.DOTALL)
    assert table is not None
    lines = table[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.parametrize("text", EXAMPLES)
def test_every_example_is_a_ruleset_without_findings(text: str) -> None:
    accounts = {
        one: Account(
            one,
            "mer_a",
            "stripe",
            "https://provider.example",
            currencies=CURRENCIES.get(one, frozenset()),
        )
        for one in IDS
    }
    assert check(from_toml(text), accounts, PROFILE, False) == []


def engine(text: str) -> RoutingEngine:
    accounts = [RoutingAccount(one, currencies=sorted(CURRENCIES.get(one, ()))) for one in IDS]
    profile = RoutingProfile("pro_a", [IDS], ruleset=from_toml(text).to_mapping())
    return RoutingEngine(compile_config(accounts, [profile]))


def test_the_examples_payments_are_decided_as_the_table_says() -> None:
    router = engine(EXAMPLES[0])
    table = rows("## A worked example")
    assert len(table) == 6
    for payment, rule, accounts in table:
        given: dict[str, Any] = dict(pair.split("=") for pair in quoted(payment)[0].split())
        for number in {"amount_minor", "risk_score"} & set(given):
            given[number] = int(given[number])
        firsts = set()
        for seed in range(60):
            one = RoutingFacts(**given, method="card", sticky_key=f"pay_{seed}")
            made = router.decide("pro_a", one, decision_id="dec", now_ns=0, seed=seed)
            matched = made.matched_rules or ("otherwise",)
            assert matched == (quoted(rule)[-1],)
            firsts.update(made.account_ids[:1])
            assert (made.blocked is not None) == ("BLOCKED_BY_RULE" in accounts)
        named = quoted(accounts)
        if "by shares" in accounts:
            assert firsts == set(named)
        else:
            assert firsts == set(named[:1])


def test_every_fact_stands_with_its_operators() -> None:
    table = {quoted(fact)[0]: (quoted(ops), says) for fact, ops, says, _ in rows("## Conditions")}
    words = {"required": "required", "optional": "may be given", "forbidden": "never"}
    assert table == {
        name: (list(fact.operators), words[fact.missing]) for name, fact in facts.FACTS.items()
    }
    for name in ("funding", "channel", "three_ds", "capture_method"):
        (row,) = [row for row in rows("## Conditions") if quoted(row[0]) == [name]]
        assert frozenset(quoted(row[3])) == (facts.FACTS[name].words or frozenset())


def test_every_outcome_stands_with_an_example_that_is_read() -> None:
    table = {quoted(key)[0]: quoted(example)[0] for key, example, _ in rows("## Outcomes")}
    assert list(table) == list(Outcomes.__slots__)
    for key, example in table.items():
        text = f'mode = "first_match"\n[[rules]]\nid = "a"\n[rules.then]\n{key} = {example}\n'
        assert getattr(from_toml(text).rules[0].then, key)


def test_missing_is_told_as_it_is() -> None:
    for condition, visa, amex, unknown in rows("### What is not known"):
        text = quoted(condition)[0]
        router = engine(
            'mode = "first_match"\n[[rules]]\nid = "a"\nthen = { require_three_ds = true }\n'
            f'when = [{{ fact = "network", {text} }}]\n'
        )
        for network, says in (("visa", visa), ("amex", amex), (None, unknown)):
            one = RoutingFacts(network=network)
            made = router.decide("pro_a", one, decision_id="dec", now_ns=0, seed=0)
            assert made.require_three_ds is (says == "yes")


def test_every_finding_stands_with_its_severity() -> None:
    found = set()
    for module in ("check", "inside"):
        source = (ROOT / f"src/turnout/routing/rules/{module}.py").read_text("utf-8")
        for call, code in re.findall(r'findings\.(error|warn|note)\(\s*"(\w+)"', source):
            found.add((code, {"warn": "warning"}.get(call, call)))
    found.add(("more", "note"))
    told = {(code, row[1]) for row in rows("## Findings") for code in quoted(row[0])}
    assert told == found


def test_the_limits_are_the_readers_own() -> None:
    assert f"1 to {reading.MOST_RULES:,} of them" in TEXT
    assert f"at most {reading.MOST_CONDITIONS} conditions" in TEXT
    assert f"1 to {conditions.MOST_WORDS:,} words" in TEXT
