"""Page tokens go on where they were made for, and nowhere else."""

from __future__ import annotations

import base64

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from turnout import v1
from turnout.domain.errors import InvalidRequest
from turnout.orchestration.commands import Caller
from turnout.server import pages

ANN = Caller("mer_ann", "key", False, 0)
HASH = pages.list_hash(v1.ListPaymentsRequest(), ANN)


def reason(error: InvalidRequest) -> tuple[str, str]:
    (one,) = error.fields
    return one.field, one.reason


@given(
    st.integers(0, 2**63 - 1),
    st.from_regex(r"[a-z]{3}_[0-9a-f]{32}", fullmatch=True) | st.just(""),
)
def test_a_token_gives_its_place_back(place: int, item_id: str) -> None:
    token = pages.write_token(HASH, place, item_id)
    assert pages.read_token(token, HASH) == (place, item_id)
    assert token.isascii() and "=" not in token


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "garbage",
        "ü",
        "=",
        "AAAA",
        "A" * 10_000,
        base64.urlsafe_b64encode(b"\x09" + HASH + bytes(8)).decode(),
        base64.urlsafe_b64encode(b"\x01" + HASH + b"\xff" * 8).decode(),
        base64.urlsafe_b64encode(b"\x01" + HASH + bytes(8) + b"a' OR 1").decode(),
        base64.urlsafe_b64encode(b"\x01" + HASH + bytes(8) + b"\xff").decode(),
        pages.write_token(HASH, 5, "pay_1") + "!",
        " " + pages.write_token(HASH, 5, "pay_1"),
    ],
)
def test_garbage_is_refused(token: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        pages.read_token(token, HASH)
    assert reason(caught.value) == ("page_token", "PAGE_TOKEN_INVALID")


@given(st.text(max_size=300))
def test_any_text_is_refused(token: str) -> None:
    with pytest.raises(InvalidRequest):
        pages.read_token(token, HASH)


@pytest.mark.parametrize(
    ("request_", "caller"),
    [
        (v1.ListPaymentsRequest(currency="EUR"), ANN),
        (v1.ListPaymentsRequest(status=[v1.PAYMENT_STATUS_FAILED]), ANN),
        (v1.ListPaymentsRequest(created_after=Timestamp(seconds=1)), ANN),
        (v1.ListRefundsRequest(), ANN),
        (v1.ListPaymentsRequest(), Caller("mer_bob", "key", False, 0)),
        (v1.ListPaymentsRequest(), Caller("mer_ann", "key", True, 0)),
    ],
)
def test_a_token_of_another_list_is_refused(
    request_: v1.ListPaymentsRequest | v1.ListRefundsRequest, caller: Caller
) -> None:
    token = pages.write_token(HASH, 5, "pay_1")
    with pytest.raises(InvalidRequest) as caught:
        pages.read_token(token, pages.list_hash(request_, caller))
    assert reason(caught.value) == ("page_token", "PAGE_TOKEN_MISMATCH")


def test_the_page_s_own_fields_are_no_filters() -> None:
    other = v1.ListPaymentsRequest(page_size=7, page_token="x")
    assert pages.list_hash(other, ANN) == HASH


@pytest.mark.parametrize(("asked", "given_"), [(0, 20), (1, 1), (100, 100)])
def test_page_sizes(asked: int, given_: int) -> None:
    assert pages.page_size(v1.ListPaymentsRequest(page_size=asked)) == given_


@pytest.mark.parametrize("asked", [-1, 101, 2**31 - 1])
def test_page_sizes_out_of_range(asked: int) -> None:
    with pytest.raises(InvalidRequest) as caught:
        pages.page_size(v1.ListPaymentsRequest(page_size=asked))
    assert reason(caught.value) == ("page_size", "PAGE_SIZE_OUT_OF_RANGE")


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        (Timestamp(seconds=1, nanos=5), 1_000_000_005),
        # The beginning of time is still a filter: nothing lies before it.
        (Timestamp(), 1),
        (Timestamp(seconds=9_223_372_035, nanos=999_999_999), 9_223_372_035_999_999_999),
    ],
)
def test_moments(stamp: Timestamp, expected: int) -> None:
    assert pages.time_ns(v1.ListEventsRequest(created_before=stamp), "created_before") == expected
    assert pages.time_ns(v1.ListEventsRequest(created_before=stamp), "created_after") == 0


@pytest.mark.parametrize(
    "stamp",
    [
        Timestamp(seconds=-1),
        Timestamp(seconds=9_223_372_036),
        Timestamp(seconds=2**62),
        Timestamp(seconds=1, nanos=-1),
        Timestamp(seconds=1, nanos=1_000_000_000),
    ],
)
def test_moments_out_of_range(stamp: Timestamp) -> None:
    with pytest.raises(InvalidRequest) as caught:
        pages.time_ns(v1.ListEventsRequest(created_after=stamp), "created_after")
    assert reason(caught.value) == ("created_after", "TIMESTAMP_OUT_OF_RANGE")


def test_a_filter_has_a_bounded_number_of_values() -> None:
    pages.check_count(pages.MAX_FILTER_VALUES, "types")
    with pytest.raises(InvalidRequest) as caught:
        pages.check_count(pages.MAX_FILTER_VALUES + 1, "types")
    assert reason(caught.value) == ("types", "TOO_MANY_VALUES")
