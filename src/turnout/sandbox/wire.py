"""The shapes that simulators, faults and the HTTP face hand to each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

Clock = Callable[[], float]


def packed(value: dict[str, Any]) -> bytes:
    """JSON in memory of its own size: what orjson returns occupies several times as much."""
    return bytes(memoryview(orjson.dumps(value)))


@dataclass(slots=True)
class Call:
    """One request, after authentication and decoding, with what faults may look for."""

    provider: str
    operation: str
    account: str
    method: str
    path: str
    params: dict[str, Any]
    idempotency_key: str | None = None
    reference: str = ""
    aliases: tuple[str, ...] = ()
    amount_minor: int | None = None
    currency: str | None = None
    last4: str | None = None
    # The provider's decline code that a fault rule demands for this call.
    forced_decline: str | None = None
    # What the simulator needs to carry out the call; opaque to everybody else.
    plan: Any = None
    stored: Any = None


@dataclass(slots=True)
class Answer:
    """One HTTP answer. A `dict` body becomes JSON."""

    status: int
    body: dict[str, Any] | bytes
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


class Simulator(Protocol):
    """What the HTTP face needs from one provider's simulator."""

    name: str

    def prepare(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> Call | Answer:
        """Authenticate, decode and claim the idempotency key; an Answer ends the request."""
        ...

    def execute(self, call: Call) -> Answer:
        """Carry the call out, booking what it moves."""
        ...

    def page(self, path: str, query: str) -> Answer | None:
        """A page for the payer, or None where there is none at this path."""
        ...

    def abandon(self, call: Call) -> None:
        """Undo `prepare` for a call that will not be carried out."""
        ...

    def describe(self, call: Call) -> None:
        """Fill in what faults match on and the request itself does not carry."""
        ...

    def distort(self, call: Call, body: dict[str, Any], kind: str, delta: int) -> None:
        """Falsify an answer in place: another reference, amount or currency."""
        ...
