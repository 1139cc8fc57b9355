"""The Stripe simulator against Stripe's own description: endpoints, parameters and answers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import orjson
import pytest
from openapi_schema_validator import OAS30Validator
from referencing import Registry
from referencing.jsonschema import DRAFT4

from tests.sandbox_rig import Rig, running_rig
from turnout.sandbox.settings import STRIPE_EVENT_TYPES, STRIPE_VERSION
from turnout.sandbox.stripe.endpoints import ENDPOINTS
from turnout.sandbox.stripe.form import BOOL, INT, MAP, STR, STRS, decode
from turnout.sandbox.stripe.parameters import TABLES, UNSIMULATED

SPECS = os.environ.get("TURNOUT_SPECS", "")
pytestmark = pytest.mark.skipif(
    not SPECS, reason="TURNOUT_SPECS names no folder with the providers' API descriptions"
)
FORM = "application/x-www-form-urlencoded"


class Description:
    """Stripe's description, with validators for the bodies that it names."""

    def __init__(self) -> None:
        path = Path(SPECS) / "stripe" / "openapi-unexpanded.json"
        self.document: dict[str, Any] = orjson.loads(path.read_bytes())
        self._registry: Registry[Any] = Registry().with_resource(
            "urn:stripe", DRAFT4.create_resource(self.document)
        )
        self._validators: dict[str, Any] = {}

    def operation(self, endpoint: str) -> dict[str, Any]:
        method, path = endpoint.split(" ")
        found: dict[str, Any] = self.document["paths"][path][method.lower()]
        return found

    def complaints(self, pointer: str, value: Any) -> list[str]:
        """What is wrong with a value under the schema at a JSON pointer."""
        validator = self._validators.get(pointer)
        if validator is None:
            validator = self._validators[pointer] = OAS30Validator(
                {"$ref": f"urn:stripe#{pointer}"}, registry=self._registry
            )
        return [f"{list(e.path)}: {e.message[:300]}" for e in validator.iter_errors(value)]

    def unknown(self, schema: dict[str, Any], value: Any, where: str = "") -> list[str]:
        """Fields that a value has and its schema lacks, however deep."""
        kinds = self._resolved(schema)
        found: list[str] = []
        if isinstance(value, list):
            for kind in kinds:
                if "items" in kind:
                    for index, item in enumerate(value):
                        found += self.unknown(kind["items"], item, f"{where}[{index}]")
        elif isinstance(value, dict):
            properties: dict[str, Any] = {}
            for kind in kinds:
                properties.update(kind.get("properties", {}))
            for name, inner in value.items():
                if name in properties:
                    found += self.unknown(properties[name], inner, f"{where}.{name}")
                elif properties:
                    found.append(f"{where}.{name}")
        return found

    def holds(self, pointer: str, value: Any) -> None:
        """The value has nothing missing, mistyped or unknown."""
        assert self.complaints(pointer, value) == []
        assert self.unknown(self.at(pointer), value) == []

    def at(self, pointer: str) -> dict[str, Any]:
        """The schema at a JSON pointer."""
        found: Any = self.document
        for part in pointer.split("/")[1:]:
            found = found[part.replace("~1", "/").replace("~0", "~")]
        return dict(found)

    def _resolved(self, schema: dict[str, Any]) -> list[dict[str, Any]]:
        if "$ref" in schema:
            return self._resolved(self.at(schema["$ref"].removeprefix("#")))
        if "anyOf" in schema:
            return [kind for inner in schema["anyOf"] for kind in self._resolved(inner)]
        return [schema]


@pytest.fixture(scope="module")
def description() -> Description:
    return Description()


def _pointer(*parts: str) -> str:
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


def _answer_pointer(endpoint: str, status: int) -> str:
    method, path = endpoint.split(" ")
    code = "200" if status == 200 else "default"
    return _pointer(
        "paths", path, method.lower(), "responses", code, "content", "application/json", "schema"
    )


