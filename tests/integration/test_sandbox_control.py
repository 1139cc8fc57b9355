"""The control API: books, requests, reset, and errors that name what was wrong."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox_rig import Rig, adyen_payment, running_rig


async def test_the_books_tell_everything_of_a_charge() -> None:
    async with running_rig() as rig:
        intent = (await rig.pay()).json
        path = f"/v1/payment_intents/{intent['id']}/capture"
        await rig.stripe("POST", path, {"amount_to_capture": 600})
        (charge,) = (await rig.control("GET", "stripe/books?reference=pay_1"))["charges"]
        assert (charge["payment_id"], charge["last4"]) == (intent["id"], "4242")
        assert [(e["kind"], e["amount_minor"]) for e in charge["entries"]] == [
            ("authorized", 1000), ("captured", 600), ("released", 400),
        ]  # fmt: skip
        by_id = await rig.control("GET", f"stripe/books?payment_id={intent['id']}")
        assert by_id["charges"] == [charge]
        assert (await rig.control("GET", "adyen/books"))["total"] == 0


async def test_the_summary_adds_up_across_providers() -> None:
    async with running_rig() as rig:
        await rig.pay(capture_method="automatic")
        await rig.pay("4000000000000002")
        await rig.adyen("/payments", adyen_payment())
        summary = await rig.control("GET", "summary")
        assert summary["counts"] == {
            "charges": 3, "declined": 1, "authorized": 2, "captured": 1, "open_holds": 1,
        }  # fmt: skip
        assert [(t["provider"], t["hold"], t["merchant"]) for t in summary["totals"]] == [
            ("adyen", 1000, 0), ("stripe", 0, 1000),
        ]  # fmt: skip
        assert (await rig.control("GET", "adyen/summary"))["counts"]["charges"] == 1
        position = await rig.control("GET", "position?reference=pay_1")
        assert (position["charges"], position["holding_or_charged"]) == (3, 2)


async def test_requests_are_logged_without_card_data() -> None:
    async with running_rig() as rig:
        await rig.pay(Idempotency_Key="k1")
        reply = await rig.control_reply("GET", "stripe/requests")
        assert b"4242424242424242" not in reply.raw
        seen = reply.json["requests"]
        assert [(r["operation"], r["status"]) for r in seen] == [
            ("tokenize", 200), ("authorize", 200),
        ]  # fmt: skip
        assert seen[1]["idempotency_key"] == "k1"


async def test_no_card_number_stays_in_memory_of_the_books() -> None:
    async with running_rig() as rig:
        await rig.pay()
        await rig.adyen("/payments", adyen_payment())
        for path in ("books", "summary", "webhooks", "config"):
            raw = (await rig.control_reply("GET", path)).raw
            assert b"4242424242424242" not in raw
            assert b"4111111111111111" not in raw
            assert b"sk_test_sandbox" not in raw


async def test_reset_forgets_payments_and_heals() -> None:
    async with running_rig() as rig:
        intent = (await rig.pay(Idempotency_Key="k1")).json
        await rig.control("POST", "faults", {"kind": "empty"})
        await rig.control("PUT", "stripe/outage", {"mode": "refuse"})
        await rig.control("POST", "reset")
        assert (await rig.stripe("GET", f"/v1/payment_intents/{intent['id']}")).status == 404
        assert (await rig.control("GET", "summary"))["counts"]["charges"] == 0
        assert (await rig.control("GET", "webhooks"))["waiting"] == 0
        assert (await rig.pay(Idempotency_Key="k1")).json["id"] != intent["id"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "told"),
    [
        ("POST", "faults", {"kind": "explode"}, 400, "kind"),
        ("POST", "faults", {"kind": "empty", "colour": 1}, 400, "colour"),
        ("POST", "faults", {"kind": "empty", "count": "1"}, 400, "count"),
        ("POST", "faults", {"kind": "decline"}, 400, "code"),
        ("POST", "faults", {"kind": "empty", "probability": 2}, 400, "probability"),
        ("DELETE", "faults/fault_99", None, 404, "fault_99"),
        ("PUT", "stripe/outage", {"mode": "maybe"}, 400, "mode"),
        ("PUT", "stripe/latency", {"p50_ms": 5}, 400, "p99_ms"),
        ("PUT", "stripe/declines", {"codes": {"a": 0.7, "b": 0.7}}, 400, "codes.b"),
        ("PUT", "webhooks", {"preset": "wild"}, 400, "preset"),
        ("PUT", "webhooks", {"delay": 1}, 400, "delay"),
        ("PUT", "accounts", {"name": "nobody"}, 404, "nobody"),
        ("GET", "position", None, 400, "reference"),
        ("GET", "books?colour=red", None, 400, "colour"),
        ("POST", "clock", {"advance_s": "1"}, 400, "advance_s"),
        ("GET", "nothing", None, 404, "nothing"),
        ("POST", "webhooks/flush", {"order": "best"}, 400, "order"),
        ("POST", "stripe/fail_modification", {"psp_reference": "x"}, 400, "Adyen"),
    ],
)
async def test_errors_name_what_was_wrong(
    method: str, path: str, body: Any, status: int, told: str
) -> None:
    async with running_rig() as rig:
        reply = await rig.control_reply(method, path, body)
        assert reply.status == status
        assert told in reply.json["error"]


async def test_old_charges_are_forgotten_and_their_sums_kept() -> None:
    async with running_rig(charges_max=10, payments_max=10, idempotency_keys_max=5) as rig:
        await _many(rig, 25)
        summary = await rig.control("GET", "adyen/summary")
        assert (summary["counts"]["charges"], summary["evicted"]) == (10, 15)
        assert summary["totals"][0]["hold"] == 25_000
        assert (await rig.control("GET", "position?reference=pay_0"))["charges"] == 0
        assert (await rig.control("GET", "position?reference=pay_24"))["charges"] == 1


async def _many(rig: Rig, count: int) -> None:
    for number in range(count):
        await rig.adyen("/payments", adyen_payment(f"pay_{number}"), Idempotency_Key=f"k{number}")
