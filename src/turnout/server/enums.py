"""Which number of the contract stands for which word of the domain: all tables, both ways.

Where both sides use one name the table is made from the names, so a word that only one side knows
stops the import instead of a payment. States of operations are told in coarser words, by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final, TypeVar

from turnout import v1
from turnout.domain.cards import Funding, Network
from turnout.domain.declines import DeclineCode, RetryAdvice
from turnout.domain.ledger import Book, LedgerKind
from turnout.domain.operation import OperationKind, OperationState
from turnout.domain.payment import (
    AvsResult,
    CaptureMethod,
    Channel,
    CvcResult,
    Initiator,
    PaymentStatus,
    ThreeDSecureState,
)
from turnout.orchestration.commands import Resolution

E = TypeVar("E", bound=StrEnum)
V = TypeVar("V", bound=int)
W = TypeVar("W", bound=str)

_ZERO_WORDS = frozenset({"UNKNOWN", "NONE"})


def _by_name(words: type[E], value: Callable[[str], V], prefix: str) -> dict[E, V]:
    """Pairs `Word.NAME` with `PREFIX_NAME`; the domain's words for nothing are UNSPECIFIED."""
    return {
        word: value(prefix + ("UNSPECIFIED" if word.name in _ZERO_WORDS else word.name))
        for word in words
    }


def _back(table: Mapping[W, int]) -> dict[int, W]:
    return {number: word for word, number in table.items()}


PAYMENT_STATUS: Final = _by_name(PaymentStatus, v1.PaymentStatus.Value, "PAYMENT_STATUS_")
CAPTURE_METHOD: Final = _by_name(CaptureMethod, v1.CaptureMethod.Value, "CAPTURE_METHOD_")
INITIATOR: Final = _by_name(Initiator, v1.Initiator.Value, "INITIATOR_")
AVS_RESULT: Final = _by_name(AvsResult, v1.AvsResult.Value, "AVS_RESULT_")
CVC_RESULT: Final = _by_name(CvcResult, v1.CvcResult.Value, "CVC_RESULT_")
NETWORK: Final = _by_name(Network, v1.CardNetwork.Value, "CARD_NETWORK_")
FUNDING: Final = _by_name(Funding, v1.CardFunding.Value, "CARD_FUNDING_")
DECLINE_CODE: Final = _by_name(DeclineCode, v1.DeclineCode.Value, "DECLINE_CODE_")
BOOK: Final = _by_name(Book, v1.LedgerBook.Value, "LEDGER_BOOK_")
LEDGER_KIND: Final = _by_name(LedgerKind, v1.LedgerEntryKind.Value, "LEDGER_ENTRY_KIND_")
CHANNEL: Final = _by_name(Channel, v1.Channel.Value, "CHANNEL_")
# By hand: "none" is an answer here, and not the absence of one.
THREE_D_SECURE_STATE: Final[dict[ThreeDSecureState, v1.ThreeDSecureState.ValueType]] = {
    word: v1.ThreeDSecureState.Value(f"THREE_D_SECURE_STATE_{word.name}")
    for word in ThreeDSecureState
}
OPERATION_KIND: Final = _by_name(OperationKind, v1.OperationKind.Value, "OPERATION_KIND_")
RETRY_ADVICE: Final = _by_name(RetryAdvice, v1.RetryAdvice.Value, "RETRY_ADVICE_")

_S = OperationState

# `failed` is the provider's no and `not_processed` a request that was never taken up; encode.py
# tells further ones apart by the decline (reversed, refused as wrong).
ATTEMPT_STATUS: Final[dict[OperationState, v1.AttemptStatus.ValueType]] = {
    _S.SENDING: v1.ATTEMPT_STATUS_SENDING,
    _S.PENDING: v1.ATTEMPT_STATUS_PENDING,
    _S.REQUIRES_ACTION: v1.ATTEMPT_STATUS_REQUIRES_ACTION,
    _S.UNKNOWN: v1.ATTEMPT_STATUS_UNKNOWN,
    _S.SUCCEEDED: v1.ATTEMPT_STATUS_AUTHORIZED,
    _S.FAILED: v1.ATTEMPT_STATUS_DECLINED,
    _S.NOT_PROCESSED: v1.ATTEMPT_STATUS_FAILED,
    _S.NEEDS_REVIEW: v1.ATTEMPT_STATUS_UNKNOWN,
}
ATTEMPT_STATUS_BY_DECLINE: Final[dict[DeclineCode, v1.AttemptStatus.ValueType]] = {
    DeclineCode.OUTCOME_REVERSED: v1.ATTEMPT_STATUS_REVERSED,
    DeclineCode.PROVIDER_REJECTED: v1.ATTEMPT_STATUS_FAILED,
    DeclineCode.PROVIDER_UNAVAILABLE: v1.ATTEMPT_STATUS_FAILED,
}


def _settled(pending: V, succeeded: V, failed: V) -> dict[OperationState, V]:
    """Captures, cancels and refunds: a merchant needs to know open, done, or not done."""
    return {
        _S.SENDING: pending,
        _S.PENDING: pending,
        _S.REQUIRES_ACTION: pending,
        _S.UNKNOWN: pending,
        _S.NEEDS_REVIEW: pending,
        _S.SUCCEEDED: succeeded,
        _S.FAILED: failed,
        _S.NOT_PROCESSED: failed,
    }