def _charge_of(body: dict[str, Any]) -> dict[str, Any] | None:
    charge = body.get("latest_charge")
    return charge if isinstance(charge, dict) else None


def _folded(body: Any) -> Any:
    """The body with expanded charges folded to their ids, as the unexpanded schemas have them."""
    if isinstance(body, list):
        return [_folded(item) for item in body]
    if not isinstance(body, dict):
        return body
    out = {name: _folded(value) for name, value in body.items()}
    if out.get("object") == "payment_intent":
        for name in ("latest_charge", "payment_method"):
            if isinstance(out.get(name), dict):
                out[name] = out[name]["id"]
    return out


class Watched:
    """A rig that holds every answer against the description."""

    def __init__(self, rig: Rig, description: Description) -> None:
        self.rig = rig
        self.description = description
        self.answered: set[str] = set()

    async def __call__(
        self, endpoint: str, identifier: str = "", form: dict[str, Any] | None = None, **more: Any
    ) -> dict[str, Any]:
        method, path = endpoint.split(" ")
        start = path.find("{")
        if start >= 0:
            path = path[:start] + identifier + path[path.index("}") + 1 :]
        query = more.pop("query", "")
        expected = more.pop("status", 200)
        reply = await self.rig.stripe(method, path + query, form, **more)
        assert reply.status == expected, reply.raw
        body = reply.json
        pointer = _answer_pointer(endpoint, reply.status)
        self.description.holds(pointer, _folded(body))
        for whole in (body, *(d for d in body.get("data", ()) if isinstance(d, dict))):
            charge = _charge_of(whole)
            if charge is not None:
                self.description.holds("/components/schemas/charge", charge)
        self.answered.add(endpoint)
        return body

    async def pay(self, number: str, /, status: int = 200, **more: Any) -> dict[str, Any]:
        form = {
            "amount": 1000,
            "currency": "eur",
            "confirm": "true",
            "capture_method": "manual",
            "payment_method": await self.rig.card(number),
            "metadata[turnout_payment_id]": "pay_1",
            **more,
        }
        return await self("POST /v1/payment_intents", form=form, status=status)


def test_the_version_is_the_described_one(description: Description) -> None:
    assert description.document["info"]["version"] == STRIPE_VERSION


def test_every_simulated_endpoint_is_described(description: Description) -> None:
    for endpoint in ENDPOINTS:
        assert description.operation(endpoint), endpoint
    assert set(TABLES) == set(ENDPOINTS)


def test_every_event_type_is_described(description: Description) -> None:
    operation = description.operation("POST /v1/webhook_endpoints")
    schema = operation["requestBody"]["content"][FORM]["schema"]
    known = set(schema["properties"]["enabled_events"]["items"]["enum"])
    assert set(STRIPE_EVENT_TYPES) <= known
    assert {"payment_intent.created", "refund.created", "refund.updated"} <= known


def _described(description: Description, endpoint: str) -> dict[str, Any]:
    operation = description.operation(endpoint)
    if endpoint.startswith("GET"):
        return {q["name"]: q["schema"] for q in operation["parameters"] if q["in"] == "query"}
    content = operation["requestBody"]["content"][FORM]["schema"]
    properties: dict[str, Any] = content.get("properties", {})
    return properties


