"""openapi.yaml is valid OpenAPI 3.1, says all that the contract says, and has true examples."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import descriptor_pool, json_format, message_factory
from openapi_schema_validator import OAS31Validator

from tests.contract.compat import FileSet, all_methods, bindings
from turnout import v1
from turnout.edge.examples import REQUESTS

DOCUMENT: dict[str, Any] = yaml.safe_load(
    Path(v1.__file__).parents[1].joinpath("edge/openapi.yaml").read_text(encoding="utf-8")
)
METHODS = dict(all_methods(FileSet.FromString(v1.descriptor_set())))
VERBS = ("get", "put", "post", "delete", "patch")


def operations() -> dict[str, tuple[str, str, dict[str, Any]]]:
    """By operationId: verb, path and operation."""
    return {
        operation["operationId"]: (verb, path, operation)
        for path, item in DOCUMENT["paths"].items()
        for verb, operation in item.items()
    }


def resolve(reference: str) -> Any:
    place: Any = DOCUMENT
    assert reference.startswith("#/")
    for step in reference[2:].split("/"):
        place = place[step]
    return place


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [found for value in node.values() for found in references(value)]
    if isinstance(node, list):
        return [found for value in node for found in references(value)]
    return []


def test_it_has_the_frame_of_openapi_3_1() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    assert {"title", "version"} <= DOCUMENT["info"].keys()
    for verb, path, operation in operations().values():
        assert verb in VERBS
        assert path.startswith("/v1/")
        assert operation["responses"]["default"] == {"$ref": "#/components/responses/Error"}
        for parameter in operation["parameters"]:
            found = resolve(parameter["$ref"]) if "$ref" in parameter else parameter
            assert {"name", "in", "schema"} <= found.keys()
            assert found["in"] in ("path", "query", "header")
            assert found["in"] != "path" or (found["required"] and f"{{{found['name']}}}" in path)


def test_every_reference_leads_somewhere() -> None:
    found = references(DOCUMENT)
    assert len(found) > 50
    for reference in found:
        assert resolve(reference)


@pytest.mark.parametrize("name", sorted(DOCUMENT["components"]["schemas"]))
def test_every_schema_is_a_schema(name: str) -> None:
    OAS31Validator.check_schema(DOCUMENT["components"]["schemas"][name])


def test_every_binding_is_described_and_nothing_else() -> None:
    described = {(verb, path) for verb, path, _ in operations().values()}
    wanted = {(v, path) for method in METHODS.values() for v, path, _ in bindings(method)}
    assert described == wanted


def test_a_key_is_asked_for_exactly_where_the_contract_does() -> None:
    wanted = {
        name.rpartition(".")[2]
        for name, method in METHODS.items()
        if bindings(method) and not method.options.HasField("idempotency_level")
    }
    key = {"$ref": "#/components/parameters/IdempotencyKey"}
    asked = {name for name, (_, _, found) in operations().items() if key in found["parameters"]}
    assert asked == wanted
    assert "AuthorizePayment" in asked
    assert "GetPayment" not in asked


EXAMPLES = [(rpc, name) for rpc, examples in REQUESTS.items() for name in examples]


@pytest.mark.parametrize(("rpc", "name"), EXAMPLES)
def test_an_example_is_what_it_says(rpc: str, name: str) -> None:
    _, _, operation = operations()[rpc]
    media = operation["requestBody"]["content"]["application/json"]
    example = media["examples"][name]["value"]
    schema = {**media["schema"], "components": DOCUMENT["components"]}
    OAS31Validator(schema).validate(example)
    (method,) = (m for full, m in METHODS.items() if full.endswith(f".{rpc}"))
    descriptor = descriptor_pool.Default().FindMessageTypeByName(method.input_type[1:])
    json_format.ParseDict(example, message_factory.GetMessageClass(descriptor)())


def test_a_request_with_an_unknown_field_breaks_its_schema() -> None:
    schema = {
        "$ref": "#/components/schemas/AuthorizePaymentRequest",
        "components": DOCUMENT["components"],
    }
    example = REQUESTS["AuthorizePayment"]["card"]
    assert OAS31Validator(schema).is_valid(example)
    assert not OAS31Validator(schema).is_valid({**example, "capture_metod": "x"})
    assert not OAS31Validator(schema).is_valid({**example, "amount_minor": 1.5})
    assert not OAS31Validator(schema).is_valid(
        {k: v for k, v in example.items() if k != "currency"}
    )
