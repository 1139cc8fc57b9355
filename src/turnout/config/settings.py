"""The configuration as the rest of the house sees it: whole, checked and frozen."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from turnout.config import sections, tables
from turnout.config.environment import override
from turnout.config.options import ConfigError, did_you_mean
from turnout.config.parties import Parties, read_parties
from turnout.config.places import check_places
from turnout.config.pricing import check_rates
from turnout.config.reading import Reader
from turnout.config.references import SecretSource
from turnout.domain.accounts import Account, ApiKey, Merchant, OperatorKey, Profile

SECTIONS: dict[str, type] = {
    "server": sections.Server,
    "operations": sections.Operations,
    "edge": sections.Edge,
    "store": sections.Store,
    "vault": sections.Vault,
    "sandbox": sections.Sandbox,
    "routing": sections.Routing,
    "recovery": sections.Recovery,
    "admission": sections.Admission,
    "connectors": sections.Connectors,
    "log": sections.Log,
}
TABLES: dict[str, type] = {
    "merchants": tables.MerchantTable,
    "profiles": tables.ProfileTable,
    "accounts": tables.AccountTable,
    "api_keys": tables.ApiKeyTable,
    "operator_keys": tables.OperatorKeyTable,
}


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that the operator has set. All paths are absolute.

    Attributes:
        path: the file it came from.
        api_keys, operator_keys: by the lower-case hexadecimal SHA-256 of the key.
        references: where each secret stands, by the option's path; never the secret.
        warnings: what works and should still be looked at; log each at the start.
    """

    path: Path
    server: sections.Server
    operations: sections.Operations
    edge: sections.Edge
    store: sections.Store
    vault: sections.Vault
    sandbox: sections.Sandbox
    routing: sections.Routing
    recovery: sections.Recovery
    admission: sections.Admission
    connectors: sections.Connectors
    log: sections.Log
    merchants: Mapping[str, Merchant]
    profiles: Mapping[str, Profile]
    accounts: Mapping[str, Account]
    api_keys: Mapping[str, ApiKey]
    operator_keys: Mapping[str, OperatorKey]
    references: Mapping[str, str]
    warnings: tuple[str, ...]

    def public_body(self) -> bytes:
        """Canonical JSON of all that decides about payments, without secrets or their hashes.

        Where Turnout listens and keeps its files is left out: a payment is the same on another
        port, and a version that payments refer to should say what was different for them.
        """
        body = {
            "merchants": [dataclasses.asdict(one) for one in self.merchants.values()],
            "profiles": [dataclasses.asdict(one) for one in self.profiles.values()],
            "accounts": [_account(one) for one in self.accounts.values()],
            "api_keys": [
                {"key_id": key.key_id, "merchant_id": key.merchant_id, "live": key.live}
                for key in self.api_keys.values()
            ],
            "routing": dataclasses.asdict(self.routing),
            "recovery": dataclasses.asdict(self.recovery),
            "secrets": dict(self.references),
        }
        return json.dumps(body, sort_keys=True, separators=(",", ":"), default=sorted).encode()

    def digest(self) -> str:
        """SHA-256 of `public_body`, hexadecimal: equal for configurations that decide alike."""
        return hashlib.sha256(self.public_body()).hexdigest()

    def restart_needed(self, newer: Settings) -> list[str]:
        """Sections that differ and that a running process cannot take over."""
        return [
            name
            for name in SECTIONS
            if name != "routing" and getattr(self, name) != getattr(newer, name)
        ]


def load(path: Path, environ: Mapping[str, str]) -> Settings:
    """Reads, overrides from the environment, resolves secrets and checks everything.

    Raises:
        ConfigError: with all that is wrong, each with the option's path.
    """
    path = path.absolute()
    raw = _parse(path)
    source = SecretSource(path.parent, environ)
    reader = Reader(path.parent, source)
    for key in raw:
        if key not in SECTIONS and key not in TABLES:
            known = did_you_mean(key, (*SECTIONS, *TABLES))
            reader.wrong(key, f"there is no such section; {known}")
    reader.problems += override(raw, environ, SECTIONS)
    read: dict[str, Any] = {
        name: reader.table(kind, raw.get(name, {}), name) for name, kind in SECTIONS.items()
    }
    rates = read["routing"].exchange_rates
    check_rates(rates, "routing.exchange_rates", reader)
    parties: Parties = read_parties(raw, rates, reader)
    settings = Settings(
        path=path,
        **read,
        **{field.name: getattr(parties, field.name) for field in dataclasses.fields(parties)},
        references=dict(source.references),
        warnings=(*source.warnings, *reader.warnings),
    )
    check_places(
        settings.server,
        settings.operations,
        settings.edge,
        any(account.live for account in parties.accounts.values()),
        settings.vault,
        reader,
    )
    if reader.problems:
        raise ConfigError(str(path), reader.problems)
    return settings


def _parse(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigError(
            str(path), [f"the file cannot be read ({error.strerror}); `turnout init` makes one"]
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), [f"not TOML: {error}"]) from None


def _account(account: Account) -> dict[str, object]:
    shown = {
        field.name: getattr(account, field.name)
        for field in dataclasses.fields(account)
        if field.name not in ("credentials", "webhook_secrets", "limits", "rate_limit", "fees")
    }
    shown["credentials"] = sorted(account.credentials)
    shown["webhook_secrets"] = len(account.webhook_secrets)
    shown["rate_limit"] = dataclasses.asdict(account.rate_limit)
    shown["fees"] = dataclasses.asdict(account.fees)
    shown["limits"] = {
        currency: dataclasses.asdict(limit) for currency, limit in account.limits.items()
    }
    return shown
