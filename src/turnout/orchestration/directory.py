"""The merchants, profiles and accounts that are in force, swapped whole when they are reloaded.

A payment keeps the version it began with in its record; follow-ups go to its own account for as
long as the configuration names it, enabled or not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from turnout.domain.accounts import Account, Merchant, Profile
from turnout.domain.errors import FieldError, InvalidRequest, Unavailable
from turnout.ports import Connector


@dataclass(slots=True)
class Directory:
    """Everything by its id. Swapping is one assignment for each part, between two awaits.

    Attributes:
        rulesets: by profile and mode (live or not), the versions that the engine knows, the one
            in force first; swapped together with the engine's own.
    """

    merchants: Mapping[str, Merchant] = field(default_factory=dict)
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    accounts: Mapping[str, Account] = field(default_factory=dict)
    connectors: Mapping[str, Connector] = field(default_factory=dict)
    config_version: int = 0
    rulesets: Mapping[tuple[str, bool], Sequence[int]] = field(default_factory=dict)

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

    def ruleset(self, profile_id: str, live: bool, began_with: int | None) -> tuple[int, str]:
        """Which ruleset a payment follows.

        Args:
            profile_id: the payment's profile.
            live: its mode.
            began_with: the version that it followed before, 0 for none; None where this is its
                first decision.

        Returns:
            The version, 0 for none; and a sentence where it is not the one that it began with.
        """
        known = self.rulesets.get((profile_id, live), ())
        active = known[0] if known else 0
        if began_with is None:
            return active, ""
        if began_with == 0 or began_with in known:
            return began_with, ""
        return (
            active,
            f"Version {began_with} of the ruleset, which the payment began with, is not kept any "
            f"more; it follows {f'version {active}' if active else 'none'}.",
        )

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
