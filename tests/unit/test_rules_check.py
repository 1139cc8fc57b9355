"""A check names what cannot be meant: each finding, what it says, and what it leaves alone."""

from typing import Any

import pytest

from turnout.domain.accounts import Account, AmountLimit, Profile
from turnout.routing.rules import Finding, Severity, check, from_mapping


def account(account_id: str, merchant_id: str = "mer_a", **settings: Any) -> Account:
    return Account(account_id, merchant_id, "stripe", "https://provider.example", **settings)


ACCOUNTS = {
    one.account_id: one
    for one in (
        account(
            "acc_a", currencies=frozenset({"EUR"}), networks=frozenset({"visa", "mastercard"})
        ),
        account(
            "acc_b",
            currencies=frozenset({"EUR", "USD"}),
            limits={"USD": AmountLimit(100, 5_000)},
        ),
        account("acc_off", enabled=False),
        account("acc_live", live=True),
        account("acc_spare"),
        account("acc_theirs", "mer_b"),
    )
}
PROFILE = Profile("pro_a", "mer_a", (("acc_a", "acc_b"), ("acc_off", "acc_live", "acc_theirs")))

VISA = {"fact": "network", "in": ["visa"], "missing": "no_match"}
EUR = {"fact": "currency", "in": ["eur"]}
USD = {"fact": "currency", "in": ["USD"]}
KEEP: dict[str, Any] = {"require_three_ds": True}


def findings(
    *rules: tuple[list[dict[str, Any]], dict[str, Any]],
    mode: str = "first_match",
    **top: Any,
) -> list[Finding]:
    rows = [{"id": f"r{at}", "when": when, "then": then} for at, (when, then) in enumerate(rules)]
    document = from_mapping({"mode": mode, "rules": rows} | top)
    return check(document, ACCOUNTS, PROFILE, False)


def told(found: list[Finding]) -> list[tuple[str, str, str]]:
    return [(one.severity.value, one.code, one.path) for one in found]


def test_what_is_sound_has_no_findings() -> None:
    assert (
        findings(
            ([VISA, EUR], {"only": ["acc_a"]}),
            ([EUR], {"split": {"acc_a": 70, "acc_b": 30}}),
            ([USD, {"fact": "amount_minor", "max": 5_000}], {"priority": [["acc_b"]]}),
            otherwise={"block": "neither EUR nor USD"},
        )
        == []
    )


@pytest.mark.parametrize(
    ("named", "code", "text"),
    [
        ("acc_bb", "account_unknown", "there is no account acc_bb; did you mean acc_b?"),
        ("acc_theirs", "account_unknown", "there is no account acc_theirs"),
        ("acc_live", "account_wrong_mode", "is a live account, and this policy is for test"),
        ("acc_spare", "account_not_in_profile", "add it to the profile's tiers"),
        ("acc_off", "account_disabled", "is disabled"),
    ],
)
def test_accounts_that_cannot_be_chosen(named: str, code: str, text: str) -> None:
    for then, place in (
        ({"only": ["acc_a", "acc_b", named]}, "only[2]"),
        ({"priority": [["acc_a"], [named]]}, "priority[1][0]"),
        ({"split": {"acc_b": 1, named: 1}}, f"split.{named}"),
        ({"cap": [{"account": named, "payments": 1, "per": "day"}]}, "cap[0].account"),
    ):
        (found,) = findings(([EUR], then))
        assert (found.code, found.path) == (code, f"rules[0].then.{place}")
        assert found.rule_ids == ("r0",)
        assert text in found.text
        disabled = code == "account_disabled"
        assert found.severity is (Severity.WARNING if disabled else Severity.ERROR)


def range_of(fact: str, **bounds: Any) -> dict[str, Any]:
    return {"fact": fact, "missing": "no_match", **bounds}


@pytest.mark.parametrize(
    "when",
    [
        [EUR, USD],
        [EUR, EUR | {"not": True}],
        [range_of("risk_score", max=10), range_of("risk_score", min=11)],
        [range_of("risk_score", min=0, **{"not": True})],
        [range_of("bin", prefix=["4"]), range_of("bin", ranges=[["50", "59"]])],
        [
            range_of("metadata", key="shop", prefix=["out"]),
            range_of("metadata", key="shop", **{"in": ["Outlet"]}),
        ],
        [
            {"fact": "time", "zone": "UTC", "days": ["mon"]},
            {"fact": "time", "zone": "UTC", "days": ["tue"], "until": "12:00"},
        ],
    ],
)
def test_conditions_that_are_never_both_fulfilled(when: list[dict[str, Any]]) -> None:
    (found,) = findings((when, KEEP))
    assert found.code == "impossible_conditions"
    assert found.severity is Severity.ERROR
    assert found.path == f"rules[0].when[{len(when) - 1}]"


