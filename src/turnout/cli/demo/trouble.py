"""The tour's other half: repeated calls, a dead provider, silence after a charge, kill -9."""

from __future__ import annotations

import asyncio
import time

import grpc

from turnout import v1
from turnout.cli.demo.report import Report
from turnout.cli.demo.shop import Refused, Shop, card_payment, new_reference, status_of
from turnout.cli.reckoning import reckon

_CARD = "4242424242424242"
_OUTAGE_PAYMENTS = 20
# What a caller waits in the scene where the provider is silent.
_PATIENCE_S = 1.5
_CRASH_PAYMENTS = 40
# The kill comes when this many are under way, with answers still far off.
_PROVIDER_MS = 400


async def repeated_calls(shop: Shop, report: Report) -> None:
    """One key, one answer."""
    report.scene("Repeated calls")
    for face in shop.faces:
        request = card_payment(new_reference(), _CARD, 3_300, "EUR")
        key = request.merchant_reference
        first = await shop.call(face, "AuthorizePayment", request, key)
        again = await shop.call(face, "AuthorizePayment", request, key)
        report.claim(
            f"the same key and body over {face}: the same answer, byte for byte",
            first == again,
            f"{len(first)} bytes twice",
        )
        request.amount_minor += 1
        try:
            await shop.call(face, "AuthorizePayment", request, key)
            seen = "it was taken"
        except Refused as error:
            seen = f"{error.code} {error.reason}"
        report.claim(
            f"the same key with another body over {face} is refused",
            "IDEMPOTENCY_KEY_REUSED" in seen,
            seen,
        )
    request = card_payment(new_reference(), _CARD, 3_300, "EUR")
    key = request.merchant_reference
    answers = await asyncio.gather(
        *(shop.call("grpc", "AuthorizePayment", request, key) for _ in range(8))
    )
    payment = v1.Payment.FromString(answers[0])
    charges = await _charges(shop, payment)
    report.claim(
        "eight calls at once under one key: one charge, one answer",
        len(set(answers)) == 1 and charges == 1,
        f"{charges} charge, {len(set(answers))} answer",
    )


async def outage(shop: Shop, report: Report) -> None:
    """The first provider is dead; nobody who pays notices."""
    report.scene("A provider is out")
    await shop.ground.control("PUT", "stripe/outage", {"mode": "refuse"})
    payments = []
    for at in range(_OUTAGE_PAYMENTS):
        face = shop.faces[at % len(shop.faces)]
        payments.append(
            await shop.authorize(face, _CARD, 1_000 + at, "EUR", profile_id="pro_in_order")
        )
    paid = [one for one in payments if one.status == v1.PAYMENT_STATUS_SUCCEEDED]
    report.claim(
        f"all of {_OUTAGE_PAYMENTS} payments are paid while the first provider is out",
        len(paid) == _OUTAGE_PAYMENTS and all(one.provider == "adyen" for one in paid),
        f"{len(paid)} paid by adyen",
    )
    tried = [len(one.attempts) for one in payments]
    report.claim(
        "its breaker opens: later payments go straight to the second",
        tried[0] == 2 and tried[-1] == 1,
        f"attempts: {' '.join(map(str, tried))}",
    )
    await shop.ground.control("PUT", "stripe/outage", {"mode": "none"})


async def silence_after_charge(shop: Shop, report: Report) -> None:
    """The provider charges and its answer is lost: nobody may try elsewhere."""
    report.scene("An answer is lost after the charge")
    at_stripe = {"profile_id": "pro_stripe"}
    await _fault(shop, "close_after")
    cut = await shop.authorize("grpc", _CARD, 4_444, "EUR", **at_stripe)
    struck = await _healed(shop)
    charges = await _charges(shop, cut)
    report.claim(
        "the connection is cut: asked again under the same key, charged once",
        cut.status == v1.PAYMENT_STATUS_SUCCEEDED and charges == 1 and struck > 0,
        f"{status_of(cut)}, cut {struck} time, {charges} charge",
    )
    # Its webhook would tell the outcome within a second; held, only asking is left.
    await shop.ground.control("PUT", "webhooks", {"provider": "stripe", "preset": "held"})
    await _fault(shop, "timeout_after")
    began = time.monotonic()
    request = card_payment(new_reference(), _CARD, 5_555, "EUR", **at_stripe)
    payment: v1.Payment = await shop.do(
        "grpc", "AuthorizePayment", request, request.merchant_reference, timeout_s=_PATIENCE_S
    )
    took_s = time.monotonic() - began
    await _healed(shop)
    report.claim(
        "silence: told as processing before the caller's own deadline",
        payment.status == v1.PAYMENT_STATUS_PROCESSING and took_s < _PATIENCE_S,
        f"{status_of(payment)} after {took_s:.2f} of {_PATIENCE_S} s",
    )
    payment = await shop.decided(payment.payment_id)
    charges = await _charges(shop, payment)
    await shop.ground.control("PUT", "webhooks", {"provider": "stripe", "preset": "unruly"})
    report.claim(
        "recovery asks the provider, finds the charge, and tries nobody else",
        payment.status == v1.PAYMENT_STATUS_SUCCEEDED
        and charges == 1
        and len(payment.attempts) == 1,
        f"{status_of(payment)}, {charges} charge, {len(payment.attempts)} attempt",
    )


