"""RoutingService: the table of its methods, and how rulesets and decisions are told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from turnout import v1
from turnout.domain.cards import CardFacts
from turnout.domain.errors import FieldError, InvalidRequest
from turnout.domain.payment import Address, PaymentDetails
from turnout.orchestration.commands import (
    ActivateRulesetCommand,
    Caller,
    CreateRulesetCommand,
    RollbackRulesetCommand,
    SimulateCommand,
)
from turnout.orchestration.explanations import Explained
from turnout.orchestration.rulesets import Ruleset, RulesetState
from turnout.routing import FilteredAccount, RankedAccount
from turnout.routing.explain import AccountReason, explain
from turnout.routing.rules.diff import ChangeKind, diff
from turnout.routing.rules.findings import Finding, Severity
from turnout.server import decode, enums, pages
from turnout.server.documents import content_of, fill_document
from turnout.server.encode import fill_time
from turnout.server.face import Face, Mutation, Query, Unary
from turnout.server.replay import encode_replay, replay_command
from turnout.server.services import Explanations, Replays, Rulesets

SERVICE = "turnout.v1.RoutingService"

# Two-sided, 95 percent of a normal distribution.
_Z = 1.96
_SEED_DIGITS = 16
_STATE = {
    RulesetState.DRAFT: v1.RULESET_STATE_DRAFT,
    RulesetState.ACTIVE: v1.RULESET_STATE_ACTIVE,
    RulesetState.RETIRED: v1.RULESET_STATE_RETIRED,
}
_SEVERITY = {
    Severity.ERROR: v1.FINDING_SEVERITY_ERROR,
    Severity.WARNING: v1.FINDING_SEVERITY_WARNING,
    Severity.NOTE: v1.FINDING_SEVERITY_NOTE,
}
_CHANGE = {
    ChangeKind.ADDED: v1.RULESET_CHANGE_KIND_ADDED,
    ChangeKind.REMOVED: v1.RULESET_CHANGE_KIND_REMOVED,
    ChangeKind.CHANGED: v1.RULESET_CHANGE_KIND_CHANGED,
    ChangeKind.MOVED: v1.RULESET_CHANGE_KIND_MOVED,
}


class RoutingFace:
    """RoutingService over orchestration's Rulesets, Explanations and Replays."""

    def __init__(self, rulesets: Rulesets, explanations: Explanations, replays: Replays) -> None:
        self._rulesets = rulesets
        self._explanations = explanations
        self._replays = replays

    def methods(self, face: Face) -> list[Unary]:
        """What grpc may call."""
        does = self._rulesets
        return [
            Mutation(face, "CreateRuleset", v1.CreateRulesetRequest, _create, does.create),
            Mutation(face, "ActivateRuleset", v1.ActivateRulesetRequest, _activate, does.activate),
            Mutation(face, "RollbackRuleset", v1.RollbackRulesetRequest, _rollback, does.rollback),
            Query(face, "ValidateRuleset", v1.ValidateRulesetRequest, self._validate),
            Query(face, "DiffRulesets", v1.DiffRulesetsRequest, self._diff),
            Query(face, "ListRulesets", v1.ListRulesetsRequest, self._list),
            Query(face, "GetRuleset", v1.GetRulesetRequest, self._get),
            Query(face, "ExplainDecision", v1.ExplainDecisionRequest, self._explain),
            Query(face, "SimulateRouting", v1.SimulateRoutingRequest, self._simulate),
            Query(face, "ReplayDecisions", v1.ReplayDecisionsRequest, self._replay),
        ]

    async def _validate(self, caller: Caller, request: v1.ValidateRulesetRequest) -> bytes:
        content = await asyncio.to_thread(content_of, request.document)
        answer = v1.ValidateRulesetResponse()
        for one in await self._rulesets.validate(caller, request.profile_id, content):
            _fill_finding(answer.findings.add(), one)
        return answer.SerializeToString()

    async def _diff(self, caller: Caller, request: v1.DiffRulesetsRequest) -> bytes:
        before, after = await self._rulesets.documents(
            caller,
            request.profile_id,
            _version(request.from_version),
            _version(request.to_version),
            await _content(request),
        )
        answer = v1.DiffRulesetsResponse()
        for one in await asyncio.to_thread(diff, before, after):
            change = answer.changes.add(
                kind=_CHANGE[one.kind], rule_id=one.rule_id, path=one.path, text=one.text
            )
            change.from_json = _json(one.before)
            change.to_json = _json(one.after)
        return answer.SerializeToString()

    async def _get(self, caller: Caller, request: v1.GetRulesetRequest) -> bytes:
        found = await self._rulesets.get(caller, request.profile_id, _version(request.version))
        return await asyncio.to_thread(encode_ruleset, found)

    async def _list(self, caller: Caller, request: v1.ListRulesetsRequest) -> bytes:
        page = pages.read_page(request, caller)
        before = page.after[0] if page.after else 0
        found = await self._rulesets.page(caller, request.profile_id, before, page.limit)
        answer = v1.ListRulesetsResponse()
        for one in found[: page.size]:
            _fill_ruleset(answer.rulesets.add(), one)
        answer.next_page_token = page.next_token(found, lambda last: (last.record.version, ""))
        return answer.SerializeToString()

    async def _explain(self, caller: Caller, request: v1.ExplainDecisionRequest) -> bytes:
        found = await self._explanations.explain(caller, request.decision_id, request.payment_id)
        return _encode_explained(found)

    async def _simulate(self, caller: Caller, request: v1.SimulateRoutingRequest) -> bytes:
        command = _simulation(request)
        command.content = await _content(request)
        return _encode_explained(await self._explanations.simulate(caller, command))

    async def _replay(self, caller: Caller, request: v1.ReplayDecisionsRequest) -> bytes:
        return encode_replay(await self._replays.replay(caller, replay_command(request)))


