"""Rulesets at work, over a real gRPC server: payments follow them at once and are explained."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from tests.integration.routing_shop import (
    CARD,
    LIVE_KEY,
    OTHER_KEY,
    Shop,
    document,
    germans_to,
    open_shop,
)
from tests.integration.server_face import Refused
from tests.unit.rig import no
from turnout import v1
from turnout.domain.declines import DeclineCode
from turnout.domain.outcomes import Outcome
from turnout.orchestration.directory import Directory
from turnout.ports import AuthorizeRequest
from turnout.stores.memory import MemoryStore

FROM_FRANCE = v1.PaymentMethod(card=v1.Card())
FROM_FRANCE.CopyFrom(CARD)
FROM_FRANCE.card.issuer_country = "FR"


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with open_shop(tmp_path) as opened:
        yield opened


async def explained(shop: Shop, payment: v1.Payment, **other: str) -> v1.ExplainedDecision:
    request = v1.ExplainDecisionRequest(**(other or {"payment_id": payment.payment_id}))
    answer: v1.ExplainedDecision = await shop.routing("ExplainDecision", request)
    return answer


async def test_payments_follow_a_ruleset_from_its_activation_on(shop: Shop) -> None:
    assert (await shop.pay()).account_id == "acc_a"
    made = await shop.create(germans_to("acc_b"))
    assert (await shop.pay()).account_id == "acc_a", "a draft does nothing"
    active = await shop.activate(made.version)
    assert active.state == v1.RULESET_STATE_ACTIVE and active.HasField("activated_at")
    paid = await shop.pay()
    assert paid.account_id == "acc_b"
    assert (paid.decision.ruleset_version, list(paid.decision.matched_rules)) == (1, ["germans"])
    other = await shop.pay(payment_method=FROM_FRANCE)
    assert (other.account_id, other.decision.ruleset_version) == ("acc_a", 1)
    assert list(other.decision.matched_rules) == []


async def test_a_rollback_leads_back_until_there_is_nothing_before(shop: Shop) -> None:
    await shop.put_in_force(germans_to("acc_b"))
    await shop.put_in_force(germans_to("acc_c"))
    assert await shop.states() == [(2, "ACTIVE"), (1, "RETIRED")]
    assert (await shop.pay()).account_id == "acc_c"
    back = await shop.rollback()
    assert (back.version, back.state) == (1, v1.RULESET_STATE_ACTIVE)
    assert (await shop.pay()).account_id == "acc_b"
    assert await shop.states() == [(2, "RETIRED"), (1, "ACTIVE")]
    told = await shop.refused("RollbackRuleset", v1.RollbackRulesetRequest())
    assert told.info.reason == "NO_EARLIER_RULESET"
    # Rolled back is not gone: it may be activated again, and taken back again.
    await shop.activate(2)
    assert (await shop.rollback()).version == 1


async def test_activating_what_is_active_changes_nothing(shop: Shop) -> None:
    await shop.put_in_force(germans_to("acc_b"))
    await shop.put_in_force(germans_to("acc_c"))
    again = await shop.activate(2)
    assert again.state == v1.RULESET_STATE_ACTIVE
    assert (await shop.rollback()).version == 1


async def test_a_restart_follows_what_was_in_force(tmp_path: Path) -> None:
    store = MemoryStore()
    async with open_shop(tmp_path / "first", store=store) as shop:
        await shop.put_in_force(germans_to("acc_b"))
        await shop.put_in_force(germans_to("acc_c"))
    async with open_shop(tmp_path / "second", store=store) as shop:
        paid = await shop.pay()
        assert (paid.account_id, paid.decision.ruleset_version) == ("acc_c", 2)
        assert (await shop.rollback()).version == 1
        assert (await shop.pay()).account_id == "acc_b"


async def test_live_and_test_rules_do_not_reach_each_other(shop: Shop) -> None:
    await shop.put_in_force(germans_to("acc_b"))
    told = await shop.refused("RollbackRuleset", v1.RollbackRulesetRequest(), LIVE_KEY)
    assert told.info.reason == "NO_EARLIER_RULESET"
    told = await shop.refused("GetRuleset", v1.GetRulesetRequest(), LIVE_KEY)
    assert told.code is grpc.StatusCode.NOT_FOUND
    paid = await shop.pay()
    request = v1.ExplainDecisionRequest(decision_id=paid.decision.decision_id)
    for key in (LIVE_KEY, OTHER_KEY):
        told = await shop.refused("ExplainDecision", request, key)
        assert (told.code, told.info.reason) == (
            grpc.StatusCode.NOT_FOUND,
            "DECISION_NOT_FOUND",
        )


async def test_a_payment_stays_with_the_ruleset_that_it_began_with(shop: Shop) -> None:
    await shop.put_in_force(germans_to("acc_b"))
    shop.rig.provider.says["acc_b"] = [no()]
    created = await shop.call(
        "PaymentService.CreatePayment",
        v1.CreatePaymentRequest(merchant_reference="kept", amount_minor=500, currency="EUR"),
    )
    confirm = v1.ConfirmPaymentRequest(payment_id=created.payment_id, payment_method=CARD)
    declined = await shop.call("PaymentService.ConfirmPayment", confirm)
    assert declined.status == v1.PAYMENT_STATUS_REQUIRES_PAYMENT_METHOD
    assert declined.attempts[0].account_id == "acc_b"
    await shop.put_in_force(germans_to("acc_c"))
    assert (await shop.pay()).account_id == "acc_c"
    confirmed = await shop.call("PaymentService.ConfirmPayment", confirm)
    assert (confirmed.account_id, confirmed.decision.ruleset_version) == ("acc_b", 1)
    assert not [one for one in confirmed.decision.reasons if "not kept" in one]


async def test_without_a_ruleset_begun_stays_without(shop: Shop) -> None:
    shop.rig.provider.says["acc_a"] = [no()]
    created = await shop.call(
        "PaymentService.CreatePayment",
        v1.CreatePaymentRequest(merchant_reference="bare", amount_minor=500, currency="EUR"),
    )
    confirm = v1.ConfirmPaymentRequest(payment_id=created.payment_id, payment_method=CARD)
    await shop.call("PaymentService.ConfirmPayment", confirm)
    await shop.put_in_force(germans_to("acc_c"))
    confirmed = await shop.call("PaymentService.ConfirmPayment", confirm)
    assert (confirmed.account_id, confirmed.decision.ruleset_version) == ("acc_a", 0)


def test_a_version_that_is_not_kept_is_said_so() -> None:
    directory = Directory(rulesets={("shop", False): (20, 19, 3)})
    assert directory.ruleset("shop", False, None) == (20, "")
    assert directory.ruleset("shop", False, 20) == (20, "")
    assert directory.ruleset("shop", False, 3) == (3, "")
    assert directory.ruleset("shop", False, 0) == (0, "")
    version, note = directory.ruleset("shop", False, 2)
    assert version == 20 and "version 20" in note and "2 of" in note
    assert directory.ruleset("shop", True, None) == (0, "")
    version, note = directory.ruleset("shop", True, 4)
    assert version == 0 and "follows none" in note


async def test_a_payment_follows_one_version_whole_while_versions_change(shop: Shop) -> None:
    """Between the old and the new one no payment sees parts of both."""
    accounts = {0: "acc_a", 1: "acc_b", 2: "acc_c"}
    rules: dict[int, list[str]] = {0: [], 1: ["to-b"], 2: ["to-c"]}
    for version in (1, 2):
        await shop.create(germans_to(accounts[version], rules[version][0]))
    begun, done = asyncio.Event(), asyncio.Event()
    paid: list[v1.Payment] = []

    async def pay_on() -> None:
        while not done.is_set():
            paid.append(await shop.pay())
            begun.set()

    payers = [asyncio.create_task(pay_on()) for _ in range(4)]
    await begun.wait()
    for version in (1, 2, 1, 2):
        await shop.activate(version)
        fresh = await shop.pay()
        assert fresh.decision.ruleset_version == version, "with the answer it is in force"
        paid.append(fresh)
    done.set()
    await asyncio.gather(*payers)
    for one in paid:
        followed = one.decision.ruleset_version
        assert one.account_id == accounts[followed]
        assert list(one.decision.matched_rules) == rules[followed]
    told = [await explained(shop, one) for one in (paid[0], paid[-1])]
    assert [one.decision_id for one in told] == [
        one.decision.decision_id for one in (paid[0], paid[-1])
    ]


async def test_seventeen_versions_are_kept_for_payments_that_began_with_them(shop: Shop) -> None:
    for number in range(18):
        await shop.put_in_force(germans_to("acc_b", f"rule-{number}"))
    kept = shop.rig.parts.directory.rulesets["main", False]
    assert list(kept) == list(range(18, 1, -1))


async def test_a_blocked_payment_is_refused_and_nothing_is_stored(shop: Shop) -> None:
    await shop.put_in_force(
        document(
            rules=[
                {
                    "id": "too-large",
                    "when": [{"fact": "amount_minor", "min": 1_000}],
                    "then": {"block": "by telephone only"},
                }
            ]
        )
    )
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await shop.pay(merchant_reference="large")
    told = Refused(error.value)
    assert (told.code, told.info.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "BLOCKED_BY_RULE",
    )
    assert dict(told.info.metadata) == {"rule_id": "too-large", "reason": "by telephone only"}
    listed = await shop.call("PaymentService.ListPayments", v1.ListPaymentsRequest())
    assert list(listed.payments) == [] and shop.rig.provider.calls == []
    paid = await shop.pay(merchant_reference="large", amount_minor=999)
    assert paid.status == v1.PAYMENT_STATUS_SUCCEEDED


async def test_facts_of_the_request_reach_the_rules_and_3ds_reaches_the_provider(
    shop: Shop,
) -> None:
    asked: list[bool] = []

    def decline_softly(request: AuthorizeRequest) -> Outcome:
        asked.append(request.require_three_ds)
        return no(DeclineCode.DO_NOT_HONOR)

    for account in ("acc_a", "acc_b", "acc_c"):
        shop.rig.provider.says[account] = [decline_softly]
    conditions = [
        {"fact": "channel", "in": ["in_app"], "missing": "no_match"},
        {"fact": "recurring", "is": False, "missing": "no_match"},
        {"fact": "three_ds", "in": ["none"], "missing": "no_match"},
        {"fact": "risk_score", "min": 80, "missing": "no_match"},
        {"fact": "billing_country", "in": ["AT"], "missing": "no_match"},
        {"fact": "metadata", "key": "shop", "in": ["north"], "missing": "no_match"},
        {"fact": "capture_method", "in": ["manual"]},
    ]
    then = {"require_three_ds": True}
    await shop.put_in_force(document(rules=[{"id": "careful", "when": conditions, "then": then}]))
    whole = {
        "channel": v1.CHANNEL_IN_APP,
        "recurring": False,
        "three_ds": v1.THREE_D_SECURE_STATE_NONE,
        "risk_score": 80,
        "billing_address": v1.Address(country="AT"),
        "metadata": {"shop": "north"},
        "capture_method": v1.CAPTURE_METHOD_MANUAL,
    }
    paid = await shop.pay(**whole)
    assert list(paid.decision.matched_rules) == ["careful"]
    assert asked == [True, True, True]
    assert (paid.channel, paid.recurring, paid.risk_score) == (v1.CHANNEL_IN_APP, False, 80)
    for name in whole:
        rest = {other: value for other, value in whole.items() if other != name}
        paid = await shop.pay(**rest)
        assert list(paid.decision.matched_rules) == [], name


async def test_a_decision_is_explained_when_everything_has_changed(shop: Shop) -> None:
    await shop.put_in_force(germans_to("acc_b"))
    paid = await shop.pay()
    told = await explained(shop, paid)
    assert told.decision_id == paid.decision.decision_id
    assert (told.ruleset_version, list(told.matched_rules)) == (1, ["germans"])
    assert [one.account_id for one in told.accounts] == list(paid.decision.ranked_account_ids)
    first, second = told.accounts[:2]
    assert (first.account_id, first.place, first.tier, first.propensity) == ("acc_b", 1, 1, 1.0)
    assert 0 < first.approval_low < first.approval < first.approval_high <= 1
    assert second.place == 2 and second.change and not first.change
    assert told.profile_id == "main" and told.mode == v1.MODE_TEST and len(told.seed) == 16
    # Another ruleset, and another draw of everything that is learnt.
    await shop.put_in_force(germans_to("acc_c"))
    for _ in range(5):
        await shop.pay()
    assert await explained(shop, paid) == told
    assert await explained(shop, paid, decision_id=told.decision_id) == told


async def test_a_restart_explains_what_was_decided_before(tmp_path: Path) -> None:
    store = MemoryStore()
    async with open_shop(tmp_path / "first", store=store) as shop:
        await shop.put_in_force(germans_to("acc_b"))
        paid = await shop.pay()
        told = await explained(shop, paid)
        await shop.put_in_force(germans_to("acc_c"))
    async with open_shop(tmp_path / "second", store=store) as shop:
        assert await explained(shop, paid) == told


async def test_a_decision_that_cannot_be_made_again_says_why(shop: Shop) -> None:
    await shop.put_in_force(germans_to("acc_b"))
    paid = await shop.pay()
    await shop.put_in_force(germans_to("acc_c"))
    store = shop.rig.store
    assert isinstance(store, MemoryStore)
    store._snapshots.clear()
    told = await shop.refused(
        "ExplainDecision", v1.ExplainDecisionRequest(payment_id=paid.payment_id)
    )
    assert (told.code, told.info.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "DECISION_NOT_REPLAYABLE",
    )
    assert told.info.metadata["why"] == "snapshot_lost"
    told = await shop.refused("ExplainDecision", v1.ExplainDecisionRequest())
    assert told.fields == [("decision_id", "ONE_OF_TWO")]
    told = await shop.refused("ExplainDecision", v1.ExplainDecisionRequest(payment_id="pay_0"))
    assert told.info.reason == "PAYMENT_NOT_FOUND"


FACTS = v1.RoutingFacts(amount_minor=5_000, currency="EUR", issuer_country="DE")


async def simulated(shop: Shop, **changes: object) -> v1.ExplainedDecision:
    request = v1.SimulateRoutingRequest(facts=FACTS, **changes)  # type: ignore[arg-type]
    answer: v1.ExplainedDecision = await shop.routing("SimulateRouting", request)
    return answer


async def test_a_simulation_follows_any_ruleset_and_leaves_no_trace(shop: Shop) -> None:
    await shop.put_in_force(germans_to("acc_b"))
    draft = await shop.create(germans_to("acc_c"))
    before = shop.rig.parts.engine.save()

    now = await simulated(shop)
    assert (now.accounts[0].account_id, now.ruleset_version) == ("acc_b", 1)
    assert list(now.matched_rules) == ["germans"] and not now.decision_id
    stored = await simulated(shop, version=draft.version)
    assert (stored.accounts[0].account_id, stored.ruleset_version) == ("acc_c", 2)
    unstored = await simulated(shop, document=germans_to("acc_a", "mine"))
    assert (unstored.accounts[0].account_id, unstored.ruleset_version) == ("acc_a", 0)
    assert list(unstored.matched_rules) == ["mine"]
    blocked = await simulated(
        shop, document=document(rules=[{"id": "none", "then": {"block": "closed"}}])
    )
    assert (blocked.blocked.rule_id, blocked.blocked.reason) == ("none", "closed")
    assert shop.rig.parts.engine.save() == before
    assert shop.rig.provider.calls == []
    assert await shop.states() == [(2, "DRAFT"), (1, "ACTIVE")]


async def test_a_simulation_is_the_same_for_the_same_seed(shop: Shop) -> None:
    halves = document(
        rules=[{"id": "halves", "then": {"split": {"acc_a": 1, "acc_b": 1}}}],
    )
    firsts = set()
    for seed in range(20):
        one = await simulated(shop, document=halves, seed=f"{seed:x}")
        assert one == await simulated(shop, document=halves, seed=f"{seed:x}", time=one.decided_at)
        assert one.accounts[0].propensity == pytest.approx(0.5)
        firsts.add(one.accounts[0].account_id)
    assert firsts == {"acc_a", "acc_b"}


async def test_what_a_simulation_cannot_be_of_is_named(shop: Shop) -> None:
    async def fields(**changes: object) -> list[tuple[str, str]]:
        request = v1.SimulateRoutingRequest(**changes)  # type: ignore[arg-type]
        return (await shop.refused("SimulateRouting", request)).fields

    assert await fields() == [("facts", "FIELD_REQUIRED")]
    wrong = v1.RoutingFacts(amount_minor=0, currency="XXQ", bin="4", risk_score=101)
    assert {field for field, _ in await fields(facts=wrong)} == {
        "facts.amount_minor",
        "facts.currency",
        "facts.bin",
        "facts.risk_score",
    }
    assert await fields(facts=FACTS, seed="xyz") == [("seed", "SEED_INVALID")]
    both = await fields(facts=FACTS, version=1, document=germans_to("acc_b"))
    assert both == [("version", "ONE_OF_TWO")]
    nobody = await fields(facts=FACTS, document=germans_to("acc_nobody"))
    assert nobody[0][0].startswith("document.rules[0].then")
