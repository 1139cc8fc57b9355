"""Adyen's simulator over HTTP: results, modifications, 3-D Secure, idempotency, webhooks."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.sandbox_rig import (
    ADYEN_ACCOUNT,
    SECOND_ADYEN,
    Received,
    Rig,
    adyen_payment,
    running_rig,
)


async def _pay(rig: Rig, reference: str = "pay_1", **more: Any) -> dict[str, Any]:
    reply = await rig.adyen("/payments", adyen_payment(reference, **more))
    assert reply.status == 200, reply.raw
    return reply.json


async def _modify(
    rig: Rig, psp: str, verb: str, value: int | None = None, **more: Any
) -> dict[str, Any]:
    body: dict[str, Any] = {"merchantAccount": ADYEN_ACCOUNT, "reference": f"{verb}_1"}
    if value is not None:
        body["amount"] = {"currency": "EUR", "value": value}
    reply = await rig.adyen(f"/payments/{psp}/{verb}", body, **more)
    assert reply.status == 201, reply.raw
    assert reply.json["status"] == "received"
    assert reply.json["paymentPspReference"] == psp
    return reply.json


async def _sums(rig: Rig, reference: str = "pay_1") -> dict[str, int]:
    position = await rig.control("GET", f"position?reference={reference}")
    found: dict[str, int] = position["by_currency"]["EUR"]
    return found


def _outcomes(received: list[Received]) -> list[tuple[str, str]]:
    return [(w.item["eventCode"], w.item["success"]) for w in received]


async def test_a_capture_is_received_and_a_webhook_finishes_it() -> None:
    async with running_rig() as rig:
        paid = await _pay(rig)
        assert paid["resultCode"] == "Authorised"
        assert paid["additionalData"]["cvcResult"] == "1 Matches"
        made = await _modify(rig, paid["pspReference"], "captures", 1000)
        received = await rig.flush()
        assert _outcomes(received) == [("AUTHORISATION", "true"), ("CAPTURE", "true")]
        capture = received[1].item
        assert capture["pspReference"] == made["pspReference"]
        assert capture["originalReference"] == paid["pspReference"]
        assert capture["merchantReference"] == "captures_1"
        assert received[0].path == "/hooks/acc_adyen_main"


async def test_a_partial_capture_releases_the_rest_where_several_are_not_enabled() -> None:
    async with running_rig() as rig:
        psp = (await _pay(rig))["pspReference"]
        await _modify(rig, psp, "captures", 400)
        await _modify(rig, psp, "captures", 100)
        assert _outcomes(await rig.flush())[1:] == [("CAPTURE", "true"), ("CAPTURE", "false")]
        sums = await _sums(rig)
        assert (sums["captured_minor"], sums["released_minor"], sums["held_minor"]) == (
            400,
            600,
            0,
        )


async def test_several_partial_captures_where_they_are_enabled() -> None:
    key, account = SECOND_ADYEN
    async with running_rig() as rig:
        body = adyen_payment(merchantAccount=account)
        psp = (await rig.adyen("/payments", body, api_key=key)).json["pspReference"]
        for value in (400, 500, 200):
            modification = {
                "merchantAccount": account,
                "amount": {"currency": "EUR", "value": value},
            }
            path = f"/payments/{psp}/captures"
            assert (await rig.adyen(path, modification, api_key=key)).status == 201
        cancel = {"merchantAccount": account}
        assert (await rig.adyen(f"/payments/{psp}/cancels", cancel, api_key=key)).status == 201
        assert _outcomes(await rig.flush())[1:] == [
            ("CAPTURE", "true"), ("CAPTURE", "true"), ("CAPTURE", "false"),
            ("CANCELLATION", "true"),
        ]  # fmt: skip
        sums = await _sums(rig)
        assert (sums["captured_minor"], sums["released_minor"]) == (900, 100)


async def test_too_much_is_received_and_then_refused_by_webhook() -> None:
    async with running_rig() as rig:
        psp = (await _pay(rig))["pspReference"]
        await _modify(rig, psp, "refunds", 100)
        await _modify(rig, psp, "captures", 1001)
        await _modify(rig, psp, "captures", 1000)
        await _modify(rig, psp, "cancels")
        await _modify(rig, psp, "refunds", 700)
        await _modify(rig, psp, "refunds", 301)
        assert _outcomes(await rig.flush())[1:] == [
            ("REFUND", "false"), ("CAPTURE", "false"), ("CAPTURE", "true"),
            ("CANCELLATION", "false"), ("REFUND", "true"), ("REFUND", "false"),
        ]  # fmt: skip
        assert (await _sums(rig))["net_captured_minor"] == 300


@pytest.mark.parametrize(("capture", "action"), [(False, "cancel"), (True, "refund")])
async def test_a_reversal_does_what_fits(capture: bool, action: str) -> None:
    async with running_rig() as rig:
        psp = (await _pay(rig))["pspReference"]
        if capture:
            await _modify(rig, psp, "captures", 1000)
        await _modify(rig, psp, "reversals")
        item = (await rig.flush())[-1].item
        assert (item["eventCode"], item["success"]) == ("CANCEL_OR_REFUND", "true")
        assert item["additionalData"]["modification.action"] == action
        sums = await _sums(rig)
        assert (sums["held_minor"], sums["net_captured_minor"]) == (0, 0)


async def test_a_cancel_by_our_reference_finds_the_payment() -> None:
    async with running_rig() as rig:
        paid = await _pay(rig, "pay_7")
        body = {"merchantAccount": ADYEN_ACCOUNT, "paymentReference": "pay_7", "reference": "c"}
        reply = await rig.adyen("/cancels", body)
        assert (reply.status, reply.json["paymentReference"]) == (201, "pay_7")
        item = (await rig.flush())[-1].item
        assert (item["eventCode"], item["success"]) == ("TECHNICAL_CANCEL", "true")
        assert item["merchantReference"] == "pay_7"
        assert item["originalReference"] == paid["pspReference"]
        assert (await _sums(rig, "pay_7"))["released_minor"] == 1000


async def test_a_cancel_of_an_unknown_reference_fails_by_webhook() -> None:
    async with running_rig() as rig:
        body = {"merchantAccount": ADYEN_ACCOUNT, "paymentReference": "pay_none"}
        assert (await rig.adyen("/cancels", body)).status == 201
        assert _outcomes(await rig.flush()) == [("TECHNICAL_CANCEL", "false")]


async def test_captures_and_refunds_can_fail_after_they_succeeded() -> None:
    async with running_rig() as rig:
        failing = await _pay(rig, holderName="capture failed")
        await _modify(rig, failing["pspReference"], "captures", 1000)
        assert _outcomes(await rig.flush())[1:] == [
            ("CAPTURE", "true"),
            ("CAPTURE_FAILED", "true"),
        ]
        assert (await _sums(rig))["net_captured_minor"] == 0
        good = await _pay(rig, "pay_2")
        capture = await _modify(rig, good["pspReference"], "captures", 1000)
        refund = await _modify(rig, good["pspReference"], "refunds", 1000)
        assert (await _sums(rig, "pay_2"))["net_captured_minor"] == 0
        body = {"psp_reference": refund["pspReference"]}
        await rig.control("POST", "adyen/fail_modification", body)
        assert (await _sums(rig, "pay_2"))["net_captured_minor"] == 1000
        assert _outcomes(await rig.flush())[-1] == ("REFUND_FAILED", "true")
        assert capture["pspReference"] != refund["pspReference"]


async def test_capture_may_be_automatic() -> None:
    async with running_rig() as rig:
        await _pay(rig, captureDelayHours=0)
        assert (await _sums(rig))["captured_minor"] == 1000
        await _pay(rig, "pay_2", captureDelayHours=0, additionalData={"manualCapture": "true"})
        assert (await _sums(rig, "pay_2"))["held_minor"] == 1000


@pytest.mark.parametrize(
    ("more", "code", "raw"),
    [
        ({"holderName": "NOT_ENOUGH_BALANCE"}, "12", "51 : Insufficient funds"),
        ({"holderName": "DECLINED : 06 : ERROR"}, "2", "06 : ERROR"),
        ({"additionalData": {"RequestedTestAcquirerResponseCode": "6"}}, "6", "54 : Expired card"),
    ],
)
async def test_refusals_have_three_layers(more: dict[str, Any], code: str, raw: str) -> None:
    async with running_rig() as rig:
        body = await _pay(rig, **more)
        assert (body["resultCode"], body["refusalReasonCode"]) == ("Refused", code)
        assert body["additionalData"]["refusalReasonRaw"] == raw
        item = (await rig.flush())[0].item
        assert (item["success"], item["reason"]) == ("false", body["refusalReason"])


@pytest.mark.parametrize(("outcome", "result"), [("approve", "Authorised"), ("fail", "Refused")])
async def test_three_d_secure_is_finished_by_details(outcome: str, result: str) -> None:
    async with running_rig() as rig:
        sent = await _pay(rig, number="5454545454545454")
        assert sent["resultCode"] == "RedirectShopper"
        assert await rig.flush() == []
        back = await rig.get_page(f"{sent['action']['url']}?outcome={outcome}")
        assert back.status == 303
        token = parse_qs(urlsplit(back.headers["Location"]).query)["redirectResult"][0]
        details = {"details": {"redirectResult": token}}
        first = (await rig.adyen("/payments/details", details)).json
        assert (first["resultCode"], first["pspReference"]) == (result, sent["pspReference"])
        assert (await rig.adyen("/payments/details", details)).json == first
        assert len(await rig.flush()) == 1
        forged = {"details": {"redirectResult": token[:-1] + "Y" + "x"}}
        assert (await rig.adyen("/payments/details", forged)).status == 422


async def test_three_d_secure_can_be_declined_by_the_request() -> None:
    async with running_rig() as rig:
        never = {"attemptAuthentication": "never"}
        body = await _pay(rig, number="5454545454545454", authenticationData=never)
        assert body["resultCode"] == "Authorised"


async def test_one_key_is_one_payment() -> None:
    async with running_rig() as rig:
        body = adyen_payment()
        first = await rig.adyen("/payments", body, Idempotency_Key="k1")
        again = await rig.adyen("/payments", body, Idempotency_Key="k1")
        assert again.raw == first.raw
        assert again.headers["Idempotency-Key"] == "k1"
        other = await rig.adyen("/payments", adyen_payment("pay_2"), Idempotency_Key="k1")
        assert other.raw == first.raw
        config = await rig.control("GET", "config")
        assert config["adyen_keys_reused_with_other_body"] == 1
        assert (await _sums(rig))["authorized_minor"] == 1000


async def test_a_key_in_use_is_a_transient_error() -> None:
    async with running_rig() as rig:
        await rig.control("PUT", "adyen/latency", {"fixed_ms": 1200})
        replies = await asyncio.gather(
            *(rig.adyen("/payments", adyen_payment(), Idempotency_Key="k1") for _ in range(3))
        )
        assert sorted(reply.status for reply in replies) == [200, 422, 422]
        busy = next(reply for reply in replies if reply.status == 422)
        assert (busy.json["errorCode"], busy.headers["Transient-Error"]) == ("704", "true")


@pytest.mark.parametrize(
    ("more", "status", "code"),
    [
        ({"reference": ""}, 422, "130"),
        ({"returnUrl": ""}, 422, "14_030"),
        ({"amount": {"currency": "EUR", "value": 0}}, 422, "137"),
        ({"amount": {"currency": "ABC", "value": 1}}, 422, "138"),
        ({"amount": {"currency": "EUR", "value": 1.5}}, 400, "702"),
        ({"number": "4111111111111112"}, 422, "101"),
        ({"cvc": "1"}, 422, "103"),
        ({"expiryYear": "30"}, 422, "129"),
        ({"merchantAccount": "Other"}, 403, "901"),
        ({"invented": 1}, 400, "702"),
    ],
)
async def test_bad_payments_are_refused(more: dict[str, Any], status: int, code: str) -> None:
    async with running_rig() as rig:
        reply = await rig.adyen("/payments", adyen_payment(**more))
        assert (reply.status, reply.json["errorCode"]) == (status, code)
        assert (await rig.control("GET", "books"))["total"] == 0


async def test_unknown_keys_versions_and_payments_are_refused() -> None:
    async with running_rig() as rig:
        assert (await rig.adyen("/payments", adyen_payment(), api_key="no")).status == 401
        url = f"{rig.sandbox.adyen_url}/v68/payments"
        async with rig.http.post(url, json={}, headers={"X-API-Key": "adyen_sandbox_main"}) as no:
            assert no.status == 404
        body = {"merchantAccount": ADYEN_ACCOUNT}
        assert (await rig.adyen("/payments/NONE/cancels", body)).status == 422
        assert (await rig.adyen("/payments/result", body)).status == 404


async def test_currencies_have_adyens_own_decimals() -> None:
    async with running_rig() as rig:
        majors = {}
        for currency in ("EUR", "JPY", "KWD", "CLP", "ISK", "IDR", "CVE"):
            await _pay(rig, currency, amount={"currency": currency, "value": 1000})
            books = await rig.control("GET", f"adyen/books?reference={currency}")
            majors[currency] = books["charges"][0]["amount_major"]
        assert majors == {
            "EUR": "10.00", "JPY": "1000", "KWD": "1.000", "CLP": "10.00", "ISK": "10.00",
            "IDR": "1000", "CVE": "1000",
        }  # fmt: skip


async def test_webhooks_carry_a_signature_of_their_fields() -> None:
    async with running_rig() as rig:
        psp = (await _pay(rig))["pspReference"]
        await _modify(rig, psp, "captures", 1000)
        for webhook in await rig.flush():
            item = webhook.item
            text = ":".join(
                [
                    item["pspReference"], item.get("originalReference", ""), ADYEN_ACCOUNT,
                    item["merchantReference"], "1000", "EUR", item["eventCode"], item["success"],
                ]
            )  # fmt: skip
            digest = hmac.new(b"\xa1" * 32, text.encode(), hashlib.sha256).digest()
            assert item["additionalData"]["hmacSignature"] == base64.b64encode(digest).decode()


async def test_holds_expire_when_time_passes() -> None:
    async with running_rig() as rig:
        psp = (await _pay(rig))["pspReference"]
        moved = await rig.control("POST", "clock", {"advance_s": 29 * 86_400})
        assert moved["expired"] == 1
        await _modify(rig, psp, "captures", 1000)
        assert _outcomes(await rig.flush())[1:] == [("EXPIRE", "true"), ("CAPTURE", "false")]
        assert (await _sums(rig))["released_minor"] == 1000