# --- requests ------------------------------------------------------------------------------


def _create(request: v1.CreateRulesetRequest) -> CreateRulesetCommand:
    if not request.HasField("document"):
        raise decode.required("document")
    document = request.document
    return CreateRulesetCommand(
        request.profile_id, lambda: content_of(document), request.description
    )


async def _content(
    request: v1.DiffRulesetsRequest | v1.SimulateRoutingRequest,
) -> dict[str, object] | None:
    """The document of a request that may do without; thousands of rules take a while."""
    if not request.HasField("document"):
        return None
    return await asyncio.to_thread(content_of, request.document)


def _activate(request: v1.ActivateRulesetRequest) -> ActivateRulesetCommand:
    return ActivateRulesetCommand(request.profile_id, _version(request.version))


def _rollback(request: v1.RollbackRulesetRequest) -> RollbackRulesetCommand:
    return RollbackRulesetCommand(request.profile_id)


def _version(version: int) -> int:
    if version < 0:
        raise InvalidRequest(
            [FieldError("version", "VERSION_INVALID", "versions count 1, 2, 3 and so on")]
        )
    return version


def _simulation(request: v1.SimulateRoutingRequest) -> SimulateCommand:
    if not request.HasField("facts"):
        raise decode.required("facts")
    facts = request.facts
    country = facts.billing_country
    details = PaymentDetails(
        billing_address=Address(country=country) if country else None,
        metadata=dict(facts.metadata),
        channel=decode.optional_word(
            enums.CHANNEL_WORD, facts.channel, "facts.channel", "Channel"
        ),
        recurring=facts.recurring if facts.HasField("recurring") else None,
        three_ds=decode.optional_word(
            enums.THREE_D_SECURE_STATE_WORD, facts.three_ds, "facts.three_ds", "ThreeDSecureState"
        ),
        risk_score=facts.risk_score if facts.HasField("risk_score") else None,
    )
    card = CardFacts(
        decode.word(enums.NETWORK_WORD, facts.network, "facts.network", "CardNetwork"),
        facts.bin,
        funding=decode.word(enums.FUNDING_WORD, facts.funding, "facts.funding", "CardFunding"),
        issuer_country=facts.issuer_country,
    )
    return SimulateCommand(
        request.profile_id,
        facts.amount_minor,
        facts.currency,
        decode.word(
            enums.CAPTURE_METHOD_WORD,
            facts.capture_method,
            "facts.capture_method",
            "CaptureMethod",
        ),
        card,
        details,
        _version(request.version),
        seed=_seed(request.seed),
        time_ns=pages.time_ns(request, "time"),
    )


