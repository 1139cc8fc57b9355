"""Who is who: merchants, their profiles, and their accounts at providers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


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
class Account:
    """One merchant's credentials at a provider, and what that provider may be asked there.

    Attributes:
        credentials: by the names that the connector documents.
        webhook_secrets: newest first; two while one is being changed.
        settings: further settings by the names that the connector documents; never secrets.
        networks, currencies, countries: empty means any.
        limits: by currency.
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
    timeout_ms: int = 20_000
    connect_timeout_ms: int = 2_000
    authorization_valid_h: int = 168


@dataclass(frozen=True, slots=True)
class Profile:
    """A merchant's settings for one shop or region: above all, its accounts in order.

    Attributes:
        tiers: account ids; the first tier is tried first, accounts in one tier compete.
    """

    profile_id: str
    merchant_id: str
    tiers: tuple[tuple[str, ...], ...]
    max_attempts: int = 3
    statement_descriptor: str = ""


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
