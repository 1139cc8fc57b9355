"""A final capture of a part at an account that may capture several times, in the provider's books.

Adyen has no word for "final": it keeps the rest on hold until somebody cancels it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.e2e.grounds import SETTLE_S, Merchant, playground
from tests.e2e.running import run
from turnout import v1
from turnout.cli.playground import Playground
from turnout.cli.reckoning import reckon

AMOUNT_MINOR = 1_099
PART_MINOR = 400


async def test_the_rest_is_free_at_the_provider_whenever_the_server_dies(tmp_path: Path) -> None:
    async with playground(tmp_path) as ground:
        merchant = Merchant(ground)
        # Every webhook waits until it is let go, so that each kill meets the step that it is for.
        await ground.control("PUT", "webhooks", {"preset": "held"})
        payment = await merchant.authorize(
            "part", profile_id="pro_multi", capture_method=v1.CAPTURE_METHOD_MANUAL
        )
        asked = v1.CapturePaymentRequest(
            payment_id=payment.payment_id,
            amount_minor=PART_MINOR,
            currency="EUR",
            final_capture=True,
        )
        capture = merchant.payments.CapturePayment
        answer = await capture(asked, metadata=ground.metadata("capture"))
        assert answer.status == v1.PAYMENT_STATUS_REQUIRES_CAPTURE
        await again(ground)
        assert await books(ground) == (PART_MINOR, AMOUNT_MINOR - PART_MINOR)
        await ground.control("POST", "webhooks/flush", {})
        await until(lambda: status_of(merchant, payment), v1.PAYMENT_STATUS_SUCCEEDED)
        await again(ground)
        await until(lambda: books(ground), (PART_MINOR, 0))
        await again(ground)
        await ground.control("PUT", "webhooks", {"preset": "prompt"})
        await ground.control("POST", "webhooks/flush", {})
        await until(lambda: waiting(ground), 0)
        now = await merchant.get(payment.payment_id)
        assert now.status == v1.PAYMENT_STATUS_SUCCEEDED
        assert (now.captured_minor, now.capturable_minor) == (PART_MINOR, 0)
        found = reckon(await merchant.all(), await ground.books())
        assert not found.differences and not found.charged_twice
        assert (await capture(asked, metadata=ground.metadata("capture"))) == answer
        # Nothing of it is left for a person.
        operations = v1.OperationsServiceStub(ground.grpc)
        key = (tmp_path / "var/secrets/operator_key").read_text().strip()
        page = await operations.ListReviews(
            v1.ListReviewsRequest(mode=v1.MODE_TEST),
            metadata=[("authorization", f"Bearer {key}")],
        )
        assert not page.reviews
        status, said = await run("ledger", "verify", cwd=tmp_path)
        assert status == 0, said


async def again(ground: Playground) -> None:
    """Kill -9, and the next one."""
    await ground.kill("serve")
    await ground.stack.restart("serve")


async def books(ground: Playground) -> tuple[int, int]:
    """What the provider took and what it holds."""
    (charge,) = await ground.books()
    return charge["net_captured_minor"], charge["held_minor"]


async def waiting(ground: Playground) -> int:
    """Webhooks that are not delivered yet."""
    return int((await ground.control("GET", "webhooks?limit=1"))["waiting"])


async def status_of(merchant: Merchant, payment: v1.Payment) -> int:
    return (await merchant.get(payment.payment_id)).status


async def until(ask: Callable[[], Awaitable[Any]], wanted: Any) -> None:
    async with asyncio.timeout(SETTLE_S):
        while await ask() != wanted:  # noqa: ASYNC110 (it is another process that changes)
            await asyncio.sleep(0.05)
