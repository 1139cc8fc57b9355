"""Routing: the best account for each payment, decided in the Rust core, explained here."""

from turnout.routing.engine import (
    AccountHealth,
    Decision,
    Permit,
    Refusal,
    RoutingEngine,
    RoutingError,
    RoutingFacts,
    RoutingOutcome,
)
from turnout.routing.snapshot import (
    AmountLimit,
    FeeLine,
    RoutingAccount,
    RoutingFees,
    RoutingObjective,
    RoutingProfile,
    RoutingSettings,
    compile_config,
)

__all__ = [
    "AccountHealth",
    "AmountLimit",
    "Decision",
    "FeeLine",
    "Permit",
    "Refusal",
    "RoutingAccount",
    "RoutingEngine",
    "RoutingError",
    "RoutingFacts",
    "RoutingFees",
    "RoutingObjective",
    "RoutingOutcome",
    "RoutingProfile",
    "RoutingSettings",
    "compile_config",
]
