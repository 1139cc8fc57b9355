"""Who is who: merchants, their profiles, and their accounts at providers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

# Hours that a hold lasts, where neither the provider nor the account's configuration says.
AUTHORIZATION_VALID_H = 168


class Secret:
    """A value that repr, str and format hide; `reveal` is the one way to it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself, for the one call that needs it."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(hidden)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


@dataclass(frozen=True, slots=True)
class AmountLimit:
    """The smallest and largest amount that an account takes in one currency, minor units."""

    min_minor: int = 0
    max_minor: int = 0


@dataclass(frozen=True, slots=True)
class FeeLine:
    """One line of interchange and scheme fees; the first that fits a payment is added.

    Attributes:
        network: card network; empty fits any.
        funding: credit, debit, prepaid; empty fits any.
        issuer_country: ISO 3166-1 alpha-2; empty fits any.
        cross_border: only issuers outside (True) or inside (False) the account's home country.
        bps: of the amount.
        fixed_minor: in the fees' currency.
    """

    network: str = ""
    funding: str = ""
    issuer_country: str = ""
    cross_border: bool | None = None
    bps: float = 0.0
    fixed_minor: float = 0.0


@dataclass(frozen=True, slots=True)
class Fees:
    """What an approved payment costs at an account; all parts add up.

    Attributes:
        bps: of the amount.
        fixed_minor: in minor units of `currency`.
        currency: ISO 4217; empty means the payment's own. Needs an exchange rate.
        cross_border_bps: added where the issuer is outside `home_country`, or unknown.
        home_country: ISO 3166-1 alpha-2.
        conversion_bps: added where the payment's currency is no settlement currency.
        settlement_currencies: ISO 4217; empty means all.
        lines: interchange and scheme fees (interchange++).
    """

    bps: float = 0.0
    fixed_minor: float = 0.0
    currency: str = ""
    cross_border_bps: float = 0.0
    home_country: str = ""
    conversion_bps: float = 0.0
    settlement_currencies: Sequence[str] = ()
    lines: Sequence[FeeLine] = ()


@dataclass(frozen=True, slots=True)
class Objective:
    """What a profile wants of its accounts.

    Attributes:
        kind: approval, value, weighted, cost or latency.
        margin_bps: value: what an approved payment earns before fees, of its amount.
        latency_minor_per_s: value: what a second of waiting costs.
        approval_per_fee_bps: weighted: the approval that a basis point of fee is worth.
        approval_per_latency_s: weighted: the approval that a second is worth.
    """

    kind: str = "approval"
    margin_bps: float = 300.0
    latency_minor_per_s: float = 0.0
    approval_per_fee_bps: float = 0.0
    approval_per_latency_s: float = 0.0


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How many calls an account bears: so many a second, so many at once after a pause.

    Attributes:
        per_s: 0 means no limit.
        burst: 0 means one second's worth.
    """

    per_s: float = 0.0
    burst: float = 0.0


@dataclass(frozen=True, slots=True)
class Account:
    """One merchant's credentials at a provider, and what that provider may be asked there.

    Attributes:
        credentials: by the names that the connector documents.
        webhook_secrets: newest first; two while one is being changed.
        settings: further settings by the names that the connector documents; never secrets.
        networks, currencies, countries: empty means any.
        limits: by currency.
        adaptive_in_flight: the cap follows how the account bears its load, up to max_in_flight.
        require_known: facts without which it takes no payment: amount, currency, method,
            network, issuer_country.
        fees: what an approved payment costs there, for objectives that weigh it.
        timeout_ms: total time for one call to the provider.
        authorization_valid_h: hours until an uncaptured authorization expires at the provider.
    """

    account_id: str
    merchant_id: str
    provider: str
    base_url: str
    live: bool = False
    enabled: bool = True
    credentials: Mapping[str, Secret] = field(default_factory=dict)
    webhook_secrets: tuple[Secret, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    methods: frozenset[str] = frozenset({"card"})
    networks: frozenset[str] = frozenset()
    currencies: frozenset[str] = frozenset()
    countries: frozenset[str] = frozenset()
    limits: Mapping[str, AmountLimit] = field(default_factory=dict)
    multi_capture: bool = False
    max_in_flight: int = 0
    adaptive_in_flight: bool = False
    rate_limit: RateLimit = RateLimit()
    require_known: frozenset[str] = frozenset()
    fees: Fees = Fees()
    timeout_ms: int = 20_000
    connect_timeout_ms: int = 2_000
    authorization_valid_h: int = AUTHORIZATION_VALID_H


@dataclass(frozen=True, slots=True)
class Profile:
    """A merchant's settings for one shop or region: above all, its accounts in order.

    Attributes:
        tiers: account ids; the first tier is tried first, accounts in one tier compete.
        objective: what they compete by.
        explore: whether payments may be used for finding out which account is best.
        scheme_rules_in_test: whether the schemes' rules on retries hold for test payments too.
    """

    profile_id: str
    merchant_id: str
    tiers: tuple[tuple[str, ...], ...]
    max_attempts: int = 3
    statement_descriptor: str = ""
    objective: Objective = Objective()
    explore: bool = True
    scheme_rules_in_test: bool = True


@dataclass(frozen=True, slots=True)
class Merchant:
    """A business that is paid. `default_profile_id` serves requests that name none."""

    merchant_id: str
    organisation_id: str
    name: str
    default_profile_id: str


@dataclass(frozen=True, slots=True)
class OperatorKey:
    """The key of somebody who works on reviews: for all merchants, and never to pay with.

    Attributes:
        key_id: stands with every resolution.
        sha256: lower-case hexadecimal of the key's SHA-256.
    """

    key_id: str
    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A merchant's key as it is kept: its SHA-256, never the key.

    Attributes:
        key_id: names it in logs.
        sha256: lower-case hexadecimal of the key's SHA-256.
        live: a test key reaches test accounts only, a live key live accounts only.
    """

    key_id: str
    merchant_id: str
    sha256: str
    live: bool = False
