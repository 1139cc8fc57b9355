"""Random rulesets and payments, of few words, so that they meet."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.oracle.payment import Payment
from turnout.routing.rules import RulesetDocument, from_mapping

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
AMOUNTS = (0, 1, 99, 100, 101, 5_000, 10_000, 10**12)
RISKS = (0, 1, 50, 51, 99, 100)
KEYS = ("shop", "plan")
VALUES = ("", "a", "ab", "abc", "b", "B", "ä", "aß")
ZONES = ("UTC", "Europe/Berlin", "Asia/Kathmandu", "America/New_York")
CLOCKS = ("00:00", "00:01", "06:00", "09:30", "17:30", "23:59")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

missing = st.sampled_from(["match", "no_match"])


def some(values: tuple[Any, ...], most: int = 3) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=most, unique=True)


@st.composite
def word_conditions(draw: st.DrawFn, facts: tuple[str, ...] = tuple(WORDS)) -> dict[str, Any]:
    fact = draw(st.sampled_from(facts))
    words = draw(some(WORDS[fact], 5))
    if draw(st.booleans()):
        words = [word.swapcase() for word in words]
    return {"fact": fact, "in": words}


@st.composite
def number_conditions(draw: st.DrawFn) -> dict[str, Any]:
    fact, values = draw(st.sampled_from([("amount_minor", AMOUNTS), ("risk_score", RISKS)]))
    low, high = sorted(draw(st.tuples(st.sampled_from(values), st.sampled_from(values))))
    bounds = draw(st.sampled_from([("min",), ("max",), ("min", "max")]))
    return {"fact": fact} | {key: {"min": low, "max": high}[key] for key in bounds}


@st.composite
def bin_conditions(draw: st.DrawFn) -> dict[str, Any]:
    found: dict[str, Any] = {"fact": "bin"}
    starts = [one[:digits] for one in BINS for digits in (1, 4, 6, 7, 8)]
    if draw(st.booleans()):
        found["prefix"] = draw(some(tuple(starts)))
    if "prefix" not in found or draw(st.booleans()):
        pairs = st.tuples(st.sampled_from(starts), st.sampled_from(starts))
        even = pairs.filter(lambda pair: len(pair[0]) == len(pair[1]))
        found["ranges"] = [sorted(pair) for pair in draw(st.lists(even, min_size=1, max_size=2))]
    return found


@st.composite
def metadata_conditions(draw: st.DrawFn) -> dict[str, Any]:
    found: dict[str, Any] = {"fact": "metadata", "key": draw(st.sampled_from(KEYS))}
    named = some(tuple(value for value in VALUES if value))
    if draw(st.booleans()):
        found["in"] = draw(named)
    if "in" not in found or draw(st.booleans()):
        found["prefix"] = draw(named)
    return found


@st.composite
def time_conditions(draw: st.DrawFn) -> dict[str, Any]:
    found: dict[str, Any] = {"fact": "time", "zone": draw(st.sampled_from(ZONES))}
    if draw(st.booleans()):
        found["days"] = draw(some(DAYS))
    start, end = draw(
        st.tuples(st.sampled_from(CLOCKS), st.sampled_from(CLOCKS)).filter(
            lambda pair: pair[0] != pair[1]
        )
    )
    keys = draw(st.sampled_from([("from",), ("until",), ("from", "until")]))
    found |= {key: {"from": start, "until": end}[key] for key in keys}
    if keys == ("until",) and end == "00:00":
        found["until"] = "12:00"
    return found


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, Any]:
    found: dict[str, Any] = draw(
        st.one_of(
            word_conditions(),
            number_conditions(),
            bin_conditions(),
            metadata_conditions(),
            time_conditions(),
            st.booleans().map(lambda truth: {"fact": "recurring", "is": truth}),
        )
    )
    if draw(st.booleans()):
        found["not"] = True
    optional = found["fact"] in KNOWN and draw(st.booleans())
    if found["fact"] != "time" and not optional:
        found["missing"] = draw(missing)
    return found


accounts = st.sampled_from(ACCOUNTS)
account_lists = st.lists(accounts, min_size=1, max_size=3, unique=True)
points = st.sampled_from([0.0, 0.5, 1.0, 2.0, 5.0, 50.0])


@st.composite
def tiers(draw: st.DrawFn) -> list[list[str]]:
    order = draw(st.permutations(ACCOUNTS))
    cut = draw(st.integers(1, 3))
    return [list(order[:cut]), list(order[cut : draw(st.integers(cut + 1, 4))])]


@st.composite
def caps(draw: st.DrawFn) -> dict[str, Any]:
    found: dict[str, Any] = {"account": draw(accounts), "per": draw(st.sampled_from(PERIODS))}
    if draw(st.booleans()):
        return found | {"payments": draw(st.integers(1, 5))}
    return found | {
        "amount_minor": draw(st.integers(1, 20_000)),
        "currency": draw(st.sampled_from(WORDS["currency"])),
    }


PERIODS = ("day", "month")
outcomes = st.fixed_dictionaries(
    {},
    optional={
        "only": account_lists,
        "exclude": account_lists,
        "priority": tiers(),
        "split": st.dictionaries(accounts, st.integers(1, 100), min_size=1, max_size=4),
        "weight": st.dictionaries(
            accounts, st.sampled_from([-1.0, -0.1, 0.0, 0.01, 0.3, 1.0]), min_size=1, max_size=4
        ),
        "cap": st.lists(caps(), min_size=1, max_size=2),
        "commit": st.lists(
            st.fixed_dictionaries(
                {
                    "account": accounts,
                    "payments": st.integers(1, 40),
                    "per": st.sampled_from(PERIODS),
                    "within_points": points,
                }
            ),
            min_size=1,
            max_size=2,
        ),
        "cheapest_within_points": points,
        "block": st.just("not taken"),
        "require_three_ds": st.just(True),
    },
).filter(bool)


@st.composite
def documents(
    draw: st.DrawFn,
    condition: st.SearchStrategy[dict[str, Any]] | None = None,
    outcome: st.SearchStrategy[dict[str, Any]] = outcomes,
    most_rules: int = 8,
) -> RulesetDocument:
    chosen = st.lists(condition if condition is not None else conditions(), max_size=3)
    whens = draw(st.lists(chosen, min_size=1, max_size=most_rules))
    raw: dict[str, Any] = {
        "mode": draw(st.sampled_from(["first_match", "accumulate"])),
        "rules": [
            {"id": f"r{at}", "when": when, "then": draw(outcome)} for at, when in enumerate(whens)
        ],
    }
    if draw(st.booleans()):
        raw["otherwise"] = draw(outcome)
    return from_mapping(raw)


def maybe(values: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    return st.none() | st.sampled_from(values)


payments = st.builds(
    Payment,
    amount_minor=st.sampled_from(AMOUNTS),
    currency=st.sampled_from(WORDS["currency"]),
    method=st.sampled_from(WORDS["method"]),
    capture_method=st.sampled_from(WORDS["capture_method"]),
    **{
        fact: maybe(WORDS[fact])
        for fact in ("network", "funding", "channel", "three_ds", "issuer_country")
    },
    billing_country=maybe(WORDS["billing_country"]),
    bin=maybe(BINS),
    recurring=maybe((True, False)),
    risk_score=maybe(RISKS),
    metadata=st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES)),
    # Two weeks around the start of summer time in Berlin, at odd seconds.
    now_ns=st.integers(1_774_000_000, 1_775_300_000).map(lambda second: second * 10**9 + 7),
)
