"""The connectors' code tables beside lists that were collected from the providers' own pages."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.connectors_descriptions import folder, load
from turnout.connectors.adyen.codes import REFUSAL_CODES, REFUSAL_WORDS
from turnout.connectors.adyen.codes import SCALE as ADYEN_SCALE
from turnout.connectors.stripe.codes import DECLINE_CODES
from turnout.connectors.stripe.codes import SCALE as STRIPE_SCALE
from turnout.connectors.verdicts import (
    FINAL_ISSUER_CODES,
    ISSUER_CODES,
    MERCHANT_ADVICE,
    declined,
)
from turnout.domain.declines import ADVICE, DeclineCode, RetryAdvice
from turnout.domain.money import EXPONENTS


def codes(name: str) -> Any:
    return load(folder() / "codes" / name)


def advice_of(mapped: tuple[DeclineCode, RetryAdvice | None]) -> str:
    code, advice = mapped
    return (ADVICE[code] if advice is None else advice).value


def test_every_decline_code_of_stripes_is_known_and_advised_alike() -> None:
    listed = codes("stripe-decline-codes.json")["codes"]
    assert len(listed) > 40
    different = {}
    for one in listed:
        assert one["code"] in DECLINE_CODES, one["code"]
        ours = advice_of(DECLINE_CODES[one["code"]])
        if ours != one["advice"]:
            different[one["code"]] = (ours, one["advice"])
    assert different == {}


def test_every_refusal_reason_of_adyens_is_known_and_advised_alike() -> None:
    listed = codes("adyen-refusal-reasons.json")["codes"]
    assert len(listed) > 40
    different = {}
    for one in listed:
        number = one["refusalReasonCode"]
        assert number in REFUSAL_CODES, number
        assert REFUSAL_WORDS[one["refusalReason"].lower()] == number
        ours = advice_of(REFUSAL_CODES[number])
        if ours != one["advice"]:
            different[number] = (ours, one["advice"])
    assert different == {}


def test_visas_final_codes_end_the_cascade() -> None:
    listed = codes("card-response-codes.json")["codes"]
    final = {one["code"] for one in listed if one.get("visa_category") == 1}
    assert final == set(FINAL_ISSUER_CODES)
    for code in final:
        outcome = declined(DeclineCode.DO_NOT_HONOR, issuer_code=code)
        assert outcome.decline is not None
        assert (outcome.decline.soft, outcome.decline.advice) == (False, RetryAdvice.NEVER_RETRY)


def test_what_the_issuer_said_agrees_with_visas_categories() -> None:
    listed = {one["code"]: one.get("visa_category") for one in
              codes("card-response-codes.json")["codes"]}  # fmt: skip
    assert set(ISSUER_CODES) <= set(listed)
    for code, category in listed.items():
        for vague in (DeclineCode.GENERIC, DeclineCode.DO_NOT_HONOR):
            decline = declined(vague, issuer_code=code.removeprefix("0")).decline
            assert decline is not None
            if category == 1:
                assert (decline.soft, decline.advice) == (False, RetryAdvice.NEVER_RETRY), code
            if category == 3:
                # The data must be mended first.
                assert not decline.soft, code
                assert decline.advice in {RetryAdvice.FIX_DETAILS, RetryAdvice.CUSTOMER_ACTION}


def test_mastercards_advice_ends_the_cascade() -> None:
    listed = codes("card-response-codes.json")["mastercard_merchant_advice_codes"]
    # 22 speaks of the merchant, so another account may do better.
    assert {one["code"] for one in listed} - {"22"} == set(MERCHANT_ADVICE)
    for one in listed:
        if one["retry_after_hours"] is not None:
            assert MERCHANT_ADVICE[one["code"]] is RetryAdvice.RETRY_LATER
    for code in MERCHANT_ADVICE:
        outcome = declined(DeclineCode.DO_NOT_HONOR, advice_code=code)
        assert outcome.decline is not None and not outcome.decline.soft
        assert outcome.decline.advice_code == code


@pytest.mark.parametrize("scale", [STRIPE_SCALE, ADYEN_SCALE])
def test_only_currencies_with_other_decimals_than_iso_4217_are_scaled(scale: Any) -> None:
    listed = {one["code"]: one["minor_units"] for one in codes("iso4217.json")["currencies"]}
    for currency in scale._special:
        assert listed[currency] == EXPONENTS[currency]
    for currency in set(EXPONENTS) - scale._special:
        assert scale.to_provider(1, currency) == 1
