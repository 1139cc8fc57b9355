"""Going down without failing a payment, and taking accounts over without going down."""

import asyncio
import json
import signal
from pathlib import Path

import grpc
import pytest

from tests.e2e.grounds import Merchant, in_flight, playground
from tests.e2e.running import run
from turnout import v1
from turnout.cli.playground import Playground

IN_FLIGHT = 32
PROVIDER_MS = 700

ONE_MORE_ACCOUNT = """
[[accounts]]
id = "acc_stripe_third"
merchant = "mer_demo"
provider = "stripe"
base_url = "http://127.0.0.1:{port}"
credentials = {{ api_key = "file:var/secrets/acc_stripe_main.api_key" }}
webhook_secrets = ["file:var/secrets/acc_stripe_main.webhook"]

[[profiles]]
id = "pro_third"
merchant = "mer_demo"
tiers = [["acc_stripe_third"]]
"""


async def logged(ground: Playground, event: str, times: int = 1) -> dict[str, object]:
    """The last of so many lines of the server's log that tell of this event."""
    async with asyncio.timeout(20):
        while True:
            lines = [line for _, line in ground.log if f'"event":"{event}"' in line]
            if len(lines) >= times:
                found: dict[str, object] = json.loads(lines[-1])
                return found
            await asyncio.sleep(0.02)


async def requests_at(ground: Playground, provider: str) -> int:
    seen = await ground.control("GET", f"{provider}/requests?limit=1")
    return int(seen["total"])


async def test_sigterm_fails_no_payment_that_is_under_way(tmp_path: Path) -> None:
    async with playground(tmp_path) as ground:
        merchant = Merchant(ground)
        await ground.control("PUT", "adyen/latency", {"fixed_ms": PROVIDER_MS})
        calls = [
            asyncio.create_task(merchant.authorize(f"drain-{at}", profile_id="pro_adyen"))
            for at in range(IN_FLIGHT)
        ]
        async with asyncio.timeout(20):
            while await in_flight(ground) < IN_FLIGHT:  # noqa: ASYNC110 (another process)
                await asyncio.sleep(0.02)
        ground.child("serve").signal(signal.SIGTERM)
        said = await logged(ground, "serve.draining")
        assert said["in_flight"] == IN_FLIGHT
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await merchant.authorize("after", profile_id="pro_adyen")
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        answers = await asyncio.gather(*calls)
        assert [one.status for one in answers] == [v1.PAYMENT_STATUS_SUCCEEDED] * IN_FLIGHT
        assert await ground.child("serve").wait() == 0
        assert not [line for _, line in ground.log if "left_in_flight" in line]

        await ground.stack.restart("serve")
        fenced = await logged(ground, "serve.ready", times=2)
        assert fenced["in_flight_when_it_died"] == 0
        payments = await merchant.all()
        assert {one.merchant_reference for one in payments} == {
            f"drain-{at}" for at in range(IN_FLIGHT)
        }


async def test_an_account_is_added_without_a_restart(tmp_path: Path) -> None:
    async with playground(tmp_path) as ground:
        merchant, server = Merchant(ground), ground.child("serve").pid
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await merchant.authorize("before", profile_id="pro_third")
        assert unknown.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        path = ground.settings.path
        sound = path.read_text()
        path.write_text(sound + ONE_MORE_ACCOUNT.format(port=ground.settings.sandbox.stripe_port))
        status, said = await run("reload", cwd=tmp_path)
        assert status == 0, said
        assert f"process {server} was told" in said
        assert (await logged(ground, "config.reloaded"))["config_version"] == 2
        payment = await merchant.authorize("after", profile_id="pro_third")
        assert payment.account_id == "acc_stripe_third"
        assert payment.decision.config_version == 2
        assert ground.child("serve").pid == server


async def test_a_wrong_configuration_is_refused_and_the_last_good_one_kept(
    tmp_path: Path,
) -> None:
    async with playground(tmp_path) as ground:
        merchant = Merchant(ground)
        path = ground.settings.path
        sound = path.read_text()
        path.write_text(sound.replace('merchant = "mer_demo"', 'merchant = "mer_dmo"', 1))
        status, said = await run("reload", cwd=tmp_path)
        assert status == 78
        assert "merchant" in said and "mer_dmo" in said
        # Told all the same, as an operator's `kill -HUP` would.
        ground.child("serve").signal(signal.SIGHUP)
        refused = await logged(ground, "config.refused")
        assert "mer_dmo" in str(refused["problems"])
        payment = await merchant.authorize("still-served")
        assert payment.decision.config_version == 1


async def test_a_key_that_is_taken_away_is_refused_at_once(tmp_path: Path) -> None:
    async with playground(tmp_path) as ground:
        merchant = Merchant(ground)
        await merchant.authorize("before")
        (tmp_path / "var/secrets/test_api_key.sha256").write_text("0" * 64 + "\n")
        ground.child("serve").signal(signal.SIGHUP)
        await logged(ground, "config.reloaded")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await merchant.authorize("after")
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_what_routing_learnt_outlives_a_restart(tmp_path: Path) -> None:
    async with playground(tmp_path) as ground:
        merchant = Merchant(ground)
        await ground.control("PUT", "stripe/outage", {"mode": "refuse"})
        at = 0
        tried = 2
        while tried == 2:
            at += 1
            payment = await merchant.authorize(f"out-{at}", profile_id="pro_in_order")
            tried = len(payment.attempts)
            assert at < 50
        ground.child("serve").signal(signal.SIGTERM)
        assert await ground.child("serve").wait() == 0
        await ground.stack.restart("serve")
        # A cold start would try the dead account first again; one probe may.
        tried_after = [
            len((await merchant.authorize(f"warm-{n}", profile_id="pro_in_order")).attempts)
            for n in range(4)
        ]
        assert tried_after.count(1) >= 3


async def test_answers_outlive_a_restart_byte_for_byte(tmp_path: Path) -> None:
    async with playground(tmp_path) as ground:
        merchant = Merchant(ground)
        first = await merchant.authorize("once", "key-once")
        before = await merchant.get(first.payment_id)
        await ground.kill("serve")
        await ground.stack.restart("serve")
        again = await merchant.authorize("once", "key-once")
        assert again.SerializeToString(deterministic=True) == first.SerializeToString(
            deterministic=True
        )
        assert (await merchant.get(first.payment_id)).status == before.status


async def test_a_dead_provider_does_not_keep_it_from_starting(tmp_path: Path) -> None:
    async with playground(tmp_path) as ground:
        for provider in ("stripe", "adyen"):
            await ground.control("PUT", f"{provider}/outage", {"mode": "refuse"})
        await ground.kill("serve")
        await ground.stack.restart("serve")
        assert await requests_at(ground, "stripe") == 0
        answer = await Merchant(ground).authorize("nowhere")
        assert answer.status == v1.PAYMENT_STATUS_FAILED
        assert not answer.captured_minor
