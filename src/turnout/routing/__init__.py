"""Routing: the best account for each payment, decided in the Rust core, explained here."""

from turnout.routing.engine import (
    AccountHealth,
    Blocked,
    CompiledConfig,
    Decision,
    FilteredAccount,
    Permit,
    RankedAccount,
    Refusal,
    RoutingEngine,
    RoutingError,
    RoutingFacts,
    RoutingOutcome,
)
from turnout.routing.snapshot import (
    AmountLimit,
    RoutingAccount,
    RoutingProfile,
    RoutingSettings,
    compile_config,
    fill_rulesets,
)

__all__ = [
    "AccountHealth",
    "AmountLimit",
    "Blocked",
    "CompiledConfig",
    "Decision",
    "FilteredAccount",
    "Permit",
    "RankedAccount",
    "Refusal",
    "RoutingAccount",
    "RoutingEngine",
    "RoutingError",
    "RoutingFacts",
    "RoutingOutcome",
    "RoutingProfile",
    "RoutingSettings",
    "compile_config",
    "fill_rulesets",
]
