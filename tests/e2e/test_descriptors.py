"""A server that may open no more files: what it cannot do it says, and it goes on."""

import asyncio
import itertools
import resource
from pathlib import Path

import grpc

from tests.e2e.grounds import SETTLE_S, Merchant, playground
from turnout import v1
from turnout.cli.first_payment import grpc_address
from turnout.cli.playground import Playground
from turnout.cli.reckoning import reckon

# More at once than there are connections to the providers, which take their time, so that new ones
# are asked for.
AT_ONCE = 24
PROVIDER_MS = 300
DECIDED = {v1.PAYMENT_STATUS_SUCCEEDED, v1.PAYMENT_STATUS_FAILED}


async def test_without_descriptors_nothing_is_lost_and_nobody_dies(tmp_path: Path) -> None:
    async with playground(tmp_path) as ground:
        merchant, server = Merchant(ground), ground.child("serve")
        for provider in ("stripe", "adyen"):
            await ground.control("PUT", f"{provider}/latency", {"fixed_ms": PROVIDER_MS})
        await merchant.authorize("before")
        soft, hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        # What is open stays open, and nothing more can be.
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (1, hard))
        try:
            calls = [merchant.authorize(f"short-{at}") for at in range(AT_ONCE)]
            told = [one.status for one in await asyncio.gather(*calls)]
        finally:
            resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (soft, hard))
        # What could not be sent is known not to have been, so it is no unknown outcome.
        assert set(told) <= DECIDED and v1.PAYMENT_STATUS_FAILED in told
        await newcomer_pays(ground)
        assert ground.child("serve").pid == server.pid and not server.ended
        found = reckon(await merchant.all_settled(), await ground.books())
        assert not found.differences and not found.charged_twice


async def newcomer_pays(ground: Playground) -> None:
    """Somebody who is not connected yet is let in, and soon pays."""
    async with (
        asyncio.timeout(SETTLE_S),
        grpc.aio.insecure_channel(grpc_address(ground.settings)) as channel,
    ):
        merchant = Merchant(ground)
        merchant.payments = v1.PaymentServiceStub(channel)
        # The accounts that could not be reached are left alone for a while.
        for at in itertools.count():
            payment = await merchant.authorize(f"after-{at}")
            if payment.status == v1.PAYMENT_STATUS_SUCCEEDED:
                return
            await asyncio.sleep(0.1)
