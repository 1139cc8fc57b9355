"""A candidate tried over the API on payments that really came in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from tests.integration.routing_shop import OTHER_KEY, Shop, document, open_shop
from tests.unit.rig import no
from turnout import v1

PAYMENTS = 60
SPLIT = document(rules=[{"id": "half", "then": {"split": {"acc_a": 50, "acc_b": 50}}}])
TO_B = document(rules=[{"id": "b", "then": {"priority": [["acc_b"]]}}])


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with open_shop(tmp_path) as opened:
        yield opened


def free_of_schemes(shop: Shop) -> None:
    """Lets one card be declined again and again."""
    directory = shop.rig.parts.directory
    free = replace(directory.profiles["main"], scheme_rules_in_test=False)
    directory.profiles = {**directory.profiles, "main": free}


async def pay(shop: Shop, count: int = PAYMENTS) -> int:
    """So many payments, each a second later; returns how many went to acc_a first."""
    at_a = 0
    for _ in range(count):
        payment = await shop.pay()
        at_a += payment.attempts[0].account_id == "acc_a"
        shop.rig.clock.forward(1.0)
    return at_a


async def replay(shop: Shop, **asked: object) -> v1.ReplayDecisionsResponse:
    request = v1.ReplayDecisionsRequest(**asked)  # type: ignore[arg-type]
    answer: v1.ReplayDecisionsResponse = await shop.routing("ReplayDecisions", request)
    return answer


def change(told: v1.ReplayDecisionsResponse, estimator: int) -> v1.ReplayEstimate:
    (found,) = [one for one in told.approval_changes if one.estimator == estimator]
    return found


async def test_a_candidate_is_weighed_by_what_became_of_the_split(shop: Shop) -> None:
    free_of_schemes(shop)
    await shop.put_in_force(SPLIT)
    # What goes to acc_a is declined there, and saved by the cascade; acc_b approves all.
    shop.rig.provider.says["acc_a"] = [no() for _ in range(PAYMENTS)]
    at_a = await pay(shop)
    assert 15 < at_a < 45
    told = await replay(shop, document=TO_B)
    assert (told.read_count, told.decision_count, told.more) == (PAYMENTS, PAYMENTS, False)
    assert told.approval == pytest.approx(1 - at_a / PAYMENTS)
    assert told.no_support_count == 0
    assert told.moved == pytest.approx(PAYMENTS / 2)
    found = change(told, v1.REPLAY_ESTIMATOR_SELF_NORMALISED)
    assert found.change == pytest.approx(at_a / PAYMENTS)
    assert found.interval == v1.REPLAY_INTERVAL_BOOTSTRAP
    robust = change(told, v1.REPLAY_ESTIMATOR_DOUBLY_ROBUST)
    assert robust.low < at_a / PAYMENTS < robust.high
    assert not change(told, v1.REPLAY_ESTIMATOR_DIRECT).HasField("low")
    shares = {one.account_id: (one.before, one.after) for one in told.shares}
    assert shares["acc_b"] == pytest.approx((0.5, 1.0))


async def test_a_stored_version_and_a_change_of_configuration(shop: Shop) -> None:
    await pay(shop, 20)
    await shop.put_in_force(SPLIT)
    await pay(shop, 20)
    stored = await shop.create(TO_B)
    told = await replay(shop, version=stored.version)
    # Decisions from before the split are made again by the configuration of their time.
    assert (told.decision_count, told.unreadable_count) == (40, 0)
    assert told.no_support_count == 20
    assert any("could not come first then" in one for one in told.warnings)


async def test_time_and_number_bound_what_is_read(shop: Shop) -> None:
    await pay(shop, 10)
    middle = Timestamp()
    middle.FromNanoseconds(shop.rig.clock.now_ns())
    await pay(shop, 5)
    assert (await replay(shop, document=TO_B, from_time=middle)).read_count == 5
    assert (await replay(shop, document=TO_B, to_time=middle)).read_count == 10
    told = await replay(shop, document=TO_B, max_decisions=12)
    assert (told.read_count, told.more) == (12, True)
    assert (await replay(shop, document=TO_B, max_decisions=15)).more is False


async def test_nobody_sees_the_payments_of_others(shop: Shop) -> None:
    await pay(shop, 3)
    request = v1.ReplayDecisionsRequest(document=TO_B, profile_id="main")
    refused = await shop.refused("ReplayDecisions", request, OTHER_KEY)
    assert refused.info.reason == "UNKNOWN_PROFILE"
    told = await replay(shop, document=TO_B)
    assert told.read_count == 3


async def test_what_is_asked_wrongly_is_told_by_its_field(shop: Shop) -> None:
    late, early = Timestamp(seconds=2_000), Timestamp(seconds=1_000)
    bad = document(rules=[{"id": "x", "then": {"priority": [["acc_nowhere"]]}}])
    for request, field in (
        (v1.ReplayDecisionsRequest(), "version"),
        (v1.ReplayDecisionsRequest(version=1, document=TO_B), "version"),
        (v1.ReplayDecisionsRequest(version=-1), "version"),
        (v1.ReplayDecisionsRequest(document=TO_B, max_decisions=100_001), "max_decisions"),
        (v1.ReplayDecisionsRequest(document=TO_B, from_time=late, to_time=early), "from_time"),
        (v1.ReplayDecisionsRequest(document=bad), "document.rules[0].then.priority[0][0]"),
    ):
        refused = await shop.refused("ReplayDecisions", request)
        assert field in dict(refused.fields), (field, refused.fields)
    refused = await shop.refused("ReplayDecisions", v1.ReplayDecisionsRequest(version=7))
    assert refused.info.reason == "RULESET_NOT_FOUND"


async def test_nothing_to_replay_is_no_error(shop: Shop) -> None:
    told = await replay(shop, document=TO_B)
    assert (told.read_count, told.decision_count, list(told.approval_changes)) == (0, 0, [])
    assert list(told.warnings) == ["no decision of this profile, mode and time could be used"]


async def test_payments_go_on_beside_a_replay_which_leaves_no_trace(shop: Shop) -> None:
    await shop.put_in_force(SPLIT)
    await pay(shop, 30)
    rig = shop.rig
    before, commits = rig.parts.engine.save(), rig.store.commits  # type: ignore[attr-defined]
    for told in await asyncio.gather(*(replay(shop, document=TO_B) for _ in range(3))):
        assert told.decision_count == 30
    assert rig.parts.engine.save() == before
    assert rig.store.commits == commits  # type: ignore[attr-defined]
    tried, payment = await asyncio.gather(replay(shop, document=TO_B), shop.pay())
    assert payment.status == v1.PAYMENT_STATUS_SUCCEEDED
    assert tried.decision_count in (30, 31)
