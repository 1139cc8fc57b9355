"""From payments to the routing engine and back: facts in, permits and outcomes out.

A profile is compiled twice, for test and for live accounts, so that a test key cannot reach a live
account by any rule or mistake.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from turnout.domain.accounts import Account, Profile
from turnout.domain.cards import CardFacts, Funding, Network
from turnout.domain.declines import RetryAdvice
from turnout.domain.members import members
from turnout.domain.outcomes import Outcome, OutcomeKind
from turnout.domain.payment import DecisionSummary, Payment
from turnout.routing import (
    AmountLimit,
    Decision,
    RoutingAccount,
    RoutingFacts,
    RoutingOutcome,
    RoutingProfile,
    RoutingSettings,
    compile_config,
)
from turnout.routing.explain import brief

_Funding = members(Funding)
_Network = members(Network)
_Outcome = members(OutcomeKind)
_Advice = members(RetryAdvice)
_Routed = members(RoutingOutcome)

MULTI_CAPTURE = "multi_capture"
# Health is saved under this name in the record, so that a restart is not a cold start.
STATE_BLOB = "routing_state"


@dataclass(frozen=True, slots=True)
class KeptRuleset:
    """A ruleset that the engine knows.

    Attributes:
        version: of the profile and mode.
        content: the document as plain data.
    """

    version: int
    content: Mapping[str, object] = field(repr=False)


ProfileMode = tuple[str, bool]
"""A profile's id, and whether it is about live payments."""

Rulesets = Mapping[ProfileMode, Sequence[KeptRuleset]]
"""What the engine keeps of each profile and mode: the active one, then those active before."""


def profile_key(profile_id: str, live: bool, version: int | None = None) -> str:
    """The engine's name of a profile in one mode.

    Args:
        profile_id: the profile.
        live: the mode.
        version: of a ruleset, 0 for none at all; None follows what is in force.
    """
    mode = "live" if live else "test"
    return f"{profile_id}/{mode}" if version is None else f"{profile_id}/{mode}#{version}"


def engine_config(
    accounts: Mapping[str, Account],
    profiles: Mapping[str, Profile],
    settings: RoutingSettings,
    rulesets: Rulesets | None = None,
) -> bytes:
    """The engine's configuration of these accounts, profiles and rulesets.

    A payment stays with the ruleset that it began with. So a profile is there several times: as
    `shop/test` with the active one, as `shop/test#7` with version 7, be it the active one or not,
    and as `shop/test#0` without any. Payments call it by the version, so that an engine which
    already knows the next one changes nothing for them.
    """
    compiled = [_account(account) for account in accounts.values()]
    routed = []
    for profile in profiles.values():
        for live in (False, True):
            tiers = [[one for one in tier if accounts[one].live is live] for tier in profile.tiers]
            tiers = [tier for tier in tiers if tier]
            known = (rulesets or {}).get((profile.profile_id, live), ())
            plain = RoutingProfile("", tiers, profile.objective, profile.explore)
            named: list[tuple[int | None, Mapping[str, object] | None]]
            named = [(None, known[0].content if known else None)]
            # A document that is tried without being stored has no version to be called by.
            named += [(one.version, one.content) for one in known if one.version]
            named.append((0, None))
            routed += [
                replace(plain, id=profile_key(profile.profile_id, live, name), ruleset=content)
                for name, content in named
            ]
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


def facts_of(payment: Payment, card: CardFacts) -> RoutingFacts:
    """What the engine may know of a card payment."""
    said = payment.details
    # Words of enums are strings; asking for `.value` is dearer than all the rest. By position:
    # that costs half of the names.
    return RoutingFacts(
        payment.amount_minor,
        payment.currency,
        "card",
        None if card.network is _Network.UNKNOWN else card.network,
        None if card.funding is _Funding.UNKNOWN else card.funding,
        card.bin or None,
        card.issuer_country or None,
        None,
        None,
        False,
        payment.capture_method,
        said.channel,
        said.three_ds,
        said.billing_address.country or None if said.billing_address else None,
        said.recurring,
        said.risk_score,
        said.metadata or None,
        payment.payment_id,
    )


@dataclass(slots=True)
class Choice:
    """A decision, and which ruleset it followed.

    Attributes:
        ruleset_version: 0 for none.
        notes: what else is to be said of it, in sentences.
    """

    decision: Decision
    ruleset_version: int
    notes: tuple[str, ...] = ()


def routing_outcome(outcome: Outcome) -> RoutingOutcome:
    """What an answer says of the account's health and of the issuer's mind."""
    kind = outcome.kind
    if kind is _Outcome.SUCCEEDED:
        return _Routed.APPROVED
    if kind is _Outcome.DECLINED:
        why = outcome.decline
        if why is None or why.soft or why.advice is _Advice.RETRY_LATER:
            return _Routed.ISSUER_DECLINED_SOFT
        return _Routed.ISSUER_DECLINED_HARD
    if kind is _Outcome.NOT_PROCESSED:
        return _Routed.TECHNICAL_ERROR
    if kind is _Outcome.UNKNOWN:
        return _Routed.TIMEOUT
    # The provider works and nobody has decided yet.
    return _Routed.ABANDONED


def summary_of(choice: Choice, config_version: int) -> DecisionSummary:
    """What a payment keeps of its decision."""
    decision = choice.decision
    return DecisionSummary(
        decision.decision_id,
        decision.account_ids[0],
        decision.account_ids,
        [*choice.notes, *brief(decision)],
        decision.snapshot_version,
        config_version,
        decision.now_ns,
        decision.degraded,
        choice.ruleset_version,
        list(decision.matched_rules),
    )