def _seed(text: str) -> int | None:
    if not text:
        return None
    if len(text) <= _SEED_DIGITS and all(one in "0123456789abcdefABCDEF" for one in text):
        return int(text, 16)
    raise InvalidRequest(
        [FieldError("seed", "SEED_INVALID", f"a seed is 1 to {_SEED_DIGITS} hexadecimal digits")]
    )


# --- answers -------------------------------------------------------------------------------


def encode_ruleset(ruleset: Ruleset) -> bytes:
    """A ruleset as the API shows it, whole."""
    out = v1.Ruleset()
    _fill_ruleset(out, ruleset)
    fill_document(out.document, ruleset.content)
    for one in ruleset.findings or ():
        _fill_finding(out.findings.add(), one)
    return out.SerializeToString()


def _fill_ruleset(out: v1.Ruleset, ruleset: Ruleset) -> None:
    record = ruleset.record
    out.profile_id = record.profile_id
    out.mode = enums.MODE[record.live]
    out.version = record.version
    out.state = _STATE[ruleset.state]
    out.description = record.description
    fill_time(out.created_at, record.created_at_ns)
    if ruleset.activated_at_ns:
        fill_time(out.activated_at, ruleset.activated_at_ns)


def _fill_finding(out: v1.RulesetFinding, finding: Finding) -> None:
    out.severity = _SEVERITY[finding.severity]
    out.code = finding.code
    out.path = finding.path
    out.rule_ids.extend(finding.rule_ids)
    out.text = finding.text
    for fact, value in finding.witness:
        out.witness[fact] = value


def _encode_explained(told: Explained) -> bytes:
    decision = told.decision
    ranked, filtered = decision.ranked, decision.filtered
    said = explain(decision)
    out = v1.ExplainedDecision(
        decision_id=told.decision_id,
        payment_id=told.payment_id,
        profile_id=told.profile_id,
        mode=enums.MODE[told.live],
        summary=said.summary,
        ruleset_version=told.ruleset_version,
        matched_rules=decision.matched_rules,
        require_three_ds=decision.require_three_ds,
        degraded=decision.degraded,
        seed=f"{decision.seed:0{_SEED_DIGITS}x}",
        snapshot_version=decision.snapshot_version,
    )
    fill_time(out.decided_at, decision.now_ns)
    if decision.blocked is not None:
        out.blocked.rule_id = decision.blocked.rule_id
        out.blocked.reason = decision.blocked.reason
    _fill_accounts(out, ranked, filtered, said.accounts)
    return out.SerializeToString()


def _fill_accounts(
    out: v1.ExplainedDecision,
    ranked: Sequence[RankedAccount],
    filtered: Sequence[FilteredAccount],
    reasons: Sequence[AccountReason],
) -> None:
    """The accounts with their reasons, which stand in the same order: ranked, then filtered."""
    for why in reasons:
        out.accounts.add(account_id=why.account_id, text=why.text, change=why.change)
    for one, left_out in zip(out.accounts[len(ranked) :], filtered, strict=True):
        one.filtered_by = left_out.reason
    for place, (one, account) in enumerate(zip(out.accounts, ranked, strict=False), start=1):
        one.place = place
        one.tier = account.tier + 1
        one.gate = account.gate
        one.score = account.score
        one.propensity = account.propensity
        one.approval = account.approval
        one.approval_low = max(account.approval - _Z * account.approval_sd, 0.0)
        one.approval_high = min(account.approval + _Z * account.approval_sd, 1.0)
        one.failure_rate = account.failure_rate
        one.latency_ms = account.latency_ms
        one.fee_minor = round(account.fee_minor)
        if place > 1 and account.approval_to_lead is not None:
            one.approval_to_lead = account.approval_to_lead


def _json(value: object) -> str:
    return "" if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True)
