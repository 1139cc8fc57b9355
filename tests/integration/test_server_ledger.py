"""LedgerService and OperationsService over a real gRPC server: pages, filters, keys and words."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import grpc
import pytest

from tests.contract.store_units import make_webhook
from tests.integration.server_face import (
    AUTH,
    NOW_NS,
    OPERATOR_AUTH,
    Rig,
    a_payment,
    a_refund,
    running,
)
from turnout import v1
from turnout.domain.ledger import Balance, Book, LedgerKind, LedgerTransaction, postings
from turnout.domain.operation import OperationState
from turnout.orchestration.commands import Operator, Resolution, ResolveCommand
from turnout.ports import BalanceFilter, LedgerFilter


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with running() as started:
        yield started


def balances(count: int) -> list[Balance]:
    return [
        Balance("mer_face", f"acc_{number}", Book.PAYABLE, "EUR", False, 5, 12, 3)
        for number in range(count)
    ]


def entries(count: int) -> list[LedgerTransaction]:
    return [
        LedgerTransaction(
            f"ltx_{number:032x}",
            "mer_face",
            "acc_face",
            "pay_1",
            "ref_1",
            LedgerKind.REFUND_REQUESTED,
            "EUR",
            postings(LedgerKind.REFUND_REQUESTED, 250),
            NOW_NS + number,
        )
        for number in reversed(range(count))
    ]


async def test_balances_are_told_with_their_sign_and_page_by_page(rig: Rig) -> None:
    rig.stand_in.kept_balances = balances(5)
    found: list[v1.LedgerBalance] = []
    request = v1.GetBalancesRequest(page_size=2, currency="EUR", books=[v1.LEDGER_BOOK_PAYABLE])
    while True:
        raw = await rig.send("LedgerService/GetBalances", request.SerializeToString(), AUTH)
        answer = v1.GetBalancesResponse.FromString(raw)
        found += answer.balances
        if not answer.next_page_token:
            break
        request.page_token = answer.next_page_token
    assert [one.account_id for one in found] == [f"acc_{number}" for number in range(5)]
    first = found[0]
    assert (first.book, first.currency, first.mode) == (
        v1.LEDGER_BOOK_PAYABLE,
        "EUR",
        v1.MODE_TEST,
    )
    assert (first.balance_minor, first.debits_minor, first.credits_minor) == (-7, 5, 12)
    assert first.posting_count == 3
    caller, want = rig.stand_in.asked[0]
    assert caller.merchant_id == "mer_face"
    assert want == BalanceFilter(currency="EUR", books=[Book.PAYABLE])


async def test_entries_are_told_with_their_postings_and_page_by_page(rig: Rig) -> None:
    rig.stand_in.kept_entries = entries(5)
    found: list[v1.LedgerEntry] = []
    request = v1.ListEntriesRequest(
        page_size=2,
        payment_id="pay_1",
        account_id="acc_face",
        books=[v1.LEDGER_BOOK_REFUNDED],
        kinds=[v1.LEDGER_ENTRY_KIND_REFUND],
    )
    while True:
        raw = await rig.send("LedgerService/ListEntries", request.SerializeToString(), AUTH)
        answer = v1.ListEntriesResponse.FromString(raw)
        found += answer.entries
        if not answer.next_page_token:
            break
        request.page_token = answer.next_page_token
    assert [one.entry_id for one in found] == [one.transaction_id for one in entries(5)]
    lines = [(line.book, line.amount_minor) for line in found[0].postings]
    assert lines == [(v1.LEDGER_BOOK_PAYABLE, 250), (v1.LEDGER_BOOK_REFUNDS_IN_TRANSIT, -250)]
    assert found[0].kind == v1.LEDGER_ENTRY_KIND_REFUND_REQUESTED
    _, want = rig.stand_in.asked[0]
    assert want == LedgerFilter(
        payment_id="pay_1",
        account_id="acc_face",
        books=[Book.REFUNDED],
        kinds=[LedgerKind.REFUND],
        limit=3,
    )


@pytest.mark.parametrize("rpc", ["GetBalances", "ListEntries"])
async def test_a_book_that_nobody_knows_is_refused(rig: Rig, rpc: str) -> None:
    kind = v1.GetBalancesRequest if rpc == "GetBalances" else v1.ListEntriesRequest
    asked = kind(books=[v1.LEDGER_BOOK_UNSPECIFIED]).SerializeToString()
    refused = await rig.refused(f"LedgerService/{rpc}", asked, AUTH)
    assert refused.fields == [("books", "UNKNOWN_ENUM_VALUE")]


@pytest.mark.parametrize("rpc", ["GetBalances", "ListEntries"])
async def test_a_currency_that_none_can_have_is_refused(rig: Rig, rpc: str) -> None:
    kind = v1.GetBalancesRequest if rpc == "GetBalances" else v1.ListEntriesRequest
    asked = kind(currency="eur").SerializeToString()
    refused = await rig.refused(f"LedgerService/{rpc}", asked, AUTH)
    assert refused.fields == [("currency", "UNKNOWN_CURRENCY")]


OPERATORS = ("ListReviews", "ResolveReview", "ListSetAsideWebhooks")


@pytest.mark.parametrize("rpc", OPERATORS)
async def test_a_merchant_s_key_is_refused_and_so_is_none(rig: Rig, rpc: str) -> None:
    key = ("idempotency-key", "k1")
    refused = await rig.refused(f"OperationsService/{rpc}", b"", AUTH, key)
    assert refused.code is grpc.StatusCode.PERMISSION_DENIED
    assert refused.info.reason == "OPERATOR_KEY_REQUIRED"
    refused = await rig.refused(f"OperationsService/{rpc}", b"", key)
    assert refused.code is grpc.StatusCode.UNAUTHENTICATED
    assert rig.stand_in.asked == []


async def test_an_operator_s_key_reaches_nothing_of_merchants(rig: Rig) -> None:
    asked = v1.GetPaymentRequest(payment_id="pay_1").SerializeToString()
    refused = await rig.refused("PaymentService/GetPayment", asked, OPERATOR_AUTH)
    assert refused.code is grpc.StatusCode.PERMISSION_DENIED
    assert refused.info.reason == "MERCHANT_KEY_REQUIRED"
    assert rig.stand_in.asked == []


@pytest.mark.parametrize(
    ("mode", "live"), [(v1.MODE_UNSPECIFIED, None), (v1.MODE_TEST, False), (v1.MODE_LIVE, True)]
)
async def test_reviews_of_one_mode_or_of_both(
    rig: Rig, mode: v1.Mode.ValueType, live: bool | None
) -> None:
    request = v1.ListReviewsRequest(mode=mode).SerializeToString()
    await rig.send("OperationsService/ListReviews", request, OPERATOR_AUTH)
    assert rig.stand_in.asked[0][0].live is live


async def test_reviews_tell_the_payment_and_what_is_open(rig: Rig) -> None:
    payment = a_payment(1)
    payment.needs_review = True
    open_one = a_refund(payment, 1, state=OperationState.NEEDS_REVIEW, reason="timeout")
    contradicted = a_refund(payment, 2, state=OperationState.SUCCEEDED, reason="amount_mismatch")
    fine = a_refund(payment, 3, state=OperationState.SUCCEEDED)
    payment.operations = [open_one, contradicted, fine]
    rig.stand_in.payments = [payment, a_payment(2, needs_review=True), a_payment(3)]
    request = v1.ListReviewsRequest(page_size=2, mode=v1.MODE_LIVE, merchant_id="mer_face")
    raw = await rig.send(
        "OperationsService/ListReviews", request.SerializeToString(), OPERATOR_AUTH
    )
    answer = v1.ListReviewsResponse.FromString(raw)
    assert [one.payment.payment_id for one in answer.reviews] == [
        payment.payment_id,
        a_payment(2).payment_id,
    ]
    found = [
        (one.operation_id, one.reason, one.outcome_open) for one in answer.reviews[0].operations
    ]
    assert found == [
        (open_one.operation_id, "timeout", True),
        (contradicted.operation_id, "amount_mismatch", False),
    ]
    assert answer.reviews[0].operations[0].kind == v1.OPERATION_KIND_REFUND
    assert rig.stand_in.asked[0][0].live is True
    request.page_token = answer.next_page_token
    raw = await rig.send(
        "OperationsService/ListReviews", request.SerializeToString(), OPERATOR_AUTH
    )
    answer = v1.ListReviewsResponse.FromString(raw)
    assert [one.payment.payment_id for one in answer.reviews] == [a_payment(3).payment_id]
    assert answer.next_page_token == ""


async def test_a_resolution_goes_down_with_who_gave_it(rig: Rig) -> None:
    request = v1.ResolveReviewRequest(
        payment_id="pay_1",
        operation_id="ref_1",
        resolution=v1.REVIEW_RESOLUTION_NOT_PROCESSED,
        note="not in their dashboard",
    )
    raw = request.SerializeToString()
    answer = await rig.send(
        "OperationsService/ResolveReview", raw, OPERATOR_AUTH, ("idempotency-key", "k1")
    )
    assert answer == b"ResolveReview"
    operator, idem, command = rig.stand_in.asked[0]
    assert isinstance(operator, Operator)
    assert (operator.operator_id, operator.name) == ("opr_face", "Olga")
    assert (idem.rpc, idem.key) == ("ResolveReview", "k1")
    assert command == ResolveCommand(
        "pay_1", "ref_1", Resolution.NOT_PROCESSED, "not in their dashboard"
    )


async def test_a_resolution_needs_a_key_and_a_word(rig: Rig) -> None:
    request = v1.ResolveReviewRequest(payment_id="pay_1", note="seen")
    rpc = "OperationsService/ResolveReview"
    refused = await rig.refused(rpc, request.SerializeToString(), OPERATOR_AUTH)
    assert refused.info.reason == "IDEMPOTENCY_KEY_REQUIRED"
    refused = await rig.refused(
        rpc, request.SerializeToString(), OPERATOR_AUTH, ("idempotency-key", "k1")
    )
    assert refused.fields == [("resolution", "UNKNOWN_ENUM_VALUE")]
    assert rig.stand_in.asked == []


async def test_webhooks_that_were_given_up_on_are_told(rig: Rig) -> None:
    rig.stand_in.webhooks = [
        replace(make_webhook(number), attempts=10, reason="ValueError") for number in (1, 2, 3)
    ]
    request = v1.ListSetAsideWebhooksRequest(page_size=2)
    rpc = "OperationsService/ListSetAsideWebhooks"
    answer = v1.ListSetAsideWebhooksResponse.FromString(
        await rig.send(rpc, request.SerializeToString(), OPERATOR_AUTH)
    )
    assert len(answer.webhooks) == 2
    first = answer.webhooks[0]
    assert (first.attempt_count, first.reason, first.outcome) == (10, "ValueError", "succeeded")
    assert first.kind == v1.OPERATION_KIND_CAPTURE
    request.page_token = answer.next_page_token
    answer = v1.ListSetAsideWebhooksResponse.FromString(
        await rig.send(rpc, request.SerializeToString(), OPERATOR_AUTH)
    )
    assert [one.webhook_id for one in answer.webhooks] == [make_webhook(3).webhook_id]
