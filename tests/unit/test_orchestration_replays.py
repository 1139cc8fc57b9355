"""Recorded decisions tried under another ruleset, over the real engine and what it records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random

import pytest

from turnout.domain import ids
from turnout.domain.accounts import Account, Fees, Profile
from turnout.domain.operation import OperationState
from turnout.orchestration.replays import Candidate, ReplayReport, try_decisions
from turnout.orchestration.routes import KeptRuleset, engine_config, profile_key
from turnout.orchestration.snapshots import SnapshotLost
from turnout.ports import DecidedAttempt, DecisionFilter, DecisionRecord
from turnout.routing import Permit, RoutingEngine, RoutingFacts, RoutingOutcome, RoutingSettings
from turnout.routing.replay import DOUBLY_ROBUST, IPS

MERCHANT, PROFILE = "mer_shop", "pro_shop"
NAMES = ("acc_a", "acc_b", "acc_c")
TRUTH = {"acc_a": 0.85, "acc_b": 0.65, "acc_c": 0.85}
KEY = profile_key(PROFILE, False)
SECOND_NS = 1_000_000_000
START_NS = 1_790_000_000 * SECOND_NS
# Accounts are chosen widely, so that there is something to learn from.
SETTINGS = RoutingSettings(
    choice={"near_best": 1.0, "temperature": 1.0}, learning={"account_sd": 0.0}
)
ACCOUNTS = {
    name: Account(name, MERCHANT, "scripted", "http://127.0.0.1", fees=Fees(bps=bps))
    for name, bps in zip(NAMES, (150.0, 50.0, 0.0), strict=True)
}


def config(
    content: Mapping[str, object] | None = None, tiers: tuple[tuple[str, ...], ...] = (NAMES,)
) -> bytes:
    profile = Profile(PROFILE, MERCHANT, tiers)
    rulesets = {(PROFILE, False): (KeptRuleset(1, content),)} if content is not None else {}
    return engine_config(ACCOUNTS, {PROFILE: profile}, SETTINGS, rulesets)


def rules(**then: object) -> dict[str, object]:
    return {"mode": "first_match", "rules": [{"id": "all", "when": [], "then": then}]}


def candidate(content: Mapping[str, object]) -> Candidate:
    return Candidate(RoutingEngine(config(content)), KEY, content)


def decided(engine: RoutingEngine, count: int, seed: int = 1) -> list[DecidedAttempt]:
    """Payments as the engine routes them and issuers answer, newest first."""
    dice = Random(seed)
    found: list[DecidedAttempt] = []
    for number in range(count):
        now_ns = START_NS + number * SECOND_NS
        decision_id = ids.make_id(ids.DECISION, now_ns, dice.randbytes(ids.RANDOM_BYTES))
        facts = RoutingFacts(
            10_000, "EUR", "card", dice.choice(("visa", "mastercard")), sticky_key=decision_id
        )
        decision = engine.decide(
            KEY, facts, decision_id=decision_id, now_ns=now_ns, seed=dice.getrandbits(64)
        )
        account_id = decision.account_ids[0]
        permit = engine.begin(account_id, now_ns=now_ns, decision=decision)
        assert isinstance(permit, Permit)
        approved = dice.random() < TRUTH[account_id]
        said = RoutingOutcome.APPROVED if approved else RoutingOutcome.ISSUER_DECLINED_SOFT
        engine.finish(permit, said, latency_ms=100.0, now_ns=now_ns)
        record = DecisionRecord(
            decision_id,
            MERCHANT,
            f"pay_{number}",
            now_ns,
            decision.record(),
            decision.snapshot_version,
        )
        state = OperationState.SUCCEEDED if approved else OperationState.FAILED
        found.append(DecidedAttempt(record, account_id, state, 10_000, "EUR"))
    return found[::-1]


class Kept:
    """Decisions in a list, read as a record is."""

    def __init__(self, all_of_them: Sequence[DecidedAttempt]) -> None:
        self._all = all_of_them
        self.reads = 0

    async def list_decisions(self, merchant_id: str, want: DecisionFilter) -> list[DecidedAttempt]:
        self.reads += 1
        inside = (one for one in self._all if want.after < one.decision.decision_id < want.before)
        return list(inside)[: want.limit]


async def replay(
    kept: Sequence[DecidedAttempt],
    content: Mapping[str, object],
    *engines: RoutingEngine,
    most: int = 10_000,
) -> ReplayReport:
    async def engine_of(version: str) -> RoutingEngine:
        for one in engines:
            if one.snapshot_version == version:
                return one
        raise SnapshotLost("gone")

    want = DecisionFilter(PROFILE, False, "dec_0", "dec_z", most)
    return await try_decisions(Kept(kept), MERCHANT, want, candidate(content), engine_of)


async def test_a_candidate_that_avoids_the_worst_account_is_seen_to_be_better() -> None:
    engine = RoutingEngine(config())
    kept = decided(engine, 1_500)
    report = await replay(kept, rules(exclude=["acc_b"]), engine)
    result = report.result
    assert result is not None
    assert (report.read, result.decisions, report.more) == (1_500, 1_500, False)
    assert report.undecided == report.elsewhere == report.unreadable == 0
    assert result.shares_after["acc_b"] == 0
    share = result.shares_before["acc_b"]
    assert 0.2 < share < 0.4
    # What b took goes to accounts that approve 20 points more.
    for estimator in (DOUBLY_ROBUST, IPS):
        found = result.approval_changes[estimator]
        assert found.low < share * 0.2 < found.high
        assert found.low > 0
    assert result.moved == pytest.approx(share * 1_500, rel=1e-6)
    assert result.no_support == 0
    assert not any("believe" in one for one in report.warnings)


async def test_the_ruleset_that_was_in_force_changes_nothing() -> None:
    content = rules(weight={"acc_a": 0.5})
    engine = RoutingEngine(config(content))
    report = await replay(decided(engine, 300), content, engine)
    assert report.result is not None
    assert report.result.moved == 0
    assert report.result.approval_changes[IPS].change == 0
    assert report.warnings == ()


async def test_fees_follow_the_accounts() -> None:
    engine = RoutingEngine(config())
    kept = decided(engine, 800)
    report = await replay(kept, rules(only=["acc_c"]), engine)
    assert report.result is not None
    assert report.result.fee_bps > 40
    # All of it goes to an account that costs nothing.
    change = report.result.fee_changes[DOUBLY_ROBUST].change
    assert change == pytest.approx(-report.result.fee_bps, abs=3)


async def test_a_strict_order_has_nothing_to_compare_with() -> None:
    engine = RoutingEngine(config(tiers=(("acc_a",), ("acc_b",), ("acc_c",))))
    report = await replay(decided(engine, 200), rules(priority=[["acc_b"], ["acc_a"]]), engine)
    assert report.result is not None
    assert report.result.no_support == report.result.different == 200
    assert any("could not come first then" in one for one in report.warnings)


async def test_what_is_left_out_is_counted_and_told() -> None:
    engine, older = RoutingEngine(config()), RoutingEngine(config(rules(weight={"acc_a": 0.1})))
    kept = decided(engine, 300)
    lost = decided(older, 60, seed=2)
    open_ones = [replace(one, state=OperationState.UNKNOWN) for one in kept[:50]]
    elsewhere = [replace(one, account_id="acc_x") for one in kept[50:80]]
    damaged = [
        replace(one, decision=replace(one.decision, record=b"of another build"))
        for one in kept[80:100]
    ]
    every = sorted(
        [*open_ones, *elsewhere, *damaged, *kept[100:], *lost],
        key=lambda one: one.decision.decision_id,
        reverse=True,
    )
    report = await replay(every, rules(exclude=["acc_b"]), engine)
    assert (report.read, report.undecided, report.elsewhere) == (360, 50, 30)
    assert report.unreadable == 80
    assert report.result is not None
    assert report.result.decisions == 200
    told = " ".join(report.warnings)
    assert "50 of 360 decisions are left out: their outcome is not known yet" in told
    assert "80 of 360 decisions are left out: they cannot be made again" in told
    again = await replay(every, rules(exclude=["acc_b"]), engine, older)
    assert again.unreadable == 20


async def test_only_the_newest_are_read_and_older_ones_are_told() -> None:
    engine = RoutingEngine(config())
    kept = decided(engine, 450)
    report = await replay(kept, rules(exclude=["acc_b"]), engine, most=401)
    assert (report.read, report.more) == (401, True)
    report = await replay(kept, rules(exclude=["acc_b"]), engine, most=450)
    assert (report.read, report.more) == (450, False)


async def test_nothing_that_can_be_used_is_no_result() -> None:
    engine = RoutingEngine(config())
    report = await replay([], rules(exclude=["acc_b"]), engine)
    assert report.result is None
    assert report.warnings == ("no decision of this profile, mode and time could be used",)


async def test_a_block_and_counters_are_told() -> None:
    engine = RoutingEngine(config())
    kept = decided(engine, 150)
    report = await replay(kept, rules(block="not today"), engine)
    assert report.result is not None
    assert report.result.no_account == 150
    capped = rules(cap=[{"account": "acc_a", "payments": 10, "per": "day"}])
    report = await replay(kept, capped, engine)
    assert any(one.startswith("caps and commitments stand as") for one in report.warnings)
