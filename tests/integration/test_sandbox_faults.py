"""Faults over real sockets: what the caller sees, and what the provider's books say happened."""

from __future__ import annotations

import asyncio
import zlib
from typing import Any

import aiohttp
import pytest

from tests.sandbox_rig import ADYEN_ACCOUNT, Reply, Rig, adyen_payment, running_rig


async def _authorized(rig: Rig) -> int:
    return int((await rig.control("GET", "position?reference=pay_1"))["authorized"])


async def _fault(rig: Rig, kind: str, **more: Any) -> None:
    rule = {"kind": kind, "operation": "authorize", "count": 1, **more}
    await rig.control("POST", "faults", rule)


async def _pay(rig: Rig, provider: str) -> Reply:
    if provider == "stripe":
        return await rig.pay()
    return await rig.adyen("/payments", adyen_payment())


@pytest.mark.parametrize("provider", ["stripe", "adyen"])
@pytest.mark.parametrize(
    ("kind", "booked"),
    [
        ("reset_before", 0), ("close_before", 0), ("timeout_before", 0),
        ("reset_after", 1), ("close_after", 1), ("timeout_after", 1), ("reset_mid_answer", 1),
    ],
)  # fmt: skip
async def test_a_broken_connection_says_nothing_of_the_books(
    provider: str, kind: str, booked: int
) -> None:
    async with running_rig() as rig:
        await _fault(rig, kind, hang_s=0.1)
        with pytest.raises(aiohttp.ClientError):
            await _pay(rig, provider)
        assert await _authorized(rig) == booked
        assert (await _pay(rig, provider)).status == 200
        assert await _authorized(rig) == booked + 1


@pytest.mark.parametrize("provider", ["stripe", "adyen"])
@pytest.mark.parametrize(
    ("kind", "status", "booked"),
    [
        ("status", 500, 0), ("status", 503, 0), ("status_after", 500, 1), ("rate_limit", 429, 0),
        ("html_200", 200, 1), ("html_502", 502, 1), ("empty", 200, 1), ("garbage", 200, 1),
        ("truncated_json", 200, 1), ("wrong_charset", 200, 1),
    ],
)  # fmt: skip
async def test_a_bad_answer_says_nothing_of_the_books(
    provider: str, kind: str, status: int, booked: int
) -> None:
    async with running_rig() as rig:
        await _fault(rig, kind, status=status, retry_after_s=3)
        reply = await _pay(rig, provider)
        assert reply.status == status
        assert await _authorized(rig) == booked
        if kind == "rate_limit":
            assert reply.headers["Retry-After"] == "3"
        if kind in ("html_200", "empty", "garbage", "truncated_json", "wrong_charset"):
            with pytest.raises(ValueError, match=r".*"):
                _ = reply.json


async def test_an_answer_lost_after_booking_is_replayed_under_its_key() -> None:
    async with running_rig() as rig:
        method = await rig.card()
        await _fault(rig, "timeout_after", hang_s=0.1)
        with pytest.raises(aiohttp.ClientError):
            await rig.pay(payment_method=method, Idempotency_Key="k1")
        again = await rig.pay(payment_method=method, Idempotency_Key="k1")
        assert again.headers["Idempotent-Replayed"] == "true"
        assert await _authorized(rig) == 1


async def test_a_request_refused_before_booking_leaves_its_key_free() -> None:
    async with running_rig() as rig:
        method = await rig.card()
        await _fault(rig, "status", status=503)
        assert (await rig.pay(payment_method=method, Idempotency_Key="k1")).status == 503
        again = await rig.pay(payment_method=method, Idempotency_Key="k1")
        assert (again.status, "Idempotent-Replayed" in again.headers) == (200, False)


