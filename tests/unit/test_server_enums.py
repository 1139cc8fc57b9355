"""Every word of the domain has its number, and every number of the contract its word."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import pytest

from turnout import v1
from turnout.domain.cards import Funding, Network
from turnout.domain.declines import DeclineCode, RetryAdvice
from turnout.domain.operation import OperationState
from turnout.domain.payment import (
    AvsResult,
    CaptureMethod,
    Channel,
    CvcResult,
    Initiator,
    PaymentStatus,
    ThreeDSecureState,
)
from turnout.server import enums
from turnout.server.declines import SENTENCES

PAIRS: list[tuple[Any, Any, Any]] = [
    (PaymentStatus, enums.PAYMENT_STATUS, v1.PaymentStatus),
    (CaptureMethod, enums.CAPTURE_METHOD, v1.CaptureMethod),
    (Initiator, enums.INITIATOR, v1.Initiator),
    (AvsResult, enums.AVS_RESULT, v1.AvsResult),
    (CvcResult, enums.CVC_RESULT, v1.CvcResult),
    (Channel, enums.CHANNEL, v1.Channel),
    (ThreeDSecureState, enums.THREE_D_SECURE_STATE, v1.ThreeDSecureState),
    (Network, enums.NETWORK, v1.CardNetwork),
    (Funding, enums.FUNDING, v1.CardFunding),
    (DeclineCode, enums.DECLINE_CODE, v1.DeclineCode),
    (RetryAdvice, enums.RETRY_ADVICE, v1.RetryAdvice),
]


@pytest.mark.parametrize(("words", "table", "numbers"), PAIRS, ids=lambda one: str(one)[:40])
def test_words_and_numbers_pair_one_to_one(
    words: type[StrEnum], table: dict[Any, int], numbers: Any
) -> None:
    assert set(table) == set(words)
    assert len(set(table.values())) == len(table)
    assert set(table.values()) | {0} == set(numbers.values())


@pytest.mark.parametrize(
    ("table", "numbers"),
    [
        (enums.CANCELLATION_REASON, v1.CancellationReason),
        (enums.REFUND_REASON, v1.RefundReason),
        (enums.METHOD_KIND, v1.PaymentMethodKind),
        (enums.THREE_D_SECURE, v1.ThreeDSecurePreference),
        (enums.REDIRECT_METHOD, v1.RedirectMethod),
    ],
    ids=lambda one: str(one)[:40],
)
def test_plain_words_cover_every_number(table: dict[str, int], numbers: Any) -> None:
    assert set(table.values()) | {0} == set(numbers.values())
    assert len(set(table.values())) == len(table)


@pytest.mark.parametrize(
    ("table", "numbers", "never"),
    [
        (enums.CAPTURE_STATUS, v1.CaptureStatus, set()),
        (enums.CANCELLATION_STATUS, v1.CancellationStatus, set()),
        (enums.REFUND_STATUS, v1.RefundStatus, set()),
        # Told from the decline, not from the state alone.
        (enums.ATTEMPT_STATUS, v1.AttemptStatus, {v1.ATTEMPT_STATUS_REVERSED}),
    ],
    ids=["capture", "cancellation", "refund", "attempt"],
)
def test_every_state_of_an_operation_is_told(
    table: dict[OperationState, int], numbers: Any, never: set[int]
) -> None:
    assert set(table) == set(OperationState)
    assert set(table.values()) | {0} | never == set(numbers.values())


def test_open_operations_are_never_told_as_ended() -> None:
    for state in OperationState:
        ended = state in {
            OperationState.SUCCEEDED,
            OperationState.FAILED,
            OperationState.NOT_PROCESSED,
        }
        assert (enums.CAPTURE_STATUS[state] != v1.CAPTURE_STATUS_PENDING) == ended
        assert (enums.REFUND_STATUS[state] != v1.REFUND_STATUS_PENDING) == ended
        assert (enums.CANCELLATION_STATUS[state] != v1.CANCELLATION_STATUS_PENDING) == ended


def test_requests_read_back_what_answers_write() -> None:
    for table, back in (
        (enums.PAYMENT_STATUS, enums.PAYMENT_STATUS_WORD),
        (enums.CAPTURE_METHOD, enums.CAPTURE_METHOD_WORD),
        (enums.INITIATOR, enums.INITIATOR_WORD),
        (enums.NETWORK, enums.NETWORK_WORD),
        (enums.FUNDING, enums.FUNDING_WORD),
        (enums.CANCELLATION_REASON, enums.CANCELLATION_REASON_WORD),
        (enums.REFUND_REASON, enums.REFUND_REASON_WORD),
        (enums.THREE_D_SECURE, enums.THREE_D_SECURE_WORD),
    ):
        pairs: dict[Any, int] = dict(table)
        words: dict[int, Any] = dict(back)
        for word, number in pairs.items():
            assert words[number] == word


def test_refund_filters_split_all_states() -> None:
    states = [one for group in enums.REFUND_STATES.values() for one in group]
    assert sorted(states) == sorted(OperationState)


def test_every_decline_has_a_sentence() -> None:
    assert set(SENTENCES) == set(DeclineCode)
    assert len(set(SENTENCES.values())) == len(SENTENCES)
    for sentence in SENTENCES.values():
        assert sentence.endswith(".") and len(sentence) < 100