def _kinds(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return list(schema.get("anyOf", [schema]))


def _agree(mine: Any, schema: dict[str, Any], where: str) -> None:
    """Whether my kind of parameter is one that the description allows."""
    kinds = _kinds(schema)
    types = {kind.get("type") for kind in kinds}
    wanted = {INT: "integer", BOOL: "boolean", STR: "string", MAP: "object", STRS: "array"}
    if isinstance(mine, dict):
        for name, inner in mine.items():
            found = [k["properties"][name] for k in kinds if name in k.get("properties", {})]
            assert found, f"{where}[{name}] is not described"
            _agree(inner, found[0], f"{where}[{name}]")
    elif isinstance(mine, tuple):
        words = {word for kind in kinds for word in kind.get("enum", ())}
        if "boolean" in types:
            words |= {"true", "false"}
        assert set(mine) <= words, where
    else:
        assert wanted[mine] in types, where


@pytest.mark.parametrize("endpoint", sorted(ENDPOINTS))
def test_parameters_are_the_described_ones(description: Description, endpoint: str) -> None:
    described = _described(description, endpoint)
    for name, mine in TABLES[endpoint].items():
        assert name in described, f"{endpoint}: {name} is not described"
        _agree(mine, described[name], name)


@pytest.mark.parametrize("endpoint", sorted(ENDPOINTS))
def test_described_parameters_are_simulated_or_refused_by_name(
    description: Description, endpoint: str
) -> None:
    known = set(TABLES[endpoint]) | set(UNSIMULATED)
    left = set(_described(description, endpoint)) - known
    # Other payment methods' own parameters, and deliveries of events, are unknown here.
    other_methods = {name for name in left if endpoint == "POST /v1/payment_methods"}
    allowed = {"delivery_success", "client_secret"} | other_methods
    if endpoint == "POST /v1/payment_intents/{intent}":
        allowed |= set(left)
    if endpoint == "POST /v1/refunds":
        allowed |= {"currency"}
    assert left <= allowed


def test_the_decoder_nests_as_the_description_expects(description: Description) -> None:
    form = decode(
        "amount=10&currency=eur&metadata[a]=1&metadata%5Bb%5D=x+y&payment_method_types[]=card"
        "&payment_method_types[]=link&payment_method_options[card][request_three_d_secure]=any"
        "&expand[0]=latest_charge"
    )
    assert form["metadata"] == {"a": "1", "b": "x y"}
    assert form["payment_method_types"] == ["card", "link"]
    assert form["payment_method_options"] == {"card": {"request_three_d_secure": "any"}}
    assert form["expand"] == {"0": "latest_charge"}


async def test_every_answer_is_as_described(description: Description) -> None:
    async with running_rig(stripe_search_lag_s=0.0) as rig:
        call = Watched(rig, description)
        card = {
            "type": "card", "card[number]": "4242424242424242", "card[exp_month]": 3,
            "card[exp_year]": 2030, "card[cvc]": "737", "billing_details[name]": "A B",
            "billing_details[address][postal_code]": "1011", "metadata[k]": "v",
        }  # fmt: skip
        method = await call("POST /v1/payment_methods", form=card)
        await call("GET /v1/payment_methods/{payment_method}", method["id"])
        held = await call.pay("4242424242424242", 200, **{"expand[]": "latest_charge"})
        await call("GET /v1/charges/{charge}", held["latest_charge"]["id"])
        capture = {"amount_to_capture": 600}
        await call("POST /v1/payment_intents/{intent}/capture", held["id"], capture)
        refund = await call("POST /v1/refunds", form={"payment_intent": held["id"], "amount": 100})
        await call("GET /v1/refunds/{refund}", refund["id"])
        await call("GET /v1/refunds", query=f"?payment_intent={held['id']}")
        await call("GET /v1/charges", query=f"?payment_intent={held['id']}")
        await call("POST /v1/payment_intents/{intent}/cancel", held["id"], {}, status=400)
        open_intent = await call(
            "POST /v1/payment_intents", form={"amount": 500, "currency": "usd"}
        )
        await call("POST /v1/payment_intents/{intent}", open_intent["id"], {"metadata[a]": "b"})
        await call(
            "POST /v1/payment_intents/{intent}/confirm",
            open_intent["id"],
            {"payment_method": method["id"], "capture_method": "manual"},
        )
        await call("POST /v1/payment_intents/{intent}/cancel", open_intent["id"], {})
        await call("GET /v1/payment_intents/{intent}", open_intent["id"])
        await call("GET /v1/payment_intents", query="?limit=3&expand[]=data.latest_charge")
        await call("GET /v1/payment_intents/search", query="?query=metadata['a']:'b'")
        challenge = await call.pay("4000000000003220", return_url="https://shop.example/back")
        assert challenge["next_action"]["type"] == "redirect_to_url"
        await rig.get_page(challenge["next_action"]["redirect_to_url"]["url"] + "?outcome=fail")
        failed = await call("GET /v1/payment_intents/{intent}", challenge["id"])
        assert failed["last_payment_error"]["code"] == "payment_intent_authentication_failure"
        await call("GET /v1/events/{id}", (await call("GET /v1/events"))["data"][0]["id"])
        assert call.answered == set(ENDPOINTS)


@pytest.mark.parametrize(
    ("number", "code", "decline_code"),
    [
        ("4000000000000002", "card_declined", "generic_decline"),
        ("4000000000009995", "card_declined", "insufficient_funds"),
        ("4000000000000069", "expired_card", "expired_card"),
        ("4100000000000019", "card_declined", "fraudulent"),
    ],
)
async def test_declines_are_as_described(
    description: Description, number: str, code: str, decline_code: str
) -> None:
    async with running_rig() as rig:
        error = (await Watched(rig, description).pay(number, status=402))["error"]
        assert (error["type"], error["code"]) == ("card_error", code)
        assert error["decline_code"] == decline_code
        assert error["payment_intent"]["status"] == "requires_payment_method"


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"amount": 1000}, 400),
        ({"amount": 1000, "currency": "eur", "final_capture": "true"}, 400),
        ({"amount": 10, "currency": "eur"}, 400),
        ({"amount": 1000, "currency": "eur", "payment_method": "pm_none"}, 404),
    ],
)
async def test_refusals_are_as_described(
    description: Description, form: dict[str, Any], status: int
) -> None:
    async with running_rig() as rig:
        call = Watched(rig, description)
        await call("POST /v1/payment_intents", form=form, status=status)