@pytest.mark.parametrize(
    "when",
    [
        [VISA, VISA | {"in": ["amex"]}],
        [range_of("risk_score", max=10), range_of("risk_score", min=11)],
        [range_of("bin", prefix=["4"]), range_of("bin", prefix=["5"])],
    ],
)
def test_payments_whose_fact_is_unknown_may_fulfil_both(when: list[dict[str, Any]]) -> None:
    assert findings(([one | {"missing": "match"} for one in when], KEEP)) == []


def test_outcomes_that_contradict_each_other() -> None:
    assert told(
        findings(
            ([], {"only": ["acc_a"], "exclude": ["acc_a"]}),
        )
    ) == [("error", "no_account_left", "rules[0].then")]
    found = findings(([], {"exclude": ["acc_a", "acc_b", "acc_off"]}))
    assert found[0].code == "no_account_left"
    codes = told(
        findings(
            ([EUR], {"only": ["acc_b", "acc_b"], "split": {"acc_a": 1, "acc_b": 1}}),
            ([EUR, VISA], {"exclude": ["acc_a"], "priority": [["acc_a"]]}),
            ([USD], {"block": "no", "cheapest_within_points": 0}),
            (
                [],
                {
                    "cap": [{"account": "acc_b", "payments": 9, "per": "day"}],
                    "commit": [
                        {"account": "acc_b", "payments": 10, "per": "day", "within_points": 1}
                    ],
                },
            ),
        )
    )
    assert ("error", "split_excluded", "rules[0].then.split") in codes
    assert ("warning", "duplicate_account", "rules[0].then.only") in codes
    assert ("warning", "named_but_excluded", "rules[1].then.priority") in codes
    assert ("warning", "block_with_others", "rules[2].then.block") in codes
    assert ("error", "commit_above_cap", "rules[3].then.commit[0]") in codes


def test_a_rule_behind_a_wider_one_is_unreachable() -> None:
    (found,) = findings(([VISA], KEEP), ([USD], KEEP), ([EUR, VISA], KEEP))
    assert (found.code, found.path) == ("unreachable", "rules[2]")
    assert found.rule_ids == ("r2", "r0")
    assert "r0, which stands before it, matches every payment that it matches" in found.text
    assert findings(([EUR, VISA], KEEP), ([VISA], KEEP), ([], KEEP)) == []
    # All matching rules count, so an order hides none.
    assert findings(([VISA], KEEP), ([EUR, VISA], KEEP), mode="accumulate") == []


def test_a_rule_behind_several_that_share_its_payments_is_unreachable() -> None:
    manual = {"fact": "capture_method", "in": ["manual"]}
    score = range_of("risk_score", min=50)
    low = range_of("risk_score", max=49) | {"missing": "match"}
    (found,) = findings(
        ([manual, score], KEEP),
        ([VISA], KEEP),
        ([manual, low], KEEP),
        ([manual | {"not": True}], KEEP),
        ([EUR], KEEP),
    )
    assert found.rule_ids[0] == "r4"
    assert set(found.rule_ids[1:]) >= {"r0", "r2", "r3"}
    # With the payments of unknown risk left over it is reached.
    assert not findings(
        ([manual, score], KEEP),
        ([manual, low | {"missing": "no_match"}], KEEP),
        ([manual | {"not": True}], KEEP),
        ([EUR], KEEP),
    )


def test_otherwise_behind_a_rule_for_everything_is_unreachable() -> None:
    (found,) = findings(([EUR], KEEP), ([], KEEP), otherwise={"block": "no"})
    assert (found.code, found.path, found.rule_ids) == ("unreachable", "otherwise", ("r1",))


def test_a_payment_that_a_rule_leaves_without_an_account() -> None:
    (found,) = findings(([VISA], {"only": ["acc_a"]}))
    assert (found.code, found.path) == ("unroutable", "rules[0]")
    witness = dict(found.witness)
    assert (witness["network"], witness["currency"]) == ("visa", "USD")
    assert 100 <= int(witness["amount_minor"]) <= 5_000
    assert "leaves no account to a payment with network visa" in found.text
    # Where the rule before takes those payments, nothing is lost.
    assert findings(([USD], {"block": "no"}), ([VISA], {"only": ["acc_a"]})) == []
    assert (
        findings(([USD], {"block": "no"}), ([VISA], {"only": ["acc_a"]}), mode="accumulate") == []
    )
    (found,) = findings(([VISA], KEEP), otherwise={"only": ["acc_a"]})
    assert (found.code, found.path) == ("unroutable", "otherwise")


