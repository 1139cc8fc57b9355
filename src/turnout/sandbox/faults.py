"""Which requests go wrong, and how.

A rule names a kind of fault, whom it hits (provider, operation, account, reference, amount,
currency, last four digits), how often (probability) and how many times (count). The first rule
that matches and whose dice say so wins; all dice come from one seeded generator, so a run can be
repeated. Without rules a request pays one attribute test.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from turnout.sandbox.wire import Call

# Nothing has been booked when these strike.
BEFORE = frozenset({"status", "rate_limit", "timeout_before", "reset_before", "close_before"})
# The provider has carried the request out; only the answer suffers.
AFTER = frozenset(
    {
        "timeout_after",
        "reset_after",
        "close_after",
        "status_after",
        "reset_mid_answer",
        "html_200",
        "html_502",
        "truncated_json",
        "wrong_charset",
        "empty",
        "garbage",
        "gzip_bomb",
        "huge_body",
        "slow_drip",
        "mismatch_reference",
        "mismatch_amount",
        "mismatch_currency",
    }
)
DECLINE = "decline"
KINDS = BEFORE | AFTER | {DECLINE}

# ln(p99 / p50) of a lognormal is this many standard deviations.
_Z99 = 2.3263478740408408


@dataclass(slots=True)
class Rule:
    """One fault and the requests that it hits. None matches everything."""

    kind: str
    id: str = ""
    provider: str | None = None
    operation: str | None = None
    account: str | None = None
    reference: str | None = None
    amount_minor: int | None = None
    currency: str | None = None
    last4: str | None = None
    probability: float = 1.0
    # How many more times it strikes; None is for ever.
    count: int | None = None
    # Matching requests to let pass first, so that a fault can hit the n-th request.
    skip: int = 0
    code: str | None = None
    status: int = 503
    retry_after_s: float | None = None
    # How long a hanging connection stays open before it is dropped.
    hang_s: float = 120.0
    interval_s: float = 1.0
    size_bytes: int = 64 * 1024 * 1024
    delta_minor: int = 1
    struck: int = field(default=0)

    def matches(self, call: Call) -> bool:
        """Whether the rule is about this request at all."""
        return (
            (self.provider is None or self.provider == call.provider)
            and (self.operation is None or self.operation == call.operation)
            and (self.account is None or self.account == call.account)
            and (
                self.reference is None
                or self.reference == call.reference
                or self.reference in call.aliases
            )
            and (self.amount_minor is None or self.amount_minor == call.amount_minor)
            and (self.currency is None or self.currency == call.currency)
            and (self.last4 is None or self.last4 == call.last4)
        )


def rule_from_mapping(values: Mapping[str, Any]) -> Rule:
    """A rule from JSON.

    Raises:
        ValueError: names the field that is unknown or has a bad value.
    """
    known = {name: Rule.__annotations__[name] for name in Rule.__slots__}
    unknown = set(values) - set(known) | (set(values) & {"struck", "id"})
    if unknown:
        raise ValueError(f"{min(unknown)}: unknown field of a fault; known: {', '.join(known)}")
    if "kind" not in values:
        raise ValueError("kind: missing")
    for name, value in values.items():
        wanted: tuple[type, ...] = (str,)
        if known[name].startswith("float"):
            wanted = (int, float)
        elif known[name].startswith("int"):
            wanted = (int,)
        if value is None and known[name].endswith("None"):
            continue
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise ValueError(f"{name}: expected {known[name]}, got {type(value).__name__}")
    rule = Rule(**values)
    if rule.kind not in KINDS:
        raise ValueError(f"kind: {rule.kind!r} is not one of {', '.join(sorted(KINDS))}")
    if not 0.0 <= rule.probability <= 1.0:
        raise ValueError(f"probability: {rule.probability} is not between 0 and 1")
    if rule.kind == DECLINE and rule.code is None:
        raise ValueError("code: a decline needs the provider's own code")
    return rule


@dataclass(frozen=True, slots=True)
class Latency:
    """How long a provider takes, in milliseconds: fixed where p99 is not above p50."""

    p50_ms: float
    p99_ms: float

    def sample_s(self, rng: Random) -> float:
        """One draw, in seconds; lognormal, as answer times of real providers nearly are."""
        if self.p99_ms <= self.p50_ms:
            return self.p50_ms / 1000.0
        sigma = math.log(self.p99_ms / self.p50_ms) / _Z99
        return self.p50_ms / 1000.0 * math.exp(sigma * rng.gauss(0.0, 1.0))


class FaultEngine:
    """The rules and latencies in force, and the dice."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._rules: list[Rule] = []
        self._latencies: dict[tuple[str, str], Latency] = {}
        self._made = 0
        self.active = False

    def add(self, rule: Rule) -> str:
        """Put a rule behind those in force and return its id."""
        self._made += 1
        rule.id = f"fault_{self._made}"
        self._rules.append(rule)
        self.active = True
        return rule.id

    def remove(self, rule_id: str) -> bool:
        """Take one rule away; False if there is none of that id."""
        kept = [rule for rule in self._rules if rule.id != rule_id]
        found = len(kept) != len(self._rules)
        self._rules = kept
        self.active = bool(kept)
        return found

    def clear(self) -> None:
        """Heal everything."""
        self._rules.clear()
        self._latencies.clear()
        self.active = False

    def rules(self) -> list[Rule]:
        """The rules in force, first to last."""
        return list(self._rules)

    def pick(self, call: Call) -> Rule | None:
        """The fault that strikes this request, if any; a struck rule counts down."""
        for rule in self._rules:
            if not rule.matches(call) or rule.count == 0:
                continue
            if rule.skip > 0:
                rule.skip -= 1
                continue
            if rule.kind == DECLINE and call.operation not in ("authorize", "complete"):
                continue
            if rule.probability < 1.0 and self._rng.random() >= rule.probability:
                continue
            if rule.count is not None:
                rule.count -= 1
            rule.struck += 1
            return rule
        return None

    def set_latency(self, provider: str, operation: str, latency: Latency | None) -> None:
        """Set or clear the latency of a provider's operation; `*` is every operation."""
        if latency is None:
            self._latencies.pop((provider, operation), None)
        else:
            self._latencies[(provider, operation)] = latency

    def latencies(self) -> dict[tuple[str, str], Latency]:
        """The latencies in force."""
        return dict(self._latencies)

    def delay_s(self, provider: str, operation: str) -> float:
        """How long this request takes, in seconds."""
        if not self._latencies:
            return 0.0
        found = self._latencies
        latency = found.get((provider, operation)) or found.get((provider, "*"))
        return latency.sample_s(self._rng) if latency is not None else 0.0
