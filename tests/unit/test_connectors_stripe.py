"""What the Stripe connector sends, and how it reads what comes back, case by case."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.connectors_rig import (
    ATTEMPT,
    CHARGE,
    INTENT,
    METHOD,
    PAN,
    HeldCard,
    PlayedTransport,
    SteadyClock,
    answer,
    authorize,
    card_error,
    form_pairs,
    full_details,
    intent,
    lost,
    method,
    stripe_account,
    unsent,
)
from turnout.connectors.stripe import StripeConnector
from turnout.connectors.stripe.requests import descriptor_suffix
from turnout.domain.accounts import Secret
from turnout.domain.declines import DeclineCode, RetryAdvice
from turnout.domain.operation import OperationKind
from turnout.domain.outcomes import Outcome, OutcomeKind
from turnout.domain.payment import AvsResult, CaptureMethod, CvcResult, Initiator, PaymentDetails

K = OperationKind


def connect(*script: Any) -> tuple[StripeConnector, PlayedTransport]:
    transport = PlayedTransport(*script)
    return StripeConnector(transport, SteadyClock()), transport


async def confirm(*played: Any, **changes: Any) -> tuple[Outcome, PlayedTransport]:
    """Authorize, with the PaymentMethod made and these answers to the PaymentIntent."""
    connector, transport = connect(answer(200, method()), *played)
    outcome = await connector.authorize(stripe_account(), authorize(**changes))
    assert not transport.script, "not everything was asked"
    return outcome, transport


def refused(**error: Any) -> dict[str, Any]:
    """A request that Stripe looked at and refused."""
    return {"error": {"type": "invalid_request_error", **error}}


# --- what is sent ----------------------------------------------------------------------------


async def test_the_card_goes_into_the_first_body_and_nowhere_else() -> None:
    outcome, transport = await confirm(answer(200, intent()), details=full_details())
    assert outcome.kind is OutcomeKind.SUCCEEDED
    made, confirmed = transport.sent
    assert made.headers["Idempotency-Key"] == f"{ATTEMPT}-pm"
    assert confirmed.headers["Idempotency-Key"] == ATTEMPT
    first, second = form_pairs(made.body), form_pairs(confirmed.body)
    assert first["card[number]"] == PAN and first["card[cvc]"] == "123"
    assert first["billing_details[address][postal_code]"] == "75002"
    assert PAN not in confirmed.body.decode() and "123" not in second.values()
    assert second["payment_method"] == METHOD and second["confirm"] == "true"
    assert second["metadata[turnout_operation]"] == ATTEMPT
    assert second["metadata[seat]"] == "12&B=ü" and "metadata[odd[key]]" not in second
    assert second["statement_descriptor_suffix"] == "TICKETSPARIS"
    assert second["payment_method_options[card][request_three_d_secure]"] == "any"
    assert "off_session" not in second


async def test_a_rule_asks_for_three_d_secure_whatever_the_merchant_asked() -> None:
    option = "payment_method_options[card][request_three_d_secure]"
    details = full_details(three_d_secure="exemption")
    for asked, told in ((True, "any"), (False, None)):
        _, transport = await confirm(
            answer(200, intent()), details=details, require_three_ds=asked
        )
        assert form_pairs(transport.sent[1].body).get(option) == told


async def test_a_merchants_own_payment_is_off_session_and_has_no_way_back() -> None:
    details = full_details(initiator=Initiator.MERCHANT)
    _, transport = await confirm(answer(200, intent()), details=details)
    sent = form_pairs(transport.sent[1].body)
    assert sent["off_session"] == "true" and "return_url" not in sent


@pytest.mark.parametrize(
    ("currency", "amount", "sent"),
    [
        ("EUR", 1234, "1234"),
        ("JPY", 500, "500"),
        ("ISK", 5, "500"),
        ("UGX", 5, "500"),
        ("KWD", 5120, "5120"),
        ("KWD", 5124, None),
        ("MGA", 500, "5"),
        ("MGA", 550, None),
        ("HUF", 1045, "1045"),
        ("TWD", 80045, "80045"),
    ],
)
async def test_amounts_are_written_as_stripe_counts(
    currency: str, amount: int, sent: str | None
) -> None:
    connector, transport = connect(answer(200, method()), answer(500, b""))
    request = authorize(currency=currency, amount_minor=amount)
    outcome = await connector.authorize(stripe_account(), request)
    if sent is None:
        assert outcome.kind is OutcomeKind.DECLINED and outcome.decline is not None
        assert outcome.decline.code is DeclineCode.AMOUNT_INVALID
        assert transport.sent == []
    else:
        assert form_pairs(transport.sent[1].body)["amount"] == sent


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("TICKETS*PARIS", "TICKETSPARIS"),
        ('<"Shop">', "Shop"),
        ("1234567", ""),
        ("Café", ""),
        ("A" * 40, "A" * 22),
    ],
)
def test_descriptors_are_cut_to_what_stripe_takes(given: str, sent: str) -> None:
    assert descriptor_suffix(given) == sent


async def test_nothing_is_sent_after_the_deadline_and_no_card_is_shown_to_a_broken_account() -> (
    None
):
    connector, transport = connect()
    outcome = await connector.authorize(stripe_account(), authorize(deadline_ns=0))
    assert (outcome.kind, outcome.reason) == (
        OutcomeKind.NOT_PROCESSED,
        "payment_method_deadline",
    )
    card = HeldCard()
    for broken in (
        stripe_account(credentials={}),
        stripe_account("http://api.stripe.com"),
        stripe_account("http://127.0.0.1:1", live=True),
    ):
        outcome = await connector.authorize(broken, authorize(reveal=card))
        assert outcome.kind is OutcomeKind.NOT_PROCESSED and outcome.account_fault
    assert (transport.sent, card.revealed) == ([], 0)


async def test_time_left_bounds_every_wait() -> None:
    connector, transport = connect(answer(200, method()), answer(200, intent()))
    await connector.authorize(stripe_account(), authorize(deadline_ns=1_500_000_000))
    assert [one.total_timeout_ms for one in transport.sent] == [1_500, 1_500]
    assert all(one.connect_timeout_ms <= one.total_timeout_ms for one in transport.sent)


# --- the first step: no money can move -------------------------------------------------------


@pytest.mark.parametrize(
    ("played", "reason"),
    [
        ([lost(), lost()], "payment_method_timeout"),
        ([unsent()], "payment_method_connect_failed"),
        ([answer(500, b"oops")], "payment_method_http_500"),
        ([answer(200, b"<html>")], "payment_method_garbage"),
        (
            [answer(200, {"object": "payment_method", "id": "pm_../../x"})],
            "payment_method_garbage",
        ),
        ([answer(409, {"error": {"type": "idempotency_error"}})], "payment_method_in_progress"),
        ([answer(302, b"")], "payment_method_http_302"),
    ],
)
async def test_the_first_step_is_never_unknown(played: list[Any], reason: str) -> None:
    connector, transport = connect(*played)
    outcome = await connector.authorize(stripe_account(), authorize())
    assert (outcome.kind, outcome.reason) == (OutcomeKind.NOT_PROCESSED, reason)
    assert all(one.url.endswith("/v1/payment_methods") for one in transport.sent)


async def test_the_first_step_may_decline_the_card_or_fault_the_account() -> None:
    error = {"type": "card_error", "code": "incorrect_number", "message": "no", "param": "number"}
    connector, _ = connect(answer(402, {"error": error}))
    outcome = await connector.authorize(stripe_account(), authorize())
    assert outcome.kind is OutcomeKind.DECLINED and outcome.decline is not None
    assert outcome.decline.code is DeclineCode.INCORRECT_NUMBER and not outcome.decline.soft
    connector, _ = connect(answer(401, {"error": {"type": "invalid_request_error"}}))
    outcome = await connector.authorize(stripe_account(), authorize())
    assert outcome.kind is OutcomeKind.NOT_PROCESSED and outcome.account_fault


# --- the second step -------------------------------------------------------------------------


async def test_a_lost_answer_is_asked_for_again_with_the_same_bytes() -> None:
    outcome, transport = await confirm(lost(), answer(200, intent()))
    assert outcome.kind is OutcomeKind.SUCCEEDED
    first, second = transport.sent[1:]
    assert (first.body, first.headers) == (second.body, second.headers)


@pytest.mark.parametrize(
    "second",
    [
        lost("reset"),
        unsent(),
        answer(429, {"error": {"type": "invalid_request_error"}}),
        answer(401, {"error": {"type": "invalid_request_error"}}),
        answer(409, {"error": {"type": "idempotency_error"}}),
        answer(400, {"error": {"type": "invalid_request_error", "code": "parameter_unknown"}}),
        answer(402, {"error": {"type": "card_error", "code": "card_declined"}}),
        answer(500, b""),
    ],
)
async def test_after_a_lost_copy_only_the_intent_itself_can_speak(second: Any) -> None:
    outcome, _ = await confirm(lost(), second)
    assert outcome.kind is OutcomeKind.UNKNOWN
    assert PAN not in outcome.provider_state["payment_intent_body"]


async def test_after_a_lost_copy_a_decline_of_our_intent_is_believed() -> None:
    outcome, _ = await confirm(lost(), answer(402, card_error()))
    assert outcome.kind is OutcomeKind.DECLINED


@pytest.mark.parametrize(
    ("status", "body", "kind", "reason"),
    [
        (
            200,
            intent(metadata={"turnout_operation": "att_other"}),
            "unknown",
            "reference_mismatch",
        ),
        (200, intent(metadata={}), "unknown", "reference_mismatch"),
        (200, intent(livemode=True), "unknown", "livemode_mismatch"),
        (200, intent(capture_method="automatic"), "unknown", "capture_method_mismatch"),
        (200, intent(amount="1234"), "unknown", "amount_unreadable"),
        (200, intent(amount=True), "unknown", "amount_unreadable"),
        (200, intent(amount_capturable="1234"), "unknown", "amount_unreadable"),
        (200, intent("brand_new"), "unknown", "unexpected_status"),
        (200, {"error": {"type": "card_error"}}, "unknown", "garbage"),
        (402, card_error(payment_intent=intent("succeeded")), "unknown", "contradiction"),
        (402, card_error(payment_intent=intent(metadata={})), "unknown", "reference_mismatch"),
        (400, refused(payment_intent=intent("processing")), "unknown", "contradiction"),
        (400, refused(payment_intent=intent(metadata={})), "unknown", "reference_mismatch"),
        (400, refused(code="idempotency_key_in_use"), "unknown", "in_progress"),
        (400, refused(code="lock_timeout"), "unknown", "in_progress"),
        (402, {"error": {"type": "api_error"}}, "unknown", "http_402"),
        (405, card_error(payment_intent=None), "unknown", "http_405"),
        (408, card_error(payment_intent=None), "unknown", "http_408"),
        (409, {"error": {"type": "idempotency_error"}}, "unknown", "in_progress"),
        (400, {"error": {"type": "idempotency_error"}}, "unknown", "idempotency_conflict"),
        (401, b"<html>who are you?</html>", "unknown", "garbage"),
        (403, {"error": {"type": "invalid_request_error"}}, "not_processed", "http_403"),
        (500, card_error(), "unknown", "http_500"),
        (503, b"", "unknown", "http_503"),
        (301, b"", "unknown", "http_301"),
    ],
)
async def test_what_is_not_a_clear_result_is_none(
    status: int, body: Any, kind: str, reason: str
) -> None:
    outcome, _ = await confirm(answer(status, body))
    assert (outcome.kind.value, outcome.reason) == (kind, reason)


async def test_a_rate_limit_says_how_long() -> None:
    played = answer(429, b"", {"retry-after": "12"})
    outcome, _ = await confirm(played)
    assert (outcome.kind, outcome.retry_after_ms) == (OutcomeKind.NOT_PROCESSED, 12_000)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"code": "amount_too_small", "param": "amount"}, DeclineCode.AMOUNT_INVALID),
        ({"code": "parameter_invalid_integer", "param": "amount"}, DeclineCode.AMOUNT_INVALID),
        ({"message": "Invalid currency: xyz", "param": "currency"},
         DeclineCode.CURRENCY_NOT_SUPPORTED),
        ({"code": "parameter_unknown", "param": "x"}, DeclineCode.PROVIDER_REJECTED),
        ({"code": "payment_intent_authentication_failure"}, DeclineCode.AUTHENTICATION_FAILED),
    ],
)  # fmt: skip
async def test_a_refused_request_moved_no_money(error: Any, code: DeclineCode) -> None:
    outcome, _ = await confirm(answer(400, {"error": {"type": "invalid_request_error", **error}}))
    assert outcome.kind is OutcomeKind.DECLINED and outcome.decline is not None
    assert outcome.decline.code is code
    assert outcome.decline.provider_code == error.get("code", "")


async def test_declines_keep_three_layers() -> None:
    played = card_error(
        "do_not_honor", network_decline_code="05", network_advice_code="02", message="x" * 900
    )
    outcome, _ = await confirm(answer(402, played))
    decline = outcome.decline
    assert decline is not None and outcome.provider_reference == INTENT
    assert (decline.code, decline.issuer_code, decline.provider_code) == (
        DeclineCode.DO_NOT_HONOR, "05", "do_not_honor",
    )  # fmt: skip
    assert (decline.advice_code, decline.advice) == ("02", RetryAdvice.RETRY_LATER)
    assert not decline.soft and len(decline.provider_message) == 500


@pytest.mark.parametrize(
    ("decline_code", "soft"),
    [
        ("generic_decline", True),
        ("do_not_honor", True),
        ("do_not_try_again", False),
        ("insufficient_funds", False),
        ("stolen_card", False),
        ("processing_error", True),
        ("a_code_of_next_year", True),
    ],
)
async def test_only_soft_declines_let_the_cascade_go_on(decline_code: str, soft: bool) -> None:
    outcome, _ = await confirm(answer(402, card_error(decline_code)))
    assert outcome.decline is not None and outcome.decline.soft is soft


@pytest.mark.parametrize(
    ("decline_code", "advice_code", "advice", "soft"),
    [
        ("generic_decline", "do_not_try_again", RetryAdvice.NEVER_RETRY, False),
        ("try_again_later", "do_not_try_again", RetryAdvice.NEVER_RETRY, False),
        ("generic_decline", "confirm_card_data", RetryAdvice.FIX_DETAILS, True),
        ("try_again_later", "try_again_later", RetryAdvice.RETRY_ONCE, True),
        ("generic_decline", "something_new", RetryAdvice.CONTACT_ISSUER, True),
    ],
)
async def test_stripes_own_advice_counts_where_ours_is_no_better(
    decline_code: str, advice_code: str, advice: RetryAdvice, soft: bool
) -> None:
    outcome, _ = await confirm(answer(402, card_error(decline_code, advice_code=advice_code)))
    assert outcome.decline is not None
    assert (outcome.decline.advice, outcome.decline.soft) == (advice, soft)


async def test_the_charge_tells_what_the_issuer_checked() -> None:
    details = {
        "checks": {
            "address_line1_check": "pass",
            "address_postal_code_check": "fail",
            "cvc_check": "unavailable",
        },
        "network_transaction_id": "123456789012345",
        "capture_before": 1_790_500_000,
    }
    charge = {"id": CHARGE, "object": "charge", "payment_method_details": {"card": details}}
    outcome, _ = await confirm(answer(200, intent(latest_charge=charge)))
    assert outcome.kind is OutcomeKind.SUCCEEDED
    assert (outcome.avs_result, outcome.cvc_result) == (
        AvsResult.ADDRESS_ONLY, CvcResult.UNAVAILABLE,
    )  # fmt: skip
    assert outcome.network_transaction_id == "123456789012345"
    assert outcome.capture_before_ns == 1_790_500_000_000_000_000


@pytest.mark.parametrize(
    ("action", "kind", "url"),
    [
        ({"type": "redirect_to_url", "redirect_to_url": {"url": "https://x.example/3ds"}},
         "redirect", "https://x.example/3ds"),
        ({"type": "use_stripe_sdk", "use_stripe_sdk": {"stripe_js": "https://x.example/s"}},
         "redirect", "https://x.example/s"),
        ({"type": "use_stripe_sdk", "use_stripe_sdk": {"stripe_js": ""}}, "use_stripe_sdk", ""),
        ({"type": "redirect_to_url", "redirect_to_url": {"url": "javascript:alert(1)"}},
         "redirect_to_url", ""),
        (None, "unsupported", ""),
    ],
)  # fmt: skip
async def test_authentication_is_an_action_and_no_decline(
    action: Any, kind: str, url: str
) -> None:
    outcome, _ = await confirm(answer(200, intent("requires_action", next_action=action)))
    assert outcome.kind is OutcomeKind.REQUIRES_ACTION
    assert outcome.next_action is not None
    assert (outcome.next_action.kind, outcome.next_action.url) == (kind, url)


@pytest.mark.parametrize(
    ("body", "amount_minor", "currency"),
    [
        (intent(amount=1235, currency="usd"), 1235, "USD"),
        # Less is held than was asked for.
        (intent(amount_capturable=700), 700, "EUR"),
        (intent(amount_capturable=1234), 1234, "EUR"),
        (intent(amount_capturable=0), 1234, "EUR"),
        # What was captured since says nothing of the authorization.
        (intent("succeeded", amount_received=700), 1234, "EUR"),
    ],
)
async def test_another_amount_stands_in_the_outcome(
    body: Any, amount_minor: int, currency: str
) -> None:
    outcome, _ = await confirm(answer(200, body))
    assert outcome.kind is OutcomeKind.SUCCEEDED
    assert (outcome.amount_minor, outcome.currency) == (amount_minor, currency)


async def test_less_taken_than_asked_for_stands_in_the_outcome() -> None:
    body = intent("succeeded", amount_received=700, capture_method="automatic")
    outcome, _ = await confirm(answer(200, body), capture_method=CaptureMethod.AUTOMATIC)
    assert (outcome.kind, outcome.amount_minor) == (OutcomeKind.SUCCEEDED, 700)


# --- configuration ---------------------------------------------------------------------------


def test_a_good_account_has_no_problems() -> None:
    connector, _ = connect()
    assert connector.check_account(stripe_account()) == []
    live = stripe_account(live=True, credentials={"api_key": Secret("sk_live_x")})
    assert connector.check_account(live) == []
    local = stripe_account("http://127.0.0.1:4010")
    assert connector.check_account(local) == []


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"credentials": {}}, "credentials.api_key is missing"),
        ({"credentials": {"api_key": Secret("sk_live_x")}}, "not a test key"),
        ({"credentials": {"api_key": Secret("sk_test_x\n")}}, "characters"),
        ({"webhook_secrets": ()}, "webhook_secrets"),
        ({"multi_capture": True}, "multi_capture"),
        ({"base_url": "http://api.stripe.com"}, "plain http"),
        ({"base_url": "http://127.0.0.1", "live": True}, "https only"),
        ({"base_url": "api.stripe.com"}, "not an https URL"),
        ({"base_url": "https://user:secret@api.stripe.com"}, "must not carry credentials"),
    ],
)
def test_problems_are_told_in_words(changes: dict[str, Any], word: str) -> None:
    connector, _ = connect()
    account = replace(stripe_account(), **changes)
    problems = connector.check_account(account)
    assert any(word in one and "acc_stripe" in one for one in problems), problems
    assert not any("sk_" in one or "secret@" in one for one in problems)


async def test_a_replaced_account_is_not_served_with_the_old_ones_key() -> None:
    connector, transport = connect(*[answer(500, b"")] * 3)
    await connector.authorize(stripe_account(), authorize())
    await connector.authorize(
        stripe_account(credentials={"api_key": Secret("sk_test_new")}),
        authorize(capture_method=CaptureMethod.AUTOMATIC, details=PaymentDetails()),
    )
    keys = {one.headers["Authorization"] for one in transport.sent}
    assert keys == {"Bearer sk_test_published_in_this_test", "Bearer sk_test_new"}
