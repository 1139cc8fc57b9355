"""Choosing the accounts for one payment: one crossing into the engine, under the payment's rules.

A payment follows the ruleset that it began with, also when it is confirmed a second time after
another one was put in force: what its merchant was told of it stays true.
"""

from __future__ import annotations

from turnout.domain import ids
from turnout.domain.cards import CardFacts
from turnout.domain.payment import Payment
from turnout.orchestration.parts import Parts
from turnout.orchestration.routes import Choice, facts_of, profile_key


def choose(parts: Parts, payment: Payment, card: CardFacts, now_ns: int) -> Choice:
    """Ranks the accounts of the payment's profile. No I/O, no await."""
    before = payment.decision
    version, note = parts.directory.ruleset(
        payment.profile_id, payment.live, None if before is None else before.ruleset_version
    )
    decision = parts.engine.decide(
        profile_key(payment.profile_id, payment.live, version),
        facts_of(payment, card),
        decision_id=parts.mint.new(ids.DECISION, now_ns),
        now_ns=now_ns,
        seed=parts.mint.random.seed(),
    )
    return Choice(decision, version, (note,) if note else ())
