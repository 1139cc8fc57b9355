"""What the Stripe connector does after an authorization: follow-ups, and asking what became."""

from __future__ import annotations

from email.utils import formatdate
from typing import Any

import pytest

from tests.unit.connectors_rig import (
    CAPTURE,
    CHARGE,
    INTENT,
    NOW_NS,
    PlayedTransport,
    SteadyClock,
    answer,
    follow_up,
    inquiry,
    intent,
    lost,
    operation,
    stripe_account,
    unsent,
)
from turnout.connectors import stripe
from turnout.connectors.stripe import StripeConnector
from turnout.domain.declines import DeclineCode
from turnout.domain.operation import OperationKind
from turnout.domain.outcomes import Outcome, OutcomeKind
from turnout.ports import HttpResponse

K = OperationKind


def connect(*script: Any) -> tuple[StripeConnector, PlayedTransport]:
    transport = PlayedTransport(*script)
    return StripeConnector(transport, SteadyClock()), transport


def moved(by: Any, code: str = "payment_intent_unexpected_state") -> dict[str, Any]:
    """The error of a follow-up that met a PaymentIntent in another state."""
    return {"error": {"type": "invalid_request_error", "code": code, "payment_intent": by}}


# --- follow-ups ------------------------------------------------------------------------------


async def run(kind: OperationKind, played: HttpResponse, **changes: Any) -> Outcome:
    connector, _ = connect(played)
    return await connector.follow_up(stripe_account(), follow_up(kind, INTENT, **changes))


async def test_follow_ups_go_under_their_own_key() -> None:
    connector, transport = connect(answer(200, intent("succeeded", amount_received=700)))
    request = follow_up(K.CAPTURE, INTENT, amount_minor=700)
    outcome = await connector.follow_up(stripe_account(), request)
    assert (outcome.kind, outcome.amount_minor) == (OutcomeKind.SUCCEEDED, 700)
    assert outcome.provider_reference == CHARGE
    (sent,) = transport.sent
    assert sent.url == f"https://api.stripe.com/v1/payment_intents/{INTENT}/capture"
    assert sent.headers["Idempotency-Key"] == CAPTURE
    assert sent.body == b"amount_to_capture=700"


@pytest.mark.parametrize(
    ("kind", "status", "body", "wanted", "reason"),
    [
        (K.CAPTURE, 200, intent("requires_capture"), "unknown", "not_captured"),
        (K.CAPTURE, 200, intent("succeeded", id="pi_other"), "unknown", "reference_mismatch"),
        (K.CAPTURE, 200, intent("canceled"), "declined", ""),
        (K.CAPTURE, 400, moved(intent("succeeded")), "unknown", "unexpected_state"),
        (K.CAPTURE, 400, moved(intent("canceled")), "declined", ""),
        (K.CAPTURE, 400, moved(intent("canceled", id="pi_other")), "unknown", "unexpected_state"),
        (K.CAPTURE, 400, moved(intent("succeeded"), "intent_invalid_state"), "unknown",
         "unexpected_state"),
        (K.CAPTURE, 400, moved(intent("canceled"), "charge_already_captured"), "unknown",
         "unexpected_state"),
        (K.CANCEL, 400, moved(intent("canceled")), "succeeded", ""),
        (K.CANCEL, 400, moved(intent("canceled", id="pi_other")), "unknown", "unexpected_state"),
        (K.CANCEL, 200, intent("canceled"), "succeeded", ""),
        (K.CANCEL, 200, intent("succeeded"), "declined", ""),
        (K.CANCEL, 200, intent("requires_capture"), "unknown", "not_canceled"),
        (K.CANCEL, 200, {"object": "payment_intent"}, "unknown", "reference_mismatch"),
        (K.REFUND, 200, intent("succeeded"), "unknown", "garbage"),
        (K.REFUND, 400,
         {"error": {"type": "invalid_request_error", "code": "charge_already_refunded"}},
         "declined", ""),
        (K.REFUND, 503, b"", "unknown", "http_503"),
    ],
)  # fmt: skip
async def test_follow_ups_are_read_by_what_they_did(
    kind: OperationKind, status: int, body: Any, wanted: str, reason: str
) -> None:
    outcome = await run(kind, answer(status, body))
    assert (outcome.kind.value, outcome.reason) == (wanted, reason)


async def test_a_cancel_without_the_intents_id_is_not_sent() -> None:
    connector, transport = connect()
    outcome = await connector.follow_up(stripe_account(), follow_up(K.CANCEL, ""))
    assert (outcome.kind, outcome.reason) == (OutcomeKind.NOT_PROCESSED, "no_reference")
    assert transport.sent == []
    assert not connector.traits.can_cancel_by_reference and connector.traits.can_inquire


# --- inquiries -------------------------------------------------------------------------------


async def test_an_old_key_is_never_used_again() -> None:
    old = operation(
        created_at_ns=NOW_NS - stripe.RESEND_WITHIN_NS - 1,
        provider_state={"payment_intent_body": "amount=1"},
    )
    empty = answer(200, {"data": [], "has_more": False})
    connector, transport = connect(empty, empty)
    outcome = await connector.inquire(stripe_account(), inquiry(old, settled=True))
    assert outcome.kind is OutcomeKind.NOT_PROCESSED
    assert [one.method for one in transport.sent] == ["GET", "GET"]


async def test_not_found_means_something_only_once_nothing_can_arrive_any_more() -> None:
    empty = answer(200, {"data": [], "has_more": False})
    connector, _ = connect(empty)
    early = await connector.inquire(stripe_account(), inquiry(operation(), settled=False))
    assert (early.kind, early.reason) == (OutcomeKind.UNKNOWN, "not_found_yet")
    connector, _ = connect(empty, empty)
    late = await connector.inquire(stripe_account(), inquiry(operation(), settled=True))
    assert (late.kind, late.reason) == (OutcomeKind.NOT_PROCESSED, "not_found")


