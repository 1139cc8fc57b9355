"""What the Adyen connector sends, and how it reads what comes back, case by case."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from tests.unit.connectors_rig import (
    ATTEMPT,
    CANCEL,
    CAPTURE,
    MODIFICATION_PSP,
    PAN,
    PAYMENT,
    PSP,
    REFUND,
    PlayedTransport,
    SteadyClock,
    adyen_account,
    answer,
    authorize,
    follow_up,
    full_details,
    inquiry,
    lost,
    operation,
    unsent,
)
from turnout.connectors.adyen import AdyenConnector
from turnout.connectors.adyen.requests import NO_RETURN_URL, statement
from turnout.domain.accounts import Secret
from turnout.domain.declines import DeclineCode, RetryAdvice
from turnout.domain.operation import OperationKind
from turnout.domain.outcomes import Outcome, OutcomeKind
from turnout.domain.payment import (
    Address,
    AvsResult,
    CaptureMethod,
    CvcResult,
    Initiator,
    PaymentDetails,
)
from turnout.ports import HttpRequest

K = OperationKind


def connect(*script: Any) -> tuple[AdyenConnector, PlayedTransport]:
    transport = PlayedTransport(*script)
    return AdyenConnector(transport, SteadyClock()), transport


async def pay(*played: Any, **changes: Any) -> tuple[Outcome, PlayedTransport]:
    connector, transport = connect(*played)
    outcome = await connector.authorize(adyen_account(), authorize(**changes))
    assert not transport.script, "not everything was asked"
    return outcome, transport


def payment(result_code: str = "Authorised", **changes: Any) -> dict[str, Any]:
    return {
        "resultCode": result_code,
        "pspReference": PSP,
        "merchantReference": ATTEMPT,
        "amount": {"value": 1234, "currency": "EUR"},
        **changes,
    }


def body_of(request: HttpRequest) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(request.body)
    return found


# --- what is sent ----------------------------------------------------------------------------


async def test_one_request_says_everything() -> None:
    outcome, transport = await pay(answer(200, payment()), details=full_details())
    assert outcome.kind is OutcomeKind.SUCCEEDED
    (sent,) = transport.sent
    assert sent.url == "https://checkout-test.adyen.com/v72/payments"
    assert sent.headers["Idempotency-Key"] == ATTEMPT
    assert sent.headers["X-API-Key"] == "published_in_this_test"
    body = body_of(sent)
    assert body["reference"] == ATTEMPT and body["merchantOrderReference"] == "order-77"
    assert body["paymentMethod"]["number"] == PAN and body["paymentMethod"]["cvc"] == "123"
    assert body["additionalData"] == {"manualCapture": "true"}
    assert "captureDelayHours" not in body
    assert body["authenticationData"]["attemptAuthentication"] == "always"
    assert body["authenticationData"]["threeDSRequestData"] == {"nativeThreeDS": "disabled"}
    assert body["shopperInteraction"] == "Ecommerce"
    assert body["metadata"]["turnout_payment_id"] == PAYMENT
    assert body["shopperIP"] == "203.0.113.7"


async def test_a_rule_asks_for_three_d_secure_whatever_the_merchant_asked() -> None:
    for asked, told in ((True, "always"), (False, None)):
        _, transport = await pay(answer(200, payment()), require_three_ds=asked)
        authentication = body_of(transport.sent[0])["authenticationData"]
        assert authentication.get("attemptAuthentication") == told


async def test_a_merchants_own_payment_names_the_first_one() -> None:
    details = full_details(
        initiator=Initiator.MERCHANT, previous_network_transaction_id="123456789012345"
    )
    _, transport = await pay(answer(200, payment()), details=details)
    body = body_of(transport.sent[0])
    assert body["shopperInteraction"] == "ContAuth"
    assert body["recurringProcessingModel"] == "UnscheduledCardOnFile"
    assert body["paymentMethod"]["networkPaymentReference"] == "123456789012345"
    assert "authenticationData" not in body


@pytest.mark.parametrize(("settings", "hours"), [({}, 0), ({"capture_delay_hours": "24"}, 24)])
async def test_automatic_capture_is_said_in_the_request(
    settings: dict[str, str], hours: int
) -> None:
    connector, transport = connect(answer(200, payment()))
    account = adyen_account(settings={"merchant_account": "M", **settings})
    request = authorize(capture_method=CaptureMethod.AUTOMATIC)
    await connector.authorize(account, request)
    body = body_of(transport.sent[0])
    assert body["captureDelayHours"] == hours and "additionalData" not in body


@pytest.mark.parametrize(
    ("settings", "given", "sent"),
    [
        ({}, "", NO_RETURN_URL),
        ({"return_url": "https://shop.example/back"}, "", "https://shop.example/back"),
        ({"return_url": "https://shop.example/back"}, "https://x.example/", "https://x.example/"),
    ],
)
async def test_a_return_url_always_goes_out(
    settings: dict[str, str], given: str, sent: str
) -> None:
    connector, transport = connect(answer(200, payment()))
    account = adyen_account(settings={"merchant_account": "M", **settings})
    await connector.authorize(account, authorize(details=PaymentDetails(return_url=given)))
    assert body_of(transport.sent[0])["returnUrl"] == sent


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("https://checkout-test.adyen.com/v71", "https://checkout-test.adyen.com/v71/payments"),
        ("https://checkout-test.adyen.com/v72/", "https://checkout-test.adyen.com/v72/payments"),
        ("https://checkout-test.adyen.com", "https://checkout-test.adyen.com/v72/payments"),
        ("https://x-checkout-live.adyenpayments.com/checkout",
         "https://x-checkout-live.adyenpayments.com/checkout/v72/payments"),
    ],
)  # fmt: skip
async def test_the_version_stands_in_the_url(base_url: str, url: str) -> None:
    connector, transport = connect(answer(200, payment()))
    await connector.authorize(adyen_account(base_url), authorize())
    assert transport.sent[0].url == url


@pytest.mark.parametrize(
    ("currency", "amount", "sent"),
    [
        ("EUR", 1234, 1234),
        ("JPY", 500, 500),
        ("KWD", 5124, 5124),
        ("CLP", 5, 500),
        ("ISK", 5, 500),
        ("IDR", 500, 5),
        ("IDR", 550, None),
        ("CVE", 100, 1),
        ("CVE", 101, None),
    ],
)
async def test_amounts_are_written_as_adyen_counts(
    currency: str, amount: int, sent: int | None
) -> None:
    connector, transport = connect(answer(500, b""))
    request = authorize(currency=currency, amount_minor=amount)
    outcome = await connector.authorize(adyen_account(), request)
    if sent is None:
        assert outcome.decline is not None and transport.sent == []
        assert outcome.decline.code is DeclineCode.AMOUNT_INVALID
    else:
        assert body_of(transport.sent[0])["amount"] == {"value": sent, "currency": currency}


@pytest.mark.parametrize(
    ("line1", "line2", "street", "house"),
    [
        ("12 Rue de la Paix", "", "Rue de la Paix", "12"),
        ("Hauptstraße 7a", "", "Hauptstraße", "7a"),
        ("Main Street", "Suite 5", "Main Street", "Suite 5"),
        ("Broadway", "", "Broadway", "N/A"),
        ("221B", "", "221B", "N/A"),
    ],
)
async def test_the_house_number_has_a_field_of_its_own(
    line1: str, line2: str, street: str, house: str
) -> None:
    address = Address(line1, line2, "Paris", "", "75002-1234", "US")
    _, transport = await pay(
        answer(200, payment()), details=PaymentDetails(billing_address=address)
    )
    sent = body_of(transport.sent[0])["billingAddress"]
    assert (sent["street"], sent["houseNumberOrName"]) == (street, house)
    assert sent["postalCode"] == "75002"


async def test_half_an_address_is_left_out() -> None:
    details = PaymentDetails(billing_address=Address("12 Rue de la Paix", country="FR"))
    _, transport = await pay(answer(200, payment()), details=details)
    assert "billingAddress" not in body_of(transport.sent[0])


def test_statements_are_cut_to_what_adyen_takes() -> None:
    assert statement("Café <Müller> & Söhne, Paris 2") == "Caf   M ller    S hne,"


# --- results ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "kind", "reason"),
    [
        (payment(), "succeeded", ""),
        (payment(merchantReference="att_other"), "unknown", "reference_mismatch"),
        (payment(pspReference=""), "unknown", "garbage"),
        (payment(pspReference="../../x"), "unknown", "garbage"),
        (payment(amount={"value": "1234", "currency": "EUR"}), "unknown", "amount_unreadable"),
        (payment("Received"), "pending", "received"),
        (payment("Pending"), "pending", "pending"),
        (payment("AuthenticationFinished"), "unknown", "unexpected_status"),
        (payment("Success"), "unknown", "unexpected_status"),
        (payment("SomethingNew"), "unknown", "unexpected_status"),
        ({"resultCode": "Refused"}, "unknown", "garbage"),
        ({"status": 422, "errorType": "validation"}, "unknown", "garbage"),
        ([payment()], "unknown", "garbage"),
    ],
)
async def test_only_a_clear_result_is_one(body: Any, kind: str, reason: str) -> None:
    outcome, _ = await pay(answer(200, body))
    assert (outcome.kind.value, outcome.reason) == (kind, reason)


async def test_what_the_acquirer_said_is_kept() -> None:
    more = {
        "refusalReasonRaw": "51 : Insufficient funds",
        "merchantAdviceCode": "02 : Try again later",
        "avsResult": "2 Neither postal code nor address match",
        "cvcResult": "2 Doesn't match",
        "networkTxReference": "MCC123456 0101",
    }
    refused = payment(
        "Refused", refusalReason="Not enough balance", refusalReasonCode="12", additionalData=more
    )
    outcome, _ = await pay(answer(200, refused))
    decline = outcome.decline
    assert decline is not None and outcome.provider_reference == PSP
    assert (decline.code, decline.issuer_code, decline.advice_code, decline.provider_code) == (
        DeclineCode.INSUFFICIENT_FUNDS, "51", "02", "12",
    )  # fmt: skip
    assert decline.advice is RetryAdvice.RETRY_LATER and not decline.soft
    assert (outcome.avs_result, outcome.cvc_result) == (AvsResult.NO_MATCH, CvcResult.NO_MATCH)


@pytest.mark.parametrize(
    ("code", "raw", "unified", "soft"),
    [
        ("2", "05 : Do not honor", DeclineCode.GENERIC, True),
        ("2", "57 : Not permitted", DeclineCode.TRANSACTION_NOT_ALLOWED, False),
        ("23", "", DeclineCode.TRANSACTION_NOT_ALLOWED, True),
        ("9", "91 : Issuer unavailable", DeclineCode.ISSUER_UNAVAILABLE, True),
        ("6", "54 : Expired card", DeclineCode.EXPIRED_CARD, False),
        ("20", "FRAUD", DeclineCode.BLOCKED_BY_RULE, False),
        ("999", "", DeclineCode.GENERIC, True),
    ],
)
async def test_only_soft_refusals_let_the_cascade_go_on(
    code: str, raw: str, unified: DeclineCode, soft: bool
) -> None:
    refused = payment("Refused", refusalReasonCode=code, additionalData={"refusalReasonRaw": raw})
    outcome, _ = await pay(answer(200, refused))
    assert outcome.decline is not None
    assert (outcome.decline.code, outcome.decline.soft) == (unified, soft)


async def test_a_partial_approval_tells_its_own_amount() -> None:
    more = {"authorisedAmountValue": "1000", "authorisedAmountCurrency": "EUR"}
    outcome, _ = await pay(answer(200, payment("PartiallyAuthorised", additionalData=more)))
    assert (outcome.kind, outcome.amount_minor) == (OutcomeKind.SUCCEEDED, 1000)


async def test_a_redirect_is_an_action_with_its_form() -> None:
    action = {
        "type": "redirect", "url": "https://acs.example/3ds", "method": "post",
        "data": {"MD": "1", "PaReq": "2", "odd": 3},
    }  # fmt: skip
    outcome, _ = await pay(answer(200, payment("RedirectShopper", action=action)))
    assert outcome.kind is OutcomeKind.REQUIRES_ACTION
    found = outcome.next_action
    assert found is not None
    assert (found.kind, found.url, found.method, found.form) == (
        "redirect", "https://acs.example/3ds", "POST", {"MD": "1", "PaReq": "2"},
    )  # fmt: skip
    native = {"type": "threeDS2", "token": "x"}
    outcome, _ = await pay(answer(200, payment("ChallengeShopper", action=native)))
    assert outcome.next_action is not None and outcome.next_action.kind == "threeDS2"


@pytest.mark.parametrize(
    ("status", "code", "kind", "wanted", "reason"),
    [
        (400, "702", "validation", "declined", ""),
        (401, "000", "security", "not_processed", "http_401"),
        (403, "901", "security", "not_processed", "http_403"),
        (422, "137", "validation", "declined", ""),
        (422, "905", "configuration", "declined", ""),
        (422, "800", "configuration", "not_processed", "account_misconfigured"),
        (422, "704", "validation", "unknown", "in_progress"),
        (422, "000", "internal", "unknown", "http_422"),
        (500, "905", "configuration", "unknown", "http_500"),
        (503, "000", "internal", "unknown", "http_503"),
    ],
)
async def test_errors_are_told_apart(
    status: int, code: str, kind: str, wanted: str, reason: str
) -> None:
    error = {"status": status, "errorCode": code, "errorType": kind, "message": "no"}
    outcome, _ = await pay(answer(status, error))
    assert (outcome.kind.value, outcome.reason) == (wanted, reason)
    assert outcome.account_fault is (wanted == "not_processed")


@pytest.mark.parametrize(
    ("code", "unified"),
    [
        ("101", DeclineCode.INCORRECT_NUMBER),
        ("103", DeclineCode.INCORRECT_CVC),
        ("137", DeclineCode.AMOUNT_INVALID),
        ("138", DeclineCode.CURRENCY_NOT_SUPPORTED),
        ("129", DeclineCode.EXPIRED_CARD),
        ("905_1", DeclineCode.CARD_NOT_SUPPORTED),
        ("14_030", DeclineCode.PROVIDER_REJECTED),
    ],
)
async def test_refused_requests_are_declines_with_codes(code: str, unified: DeclineCode) -> None:
    error = {"status": 422, "errorCode": code, "errorType": "validation", "message": "no"}
    outcome, _ = await pay(answer(422, error))
    assert outcome.decline is not None
    assert (outcome.decline.code, outcome.decline.provider_code) == (unified, code)


# --- repetition ------------------------------------------------------------------------------


async def test_a_lost_answer_is_asked_for_again_with_the_same_bytes() -> None:
    outcome, transport = await pay(lost(), answer(200, payment()))
    assert outcome.kind is OutcomeKind.SUCCEEDED
    first, second = transport.sent
    assert (first.body, first.headers) == (second.body, second.headers)


async def test_what_adyen_calls_transient_is_sent_again_once() -> None:
    error = {"status": 422, "errorCode": "704", "errorType": "validation", "message": "busy"}
    busy = answer(422, error, {"transient-error": "true"})
    outcome, _ = await pay(busy, answer(200, payment()))
    assert outcome.kind is OutcomeKind.SUCCEEDED
    outcome, _ = await pay(busy, busy)
    assert outcome.kind is OutcomeKind.UNKNOWN


@pytest.mark.parametrize(
    "second",
    [
        lost(),
        unsent(),
        answer(429, b""),
        answer(401, {"status": 401, "errorType": "security", "errorCode": "000"}),
        answer(422, {"status": 422, "errorType": "validation", "errorCode": "101"}),
        answer(200, payment(merchantReference="att_other")),
    ],
)
async def test_after_a_lost_copy_only_the_payment_itself_can_speak(second: Any) -> None:
    outcome, _ = await pay(lost(), second)
    assert outcome.kind is OutcomeKind.UNKNOWN


async def test_what_never_left_is_not_processed() -> None:
    outcome, _ = await pay(unsent("dns_failed"))
    assert (outcome.kind, outcome.reason) == (OutcomeKind.NOT_PROCESSED, "dns_failed")


# --- follow-ups ------------------------------------------------------------------------------


def received(reference: str, **changes: Any) -> dict[str, Any]:
    return {
        "status": "received",
        "pspReference": MODIFICATION_PSP,
        "reference": reference,
        "paymentPspReference": PSP,
        "merchantAccount": "TestMerchantECOM",
        **changes,
    }


@pytest.mark.parametrize(
    ("kind", "reference", "changes", "path", "body"),
    [
        (K.CAPTURE, PSP, {}, f"/payments/{PSP}/captures",
         {"reference": CAPTURE, "amount": {"value": 1234, "currency": "EUR"}}),
        # Never /reversals: of what is captured in part it would give the captured money back.
        (K.CANCEL, PSP, {}, f"/payments/{PSP}/cancels", {"reference": CANCEL}),
        (K.CANCEL, "", {}, "/cancels", {"reference": CANCEL, "paymentReference": ATTEMPT}),
        (K.REFUND, PSP, {"amount_minor": 5}, f"/payments/{PSP}/refunds",
         {"reference": REFUND, "amount": {"value": 5, "currency": "EUR"},
          "merchantRefundReason": "CUSTOMER REQUEST"}),
    ],
)  # fmt: skip
async def test_follow_ups_say_what_they_want(
    kind: OperationKind, reference: str, changes: Any, path: str, body: Any
) -> None:
    request = follow_up(kind, reference, **changes)
    named = {"paymentPspReference": PSP} if reference else {"paymentReference": ATTEMPT}
    reply = {**received(request.operation_id, paymentPspReference=""), **named}
    connector, transport = connect(answer(201, reply))
    outcome = await connector.follow_up(adyen_account(), request)
    assert (outcome.kind, outcome.provider_reference) == (OutcomeKind.PENDING, MODIFICATION_PSP)
    (sent,) = transport.sent
    assert sent.url == f"https://checkout-test.adyen.com/v72{path}"
    assert sent.headers["Idempotency-Key"] == request.operation_id
    assert body_of(sent) == {"merchantAccount": "TestMerchantECOM", **body}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (received("cap_other"), "reference_mismatch"),
        (received(CAPTURE, paymentPspReference="OTHERPSP"), "reference_mismatch"),
        (received(CAPTURE, status="done"), "garbage"),
        (received(CAPTURE, pspReference=7), "garbage"),
        ({}, "garbage"),
    ],
)
async def test_a_follow_up_is_received_only_where_its_answer_says_so(
    body: Any, reason: str
) -> None:
    connector, _ = connect(answer(201, body))
    outcome = await connector.follow_up(adyen_account(), follow_up(K.CAPTURE, PSP))
    assert (outcome.kind, outcome.reason) == (OutcomeKind.UNKNOWN, reason)


async def test_nothing_can_be_asked_but_a_reference_can_be_taken_back() -> None:
    connector, transport = connect()
    outcome = await connector.inquire(adyen_account(), inquiry(operation(), settled=True))
    assert (outcome.kind, outcome.reason) == (OutcomeKind.UNKNOWN, "cannot_inquire")
    assert transport.sent == []
    traits = connector.traits
    assert (traits.can_inquire, traits.can_cancel_by_reference) == (False, True)
    assert traits.inquiry_wait_s > 0


# --- configuration ---------------------------------------------------------------------------


def test_a_good_account_has_no_problems() -> None:
    connector, _ = connect()
    assert connector.check_account(adyen_account()) == []
    assert connector.check_account(adyen_account("http://localhost:4020/v71")) == []


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"credentials": {}}, "credentials.api_key is missing"),
        ({"credentials": {"api_key": Secret("a\nb")}}, "characters"),
        ({"settings": {}}, "settings.merchant_account is missing"),
        ({"settings": {"merchant_account": "M", "capture_delay_hours": "soon"}}, "capture_delay"),
        ({"settings": {"merchant_account": "M", "capture_delay_hours": "673"}}, "672"),
        ({"webhook_secrets": ()}, "webhook_secrets"),
        ({"webhook_secrets": (Secret("xyz"),)}, "hexadecimal"),
        ({"base_url": "http://checkout.example/v72"}, "plain http"),
    ],
)
async def test_problems_are_told_in_words_and_nothing_is_sent(
    changes: dict[str, Any], word: str
) -> None:
    connector, transport = connect(answer(500, b""))
    account = replace(adyen_account(), **changes)
    problems = connector.check_account(account)
    assert any(word in one and "acc_adyen" in one for one in problems), problems
    outcome = await connector.authorize(account, authorize())
    if "webhook_secrets" not in changes and word != "characters":
        assert outcome.account_fault and transport.sent == []
