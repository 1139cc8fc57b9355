"""The merchants, profiles and accounts that are in force, swapped whole when they are reloaded.

A payment keeps the version it began with in its record; follow-ups go to its own account for as
long as the configuration names it, enabled or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from turnout.domain.accounts import Account, Merchant, Profile
from turnout.domain.errors import FieldError, InvalidRequest, Unavailable
from turnout.ports import Connector


@dataclass(slots=True)
class Directory:
    """Everything by its id. Swapping is one assignment for each part, between two awaits."""

    merchants: Mapping[str, Merchant] = field(default_factory=dict)
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    accounts: Mapping[str, Account] = field(default_factory=dict)
    connectors: Mapping[str, Connector] = field(default_factory=dict)
    config_version: int = 0

    def swap(
        self,
        merchants: Mapping[str, Merchant],
        profiles: Mapping[str, Profile],
        accounts: Mapping[str, Account],
        config_version: int,
    ) -> None:
        """Puts another configuration in force."""
        self.merchants = merchants
        self.profiles = profiles
        self.accounts = accounts
        self.config_version = config_version

    def profile(self, merchant_id: str, profile_id: str) -> Profile:
        """The named profile, or the merchant's default one.

        Raises:
            InvalidRequest: the merchant has no such profile.
        """
        wanted = profile_id or self.merchants[merchant_id].default_profile_id
        found = self.profiles.get(wanted)
        if found is None or found.merchant_id != merchant_id:
            raise InvalidRequest(
                [
                    FieldError(
                        "profile_id",
                        "UNKNOWN_PROFILE",
                        f"there is no profile {wanted[:64]!r}; leave it empty for the default one",
                    )
                ]
            )
        return found

    def reach(self, account_id: str) -> tuple[Account, Connector]:
        """An account and the connector that speaks to its provider.

        Raises:
            Unavailable: the configuration no longer has it.
        """
        account = self.accounts.get(account_id)
        connector = self.connectors.get(account.provider) if account else None
        if account is None or connector is None:
            raise Unavailable(
                "ACCOUNT_NOT_CONFIGURED",
                f"account {account_id} is not in the configuration any more; restore it in "
                "turnout.toml to work on its payments",
                metadata={"account_id": account_id},
            )
        return account, connector
