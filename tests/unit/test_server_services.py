"""Orchestration gives what the face asks for; its types are the type checker's to prove."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from turnout.orchestration.events import Events
from turnout.orchestration.explanations import Explanations
from turnout.orchestration.ledger import Ledger
from turnout.orchestration.payments import Payments
from turnout.orchestration.refunds import Refunds
from turnout.orchestration.replays import Replays
from turnout.orchestration.reviews import Reviews
from turnout.orchestration.rulesets import Rulesets
from turnout.orchestration.tokens import Tokens
from turnout.orchestration.webhooks import Webhooks
from turnout.ports import Encoder
from turnout.server import services
from turnout.server.encode import ProtoEncoder

# mypy refuses this line where the encoder stops fitting the port.
ENCODER: Encoder = ProtoEncoder()


def as_services(
    payments: Payments,
    refunds: Refunds,
    events: Events,
    tokens: Tokens,
    webhooks: Webhooks,
    ledger: Ledger,
    reviews: Reviews,
    rulesets: Rulesets,
    explanations: Explanations,
    replays: Replays,
) -> services.Services:
    """And this one where orchestration stops fitting the face."""
    return services.Services(
        payments,
        refunds,
        events,
        tokens,
        webhooks,
        ledger,
        reviews,
        rulesets,
        explanations,
        replays,
    )


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        (services.Payments, Payments),
        (services.Refunds, Refunds),
        (services.Events, Events),
        (services.Tokens, Tokens),
        (services.Webhooks, Webhooks),
        (services.Ledger, Ledger),
        (services.Reviews, Reviews),
        (services.Rulesets, Rulesets),
        (services.Explanations, Explanations),
        (services.Replays, Replays),
    ],
)
def test_every_method_that_the_face_calls_is_there(asked: Any, given: Any) -> None:
    for name, what in inspect.getmembers(asked, inspect.isfunction):
        if name.startswith("_"):
            continue
        passed = len(inspect.signature(what).parameters)
        takes = inspect.signature(getattr(given, name)).parameters.values()
        needed = sum(one.default is one.empty for one in takes)
        assert needed <= passed <= len(takes), f"{given.__name__}.{name}"
