"""The accounts that a profile has in one mode, and which payments each of them takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from turnout.domain.accounts import Account, Profile
from turnout.routing.rules.document import Outcomes
from turnout.routing.rules.spaces import Box, Spans, Values, Words, universe, words


@dataclass(frozen=True, slots=True)
class Roster:
    """Who may be routed to.

    Attributes:
        profile_id: the profile.
        live: the mode.
        accounts: the merchant's, by id.
        named: the profile's accounts of this mode, in its order.
        boxes: the payments that each enabled one of them takes, as boxes.
    """

    profile_id: str
    live: bool
    accounts: Mapping[str, Account]
    named: tuple[str, ...]
    boxes: Mapping[str, list[Box]] = field(repr=False)

    @classmethod
    def of(cls, accounts: Mapping[str, Account], profile: Profile, live: bool) -> Roster:
        """The roster of a profile in a mode."""
        # Another merchant's accounts look as if they did not exist.
        accounts = {
            account_id: account
            for account_id, account in accounts.items()
            if account.merchant_id == profile.merchant_id
        }
        named = tuple(
            one
            for tier in profile.tiers
            for one in tier
            if one in accounts and accounts[one].live is live
        )
        boxes = {one: boxes_of(accounts[one]) for one in named if accounts[one].enabled}
        return cls(profile.profile_id, live, accounts, named, boxes)

    def kept(self, outcomes: Outcomes) -> frozenset[str]:
        """The accounts that `only` and `exclude` leave, disabled ones among them."""
        kept = set(self.named)
        if outcomes.only:
            kept &= set(outcomes.only)
        return frozenset(kept - set(outcomes.exclude))


def boxes_of(account: Account) -> list[Box]:
    """The payments that an account takes. Limits differ by currency, so one box may not do."""
    base: dict[str, Values] = {}
    for fact, chosen in (
        ("method", account.methods),
        ("network", account.networks),
        ("currency", account.currencies),
        ("issuer_country", account.countries),
    ):
        # What is not known keeps no account away, unless the account wants to know it.
        unknown = fact in ("network", "issuer_country") and fact not in account.require_known
        if chosen:
            base[fact] = words(fact, chosen, unknown=unknown)
        elif fact in account.require_known and fact in ("network", "issuer_country"):
            base[fact] = Words(universe(fact).bits & ~1)
    if not account.limits:
        return [base]
    limited = words("currency", account.limits, unknown=False)
    currencies = base.get("currency", universe("currency"))
    rest = currencies.minus(limited)
    boxes: list[Box] = [{**base, "currency": rest}] if rest else []
    for code, limit in account.limits.items():
        own = words("currency", [code], unknown=False).meet(currencies)
        low, end = limit.min_minor, universe("amount_minor").spans[0][1]
        high = min(limit.max_minor + 1, end) if limit.max_minor else end
        if own and low < high:
            boxes.append({**base, "currency": own, "amount_minor": Spans(False, ((low, high),))})
    return boxes
