"""Providers that charge and then fail to say so, or say it in ways that nobody can read."""

from pathlib import Path
from typing import Any

import pytest

from tests.chaos.load import Load
from tests.chaos.verdict import heal, patient, prepare, verdict
from tests.e2e.grounds import Merchant, playground
from turnout import v1
from turnout.cli.playground import Playground

TIMEOUT_MS = 1_500
PAYMENTS = 150
MIB = 1 << 20
# Peak over what the server needs for the same load from healthy providers. Bodies that were read
# whole would add far more: two dozen calls in flight times the size below.
MEMORY_RATIO = 1.5
pytestmark = pytest.mark.timeout(1_800)

SILENT: dict[str, dict[str, Any]] = {
    "timeout_after": {"hang_s": 20.0},
    "reset_after": {},
    "reset_mid_answer": {},
    "html_200": {},
    "html_502": {},
    "slow_drip": {"interval_s": 1.0},
}
BLOATED: dict[str, dict[str, Any]] = {
    # Making a bomb costs the simulated provider a third of a second, so there are few.
    "gzip_bomb": {"size_bytes": 64 * MIB, "count": 12},
    "huge_body": {"size_bytes": 64 * MIB},
}


async def strike(ground: Playground, kind: str, probability: float, **more: Any) -> None:
    """Both providers, every kind of request: the fault hits inquiries and refunds as well."""
    rules = [
        {"kind": kind, "provider": provider, "probability": probability, **more}
        for provider in ("stripe", "adyen")
    ]
    await ground.control("POST", "faults", rules)


async def struck(ground: Playground, kind: str) -> int:
    rules = await ground.control("GET", "faults")
    return sum(rule["struck"] for rule in rules if rule["kind"] == kind)


@pytest.mark.parametrize("kind", SILENT)
async def test_charged_and_not_told(tmp_path: Path, kind: str) -> None:
    async with playground(tmp_path, timeout_ms=TIMEOUT_MS, more=patient()) as ground:
        load = Load(await prepare(ground), 5, most=PAYMENTS)
        await strike(ground, kind, 0.3, **SILENT[kind])
        await load.run()
        assert await struck(ground, kind) >= PAYMENTS * 0.15
        await verdict(load, tmp_path, hint=kind)


@pytest.mark.parametrize("kind", BLOATED)
async def test_answers_without_end_leave_memory_flat(tmp_path: Path, kind: str) -> None:
    async with playground(tmp_path, timeout_ms=TIMEOUT_MS, more=patient()) as ground:
        merchant = await prepare(ground)
        load = Load(merchant, 6, most=2 * PAYMENTS)
        async with load.running():
            await load.until(PAYMENTS)
            server = ground.child("serve").pid
            calm = peak_kib(server)
            await strike(ground, kind, 0.3, **BLOATED[kind])
            await load.until(2 * PAYMENTS)
        assert await struck(ground, kind) >= 12
        high = peak_kib(server)
        print(f"peak {calm} KiB with healthy providers, {high} KiB with {kind}")
        assert high < MEMORY_RATIO * calm
        await verdict(load, tmp_path, hint=kind)


def peak_kib(pid: int) -> int:
    """The most memory that a process has had at once."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise AssertionError(f"/proc/{pid}/status does not tell VmHWM")


async def test_a_wrong_amount_goes_to_a_person_and_posts_nothing(tmp_path: Path) -> None:
    """Neither believed nor ignored: a person looks it up, and then the books agree."""
    async with playground(tmp_path, timeout_ms=TIMEOUT_MS, more=patient()) as ground:
        merchant = await prepare(ground)
        load = Load(merchant, 7, most=PAYMENTS, profiles=("pro_stripe",))
        # A webhook that tells the true amount settles the question; here nobody does.
        await ground.control("PUT", "webhooks", {"preset": "held"})
        rule = {"kind": "mismatch_amount", "provider": "stripe", "operation": "authorize"}
        await ground.control("POST", "faults", [{**rule, "delta_minor": -1, "count": 5}])
        await load.run()
        assert await struck(ground, "mismatch_amount") == 5
        await heal(ground)
        operations = v1.OperationsServiceStub(ground.grpc)
        key = (tmp_path / "var/secrets/operator_key").read_text().strip()
        operator = [("authorization", f"Bearer {key}")]
        page = await operations.ListReviews(
            v1.ListReviewsRequest(mode=v1.MODE_TEST), metadata=operator
        )
        assert len(page.reviews) == 5
        for review in page.reviews:
            await _nothing_posted(merchant, review.payment)
            for one in review.operations:
                assert one.reason == "amount_mismatch" and one.outcome_open
                await operations.ResolveReview(
                    v1.ResolveReviewRequest(
                        payment_id=review.payment.payment_id,
                        operation_id=one.operation_id,
                        resolution=v1.REVIEW_RESOLUTION_SUCCEEDED,
                        note="the provider's books have the amount that was asked for",
                    ),
                    metadata=[*operator, ("idempotency-key", one.operation_id)],
                )
        await ground.control("PUT", "webhooks", {"preset": "prompt"})
        await verdict(load, tmp_path, hint="mismatch_amount")


async def _nothing_posted(merchant: Merchant, reviewed: v1.Payment) -> None:
    payment = await merchant.get(reviewed.payment_id)
    assert payment.status == v1.PAYMENT_STATUS_PROCESSING
    assert payment.processing_reason == v1.PROCESSING_REASON_UNDER_REVIEW
    assert not payment.captured_minor and not payment.capturable_minor
    ledger = v1.LedgerServiceStub(merchant.ground.grpc)
    entries = await ledger.ListEntries(
        v1.ListEntriesRequest(payment_id=payment.payment_id), metadata=merchant.ground.metadata()
    )
    assert not entries.entries