@pytest.mark.parametrize("row", ["pi_1", None, intent(id=7), intent(metadata=None)])
async def test_a_row_that_cannot_be_read_may_be_the_one_that_is_looked_for(row: Any) -> None:
    empty = answer(200, {"data": [], "has_more": False})
    odd = answer(200, {"data": [row], "has_more": False})
    connector, _ = connect(empty, odd)
    outcome = await connector.inquire(stripe_account(), inquiry(operation(), settled=True))
    assert (outcome.kind, outcome.reason) == (OutcomeKind.UNKNOWN, "inquiry_failed")
    connector, _ = connect(odd)
    asked = inquiry(operation(K.REFUND), operation(provider_reference=INTENT), settled=True)
    outcome = await connector.inquire(stripe_account(), asked)
    assert (outcome.kind, outcome.reason) == (OutcomeKind.UNKNOWN, "inquiry_failed")


@pytest.mark.parametrize("wrong_s", [-7_200, -121, 121, 7_200, 3_650 * 86_400])
async def test_a_wrong_clock_believes_no_list(wrong_s: int) -> None:
    """A host that takes local time for UTC looks for the payment at another time."""
    true_s = NOW_NS // 10**9 - wrong_s
    dated = answer(200, {"data": [], "has_more": False}, {"date": formatdate(true_s, usegmt=True)})
    connector, _ = connect(dated, dated)
    outcome = await connector.inquire(stripe_account(), inquiry(operation(), settled=True))
    assert (outcome.kind, outcome.reason) == (OutcomeKind.UNKNOWN, "clocks_differ")


async def test_a_clock_that_is_tended_believes_the_list() -> None:
    for headers in ({"date": formatdate(NOW_NS // 10**9 + 60)}, {"date": "soon"}, {}):
        dated = answer(200, {"data": [], "has_more": False}, headers)
        connector, _ = connect(dated, dated)
        outcome = await connector.inquire(stripe_account(), inquiry(operation(), settled=True))
        assert outcome.kind is OutcomeKind.NOT_PROCESSED


async def test_a_copy_that_has_just_left_is_not_taken_for_lost() -> None:
    """Sent again by the very look that would believe that there is nothing."""
    known = {"payment_intent_body": "amount=1"}
    empty = answer(200, {"data": [], "has_more": False})
    # The connector's own repetition falls silent as well.
    silent = [lost(), lost()]
    for said in (silent, [answer(500, b"")]):
        connector, _ = connect(*said, empty, empty)
        asked = inquiry(operation(provider_state=known), settled=True)
        outcome = await connector.inquire(stripe_account(), asked)
        assert (outcome.kind, outcome.reason) == (OutcomeKind.UNKNOWN, "not_found_yet")
    connector, _ = connect(unsent(), empty, empty)
    asked = inquiry(operation(provider_state=known), settled=True)
    outcome = await connector.inquire(stripe_account(), asked)
    assert (outcome.kind, outcome.reason) == (OutcomeKind.NOT_PROCESSED, "not_found")


async def test_a_long_list_is_read_on_where_the_last_inquiry_stopped() -> None:
    def page(number: int) -> HttpResponse:
        row = intent(id=f"pi_row{number}", metadata={"turnout_operation": "att_other"})
        return answer(200, {"data": [row], "has_more": True})

    empty = answer(200, {"data": [], "has_more": False})
    pages = [page(number) for number in range(stripe.PAGES_MAX)]
    connector, _ = connect(empty, *pages)
    first = await connector.inquire(stripe_account(), inquiry(operation(), settled=True))
    assert (first.kind, first.reason) == (OutcomeKind.UNKNOWN, "inquiry_unfinished")
    last = f"pi_row{stripe.PAGES_MAX - 1}"
    assert first.provider_state == {"listed_to": last}
    asked = operation(provider_state=first.provider_state)
    connector, transport = connect(empty, empty)
    second = await connector.inquire(stripe_account(), inquiry(asked, settled=True))
    assert second.kind is OutcomeKind.NOT_PROCESSED
    assert f"starting_after={last}" in transport.sent[1].url


async def test_an_intent_that_was_never_confirmed_has_moved_nothing() -> None:
    bare = answer(200, intent("requires_payment_method"))
    asked = operation(provider_reference=INTENT)
    for settled, kind in ((False, OutcomeKind.UNKNOWN), (True, OutcomeKind.NOT_PROCESSED)):
        connector, _ = connect(bare)
        outcome = await connector.inquire(stripe_account(), inquiry(asked, settled=settled))
        assert outcome.kind is kind


async def test_a_captured_intent_still_tells_that_it_was_authorized() -> None:
    connector, _ = connect(answer(200, intent("succeeded")))
    asked = operation(provider_reference=INTENT)
    outcome = await connector.inquire(stripe_account(), inquiry(asked, settled=False))
    assert (outcome.kind, outcome.amount_minor) == (OutcomeKind.SUCCEEDED, 1234)


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("abandoned", DeclineCode.ABANDONED_BY_CUSTOMER),
        ("requested_by_customer", DeclineCode.OUTCOME_REVERSED),
    ],
)
async def test_a_canceled_intent_holds_nothing(reason: str, code: DeclineCode) -> None:
    connector, _ = connect(answer(200, intent("canceled", cancellation_reason=reason)))
    asked = operation(provider_reference=INTENT)
    outcome = await connector.inquire(stripe_account(), inquiry(asked, settled=False))
    assert outcome.decline is not None and outcome.decline.code is code
