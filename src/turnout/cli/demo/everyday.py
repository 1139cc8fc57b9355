"""The tour's quiet half: cards and currencies, captures, cancels, refunds, 3-D Secure."""

from __future__ import annotations

from typing import Any

from turnout import v1
from turnout.cli.demo.report import Report
from turnout.cli.demo.shop import Refused, Shop, card_payment, new_reference, status_of, word
from turnout.domain.money import format_money

MANUAL = {"capture_method": v1.CAPTURE_METHOD_MANUAL}

# Published test numbers; three currencies whose minor unit is not a hundredth.
_CARDS = (
    ("4242424242424242", "visa", 1_099, "EUR"),
    ("5555555555554444", "mastercard", 4_250, "USD"),
    ("378282246310005", "amex", 12_000, "GBP"),
    ("6011111111111117", "discover", 799, "USD"),
    ("36227206271667", "diners", 9_900, "CHF"),
    ("3566002020360505", "jcb", 1_500, "JPY"),
    ("6200000000000005", "unionpay", 8_800, "HKD"),
    ("4000056655665556", "visa", 12_340, "KWD"),
    ("2223003122003222", "mastercard", 50_000, "ISK"),
)


async def networks_and_currencies(shop: Shop, report: Report) -> None:
    """Cards of seven networks, amounts of eight currencies, both faces in turn."""
    report.scene("Cards and currencies")
    for at, (number, network, amount_minor, currency) in enumerate(_CARDS):
        face = shop.faces[at % len(shop.faces)]
        payment = await shop.authorize(face, number, amount_minor, currency)
        payment = await shop.decided(payment.payment_id)
        card = payment.payment_method.card
        report.claim(
            f"{network} {format_money(amount_minor, currency)} over {face} is paid",
            payment.status == v1.PAYMENT_STATUS_SUCCEEDED
            and payment.captured_minor == amount_minor
            and word(v1.CardNetwork, card.network) == network,
            f"{status_of(payment)} by {payment.account_id}",
        )


async def declines(shop: Shop, report: Report) -> None:
    """A hard decline ends the payment; a soft one goes on to the next account."""
    report.scene("Declines")
    in_order = {"profile_id": "pro_in_order"}
    stolen = await shop.authorize("http", "4000000000009979", 2_000, "EUR", **in_order)
    report.claim(
        "a stolen card is declined and tried nowhere else",
        stolen.status == v1.PAYMENT_STATUS_FAILED
        and stolen.decline.code == v1.DECLINE_CODE_STOLEN_CARD
        and len(stolen.attempts) == 1,
        f"{word(v1.DeclineCode, stolen.decline.code)}, "
        f"provider says {stolen.decline.provider_code!r}, {len(stolen.attempts)} attempt",
    )
    saved = await shop.authorize("grpc", "4000000000000119", 2_000, "EUR", **in_order)
    saved = await shop.decided(saved.payment_id)
    report.claim(
        "a soft decline at the first account is paid at the second",
        saved.status == v1.PAYMENT_STATUS_SUCCEEDED and len(saved.attempts) == 2,
        " then ".join(
            f"{one.account_id} {word(v1.AttemptStatus, one.status)}" for one in saved.attempts
        ),
    )
    await _never_again(shop, report)


async def _never_again(shop: Shop, report: Report) -> None:
    """A Mastercard is declined with advice 03, and another payment tries it again at once."""
    told, code = v1.Payment(), ""
    try:
        for _ in range(2):
            request = card_payment(
                new_reference(), "5105105105105100", 2_000, "EUR", profile_id="pro_schemes"
            )
            request.payment_method.card.holder_name = "DECLINED : 05 : Do not honor : 03"
            told = await shop.do("grpc", "AuthorizePayment", request, request.merchant_reference)
            shop.asked[told.payment_id] = "5105105105105100"
    except Refused as refused:
        code = refused.reason
    report.claim(
        "a card whose network says `do not try again` is not tried again for 30 days",
        code == "SCHEME_RETRY_FORBIDDEN" and len(told.attempts) == 1,
        f"advice {told.decline.issuer_advice_code}, then {code or 'another attempt'}",
    )


async def captures(shop: Shop, report: Report) -> None:
    """In part, in several parts, and not at all."""
    report.scene("Captures and cancels")
    held = await shop.authorize(
        "grpc", "4242424242424242", 10_000, "EUR", profile_id="pro_stripe", **MANUAL
    )
    report.claim(
        "a manual payment waits for its capture",
        held.status == v1.PAYMENT_STATUS_REQUIRES_CAPTURE and held.capturable_minor == 10_000,
        status_of(held),
    )
    part = await _capture(shop, "http", held, 4_000)
    report.claim(
        "a partial capture where only one is possible releases the rest",
        part.status == v1.PAYMENT_STATUS_SUCCEEDED
        and (part.captured_minor, part.capturable_minor) == (4_000, 0),
        f"captured {format_money(part.captured_minor, 'EUR')}",
    )
    try:
        await _capture(shop, "grpc", held, 1_000)
        refused = "it was taken"
    except Refused as error:
        refused = error.reason
    report.claim("a second one is refused before it is sent", refused != "it was taken", refused)
    await _several_captures(shop, report)
    unwanted = await shop.authorize("grpc", "378282246310005", 7_700, "GBP", **MANUAL)
    await _cancel(shop, "http", unwanted)
    unwanted = await shop.until(
        unwanted.payment_id, lambda one: one.status == v1.PAYMENT_STATUS_CANCELED
    )
    report.claim(
        "a cancelled payment holds nothing",
        unwanted.status == v1.PAYMENT_STATUS_CANCELED and unwanted.capturable_minor == 0,
        status_of(unwanted),
    )


