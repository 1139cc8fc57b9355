"""Deadlines, the one repetition, what is kept for an account, and what never shows."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.connectors_rig import (
    PAN,
    HeldCard,
    PlayedTransport,
    SteadyClock,
    adyen_account,
    answer,
    authorize,
    card_error,
    lost,
    method,
    stripe_account,
    unsent,
)
from turnout.connectors.adyen import AdyenConnector
from turnout.connectors.exchange import RESEND_MIN_MS, SEND_MIN_MS, Answer, Exchange, PerAccount
from turnout.connectors.http import is_loopback
from turnout.connectors.registry import build_connectors
from turnout.connectors.stripe import StripeConnector
from turnout.connectors.verdicts import declined
from turnout.domain.accounts import Account
from turnout.domain.declines import DeclineCode
from turnout.domain.outcomes import OutcomeKind
from turnout.ports import HttpRequest

MS = 1_000_000


def never(_: Answer) -> bool:
    return False


async def send(
    transport: PlayedTransport, clock: SteadyClock, deadline_ms: int, repeat: bool = True
) -> Answer:
    return await Exchange(transport, clock).send(
        stripe_account(),
        "POST",
        "https://api.stripe.com/v1/payment_intents",
        {},
        b"",
        deadline_ms * MS,
        again=never if repeat else None,
    )


@pytest.mark.parametrize(
    ("left_ms", "copies"),
    [(0, 0), (SEND_MIN_MS - 1, 0), (SEND_MIN_MS, 1), (RESEND_MIN_MS - 1, 1), (RESEND_MIN_MS, 2)],
)
async def test_nothing_goes_out_that_could_not_come_back_in_time(
    left_ms: int, copies: int
) -> None:
    transport = PlayedTransport(lost(), lost())
    result = await send(transport, SteadyClock(), left_ms)
    assert len(transport.sent) == copies
    assert result.in_doubt is (copies > 0)
    assert result.failure == ("timeout" if copies else "deadline")


async def test_the_second_copy_gets_what_the_first_left() -> None:
    clock = SteadyClock()

    def slow(_: HttpRequest) -> Exception:
        clock.now += 4_000 * MS
        return lost()

    transport = PlayedTransport(slow, answer(200, {}))
    result = await send(transport, clock, 5_000)
    assert result.status == 200 and result.in_doubt
    assert [one.total_timeout_ms for one in transport.sent] == [5_000, 1_000]


async def test_without_a_key_nothing_is_repeated() -> None:
    transport = PlayedTransport(lost())
    result = await send(transport, SteadyClock(), 5_000, repeat=False)
    assert (result.failure, result.in_doubt) == ("timeout", True)


async def test_what_never_left_is_not_repeated_here() -> None:
    transport = PlayedTransport(unsent())
    result = await send(transport, SteadyClock(), 5_000)
    assert (result.failure, result.in_doubt) == ("connect_failed", False)


@pytest.mark.parametrize(
    ("given", "ms"),
    [
        ("7", 7_000),
        ("0", 0),
        ("", 0),
        ("-1", 0),
        ("soon", 0),
        ("²", 0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 0),
        ("999999999", 3_600_000),
        ("9" * 400, 0),
    ],
)
def test_retry_after_is_read_carefully(given: str, ms: int) -> None:
    assert Answer(429, headers={"retry-after": given}).retry_after_ms == ms


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'"x"', b"{", b"\xff\xfe{}", b"{}{}"])
def test_only_a_json_object_is_a_document(body: bytes) -> None:
    assert Answer(200, body).json() is None


def test_what_is_made_for_an_account_is_made_once_and_forgotten_in_bulk() -> None:
    made: list[str] = []

    def make(account: Account) -> str:
        made.append(account.account_id)
        return account.account_id

    kept = PerAccount(make)
    first = stripe_account()
    assert kept.get(first) == kept.get(first) == "acc_stripe"
    assert kept.get(stripe_account()) == "acc_stripe"
    assert len(made) == 2
    for _ in range(PerAccount._KEPT_MAX):
        kept.get(stripe_account())
    assert len(kept._kept) <= PerAccount._KEPT_MAX
    assert kept.get(first) == "acc_stripe"


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("127.0.0.1.example", False),
        ("10.0.0.1", False),
        ("0.0.0.0", False),
        ("localhost.example", False),
    ],
)
def test_what_is_this_machine(host: str, here: bool) -> None:
    assert is_loopback(host) is here


def test_every_provider_has_a_connector_under_its_own_name() -> None:
    connectors = build_connectors(PlayedTransport(), SteadyClock())
    assert sorted(connectors) == ["adyen", "stripe"]
    assert all(name == connector.provider for name, connector in connectors.items())


# --- what never shows ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        f"Card {PAN} was refused",
        "Card 4242 4242 4242 4242 was refused",
        "Card 4242-4242-4242-4242 was refused",
        "refused:378282246310005",
    ],
)
def test_a_providers_words_never_carry_a_card_number_on(said: str) -> None:
    outcome = declined(DeclineCode.GENERIC, provider_message=said)
    assert outcome.decline is not None
    assert "[number]" in outcome.decline.provider_message
    assert "4242" not in outcome.decline.provider_message
    assert "3782" not in outcome.decline.provider_message


async def test_neither_card_nor_key_stands_in_anything_that_may_be_shown() -> None:
    card = HeldCard()
    plays: list[list[Any]] = [
        [answer(200, method()), lost(), lost()],
        [answer(200, method()), answer(402, card_error())],
        [answer(200, method()), answer(500, b"")],
    ]
    for script in plays:
        transport = PlayedTransport(*script)
        request = authorize(reveal=card)
        outcome = await StripeConnector(transport, SteadyClock()).authorize(
            stripe_account(), request
        )
        shown = f"{outcome!r} {request!r} {transport.sent!r}"
        assert PAN not in shown and "sk_test" not in shown
    transport = PlayedTransport(lost(), lost())
    connector = AdyenConnector(transport, SteadyClock())
    outcome = await connector.authorize(adyen_account(), authorize(reveal=card))
    assert outcome.kind is OutcomeKind.UNKNOWN and outcome.provider_state == {}
    shown = f"{outcome!r} {transport.sent!r} {connector._accounts._kept!r}"
    assert PAN not in shown and "published_in_this_test" not in shown
