"""A ruleset's document: read strictly, in three spellings, with all that is wrong at once."""

import json
from typing import Any

import pytest

from turnout.domain.accounts import Objective
from turnout.routing import (
    RoutingAccount,
    RoutingEngine,
    RoutingFacts,
    RoutingProfile,
    compile_config,
)
from turnout.routing.rules import (
    Cap,
    Commit,
    Condition,
    Outcomes,
    Rule,
    RulesetDocument,
    RulesetInvalid,
    from_json,
    from_mapping,
    from_toml,
)
from turnout.routing.rules.conditions import zones

TOML = """
mode = "first_match"

[objective]
kind = "approval"

[[rules]]
id = "german-debit"
description = "Cheap at home"
when = [
    { fact = "issuer_country", in = ["DE", "AT"], missing = "no_match" },
    { fact = "amount_minor", min = 0, max = 50000 },
    { fact = "recurring", is = false, missing = "match" },
    { fact = "bin", not = true, prefix = ["42"], ranges = [["40", "49"]], missing = "match" },
    { fact = "metadata", key = "shop", in = ["Outlet"], missing = "no_match" },
    { fact = "time", zone = "Europe/Berlin", days = ["mon"], from = "22:00", until = "06:00" },
]
[rules.then]
only = ["acc_a", "acc_b"]
exclude = ["acc_c"]
priority = [["acc_a"], ["acc_b"]]
split = { acc_a = 70, acc_b = 30 }
weight = { acc_a = 0.02, acc_b = -1 }
cheapest_within_points = 2
require_three_ds = true
[[rules.then.cap]]
account = "acc_a"
amount_minor = 5_000_000
currency = "eur"
per = "day"
[[rules.then.commit]]
account = "acc_b"
payments = 30000
per = "month"
within_points = 1

[otherwise]
block = "no account for this"
"""

DOCUMENT = RulesetDocument(
    mode="first_match",
    objective=Objective("approval"),
    rules=(
        Rule(
            id="german-debit",
            description="Cheap at home",
            when=(
                Condition(fact="issuer_country", in_=("DE", "AT"), missing="no_match"),
                Condition(fact="amount_minor", min=0, max=50000),
                Condition(fact="recurring", is_=False, missing="match"),
                Condition(
                    fact="bin",
                    prefix=("42",),
                    ranges=(("40", "49"),),
                    not_=True,
                    missing="match",
                ),
                Condition(fact="metadata", key="shop", in_=("Outlet",), missing="no_match"),
                Condition(
                    fact="time", zone="Europe/Berlin", days=("mon",), from_="22:00", until="06:00"
                ),
            ),
            then=Outcomes(
                only=("acc_a", "acc_b"),
                exclude=("acc_c",),
                priority=(("acc_a",), ("acc_b",)),
                split={"acc_a": 70, "acc_b": 30},
                weight={"acc_a": 0.02, "acc_b": -1.0},
                cheapest_within_points=2.0,
                require_three_ds=True,
                cap=(Cap(account="acc_a", amount_minor=5_000_000, currency="EUR", per="day"),),
                commit=(Commit(account="acc_b", payments=30000, per="month", within_points=1.0),),
            ),
        ),
    ),
    otherwise=Outcomes(block="no account for this"),
)


def test_three_spellings_give_one_document_and_one_canonical_text() -> None:
    assert from_toml(TOML) == DOCUMENT
    assert from_mapping(DOCUMENT.to_mapping()) == DOCUMENT
    text = DOCUMENT.canonical_json()
    assert from_json(text) == from_json(text.encode()) == DOCUMENT
    keys = json.loads(text, object_pairs_hook=lambda pairs: [key for key, _ in pairs])
    assert keys == ["mode", "objective", "otherwise", "rules"]
    assert " :" not in text
    # What was not given is left out; what was given as false or 0 and means something stays.
    assert '"is":false' in text
    assert '"min":0' in text
    assert "null" not in text


def test_what_means_nothing_makes_no_other_text() -> None:
    plain: dict[str, Any] = {
        "mode": "accumulate",
        "rules": [
            {"id": "a", "when": [{"fact": "method", "in": ["card"]}], "then": {"only": ["acc_a"]}}
        ],
    }
    text = from_mapping(plain).canonical_json()
    rule = plain["rules"][0]
    rule["when"][0]["not"] = False
    rule["then"]["require_three_ds"] = False
    rule["description"] = ""
    assert from_mapping(plain).canonical_json() == text


