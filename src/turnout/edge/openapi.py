"""Describe the HTTP face as OpenAPI 3.1, from the contract's descriptors alone.

What merchants see over HTTP is what Envoy's transcoder makes of the contract: proto field names,
int64 as strings, enumerations by name, scalars printed even when zero, errors as
google.rpc.Status. This module writes down exactly that, so that the description cannot say
anything that the edge does not do; an integration test validates real answers against it.
No kept-up generator for this mapping installs from PyPI or npm, which is why it is written here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.api import annotations_pb2, http_pb2
from google.protobuf import descriptor_pb2

from turnout.edge.examples import REQUESTS
from turnout.edge.schemas import Comments, Json, Schemas

HEADER = "# Generated from proto/turnout/v1 by scripts/gen.py; never edited.\n"

_HTTP_BODY = ".google.api.HttpBody"

# Providers sign what they send; they hold no API key of ours.
_WITHOUT_API_KEY = frozenset({"ReceiveProviderWebhook"})

_ABOUT = """\
Turnout takes a merchant's payments and sends each to the payment provider that is most likely to
approve it. This is the HTTP face of the gRPC package `turnout.v1`; both are one and the same
service.

Amounts are `*_minor`: whole minor units of the ISO 4217 currency beside them. 64-bit integers are
strings in answers; requests may give them as strings or numbers. Fields that a request has and
this description has not are refused.

