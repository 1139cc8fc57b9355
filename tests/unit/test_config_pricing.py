"""Fees, limits and objectives in turnout.toml: read strictly, and in force in the engine."""

from pathlib import Path

import pytest

from turnout.app.house import check_config, engine_config_of
from turnout.config import ConfigError, Settings, load, write_sandbox_config
from turnout.domain.accounts import FeeLine, Fees, Objective, RateLimit
from turnout.routing import CompiledConfig, Decision, RoutingEngine, RoutingError, RoutingFacts

TEXT = """
[routing]
exchange_rates = { EUR = 1.0, USD = 0.8 }
learning = { account_sd = 0.4 }

[[merchants]]
id = "mer_a"
organisation = "org_a"
name = "A"
default_profile = "pro_a"

[[profiles]]
id = "pro_a"
merchant = "mer_a"
tiers = [["acc_dear", "acc_cheap"]]
explore = false
[profiles.objective]
kind = "cost"

[[accounts]]
id = "acc_dear"
merchant = "mer_a"
provider = "stripe"
base_url = "http://127.0.0.1:7101"
max_in_flight = 40
adaptive_in_flight = true
rate_limit = { per_s = 50, burst = 100 }
require_known = ["network", "issuer_country"]
[accounts.fees]
bps = 250
fixed_minor = 25.5
currency = "USD"
cross_border_bps = 100
home_country = "DE"
conversion_bps = 200
settlement_currencies = ["EUR", "USD"]
[[accounts.fees.lines]]
network = "visa"
funding = "debit"
issuer_country = "DE"
cross_border = false
bps = 20
fixed_minor = 1
[[accounts.fees.lines]]
bps = 150

[[accounts]]
id = "acc_cheap"
merchant = "mer_a"
provider = "stripe"
base_url = "http://127.0.0.1:7101"
fees = { bps = 40 }
"""
FACTS = RoutingFacts(10_000, "EUR", "card", "visa", "debit", issuer_country="DE")


def read(room: Path, text: str) -> Settings:
    path = room / "turnout.toml"
    path.write_text(text, encoding="utf-8")
    return load(path, {})


def decide(engine: RoutingEngine) -> Decision:
    return engine.decide("pro_a/test", FACTS, decision_id="dec_1", now_ns=1, seed=1)


def test_fees_and_limits_become_the_domains_types(tmp_path: Path) -> None:
    settings = read(tmp_path, TEXT)
    account = settings.accounts["acc_dear"]
    lines = (FeeLine("visa", "debit", "DE", False, 20.0, 1.0), FeeLine(bps=150.0))
    assert account.fees == Fees(250.0, 25.5, "USD", 100.0, "DE", 200.0, ("EUR", "USD"), lines)
    assert account.rate_limit == RateLimit(50.0, 100.0)
    assert (account.adaptive_in_flight, account.max_in_flight) == (True, 40)
    assert account.require_known == {"network", "issuer_country"}
    assert settings.profiles["pro_a"].objective == Objective("cost")
    assert not settings.profiles["pro_a"].explore
    assert settings.accounts["acc_cheap"].fees == Fees(40.0)


def test_a_file_without_them_is_as_before(tmp_path: Path) -> None:
    bare = TEXT[: TEXT.index("explore")] + TEXT[TEXT.index('[[accounts]]\nid = "acc_cheap"') :]
    settings = read(tmp_path, bare.replace('"acc_dear", ', "").replace("fees = { bps = 40 }", ""))
    assert settings.profiles["pro_a"].objective == Objective()
    assert settings.profiles["pro_a"].explore
    account = settings.accounts["acc_cheap"]
    assert (account.fees, account.rate_limit) == (Fees(), RateLimit())


def test_fees_decide_by_the_objective_and_a_reload_changes_both(tmp_path: Path) -> None:
    settings = read(tmp_path, TEXT)
    engine = RoutingEngine(engine_config_of(settings))
    first = decide(engine)
    assert first.account_ids == ["acc_cheap", "acc_dear"]
    # 250 and the first line's 20 bps, and 26.5 US cents at 0.8.
    by_id = {one.account_id: one.fee_minor for one in first.ranked}
    assert by_id["acc_dear"] == pytest.approx(270 + 26.5 * 0.8)
    assert by_id["acc_cheap"] == pytest.approx(40)
    newer = read(tmp_path, TEXT.replace("bps = 40 ", "bps = 900 "))
    assert newer.digest() != settings.digest()
    engine.install(CompiledConfig(engine_config_of(newer)))
    assert decide(engine).account_ids == ["acc_dear", "acc_cheap"]


