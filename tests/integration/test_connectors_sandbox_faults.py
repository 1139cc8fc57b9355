"""What connectors say while a provider is ill, beside what the provider's own books say.

The one thing that must never happen: a result that the books contradict.
"""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.connectors_bench import (
    PROVIDERS,
    Bench,
    asked_of,
    impatient,
    running_bench,
)
from tests.unit.connectors_rig import HeldCard
from turnout.connectors import exchange
from turnout.domain.accounts import Secret
from turnout.domain.cards import CardDetails
from turnout.domain.operation import OperationKind
from turnout.domain.outcomes import Outcome, OutcomeKind
from turnout.domain.payment import CaptureMethod
from turnout.ports import WebhookRejected
from turnout.sandbox.faults import AFTER, Latency

K = OperationKind
FINAL = {OutcomeKind.SUCCEEDED, OutcomeKind.DECLINED}
# Faults that leave no answer at all, after which the same request goes out once more under its
# key; the simulators answer that from their memory, unspoiled.
SILENT = {
    "timeout_after",
    "reset_after",
    "close_after",
    "reset_mid_answer",
    "slow_drip",
    "gzip_bomb",
    "huge_body",
}
PAYMENT_PATHS = ("/v1/payment_intents", "/payments")
# Faults that leave a whole and readable answer, which only lies.
LIES = {"mismatch_amount", "mismatch_currency"}


