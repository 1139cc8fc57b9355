"""The Stripe connector against localstripe, which none of us wrote.

localstripe knows little (no idempotency keys, no descriptors, no cancellation reasons), so the
requests here carry little; what it answers is what somebody else believes Stripe answers.
"""

from __future__ import annotations

import asyncio
import sys
import textwrap
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from tests.unit.connectors_rig import (
    HeldCard,
    RealClock,
    authorize,
    follow_up,
    inquiry,
    operation,
    stripe_account,
)
from turnout.connectors.http import HttpClient
from turnout.connectors.stripe import StripeConnector
from turnout.domain.accounts import Account
from turnout.domain.cards import CardDetails
from turnout.domain.declines import DeclineCode
from turnout.domain.operation import OperationKind
from turnout.domain.outcomes import OutcomeKind
from turnout.domain.payment import CaptureMethod, PaymentDetails
from turnout.ports import AuthorizeRequest, FollowUpRequest

# Its own command binds all interfaces and keeps its state in a file; this binds loopback, a free
# port, and keeps nothing.
_RUN = textwrap.dedent(
    """
    import asyncio, sys
    from aiohttp import web
    from localstripe import server

    server.store.dump_to_disk = lambda: None

    async def main():
        runner = web.AppRunner(server.app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        print(site._server.sockets[0].getsockname()[1], flush=True)
        await asyncio.to_thread(sys.stdin.read)

    asyncio.run(main())
    """
)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def base_url() -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _RUN,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None and process.stdin is not None
    try:
        port = int(await asyncio.wait_for(process.stdout.readline(), 20))
        yield f"http://127.0.0.1:{port}"
    finally:
        # It ends when its standard input does.
        process.stdin.close()
        await asyncio.wait_for(process.wait(), 10)


@pytest_asyncio.fixture
async def client() -> AsyncIterator[HttpClient]:
    made = HttpClient()
    yield made
    await made.close()


def _later() -> int:
    return RealClock().monotonic_ns() + 10_000_000_000


def _request(number: int, pan: str, capture: CaptureMethod) -> AuthorizeRequest:
    return authorize(
        operation_id=f"att_localstripe{number}",
        reveal=HeldCard(CardDetails(pan, 12, 2034, "123")),
        capture_method=capture,
        details=PaymentDetails(),
        deadline_ns=_later(),
    )


def _follow(kind: OperationKind, reference: str, amount: int) -> FollowUpRequest:
    return replace(
        follow_up(kind, reference, amount_minor=amount, reason=""), deadline_ns=_later()
    )


def _account(base_url: str) -> Account:
    return stripe_account(base_url)


async def test_create_confirm_and_refund(base_url: str, client: HttpClient) -> None:
    connector = StripeConnector(client, RealClock())
    account = _account(base_url)
    request = _request(1, "4242424242424242", CaptureMethod.AUTOMATIC)
    authorized = await connector.authorize(account, request)
    assert authorized.kind is OutcomeKind.SUCCEEDED, authorized
    assert (authorized.amount_minor, authorized.currency) == (1234, "EUR")
    refund = _follow(OperationKind.REFUND, authorized.provider_reference, 500)
    refunded = await connector.follow_up(account, refund)
    assert refunded.kind is OutcomeKind.SUCCEEDED, refunded
    assert (refunded.amount_minor, refunded.currency) == (500, "EUR")
    asked = operation(OperationKind.REFUND)
    found = await connector.inquire(
        account,
        inquiry(
            asked,
            operation(provider_reference=authorized.provider_reference),
            settled=True,
            deadline_ns=_later(),
        ),
    )
    assert found.kind is OutcomeKind.SUCCEEDED, found
    assert found.provider_reference == refunded.provider_reference


async def test_manual_capture_in_full_and_in_part(base_url: str, client: HttpClient) -> None:
    connector = StripeConnector(client, RealClock())
    account = _account(base_url)
    for number, amount in ((2, 1234), (3, 700)):
        request = _request(number, "4242424242424242", CaptureMethod.MANUAL)
        authorized = await connector.authorize(account, request)
        assert authorized.kind is OutcomeKind.SUCCEEDED, authorized
        capture = _follow(OperationKind.CAPTURE, authorized.provider_reference, amount)
        captured = await connector.follow_up(account, capture)
        # It shows what was not captured as a refund and has no amount_received: nothing here says
        # another amount than ours, and the connector invents none.
        assert captured.kind is OutcomeKind.SUCCEEDED, captured
        assert captured.amount_minor in (None, amount)


async def test_cancel(base_url: str, client: HttpClient) -> None:
    connector = StripeConnector(client, RealClock())
    account = _account(base_url)
    request = _request(4, "4242424242424242", CaptureMethod.MANUAL)
    authorized = await connector.authorize(account, request)
    cancel = _follow(OperationKind.CANCEL, authorized.provider_reference, 1234)
    canceled = await connector.follow_up(account, cancel)
    assert canceled.kind is OutcomeKind.SUCCEEDED, canceled
    asked = operation(OperationKind.CANCEL)
    found = await connector.inquire(
        account,
        inquiry(
            asked,
            operation(provider_reference=authorized.provider_reference),
            settled=True,
            deadline_ns=_later(),
        ),
    )
    assert found.kind is OutcomeKind.SUCCEEDED, found


@pytest.mark.parametrize("capture", list(CaptureMethod))
async def test_decline(base_url: str, client: HttpClient, capture: CaptureMethod) -> None:
    connector = StripeConnector(client, RealClock())
    request = _request(5, "4000000000000341", capture)
    outcome = await connector.authorize(_account(base_url), request)
    assert outcome.kind is OutcomeKind.DECLINED, outcome
    assert outcome.decline is not None and outcome.decline.code is DeclineCode.GENERIC


async def test_authentication_is_asked_for_and_is_no_decline(
    base_url: str, client: HttpClient
) -> None:
    connector = StripeConnector(client, RealClock())
    request = _request(6, "4000002500003155", CaptureMethod.AUTOMATIC)
    outcome = await connector.authorize(_account(base_url), request)
    assert outcome.kind is OutcomeKind.REQUIRES_ACTION, outcome
    assert outcome.next_action is not None
    # localstripe leaves the issuer's page empty, so there is nowhere to redirect to.
    assert outcome.next_action.kind == "use_stripe_sdk"


async def test_a_wrong_key_is_the_accounts_fault(base_url: str, client: HttpClient) -> None:
    connector = StripeConnector(client, RealClock())
    account = replace(_account(base_url), credentials={})
    request = _request(7, "4242424242424242", CaptureMethod.AUTOMATIC)
    outcome = await connector.authorize(account, request)
    assert outcome.kind is OutcomeKind.NOT_PROCESSED and outcome.account_fault
