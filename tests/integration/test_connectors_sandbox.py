"""Connectors and simulators over real sockets: every operation, as both sides remember it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.integration.connectors_bench import PROVIDERS, Bench, asked_of, running_bench
from tests.sandbox_rig import SECOND_ADYEN
from tests.unit.connectors_rig import HeldCard, full_details
from turnout.domain.accounts import Secret
from turnout.domain.cards import CardDetails
from turnout.domain.declines import DeclineCode, RetryAdvice
from turnout.domain.money import EXPONENTS, format_money
from turnout.domain.operation import OperationKind
from turnout.domain.outcomes import Outcome, OutcomeKind
from turnout.domain.payment import AvsResult, CaptureMethod, CvcResult, Initiator, PaymentDetails
from turnout.sandbox.adyen.refusals import REFUSALS
from turnout.sandbox.currencies import major
from turnout.sandbox.stripe.cards import BEHAVIOURS

K = OperationKind


def card(number: str = "4242424242424242", holder: str = "John Smith") -> HeldCard:
    return HeldCard(CardDetails(number, 3, 2030, "737", holder))


async def approved(bench: Bench, capture: CaptureMethod = CaptureMethod.MANUAL) -> str:
    outcome = await bench.authorize("att_1", capture_method=capture, reveal=card())
    assert outcome.kind is OutcomeKind.SUCCEEDED, outcome
    assert (outcome.amount_minor, outcome.currency) == (1234, "EUR")
    return outcome.provider_reference


def received(bench: Bench, outcome: Outcome) -> None:
    """Stripe answers at once, Adyen by webhook."""
    wanted = OutcomeKind.SUCCEEDED if bench.provider == "stripe" else OutcomeKind.PENDING
    assert outcome.kind is wanted, outcome
    assert outcome.provider_reference


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("capture", list(CaptureMethod))
async def test_an_approval_is_booked_once_and_told_by_webhook(
    provider: str, capture: CaptureMethod
) -> None:
    async with running_bench(provider) as bench:
        outcome = await bench.authorize(
            "att_1", capture_method=capture, reveal=card(), details=full_details(three_d_secure="")
        )
        assert outcome.kind is OutcomeKind.SUCCEEDED, outcome
        assert outcome.cvc_result is CvcResult.MATCH
        assert outcome.avs_result is AvsResult.MATCH
        charge = bench.charge("att_1")
        assert charge.authorized_minor == 1234
        automatic = capture is CaptureMethod.AUTOMATIC
        assert charge.captured_minor == (1234 if automatic else 0)
        told = [event for event in await bench.webhooks() if event.kind is K.AUTHORIZE]
        assert told
        for event in told:
            assert event.outcome.kind is OutcomeKind.SUCCEEDED, event
            assert event.operation_reference == "att_1"
            assert event.outcome.provider_reference == outcome.provider_reference
            assert (event.outcome.amount_minor, event.outcome.currency) == (1234, "EUR")
            assert event.occurred_at_ns > 0 and not event.reverses


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("amount", [1234, 700])
async def test_a_capture_takes_what_it_says(provider: str, amount: int) -> None:
    async with running_bench(provider) as bench:
        reference = await approved(bench)
        outcome = await bench.follow_up(K.CAPTURE, "cap_1", reference, amount_minor=amount)
        received(bench, outcome)
        assert outcome.amount_minor == amount
        charge = bench.charge("att_1")
        assert (charge.captured_minor, charge.released_minor) == (amount, 1234 - amount)
        events = [event for event in await bench.webhooks() if event.kind is K.CAPTURE]
        assert events
        for event in events:
            assert event.outcome.kind is OutcomeKind.SUCCEEDED, event
            assert event.outcome.amount_minor == amount
            assert event.outcome.provider_reference == outcome.provider_reference
            assert event.payment_reference == reference
        if provider == "stripe":
            asked = asked_of(K.CAPTURE, "cap_1", amount_minor=amount)
            authorization = asked_of(K.AUTHORIZE, "att_1", provider_reference=reference)
            looked = await bench.inquire(asked, authorization, settled=False)
            assert (looked.kind, looked.amount_minor) == (OutcomeKind.SUCCEEDED, amount)


async def test_several_captures_where_the_account_can() -> None:
    async with running_bench("adyen") as bench:
        key, name = SECOND_ADYEN
        second = bench.rig.sandbox.settings.adyen_accounts[1]
        bench.account = bench.account.__class__(
            "acc_second",
            "mer_test",
            "adyen",
            bench.account.base_url,
            credentials={"api_key": Secret(key)},
            settings={"merchant_account": name},
            webhook_secrets=(Secret(second.hmac_key),),
            multi_capture=True,
        )
        reference = await approved(bench)
        for number, amount in enumerate((500, 300, 434)):
            outcome = await bench.follow_up(
                K.CAPTURE, f"cap_{number}", reference, amount_minor=amount, final=number == 2
            )
            received(bench, outcome)
        charge = bench.charge("att_1")
        assert (charge.captured_minor, charge.held_minor) == (1234, 0)
        events = [event for event in await bench.webhooks() if event.kind is K.CAPTURE]
        assert [event.operation_reference for event in events] == ["cap_0", "cap_1", "cap_2"]


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_capture_above_the_authorization_fails(provider: str) -> None:
    async with running_bench(provider) as bench:
        reference = await approved(bench)
        outcome = await bench.follow_up(K.CAPTURE, "cap_1", reference, amount_minor=9999)
        if provider == "stripe":
            assert outcome.kind is OutcomeKind.DECLINED and outcome.decline is not None
            assert outcome.decline.code is DeclineCode.AMOUNT_INVALID
        else:
            assert outcome.kind is OutcomeKind.PENDING
            (event,) = [one for one in await bench.webhooks() if one.kind is K.CAPTURE]
            assert event.outcome.kind is OutcomeKind.DECLINED and not event.reverses
        assert bench.charge("att_1").captured_minor == 0


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_cancel_lets_the_hold_go(provider: str) -> None:
    async with running_bench(provider) as bench:
        reference = await approved(bench)
        outcome = await bench.follow_up(K.CANCEL, "can_1", reference)
        received(bench, outcome)
        assert bench.charge("att_1").released_minor == 1234
        (event,) = [one for one in await bench.webhooks() if one.kind is K.CANCEL]
        assert event.outcome.kind is OutcomeKind.SUCCEEDED
        assert event.outcome.provider_reference == outcome.provider_reference
        if provider == "stripe":
            authorization = asked_of(K.AUTHORIZE, "att_1", provider_reference=reference)
            asked = asked_of(K.CANCEL, "can_1")
            looked = await bench.inquire(asked, authorization, settled=False)
            assert looked.kind is OutcomeKind.SUCCEEDED


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_refunds_in_parts(provider: str) -> None:
    async with running_bench(provider) as bench:
        reference = await approved(bench, CaptureMethod.AUTOMATIC)
        await bench.webhooks()
        for number, amount in enumerate((1000, 234)):
            outcome = await bench.follow_up(
                K.REFUND, f"ref_{number}", reference, amount_minor=amount
            )
            received(bench, outcome)
            events = [one for one in await bench.webhooks() if one.kind is K.REFUND]
            assert events or provider == "stripe"
            for event in events:
                assert event.outcome.kind is OutcomeKind.SUCCEEDED
                assert event.operation_reference == f"ref_{number}"
                assert event.outcome.amount_minor == amount
        assert bench.charge("att_1").refunded_minor == 1234
        again = await bench.follow_up(K.REFUND, "ref_3", reference, amount_minor=1)
        assert bench.charge("att_1").refunded_minor == 1234
        if provider == "stripe":
            assert again.kind is OutcomeKind.DECLINED
            asked = asked_of(K.REFUND, "ref_0")
            authorization = asked_of(K.AUTHORIZE, "att_1", provider_reference=reference)
            looked = await bench.inquire(asked, authorization, settled=False)
            assert (looked.kind, looked.amount_minor) == (OutcomeKind.SUCCEEDED, 1000)
            missing = await bench.inquire(asked_of(K.REFUND, "ref_9"), authorization, settled=True)
            assert missing.kind is OutcomeKind.NOT_PROCESSED
        else:
            (event,) = [one for one in await bench.webhooks() if one.kind is K.REFUND]
            assert event.outcome.kind is OutcomeKind.DECLINED


async def test_stripes_late_refund_results_come_by_webhook() -> None:
    for number, final in (
        ("4000000000007726", OutcomeKind.SUCCEEDED),
        ("4000000000005126", OutcomeKind.DECLINED),
    ):
        async with running_bench("stripe") as bench:
            outcome = await bench.authorize(
                "att_1", capture_method=CaptureMethod.AUTOMATIC, reveal=card(number)
            )
            refund = await bench.follow_up(K.REFUND, "ref_1", outcome.provider_reference)
            assert refund.kind in (OutcomeKind.PENDING, OutcomeKind.SUCCEEDED)
            events = [one for one in await bench.webhooks() if one.kind is K.REFUND]
            last = events[-1]
            assert last.outcome.kind is final, events
            assert last.reverses is (final is OutcomeKind.DECLINED)
            assert last.operation_reference == "ref_1"


async def test_adyen_takes_captures_and_refunds_back() -> None:
    async with running_bench("adyen") as bench:
        for operation_id, holder, kind, prefix in (
            ("att_1", "Capture Failed", K.CAPTURE, "cap_1"),
            ("att_2", "Refund Failed", K.REFUND, "ref_1"),
        ):
            automatic = CaptureMethod.AUTOMATIC if kind is K.REFUND else CaptureMethod.MANUAL
            outcome = await bench.authorize(
                operation_id, reveal=card(holder=holder), capture_method=automatic
            )
            assert outcome.kind is OutcomeKind.SUCCEEDED
            await bench.follow_up(
                kind, prefix, outcome.provider_reference, authorization_id=operation_id
            )
            events = [one for one in await bench.webhooks() if one.kind is kind]
            first, last = events[0], events[-1]
            assert first.outcome.kind is OutcomeKind.SUCCEEDED and not first.reverses
            assert last.outcome.kind is OutcomeKind.DECLINED and last.reverses
            assert first.event_id != last.event_id


@pytest.mark.parametrize("number", sorted(BEHAVIOURS))
async def test_every_published_card_of_stripes(number: str) -> None:
    behaviour = BEHAVIOURS[number]
    async with running_bench("stripe") as bench:
        details = PaymentDetails(return_url="https://shop.example/return")
        outcome = await bench.authorize("att_1", reveal=card(number), details=details)
        if behaviour.three_d_secure in ("required", "unless_off_session"):
            assert outcome.kind is OutcomeKind.REQUIRES_ACTION, outcome
            action = outcome.next_action
            assert action is not None and action.kind == "redirect"
            assert action.url.startswith(bench.rig.sandbox.stripe_url)
        elif behaviour.code is not None:
            assert outcome.kind is OutcomeKind.DECLINED, outcome
            decline = outcome.decline
            assert decline is not None
            assert decline.provider_code == behaviour.decline_code
            assert (decline.code is DeclineCode.GENERIC) is (
                behaviour.decline_code == "generic_decline"
            )
        else:
            assert outcome.kind is OutcomeKind.SUCCEEDED, outcome
        told = [event for event in await bench.webhooks() if event.kind is K.AUTHORIZE]
        assert {event.outcome.kind for event in told} == {outcome.kind}


@pytest.mark.parametrize("code", sorted(REFUSALS))
async def test_every_refusal_of_adyens(code: str) -> None:
    refusal = REFUSALS[code]
    async with running_bench("adyen") as bench:
        number = "5555444433331111"
        outcome = await bench.authorize("att_1", reveal=card(number, refusal.holder_name))
        assert outcome.kind is OutcomeKind.DECLINED, outcome
        decline = outcome.decline
        assert decline is not None
        assert decline.provider_code == code and decline.provider_message == refusal.reason
        issuer_code, colon, _ = refusal.raw.partition(" : ")
        assert decline.issuer_code == (issuer_code if colon else "")
        if refusal.advice is not None:
            assert decline.advice_code == refusal.advice[:2] and not decline.soft
        told = [event for event in await bench.webhooks() if event.kind is K.AUTHORIZE]
        for event in told:
            why = event.outcome.decline
            assert why is not None and event.outcome.kind is OutcomeKind.DECLINED
            assert code == "0" or why.code is decline.code
            assert why.issuer_code == decline.issuer_code


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_authentication_by_redirect(provider: str) -> None:
    number = "4000002500003155" if provider == "stripe" else "4212345678901237"
    async with running_bench(provider) as bench:
        details = PaymentDetails(return_url="https://shop.example/return")
        outcome = await bench.authorize("att_1", reveal=card(number), details=details)
        assert outcome.kind is OutcomeKind.REQUIRES_ACTION, outcome
        action = outcome.next_action
        assert action is not None and (action.kind, action.method) == ("redirect", "GET")
        await bench.webhooks()
        page = await bench.rig.get_page(f"{action.url}?outcome=approve")
        assert page.status in (200, 303)
        if provider == "stripe":
            events = [one for one in await bench.webhooks() if one.kind is K.AUTHORIZE]
            assert events[-1].outcome.kind is OutcomeKind.SUCCEEDED
            reference = outcome.provider_reference
            asked = asked_of(K.AUTHORIZE, "att_1", provider_reference=reference)
            looked = await bench.inquire(asked, settled=False)
            assert looked.kind is OutcomeKind.SUCCEEDED


def brought_back(page: Any) -> dict[str, str]:
    """The query parameters of return_url that a redirect sends the payer to."""
    return dict(parse_qsl(urlsplit(page.headers["Location"]).query))


@pytest.mark.parametrize(
    ("choice", "kind"),
    [("approve", OutcomeKind.SUCCEEDED), ("fail", OutcomeKind.DECLINED)],
)
async def test_adyens_redirect_is_finished_by_what_the_payer_brings(
    choice: str, kind: OutcomeKind
) -> None:
    async with running_bench("adyen") as bench:
        details = PaymentDetails(return_url="https://shop.example/return")
        urls = []
        for operation_id in ("att_1", "att_2"):
            outcome = await bench.authorize(
                operation_id, reveal=card("4212345678901237"), details=details
            )
            assert outcome.next_action is not None
            urls.append(outcome.next_action.url)
        mine, others = [
            brought_back(await bench.rig.get_page(f"{url}?outcome={choice}")) for url in urls
        ]
        asked = asked_of(K.AUTHORIZE, "att_1")
        nothing = await bench.inquire(asked, settled=False, parameters={})
        assert nothing.kind is OutcomeKind.UNKNOWN
        forged = await bench.inquire(
            asked, settled=False, parameters={"redirectResult": "made up"}
        )
        assert (forged.kind, forged.reason) == (OutcomeKind.UNKNOWN, "details_not_taken")
        swapped = await bench.inquire(asked, settled=False, parameters=others)
        assert (swapped.kind, swapped.reason) == (OutcomeKind.UNKNOWN, "reference_mismatch")
        for _ in range(2):
            looked = await bench.inquire(asked, settled=False, parameters=mine)
            assert looked.kind is kind


async def test_a_merchants_own_payment_without_the_payer_is_declined_where_one_is_wanted() -> None:
    async with running_bench("stripe") as bench:
        details = PaymentDetails(initiator=Initiator.MERCHANT)
        outcome = await bench.authorize("att_1", reveal=card("4000002500003155"), details=details)
        assert outcome.kind is OutcomeKind.DECLINED and outcome.decline is not None
        assert outcome.decline.code is DeclineCode.AUTHENTICATION_REQUIRED
        assert outcome.decline.advice is RetryAdvice.CUSTOMER_ACTION


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_the_provider_books_the_amount_that_the_payer_reads(provider: str) -> None:
    async with running_bench(provider) as bench:
        for currency in sorted(EXPONENTS):
            places = EXPONENTS[currency]
            amount = 250_000 * 10**places
            outcome = await bench.authorize(
                f"att_{currency}", amount_minor=amount, currency=currency, reveal=card()
            )
            charges = bench.charges(f"att_{currency}")
            if outcome.kind is OutcomeKind.DECLINED:
                # Not every provider has every currency, and some have a maximum.
                assert not charges and outcome.decline is not None
                continue
            assert outcome.kind is OutcomeKind.SUCCEEDED, (currency, outcome)
            assert (outcome.amount_minor, outcome.currency) == (amount, currency)
            shown = Decimal(major(charges[0].amount_minor, charges[0].exponent))
            assert shown == Decimal(format_money(amount, currency).split(" ")[0]), currency


async def test_wrong_credentials_are_the_accounts_fault() -> None:
    for provider in PROVIDERS:
        async with running_bench(provider) as bench:
            reference = await approved(bench)
            good = dict(bench.account.credentials)
            bench.account = type(bench.account)(
                "acc_wrong",
                "mer_test",
                provider,
                bench.account.base_url,
                credentials={**good, "api_key": Secret("sk_test_nobody")},
                settings=bench.account.settings,
            )
            outcome = await bench.authorize("att_2", reveal=card())
            assert outcome.kind is OutcomeKind.NOT_PROCESSED and outcome.account_fault
            captured = await bench.follow_up(K.CAPTURE, "cap_1", reference)
            assert captured.kind is OutcomeKind.NOT_PROCESSED and captured.account_fault
            assert not bench.charges("att_2")
