"""From payments to the routing engine and back: facts in, permits and outcomes out.

A profile is compiled twice, for test and for live accounts, so that a test key cannot reach a live
account by any rule or mistake.
"""

from __future__ import annotations

from collections.abc import Mapping

from turnout.domain.accounts import Account, Profile
from turnout.domain.cards import CardFacts, Funding, Network
from turnout.domain.declines import RetryAdvice
from turnout.domain.outcomes import Outcome, OutcomeKind
from turnout.domain.payment import DecisionSummary
from turnout.routing.engine import Decision, RoutingEngine, RoutingFacts, RoutingOutcome
from turnout.routing.explain import brief
from turnout.routing.snapshot import (
    AmountLimit,
    RoutingAccount,
    RoutingProfile,
    RoutingSettings,
    compile_config,
)

MULTI_CAPTURE = "multi_capture"
# Health is saved under this name in the record, so that a restart is not a cold start.
STATE_BLOB = "routing_state"


def profile_key(profile_id: str, live: bool) -> str:
    """The engine's name of a profile in one mode."""
    return f"{profile_id}/{'live' if live else 'test'}"


def engine_config(
    accounts: Mapping[str, Account],
    profiles: Mapping[str, Profile],
    settings: RoutingSettings,
) -> bytes:
    """The engine's configuration of these accounts and profiles."""
    compiled = [_account(account) for account in accounts.values()]
    routed = []
    for profile in profiles.values():
        for live in (False, True):
            tiers = [[one for one in tier if accounts[one].live is live] for tier in profile.tiers]
            kept = [tier for tier in tiers if tier]
            key = profile_key(profile.profile_id, live)
            routed.append(RoutingProfile(key, kept, profile.objective, profile.explore))
    return compile_config(compiled, routed, settings)


def _account(account: Account) -> RoutingAccount:
    return RoutingAccount(
        account.account_id,
        enabled=account.enabled,
        methods=sorted(account.methods),
        networks=sorted(account.networks),
        currencies=sorted(account.currencies),
        countries=sorted(account.countries),
        capabilities=(MULTI_CAPTURE,) if account.multi_capture else (),
        amount_limits={
            currency: AmountLimit(limit.min_minor or None, limit.max_minor or None)
            for currency, limit in account.limits.items()
        },
        max_in_flight=account.max_in_flight,
        adaptive_in_flight=account.adaptive_in_flight,
        rate_per_s=account.rate_limit.per_s,
        rate_burst=account.rate_limit.burst,
        require_known=sorted(account.require_known),
        fees=account.fees,
    )


def facts_of(amount_minor: int, currency: str, card: CardFacts) -> RoutingFacts:
    """What the engine may know of a card payment."""
    return RoutingFacts(
        amount_minor=amount_minor,
        currency=currency,
        method="card",
        network=None if card.network is Network.UNKNOWN else card.network.value,
        funding=None if card.funding is Funding.UNKNOWN else card.funding.value,
        bin=card.bin or None,
        issuer_country=card.issuer_country or None,
    )


def routing_outcome(outcome: Outcome) -> RoutingOutcome:
    """What an answer says of the account's health and of the issuer's mind."""
    kind = outcome.kind
    if kind is OutcomeKind.SUCCEEDED:
        return RoutingOutcome.APPROVED
    if kind is OutcomeKind.DECLINED:
        why = outcome.decline
        if why is None or why.soft or why.advice is RetryAdvice.RETRY_LATER:
            return RoutingOutcome.ISSUER_DECLINED_SOFT
        return RoutingOutcome.ISSUER_DECLINED_HARD
    if kind is OutcomeKind.NOT_PROCESSED:
        return RoutingOutcome.TECHNICAL_ERROR
    if kind is OutcomeKind.UNKNOWN:
        return RoutingOutcome.TIMEOUT
    # The provider works and nobody has decided yet.
    return RoutingOutcome.ABANDONED


def summary_of(decision: Decision, config_version: int) -> DecisionSummary:
    """What a payment keeps of its decision."""
    return DecisionSummary(
        decision.decision_id,
        decision.account_ids[0],
        decision.account_ids,
        brief(decision),
        decision.snapshot_version,
        config_version,
        decision.now_ns,
        decision.degraded,
    )


__all__ = [
    "MULTI_CAPTURE",
    "STATE_BLOB",
    "Decision",
    "RoutingEngine",
    "RoutingSettings",
    "engine_config",
    "facts_of",
    "profile_key",
    "routing_outcome",
    "summary_of",
]