@pytest.fixture
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never enough time left for a second copy."""
    monkeypatch.setattr(exchange, "RESEND_MIN_MS", 1 << 40)


async def pay(bench: Bench, operation_id: str = "att_1") -> Outcome:
    return await bench.authorize(
        operation_id, reveal=HeldCard(CardDetails("4242424242424242", 3, 2030, "737"))
    )


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("fault", sorted(AFTER))
async def test_a_charge_with_a_spoiled_answer_is_never_called_declined(
    once: None, provider: str, fault: str
) -> None:
    async with running_bench(provider) as bench:
        bench.account = impatient(bench.account)
        bench.fault(fault, operation="authorize")
        outcome = await pay(bench)
        assert bench.charge("att_1").authorized_minor == 1234
        if fault in LIES:
            # What it says stands in the outcome, where it can be compared with what was asked.
            assert outcome.kind is OutcomeKind.SUCCEEDED
            assert (outcome.amount_minor, outcome.currency) != (1234, "EUR")
            return
        assert outcome.kind is OutcomeKind.UNKNOWN, (fault, outcome)
        assert outcome.reason
        bench.heal()
        if provider == "stripe":
            asked = asked_of(K.AUTHORIZE, "att_1", provider_state=outcome.provider_state)
            found = await bench.inquire(asked, settled=False)
            assert found.kind is OutcomeKind.SUCCEEDED, (fault, found)
            assert found.amount_minor == 1234
        assert len(bench.charges("att_1")) == 1


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("fault", sorted(SILENT))
async def test_one_lost_answer_is_asked_for_again_under_the_same_key(
    provider: str, fault: str
) -> None:
    async with running_bench(provider) as bench:
        bench.account = impatient(bench.account)
        bench.fault(fault, operation="authorize")
        outcome = await pay(bench)
        assert outcome.kind is OutcomeKind.SUCCEEDED, (fault, outcome)
        charge = bench.charge("att_1")
        assert charge.authorized_minor == 1234
        paths = [seen.path for seen in bench.rig.sandbox.faces[provider].log]
        assert [path for path in paths if path.endswith(PAYMENT_PATHS)] == [paths[-1]] * 2


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_it_is_asked_for_again_once_and_only_in_time(
    provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_bench(provider) as bench:
        bench.account = impatient(bench.account)
        bench.fault("close_before", operation="authorize")
        assert (await pay(bench)).kind is OutcomeKind.UNKNOWN
        log = bench.rig.sandbox.faces[provider].log
        assert sum(seen.path.endswith(PAYMENT_PATHS) for seen in log) == 2
        log.clear()
        monkeypatch.setattr(exchange, "RESEND_MIN_MS", 1 << 40)
        assert (await pay(bench, "att_2")).kind is OutcomeKind.UNKNOWN
        assert sum(seen.path.endswith(PAYMENT_PATHS) for seen in log) == 1


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("fault", ["timeout_before", "reset_before", "close_before"])
async def test_a_request_that_was_lost_on_the_way_is_unknown_until_somebody_looks(
    provider: str, fault: str
) -> None:
    async with running_bench(provider) as bench:
        bench.account = impatient(bench.account)
        bench.fault(fault, operation="authorize")
        outcome = await pay(bench)
        assert outcome.kind is OutcomeKind.UNKNOWN
        assert not bench.charges("att_1")
        bench.heal()
        if provider == "stripe":
            # Without what the process remembered, as after a crash: nothing is sent, only asked.
            asked = asked_of(K.AUTHORIZE, "att_1")
            early = await bench.inquire(asked, settled=False)
            assert early.kind is OutcomeKind.UNKNOWN
            late = await bench.inquire(asked, settled=True)
            assert (late.kind, late.reason) == (OutcomeKind.NOT_PROCESSED, "not_found")
            assert not bench.charges("att_1")
            # With it, the same request goes out under the same key.
            asked = asked_of(K.AUTHORIZE, "att_1", provider_state=outcome.provider_state)
            found = await bench.inquire(asked, settled=True)
            assert found.kind is OutcomeKind.SUCCEEDED
            assert bench.charge("att_1").authorized_minor == 1234


async def test_stripes_charge_is_found_by_our_mark_after_a_crash(once: None) -> None:
    async with running_bench("stripe", stripe_search_lag_s=30.0) as bench:
        bench.account = impatient(bench.account)
        bench.fault("timeout_after", operation="authorize")
        await pay(bench)
        bench.heal()
        for number in range(230):
            await pay(bench, f"att_other_{number}")
        asked = asked_of(K.AUTHORIZE, "att_1")
        # The search index lags behind, so the list must tell, three pages down.
        early = await bench.inquire(asked, settled=False)
        assert (early.kind, early.reason) == (OutcomeKind.UNKNOWN, "not_found_yet")
        found = await bench.inquire(asked, settled=True)
        assert (found.kind, found.amount_minor) == (OutcomeKind.SUCCEEDED, 1234)
        # Once the index has caught up, it tells at once.
        await bench.rig.control("POST", "clock", {"advance_s": 60})
        early = await bench.inquire(asked, settled=False)
        assert early.kind is OutcomeKind.SUCCEEDED
        assert len(bench.charges("att_1")) == 1


async def test_nothing_at_stripe_is_unknown_where_no_money_can_move(once: None) -> None:
    for fault in sorted(AFTER - {"mismatch_amount", "mismatch_currency", "mismatch_reference"}):
        async with running_bench("stripe") as bench:
            bench.account = impatient(bench.account)
            bench.fault(fault, operation="tokenize")
            outcome = await pay(bench)
            assert outcome.kind is OutcomeKind.NOT_PROCESSED, (fault, outcome)
            assert outcome.reason.startswith("payment_method_"), outcome
            assert not bench.charges("att_1")


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_rate_limit_is_not_processed_and_says_how_long(provider: str) -> None:
    async with running_bench(provider) as bench:
        bench.fault("rate_limit", operation="authorize", retry_after_s=7.0)
        outcome = await pay(bench)
        assert outcome.kind is OutcomeKind.NOT_PROCESSED and outcome.retry_after_ms == 7_000
        assert not bench.charges("att_1")


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_servers_error_is_unknown(provider: str, status: int) -> None:
    async with running_bench(provider) as bench:
        bench.fault("status", operation="authorize", status=status)
        outcome = await pay(bench)
        assert (outcome.kind, outcome.reason) == (OutcomeKind.UNKNOWN, f"http_{status}")


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_outages(provider: str) -> None:
    async with running_bench(provider) as bench:
        bench.account = impatient(bench.account)
        await pay(bench, "att_0")
        wanted = {
            "refuse": OutcomeKind.NOT_PROCESSED,
            "close": OutcomeKind.UNKNOWN,
            "reset": OutcomeKind.UNKNOWN,
            "status": OutcomeKind.UNKNOWN,
        }
        for mode, kind in wanted.items():
            await bench.rig.sandbox.set_outage(bench.provider, mode)
            outcome = await pay(bench, f"att_{mode}")
            if provider == "stripe" and kind is OutcomeKind.UNKNOWN:
                # It fails in the first step already, where no money moves.
                kind = OutcomeKind.NOT_PROCESSED
            # A kept-alive connection may still have been there when the port closed.
            assert outcome.kind is kind or (mode, outcome.kind) == ("refuse", OutcomeKind.UNKNOWN)
            await bench.rig.sandbox.set_outage(bench.provider, "none")
            assert not bench.charges(f"att_{mode}")
        assert (await pay(bench, "att_9")).kind is OutcomeKind.SUCCEEDED


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("fault", sorted(AFTER - LIES))
@pytest.mark.parametrize("kind", [K.CAPTURE, K.CANCEL, K.REFUND])
async def test_follow_ups_with_a_spoiled_answer_are_unknown_and_repeatable(
    once: None, provider: str, fault: str, kind: OperationKind
) -> None:
    async with running_bench(provider) as bench:
        automatic = kind is K.REFUND
        paid = await bench.authorize(
            "att_1",
            capture_method=CaptureMethod.AUTOMATIC if automatic else CaptureMethod.MANUAL,
            reveal=HeldCard(CardDetails("4242424242424242", 3, 2030, "737")),
        )
        bench.account = impatient(bench.account)
        bench.fault(fault, operation=kind.value)
        outcome = await bench.follow_up(kind, f"{kind.value}_1", paid.provider_reference)
        # A capture or cancel at Stripe carries no reference of ours but the PaymentIntent's id.
        assert outcome.kind is OutcomeKind.UNKNOWN, (fault, outcome)
        bench.heal()
        again = await bench.follow_up(kind, f"{kind.value}_1", paid.provider_reference)
        done = OutcomeKind.SUCCEEDED if provider == "stripe" else OutcomeKind.PENDING
        assert again.kind is done, (fault, again)
        charge = bench.charge("att_1")
        moved = {
            K.CAPTURE: charge.captured_minor,
            K.CANCEL: charge.released_minor,
            K.REFUND: charge.refunded_minor,
        }
        assert moved[kind] == 1234
        if provider == "stripe":
            authorization = asked_of(
                K.AUTHORIZE, "att_1", provider_reference=paid.provider_reference
            )
            asked = asked_of(kind, f"{kind.value}_1")
            found = await bench.inquire(asked, authorization, settled=False)
            assert found.kind is OutcomeKind.SUCCEEDED, (fault, found)


@pytest.mark.parametrize("kind", [K.CAPTURE, K.CANCEL, K.REFUND])
async def test_follow_ups_at_stripe_that_were_lost_on_the_way_are_not_found(
    kind: OperationKind,
) -> None:
    async with running_bench("stripe") as bench:
        bench.account = impatient(bench.account)
        capture = CaptureMethod.AUTOMATIC if kind is K.REFUND else CaptureMethod.MANUAL
        paid = await bench.authorize("att_1", capture_method=capture)
        bench.fault("close_before", operation=kind.value)
        outcome = await bench.follow_up(kind, f"{kind.value}_1", paid.provider_reference)
        assert outcome.kind is OutcomeKind.UNKNOWN
        bench.heal()
        authorization = asked_of(K.AUTHORIZE, "att_1", provider_reference=paid.provider_reference)
        asked = asked_of(kind, f"{kind.value}_1")
        early = await bench.inquire(asked, authorization, settled=False)
        late = await bench.inquire(asked, authorization, settled=True)
        assert (early.kind, late.kind) == (OutcomeKind.UNKNOWN, OutcomeKind.NOT_PROCESSED)


@pytest.mark.parametrize("exists", [True, False])
async def test_adyens_unknown_authorization_is_taken_back_by_our_reference(
    once: None, exists: bool
) -> None:
    async with running_bench("adyen") as bench:
        bench.account = impatient(bench.account)
        bench.fault("timeout_after" if exists else "timeout_before", operation="authorize")
        outcome = await pay(bench)
        assert outcome.kind is OutcomeKind.UNKNOWN
        bench.heal()
        assert (await bench.inquire(asked_of(K.AUTHORIZE, "att_1"), settled=True)).kind is (
            OutcomeKind.UNKNOWN
        )
        canceled = await bench.follow_up(K.CANCEL, "can_1", "", authorization_id="att_1")
        assert canceled.kind is OutcomeKind.PENDING and canceled.provider_reference
        (event,) = [one for one in await bench.webhooks() if one.kind is K.CANCEL]
        assert event.operation_reference == "att_1"
        assert event.outcome.provider_reference == canceled.provider_reference
        if exists:
            assert event.outcome.kind is OutcomeKind.SUCCEEDED
            assert bench.charge("att_1").held_minor == 0
            assert event.payment_reference == bench.charge("att_1").payment_id
        else:
            assert event.outcome.kind is OutcomeKind.DECLINED
            assert event.outcome.reason == "authorization_not_found"


async def test_adyens_webhook_tells_what_an_answer_could_not(once: None) -> None:
    async with running_bench("adyen") as bench:
        bench.account = impatient(bench.account)
        bench.fault("timeout_after", operation="authorize")
        assert (await pay(bench)).kind is OutcomeKind.UNKNOWN
        (event,) = await bench.webhooks()
        assert (event.kind, event.outcome.kind) == (K.AUTHORIZE, OutcomeKind.SUCCEEDED)
        assert event.operation_reference == "att_1"
        assert event.outcome.provider_reference == bench.charge("att_1").payment_id


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_two_calls_at_once_under_one_key_charge_once(provider: str) -> None:
    async with running_bench(provider) as bench:
        slow = Latency(100.0, 100.0)
        bench.rig.sandbox.faults.set_latency(provider, "authorize", slow)
        first, second = await asyncio.gather(pay(bench), pay(bench))
        kinds = {first.kind, second.kind}
        assert OutcomeKind.DECLINED not in kinds and OutcomeKind.NOT_PROCESSED not in kinds
        assert OutcomeKind.SUCCEEDED in kinds
        assert len(bench.charges("att_1")) == 1


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_webhooks_of_others_are_refused(provider: str) -> None:
    async with running_bench(provider) as bench:
        await pay(bench)
        (first, *_) = await bench.rig.flush()
        headers = {name.lower(): value for name, value in first.headers.items()}
        now_ns = 1_768_435_200 * 1_000_000_000
        read = bench.connector.read_webhook
        assert read(bench.account, headers, first.raw, now_ns).events
        once, twice = (read(bench.account, headers, first.raw, now_ns) for _ in range(2))
        assert once.events[0].event_id == twice.events[0].event_id
        stranger = type(bench.account)(
            "acc_other",
            "mer_other",
            provider,
            bench.account.base_url,
            settings=bench.account.settings,
            webhook_secrets=(Secret("ab" * 32),),
        )
        with pytest.raises(WebhookRejected) as raised:
            read(stranger, headers, first.raw, now_ns)
        assert raised.value.reason == "signature_wrong"
        changed = first.raw.replace(b"1234", b"1235")
        assert changed != first.raw
        with pytest.raises(WebhookRejected) as raised:
            read(bench.account, headers, changed, now_ns)
        assert raised.value.reason == "signature_wrong"
        if provider == "stripe":
            for late_s in (-301, 301):
                with pytest.raises(WebhookRejected) as raised:
                    read(bench.account, headers, first.raw, now_ns + late_s * 1_000_000_000)
                assert raised.value.reason == "stale"
