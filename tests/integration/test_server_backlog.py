"""Calls that have reached the server and that its event loop has not taken up yet.

grpc ends such a call as CANCELLED where it has too many of them, and where it is told to stop:
which says that the caller hung up, and not that the server is busy or going down.
"""

import asyncio
from collections import Counter
from typing import Any

import grpc

from tests.integration.server_face import AUTH, running
from turnout import v1
from turnout.config.sections import Server

GET = "/turnout.v1.PaymentService/GetPayment"
RAW = v1.GetPaymentRequest(payment_id="pay_1").SerializeToString()


async def told(port: int, calls: int, then: asyncio.Event) -> Counter[str]:
    """How so many calls end that are all sent before the loop takes the first one up."""
    ended: Counter[str] = Counter()
    # Its own threads send for this channel, so that the event loop need not turn.
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call: Any = channel.unary_unary(GET)
        await asyncio.to_thread(call, RAW, metadata=(AUTH,), timeout=60)
        sent = [call.future(RAW, metadata=(AUTH,), timeout=60) for _ in range(calls)]
        then.set()
        for one in sent:
            code = await asyncio.to_thread(one.code)
            ended[code.name] += 1
    return ended


async def test_callers_on_their_way_into_a_drain_are_told_of_it() -> None:
    async with running() as rig:
        sent = asyncio.Event()
        ended = asyncio.create_task(told(rig.server.port, 300, sent))
        await sent.wait()
        await rig.server.drain()
        assert (await ended).keys() <= {"OK", "UNAVAILABLE"}
        assert {one.code for one in rig.calls.ended} <= {"OK", "UNAVAILABLE"}


async def test_more_callers_than_the_loop_takes_up_at_once_are_all_told() -> None:
    async with running(Server(port=0, max_concurrent_rpcs=1)) as rig:
        ended = await told(rig.server.port, 2_500, asyncio.Event())
        assert ended.keys() <= {"OK", "RESOURCE_EXHAUSTED"}
