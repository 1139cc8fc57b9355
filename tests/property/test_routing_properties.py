"""What holds for any accounts, any payment and any history, through the border to Rust."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from turnout.routing import (
    AmountLimit,
    Permit,
    RoutingAccount,
    RoutingEngine,
    RoutingError,
    RoutingFacts,
    RoutingOutcome,
    RoutingProfile,
    compile_config,
)

NETWORKS = ("visa", "mastercard", "amex")
CURRENCIES = ("EUR", "USD")
COUNTRIES = ("DE", "US", "BR")
IDS = tuple(f"acc_{k}" for k in range(5))
CLOCK = st.integers(-(10**30), 10**30)

some = st.lists
account = st.builds(
    RoutingAccount,
    id=st.just(""),
    enabled=st.booleans(),
    networks=some(st.sampled_from(NETWORKS), max_size=2),
    currencies=some(st.sampled_from(CURRENCIES), max_size=1),
    countries=some(st.sampled_from(COUNTRIES), max_size=2),
    capabilities=some(st.just("multi_capture"), max_size=1),
    amount_limits=st.dictionaries(
        st.sampled_from(CURRENCIES),
        st.builds(AmountLimit, st.none() | st.integers(0, 50), st.none() | st.integers(50, 100)),
    ),
)
ASKED = (
    *("amount_minor", "currency", "method", "network", "funding", "bin", "issuer_country"),
    *("capabilities", "excluded"),
)
facts = st.builds(
    RoutingFacts,
    amount_minor=st.none() | st.integers(-(2**63), 2**63 - 1) | st.integers(0, 120),
    currency=st.none() | st.sampled_from(CURRENCIES),
    method=st.none() | st.just("card"),
    network=st.none() | st.sampled_from(NETWORKS) | st.text(max_size=8),
    funding=st.none() | st.sampled_from(("credit", "debit")),
    bin=st.none() | st.from_regex(r"[0-9]{6,8}", fullmatch=True).filter(str.isascii),
    issuer_country=st.none() | st.sampled_from(COUNTRIES),
    capabilities=st.none() | st.just(("multi_capture",)),
    excluded=st.none() | some(st.sampled_from(IDS), max_size=2),
    # Of a named tuple hypothesis also makes up what has a default; these no account asks for.
    **{
        name: st.just(value)
        for name, value in RoutingFacts._field_defaults.items()
        if name not in ASKED
    },
)
history = some(
    st.tuples(
        st.sampled_from(IDS),
        facts,
        st.sampled_from(RoutingOutcome),
        st.floats(allow_nan=True, allow_infinity=True),
        CLOCK,
    ),
    max_size=25,
)


@st.composite
def configs(draw: st.DrawFn) -> list[tuple[RoutingAccount, int]]:
    drawn = draw(st.lists(st.tuples(account, st.integers(0, 2)), min_size=1, max_size=5))
    return [
        (
            RoutingAccount(
                IDS[k],
                enabled=a.enabled,
                networks=a.networks,
                currencies=a.currencies,
                countries=a.countries,
                capabilities=a.capabilities,
                amount_limits=a.amount_limits,
            ),
            tier,
        )
        for k, (a, tier) in enumerate(drawn)
    ]


def make(config: list[tuple[RoutingAccount, int]]) -> RoutingEngine:
    tiers = [[a.id for a, tier in config if tier == t] for t in range(3)]
    return RoutingEngine(compile_config([a for a, _ in config], [RoutingProfile("pro_1", tiers)]))


def live(
    engine: RoutingEngine, past: list[tuple[str, RoutingFacts, RoutingOutcome, float, int]]
) -> None:
    for account_id, paid, outcome, latency_ms, now_ns in past:
        decision = engine.decide("pro_1", paid, decision_id="dec_0", now_ns=now_ns, seed=0)
        permit = engine.begin(account_id, now_ns=now_ns, decision=decision)
        if isinstance(permit, Permit):
            engine.finish(permit, outcome, latency_ms=latency_ms, now_ns=now_ns)


def takes(a: RoutingAccount, paid: RoutingFacts) -> bool:
    """Eligibility once more, said in the plainest way."""

    def listed(words: object, fact: str | None) -> bool:
        return not words or not fact or fact in words  # type: ignore[operator]

    limit = a.amount_limits.get(paid.currency or "", AmountLimit())
    amount = paid.amount_minor
    return (
        a.enabled
        and a.id not in (paid.excluded or ())
        and listed(a.networks, paid.network)
        and listed(a.currencies, paid.currency)
        and listed(a.countries, paid.issuer_country)
        and set(paid.capabilities or ()) <= set(a.capabilities)
        and (amount is None or limit.min_minor is None or amount >= limit.min_minor)
        and (amount is None or limit.max_minor is None or amount <= limit.max_minor)
    )


@given(config=configs(), past=history, paid=facts, seed=st.integers(0, 2**64 - 1), now=CLOCK)
@settings(max_examples=150, deadline=None)
def test_a_decision_names_exactly_the_eligible_with_honest_propensities(
    config: list[tuple[RoutingAccount, int]],
    past: list[tuple[str, RoutingFacts, RoutingOutcome, float, int]],
    paid: RoutingFacts,
    seed: int,
    now: int,
) -> None:
    engine = make(config)
    live(engine, past)
    decision = engine.decide("pro_1", paid, decision_id="dec_1", now_ns=now, seed=seed)
    # Payment networks are matched whatever their case.
    assert sorted(decision.account_ids) == [a.id for a, _ in config if takes(a, paid)]
    if decision.account_ids:
        total = math.fsum(account.propensity for account in decision.ranked)
        assert abs(total - 1.0) < 1e-12
        assert decision.ranked[0].propensity > 0
    for account in decision.ranked:
        assert 0.0 <= account.score <= 1.0
    for view in engine.health(now_ns=now):
        assert all(math.isfinite(x) for x in (view.approval, view.failure_rate, view.latency_ms))


@given(config=configs(), past=history, paid=facts, seed=st.integers(0, 2**64 - 1))
@settings(max_examples=100, deadline=None)
def test_the_same_inputs_give_the_same_bytes_also_after_a_restart(
    config: list[tuple[RoutingAccount, int]],
    past: list[tuple[str, RoutingFacts, RoutingOutcome, float, int]],
    paid: RoutingFacts,
    seed: int,
) -> None:
    one, two = make(config), make(config)
    live(one, past)
    live(two, past)
    now_ns = past[-1][4] if past else 0

    def record(engine: RoutingEngine) -> bytes:
        made = engine.decide("pro_1", paid, decision_id="dec_1", now_ns=now_ns, seed=seed)
        return made.record()

    assert record(one) == record(two)
    restarted = make(config)
    restarted.restore(one.save(), now_ns=now_ns)
    assert record(restarted) == record(one)
    replayed = make(config).replay(record(one), decision_id="dec_1")
    assert replayed.record() == record(one)


@given(blob=st.binary(max_size=200))
def test_no_bytes_get_through_the_border_as_anything_but_a_routing_error(blob: bytes) -> None:
    engine = make([(RoutingAccount("acc_0"), 0)])
    before = engine.save()
    for attempt in (
        lambda: RoutingEngine(blob),
        lambda: engine.restore(blob, now_ns=0),
        lambda: engine.replay(blob, decision_id="dec_1"),
    ):
        try:
            attempt()
        except RoutingError as error:
            assert error.code in {"invalid_config", "corrupt_state", "corrupt_record"}
        else:
            raise AssertionError("these bytes were taken")
    assert engine.save() == before