def one_rule(**changes: Any) -> dict[str, Any]:
    return {"mode": "first_match", "rules": [{"id": "a", "then": {"only": ["acc_a"]}} | changes]}


def condition(**keys: Any) -> dict[str, Any]:
    return one_rule(when=[{key.removesuffix("_"): value for key, value in keys.items()}])


def then(**keys: Any) -> dict[str, Any]:
    return one_rule(then=keys)


def cap(**keys: Any) -> dict[str, Any]:
    return then(cap=[{"account": "acc_a", "per": "day"} | keys])


WRONG: list[tuple[object, str, str]] = [
    ([], "document", "WRONG_TYPE"),
    ({"rules": [{"id": "a", "then": {"only": ["acc_a"]}}]}, "mode", "KEY_MISSING"),
    ({"mode": "first_match"}, "rules", "KEY_MISSING"),
    ({"mode": "first_match", "rules": []}, "rules", "EMPTY"),
    ({"mode": "first_match", "rules": {}}, "rules", "WRONG_TYPE"),
    (one_rule() | {"mode": "both"}, "mode", "WORD_UNKNOWN"),
    (one_rule() | {"extra": 1}, "extra", "KEY_UNKNOWN"),
    (one_rule() | {"otherwise": {}}, "otherwise", "EMPTY"),
    (one_rule() | {"objective": {}}, "objective.kind", "KEY_MISSING"),
    (
        one_rule() | {"objective": {"kind": "value", "margin_bps": -1}},
        "objective.margin_bps",
        "OUT_OF_RANGE",
    ),
    (one_rule(id="A b"), "rules[0].id", "ID_MALFORMED"),
    (one_rule(id="x" * 65), "rules[0].id", "ID_MALFORMED"),
    (one_rule(id=7), "rules[0].id", "WRONG_TYPE"),
    ({"mode": "first_match", "rules": [{}]}, "rules[0].id", "KEY_MISSING"),
    ({"mode": "first_match", "rules": [{}]}, "rules[0].then", "KEY_MISSING"),
    (one_rule(description="x" * 501), "rules[0].description", "TEXT_TOO_LONG"),
    (one_rule(description="\ud800"), "rules[0].description", "NOT_UNICODE"),
    (one_rule(when=[{}]), "rules[0].when[0].fact", "KEY_MISSING"),
    (one_rule(when=[{"fact": "method", "in": ["card"]}] * 33), "rules[0].when", "TOO_MANY"),
    (condition(fact="netwrok", in_=["visa"]), "rules[0].when[0].fact", "FACT_UNKNOWN"),
    (condition(fact="network", in_=["visa"]), "rules[0].when[0].missing", "KEY_MISSING"),
    (
        condition(fact="network", in_=["visa"], missing="maybe"),
        "rules[0].when[0].missing",
        "WORD_UNKNOWN",
    ),
    (
        condition(fact="network", in_=["unknown"], missing="match"),
        "rules[0].when[0].in[0]",
        "WORD_UNKNOWN",
    ),
    (
        condition(fact="network", prefix=["v"], missing="match"),
        "rules[0].when[0].prefix",
        "OPERATOR_WRONG",
    ),
    (condition(fact="network", missing="match"), "rules[0].when[0]", "KEY_MISSING"),
    (condition(fact="currency", in_=[]), "rules[0].when[0].in", "EMPTY"),
    (condition(fact="currency", in_=["EUR"] * 1001), "rules[0].when[0].in", "TOO_MANY"),
    (condition(fact="currency", in_="EUR"), "rules[0].when[0].in", "WRONG_TYPE"),
    (condition(fact="currency", in_=["EURO"]), "rules[0].when[0].in[0]", "WORD_UNKNOWN"),
    (condition(fact="currency", in_=["EUR"], key="x"), "rules[0].when[0].key", "OPERATOR_WRONG"),
    (condition(fact="amount_minor", min=True), "rules[0].when[0].min", "WRONG_TYPE"),
    (condition(fact="amount_minor", min=1.0), "rules[0].when[0].min", "WRONG_TYPE"),
    (condition(fact="amount_minor", max=2**63), "rules[0].when[0].max", "OUT_OF_RANGE"),
    (condition(fact="amount_minor", min=2, max=1), "rules[0].when[0].min", "RANGE_REVERSED"),
    (
        condition(fact="risk_score", min=101, missing="match"),
        "rules[0].when[0].min",
        "OUT_OF_RANGE",
    ),
    (
        condition(fact="bin", prefix=["123456789"], missing="match"),
        "rules[0].when[0].prefix[0]",
        "BIN_MALFORMED",
    ),
    (
        condition(fact="bin", ranges=[["40", "499"]], missing="match"),
        "rules[0].when[0].ranges[0]",
        "RANGE_UNEVEN",
    ),
    (
        condition(fact="bin", ranges=[["49", "40"]], missing="match"),
        "rules[0].when[0].ranges[0]",
        "RANGE_REVERSED",
    ),
    (
        condition(fact="bin", ranges=["40"], missing="match"),
        "rules[0].when[0].ranges[0]",
        "WRONG_TYPE",
    ),
    (
        condition(fact="recurring", is_="yes", missing="match"),
        "rules[0].when[0].is",
        "WRONG_TYPE",
    ),
    (
        condition(fact="metadata", in_=["x"], missing="match"),
        "rules[0].when[0].key",
        "KEY_MISSING",
    ),
    (
        condition(fact="metadata", key="k", missing="match"),
        "rules[0].when[0]",
        "KEY_MISSING",
    ),
    (condition(fact="time", days=["mon"]), "rules[0].when[0].zone", "KEY_MISSING"),
    (condition(fact="time", zone="UTC"), "rules[0].when[0]", "KEY_MISSING"),
    (
        condition(fact="time", zone="Europe/Berlim", days=["mon"]),
        "rules[0].when[0].zone",
        "ZONE_UNKNOWN",
    ),
    (
        condition(fact="time", zone="localtime", days=["mon"]),
        "rules[0].when[0].zone",
        "ZONE_UNKNOWN",
    ),
    (condition(fact="time", zone="UTC", days=["Mon"]), "rules[0].when[0].days[0]", "WORD_UNKNOWN"),
    (
        condition(fact="time", zone="UTC", until="24:00"),
        "rules[0].when[0].until",
        "TIME_MALFORMED",
    ),
    (condition(fact="time", zone="UTC", until="00:00"), "rules[0].when[0].until", "RANGE_EMPTY"),
    (
        condition(fact="time", zone="UTC", days=["mon"], missing="match"),
        "rules[0].when[0].missing",
        "KEY_UNKNOWN",
    ),
    (then(), "rules[0].then", "EMPTY"),
    (then(require_three_ds=False), "rules[0].then.require_three_ds", "NO_OUTCOME"),
    (then(only=["stripe"]), "rules[0].then.only[0]", "ID_MALFORMED"),
    (then(priority=[["acc_a"], ["acc_a"]]), "rules[0].then.priority[1][0]", "ACCOUNT_TWICE"),
    (then(priority=["acc_a"]), "rules[0].then.priority[0]", "WRONG_TYPE"),
    (then(split={"acc_a": 0}), "rules[0].then.split.acc_a", "OUT_OF_RANGE"),
    (then(split={}), "rules[0].then.split", "EMPTY"),
    (then(weight={"acc_a": 1.5}), "rules[0].then.weight.acc_a", "OUT_OF_RANGE"),
    (then(weight={"acc_a": float("nan")}), "rules[0].then.weight.acc_a", "WRONG_TYPE"),
    (then(block=""), "rules[0].then.block", "EMPTY"),
    (
        then(cheapest_within_points=101),
        "rules[0].then.cheapest_within_points",
        "OUT_OF_RANGE",
    ),
    (cap(), "rules[0].then.cap[0]", "CAP_UNCLEAR"),
    (cap(payments=5, amount_minor=5, currency="EUR"), "rules[0].then.cap[0]", "CAP_UNCLEAR"),
    (cap(amount_minor=5), "rules[0].then.cap[0]", "CAP_UNCLEAR"),
    (cap(payments=5, per="week"), "rules[0].then.cap[0].per", "WORD_UNKNOWN"),
    (cap(amount_minor=5, currency="EURO"), "rules[0].then.cap[0].currency", "WORD_UNKNOWN"),
    (
        then(commit=[{"account": "acc_a", "payments": 5, "per": "day"}]),
        "rules[0].then.commit[0].within_points",
        "KEY_MISSING",
    ),
]


