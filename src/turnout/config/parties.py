"""Merchants, profiles, accounts and API keys: read, turned into the domain's types, compared."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from turnout.config.options import Wrong, did_you_mean
from turnout.config.places import is_loopback
from turnout.config.pricing import check_fees, check_objective, fees_of, objective_of
from turnout.config.reading import Reader
from turnout.config.tables import (
    AccountTable,
    ApiKeyTable,
    MerchantTable,
    OperatorKeyTable,
    ProfileTable,
)
from turnout.domain.accounts import Account, ApiKey, Merchant, OperatorKey, Profile, RateLimit
from turnout.domain.cards import Network
from turnout.domain.countries import COUNTRIES
from turnout.domain.money import EXPONENTS

T = TypeVar("T")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PROVIDER = re.compile(r"[a-z][a-z0-9_]{0,31}")
_SECRET_NAME = re.compile(r"secret|password|api_key|hmac|private|credential", re.IGNORECASE)
# Visa and Mastercard print no more than 22 characters of the merchant's line.
_DESCRIPTOR_CHARS = 22


@dataclass(frozen=True, slots=True)
class Parties:
    """Who is who, by id; API keys by hash."""

    merchants: Mapping[str, Merchant]
    profiles: Mapping[str, Profile]
    accounts: Mapping[str, Account]
    api_keys: Mapping[str, ApiKey]
    operator_keys: Mapping[str, OperatorKey]


def read_parties(
    raw: Mapping[str, Any], exchange_rates: Mapping[str, float], reader: Reader
) -> Parties:
    """Reads all of them and notes what does not fit together."""
    merchants = _rows(MerchantTable, raw, "merchants", "mer", reader)
    profiles = _rows(ProfileTable, raw, "profiles", "pro", reader)
    accounts = _rows(AccountTable, raw, "accounts", "acc", reader)
    keys = _rows(ApiKeyTable, raw, "api_keys", "key", reader)
    operators = _rows(OperatorKeyTable, raw, "operator_keys", "opr", reader)
    for path, account in accounts.values():
        _check_account(account, path, reader)
        check_fees(account.fees, exchange_rates, f"{path}.fees", reader)
        _check_merchant(account.merchant, merchants, path, reader)
    for path, profile in profiles.values():
        _check_merchant(profile.merchant, merchants, path, reader)
        _check_profile(profile, accounts, path, reader)
        check_objective(profile.objective, f"{path}.objective", reader)
    for path, merchant in merchants.values():
        _check_id(merchant.organisation, "org", f"{path}.organisation", reader)
        own = [one.id for _, one in profiles.values() if one.merchant == merchant.id]
        if merchant.default_profile not in own:
            reader.wrong(
                f"{path}.default_profile",
                f"{merchant.id} has no profile {merchant.default_profile[:64]!r}; "
                f"{did_you_mean(merchant.default_profile, own) if own else 'it has none at all'}",
            )
    _warn_of_idle_keys(keys, merchants, profiles, accounts, reader)
    by_hash = _keys_by_hash(keys, merchants, reader)
    return Parties(
        {
            one.id: Merchant(one.id, one.organisation, one.name, one.default_profile)
            for _, one in merchants.values()
        },
        {
            one.id: Profile(
                one.id,
                one.merchant,
                one.tiers,
                one.max_attempts,
                one.statement_descriptor,
                objective_of(one.objective),
                one.explore,
                one.scheme_rules_in_test,
            )
            for _, one in profiles.values()
        },
        {one.id: _account(one) for _, one in accounts.values()},
        by_hash,
        _operators_by_hash(operators, by_hash, reader),
    )


def _rows(
    kind: type[T], raw: Mapping[str, Any], name: str, prefix: str, reader: Reader
) -> dict[str, tuple[str, T]]:
    """Rows by id, each with its path."""
    given = raw.get(name, [])
    if not isinstance(given, list):
        reader.wrong(name, f"must be an array of tables: write [[{name}]] above each")
        return {}
    found: dict[str, tuple[str, T]] = {}
    for at, one in enumerate(given):
        path = f"{name}[{at}]"
        row = reader.table(kind, one, path)
        row_id: str = row.id  # type: ignore[attr-defined]
        if row_id:
            _check_id(row_id, prefix, f"{path}.id", reader)
        if row_id in found:
            reader.wrong(f"{path}.id", f"{row_id} is the id of {found[row_id][0]} too")
        found[row_id or path] = (path, row)
    return found


def _check_id(value: str, prefix: str, path: str, reader: Reader) -> None:
    if value and not re.fullmatch(rf"{prefix}_[A-Za-z0-9_-]{{1,60}}", value):
        reader.wrong(
            path,
            f"is {value[:64]!r}; an id here is {prefix}_ and 1 to 60 of a-z, A-Z, 0-9, _ and -",
        )


def _check_merchant(
    merchant_id: str, merchants: Mapping[str, object], path: str, reader: Reader
) -> None:
    if merchant_id and merchant_id not in merchants:
        reader.wrong(
            f"{path}.merchant",
            f"there is no merchant {merchant_id[:64]!r}; {did_you_mean(merchant_id, merchants)}",
        )


def _check_profile(
    profile: ProfileTable,
    accounts: Mapping[str, tuple[str, AccountTable]],
    path: str,
    reader: Reader,
) -> None:
    if len(profile.statement_descriptor) > _DESCRIPTOR_CHARS:
        reader.wrong(
            f"{path}.statement_descriptor", f"is longer than {_DESCRIPTOR_CHARS} characters"
        )
    if not any(profile.tiers):
        reader.wrong(f"{path}.tiers", "names no account, so nothing could be paid")
    seen: set[str] = set()
    modes: set[bool] = set()
    own = [one.id for _, one in accounts.values() if one.merchant == profile.merchant]
    for tier, row in enumerate(profile.tiers):
        for at, account_id in enumerate(row):
            where = f"{path}.tiers[{tier}][{at}]"
            if account_id in seen:
                reader.wrong(where, f"{account_id} stands in this profile twice")
            seen.add(account_id)
            if account_id not in accounts:
                known = did_you_mean(account_id, own) if own else "its merchant has none"
                reader.wrong(where, f"there is no account {account_id[:64]!r}; {known}")
            elif account_id not in own:
                reader.wrong(where, f"{account_id} belongs to another merchant")
            else:
                modes.add(accounts[account_id][1].live)
    if len(modes) > 1:
        reader.wrong(
            f"{path}.tiers",
            "has test and live accounts, which never mix; make one profile for each",
        )


def _check_account(account: AccountTable, path: str, reader: Reader) -> None:
    if account.provider and not _PROVIDER.fullmatch(account.provider):
        reader.wrong(f"{path}.provider", f"{account.provider[:40]!r} is not a connector's name")
    if account.base_url:
        _check_url(account, f"{path}.base_url", reader)
    for name, words, known, kind in (
        ("networks", account.networks, [one.value for one in Network], "card network"),
        ("currencies", account.currencies, EXPONENTS, "active ISO 4217 currency"),
        ("countries", account.countries, COUNTRIES, "ISO 3166-1 alpha-2 country"),
        ("limits", account.limits, EXPONENTS, "active ISO 4217 currency"),
    ):
        for word in sorted(words):
            if word not in known:
                hint = f"; {did_you_mean(word, known)}" if name == "networks" else ""
                reader.wrong(f"{path}.{name}", f"{word[:40]!r} is no {kind}{hint}")
    for name in account.settings:
        if _SECRET_NAME.search(name):
            reader.wrong(
                f"{path}.settings.{name}", "looks like a secret; it belongs to credentials"
            )
    if account.adaptive_in_flight and not account.max_in_flight:
        reader.wrong(
            f"{path}.adaptive_in_flight", "has no cap to lower: give max_in_flight a figure too"
        )
    if account.rate_limit.burst and not account.rate_limit.per_s:
        reader.wrong(f"{path}.rate_limit.burst", "means nothing without per_s")
    if account.connect_timeout_ms > account.timeout_ms:
        reader.wrong(f"{path}.connect_timeout_ms", "is above timeout_ms, which covers it too")


def _check_url(account: AccountTable, path: str, reader: Reader) -> None:
    try:
        parts = urlsplit(account.base_url)
        host = parts.hostname or ""
        sound = bool(host) and parts.port != 0
    except ValueError:
        parts, host, sound = urlsplit(""), "", False
    if not sound or parts.query or parts.fragment or parts.username or parts.password:
        reader.wrong(path, "must be like https://api.example.com, without user, query or fragment")
    elif parts.scheme == "http" and is_loopback(host) and not account.live:
        return
    elif parts.scheme != "https":
        reader.wrong(
            path,
            f"is {parts.scheme}://{host}; it must be https (a test account on loopback: http)",
        )
    elif account.live and is_loopback(host):
        reader.wrong(path, "a live account cannot be on this machine; is it a sandbox?")


def _account(row: AccountTable) -> Account:
    return Account(
        account_id=row.id,
        merchant_id=row.merchant,
        provider=row.provider,
        base_url=row.base_url.rstrip("/"),
        live=row.live,
        enabled=row.enabled,
        credentials=row.credentials,
        webhook_secrets=row.webhook_secrets,
        settings=row.settings,
        methods=row.methods,
        networks=row.networks,
        currencies=row.currencies,
        countries=row.countries,
        limits=row.limits,
        multi_capture=row.multi_capture,
        max_in_flight=row.max_in_flight,
        adaptive_in_flight=row.adaptive_in_flight,
        rate_limit=RateLimit(row.rate_limit.per_s, row.rate_limit.burst),
        require_known=row.require_known,
        fees=fees_of(row.fees),
        timeout_ms=row.timeout_ms,
        connect_timeout_ms=row.connect_timeout_ms,
        authorization_valid_h=row.authorization_valid_h,
    )


def _keys_by_hash(
    rows: Mapping[str, tuple[str, ApiKeyTable]], merchants: Mapping[str, object], reader: Reader
) -> dict[str, ApiKey]:
    found: dict[str, ApiKey] = {}
    for path, row in rows.values():
        _check_merchant(row.merchant, merchants, path, reader)
        try:
            sha256 = _hash(row.sha256, f"{path}.sha256", reader)
        except Wrong as wrong:
            reader.wrong(f"{path}.sha256", str(wrong))
            continue
        if sha256 in found:
            reader.wrong(f"{path}.sha256", f"is the hash of {found[sha256].key_id} too")
        found[sha256] = ApiKey(row.id, row.merchant, sha256, row.live)
    return found


def _operators_by_hash(
    rows: Mapping[str, tuple[str, OperatorKeyTable]],
    api_keys: Mapping[str, ApiKey],
    reader: Reader,
) -> dict[str, OperatorKey]:
    found: dict[str, OperatorKey] = {}
    for path, row in rows.values():
        try:
            sha256 = _hash(row.sha256, f"{path}.sha256", reader)
        except Wrong as wrong:
            reader.wrong(f"{path}.sha256", str(wrong))
            continue
        other = api_keys[sha256].key_id if sha256 in api_keys else ""
        other = found[sha256].key_id if sha256 in found else other
        if other:
            reader.wrong(f"{path}.sha256", f"is the hash of {other} too")
        found[sha256] = OperatorKey(row.id, row.name, sha256)
    return found


def _warn_of_idle_keys(
    keys: Mapping[str, tuple[str, ApiKeyTable]],
    merchants: Mapping[str, tuple[str, MerchantTable]],
    profiles: Mapping[str, tuple[str, ProfileTable]],
    accounts: Mapping[str, tuple[str, AccountTable]],
    reader: Reader,
) -> None:
    """A key whose merchant's default profile is of the other mode pays nothing by default."""
    for path, key in keys.values():
        merchant = merchants.get(key.merchant)
        profile = profiles.get(merchant[1].default_profile) if merchant else None
        if profile is None:
            continue
        named = [accounts[one][1] for tier in profile[1].tiers for one in tier if one in accounts]
        if named and all(account.live is not key.live for account in named):
            mode, other = ("live", "test") if key.live else ("test", "live")
            reader.warnings.append(
                f"{path}: {key.id} is a {mode} key, but {profile[1].id}, the default profile of "
                f"{key.merchant}, has {other} accounts only; calls with this key must name a "
                "profile_id"
            )


def _hash(value: str, path: str, reader: Reader) -> str:
    if value.startswith(("env:", "file:")):
        value = reader.secrets.secret(value, path).reveal()
    if value.startswith(("sk_", "pk_")):
        raise Wrong(
            "is a key and not its hash; whoever can read this file could use it, so replace the "
            "key and write the new one's SHA-256 here"
        )
    if value and not _SHA256.fullmatch(value.lower()):
        raise Wrong("is not a SHA-256: 64 hexadecimal digits")
    return value.lower()
