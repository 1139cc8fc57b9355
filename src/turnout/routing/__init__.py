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
    RoutingAccount,
    RoutingProfile,
    RoutingSettings,
    compile_config,
)

__all__ = [
    "AccountHealth",
    "AmountLimit",
    "Decision",
    "Permit",
    "Refusal",
    "RoutingAccount",
    "RoutingEngine",
    "RoutingError",
    "RoutingFacts",
    "RoutingOutcome",
    "RoutingProfile",
    "RoutingSettings",
    "compile_config",
]
