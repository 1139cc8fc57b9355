"""RoutingService over a real gRPC server: making, checking, listing and reading rulesets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from google.protobuf import json_format

from tests.integration.routing_shop import (
    LIVE_KEY,
    OTHER_KEY,
    Shop,
    document,
    germans_to,
    open_shop,
)
from turnout import v1

# Every key that a document has, with the numbers that JSON could spoil.
WHOLE = {
    "mode": "accumulate",
    "objective": {"kind": "value", "margin_bps": 250.5, "latency_minor_per_s": 1.0},
    "rules": [
        {
            "id": "all-facts",
            "description": "Ä",
            "when": [
                {"fact": "amount_minor", "min": 2**53 + 1, "max": 2**62},
                {"fact": "issuer_country", "in": ["DE"], "not": True, "missing": "no_match"},
                {"fact": "bin", "prefix": ["42"], "ranges": [["51", "55"]], "missing": "match"},
                {"fact": "recurring", "is": False, "missing": "match"},
                {"fact": "metadata", "key": "shop", "in": ["a"], "missing": "no_match"},
                {
                    "fact": "time",
                    "zone": "Europe/Berlin",
                    "days": ["mon"],
                    "from": "22:00",
                    "until": "06:00",
                },
            ],
            "then": {
                "only": ["acc_a", "acc_b"],
                "exclude": ["acc_c"],
                "priority": [["acc_a"], ["acc_b"]],
                "split": {"acc_a": 70, "acc_b": 30},
                "weight": {"acc_a": 0.25},
                "cap": [
                    {"account": "acc_a", "payments": 10, "per": "day"},
                    {"account": "acc_b", "amount_minor": 5, "currency": "EUR", "per": "month"},
                ],
                "commit": [
                    {"account": "acc_b", "payments": 3, "per": "month", "within_points": 1.5}
                ],
                "cheapest_within_points": 2.0,
                "require_three_ds": True,
            },
        }
    ],
    "otherwise": {"block": "not served"},
}


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with open_shop(tmp_path) as opened:
        yield opened


async def test_every_key_of_a_document_comes_back(shop: Shop) -> None:
    content = json_format.ParseDict(WHOLE, v1.RulesetDocument())
    made = await shop.create(content, description="everything")
    assert (made.version, made.state) == (1, v1.RULESET_STATE_DRAFT)
    assert (made.profile_id, made.mode) == ("main", v1.MODE_TEST)
    assert made.document == content
    assert made.description == "everything" and not made.HasField("activated_at")
    read = await shop.routing("GetRuleset", v1.GetRulesetRequest(version=1))
    assert read == made


async def test_versions_count_and_are_listed_newest_first(shop: Shop) -> None:
    for number in range(5):
        made = await shop.create(germans_to("acc_b", f"rule-{number}"))
        assert made.version == number + 1
    seen: list[int] = []
    request = v1.ListRulesetsRequest(page_size=2)
    while True:
        page = await shop.routing("ListRulesets", request)
        seen += [one.version for one in page.rulesets]
        assert not any(one.HasField("document") or one.findings for one in page.rulesets)
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert seen == [5, 4, 3, 2, 1]


async def test_the_same_call_again_makes_no_other_version(shop: Shop) -> None:
    request = v1.CreateRulesetRequest(document=germans_to("acc_b"))
    first = await shop.routing("CreateRuleset", request, idem="once")
    assert await shop.routing("CreateRuleset", request, idem="once") == first
    assert len(await shop.states()) == 1
    with pytest.raises(grpc.aio.AioRpcError) as error:
        other = v1.CreateRulesetRequest(document=germans_to("acc_c"))
        await shop.routing("CreateRuleset", other, idem="once")
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_what_cannot_be_read_is_refused_with_its_paths(shop: Shop) -> None:
    wrong = document(rules=[{"id": "Bad Id", "then": {"only": ["acc_a"]}}])
    wrong.rules.add(id="second").when.add(fact="nonsense")
    told = await shop.refused("CreateRuleset", v1.CreateRulesetRequest(document=wrong))
    assert told.code is grpc.StatusCode.INVALID_ARGUMENT
    paths = {field for field, _ in told.fields}
    assert {"document.rules[0].id", "document.rules[1].when[0].fact"} <= paths
    assert told.info.reason == "RULESET_INVALID"
    assert await shop.states() == []
    told = await shop.refused("CreateRuleset", v1.CreateRulesetRequest())
    assert told.fields == [("document", "FIELD_REQUIRED")]


async def test_validation_stores_nothing_and_tells_all(shop: Shop) -> None:
    async def findings(content: v1.RulesetDocument) -> list[v1.RulesetFinding]:
        request = v1.ValidateRulesetRequest(document=content)
        return list((await shop.routing("ValidateRuleset", request)).findings)

    assert await findings(germans_to("acc_b")) == []
    unknown = await findings(germans_to("acc_nobody"))
    assert unknown[0].severity == v1.FINDING_SEVERITY_ERROR
    assert list(unknown[0].rule_ids) == ["germans"]
    assert unknown[0].path.startswith("rules[0].then.priority") and unknown[0].text
    misspelt = germans_to("acc_b")
    misspelt.mode = "sometimes"
    unreadable = await findings(misspelt)
    assert [(one.path, one.severity) for one in unreadable] == [
        ("mode", v1.FINDING_SEVERITY_ERROR)
    ]
    twice = germans_to("acc_b")
    twice.rules.add().CopyFrom(twice.rules[0])
    twice.rules[1].id = "again"
    found = {one.code: one for one in await findings(twice)}
    assert list(found["unreachable"].rule_ids) == ["again", "germans"]
    assert found["unreachable"].severity == v1.FINDING_SEVERITY_WARNING
    assert await shop.states() == []


async def test_errors_are_kept_with_a_draft_and_keep_it_from_force(shop: Shop) -> None:
    made = await shop.create(germans_to("acc_nobody"))
    assert [one.severity for one in made.findings] == [v1.FINDING_SEVERITY_ERROR]
    told = await shop.refused("ActivateRuleset", v1.ActivateRulesetRequest(version=1))
    assert told.code is grpc.StatusCode.FAILED_PRECONDITION
    assert told.info.reason == "RULESET_HAS_ERRORS"
    assert any("acc_nobody" in text for text in told.info.metadata.values())
    assert await shop.states() == [(1, "DRAFT")]


async def test_another_merchant_s_profile_does_not_exist(shop: Shop) -> None:
    await shop.create(germans_to("acc_b"))
    for rpc, request in (
        ("GetRuleset", v1.GetRulesetRequest(profile_id="main", version=1)),
        ("ListRulesets", v1.ListRulesetsRequest(profile_id="main")),
        ("ActivateRuleset", v1.ActivateRulesetRequest(profile_id="main", version=1)),
        ("RollbackRuleset", v1.RollbackRulesetRequest(profile_id="main")),
        ("CreateRuleset", v1.CreateRulesetRequest(profile_id="main", document=document())),
        ("ValidateRuleset", v1.ValidateRulesetRequest(profile_id="main", document=document())),
    ):
        there = await shop.refused(rpc, request, OTHER_KEY)
        request.profile_id = "nowhere"
        nowhere = await shop.refused(rpc, request, OTHER_KEY)
        assert there.fields == nowhere.fields == [("profile_id", "UNKNOWN_PROFILE")]
    assert await shop.states(OTHER_KEY) == []


async def test_test_and_live_rulesets_know_nothing_of_each_other(shop: Shop) -> None:
    await shop.create(germans_to("acc_b"))
    await shop.create(germans_to("acc_c"))
    assert await shop.states(LIVE_KEY) == []
    made = await shop.create(germans_to("acc_b"), LIVE_KEY)
    assert (made.version, made.mode) == (1, v1.MODE_LIVE)
    # The account is a test account: a live ruleset cannot name it.
    assert made.findings and made.findings[0].severity == v1.FINDING_SEVERITY_ERROR
    assert len(await shop.states()) == 2
    told = await shop.refused("GetRuleset", v1.GetRulesetRequest(version=2), LIVE_KEY)
    assert (told.code, told.info.reason) == (grpc.StatusCode.NOT_FOUND, "RULESET_NOT_FOUND")


async def test_versions_that_are_not_there_are_told(shop: Shop) -> None:
    for rpc, request in (
        ("GetRuleset", v1.GetRulesetRequest(version=7)),
        ("GetRuleset", v1.GetRulesetRequest()),
        ("ActivateRuleset", v1.ActivateRulesetRequest(version=7)),
    ):
        told = await shop.refused(rpc, request)
        assert (told.code, told.info.reason) == (grpc.StatusCode.NOT_FOUND, "RULESET_NOT_FOUND")
    told = await shop.refused("ActivateRuleset", v1.ActivateRulesetRequest())
    assert told.fields == [("version", "FIELD_REQUIRED")]
    told = await shop.refused("ActivateRuleset", v1.ActivateRulesetRequest(version=-1))
    assert told.fields == [("version", "VERSION_INVALID")]
    told = await shop.refused("RollbackRuleset", v1.RollbackRulesetRequest())
    assert told.info.reason == "NO_EARLIER_RULESET"


async def test_two_versions_are_compared_and_a_version_with_a_document(shop: Shop) -> None:
    async def changes(**request: object) -> list[v1.RulesetChange]:
        asked = v1.DiffRulesetsRequest(**request)  # type: ignore[arg-type]
        return list((await shop.routing("DiffRulesets", asked)).changes)

    await shop.create(germans_to("acc_b"))
    await shop.create(germans_to("acc_c"))
    (one,) = await changes(from_version=1, to_version=2)
    assert (one.kind, one.rule_id, one.path) == (
        v1.RULESET_CHANGE_KIND_CHANGED,
        "germans",
        "then.priority",
    )
    assert (one.from_json, one.to_json) == ('[["acc_b"]]', '[["acc_c"]]')
    assert one.text
    assert await changes(from_version=2, document=germans_to("acc_c")) == []
    # None is in force yet: everything is new.
    kinds = {one.kind for one in await changes(to_version=1)}
    assert kinds == {v1.RULESET_CHANGE_KIND_ADDED}
    for request in (
        v1.DiffRulesetsRequest(from_version=1),
        v1.DiffRulesetsRequest(from_version=1, to_version=2, document=germans_to("acc_c")),
    ):
        assert (await shop.refused("DiffRulesets", request)).fields == [
            ("to_version", "ONE_OF_TWO")
        ]
    told = await shop.refused("DiffRulesets", v1.DiffRulesetsRequest(from_version=1, to_version=9))
    assert told.info.reason == "RULESET_NOT_FOUND"
