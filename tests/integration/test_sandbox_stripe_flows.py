"""Stripe's simulator over HTTP: money, idempotency, 3-D Secure, lists, refunds, expiry."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.sandbox_rig import START_S, Rig, running_rig


async def _position(rig: Rig, reference: str = "pay_1") -> dict[str, Any]:
    return await rig.control("GET", f"position?reference={reference}")


async def test_a_hold_is_captured_in_part_and_the_rest_released() -> None:
    async with running_rig() as rig:
        intent = (await rig.pay()).json
        assert intent["status"] == "requires_capture"
        assert intent["amount_capturable"] == 1000
        path = f"/v1/payment_intents/{intent['id']}"
        captured = (await rig.stripe("POST", f"{path}/capture", {"amount_to_capture": 600})).json
        assert (captured["status"], captured["amount_received"]) == ("succeeded", 600)
        assert captured["amount_capturable"] == 0
        again = await rig.stripe("POST", f"{path}/capture", {"amount_to_capture": 400})
        assert again.json["error"]["code"] == "payment_intent_unexpected_state"
        charge = (await rig.stripe("GET", f"/v1/charges/{captured['latest_charge']}")).json
        assert (charge["amount_captured"], charge["amount_refunded"]) == (600, 400)
        assert not charge["refunded"]
        sums = (await _position(rig))["by_currency"]["EUR"]
        assert sums == {
            "authorized_minor": 1000, "held_minor": 0, "captured_minor": 600,
            "released_minor": 400, "refunded_minor": 0, "net_captured_minor": 600,
        }  # fmt: skip


async def test_more_than_the_hold_is_not_captured_and_more_than_captured_not_refunded() -> None:
    async with running_rig() as rig:
        intent = (await rig.pay()).json
        path = f"/v1/payment_intents/{intent['id']}/capture"
        assert (await rig.stripe("POST", path, {"amount_to_capture": 1001})).status == 400
        early = await rig.stripe("POST", "/v1/refunds", {"payment_intent": intent["id"]})
        assert early.status == 400
        assert (await rig.stripe("POST", path, {"amount_to_capture": 700})).status == 200
        for amount, status in ((300, 200), (401, 400), (400, 200), (1, 400)):
            form = {"payment_intent": intent["id"], "amount": amount}
            assert (await rig.stripe("POST", "/v1/refunds", form)).status == status
        assert (await _position(rig))["by_currency"]["EUR"]["net_captured_minor"] == 0
        assert (await rig.control("GET", "summary"))["balanced"]


async def test_cancel_releases_and_shows_a_refund_that_is_none() -> None:
    async with running_rig() as rig:
        intent = (await rig.pay()).json
        path = f"/v1/payment_intents/{intent['id']}/cancel"
        canceled = (await rig.stripe("POST", path, {"cancellation_reason": "duplicate"})).json
        assert (canceled["status"], canceled["cancellation_reason"]) == ("canceled", "duplicate")
        refunds = (await rig.stripe("GET", f"/v1/refunds?payment_intent={intent['id']}")).json
        assert [refund["amount"] for refund in refunds["data"]] == [1000]
        assert (await rig.stripe("POST", path, {})).status == 400
        position = (await _position(rig))["by_currency"]["EUR"]
        assert (position["released_minor"], position["refunded_minor"]) == (1000, 0)


async def test_one_key_is_one_charge_and_one_answer() -> None:
    async with running_rig() as rig:
        method = await rig.card()
        first = await rig.pay(payment_method=method, Idempotency_Key="k1")
        again = await rig.pay(payment_method=method, Idempotency_Key="k1")
        assert again.raw == first.raw
        assert again.headers["Idempotent-Replayed"] == "true"
        assert "Idempotent-Replayed" not in first.headers
        other = await rig.pay(payment_method=method, amount=2000, Idempotency_Key="k1")
        assert (other.status, other.json["error"]["type"]) == (400, "idempotency_error")
        elsewhere = await rig.stripe("POST", "/v1/refunds", {}, Idempotency_Key="k1")
        assert elsewhere.json["error"]["type"] == "idempotency_error"
        assert (await _position(rig))["authorized"] == 1


async def test_a_decline_replays_and_a_bad_parameter_does_not_take_the_key() -> None:
    async with running_rig() as rig:
        bad = await rig.stripe(
            "POST", "/v1/payment_intents", {"amount": "x"}, Idempotency_Key="k1"
        )
        assert bad.status == 400
        method = await rig.card("4000000000000002")
        first = await rig.pay(payment_method=method, Idempotency_Key="k1")
        again = await rig.pay(payment_method=method, Idempotency_Key="k1")
        assert (first.status, again.status) == (402, 402)
        assert again.raw == first.raw
        assert (await _position(rig))["declined"] == 1


async def test_a_key_in_use_is_a_conflict() -> None:
    async with running_rig() as rig:
        method = await rig.card()
        await rig.control("PUT", "stripe/latency", {"operation": "authorize", "fixed_ms": 1200})
        replies = await asyncio.gather(
            *(rig.pay(payment_method=method, Idempotency_Key="k1") for _ in range(5))
        )
        assert sorted(reply.status for reply in replies) == [200, 409, 409, 409, 409]
        conflict = next(reply for reply in replies if reply.status == 409)
        assert conflict.json["error"]["code"] == "idempotency_key_in_use"
        assert (await _position(rig))["authorized"] == 1


async def test_keys_expire_after_a_day() -> None:
    async with running_rig() as rig:
        method = await rig.card()
        await rig.pay(payment_method=method, Idempotency_Key="k1")
        await rig.control("POST", "clock", {"advance_s": 86_401})
        await rig.pay(payment_method=method, Idempotency_Key="k1")
        assert (await _position(rig))["authorized"] == 2
        summary = await rig.control("GET", "summary")
        assert summary["charged_more_than_once"] == []


async def test_two_charges_under_one_reference_are_told() -> None:
    async with running_rig() as rig:
        for _ in range(2):
            await rig.pay(capture_method="automatic")
        summary = await rig.control("GET", "stripe/summary")
        assert summary["charged_more_than_once"] == ["pay_1"]
        assert (await _position(rig))["charged"] == 2


@pytest.mark.parametrize(
    ("outcome", "status", "redirect"),
    [("approve", "requires_capture", "succeeded"), ("fail", "requires_payment_method", "failed")],
)
async def test_three_d_secure_sends_the_payer_there_and_back(
    outcome: str, status: str, redirect: str
) -> None:
    async with running_rig() as rig:
        intent = (await rig.pay("4000000000003220", return_url="https://shop.example/r?a=1")).json
        assert intent["status"] == "requires_action"
        url = intent["next_action"]["redirect_to_url"]["url"]
        assert b"Approve" in (await rig.get_page(url)).raw
        back = await rig.get_page(f"{url}?outcome={outcome}")
        assert back.status == 303
        query = parse_qs(urlsplit(back.headers["Location"]).query)
        assert (query["a"], query["redirect_status"]) == (["1"], [redirect])
        assert query["payment_intent"] == [intent["id"]]
        now = (await rig.stripe("GET", f"/v1/payment_intents/{intent['id']}")).json
        assert now["status"] == status
        assert (await _position(rig))["authorized"] == (outcome == "approve")


async def test_an_authenticated_card_may_still_be_declined() -> None:
    async with running_rig() as rig:
        intent = (await rig.pay("4000008400001629", return_url="https://shop.example/r")).json
        url = intent["next_action"]["redirect_to_url"]["url"]
        await rig.get_page(f"{url}?outcome=approve")
        now = (await rig.stripe("GET", f"/v1/payment_intents/{intent['id']}")).json
        assert now["status"] == "requires_payment_method"
        assert now["last_payment_error"]["decline_code"] == "generic_decline"


async def test_off_session_cannot_authenticate() -> None:
    async with running_rig() as rig:
        reply = await rig.pay("4000002760003184", off_session="true")
        assert (reply.status, reply.json["error"]["code"]) == (402, "authentication_required")


@pytest.mark.parametrize(
    ("form", "param"),
    [
        ({"amount": 1000, "currency": "kwd"}, None),
        ({"amount": 1001, "currency": "kwd"}, "amount"),
        ({"amount": 50, "currency": "jpy"}, None),
        ({"amount": 49, "currency": "jpy"}, "amount"),
        ({"amount": 500, "currency": "isk"}, None),
        ({"amount": 550, "currency": "isk"}, "amount"),
        ({"amount": 100_000_000, "currency": "eur"}, "amount"),
        ({"amount": 1000, "currency": "xxx"}, "currency"),
        ({"amount": "12.5", "currency": "eur"}, "amount"),
        ({"amount": 1000, "currency": "eur", "capture_now": "true"}, "capture_now"),
        (
            {"amount": 1000, "currency": "eur", "payment_method_data[type]": "card"},
            "payment_method_data",
        ),
    ],
)
async def test_amounts_currencies_and_names_are_checked(
    form: dict[str, Any], param: str | None
) -> None:
    async with running_rig() as rig:
        reply = await rig.stripe("POST", "/v1/payment_intents", form)
        assert reply.status == (200 if param is None else 400), reply.raw
        if param is not None:
            assert reply.json["error"]["param"] == param


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"card[number]": "4242424242424241"}, "incorrect_number"),
        ({"card[number]": "42"}, "invalid_number"),
        ({"card[exp_year]": 2025}, "invalid_expiry_year"),
        ({"card[exp_month]": 13}, "invalid_expiry_month"),
        ({"card[cvc]": "12"}, "invalid_cvc"),
    ],
)
async def test_broken_cards_are_refused(change: dict[str, Any], code: str) -> None:
    async with running_rig() as rig:
        form = {
            "type": "card", "card[number]": "4242424242424242", "card[exp_month]": 1,
            "card[exp_year]": 2026, "card[cvc]": "123", **change,
        }  # fmt: skip
        reply = await rig.stripe("POST", "/v1/payment_methods", form)
        assert (reply.status, reply.json["error"]["code"]) == (402, code)


async def test_lists_have_cursors_and_windows() -> None:
    async with running_rig() as rig:
        ids: list[str] = []
        for _ in range(5):
            ids.insert(0, (await rig.pay()).json["id"])
            await rig.control("POST", "clock", {"advance_s": 10})
        path = "/v1/payment_intents?limit=2"
        first = (await rig.stripe("GET", path)).json
        assert [i["id"] for i in first["data"]] == ids[:2]
        assert first["has_more"]
        second = (await rig.stripe("GET", f"{path}&starting_after={ids[1]}")).json
        assert [i["id"] for i in second["data"]] == ids[2:4]
        last = (await rig.stripe("GET", f"{path}&starting_after={ids[3]}")).json
        assert ([i["id"] for i in last["data"]], last["has_more"]) == ([ids[4]], False)
        before = (await rig.stripe("GET", f"{path}&ending_before={ids[3]}")).json
        assert [i["id"] for i in before["data"]] == ids[1:3]
        window = f"?created[gte]={int(START_S) + 10}&created[lt]={int(START_S) + 30}"
        inside = (await rig.stripe("GET", f"/v1/payment_intents{window}")).json
        assert [i["id"] for i in inside["data"]] == ids[2:4]
        assert (await rig.stripe("GET", f"{path}&starting_after=pi_none")).status == 404


async def test_search_lags_behind() -> None:
    async with running_rig() as rig:
        intent = (await rig.pay(**{"metadata[turnout_operation]": "op_9"})).json
        path = "/v1/payment_intents/search?query=metadata['turnout_operation']:'op_9'"
        assert (await rig.stripe("GET", path)).json["data"] == []
        await rig.control("POST", "clock", {"advance_s": 6})
        found = (await rig.stripe("GET", path)).json["data"]
        assert [i["id"] for i in found] == [intent["id"]]
        both = f"{path} AND status:'requires_capture' AND amount>999"
        assert len((await rig.stripe("GET", both)).json["data"]) == 1
        assert (await rig.stripe("GET", f"{path} AND amount>1000")).json["data"] == []
        assert (await rig.stripe("GET", f"{path} OR amount>1")).status == 400


async def test_unknown_paths_keys_and_versions_are_refused() -> None:
    async with running_rig() as rig:
        assert (await rig.stripe("GET", "/v1/payment_intents", api_key="sk_no")).status == 401
        assert (await rig.stripe("POST", "/v1/payment_intents/pi_1/captures", {})).status == 404
        assert (await rig.stripe("GET", "/v1/customers")).status == 404
        assert (await rig.stripe("GET", "/_control/health")).status == 404
        wrong = await rig.stripe("GET", "/v1/payment_intents", Stripe_Version="2020-08-27")
        assert wrong.status == 400


async def test_accounts_do_not_see_each_other() -> None:
    async with running_rig() as rig:
        intent = (await rig.pay()).json
        path = f"/v1/payment_intents/{intent['id']}"
        assert (await rig.stripe("GET", path, api_key="sk_test_sandbox_second")).status == 404
        method = await rig.card()
        form = {"amount": 1000, "currency": "eur", "payment_method": method}
        other = await rig.stripe(
            "POST", "/v1/payment_intents", form, api_key="sk_test_sandbox_second"
        )
        assert other.status == 404


async def test_holds_expire_when_time_passes() -> None:
    async with running_rig() as rig:
        intent = (await rig.pay()).json
        early = await rig.control("POST", "clock", {"advance_s": 6 * 86_400})
        assert early["expired"] == 0
        late = await rig.control("POST", "clock", {"advance_s": 2 * 86_400})
        assert late["expired"] == 1
        path = f"/v1/payment_intents/{intent['id']}"
        now = (await rig.stripe("GET", path)).json
        assert (now["status"], now["cancellation_reason"]) == ("canceled", "automatic")
        assert (await rig.stripe("POST", f"{path}/capture", {})).status == 400
        assert (await _position(rig))["by_currency"]["EUR"]["released_minor"] == 1000


async def test_a_refund_that_fails_later_gives_the_money_back_to_the_merchant() -> None:
    async with running_rig() as rig:
        intent = (await rig.pay("4000000000005126", capture_method="automatic")).json
        made = await rig.stripe("POST", "/v1/refunds", {"payment_intent": intent["id"]})
        assert made.json["status"] == "succeeded"
        later = (await rig.stripe("GET", f"/v1/refunds/{made.json['id']}")).json
        assert (later["status"], later["failure_reason"]) == ("failed", "expired_or_canceled_card")
        assert (await _position(rig))["by_currency"]["EUR"]["net_captured_minor"] == 1000


async def test_webhooks_are_signed_over_the_raw_bytes() -> None:
    async with running_rig() as rig:
        await rig.pay()
        received = await rig.flush()
        types = [webhook.json["type"] for webhook in received]
        assert types == ["charge.succeeded", "payment_intent.amount_capturable_updated"]
        for webhook in received:
            assert webhook.path == "/hooks/acc_stripe_main"
            parts = dict(p.split("=", 1) for p in webhook.headers["Stripe-Signature"].split(","))
            signed = parts["t"].encode() + b"." + webhook.raw
            expected = hmac.new(b"whsec_sandbox_main", signed, hashlib.sha256).hexdigest()
            assert (parts["t"], parts["v1"]) == (str(int(START_S)), expected)


async def test_expansion_gives_the_charge_with_its_checks() -> None:
    async with running_rig() as rig:
        reply = await rig.pay(**{"expand[]": "latest_charge"})
        card = reply.json["latest_charge"]["payment_method_details"]["card"]
        assert (card["checks"]["cvc_check"], card["last4"]) == ("pass", "4242")
        assert (await rig.pay(**{"expand[]": "customer"})).status == 400
