"""Webhooks that come often, late, in any order, or from somebody else: harmless."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.load import Load
from tests.chaos.verdict import patient, prepare, verdict
from tests.e2e.grounds import Merchant, playground
from turnout.cli.playground import Playground
from turnout.sandbox.adyen.notifications import sign
from turnout.sandbox.stripe.state import signature

PAYMENTS = 120
COPIES = 10
STALE_S = 301
pytestmark = pytest.mark.timeout(1_800)


async def test_duplicates_in_any_order_are_applied_once(tmp_path: Path) -> None:
    async with playground(tmp_path, more=patient()) as ground:
        load = Load(await prepare(ground), 8, most=PAYMENTS)
        await ground.control("PUT", "webhooks", {"preset": "held"})
        async with load.running():
            delivered = 0
            for order in ("reverse", "shuffled", "reverse"):
                await load.until(min(len(load.payments) + 20, PAYMENTS))
                delivered += await flush(ground, order)
            await load.until(PAYMENTS)
        delivered += await flush(ground, "shuffled")
        assert delivered >= COPIES * PAYMENTS
        await ground.control("PUT", "webhooks", {"preset": "prompt"})
        await verdict(load, tmp_path, hint="duplicates")


async def flush(ground: Playground, order: str) -> int:
    """Delivers all that waits, many times over; each copy must be taken."""
    flushed = await ground.control("POST", "webhooks/flush", {"order": order, "copies": COPIES})
    refused = [one for one in flushed["deliveries"] if one["status"] != 200]
    assert not refused, refused[:3]
    return len(flushed["deliveries"])


async def test_what_others_forge_changes_nothing(tmp_path: Path) -> None:
    async with playground(tmp_path, more=patient()) as ground:
        merchant = await prepare(ground)
        load = Load(merchant, 9, most=PAYMENTS)
        await load.run()
        payments = await verdict(load, tmp_path, hint="before forgery")
        before = await states(merchant)
        books = await ground.books()
        forged = [one for charge in books[:40] for one in forgeries(tmp_path, charge, time.time())]
        assert len(forged) >= 80
        answers = await asyncio.gather(*(post(ground, *one) for one in forged))
        assert {status for status, _ in answers} == {400}, answers[:3]
        assert await states(merchant) == before
        assert len(payments) == PAYMENTS
        await verdict(load, tmp_path, hint="after forgery")


async def states(merchant: Merchant) -> dict[str, bytes]:
    """Every payment, whole."""
    return {
        one.payment_id: one.SerializeToString(deterministic=True) for one in await merchant.all()
    }


async def post(
    ground: Playground, account: str, headers: dict[str, str], body: bytes
) -> tuple[int, bytes]:
    return await ground.http("POST", f"/v1/webhooks/{account}", raw=body, headers=headers)


def forgeries(
    room: Path, charge: dict[str, Any], now_s: float
) -> list[tuple[str, dict[str, str], bytes]]:
    """Refunds and captures that never were, each wrong in one way only: its seal."""
    if charge["provider"] == "stripe":
        return _stripe_forgeries(room, charge, now_s)
    return _adyen_forgeries(room, charge)


def _secret(room: Path, account: str) -> str:
    return (room / f"var/secrets/{account}.webhook").read_text().strip()


def _stripe_forgeries(
    room: Path, charge: dict[str, Any], now_s: float
) -> list[tuple[str, dict[str, str], bytes]]:
    account = charge["account"]
    other = "acc_stripe_second" if account == "acc_stripe_main" else "acc_stripe_main"
    intent = {
        "id": charge["payment_id"],
        "object": "payment_intent",
        "amount": charge["amount_minor"],
        "currency": charge["currency"].lower(),
        "status": "canceled",
        "metadata": {"turnout_payment_id": charge["reference"]},
    }
    event = {
        "id": f"evt_forged_{charge['payment_id']}",
        "object": "event",
        "api_version": "2023-08-16",
        "created": int(now_s),
        "type": "payment_intent.canceled",
        "livemode": False,
        "data": {"object": intent},
    }
    body = json.dumps(event).encode()
    secret = _secret(room, account).encode()
    sealed = signature(secret, body, now_s)
    return [
        (account, signature(b"whsec_somebody_elses", body, now_s), body),
        (account, signature(secret, body, now_s - STALE_S), body),
        (account, signature(_secret(room, other).encode(), body, now_s), body),
        (account, sealed, body.replace(b'"canceled"', b'"succeeded"')),
        (account, {"Content-Type": "application/json"}, body),
    ]


def _adyen_forgeries(
    room: Path, charge: dict[str, Any]
) -> list[tuple[str, dict[str, str], bytes]]:
    account = "acc_adyen_main" if "Main" in charge["account"] else "acc_adyen_second"
    other = "acc_adyen_second" if account == "acc_adyen_main" else "acc_adyen_main"
    item: dict[str, Any] = {
        "amount": {"currency": charge["currency"], "value": charge["amount_minor"]},
        "eventCode": "CANCELLATION",
        "eventDate": "2026-01-01T00:00:00+00:00",
        "merchantAccountCode": charge["account"],
        "merchantReference": charge["reference"],
        "originalReference": charge["payment_id"],
        "pspReference": f"F{charge['payment_id'][1:]}",
        "reason": "",
        "success": "true",
    }
    own = sign(item, _secret(room, account))
    forged = []
    for seal, changes in (
        (sign(item, "00" * 32), {}),
        (sign(item, _secret(room, other)), {}),
        (own, {"eventCode": "REFUND"}),
        ("", {}),
    ):
        told = {**item, **changes, "additionalData": {"hmacSignature": seal}}
        body = {"live": "false", "notificationItems": [{"NotificationRequestItem": told}]}
        headers = {"Content-Type": "application/json"}
        forged.append((account, headers, json.dumps(body).encode()))
    return forged
