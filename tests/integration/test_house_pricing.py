"""Fees and objectives of turnout.toml in a running process: taken over by a reload, or refused."""

from __future__ import annotations

import os
from pathlib import Path

from turnout.app.house import House, open_house
from turnout.app.reload import reload_config
from turnout.config import load, write_sandbox_config
from turnout.orchestration.observer import Observer
from turnout.routing import RoutingFacts

FACTS = RoutingFacts(10_000, "EUR", "card", "visa", "credit", issuer_country="DE")
PLAIN = "[[profiles]]\nid = "
BY_COST = '[profiles.objective]\nkind = "cost"\n\n[[profiles]]\nid = '


def first(house: House) -> tuple[str, dict[str, float]]:
    """The account that a payment would go to, and what an approval costs at each."""
    decision = house.engine.decide("pro_demo/test", FACTS, decision_id="dec_1", now_ns=1, seed=1)
    fees = {one.account_id: one.fee_minor for one in decision.ranked}
    return decision.account_ids[0], fees


async def test_a_reload_takes_fees_and_objectives_over_or_nothing(tmp_path: Path) -> None:
    path = write_sandbox_config(tmp_path, os.urandom).path
    whole = path.read_text("utf-8")
    house = await open_house(load(path, {}), Observer())
    _, fees = first(house)
    # 150 bps and 25; 60 bps, 11 and the credit line's 30 bps.
    assert round(fees["acc_stripe_main"]) == 175
    assert round(fees["acc_adyen_main"]) == 101
    # Another profile follows pro_demo, so the table before it is pro_demo's.
    at = whole.index(PLAIN, whole.index('id = "pro_demo"'))
    by_cost = whole[:at] + BY_COST + whole[at + len(PLAIN) :]
    path.write_text(by_cost, "utf-8")
    assert await reload_config(house)
    assert first(house)[0] == "acc_adyen_main"
    dear = by_cost.replace("bps = 60\n", "bps = 600\n")
    path.write_text(dear, "utf-8")
    assert await reload_config(house)
    assert first(house)[0] == "acc_stripe_main"
    path.write_text(dear.replace("fixed_minor = 11\n", 'currency = "USD"\n'), "utf-8")
    assert not await reload_config(house), "there is no rate for the fees' currency"
    assert first(house)[0] == "acc_stripe_main"
    await house.close()
