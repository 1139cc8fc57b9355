"""What an issuer and its network say, on every way from the simulators through the connectors."""

from __future__ import annotations

import pytest

from tests.integration.connectors_bench import PROVIDERS, asked_of, running_bench
from tests.unit.connectors_rig import HeldCard
from turnout.domain.cards import CardDetails
from turnout.domain.declines import Decline, RetryAdvice
from turnout.domain.operation import OperationKind
from turnout.domain.outcomes import Outcome, OutcomeKind

VISA, MASTERCARD = "4242424242424242", "5555555555554444"
A = RetryAdvice


def why(outcome: Outcome) -> Decline:
    assert outcome.kind is OutcomeKind.DECLINED and outcome.decline is not None, outcome
    return outcome.decline


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    ("number", "holder", "code", "advice_code", "advice", "soft"),
    [
        (VISA, "DECLINED : 14", "14", "", A.NEVER_RETRY, False),
        (VISA, "DECLINED : R1 : Revocation", "R1", "", A.NEVER_RETRY, False),
        (MASTERCARD, "DECLINED : 05 : Do not honor : 03", "05", "03", A.NEVER_RETRY, False),
        (MASTERCARD, "DECLINED : 79 : 24", "79", "24", A.RETRY_LATER, False),
        (MASTERCARD, "DECLINED : 05 : Do not honor", "05", "", A.CONTACT_ISSUER, True),
    ],
)
async def test_the_issuers_words_arrive(
    provider: str,
    number: str,
    holder: str,
    code: str,
    advice_code: str,
    advice: RetryAdvice,
    soft: bool,
) -> None:
    async with running_bench(provider) as bench:
        reveal = HeldCard(CardDetails(number, 3, 2030, "737", holder))
        outcome = await bench.authorize("att_1", reveal=reveal)
        told = [why(outcome)]
        events = await bench.webhooks()
        told += [why(one.outcome) for one in events if one.kind is OperationKind.AUTHORIZE]
        if provider == "stripe":
            asked = asked_of(
                OperationKind.AUTHORIZE, "att_1", provider_reference=outcome.provider_reference
            )
            told.append(why(await bench.inquire(asked, asked, settled=True)))
        assert len(told) >= 2
        for one in told:
            assert (one.issuer_code, one.advice_code) == (code, advice_code)
            assert (one.advice, one.soft) == (advice, soft)


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_visa_card_brings_no_advice_at_adyen(provider: str) -> None:
    async with running_bench(provider) as bench:
        reveal = HeldCard(CardDetails(VISA, 3, 2030, "737", "DECLINED : 51 : No funds : 24"))
        decline = why(await bench.authorize("att_1", reveal=reveal))
        assert decline.issuer_code == "51"
        assert decline.advice_code == ("" if provider == "adyen" else "24")
