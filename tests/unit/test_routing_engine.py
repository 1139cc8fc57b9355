"""The routing engine as orchestration meets it."""

from __future__ import annotations

import threading

import pytest

from turnout.routing import (
    AmountLimit,
    CompiledConfig,
    Decision,
    Permit,
    Refusal,
    RoutingAccount,
    RoutingEngine,
    RoutingError,
    RoutingFacts,
    RoutingOutcome,
    RoutingProfile,
    RoutingSettings,
    compile_config,
)

S = 1_000_000_000
T0 = 1_700_000_000 * S
FACTS = RoutingFacts(
    amount_minor=1_000, currency="EUR", method="card", network="visa", bin="400000"
)


def engine(*accounts: RoutingAccount, settings: RoutingSettings | None = None) -> RoutingEngine:
    order = RoutingProfile("pro_1", [[account.id] for account in accounts])
    return RoutingEngine(compile_config(accounts, [order], settings))


def two() -> RoutingEngine:
    return engine(RoutingAccount("acc_a"), RoutingAccount("acc_b"))


def decide(
    router: RoutingEngine, facts: RoutingFacts = FACTS, now_ns: int = T0, seed: int = 1
) -> Decision:
    return router.decide("pro_1", facts, decision_id="dec_1", now_ns=now_ns, seed=seed)


def call(
    router: RoutingEngine, account_id: str, outcome: RoutingOutcome, now_ns: int = T0
) -> None:
    permit = router.begin(account_id, now_ns=now_ns, decision=decide(router, now_ns=now_ns))
    assert isinstance(permit, Permit)
    router.finish(permit, outcome, latency_ms=200.0, now_ns=now_ns)


@pytest.mark.parametrize(
    ("account", "facts", "reason"),
    [
        (RoutingAccount("acc_a", enabled=False), FACTS, "disabled"),
        (RoutingAccount("acc_a", methods=["wallet"]), FACTS, "method"),
        (RoutingAccount("acc_a", networks=["amex"]), FACTS, "network"),
        (RoutingAccount("acc_a", currencies=["USD"]), FACTS, "currency"),
        (
            RoutingAccount("acc_a", countries=["DE"]),
            RoutingFacts(issuer_country="FR"),
            "issuer_country",
        ),
        (
            RoutingAccount("acc_a", amount_limits={"EUR": AmountLimit(min_minor=1_001)}),
            FACTS,
            "amount_below_min",
        ),
        (
            RoutingAccount("acc_a", amount_limits={"EUR": AmountLimit(max_minor=999)}),
            FACTS,
            "amount_above_max",
        ),
        (RoutingAccount("acc_a"), RoutingFacts(capabilities=("multi_capture",)), "capability"),
        (RoutingAccount("acc_a"), RoutingFacts(excluded=("acc_a",)), "excluded"),
        (RoutingAccount("acc_a", require_known=["network"]), RoutingFacts(), "unknown_fact"),
        (RoutingAccount("acc_a", require_known=["amount"]), RoutingFacts(), "unknown_fact"),
    ],
)
def test_an_account_that_cannot_take_the_payment_is_filtered_with_its_reason(
    account: RoutingAccount, facts: RoutingFacts, reason: str
) -> None:
    decision = decide(
        engine(account, RoutingAccount("acc_b", capabilities=["multi_capture"])), facts
    )
    assert decision.account_ids == ["acc_b"]
    assert [(out.account_id, out.reason) for out in decision.filtered] == [("acc_a", reason)]
    assert decision.filtered[0].text


def test_unknown_facts_exclude_nobody_by_themselves() -> None:
    router = engine(RoutingAccount("acc_a", networks=["visa"], countries=["DE"], methods=["card"]))
    assert decide(router, RoutingFacts()).account_ids == ["acc_a"]


def test_the_profiles_order_is_kept_and_certain() -> None:
    router = two()
    decision = decide(router)
    assert decision.account_ids == ["acc_a", "acc_b"]
    assert [account.propensity for account in decision.ranked] == [1.0, 0.0]
    assert not decision.degraded
    assert decision.decision_id == "dec_1"


def test_a_tier_shares_its_first_places_by_score() -> None:
    accounts = [RoutingAccount("acc_a"), RoutingAccount("acc_b")]
    router = RoutingEngine(
        compile_config(accounts, [RoutingProfile("pro_1", [["acc_a", "acc_b"]])])
    )
    firsts = [decide(router, seed=seed).account_ids[0] for seed in range(1_000)]
    assert 400 < firsts.count("acc_a") < 600
    for _ in range(30):
        call(router, "acc_a", RoutingOutcome.ISSUER_DECLINED_SOFT)
        call(router, "acc_b", RoutingOutcome.APPROVED)
    ranked = decide(router).ranked
    assert [account.account_id for account in ranked] == ["acc_b", "acc_a"]
    assert ranked[0].propensity == 1.0


