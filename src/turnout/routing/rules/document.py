"""A ruleset's document: what a merchant writes, as frozen Python (`reading` makes it).

TOML, JSON and the API's message spell one structure with the same key names. An attribute here
has its key's name, with an underscore behind it where the name is a word of Python's own (`in_`).
docs/rules.md says what everything means.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from turnout.domain.accounts import Objective
from turnout.domain.errors import FieldError, InvalidRequest

FIRST_MATCH: Final = "first_match"
ACCUMULATE: Final = "accumulate"


class RulesetInvalid(InvalidRequest):
    """The document is not a ruleset.

    Attributes:
        problems: everything that is wrong, each with the path of its key.
    """

    def __init__(self, problems: list[FieldError]) -> None:
        super().__init__(problems, "RULESET_INVALID")
        self.problems = self.fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One question about one fact of a payment (`facts.FACTS`).

    Attributes:
        fact: which.
        missing: what is said where the fact is unknown: match, no_match, or "" where not given
            (then no_match).
        not_: turns the answer round where the fact is known.
        key: metadata: whose value is asked for.
        in_: the words, any of them.
        prefix: beginnings of the value, any of them.
        ranges: bin: first and last of each range, digits of equal length.
        min, max: bounds, both inclusive.
        is_: recurring: the truth that is asked for.
        zone: time: IANA name.
        days: time: mon to sun; empty means all.
        from_, until: time: "HH:MM" by the zone's clock; from is inclusive, until exclusive.
    """

    fact: str
    key: str = ""
    in_: tuple[str, ...] = ()
    prefix: tuple[str, ...] = ()
    ranges: tuple[tuple[str, str], ...] = ()
    min: int | None = None
    max: int | None = None
    is_: bool | None = None
    zone: str = ""
    days: tuple[str, ...] = ()
    from_: str = ""
    until: str = ""
    not_: bool = False
    missing: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """No more than this many payments, or this much money, through an account in a period.

    Attributes:
        account: its id.
        per: day or month, by UTC.
        payments: approved authorizations; None where money is counted.
        amount_minor: of approved authorizations in `currency`, in its minor units.
        currency: ISO 4217; "" where payments are counted.
    """

    account: str
    per: str
    payments: int | None = None
    amount_minor: int | None = None
    currency: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A minimum commitment: approved payments that an account was promised in a period.

    Attributes:
        account: its id.
        payments: how many.
        per: day or month, by UTC.
        within_points: how far below the best score it may be preferred, in percentage points
            (0.01 of score).
    """

    account: str
    payments: int
    per: str
    within_points: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """What happens to a payment that a rule matches. Empty, None and False mean "not given".

    Attributes:
        only: accounts to keep.
        exclude: accounts to leave out.
        priority: tiers of accounts instead of the profile's.
        split: shares of the first place by account, positive.
        weight: by account, added to its score.
        cap: limits in a period.
        commit: promised volumes.
        cheapest_within_points: the cheapest of those within so many percentage points of the
            best score comes first.
        block: why the payment is refused.
        require_three_ds: the provider is asked for 3-D Secure.
    """

    only: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    priority: tuple[tuple[str, ...], ...] = ()
    split: Mapping[str, int] = dataclasses.field(default_factory=dict)
    weight: Mapping[str, float] = dataclasses.field(default_factory=dict)
    cap: tuple[Cap, ...] = ()
    commit: tuple[Commit, ...] = ()
    cheapest_within_points: float | None = None
    block: str = ""
    require_three_ds: bool = False

    def accounts(self) -> list[tuple[str, str]]:
        """Every account that is named, with the path of its place, say `priority[0][1]`."""
        named = [(f"only[{at}]", one) for at, one in enumerate(self.only)]
        named += [(f"exclude[{at}]", one) for at, one in enumerate(self.exclude)]
        for tier, row in enumerate(self.priority):
            named += [(f"priority[{tier}][{at}]", one) for at, one in enumerate(row)]
        named += [(f"split.{one}", one) for one in self.split]
        named += [(f"weight.{one}", one) for one in self.weight]
        named += [(f"cap[{at}].account", cap.account) for at, cap in enumerate(self.cap)]
        named += [(f"commit[{at}].account", one.account) for at, one in enumerate(self.commit)]
        return named


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Conditions, all of which must hold, and what follows. Without any it matches everything."""

    id: str
    then: Outcomes
    when: tuple[Condition, ...] = ()
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RulesetDocument:
    """A whole policy.

    Attributes:
        mode: first_match or accumulate.
        rules: in order.
        objective: instead of the profile's; None leaves the profile's.
        otherwise: for payments that no rule matches; None leaves them to the profile.
    """

    mode: str
    rules: tuple[Rule, ...]
    objective: Objective | None = None
    otherwise: Outcomes | None = None

    def to_mapping(self) -> dict[str, Any]:
        """The document as plain data; what was not given is left out."""
        plain: dict[str, Any] = _plain(self)
        return plain

    def canonical_json(self) -> str:
        """One spelling for each document: sorted keys, no spaces, what is not given left out."""
        return json.dumps(
            self.to_mapping(),
            sort_keys=True,
            separators=(",", ":"),
            ensure_ascii=False,
            allow_nan=False,
        )


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if isinstance(value, Mapping):
        return dict(value)
    if not dataclasses.is_dataclass(value):
        return value
    found = {}
    for field in dataclasses.fields(value):
        key = field.name.removesuffix("_")
        held = getattr(value, field.name)
        absent = {} if field.default_factory is dict else field.default
        # A kind is what was asked for also where it is the default's.
        if held != absent or key == "kind":
            found[key] = _plain(held)
    return found