async def _several_captures(shop: Shop, report: Report) -> None:
    claim = "two partial captures where the account can take several"
    if not shop.has_http:
        report.skip(claim, "webhooks finish them, and there is no Envoy to take them in")
        return
    several = await shop.authorize(
        "http", "5555555555554444", 10_000, "USD", profile_id="pro_multi", **MANUAL
    )
    for amount_minor in (3_000, 2_500):
        await _capture(shop, "grpc", several, amount_minor)
        wanted = several.captured_minor + amount_minor
        several = await shop.until(several.payment_id, _captured(wanted))
    report.claim(
        claim,
        several.status == v1.PAYMENT_STATUS_PARTIALLY_CAPTURED
        and (several.captured_minor, several.capturable_minor) == (5_500, 4_500),
        f"{status_of(several)}, {format_money(several.capturable_minor, 'USD')} open",
    )
    await _cancel(shop, "grpc", several)
    several = await shop.until(
        several.payment_id, lambda one: one.status == v1.PAYMENT_STATUS_SUCCEEDED
    )
    report.claim(
        "cancelling what is open ends it with what was captured",
        several.status == v1.PAYMENT_STATUS_SUCCEEDED and several.captured_minor == 5_500,
        status_of(several),
    )


async def refunds(shop: Shop, report: Report) -> None:
    """In part, and never more than there is."""
    report.scene("Refunds")
    paid = await shop.authorize("http", "4242424242424242", 6_000, "EUR")
    paid = await shop.decided(paid.payment_id)
    await _refund(shop, "grpc", paid, 2_500)
    paid = await shop.until(paid.payment_id, lambda one: one.refunded_minor == 2_500)
    report.claim(
        "a partial refund leaves the rest refundable",
        (paid.refunded_minor, paid.refundable_minor) == (2_500, 3_500)
        and paid.status == v1.PAYMENT_STATUS_SUCCEEDED,
        f"{format_money(paid.refundable_minor, 'EUR')} left",
    )
    try:
        await _refund(shop, "http", paid, 3_501)
        refused = "it was taken"
    except Refused as error:
        refused = f"{error.reason} {error.field}"
    report.claim("one cent more than is left is refused", refused != "it was taken", refused)


async def three_d_secure(shop: Shop, report: Report) -> None:
    """A challenge is an action for the payer, not a decline."""
    report.scene("3-D Secure")
    payment = await shop.authorize(
        "http",
        "4000002760003184",
        5_000,
        "EUR",
        profile_id="pro_stripe",
        return_url="https://shop.example/return",
    )
    url = payment.next_action.redirect.url
    report.claim(
        "a bank's challenge is requires_action with a page to go to",
        payment.status == v1.PAYMENT_STATUS_REQUIRES_ACTION and url.startswith("http"),
        f"{status_of(payment)}, {url[:40]}...",
    )


async def webhook_finishes_capture(shop: Shop, report: Report) -> None:
    """Adyen answers a capture with `received`; its signed webhook finishes it."""
    report.scene("A capture that a webhook finishes")
    claim = "its webhook, twice and out of order, captures it exactly once"
    if not shop.has_http:
        report.skip(claim, "webhooks come in through Envoy, and there is none here")
        return
    ground = shop.ground
    await ground.control("PUT", "webhooks", {"provider": "adyen", "preset": "held"})
    held = await shop.authorize(
        "http", "4242424242424242", 8_000, "EUR", profile_id="pro_adyen", **MANUAL
    )
    asked = await _capture(shop, "grpc", held, 0)
    report.claim(
        "a capture that Adyen has only received is not told as done",
        asked.captured_minor == 0 and asked.captures[0].status == v1.CAPTURE_STATUS_PENDING,
        f"{status_of(asked)}, capture {word(v1.CaptureStatus, asked.captures[0].status)}",
    )
    sent = await ground.control("POST", "webhooks/flush", {"order": "reverse", "copies": 2})
    done = await shop.until(held.payment_id, _captured(8_000))
    report.claim(
        claim,
        done.status == v1.PAYMENT_STATUS_SUCCEEDED and done.captured_minor == 8_000,
        f"{status_of(done)} after {len(sent['deliveries'])} deliveries",
    )
    await ground.control("PUT", "webhooks", {"provider": "adyen", "preset": "unruly"})


def _captured(amount_minor: int) -> Any:
    return lambda one: one.captured_minor >= amount_minor


async def _capture(shop: Shop, face: str, payment: v1.Payment, amount_minor: int) -> v1.Payment:
    request = v1.CapturePaymentRequest(payment_id=payment.payment_id, amount_minor=amount_minor)
    answer: v1.Payment = await shop.do(face, "CapturePayment", request, new_reference())
    return answer


async def _cancel(shop: Shop, face: str, payment: v1.Payment) -> None:
    request = v1.CancelPaymentRequest(payment_id=payment.payment_id)
    await shop.do(face, "CancelPayment", request, new_reference())


async def _refund(shop: Shop, face: str, payment: v1.Payment, amount_minor: int) -> None:
    request = v1.CreateRefundRequest(payment_id=payment.payment_id, amount_minor=amount_minor)
    await shop.do(face, "CreateRefund", request, new_reference())