def test_an_outage_opens_the_breaker_and_a_probe_closes_it() -> None:
    router = two()
    for _ in range(4):
        call(router, "acc_a", RoutingOutcome.TECHNICAL_ERROR)
    assert decide(router).account_ids == ["acc_b", "acc_a"]
    view = router.health(now_ns=T0)[0]
    assert (view.breaker, view.reason, view.retry_in_s) == ("open", "error_rate", 5.0)
    refusal = router.begin("acc_a", now_ns=T0)
    assert refusal == Refusal("acc_a", "breaker_open", "error_rate", 5.0)
    later = T0 + 6 * S
    assert decide(router, now_ns=later).ranked[0].gate == "probe"
    for _ in range(2):
        call(router, "acc_a", RoutingOutcome.APPROVED, later)
    assert router.health(now_ns=later)[0].breaker == "closed"


def test_the_cap_refuses_and_required_calls_pass() -> None:
    router = engine(RoutingAccount("acc_a", max_in_flight=1), RoutingAccount("acc_b"))
    held = router.begin("acc_a", now_ns=T0)
    assert isinstance(held, Permit)
    assert decide(router).account_ids == ["acc_b", "acc_a"]
    refusal = router.begin("acc_a", now_ns=T0)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "at_capacity"
    capture = router.begin("acc_a", now_ns=T0, required=True)
    assert isinstance(capture, Permit)
    gone = router.begin("acc_x", now_ns=T0, required=True)
    assert isinstance(gone, Refusal)
    assert gone.code == "unknown_account"


def test_a_permit_is_finished_once() -> None:
    router = two()
    permit = router.begin("acc_a", now_ns=T0)
    assert isinstance(permit, Permit)
    router.finish(permit, RoutingOutcome.APPROVED, latency_ms=1.0, now_ns=T0)
    with pytest.raises(RoutingError) as caught:
        router.finish(permit, RoutingOutcome.APPROVED, latency_ms=1.0, now_ns=T0)
    assert caught.value.code == "unknown_permit"


def test_errors_have_codes_and_name_the_key() -> None:
    with pytest.raises(RoutingError, match=r"accounts\[1\]\.id") as caught:
        engine(RoutingAccount("acc_a"), RoutingAccount("acc_a"))
    assert caught.value.code == "invalid_config"
    with pytest.raises(RoutingError, match="settings") as caught:
        engine(RoutingAccount("acc_a"), settings=RoutingSettings(breaker={"opens_s": 3}))
    assert "opens_s" in str(caught.value)
    router = two()
    with pytest.raises(RoutingError) as caught:
        router.decide("pro_x", FACTS, decision_id="dec_1", now_ns=T0, seed=1)
    assert caught.value.code == "unknown_profile"
    with pytest.raises(RoutingError) as caught:
        decide(router, RoutingFacts(bin="4111111111111111"))
    assert caught.value.code == "invalid_facts"
    assert "4111" not in str(caught.value)
    with pytest.raises(RoutingError) as caught:
        router.restore(b"nonsense", now_ns=T0)
    assert caught.value.code == "corrupt_state"


def test_another_configuration_is_compiled_whole_or_not_at_all() -> None:
    router = two()
    before = router.snapshot_version
    with pytest.raises(RoutingError):
        CompiledConfig(b"{}")
    compiled = CompiledConfig(compile_config([RoutingAccount("acc_a")], []))
    router.install(compiled)
    assert compiled.snapshot_version == router.snapshot_version != before


def test_the_version_is_the_contents() -> None:
    one = engine(RoutingAccount("acc_a", currencies=["EUR", "USD"]))
    same = engine(RoutingAccount("acc_a", currencies=["USD", "EUR"]))
    other = engine(RoutingAccount("acc_a", currencies=["USD"]))
    assert one.snapshot_version == same.snapshot_version != other.snapshot_version


def test_a_restart_is_not_a_cold_start() -> None:
    router = two()
    for _ in range(4):
        call(router, "acc_a", RoutingOutcome.TIMEOUT)
    again = two()
    again.restore(router.save(), now_ns=T0 + S)
    assert again.health(now_ns=T0 + S) == router.health(now_ns=T0 + S)
    assert decide(again, now_ns=T0 + S).account_ids == ["acc_b", "acc_a"]


def test_late_answers_are_learnt() -> None:
    router = two()
    record = decide(router).record()
    router.observe("acc_a", record, RoutingOutcome.ISSUER_DECLINED_HARD, now_ns=T0)
    assert router.health(now_ns=T0)[0].answers == 1.0


def test_absurd_clocks_are_harmless() -> None:
    router = two()
    for absurd in (-(10**40), 10**40, -1, 0):
        call(router, "acc_a", RoutingOutcome.APPROVED, absurd)
    assert decide(router, now_ns=10**40).account_ids == ["acc_a", "acc_b"]


def test_threads_share_an_engine() -> None:
    router = two()
    rounds, workers = 2_000, 4
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for k in range(rounds):
                call(router, "acc_a", RoutingOutcome.APPROVED, T0 + k * S // 1_000)
                if k % 500 == 0:
                    router.restore(router.save(), now_ns=T0 + k * S // 1_000)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    view = router.health(now_ns=T0 + 2 * S)[0]
    assert view.in_flight <= workers  # Calls that were open while a state was saved are orphans.
    assert view.breaker == "closed"