async def test_a_caller_that_gives_up_is_booked_all_the_same() -> None:
    async with running_rig() as rig:
        await rig.control("PUT", "adyen/latency", {"fixed_ms": 300})
        with pytest.raises(asyncio.TimeoutError):
            async with rig.http.post(
                f"{rig.sandbox.adyen_url}/v71/payments",
                json=adyen_payment(),
                headers={"X-API-Key": "adyen_sandbox_main"},
                timeout=aiohttp.ClientTimeout(total=0.05),
            ):
                pass
        await rig.control("PUT", "adyen/latency", {})
        async with asyncio.timeout(5):
            while await _authorized(rig) == 0:
                await rig.control("GET", "health")


@pytest.mark.parametrize("provider", ["stripe", "adyen"])
async def test_mismatches_falsify_one_thing(provider: str) -> None:
    async with running_rig() as rig:
        true = (await _pay(rig, provider)).json
        await _fault(rig, "mismatch_amount", delta_minor=-1)
        await _fault(rig, "mismatch_currency")
        await _fault(rig, "mismatch_reference")
        amount, currency, reference = [(await _pay(rig, provider)).json for _ in range(3)]
        if provider == "stripe":
            assert (amount["amount"], amount["amount_capturable"]) == (999, 999)
            assert (currency["currency"], currency["amount"]) == ("usd", 1000)
            assert reference["metadata"] != true["metadata"]
        else:
            assert amount["amount"] == {"currency": "EUR", "value": 999}
            assert currency["amount"] == {"currency": "USD", "value": 1000}
            assert reference["merchantReference"] == "other-pay_1"
        books = (await rig.control("GET", f"{provider}/books"))["charges"]
        assert {(c["amount_minor"], c["currency"], c["reference"]) for c in books} == {
            (1000, "EUR", "pay_1")
        }


async def test_a_body_can_be_huge() -> None:
    async with running_rig() as rig:
        await _fault(rig, "huge_body", size_bytes=3_000_000)
        reply = await _pay(rig, "adyen")
        assert len(reply.raw) > 2_900_000
        assert reply.json["resultCode"] == "Authorised"


async def test_a_body_can_be_a_bomb() -> None:
    async with running_rig() as rig:
        await _fault(rig, "gzip_bomb", size_bytes=8 * 1_048_576)
        url = f"{rig.sandbox.adyen_url}/v71/payments"
        async with (
            aiohttp.ClientSession(auto_decompress=False) as http,
            http.post(
                url, json=adyen_payment(), headers={"X-API-Key": "adyen_sandbox_main"}
            ) as answer,
        ):
            assert answer.headers["Content-Encoding"] == "gzip"
            packed = await answer.read()
        assert len(packed) < 20_000
        assert len(zlib.decompress(packed, 31)) == 8 * 1_048_576


async def test_a_body_can_drip() -> None:
    async with running_rig() as rig:
        await _fault(rig, "slow_drip", interval_s=0.0)
        pieces = 0
        async with rig.http.post(
            f"{rig.sandbox.adyen_url}/v71/payments",
            json=adyen_payment(),
            headers={"X-API-Key": "adyen_sandbox_main"},
        ) as answer:
            async for _ in answer.content.iter_any():
                pieces += 1
        assert pieces > 10


async def test_faults_hit_whom_they_name() -> None:
    async with running_rig() as rig:
        rules = [
            {"kind": "status", "status": 500, "provider": "stripe", "last4": "4444"},
            {"kind": "status", "status": 501, "amount_minor": 4242},
            {"kind": "status", "status": 502, "reference": "pay_9"},
            {"kind": "status", "status": 503, "operation": "capture"},
            {"kind": "status", "status": 504, "currency": "SEK", "account": ADYEN_ACCOUNT},
        ]
        assert len((await rig.control("POST", "faults", rules))["ids"]) == 5
        assert (await rig.pay()).status == 200
        mastercard = {"type": "card", "card[number]": "5555555555554444"}
        reply = await rig.stripe("POST", "/v1/payment_methods", mastercard)
        assert reply.status == 500
        assert (await rig.pay(amount=4242)).status == 501
        assert (await rig.adyen("/payments", adyen_payment("pay_9"))).status == 502
        sek = {"currency": "SEK", "value": 10}
        assert (await rig.adyen("/payments", adyen_payment(amount=sek))).status == 504
        psp = (await rig.adyen("/payments", adyen_payment())).json["pspReference"]
        body = {"merchantAccount": ADYEN_ACCOUNT, "amount": {"currency": "EUR", "value": 1}}
        assert (await rig.adyen(f"/payments/{psp}/captures", body)).status == 503
        await rig.control("DELETE", "faults")
        assert (await rig.adyen(f"/payments/{psp}/captures", body)).status == 201


