"""A payment as rules see it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """All facts; None where one is unknown. `now_ns` is when it is decided."""

    amount_minor: int | None = None
    currency: str | None = None
    method: str | None = None
    capture_method: str | None = None
    network: str | None = None
    funding: str | None = None
    channel: str | None = None
    three_ds: str | None = None
    issuer_country: str | None = None
    billing_country: str | None = None
    bin: str | None = None
    recurring: bool | None = None
    risk_score: int | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    now_ns: int = 0
