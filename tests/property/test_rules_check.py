"""What a check says of random rulesets is true of random payments, by the oracle."""

from __future__ import annotations

import itertools
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracle import generate
from tests.oracle.generate import ACCOUNTS, WORDS, coin, some
from tests.oracle.matching import matching
from tests.oracle.payment import Payment
from turnout.domain.accounts import Account, AmountLimit, Profile
from turnout.routing.rules import Finding, check, from_json
from turnout.routing.rules.document import Outcomes

PROFILE = Profile("pro_a", "mer_a", (ACCOUNTS,))


def account(account_id: str, **settings: Any) -> Account:
    return Account(account_id, "mer_a", "stripe", "https://provider.example", **settings)


ANY = {one: account(one) for one in ACCOUNTS}


seeds = st.integers(0, 2**64 - 1).map(Random)


def unreachable(found: list[Finding]) -> set[str]:
    return {
        one.rule_ids[0] if one.path.startswith("rules") else "otherwise"
        for one in found
        if one.code in ("unreachable", "impossible_conditions")
    }


@given(seeds)
def test_reading_what_was_written_gives_the_same(rng: Random) -> None:
    document = generate.document(rng)
    text = document.canonical_json()
    assert from_json(text) == document
    assert from_json(text).canonical_json() == text


@given(seeds)
@settings(max_examples=3 * settings().max_examples)
def test_a_rule_that_some_payment_reaches_is_not_called_unreachable(rng: Random) -> None:
    document = generate.document(rng)
    gone = unreachable(check(document, ANY, PROFILE, False))
    for _ in range(50):
        matched = matching(document, generate.payment(rng))
        assert not gone.intersection(rule.id for rule in matched)
        assert matched or "otherwise" not in gone


SMALL: dict[str, tuple[Any, ...]] = {
    "capture_method": WORDS["capture_method"],
    "funding": (None, *WORDS["funding"]),
    "recurring": (None, True, False),
    "risk_score": (None, 0, 49, 50, 51, 100),
}


def small_condition(rng: Random) -> dict[str, Any]:
    fact = rng.choice(list(SMALL))
    found: dict[str, Any] = {"fact": fact, "not": coin(rng)}
    if fact == "recurring":
        found["is"] = coin(rng)
    elif fact == "risk_score":
        found |= rng.choice([{"min": 50}, {"max": 50}, {"max": 49}, {"min": 51}])
    else:
        found["in"] = some(rng, WORDS[fact], 4)
    if fact != "capture_method":
        found["missing"] = rng.choice(["match", "no_match"])
    return found


@given(seeds)
def test_in_a_small_world_every_unreachable_rule_is_found(rng: Random) -> None:
    document = generate.document(rng, when=small_condition, most_rules=10)
    reached = set()
    for values in itertools.product(*SMALL.values()):
        payment = Payment(**dict(zip(SMALL, values, strict=True)))
        matched = matching(document, payment)
        reached |= {rule.id for rule in matched} if matched else {"otherwise"}
    gone = unreachable(check(document, ANY, PROFILE, False))
    every = {rule.id for rule in document.rules}
    if document.otherwise is not None:
        every.add("otherwise")
    assert gone == every - reached


def roster_of(rng: Random) -> dict[str, Account]:
    def words(fact: str) -> frozenset[str]:
        return frozenset(some(rng, WORDS[fact], 2)) if coin(rng) else frozenset()

    limits = (AmountLimit(0, 5_000), AmountLimit(100, 0))
    return {
        one: account(
            one,
            enabled=rng.random() < 0.8,
            methods=words("method"),
            networks=words("network"),
            currencies=words("currency"),
            countries=words("issuer_country"),
            limits={rng.choice(WORDS["currency"]): rng.choice(limits)} if coin(rng) else {},
        )
        for one in ACCOUNTS
    }


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
    for name, value in witness:
        if value == "unknown":
            facts[name] = None
        elif name in ("amount_minor", "risk_score"):
            facts[name] = int(value)
        elif name == "recurring":
            facts[name] = value == "true"
        else:
            facts[name] = value
    return Payment(**facts)


def keeping(rng: Random) -> dict[str, Any]:
    return rng.choice(
        [
            {"only": some(rng, ACCOUNTS)},
            {"exclude": some(rng, ACCOUNTS)},
            {"block": "not taken"},
            {"require_three_ds": True},
        ]
    )


def plain_condition(rng: Random) -> dict[str, Any]:
    """Of a fact that a witness spells as the API does."""
    kinds = (generate.words, generate.numbers, generate.recurring)
    return generate.condition(rng, kinds)


@given(seeds)
@settings(max_examples=3 * settings().max_examples)
def test_a_witness_is_a_payment_that_rules_leave_without_an_account(rng: Random) -> None:
    document = generate.document(rng, when=plain_condition, then=keeping)
    roster = roster_of(rng)
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
