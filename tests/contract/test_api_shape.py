"""The contract keeps the API's own rules: comments, units, enumerations, HTTP and secrets."""

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

from tests.contract.compat import (
    Field,
    FileSet,
    all_enums,
    all_messages,
    all_methods,
    bindings,
)
from turnout import v1
from turnout.edge.schemas import Comments

ROOT = Path(__file__).parents[2]


def contract() -> FileSet:
    return FileSet.FromString(v1.descriptor_set())


@cache
def comments() -> Comments:
    """The comments are not shipped with the descriptors, so protoc reads the sources again."""
    command = [sys.executable, str(ROOT / "scripts/gen.py"), "--image", "-"]
    image = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    return Comments(FileSet.FromString(image))


def test_every_rpc_of_merchants_can_be_called_over_http_and_none_of_operators() -> None:
    missing = [name for name, method in all_methods(contract()) if not bindings(method)]
    operators = [
        name for name, _ in all_methods(contract()) if ".OperationsService." in f".{name}"
    ]
    # JSON over HTTP/1.1 cannot carry what callers stream.
    streams = [name for name, method in all_methods(contract()) if method.client_streaming]
    assert sorted(missing) == sorted(operators + streams)
    assert len(operators) >= 3
    assert streams == ["turnout.v1.PaymentService.AuthorizeStream"]


def test_no_two_rpcs_share_an_http_path() -> None:
    seen: dict[tuple[str, str], str] = {}
    for name, method in all_methods(contract()):
        for verb, path, _ in bindings(method):
            shape = re.sub(r"{\w+}", "{}", path)
            assert (verb, shape) not in seen, f"{name} and {seen[verb, shape]}"
            seen[verb, shape] = name


def test_path_variables_are_fields_of_the_request() -> None:
    messages = dict(all_messages(contract()))
    for name, method in all_methods(contract()):
        fields = {field.name for field in messages[method.input_type[1:]].field}
        for _, path, _ in bindings(method):
            assert set(re.findall(r"{(\w+)}", path)) <= fields, name


def test_only_get_reads_and_only_reads_get() -> None:
    safe = descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS
    for name, method in all_methods(contract()):
        reads = method.options.idempotency_level == safe
        assert all((verb == "get") == reads for verb, _, _ in bindings(method)), name


def test_everything_is_commented() -> None:
    image = contract()
    names = [f".{name}" for name, _ in all_methods(image)]
    for name, message in all_messages(image):
        if not message.options.map_entry:
            names += [f".{name}", *(f".{name}.{field.name}" for field in message.field)]
    for name, enum in all_enums(image):
        names += [f".{name}", *(f".{name}.{value.name}" for value in enum.value)]
    assert len(names) > 300
    assert [name for name in names if len(comments().of(name)) < 5] == []


def test_amounts_say_their_unit_and_stand_beside_a_currency() -> None:
    for name, message in all_messages(contract()):
        for field in message.field:
            about = comments().of(f".{name}.{field.name}") if not message.options.map_entry else ""
            if "amount" in field.name or field.name.endswith("_minor"):
                assert field.name.endswith("_minor"), f"{name}.{field.name}: no unit in its name"
                assert field.type == Field.TYPE_INT64, f"{name}.{field.name}"
                assert "minor unit" in about or "captured, in minor" in about, field.name
                owns = any(other.name == "currency" for other in message.field)
                assert owns or "payment's currency" in about, f"{name}: whose currency?"


# Probabilities, scores and what is added to them; never money.
MEASURES = {
    "RulesetObjective": {
        "margin_bps",
        "latency_minor_per_s",
        "approval_per_fee_bps",
        "approval_per_latency_s",
    },
    "RuleCommitment": {"within_points"},
    "RuleOutcomes": {"cheapest_within_points"},
    "RuleOutcomes.WeightEntry": {"value"},
    "ExplainedAccount": {
        "score",
        "propensity",
        "approval",
        "approval_low",
        "approval_high",
        "approval_to_lead",
        "failure_rate",
        "latency_ms",
    },
    "ReplayDecisionsResponse": {"approval", "fee_bps", "moved", "effective"},
    "ReplayEstimate": {"change", "low", "high"},
    "ReplayShare": {"before", "after"},
}


def test_no_amount_is_a_float() -> None:
    floats = {Field.TYPE_FLOAT, Field.TYPE_DOUBLE}
    for name, message in all_messages(contract()):
        found = {field.name for field in message.field if field.type in floats}
        assert found == MEASURES.get(name.removeprefix("turnout.v1."), set()), name


def test_moments_are_timestamps() -> None:
    ending = ("_at", "_before", "_after")
    for name, message in all_messages(contract()):
        for field in message.field:
            if field.name.endswith(ending):
                assert field.type_name == ".google.protobuf.Timestamp", f"{name}.{field.name}"


def test_enumerations_begin_with_unspecified() -> None:
    for name, enum in all_enums(contract()):
        words = re.sub(r"(?<!^)(?=[A-Z])", "_", enum.name).upper()
        assert enum.value[0].name == f"{words}_UNSPECIFIED", name
        assert enum.value[0].number == 0
        assert all(value.name.startswith(f"{words}_") for value in enum.value), name


SECRETS = {
    "Card.number",
    "Card.cvc",
    "Card.holder_name",
    "TokenReference.cvc",
    "WalletToken.payload",
    "BankDebit.account_number",
    "BankDebit.routing_number",
    "Customer.email",
    "Customer.phone",
    "Customer.name",
    "Customer.ip_address",
    "Address.line1",
}


def test_secrets_and_personal_data_are_marked() -> None:
    marked = {
        f"{name.removeprefix('turnout.v1.')}.{field.name}"
        for name, message in all_messages(contract())
        for field in message.field
        if field.options.debug_redact
    }
    assert marked >= SECRETS


def test_no_answer_can_hold_a_card_number_or_code() -> None:
    messages = dict(all_messages(contract()))
    waiting = [method.output_type[1:] for _, method in all_methods(contract())]
    reached: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in reached or name not in messages:
            continue
        reached.add(name)
        waiting += [field.type_name[1:] for field in messages[name].field]
    assert "turnout.v1.Payment" in reached
    assert "turnout.v1.Card" not in reached
    assert "turnout.v1.PaymentMethod" not in reached
    for name in reached:
        assert not {"number", "cvc", "pan"} & {field.name for field in messages[name].field}


@pytest.mark.parametrize("name", ["google.rpc.ErrorInfo", "google.rpc.BadRequest"])
def test_the_descriptors_can_print_error_details(name: str) -> None:
    """Errors carry them as Any, which only a reader with their descriptors can print."""
    found = {
        f"{file.package}.{message.name}"
        for file in contract().file
        for message in file.message_type
    }
    assert name in found


def test_the_front_page_has_every_name() -> None:
    image = contract()
    for file in image.file:
        if file.package == "turnout.v1":
            names = [message.name for message in file.message_type]
            names += [enum.name for enum in file.enum_type]
            names += [value.name for enum in file.enum_type for value in enum.value]
            names += [f"{service.name}Stub" for service in file.service]
            names += [f"add_{service.name}Servicer_to_server" for service in file.service]
            assert [name for name in names if not hasattr(v1, name)] == []
