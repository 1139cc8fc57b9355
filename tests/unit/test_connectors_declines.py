"""Whose word a decline is, and whether another account may be tried after it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.connectors_rig import (
    ATTEMPT,
    PSP,
    PlayedTransport,
    SteadyClock,
    adyen_account,
    answer,
    authorize,
    card_error,
    method,
    stripe_account,
)
from turnout.connectors.adyen import AdyenConnector
from turnout.connectors.stripe import StripeConnector
from turnout.domain.declines import Decline, DeclineCode, RetryAdvice


async def adyen(result_code: str = "Refused", **changes: Any) -> Decline:
    """What a refusal by Adyen becomes."""
    body = {
        "resultCode": result_code, "pspReference": PSP, "merchantReference": ATTEMPT, **changes
    }  # fmt: skip
    connector = AdyenConnector(PlayedTransport(answer(200, body)), SteadyClock())
    outcome = await connector.authorize(adyen_account(), authorize())
    assert outcome.decline is not None
    return outcome.decline


async def stripe(decline_code: str, **error: Any) -> Decline:
    """What a card error of Stripe's becomes."""
    transport = PlayedTransport(
        answer(200, method()), answer(402, card_error(decline_code, **error))
    )
    outcome = await StripeConnector(transport, SteadyClock()).authorize(
        stripe_account(), authorize()
    )
    assert outcome.decline is not None
    return outcome.decline


@pytest.mark.parametrize(
    ("issuer_code", "unified", "soft"),
    [
        ("05", DeclineCode.GENERIC, True),
        ("04", DeclineCode.PICKUP_CARD, False),
        ("51", DeclineCode.INSUFFICIENT_FUNDS, False),
        ("57", DeclineCode.TRANSACTION_NOT_ALLOWED, False),
        ("58", DeclineCode.TRANSACTION_NOT_ALLOWED, True),
        ("59", DeclineCode.SUSPECTED_FRAUD, False),
        ("63", DeclineCode.DO_NOT_HONOR, False),
        ("6P", DeclineCode.INVALID_ACCOUNT, False),
        ("91", DeclineCode.ISSUER_UNAVAILABLE, True),
        ("1A", DeclineCode.AUTHENTICATION_REQUIRED, False),
        ("R1", DeclineCode.REVOKED_AUTHORIZATION, False),
        ("XX", DeclineCode.GENERIC, True),
    ],
)
async def test_where_a_provider_only_says_no_the_issuer_is_heard(
    issuer_code: str, unified: DeclineCode, soft: bool
) -> None:
    more = {"refusalReasonRaw": f"{issuer_code} : whatever"}
    for decline in (
        await adyen(refusalReasonCode="2", refusalReason="Refused", additionalData=more),
        await stripe("generic_decline", network_decline_code=issuer_code),
    ):
        assert (decline.code, decline.soft) == (unified, soft)
        assert decline.issuer_code == issuer_code


async def test_a_reason_of_the_providers_own_stands_beside_the_issuers_code() -> None:
    decline = await stripe("expired_card", network_decline_code="05")
    assert (decline.code, decline.issuer_code) == (DeclineCode.EXPIRED_CARD, "05")
    decline = await stripe("do_not_try_again", network_decline_code="51")
    assert (decline.code, decline.advice) == (
        DeclineCode.INSUFFICIENT_FUNDS,
        RetryAdvice.NEVER_RETRY,
    )


@pytest.mark.parametrize(
    ("raw", "issuer_code"),
    [
        ("05 : Do not honor", "05"),
        ("5 : Do not honor", "05"),
        ("4: Pick up card", "04"),
        ("N7 : CVV2 mismatch", "N7"),
        ("R1", "R1"),
        ("14", "14"),
        ("AUTHORISED", ""),
        ("FRAUD", ""),
        ("DECLINED CVC Incorrect", ""),
        ("", ""),
    ],
)
async def test_the_issuers_code_is_read_as_acquirers_write_it(raw: str, issuer_code: str) -> None:
    decline = await adyen(refusalReasonCode="2", additionalData={"refusalReasonRaw": raw})
    assert decline.issuer_code == issuer_code
    if issuer_code in ("04", "R1", "14"):
        assert (decline.soft, decline.advice) == (False, RetryAdvice.NEVER_RETRY)


