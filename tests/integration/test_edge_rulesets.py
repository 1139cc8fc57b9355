"""A ruleset over HTTP: its JSON is the document's own, through a real Envoy to a real server."""

from __future__ import annotations

import copy
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from openapi_schema_validator import OAS31Validator

from tests.integration.edge_backend import require_envoy
from tests.integration.routing_shop import TEST_KEY, open_shop
from turnout import v1
from turnout.edge.run import Edge
from turnout.edge.settings import EdgeSettings

DOCUMENT: dict[str, Any] = {
    "mode": "first_match",
    "rules": [
        {
            "id": "large-germans",
            "when": [
                {"fact": "issuer_country", "in": ["DE"], "not": False, "missing": "no_match"},
                {"fact": "bin", "ranges": [["400000", "499999"]], "missing": "match"},
                {"fact": "amount_minor", "min": 10000},
            ],
            "then": {"priority": [["acc_c"], ["acc_a", "acc_b"]], "weight": {"acc_b": 0.02}},
        }
    ],
}
OPENAPI: dict[str, Any] = yaml.safe_load(
    Path(v1.__file__).parents[1].joinpath("edge/openapi.yaml").read_text("utf-8")
)


class Http:
    """A merchant's backend that speaks JSON."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = f"{url}/v1/routing/profiles/main"
        self._keys = itertools.count(1)

    async def call(self, verb: str, path: str, body: Any = None) -> tuple[int, Any]:
        headers = {
            "authorization": f"Bearer {TEST_KEY}",
            "idempotency-key": f"http-{next(self._keys)}",
        }
        url = self._url + path
        async with self._session.request(verb, url, json=body, headers=headers) as answer:
            return answer.status, await answer.json()


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[Http]:
    require_envoy()
    async with open_shop(tmp_path) as shop, aiohttp.ClientSession() as session:
        settings = EdgeSettings(
            listen_port=0, upstream_port=shop.port, access_log_path=str(tmp_path / "access.log")
        )
        edge = Edge(settings, tmp_path)
        await edge.start()
        try:
            yield Http(session, f"http://127.0.0.1:{edge.port}")
        finally:
            await edge.stop()


def said(value: Any) -> Any:
    """What an answer says, without the empty lists that it prints; numbers of 64 bits are text."""
    if isinstance(value, dict):
        return {key: said(one) for key, one in value.items() if one not in ([], {})}
    if isinstance(value, list):
        return [said(one) for one in value]
    return int(value) if isinstance(value, str) and value.isdigit() else value


async def test_a_document_goes_there_and_back_as_it_is(http: Http) -> None:
    status, made = await http.call("POST", "/rulesets", {"document": DOCUMENT})
    assert status == 200, made
    OAS31Validator(
        {"$ref": "#/components/schemas/Ruleset", "components": OPENAPI["components"]}
    ).validate(made)
    wanted = copy.deepcopy(DOCUMENT["rules"][0])
    # What is not turned round is not said to be.
    del wanted["when"][0]["not"]
    assert said(made["document"]["rules"][0]) == said(wanted)
    assert (made["version"], made["state"]) == ("1", "RULESET_STATE_DRAFT")
    # What was answered is good to be sent again.
    status, again = await http.call("POST", "/rulesets", {"document": made["document"]})
    assert (status, again["version"]) == (200, "2")
    status, diff = await http.call("POST", "/rulesets:diff", {"from_version": 1, "to_version": 2})
    assert (status, diff) == (200, {"changes": []})
    status, read = await http.call("GET", "/rulesets/1")
    assert (status, read) == (200, made)
    status, page = await http.call("GET", "/rulesets?page_size=1")
    assert [one["version"] for one in page["rulesets"]] == ["2"] and page["next_page_token"]


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"mode": "first_match", "rulez": []}, "document.rulez"),
        ({"rules": [{"id": "a", "when": [{"fact": "x", "not": 1}]}]}, "document.rules[0].when[0]"),
        ({"rules": [{"id": "a", "then": {"priority": ["acc_a"]}}]}, "document.rules[0].then"),
        ({"rules": [{"id": "a", "then": {"weight": {"acc_a": "1"}}}]}, "document.rules[0].then"),
        ({"mode": "first_match", "rules": [{"id": "a"}]}, "document.rules[0].then"),
    ],
)
async def test_what_is_wrong_in_a_document_is_named(http: Http, document: Any, field: str) -> None:
    status, told = await http.call("POST", "/rulesets", {"document": document})
    assert status == 400
    fields = [
        one["field"] for detail in told["details"] for one in detail.get("field_violations", ())
    ]
    assert any(one.startswith(field) for one in fields), told


async def test_a_simulation_over_http(http: Http) -> None:
    facts = {"amount_minor": 20000, "currency": "EUR", "issuer_country": "DE", "recurring": False}
    body = {"facts": facts, "seed": "7"}
    status, plain = await http.call("POST", ":simulate", body)
    assert status == 200, plain
    assert plain["accounts"][0]["account_id"] == "acc_a" and plain["ruleset_version"] == "0"
    OAS31Validator(
        {"$ref": "#/components/schemas/ExplainedDecision", "components": OPENAPI["components"]}
    ).validate(plain)
    status, ruled = await http.call("POST", ":simulate", {**body, "document": DOCUMENT})
    assert (status, ruled["matched_rules"]) == (200, ["large-germans"])
    assert ruled["accounts"][0]["account_id"] == "acc_c"
