"""AuthorizeStream on a running Turnout: its caller dies, its server is told to stop."""

import asyncio
import signal
import sys
from pathlib import Path

import grpc
import pytest

from tests.e2e.grounds import Merchant, in_flight, playground, request
from turnout import v1

COUNT = 24
PROVIDER_MS = 700

# Sends its messages, reads nothing, and never ends by itself.
CALLER = """
import asyncio, sys, grpc
from tests.e2e.grounds import request
from turnout import v1

async def main(port, authorization, count):
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stream = v1.PaymentServiceStub(channel).AuthorizeStream(
            metadata=(("authorization", authorization),)
        )
        for at in range(int(count)):
            order = request(f"stream-{at}", profile_id="pro_adyen")
            asked = v1.AuthorizeStreamRequest(idempotency_key=f"key-{at}", request=order)
            await stream.write(asked)
        await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


def asked(at: int) -> v1.AuthorizeStreamRequest:
    order = request(f"stream-{at}", profile_id="pro_adyen")
    return v1.AuthorizeStreamRequest(idempotency_key=f"key-{at}", request=order)


async def test_payments_of_a_caller_that_dies_end_in_the_record(tmp_path: Path) -> None:
    async with playground(tmp_path) as ground:
        merchant = Merchant(ground)
        await ground.control("PUT", "adyen/latency", {"fixed_ms": PROVIDER_MS})
        authorization = dict(ground.metadata())["authorization"]
        caller = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", CALLER, str(ground.settings.server.port)),
            *(authorization, str(COUNT)),
            cwd=Path(__file__).parents[2],
        )
        async with asyncio.timeout(20):
            while await in_flight(ground) < COUNT:  # noqa: ASYNC110 (another process)
                await asyncio.sleep(0.02)
        caller.send_signal(signal.SIGKILL)
        await caller.wait()
        settled = await merchant.all_settled()
        assert {one.merchant_reference: one.status for one in settled} == {
            f"stream-{at}": v1.PAYMENT_STATUS_SUCCEEDED for at in range(COUNT)
        }
        # And each answer can be had by its key: in a call, and on another stream.
        first = await merchant.payments.AuthorizePayment(
            asked(0).request, metadata=ground.metadata("key-0")
        )
        stream = merchant.payments.AuthorizeStream(metadata=ground.metadata())
        for at in range(COUNT):
            await stream.write(asked(at))
        answers = {}
        for _ in range(COUNT):
            answer = await stream.read()
            assert isinstance(answer, v1.AuthorizeStreamResponse)
            answers[answer.idempotency_key] = answer.payment
        assert answers["key-0"] == first
        assert {one.payment_id for one in answers.values()} == {one.payment_id for one in settled}
        stream.cancel()


async def test_a_server_that_is_told_to_stop_answers_all_that_it_has_read(tmp_path: Path) -> None:
    async with playground(tmp_path) as ground:
        merchant = Merchant(ground)
        await ground.control("PUT", "adyen/latency", {"fixed_ms": PROVIDER_MS})
        stream = merchant.payments.AuthorizeStream(metadata=ground.metadata())
        for at in range(COUNT):
            await stream.write(asked(at))
        async with asyncio.timeout(20):
            while await in_flight(ground) < COUNT:  # noqa: ASYNC110 (another process)
                await asyncio.sleep(0.02)
        ground.child("serve").signal(signal.SIGTERM)
        answered = set()
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            while isinstance(answer := await stream.read(), v1.AuthorizeStreamResponse):
                assert answer.payment.status == v1.PAYMENT_STATUS_SUCCEEDED
                answered.add(answer.idempotency_key)
        assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
        assert answered == {f"key-{at}" for at in range(COUNT)}
        assert await ground.child("serve").wait() == 0
        assert not [line for _, line in ground.log if "left_in_flight" in line]
