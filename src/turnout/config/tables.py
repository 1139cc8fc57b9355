"""The arrays of tables of turnout.toml: merchants, profiles, accounts and API keys."""

# ruff: noqa: RUF009 (`option` makes a field, it is no shared default)

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from turnout.config.options import option, required
from turnout.domain.accounts import AUTHORIZATION_VALID_H, AmountLimit, Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class MerchantTable:
    """A business that is paid."""

    id: str = required("`mer_` and 1 to 60 of a-z, A-Z, 0-9, _ and -; never change it.")
    organisation: str = required("`org_...`: the organisation that the merchant belongs to.")
    name: str = required("For people.")
    default_profile: str = required("Id of the profile that serves requests which name none.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveTable:
    """What a profile wants of its accounts: what accounts of one tier compete by."""

    kind: str = option(
        "approval",
        "The most approvals; the most money left (value); approvals with fees and waiting weighed "
        "in (weighted), and two settings of that: cost and latency. See docs/routing.md.",
        choices=("approval", "cost", "latency", "value", "weighted"),
    )
    margin_bps: float = option(
        300.0,
        "For value: what an approved payment earns before fees, of its amount.",
        unit="bps",
        least=0.0,
        most=10_000.0,
    )
    latency_minor_per_s: float = option(
        0.0,
        "For value: what a second of waiting costs, in minor units.",
        unit="minor units a second",
        least=0.0,
        most=1_000_000.0,
    )
    approval_per_fee_bps: float = option(
        0.0,
        "For weighted: the approval (0 to 1) that a basis point of fee is worth.",
        least=0.0,
        most=1.0,
    )
    approval_per_latency_s: float = option(
        0.0,
        "For weighted: the approval (0 to 1) that a second of waiting is worth.",
        unit="per second",
        least=0.0,
        most=10.0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FeeLineTable:
    """One line of interchange and scheme fees: the first that fits a payment is added."""

    network: str = option("", "Card network that it is for; empty fits any.")
    funding: str = option(
        "",
        "Funding that it is for; empty fits any.",
        choices=("", "credit", "debit", "prepaid"),
    )
    issuer_country: str = option("", "Issuer's country that it is for; empty fits any.")
    cross_border: bool | None = option(
        None,
        "Only for issuers outside (true) or inside (false) home_country; left out, for both.",
    )
    bps: float = option(0.0, "Share of the amount.", unit="bps", least=-10_000.0, most=10_000.0)
    fixed_minor: float = option(
        0.0, "In minor units of the fees' currency.", unit="minor units", least=-1e9, most=1e9
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FeesTable:
    """What an approved payment costs at an account; all parts add up. Rebates are negative."""

    bps: float = option(0.0, "Share of the amount.", unit="bps", least=-10_000.0, most=10_000.0)
    fixed_minor: float = option(
        0.0, "In minor units of `currency`.", unit="minor units", least=-1e9, most=1e9
    )
    currency: str = option(
        "",
        "ISO 4217 code of what fixed_minor is in, with a rate in routing.exchange_rates; empty is "
        "the payment's own.",
    )
    cross_border_bps: float = option(
        0.0,
        "Added where the issuer is outside home_country, or unknown.",
        unit="bps",
        least=-10_000.0,
        most=10_000.0,
    )
    home_country: str = option("", "ISO 3166-1 alpha-2 code of where the account is at home.")
    conversion_bps: float = option(
        0.0,
        "Added where the payment's currency is none of settlement_currencies.",
        unit="bps",
        least=-10_000.0,
        most=10_000.0,
    )
    settlement_currencies: tuple[str, ...] = option(
        (), "ISO 4217 codes of what it pays out in; empty is all."
    )
    lines: tuple[FeeLineTable, ...] = option(
        (),
        "Interchange and scheme fees, each [[accounts.fees.lines]]; the first that fits counts.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimitTable:
    """How many calls an account bears."""

    per_s: float = option(
        0.0, "Calls a second; 0 is no limit.", unit="calls a second", least=0.0, most=1e6
    )
    burst: float = option(
        0.0, "Calls at once after a pause; 0 is per_s.", unit="calls", least=0.0, most=1e6
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileTable:
    """A merchant's settings for one shop or region: above all, its accounts in order."""

    id: str = required("`pro_...`; never change it.")
    merchant: str = required("Id of its merchant.")
    tiers: tuple[tuple[str, ...], ...] = required(
        'Account ids, for example [["acc_a", "acc_b"], ["acc_c"]]: accounts of one tier compete, '
        "and a later tier is tried after all of the earlier ones."
    )
    max_attempts: int = option(
        3, "Accounts that one payment may try.", unit="attempts", least=1, most=3
    )
    statement_descriptor: str = option(
        "", "What payers read on their statement, where the payment says nothing else."
    )
    objective: ObjectiveTable = option(
        ObjectiveTable(), "What accounts of one tier compete by, as [profiles.objective]."
    )
    explore: bool = option(
        True,
        "Whether payments may be used for finding out which account is best; false takes the best "
        "by the estimates.",
    )
    scheme_rules_in_test: bool = option(
        True,
        "Whether the card schemes' limits on trying a card again hold for test payments too. Turn "
        "it off where tests pay with one published card again and again; live payments always "
        "keep to them.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountTable:
    """A merchant's account at a provider."""

    id: str = required("`acc_...`; never change it: webhook addresses and old payments name it.")
    merchant: str = required("Id of its merchant.")
    provider: str = required("Name of the connector, for example stripe or adyen.")
    base_url: str = required(
        "Where the provider's API is. https, or for a test account http on loopback."
    )
    live: bool = option(False, "Whether money is real. Live keys reach live accounts only.")
    enabled: bool = option(
        True, "Whether new payments may go there; captures and refunds always may."
    )
    credentials: Mapping[str, Secret] = option(
        {}, "By the names that the connector documents, each as env:NAME or file:PATH."
    )
    webhook_secrets: tuple[Secret, ...] = option(
        (),
        "Newest first, each as env:NAME or file:PATH; two while one is being changed.",
        most=2,
    )
    settings: Mapping[str, str] = option(
        {}, "By the names that the connector documents; never secrets."
    )
    methods: frozenset[str] = option(frozenset({"card"}), "Payment methods it takes.")
    networks: frozenset[str] = option(frozenset(), "Card networks it takes; empty is any.")
    currencies: frozenset[str] = option(
        frozenset(), "ISO 4217 codes of the currencies it takes; empty is any."
    )
    countries: frozenset[str] = option(
        frozenset(), "ISO 3166-1 alpha-2 codes of the issuers' countries it takes; empty is any."
    )
    limits: Mapping[str, AmountLimit] = option(
        {},
        "By currency: { EUR = { min_minor = 50, max_minor = 100000 } }, in minor units; a "
        "max_minor of 0 is none.",
    )
    multi_capture: bool = option(
        False, "Whether the provider lets this account capture one authorization several times."
    )
    max_in_flight: int = option(
        0, "Calls to the provider at once; 0 is no cap.", unit="calls", least=0, most=100_000
    )
    adaptive_in_flight: bool = option(
        False,
        "Whether fewer than max_in_flight are made at once while calls fail or take several times "
        "as long as usual.",
    )
    rate_limit: RateLimitTable = option(
        RateLimitTable(), "Calls a second: { per_s = 50, burst = 100 }."
    )
    require_known: frozenset[str] = option(
        frozenset(),
        "Facts without which it takes no payment; otherwise what is unknown excludes no account.",
        choices=("amount", "currency", "issuer_country", "method", "network"),
    )
    fees: FeesTable = option(
        FeesTable(), "What an approved payment costs there, as [accounts.fees]."
    )
    timeout_ms: int = option(
        20_000, "Total time for one call to the provider.", unit="ms", least=100, most=120_000
    )
    connect_timeout_ms: int = option(
        2_000, "Time to connect to the provider.", unit="ms", least=50, most=30_000
    )
    authorization_valid_h: int = option(
        AUTHORIZATION_VALID_H,
        "Hours until an uncaptured authorization expires, where the provider does not say.",
        unit="h",
        least=1,
        most=8_760,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorKeyTable:
    """The key of a person or tool that resolves reviews, for all merchants. It cannot pay."""

    id: str = required("`opr_...`: stands with everything that is done with the key.")
    name: str = required("Who has it, for people.")
    sha256: str = required(
        "SHA-256 of the key, 64 hexadecimal digits; `env:` and `file:` are resolved. Not an API "
        "key's."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyTable:
    """A merchant's API key, by its hash. A live key begins with sk_live_, a test key sk_test_."""

    id: str = required("`key_...`: names the key in logs.")
    merchant: str = required("Id of its merchant.")
    sha256: str = required(
        "Hexadecimal SHA-256 of the whole key, as it is or as env:NAME or file:PATH. The key "
        "itself never stands here; it must be random (at least 24 bytes), not thought up."
    )
    live: bool = option(False, "Whether the key reaches live accounts; a test key never does.")