async def test_webhooks_are_as_described(description: Description) -> None:
    async with running_rig() as rig:
        first = (await rig.pay()).json
        path = f"/v1/payment_intents/{first['id']}"
        await rig.stripe("POST", f"{path}/capture", {"amount_to_capture": 400})
        await rig.stripe("POST", "/v1/refunds", {"payment_intent": first["id"]})
        second = (await rig.pay()).json
        await rig.stripe("POST", f"/v1/payment_intents/{second['id']}/cancel", {})
        await rig.pay("4000000000000002")
        await rig.pay("4000002760003184", return_url="https://shop.example/back")
        failing = (await rig.pay("4000000000005126", capture_method="automatic")).json
        await rig.stripe("POST", "/v1/refunds", {"payment_intent": failing["id"]})
        third = (await rig.pay()).json
        await rig.control("POST", "stripe/expire", {"payment": third["id"]})
        received = await rig.flush()
        for webhook in received:
            description.holds("/components/schemas/event", webhook.json)
            obj = webhook.json["data"]["object"]
            description.holds(f"/components/schemas/{obj['object']}", obj)
        assert {webhook.json["type"] for webhook in received} == set(STRIPE_EVENT_TYPES)


def test_the_checks_see_what_is_wrong(description: Description) -> None:
    refund = {
        "id": "re_1", "object": "refund", "amount": 1, "created": 1, "currency": "eur",
    }  # fmt: skip
    pointer = "/components/schemas/refund"
    description.holds(pointer, refund)
    assert description.complaints(pointer, {**refund, "amount": "1"})
    assert description.complaints(pointer, {**refund, "reason": "because"})
    assert description.unknown(description.at(pointer), {**refund, "invented": 1}) == [".invented"]
    deep = {**refund, "next_action": {"type": "x", "invented": 1}}
    assert description.unknown(description.at(pointer), deep) == [".next_action.invented"]
