"""What a check says of random rulesets is true of random payments, by the oracle."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracle.matching import matching
from tests.oracle.payment import Payment
from tests.oracle.strategies import (
    ACCOUNTS,
    WORDS,
    account_lists,
    conditions,
    documents,
    missing,
    payments,
)
from turnout.domain.accounts import Account, AmountLimit, Profile
from turnout.routing.rules import RulesetDocument, check, from_json
from turnout.routing.rules.document import Outcomes

PROFILE = Profile("pro_a", "mer_a", (ACCOUNTS,))


def account(account_id: str, **settings: Any) -> Account:
    return Account(account_id, "mer_a", "stripe", "https://provider.example", **settings)


ANY = {one: account(one) for one in ACCOUNTS}


@given(documents())
def test_reading_what_was_written_gives_the_same(document: RulesetDocument) -> None:
    text = document.canonical_json()
    assert from_json(text) == document
    assert from_json(text).canonical_json() == text


@given(documents(), st.lists(payments, min_size=20, max_size=20))
@settings(max_examples=60)
def test_a_rule_that_some_payment_reaches_is_not_called_unreachable(
    document: RulesetDocument, some: list[Payment]
) -> None:
    found = check(document, ANY, PROFILE, False)
    gone = {
        one.rule_ids[0] if one.path.startswith("rules") else "otherwise"
        for one in found
        if one.code in ("unreachable", "impossible_conditions")
    }
    for payment in some:
        matched = matching(document, payment)
        assert not gone.intersection(rule.id for rule in matched)
        assert matched or "otherwise" not in gone


SMALL: dict[str, tuple[Any, ...]] = {
    "capture_method": WORDS["capture_method"],
    "funding": (None, *WORDS["funding"]),
    "recurring": (None, True, False),
    "risk_score": (None, 0, 49, 50, 51, 100),
}


@st.composite
def small_conditions(draw: st.DrawFn) -> dict[str, Any]:
    fact = draw(st.sampled_from(tuple(SMALL)))
    found: dict[str, Any] = {"fact": fact}
    if fact == "recurring":
        found["is"] = draw(st.booleans())
    elif fact == "risk_score":
        found |= draw(st.sampled_from([{"min": 50}, {"max": 50}, {"max": 49}, {"min": 51}]))
    else:
        words = st.sampled_from(WORDS[fact])
        found["in"] = draw(st.lists(words, min_size=1, max_size=4, unique=True))
    if fact != "capture_method":
        found["missing"] = draw(missing)
    return found | {"not": draw(st.booleans())}


@given(documents(small_conditions(), most_rules=10))
@settings(max_examples=60)
def test_in_a_small_world_every_unreachable_rule_is_found(document: RulesetDocument) -> None:
    reached = set()
    for values in itertools.product(*SMALL.values()):
        payment = Payment(**dict(zip(SMALL, values, strict=True)))
        matched = matching(document, payment)
        reached |= {rule.id for rule in matched} if matched else {"otherwise"}
    found = check(document, ANY, PROFILE, False)
    gone = {
        one.rule_ids[0] if one.path.startswith("rules") else "otherwise"
        for one in found
        if one.code in ("unreachable", "impossible_conditions")
    }
    every = {rule.id for rule in document.rules}
    if document.otherwise is not None:
        every.add("otherwise")
    assert gone == every - reached


@st.composite
def rosters(draw: st.DrawFn) -> dict[str, Account]:
    found = {}
    for one in ACCOUNTS:
        found[one] = account(
            one,
            enabled=draw(st.sampled_from([True, True, True, False])),
            **{
                key: draw(st.frozensets(st.sampled_from(WORDS[fact]), max_size=2))
                for key, fact in (
                    ("methods", "method"),
                    ("networks", "network"),
                    ("currencies", "currency"),
                    ("countries", "issuer_country"),
                )
            },
            limits=draw(
                st.dictionaries(
                    st.sampled_from(WORDS["currency"]),
                    st.sampled_from([AmountLimit(0, 5_000), AmountLimit(100, 0)]),
                    max_size=2,
                )
            ),
        )
    return found


def takes(one: Account, payment: Payment) -> bool:
    """Whether an account takes a payment: docs/routing.md, "Filter"."""
    lists = (
        (one.methods, payment.method),
        (one.networks, payment.network),
        (one.currencies, payment.currency),
        (one.countries, payment.issuer_country),
    )
    if not one.enabled or any(
        words and word is not None and word not in words for words, word in lists
    ):
        return False
    limit = one.limits.get(payment.currency or "", AmountLimit())
    amount = payment.amount_minor or 0
    return amount >= limit.min_minor and (not limit.max_minor or amount <= limit.max_minor)


def witnessed(witness: tuple[tuple[str, str], ...]) -> Payment:
    """A payment with the facts of a witness; what it leaves open is as plain as can be."""
    facts: dict[str, Any] = {"amount_minor": 700, "currency": "GBP", "method": "card"}
    facts["capture_method"] = "automatic"
    metadata = {}
    for name, value in witness:
        if name.startswith("metadata."):
            if value != "unknown":
                bare = value[1:-1].encode().decode("unicode_escape") if "'" in value else value
                metadata[name.split(".", 1)[1]] = bare
        elif value == "unknown":
            facts[name] = None
        elif name in ("amount_minor", "risk_score"):
            facts[name] = int(value)
        elif name == "recurring":
            facts[name] = value == "true"
        else:
            facts[name] = value
    return Payment(**facts, metadata=metadata)


keeping = st.one_of(
    account_lists.map(lambda chosen: {"only": chosen}),
    account_lists.map(lambda chosen: {"exclude": chosen}),
    st.just({"block": "not taken"}),
    st.just({"require_three_ds": True}),
)
timeless = conditions().filter(lambda one: one["fact"] not in ("time", "metadata", "bin"))


@given(documents(timeless, keeping), rosters())
@settings(max_examples=60)
def test_a_witness_is_a_payment_that_rules_leave_without_an_account(
    document: RulesetDocument, roster: dict[str, Account]
) -> None:
    for finding in check(document, roster, PROFILE, False):
        if not finding.witness:
            continue
        payment = witnessed(finding.witness)
        matched = matching(document, payment)
        assert set(finding.rule_ids) <= {rule.id for rule in matched}
        assert matched or finding.path == "otherwise"
        left = {one for one in ACCOUNTS if takes(roster[one], payment)}
        if finding.code == "unroutable":
            assert left
        chosen = [rule.then for rule in matched] or [document.otherwise or Outcomes()]
        for outcomes in chosen:
            if outcomes.only:
                left &= set(outcomes.only)
            left -= set(outcomes.exclude)
        assert not left