@pytest.mark.parametrize(("raw", "path", "reason"), WRONG)
def test_what_is_wrong_is_told_by_its_path(raw: object, path: str, reason: str) -> None:
    with pytest.raises(RulesetInvalid) as caught:
        from_mapping(raw)
    problems = {(problem.field, problem.reason) for problem in caught.value.problems}
    assert (path, reason) in problems
    # A key that is there and wrong is told once, not as missing too.
    assert len([one for one, _ in problems if one == path]) == 1


def test_everything_is_told_at_once() -> None:
    raw = {
        "mode": "x",
        "rules": [one_rule(id="b")["rules"][0], {"id": "b", "then": {}, "whem": []}],
    }
    with pytest.raises(RulesetInvalid) as caught:
        from_mapping(raw)
    assert [problem.field for problem in caught.value.problems] == [
        "mode",
        "rules[1].whem",
        "rules[1].then",
        "rules[1].id",
    ]
    assert str(caught.value).endswith("(and 3 more)")
    assert "did you mean when?" in caught.value.problems[1].description


def test_as_many_as_the_limits_say_are_taken_and_not_one_more() -> None:
    rule = one_rule()["rules"][0]
    many = [rule | {"id": f"r{at}"} for at in range(10_000)]
    assert len(from_mapping({"mode": "accumulate", "rules": many}).rules) == 10_000
    with pytest.raises(RulesetInvalid, match=r"rules: has 10,001 entries; the most is 10,000"):
        from_mapping({"mode": "accumulate", "rules": [*many, rule]})
    rules = from_mapping(one_rule(when=[{"fact": "method", "in": ["card"] * 1000}] * 32)).rules
    assert len(rules[0].when) == 32


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (from_json, b'{"mode": "accumulate", "mode": "first_match"}'),
        (from_json, b'{"mode": NaN}'),
        (from_json, b"\xff"),
        (from_json, b"[" * 100_000),
        (from_json, b'{"a": ' + b"9" * 5_000 + b"}"),
        (from_json, ""),
        (from_toml, "mode = "),
        (from_toml, "a = " + "[" * 100_000),
    ],
)
def test_what_is_no_json_or_toml_is_told(read: Any, text: object) -> None:
    with pytest.raises(RulesetInvalid, match=r"^document: is not (JSON|TOML): "):
        read(text)


