"""Random rulesets and payments, of few words, so that they meet.

Made from a seeded generator and not drawn value by value: a document has a hundred choices, and
hypothesis would spend its time on bookkeeping. A failing seed repeats its case.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, TypeVar

from tests.oracle.payment import Payment
from turnout.routing.rules import RulesetDocument, from_mapping

T = TypeVar("T")
Table = dict[str, Any]

ACCOUNTS = ("acc_a", "acc_b", "acc_c", "acc_d")
WORDS: dict[str, tuple[str, ...]] = {
    "currency": ("EUR", "USD", "JPY"),
    "method": ("card", "bank_debit"),
    "capture_method": ("automatic", "manual"),
    "network": ("visa", "mastercard", "amex"),
    "funding": ("credit", "debit", "prepaid", "charge", "deferred_debit"),
    "channel": ("ecommerce", "moto"),
    "three_ds": ("none", "authenticated"),
    "issuer_country": ("DE", "FR", "US"),
    "billing_country": ("DE", "US"),
}
KNOWN = ("amount_minor", "currency", "method", "capture_method")
BINS = ("411111", "41111111", "411112", "4111110", "52000000", "555555")
STARTS = tuple(one[:digits] for one in BINS for digits in (1, 4, 6, 7, 8))
AMOUNTS = (0, 1, 99, 100, 101, 5_000, 10_000, 10**12)
RISKS = (0, 1, 50, 51, 99, 100)
KEYS = ("shop", "plan")
VALUES = ("", "a", "ab", "abc", "b", "B", "ä", "aß")
ZONES = ("UTC", "Europe/Berlin", "Asia/Kathmandu", "America/New_York")
CLOCKS = ("00:01", "06:00", "09:30", "17:30", "23:59")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
PERIODS = ("day", "month")
MISSING = ("match", "no_match")
POINTS = (0.0, 0.5, 1.0, 2.0, 5.0, 50.0)


def some(rng: Random, values: Sequence[T], most: int = 3) -> list[T]:
    """One to `most` of the values, none twice."""
    every = list(dict.fromkeys(values))
    return rng.sample(every, rng.randint(1, min(most, len(every))))


def either(rng: Random, *keys: str) -> list[str]:
    """At least one of two keys."""
    return rng.choice([list(keys), list(keys[:1]), list(keys[1:])])


def words(rng: Random) -> Table:
    fact = rng.choice(list(WORDS))
    chosen = some(rng, WORDS[fact], 5)
    return {"fact": fact, "in": [one.swapcase() for one in chosen] if coin(rng) else chosen}


def numbers(rng: Random) -> Table:
    fact, values = rng.choice([("amount_minor", AMOUNTS), ("risk_score", RISKS)])
    low, high = sorted([rng.choice(values), rng.choice(values)])
    return {"fact": fact} | {
        key: {"min": low, "max": high}[key] for key in either(rng, "min", "max")
    }


def bins(rng: Random) -> Table:
    found: Table = {"fact": "bin"}
    for key in either(rng, "prefix", "ranges"):
        if key == "prefix":
            found[key] = some(rng, STARTS)
        else:
            first = rng.choice(STARTS)
            last = rng.choice([one for one in STARTS if len(one) == len(first)])
            found[key] = [sorted([first, last])]
    return found


def metadata(rng: Random) -> Table:
    found: Table = {"fact": "metadata", "key": rng.choice(KEYS)}
    return found | {key: some(rng, VALUES[1:]) for key in either(rng, "in", "prefix")}


def times(rng: Random) -> Table:
    found: Table = {"fact": "time", "zone": rng.choice(ZONES)}
    if coin(rng):
        found["days"] = some(rng, DAYS)
    start, end = rng.sample(CLOCKS, 2)
    return found | {
        key: {"from": start, "until": end}[key] for key in either(rng, "from", "until")
    }


def recurring(rng: Random) -> Table:
    return {"fact": "recurring", "is": coin(rng)}


def coin(rng: Random) -> bool:
    return rng.random() < 0.5


KINDS = (words, words, words, numbers, numbers, bins, metadata, times, recurring)


def condition(rng: Random, kinds: Sequence[Callable[[Random], Table]] = KINDS) -> Table:
    found = rng.choice(kinds)(rng)
    if coin(rng):
        found["not"] = True
    left_out = found["fact"] in KNOWN and coin(rng)
    if found["fact"] != "time" and not left_out:
        found["missing"] = rng.choice(MISSING)
    return found


def tiers(rng: Random) -> list[list[str]]:
    order = rng.sample(ACCOUNTS, len(ACCOUNTS))
    cut = rng.randint(1, 3)
    return [order[:cut], order[cut : rng.randint(cut + 1, 4)]]


def cap(rng: Random) -> Table:
    found: Table = {"account": rng.choice(ACCOUNTS), "per": rng.choice(PERIODS)}
    if coin(rng):
        return found | {"payments": rng.randint(1, 5)}
    currency = rng.choice(WORDS["currency"])
    return found | {"amount_minor": rng.randint(1, 20_000), "currency": currency}


def commit(rng: Random) -> Table:
    return {
        "account": rng.choice(ACCOUNTS),
        "payments": rng.randint(1, 40),
        "per": rng.choice(PERIODS),
        "within_points": rng.choice(POINTS),
    }


OUTCOMES: dict[str, Callable[[Random], Any]] = {
    "only": lambda rng: some(rng, ACCOUNTS),
    "exclude": lambda rng: some(rng, ACCOUNTS, 2),
    "priority": tiers,
    "split": lambda rng: {one: rng.randint(1, 100) for one in some(rng, ACCOUNTS, 4)},
    "weight": lambda rng: {
        one: rng.choice([-1.0, -0.1, 0.0, 0.01, 0.3, 1.0]) for one in some(rng, ACCOUNTS, 4)
    },
    "cap": lambda rng: [cap(rng) for _ in range(rng.randint(1, 2))],
    "commit": lambda rng: [commit(rng) for _ in range(rng.randint(1, 2))],
    "cheapest_within_points": lambda rng: rng.choice(POINTS),
    "block": lambda rng: "not taken",
    "require_three_ds": lambda rng: True,
}


def outcomes(rng: Random) -> Table:
    # A block ends everything, so it is rarer than the rest.
    keys = [key for key in some(rng, list(OUTCOMES), 4) if key != "block" or rng.random() < 0.3]
    return {key: OUTCOMES[key](rng) for key in keys or ["weight"]}


def document(
    rng: Random,
    *,
    when: Callable[[Random], Table] = condition,
    then: Callable[[Random], Table] = outcomes,
    most_rules: int = 8,
) -> RulesetDocument:
    rules = [
        {"id": f"r{at}", "when": [when(rng) for _ in range(rng.randint(0, 3))], "then": then(rng)}
        for at in range(rng.randint(1, most_rules))
    ]
    raw: Table = {"mode": rng.choice(["first_match", "accumulate"]), "rules": rules}
    if coin(rng):
        raw["otherwise"] = then(rng)
    return from_mapping(raw)


def payment(rng: Random) -> Payment:
    def maybe(values: Sequence[Any]) -> Any:
        return rng.choice([None, *values])

    return Payment(
        amount_minor=rng.choice(AMOUNTS),
        currency=rng.choice(WORDS["currency"]),
        method=rng.choice(WORDS["method"]),
        capture_method=rng.choice(WORDS["capture_method"]),
        network=maybe(WORDS["network"]),
        funding=maybe(WORDS["funding"]),
        channel=maybe(WORDS["channel"]),
        three_ds=maybe(WORDS["three_ds"]),
        issuer_country=maybe(WORDS["issuer_country"]),
        billing_country=maybe(WORDS["billing_country"]),
        bin=maybe(BINS),
        recurring=maybe((True, False)),
        risk_score=maybe(RISKS),
        metadata={key: rng.choice(VALUES) for key in some(rng, KEYS)} if coin(rng) else {},
        # Two weeks around the start of summer time in Berlin, at odd seconds.
        now_ns=rng.randint(1_774_000_000, 1_775_300_000) * 10**9 + 7,
    )
