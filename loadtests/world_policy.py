"""The router as a policy of the world of ailing providers: the real Rust core, its defaults.

    python run.py --policy world_policy:make SCENARIO.json ...

The world's clock is the only clock, and a payment's index is its seed. Everything that a policy
may see of the world (providers, objective, margin, fees) becomes configuration; nothing else is
set, so that what is judged is what a merchant gets.

The world tells of a second attempt when it plans it, at a time that lies ahead; its call begins
when the clock gets there.
"""

from __future__ import annotations

import heapq
from typing import Any

from turnout.domain.accounts import Fees, Objective
from turnout.routing import (
    Decision,
    Permit,
    RoutingAccount,
    RoutingEngine,
    RoutingFacts,
    RoutingOutcome,
    RoutingProfile,
    compile_config,
)

PROFILE = "pro_world"
OUTCOMES = {
    "approved": RoutingOutcome.APPROVED,
    "soft_decline": RoutingOutcome.ISSUER_DECLINED_SOFT,
    "hard_decline": RoutingOutcome.ISSUER_DECLINED_HARD,
    "error": RoutingOutcome.TECHNICAL_ERROR,
    "timeout": RoutingOutcome.TIMEOUT,
}


def config(world: Any) -> bytes:
    """The configuration that a merchant with these providers, fees and objective would write."""
    accounts = [RoutingAccount(p, fees=_fees(world.fees.get(p, {}))) for p in world.providers]
    if world.objective == "value":
        objective = Objective("value", margin_bps=world.margin_bps)
    else:
        objective = Objective(world.objective)
    profile = RoutingProfile(PROFILE, [list(world.providers)], objective)
    return compile_config(accounts, [profile])


def _fees(fees: dict[str, Any]) -> Fees:
    # The world's own defaults, for what a scenario does not say.
    home, crosses = fees.get("home", ""), fees.get("cross_border_bps", 0)
    bps = fees.get("fee_bps", 80)
    if not home:
        # Every issuer is abroad then.
        bps, crosses = bps + crosses, 0
    return Fees(
        bps=bps,
        fixed_minor=fees.get("fee_fixed", 10),
        cross_border_bps=crosses,
        home_country=home,
    )


class RoutedPolicy:
    """`world.Policy` through `RoutingEngine`: decide, begin, finish."""

    def __init__(self, world: Any) -> None:
        self.engine = RoutingEngine(config(world))
        self.providers = tuple(world.providers)
        self._decisions: dict[int, Decision] = {}
        self._open: dict[int, int] = {}
        self._permits: dict[tuple[int, str], Permit] = {}
        self._ahead: list[tuple[int, int, str]] = []

    def rank(self, payment: Any, now: float) -> list[str]:
        """Provider ids, best first."""
        now_ns = round(now * 1e9)
        self._begin_until(now_ns)
        decision = self.engine.decide(
            PROFILE,
            RoutingFacts(
                amount_minor=payment.amount,
                currency=payment.currency,
                method="card",
                network=payment.network,
                funding=payment.funding,
                bin=payment.bin,
                issuer_country=payment.issuer_country,
                excluded=[p for p in self.providers if p not in payment.eligible],
            ),
            decision_id=f"dec_{payment.index}",
            now_ns=now_ns,
            seed=payment.index,
        )
        self._decisions[payment.index] = decision
        return decision.account_ids

    def dispatched(self, payment: Any, provider: str, now: float) -> None:
        """An attempt leaves at `now`, which may lie ahead."""
        self._open[payment.index] = self._open.get(payment.index, 0) + 1
        heapq.heappush(self._ahead, (round(now * 1e9), payment.index, provider))

    def learn(self, payment: Any, provider: str, outcome: Any, now: float) -> None:
        """An attempt's outcome is known at `now`."""
        now_ns = round(now * 1e9)
        self._begin_until(now_ns)
        permit = self._permits.pop((payment.index, provider))
        self.engine.finish(
            permit, OUTCOMES[outcome.kind], latency_ms=outcome.latency_ms, now_ns=now_ns
        )
        self._open[payment.index] -= 1
        if self._open[payment.index] == 0:
            del self._open[payment.index], self._decisions[payment.index]

    def _begin_until(self, now_ns: int) -> None:
        while self._ahead and self._ahead[0][0] <= now_ns:
            at_ns, index, provider = heapq.heappop(self._ahead)
            # The world has sent it already, so it is counted and cannot be refused.
            permit = self.engine.begin(
                provider, now_ns=at_ns, decision=self._decisions[index], required=True
            )
            if not isinstance(permit, Permit):
                raise RuntimeError(f"{provider} is unknown to the router: {permit.code}")
            self._permits[index, provider] = permit


def make(world: Any) -> RoutedPolicy:
    """The factory that the world's judge calls with the visible part of a world."""
    return RoutedPolicy(world)