def test_a_local_time_of_toml_is_told_to_stand_in_quotes() -> None:
    text = TOML.replace('from = "22:00"', "from = 22:00:00")
    with pytest.raises(RulesetInvalid, match=r"when\[5\].from: must be a time in quotes"):
        from_toml(text)


CARD = "4111 1111 1111 1111"


@pytest.mark.parametrize(
    "raw",
    [
        condition(fact="bin", prefix=[CARD], missing="match"),
        condition(fact="metadata", key="shop", in_=[CARD], missing="match"),
        condition(fact="metadata", key=CARD, in_=["a"], missing="match"),
        condition(fact="currency", in_=[CARD]),
        condition(fact=CARD, in_=["a"]),
        condition(fact="time", zone=CARD, days=["mon"]),
        one_rule(id=CARD),
        one_rule(description=f"for {CARD}"),
        one_rule(**{CARD: 1}),
        then(block=CARD),
        then(only=[CARD]),
        then(split={CARD: 1}),
    ],
)
def test_a_card_number_is_refused_and_not_repeated(raw: object) -> None:
    with pytest.raises(RulesetInvalid) as caught:
        from_mapping(raw)
    assert "1111" not in repr(caught.value.problems)


def test_the_core_knows_every_zone_that_may_be_named() -> None:
    document = from_mapping(
        {
            "mode": "accumulate",
            "rules": [
                {
                    "id": f"zone-{at}",
                    "when": [{"fact": "time", "zone": zone, "days": ["mon"]}],
                    "then": {"require_three_ds": True},
                }
                for at, zone in enumerate(sorted(zones()))
            ],
        }
    )
    profile = RoutingProfile("pro_a", [["acc_a"]], ruleset=document.to_mapping())
    router = RoutingEngine(compile_config([RoutingAccount("acc_a")], [profile]))
    # A Monday, at noon in London: it is Monday in all but a few zones.
    noon_ns = 1_774_872_000 * 10**9
    made = router.decide("pro_a", RoutingFacts(), decision_id="dec", now_ns=noon_ns, seed=0)
    assert len(made.matched_rules) > 500