def test_payments_that_no_account_takes_at_all() -> None:
    (found,) = findings(([{"fact": "currency", "in": ["GBP"]}], KEEP))
    assert found.code == "unroutable"
    assert "no account of pro_a takes any payment that gets here" in found.text


def test_an_account_that_takes_none_of_a_rules_payments() -> None:
    (found,) = findings(([USD], {"priority": [["acc_a"], ["acc_b"]]}))
    assert (found.code, found.path) == ("account_never_eligible", "rules[0].then")
    assert found.text.startswith("acc_a takes none of the payments")
    big = {"fact": "amount_minor", "min": 5_001}
    (found,) = findings(([USD, big], {"require_three_ds": True}))
    assert found.code == "unroutable"


def test_two_rules_that_keep_no_account_in_common() -> None:
    found = findings(
        ([EUR], {"only": ["acc_a", "acc_b"]}),
        ([EUR, VISA], {"only": ["acc_b"]}),
        ([EUR], {"exclude": ["acc_b"]}),
        mode="accumulate",
    )
    (conflict,) = [one for one in found if one.code == "conflict"]
    assert conflict.rule_ids == ("r2", "r1")
    assert dict(conflict.witness) == {"currency": "EUR", "network": "visa"}
    both = [([EUR], {"only": ["acc_a"]}), ([USD], {"only": ["acc_b"]})]
    assert "conflict" not in [one.code for one in findings(*both, mode="accumulate")]


def test_an_amount_means_little_without_a_currency() -> None:
    amount = {"fact": "amount_minor", "max": 100}
    assert told(findings(([amount], KEEP))) == [
        ("warning", "amount_without_currency", "rules[0].when[0]")
    ]
    several = {"fact": "currency", "in": ["EUR", "JPY"]}
    assert told(findings(([several, amount], KEEP))) == [
        ("warning", "amount_in_currencies", "rules[0].when[1]")
    ]
    assert findings(([EUR, amount], KEEP)) == []


def test_what_stands_twice() -> None:
    assert [code for _, code, _ in told(findings(([EUR, EUR], KEEP)))] == ["duplicate_condition"]
    both = {"fact": "currency", "in": ["EUR", "eur"]}
    assert [code for _, code, _ in told(findings(([both], KEEP)))] == ["duplicate_word"]
    twice = [([VISA, EUR], KEEP), ([EUR, VISA], KEEP)]
    assert [code for _, code, _ in told(findings(*twice, mode="accumulate"))] == ["duplicate_rule"]


def test_errors_stand_first() -> None:
    found = findings(([{"fact": "amount_minor", "max": 1}], {"only": ["acc_zz"]}))
    assert [one.severity for one in found] == sorted(
        [one.severity for one in found], key=list(Severity).index
    )
    assert {one.severity for one in found} == {Severity.ERROR, Severity.WARNING}


def test_of_many_findings_a_hundred_of_a_kind_are_told() -> None:
    rules: list[Any] = [([VISA], KEEP)] * 200
    found = findings(*rules, ([EUR, EUR], {"only": ["acc_zz"]}))
    codes = [one.code for one in found]
    assert codes[0] == "account_unknown"
    assert codes.count("unreachable") == 100
    assert "duplicate_condition" in codes
    assert codes[-1] == "more"
    assert "99 of unreachable" in found[-1].text


def test_any_number_of_metadata_keys_is_borne() -> None:
    shops = [
        [range_of("metadata", key=f"k{rule}-{at}", prefix=["a"]) for at in range(32)]
        for rule in range(100)
    ]
    found = findings(*[(shop, KEEP) for shop in shops], ([], KEEP))
    # It may be too dear to tell, but nothing is said that is not so.
    assert {one.code for one in found} <= {"undecided"}


def test_ten_thousand_rules_are_told_apart() -> None:
    rules = [([range_of("bin", prefix=[str(400_000 + at)]), EUR], KEEP) for at in range(9_997)]
    rules += [([range_of("bin", prefix=["4099"]), VISA], KEEP)]
    rules += [([range_of("bin", prefix=["40999"]), EUR, VISA], KEEP), ([], KEEP)]
    (found,) = findings(*rules)
    assert (found.code, found.rule_ids) == ("unreachable", ("r9998", "r9997"))