A declined payment is an answer with status 200, whose `status` and `decline` tell of it. Errors
are google.rpc.Status: `code` is the gRPC code; `details` has an ErrorInfo, whose `reason` is made
for programs, and for bad requests a BadRequest that names the fields."""

_PARAMETERS: Json = {
    "IdempotencyKey": {
        "name": "idempotency-key",
        "in": "header",
        "required": True,
        "description": "The same key with the same request gives the first answer again for 30 "
        "days; with another request it is refused. 1 to 255 visible ASCII characters.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
        "example": "order-1001-first-try",
    },
    "RequestId": {
        "name": "x-request-id",
        "in": "header",
        "description": "Names this request in logs and answers; made at the edge if absent.",
        "schema": {"type": "string", "maxLength": 128},
    },
    "Traceparent": {
        "name": "traceparent",
        "in": "header",
        "description": "W3C trace context.",
        "schema": {"type": "string"},
        "example": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    },
}

_ERROR: Json = {
    "description": "Nothing was done, or what was done is not known to have succeeded. 400 "
    "INVALID_ARGUMENT, FAILED_PRECONDITION; 401 UNAUTHENTICATED; 403 PERMISSION_DENIED; 404 "
    "NOT_FOUND; 409 ALREADY_EXISTS, ABORTED; 413 too large; 429 RESOURCE_EXHAUSTED; 500 INTERNAL; "
    "503 UNAVAILABLE; 504 DEADLINE_EXCEEDED.",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Status"}}},
}


def build(image: descriptor_pb2.FileDescriptorSet) -> Json:
    """Return the OpenAPI document of every rpc in package `turnout.v1` that has an HTTP rule.

    Args:
        image: The contract with its imports and its comments (source info).
    """
    comments = Comments(image)
    schemas = Schemas(image, comments)
    paths: dict[str, Json] = {}
    tags = []
    for service, method in _rpcs(image):
        tag = {"name": service.name, "description": comments.of(f".turnout.v1.{service.name}")}
        if tag not in tags and _rules(method):
            tags.append(tag)
        for number, rule in enumerate(_rules(method)):
            verb, path = _verb_and_path(rule)
            operation = _operation(service, method, rule, path, schemas, comments)
            if number:
                operation["operationId"] += f"_{number}"
            paths.setdefault(path, {})[verb] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Turnout",
            "version": "v1",
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "http://127.0.0.1:8080", "description": "A local Turnout"}],
        "security": [{"ApiKey": []}],
        "tags": tags,
        "paths": paths,
        "components": {
            "securitySchemes": {
                "ApiKey": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The merchant's secret key: `authorization: Bearer sk_...`.",
                }
            },
            "parameters": _PARAMETERS,
            "responses": {"Error": _ERROR},
            "schemas": schemas.components(),
        },
    }


def _rpcs(
    image: descriptor_pb2.FileDescriptorSet,
) -> Iterator[tuple[descriptor_pb2.ServiceDescriptorProto, descriptor_pb2.MethodDescriptorProto]]:
    for file in image.file:
        if file.package == "turnout.v1":
            for service in file.service:
                for method in service.method:
                    yield service, method


def _rules(method: descriptor_pb2.MethodDescriptorProto) -> list[http_pb2.HttpRule]:
    if not method.options.HasExtension(annotations_pb2.http):
        return []
    rule = method.options.Extensions[annotations_pb2.http]
    return [rule, *rule.additional_bindings]


def _verb_and_path(rule: http_pb2.HttpRule) -> tuple[str, str]:
    verb = rule.WhichOneof("pattern")
    if verb is None or verb == "custom":
        raise ValueError(f"an HTTP rule needs get, put, post, delete or patch: {rule}")
    return verb, str(getattr(rule, verb))


def _operation(
    service: descriptor_pb2.ServiceDescriptorProto,
    method: descriptor_pb2.MethodDescriptorProto,
    rule: http_pb2.HttpRule,
    path: str,
    schemas: Schemas,
    comments: Comments,
) -> Json:
    about = comments.of(f".turnout.v1.{service.name}.{method.name}")
    operation: Json = {
        "operationId": method.name,
        "tags": [service.name],
        "summary": about.split(". ")[0].split("\n")[0].rstrip("."),
        "description": about,
    }
    if method.name in _WITHOUT_API_KEY:
        operation["security"] = []
    operation["parameters"] = _parameters(method, rule, path, schemas)
    if rule.body:
        operation["requestBody"] = _request_body(method, rule, path, schemas)
    operation["responses"] = {
        "200": _answer(method, schemas),
        "default": {"$ref": "#/components/responses/Error"},
    }
    return operation


def _parameters(
    method: descriptor_pb2.MethodDescriptorProto,
    rule: http_pb2.HttpRule,
    path: str,
    schemas: Schemas,
) -> list[Json]:
    found = []
    for field in schemas.message(method.input_type).field:
        in_path = f"{{{field.name}}}" in path
        if not in_path and (rule.body == "*" or rule.body == field.name):
            continue
        parameter: Json = {"name": field.name, "in": "path" if in_path else "query"}
        if in_path:
            parameter["required"] = True
        schema = schemas.of_field(method.input_type, field)
        about = schema.pop("description", "")
        found.append({**parameter, "description": about, "schema": schema})
    shared = ["RequestId", "Traceparent"]
    unset = descriptor_pb2.MethodOptions.IDEMPOTENCY_UNKNOWN
    if method.options.idempotency_level == unset:
        shared.insert(0, "IdempotencyKey")
    return found + [{"$ref": f"#/components/parameters/{name}"} for name in shared]


def _request_body(
    method: descriptor_pb2.MethodDescriptorProto,
    rule: http_pb2.HttpRule,
    path: str,
    schemas: Schemas,
) -> Json:
    if rule.body != "*":
        fields = {f.name: f for f in schemas.message(method.input_type).field}
        if fields[rule.body].type_name != _HTTP_BODY:
            raise ValueError(f"{method.name}: a body must be `*` or an HttpBody field")
        return {"required": True, "content": {"*/*": {}}}
    in_path = [
        field.name
        for field in schemas.message(method.input_type).field
        if f"{{{field.name}}}" in path
    ]
    media: Json = {"schema": schemas.body_without(method.input_type, in_path)}
    examples = REQUESTS.get(method.name)
    if examples:
        media["examples"] = {name: {"value": value} for name, value in examples.items()}
    return {"required": True, "content": {"application/json": media}}


def _answer(method: descriptor_pb2.MethodDescriptorProto, schemas: Schemas) -> Json:
    if method.output_type == _HTTP_BODY:
        return {"description": "What the provider wants to read.", "content": {"*/*": {}}}
    schema: dict[str, Any] = schemas.reference(method.output_type)
    about = schemas.about(method.output_type)
    if method.server_streaming:
        about = f"One JSON object a line, as long as the call lasts. {about}"
    return {"description": about, "content": {"application/json": {"schema": schema}}}
