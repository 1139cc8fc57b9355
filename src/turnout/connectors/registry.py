"""Which providers there are."""

from __future__ import annotations

from turnout.connectors.adyen import AdyenConnector
from turnout.connectors.stripe import StripeConnector
from turnout.ports import Clock, Connector, HttpTransport, RetryBudget


def build_connectors(
    transport: HttpTransport, clock: Clock, budget: RetryBudget | None = None
) -> dict[str, Connector]:
    """One connector for each provider, by the name that accounts use.

    Args:
        transport: the road to the network.
        clock: for deadlines and signatures.
        budget: how much may be asked again; without it everything.
    """
    made: list[Connector] = [
        StripeConnector(transport, clock, budget),
        AdyenConnector(transport, clock, budget),
    ]
    return {connector.provider: connector for connector in made}