async def test_a_fault_can_wait_for_the_nth_request_and_be_taken_away() -> None:
    async with running_rig() as rig:
        await _fault(rig, "status", status=500, skip=2, count=2)
        statuses = [(await _pay(rig, "adyen")).status for _ in range(6)]
        assert statuses == [200, 200, 500, 500, 200, 200]
        (identifier,) = (await rig.control("POST", "faults", {"kind": "empty"}))["ids"]
        await rig.control("DELETE", f"faults/{identifier}")
        assert (await _pay(rig, "adyen")).status == 200


@pytest.mark.parametrize("mode", ["refuse", "close", "reset", "status"])
async def test_an_outage_begins_and_ends(mode: str) -> None:
    async with running_rig() as rig:
        assert (await _pay(rig, "adyen")).status == 200
        url = rig.sandbox.adyen_url
        await rig.control("PUT", "adyen/outage", {"mode": mode, "status": 502})
        if mode == "status":
            assert (await _pay(rig, "adyen")).status == 502
        else:
            wanted = (
                aiohttp.ClientConnectorError if mode == "refuse" else aiohttp.ClientConnectionError
            )
            for _ in range(2):
                with pytest.raises(wanted):
                    await _pay(rig, "adyen")
        assert (await _pay(rig, "stripe")).status == 200
        await rig.control("PUT", "adyen/outage", {"mode": "none"})
        assert rig.sandbox.adyen_url == url
        assert (await _pay(rig, "adyen")).status == 200


async def test_a_decline_mix_has_the_asked_shares() -> None:
    async with running_rig() as rig:
        mix = {"codes": {"insufficient_funds": 0.3, "do_not_honor": 0.2}}
        await rig.control("PUT", "stripe/declines", mix)
        method = await rig.card()
        codes: dict[str, int] = {}
        for _ in range(400):
            body = (await rig.pay(payment_method=method)).json
            code = body["error"]["decline_code"] if "error" in body else "approved"
            codes[code] = codes.get(code, 0) + 1
        assert set(codes) == {"approved", "insufficient_funds", "do_not_honor"}
        assert 80 <= codes["insufficient_funds"] <= 160
        assert 50 <= codes["do_not_honor"] <= 110
        await rig.control("PUT", "stripe/declines", {"codes": {}})
        assert (await rig.pay(payment_method=method)).status == 200


async def test_a_decline_can_be_asked_of_adyen_by_name_or_number() -> None:
    async with running_rig() as rig:
        for code in ("ISSUER_UNAVAILABLE", "9"):
            await rig.control("PUT", "adyen/declines", {"codes": {code: 1.0}})
            body = (await _pay(rig, "adyen")).json
            assert (body["resultCode"], body["refusalReasonCode"]) == ("Refused", "9")


async def test_latency_is_served_in_two_halves_around_the_booking() -> None:
    async with running_rig() as rig:
        await rig.control("PUT", "adyen/latency", {"fixed_ms": 200})
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        assert (await _pay(rig, "adyen")).status == 200
        assert loop.time() - begun_s >= 0.2


async def test_the_same_seed_gives_the_same_run() -> None:
    async def run() -> list[tuple[int, str]]:
        async with running_rig() as rig:
            await rig.control("PUT", "adyen/declines", {"codes": {"2": 0.3, "12": 0.3}})
            bodies = [(await _pay(rig, "adyen")).json for _ in range(30)]
            return [(b["refusalReasonCode"] if "refusalReason" in b else 0, b["pspReference"])
                    for b in bodies]  # fmt: skip

    assert await run() == await run()