CAPTURE_STATUS: Final = _settled(
    v1.CAPTURE_STATUS_PENDING, v1.CAPTURE_STATUS_SUCCEEDED, v1.CAPTURE_STATUS_FAILED
)
CANCELLATION_STATUS: Final = _settled(
    v1.CANCELLATION_STATUS_PENDING,
    v1.CANCELLATION_STATUS_SUCCEEDED,
    v1.CANCELLATION_STATUS_FAILED,
)
REFUND_STATUS: Final = _settled(
    v1.REFUND_STATUS_PENDING, v1.REFUND_STATUS_SUCCEEDED, v1.REFUND_STATUS_FAILED
)

# Reasons, methods' kinds and 3-D Secure wishes are plain words in the domain.
CANCELLATION_REASON: Final[dict[str, v1.CancellationReason.ValueType]] = {
    "": v1.CANCELLATION_REASON_UNSPECIFIED,
    "requested_by_customer": v1.CANCELLATION_REASON_REQUESTED_BY_CUSTOMER,
    "duplicate": v1.CANCELLATION_REASON_DUPLICATE,
    "fraudulent": v1.CANCELLATION_REASON_FRAUDULENT,
    "abandoned": v1.CANCELLATION_REASON_ABANDONED,
    "expired": v1.CANCELLATION_REASON_EXPIRED,
    "outcome_reversed": v1.CANCELLATION_REASON_OUTCOME_REVERSED,
    "by_provider": v1.CANCELLATION_REASON_BY_PROVIDER,
}
OWN_CANCELLATION_REASONS: Final = frozenset({"expired", "outcome_reversed", "by_provider"})
REFUND_REASON: Final[dict[str, v1.RefundReason.ValueType]] = {
    "": v1.REFUND_REASON_UNSPECIFIED,
    "requested_by_customer": v1.REFUND_REASON_REQUESTED_BY_CUSTOMER,
    "duplicate": v1.REFUND_REASON_DUPLICATE,
    "fraudulent": v1.REFUND_REASON_FRAUDULENT,
    "returned": v1.REFUND_REASON_RETURNED,
}
METHOD_KIND: Final[dict[str, v1.PaymentMethodKind.ValueType]] = {
    "card": v1.PAYMENT_METHOD_KIND_CARD,
    "wallet": v1.PAYMENT_METHOD_KIND_WALLET,
    "bank_debit": v1.PAYMENT_METHOD_KIND_BANK_DEBIT,
    "bank_redirect": v1.PAYMENT_METHOD_KIND_BANK_REDIRECT,
    "pay_by_bank": v1.PAYMENT_METHOD_KIND_PAY_BY_BANK,
    "voucher": v1.PAYMENT_METHOD_KIND_VOUCHER,
    "qr": v1.PAYMENT_METHOD_KIND_QR,
}
THREE_D_SECURE: Final[dict[str, v1.ThreeDSecurePreference.ValueType]] = {
    "": v1.THREE_D_SECURE_PREFERENCE_UNSPECIFIED,
    "automatic": v1.THREE_D_SECURE_PREFERENCE_AUTOMATIC,
    "challenge": v1.THREE_D_SECURE_PREFERENCE_CHALLENGE,
    "exemption": v1.THREE_D_SECURE_PREFERENCE_EXEMPTION,
}
REDIRECT_METHOD: Final[dict[str, v1.RedirectMethod.ValueType]] = {
    "GET": v1.REDIRECT_METHOD_GET,
    "POST": v1.REDIRECT_METHOD_POST,
}
# Whether it is live.
MODE: Final[dict[bool, v1.Mode.ValueType]] = {False: v1.MODE_TEST, True: v1.MODE_LIVE}

# From a request's numbers to the domain's words. UNSPECIFIED reads as the default that the
# contract promises for it; a number that is missing here is refused by decode.py.
PAYMENT_STATUS_WORD: Final = _back(PAYMENT_STATUS)
CAPTURE_METHOD_WORD: Final[dict[int, CaptureMethod]] = {
    v1.CAPTURE_METHOD_UNSPECIFIED: CaptureMethod.AUTOMATIC,
    **_back(CAPTURE_METHOD),
}
INITIATOR_WORD: Final[dict[int, Initiator]] = {
    v1.INITIATOR_UNSPECIFIED: Initiator.CUSTOMER,
    **_back(INITIATOR),
}
CHANNEL_WORD: Final[dict[int, Channel | None]] = {
    v1.CHANNEL_UNSPECIFIED: None,
    **_back(CHANNEL),
}
THREE_D_SECURE_STATE_WORD: Final[dict[int, ThreeDSecureState | None]] = {
    v1.THREE_D_SECURE_STATE_UNSPECIFIED: None,
    **_back(THREE_D_SECURE_STATE),
}
BOOK_WORD: Final = _back(BOOK)
LEDGER_KIND_WORD: Final = _back(LEDGER_KIND)
MODE_WORD: Final[dict[int, bool | None]] = {
    v1.MODE_UNSPECIFIED: None,
    v1.MODE_TEST: False,
    v1.MODE_LIVE: True,
}
RESOLUTION_WORD: Final = _back(
    _by_name(Resolution, v1.ReviewResolution.Value, "REVIEW_RESOLUTION_")
)
NETWORK_WORD: Final = _back(NETWORK)
FUNDING_WORD: Final = _back(FUNDING)
CANCELLATION_REASON_WORD: Final = _back(CANCELLATION_REASON)
REFUND_REASON_WORD: Final = _back(REFUND_REASON)
THREE_D_SECURE_WORD: Final = _back(THREE_D_SECURE)

# Lists of refunds filter by what an operation's states are told as.
REFUND_STATES: Final[dict[int, tuple[str, ...]]] = {
    number: tuple(state.value for state, told in REFUND_STATUS.items() if told == number)
    for number in sorted(set(REFUND_STATUS.values()))
}