@pytest.mark.parametrize(
    "advice_code", ["03", "3", "3 : Do not try again", "03: Do not try again"]
)
async def test_the_networks_advice_is_read_with_and_without_its_zero(advice_code: str) -> None:
    decline = await adyen(
        refusalReasonCode="2", additionalData={"merchantAdviceCode": advice_code}
    )
    assert (decline.advice_code, decline.advice) == ("03", RetryAdvice.NEVER_RETRY)
    assert not decline.soft


@pytest.mark.parametrize(
    ("result_code", "changes", "unified", "provider_code"),
    [
        ("Refused", {"refusalReason": "Blocked Card"}, DeclineCode.RESTRICTED_CARD, "5"),
        ("Refused", {"refusalReason": "fraud "}, DeclineCode.BLOCKED_BY_RULE, "20"),
        ("Refused", {"refusalReason": "Blocked Card", "refusalReasonCode": 5},
         DeclineCode.RESTRICTED_CARD, "5"),
        ("Refused", {"refusalReason": "Blocked Card", "refusalReasonCode": "999"},
         DeclineCode.RESTRICTED_CARD, "999"),
        ("Refused", {"refusalReason": "Something new"}, DeclineCode.GENERIC, ""),
        ("Refused", {}, DeclineCode.GENERIC, ""),
        ("Error", {}, DeclineCode.PROCESSING_ERROR, "4"),
        ("Error", {"refusalReason": "Issuer Unavailable"}, DeclineCode.ISSUER_UNAVAILABLE, "9"),
        ("Cancelled", {}, DeclineCode.ABANDONED_BY_CUSTOMER, "15"),
        ("Cancelled", {"refusalReason": "FRAUD-CANCELLED"}, DeclineCode.SUSPECTED_FRAUD, "22"),
    ],
)  # fmt: skip
async def test_a_refusal_without_its_code_is_read_by_its_words(
    result_code: str, changes: Any, unified: DeclineCode, provider_code: str
) -> None:
    decline = await adyen(result_code, **changes)
    assert (decline.code, decline.provider_code) == (unified, provider_code)


@pytest.mark.parametrize(
    ("inferred", "unified", "soft"),
    [
        ("3D Secure Mandated", DeclineCode.AUTHENTICATION_REQUIRED, False),
        ("Closed Account", DeclineCode.INVALID_ACCOUNT, False),
        ("CVC Mandated", DeclineCode.INCORRECT_CVC, False),
        ("Card Updated", DeclineCode.INVALID_ACCOUNT, False),
        ("Non-reloadable prepaid card", DeclineCode.RESTRICTED_CARD, False),
        ("Ecommerce Not Allowed", DeclineCode.TRANSACTION_NOT_ALLOWED, True),
        ("Something new", DeclineCode.CARD_NOT_SUPPORTED, True),
    ],
)
async def test_what_adyen_has_inferred_is_more_than_not_supported(
    inferred: str, unified: DeclineCode, soft: bool
) -> None:
    decline = await adyen(
        refusalReasonCode="10",
        refusalReason="Not supported",
        additionalData={"inferredRefusalReason": inferred},
    )
    assert (decline.code, decline.soft) == (unified, soft)
    assert decline.provider_code == "10"


@pytest.mark.parametrize(
    "number", ["4242424242424242", "4242 4242 4242 4242", "4242-4242-4242-4242"]
)
async def test_a_card_number_in_a_providers_words_is_never_kept(number: str) -> None:
    declines = [
        await stripe(number, code=number, message=f"no: {number}", network_decline_code=number,
                     network_advice_code=number),
        await adyen(refusalReasonCode=number, refusalReason=f"no: {number}",
                    additionalData={"merchantAdviceCode": number, "refusalReasonRaw": number}),
    ]  # fmt: skip
    # Where it stands across the cut, no half of it is left.
    declines += [await stripe("x" * before + number) for before in range(84, 100)]
    for decline in declines:
        assert number[:9] not in repr(decline)
