"""The contract may grow; nothing that callers rely on may go or change."""

from collections.abc import Callable
from pathlib import Path

import pytest
from google.api import annotations_pb2, field_behavior_pb2
from google.protobuf import descriptor_pb2

from tests.contract.compat import (
    FileSet,
    Message,
    all_enums,
    all_messages,
    all_methods,
    breaking_changes,
)
from turnout import v1

BASELINE = Path(__file__).parents[2] / "proto/baseline.binpb"


def current() -> FileSet:
    return FileSet.FromString(v1.descriptor_set())


def message(image: FileSet, name: str) -> Message:
    return dict(all_messages(image))[f"turnout.v1.{name}"]


def test_nothing_that_callers_rely_on_has_changed() -> None:
    baseline = FileSet.FromString(BASELINE.read_bytes())
    assert breaking_changes(baseline, current()) == []


def test_the_baseline_protects_everything_that_is_there() -> None:
    """What was added and is not in the baseline could go again unseen."""
    baseline = FileSet.FromString(BASELINE.read_bytes())
    unprotected = breaking_changes(current(), baseline)
    assert unprotected == [], "accept the additions: python scripts/gen.py --baseline"


def remove_field(image: FileSet) -> None:
    del message(image, "Payment").field[4]


def renumber_field(image: FileSet) -> None:
    message(image, "Payment").field[0].number = 99


def retype_field(image: FileSet) -> None:
    field = message(image, "Refund").field[5]
    field.type = descriptor_pb2.FieldDescriptorProto.TYPE_INT32


def rename_field(image: FileSet) -> None:
    message(image, "Card").field[0].name = "pan"


def make_repeated(image: FileSet) -> None:
    field = message(image, "Payment").field[3]
    field.label = descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED


def leave_oneof(image: FileSet) -> None:
    message(image, "PaymentMethod").field[0].ClearField("oneof_index")


def require_field(image: FileSet) -> None:
    options = message(image, "CapturePaymentRequest").field[1].options
    options.Extensions[field_behavior_pb2.field_behavior].append(field_behavior_pb2.REQUIRED)


def add_required_field(image: FileSet) -> None:
    field = message(image, "CreateTokenRequest").field.add(name="extra", number=77)
    field.options.Extensions[field_behavior_pb2.field_behavior].append(field_behavior_pb2.REQUIRED)


def remove_map(image: FileSet) -> None:
    del message(image, "AuthorizePaymentRequest").nested_type[0]


def remove_message(image: FileSet) -> None:
    for file in image.file:
        for number, found in enumerate(file.message_type):
            if found.name == "Address":
                del file.message_type[number]
                return


def remove_enum_value(image: FileSet) -> None:
    del dict(all_enums(image))["turnout.v1.PaymentStatus"].value[3]


def renumber_enum_value(image: FileSet) -> None:
    dict(all_enums(image))["turnout.v1.DeclineCode"].value[1].number = 900


def remove_rpc(image: FileSet) -> None:
    for file in image.file:
        for service in file.service:
            if service.name == "PaymentService":
                del service.method[0]


def stream_answer(image: FileSet) -> None:
    dict(all_methods(image))["turnout.v1.PaymentService.GetPayment"].server_streaming = True


def move_path(image: FileSet) -> None:
    method = dict(all_methods(image))["turnout.v1.PaymentService.GetPayment"]
    method.options.Extensions[annotations_pb2.http].get = "/v1/payment/{payment_id}"


def demand_key(image: FileSet) -> None:
    method = dict(all_methods(image))["turnout.v1.PaymentService.SyncPayment"]
    method.options.ClearField("idempotency_level")


@pytest.mark.parametrize(
    "change",
    [
        remove_field,
        renumber_field,
        retype_field,
        rename_field,
        make_repeated,
        leave_oneof,
        require_field,
        add_required_field,
        remove_map,
        remove_message,
        remove_enum_value,
        renumber_enum_value,
        remove_rpc,
        stream_answer,
        move_path,
        demand_key,
    ],
)
def test_a_breaking_change_is_seen(change: Callable[[FileSet], None]) -> None:
    changed = current()
    change(changed)
    assert breaking_changes(current(), changed)


def test_growing_is_no_breaking_change() -> None:
    grown = current()
    message(grown, "Payment").field.add(name="extra", number=500, type=9, label=1)
    dict(all_enums(grown))["turnout.v1.PaymentStatus"].value.add(
        name="PAYMENT_STATUS_NEW", number=50
    )
    assert breaking_changes(current(), grown) == []
