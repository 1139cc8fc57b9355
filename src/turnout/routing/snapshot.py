"""The router's configuration as plain Python, and its JSON for the core.

The JSON is canonical (sorted keys, no spaces), because the snapshot's version is a number made
of its bytes: the same configuration must give the same version on every host.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields

from turnout.domain.accounts import Fees, Objective


@dataclass(frozen=True, slots=True)
class AmountLimit:
    """What an account takes in one currency, in its minor units; None means no limit."""

    min_minor: int | None = None
    max_minor: int | None = None


@dataclass(frozen=True, slots=True)
class RoutingAccount:
    """An account as routing knows it. Empty collections mean "any".

    Attributes:
        id: The account's id; unique.
        enabled: Whether new payments may go there.
        methods: Payment methods, say "card".
        networks: Card networks, say "visa".
        currencies: ISO 4217 codes.
        countries: Issuer countries, ISO 3166-1 alpha-2.
        capabilities: What it can do beyond the ordinary, say "multi_capture".
        amount_limits: By currency.
        max_in_flight: Calls open at once; 0 means no cap.
        adaptive_in_flight: Lower the cap while calls fail or take several times as long.
        rate_per_s: Calls a second; 0 means no limit.
        rate_burst: Calls at once after a pause; 0 means one second's worth.
        require_known: Facts without which it takes no payment: amount, currency, method,
            network, issuer_country.
        fees: What an approved payment costs there.
    """

    id: str
    enabled: bool = True
    methods: Sequence[str] = ()
    networks: Sequence[str] = ()
    currencies: Sequence[str] = ()
    countries: Sequence[str] = ()
    capabilities: Sequence[str] = ()
    amount_limits: Mapping[str, AmountLimit] = field(default_factory=dict)
    max_in_flight: int = 0
    adaptive_in_flight: bool = False
    rate_per_s: float = 0.0
    rate_burst: float = 0.0
    require_known: Sequence[str] = ()
    fees: Fees = field(default_factory=Fees)


@dataclass(frozen=True, slots=True)
class RoutingProfile:
    """A profile's accounts in tiers, the preferred tier first.

    Accounts of one tier compete by what the objective makes of their estimates; a tier with one
    account is a plain priority order.

    Attributes:
        id: The profile's id; unique.
        tiers: Account ids.
        objective: What is wanted.
        explore: Whether payments may be used for finding out which account is best.
        ruleset: The merchant's rules as plain data (`rules.RulesetDocument.to_mapping`), or None.
    """

    id: str
    tiers: Sequence[Sequence[str]]
    objective: Objective = field(default_factory=Objective)
    explore: bool = True
    ruleset: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class RoutingSettings:
    """What may be tuned; what is not named keeps the core's default (docs/routing.md).

    Each mapping's keys are the core's own; an unknown one is an error that names it.
    `exchange_rates` are by ISO 4217 code against one currency of the merchant's choice.
    """

    health: Mapping[str, float] = field(default_factory=dict)
    breaker: Mapping[str, float] = field(default_factory=dict)
    choice: Mapping[str, float] = field(default_factory=dict)
    learning: Mapping[str, float] = field(default_factory=dict)
    exchange_rates: Mapping[str, float] = field(default_factory=dict)


def compile_config(
    accounts: Sequence[RoutingAccount],
    profiles: Sequence[RoutingProfile],
    settings: RoutingSettings | None = None,
) -> bytes:
    """Write the core's configuration.

    Nothing is checked here: the core checks everything, once, and names the key.
    """
    config = {
        "accounts": [_account(account) for account in accounts],
        "profiles": [_profile(profile) for profile in profiles],
        "settings": _settings(settings or RoutingSettings()),
    }
    return _canonical(config)


def fill_rulesets(config_json: bytes, rulesets: Mapping[str, Mapping[str, object]]) -> bytes:
    """The same configuration with other rulesets, by the profiles' ids.

    Profiles that are not named keep theirs. A snapshot is kept with its rulesets' versions in
    their places, and this puts the rulesets themselves back.
    """
    config = json.loads(config_json)
    for profile in config["profiles"]:
        if profile["id"] in rulesets:
            profile["ruleset"] = rulesets[profile["id"]]
    return _canonical(config)


def _canonical(config: object) -> bytes:
    return json.dumps(config, sort_keys=True, separators=(",", ":")).encode()


def _profile(profile: RoutingProfile) -> dict[str, object]:
    found: dict[str, object] = {
        "id": profile.id,
        "tiers": [list(tier) for tier in profile.tiers],
        "objective": asdict(profile.objective),
        "explore": profile.explore,
    }
    if profile.ruleset is not None:
        found["ruleset"] = profile.ruleset
    return found


def _account(account: RoutingAccount) -> dict[str, object]:
    return {
        "id": account.id,
        "enabled": account.enabled,
        # Sets of words: their order means nothing and must not make another version.
        "methods": sorted(account.methods),
        "networks": sorted(account.networks),
        "currencies": sorted(account.currencies),
        "countries": sorted(account.countries),
        "capabilities": sorted(account.capabilities),
        "amount_limits": {
            currency: asdict(limit) for currency, limit in account.amount_limits.items()
        },
        "max_in_flight": account.max_in_flight,
        "adaptive_in_flight": account.adaptive_in_flight,
        "rate_limit": {"per_s": account.rate_per_s, "burst": account.rate_burst},
        "require_known": sorted(account.require_known),
        "fees": asdict(account.fees),
    }


def _settings(settings: RoutingSettings) -> dict[str, dict[str, float]]:
    return {part.name: dict(getattr(settings, part.name)) for part in fields(settings)}