async def _fault(shop: Shop, kind: str) -> None:
    rule = {"kind": kind, "provider": "stripe", "operation": "authorize"}
    await shop.ground.control("POST", "faults", rule)


async def _healed(shop: Shop) -> int:
    """Takes the faults away; how often they had struck."""
    rules = await shop.ground.control("GET", "faults")
    await shop.ground.control("DELETE", "faults")
    return sum(int(rule["struck"]) for rule in rules)


async def crash(shop: Shop, report: Report) -> None:
    """Kill -9 with payments in flight; the same calls again after the restart."""
    report.scene("kill -9 in mid-flight")
    ground = shop.ground
    for provider in ("stripe", "adyen"):
        await ground.control("PUT", f"{provider}/latency", {"fixed_ms": _PROVIDER_MS})
    requests = [
        card_payment(new_reference(), _CARD, 2_000 + at, "EUR", profile_id=shop.anywhere)
        for at in range(_CRASH_PAYMENTS)
    ]
    flying = [asyncio.create_task(_first_try(shop, one)) for one in requests]
    # Half of what a provider takes: most have left us, none has an answer.
    await asyncio.sleep(_PROVIDER_MS / 2_000)
    await ground.kill("serve")
    cut_off = sum(one is None for one in await asyncio.gather(*flying))
    began = time.monotonic()
    await ground.stack.restart("serve")
    restart_s = time.monotonic() - began
    report.claim(
        "the server was killed with payments in flight",
        cut_off > 0,
        f"{cut_off} callers got no answer",
    )
    for provider in ("stripe", "adyen"):
        await ground.control("PUT", f"{provider}/latency", {})
    answers = await asyncio.gather(*(_again(shop, one) for one in requests))
    decided = [await shop.decided(one.payment_id) for one in answers]
    resolve_s = time.monotonic() - began
    known = [one for one in decided if one.status != v1.PAYMENT_STATUS_PROCESSING]
    report.claim(
        "after the restart every payment reaches an end",
        len(known) == _CRASH_PAYMENTS,
        _tally(decided),
    )
    report.figure("demo_restart_s", restart_s, "s", "from kill -9 to ready again", "< 5",
                  restart_s < 5)  # fmt: skip
    report.figure(
        "demo_crash_resolved_s", resolve_s, "s",
        f"from kill -9 until {_CRASH_PAYMENTS} payments have an end, with impatient settings",
    )  # fmt: skip


async def the_books(shop: Shop, report: Report) -> None:
    """Our record against the providers' own."""
    report.scene("The providers' own books")
    payments = await shop.all()
    found = reckon(payments, await shop.ground.books())
    report.claim(
        "our record and theirs agree to the minor unit, payment by payment",
        not found.differences,
        found.differences[0] if found.differences else f"{found.payments} payments",
    )
    summary = await shop.ground.control("GET", "summary")
    report.claim(
        "nobody was charged twice",
        not found.charged_twice and not summary["charged_more_than_once"],
        f"{found.charges} charges",
    )
    report.figure("demo_payments", found.payments, "payments", "made by the tour")
    report.figure(
        "demo_book_differences", len(found.differences), "payments",
        "payments in which record and books differ", "== 0", not found.differences,
    )  # fmt: skip


def nothing_written(shop: Shop, report: Report) -> None:
    """No card number in any file or line of log."""
    report.scene("What was written down")
    room = shop.ground.settings.path.parent
    numbers = {number.encode() for number in shop.asked.values()}
    files = [path for path in room.rglob("*") if path.is_file()]
    found = [path.name for path in files if _holds(path.read_bytes(), numbers)]
    log = "\n".join(line for _, line in shop.ground.log).encode()
    if _holds(log, numbers):
        found.append("the log")
    size = sum(path.stat().st_size for path in files) + len(log)
    report.claim(
        f"none of {len(numbers)} card numbers is in any byte under var/ or of the log",
        not found,
        ", ".join(found) or f"{size:,} bytes in {len(files)} files and the log",
    )


def _holds(data: bytes, numbers: set[bytes]) -> bool:
    return any(number in data for number in numbers)


def _tally(payments: list[v1.Payment]) -> str:
    counts: dict[str, int] = {}
    for one in payments:
        counts[status_of(one)] = counts.get(status_of(one), 0) + 1
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))


async def _first_try(shop: Shop, request: v1.AuthorizePaymentRequest) -> v1.Payment | None:
    try:
        raw = await shop.call("grpc", "AuthorizePayment", request, request.merchant_reference)
    except grpc.aio.AioRpcError:
        return None
    return v1.Payment.FromString(raw)


async def _again(shop: Shop, request: v1.AuthorizePaymentRequest) -> v1.Payment:
    """The same call under the same key, as a careful merchant makes it."""
    payment: v1.Payment = await shop.do(
        "grpc", "AuthorizePayment", request, request.merchant_reference
    )
    shop.asked[payment.payment_id] = _CARD
    return payment


async def _charges(shop: Shop, payment: v1.Payment) -> int:
    """How many charges the providers have under this payment."""
    names = {payment.payment_id, *(one.attempt_id for one in payment.attempts)}
    return sum(
        1
        for charge in await shop.ground.books()
        if names & {charge["reference"], charge["payment_id"], *charge["aliases"]}
        and (charge["held_minor"] or charge["net_captured_minor"])
    )