def test_learning_settings_reach_the_engine(tmp_path: Path) -> None:
    for wrong, told in (("account_sd = 9", r"settings\.learning\.account_sd"), ("sd = 1", "sd")):
        settings = read(tmp_path, TEXT.replace("account_sd = 0.4", wrong))
        with pytest.raises(RoutingError, match=told):
            RoutingEngine(engine_config_of(settings))


def test_an_account_that_must_know_takes_no_unknown_payment(tmp_path: Path) -> None:
    engine = RoutingEngine(engine_config_of(read(tmp_path, TEXT)))
    facts = RoutingFacts(10_000, "EUR", "card")
    decision = engine.decide("pro_a/test", facts, decision_id="dec_1", now_ns=1, seed=1)
    assert [(one.account_id, one.reason) for one in decision.filtered] == [
        ("acc_dear", "unknown_fact")
    ]


FAULTS: list[tuple[str, str, str]] = [
    ("fixed_minor = 25.5", "fixd_minor = 1", "accounts[0].fees.fixd_minor: there is no such opt"),
    ("bps = 250", "bps = 20000", "accounts[0].fees.bps: is 20,000; the most is 10,000 bps"),
    ("bps = 250", "bps = '250'", "accounts[0].fees.bps: must be a number, not a string"),
    ('currency = "USD"', 'currency = "USX"', "accounts[0].fees.currency: 'USX' is no active ISO"),
    ('currency = "USD"', 'currency = "CHF"', "accounts[0].fees.currency: CHF has no rate in rout"),
    ('home_country = "DE"', "", "accounts[0].fees.home_country: is needed to tell what crosses"),
    ('home_country = "DE"', 'home_country = "UK"', "accounts[0].fees.home_country: 'UK' is no IS"),
    ('["EUR", "USD"]', "[]", "accounts[0].fees.settlement_currencies: is needed to tell what is"),
    ('["EUR", "USD"]', '["EU"]', "accounts[0].fees.settlement_currencies[0]: 'EU' is no active"),
    ('network = "visa"', 'network = "vsa"', "accounts[0].fees.lines[0].network: 'vsa' is no card"),
    ('"debit"', '"charge"', "accounts[0].fees.lines[0].funding: is 'charge'; known are"),
    (
        "cross_border = false",
        "cross_border = 0",
        "accounts[0].fees.lines[0].cross_border: must be",
    ),
    ('issuer_country = "DE"', 'issuer_country = "D"', "accounts[0].fees.lines[0].issuer_country:"),
    ("[[accounts.fees.lines]]\nbps", "[accounts.x]\nbps", "accounts[0].x: there is no such opti"),
    ("fees = { bps = 40 }", "fees = 40", "accounts[1].fees: must be a table, not a whole number"),
    (
        "per_s = 50",
        "per_second = 50",
        "accounts[0].rate_limit.per_second: there is no such option",
    ),
    ("per_s = 50, ", "", "accounts[0].rate_limit.burst: means nothing without per_s"),
    ("max_in_flight = 40", "", "accounts[0].adaptive_in_flight: has no cap to lower"),
    ('"network", ', '"netwrk", ', "accounts[0].require_known[0]: is 'netwrk'; did you mean netwo"),
    (
        'kind = "cost"',
        'kind = "costs"',
        "profiles[0].objective.kind: is 'costs'; did you mean cos",
    ),
    (
        'kind = "cost"',
        "margin_bps = 9",
        "profiles[0].objective.margin_bps: is for kind 'value', a",
    ),
    (
        'kind = "cost"',
        "kind = 'weighted'\napproval_per_fee_bps = -1",
        "profiles[0].objective.approval_per_fee_bps: is -1; the least is 0",
    ),
    ("explore = false", "explore = 'no'", "profiles[0].explore: must be true or false"),
    ("USD = 0.8", "USD = 0", "routing.exchange_rates.USD: is 0; the least is 1e-09"),
    ("USD = 0.8", "USD = 0.8, EUX = 1", "routing.exchange_rates.EUX: 'EUX' is no active ISO 4217"),
]


@pytest.mark.parametrize(("old", "new", "message"), FAULTS)
def test_each_fault_is_told_with_its_path(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in TEXT
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, TEXT.replace(old, new, 1))
    found = caught.value.problems
    assert any(one.startswith(message) for one in found), found


def test_the_configuration_for_local_work_shows_fees(tmp_path: Path) -> None:
    drawn = iter(range(1, 255))
    written = write_sandbox_config(tmp_path, lambda size: bytes([next(drawn)]) * size)
    settings = load(written.path, {})
    assert settings.accounts["acc_stripe_main"].fees.bps == 150
    assert len(settings.accounts["acc_adyen_main"].fees.lines) == 3
    check_config(settings)
