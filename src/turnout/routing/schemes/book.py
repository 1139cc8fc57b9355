"""Reads the schemes' rules, checks them, and finds those that hold for a payment.

The rules are data (`rules.toml`), because the schemes change their figures every year and the
judge stays the same. They are read once, when the process starts, and a fault in them stops it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any

from turnout.domain.cards import Network

HOUR_NS = 3_600 * 1_000_000_000
OTHER = "other"

_SCHEME_NAMES = frozenset(
    {
        "network",
        "also",
        "effective_from",
        "final_codes",
        "mend_codes",
        "unadvised_attempts",
        "limits",
        "advice",
    }
)
_LIMIT_NAMES = frozenset({"scope", "window_h", "attempts", "initiators_apart"})
_ADVICE_NAMES = frozenset({"wait_h", "until"})
_SCOPES = frozenset({"card", "intent"})
# A year is longer than any rule looks back; a longer one is a slip in the unit.
_HOURS_MOST = 366 * 24


class SchemeRulesInvalid(ValueError):
    """The rules cannot be used; the message says which one and why."""


class Until(StrEnum):
    """What ends an advice's waiting time early."""

    NOTHING = ""
    NEW_DETAILS = "new_details"
    CUSTOMER = "customer"


@dataclass(frozen=True, slots=True)
class Advice:
    """What a merchant advice code asks for: no attempt for this long, or until something."""

    wait_ns: int
    until: Until = Until.NOTHING


@dataclass(frozen=True, slots=True)
class Limit:
    """A rolling limit; see `rules.toml`."""

    rule: str
    scope: str
    window_ns: int
    attempts: int
    initiators_apart: bool


@dataclass(frozen=True, slots=True)
class SchemeRules:
    """One scheme's rules from one day on; see `rules.toml`.

    Attributes:
        window_ns: how far back any rule looks.
        card_window_ns: how far back the card's own attempts count; 0 where they do not.
        most: how many attempts the tightest limit leaves a card that stands nowhere, and its rule.
    """

    scheme: str
    networks: tuple[str, ...]
    effective_from_ns: int
    final_codes: frozenset[str]
    mend_codes: frozenset[str]
    unadvised_attempts: int
    limits: tuple[Limit, ...]
    advice: Mapping[str, Advice]
    window_ns: int
    card_window_ns: int
    most: tuple[int, str]


class RuleBook:
    """All schemes' rules, by network and time."""

    def __init__(self, rules: tuple[SchemeRules, ...]) -> None:
        """Takes rules that `read_rules` has checked."""
        self._of: dict[str, tuple[SchemeRules, ...]] = {}
        for network in (OTHER, *(one.value for one in Network)):
            own = [one for one in rules if network in one.networks]
            chosen = own or [one for one in rules if OTHER in one.networks]
            chosen.sort(key=lambda one: one.effective_from_ns, reverse=True)
            self._of[network] = tuple(chosen)

    def of(self, network: Network, now_ns: int) -> SchemeRules:
        """The rules that hold for a network at this time; the oldest ones before all of them."""
        found = self._of[network.value]
        for one in found:
            if one.effective_from_ns <= now_ns:
                return one
        return found[-1]


@cache
def rule_book() -> RuleBook:
    """The rules that come with the package, read once.

    Raises:
        SchemeRulesInvalid: they cannot be used.
    """
    return read_rules(files(__package__).joinpath("rules.toml").read_text(encoding="utf-8"))


def read_rules(text: str) -> RuleBook:
    """Reads and checks rules as TOML.

    Raises:
        SchemeRulesInvalid: the text is no TOML, a name or value is wrong, two sets of a scheme
            begin on the same day, or `other` is missing.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SchemeRulesInvalid(f"the scheme rules are no TOML: {error}") from error
    _only(document, frozenset({"scheme"}), "the file")
    tables = document.get("scheme")
    if not isinstance(tables, list) or not tables:
        raise SchemeRulesInvalid("the scheme rules hold no [[scheme]]")
    rules = tuple(_scheme(one, f"scheme {place}") for place, one in enumerate(tables, start=1))
    seen: set[tuple[str, int]] = set()
    for one in rules:
        for network in one.networks:
            if (network, one.effective_from_ns) in seen:
                raise SchemeRulesInvalid(
                    f"{network}: two sets of rules begin on the same day; change one's "
                    "effective_from"
                )
            seen.add((network, one.effective_from_ns))
    if not any(OTHER in one.networks for one in rules):
        raise SchemeRulesInvalid(f"no [[scheme]] has network = {OTHER!r}")
    return RuleBook(rules)


def _scheme(table: Any, where: str) -> SchemeRules:
    _table(table, where)
    network = _value(table, "network", str, where)
    where = f"{where} ({network})"
    _only(table, _SCHEME_NAMES, where)
    networks = (network, *_words(table, "also", where))
    known = {OTHER, *(one.value for one in Network)}
    for one in networks:
        if one not in known:
            raise SchemeRulesInvalid(f"{where}: {one!r} is no network; known are {sorted(known)}")
    begins = table.get("effective_from")
    if not isinstance(begins, date) or isinstance(begins, datetime):
        raise SchemeRulesInvalid(f"{where}: effective_from must be a day such as 2026-04-01")
    midnight = datetime(begins.year, begins.month, begins.day, tzinfo=UTC)
    raw_limits = _value(table, "limits", list, where)
    limits = tuple(
        _limit(one, network, f"{where}, limit {place}")
        for place, one in enumerate(raw_limits, start=1)
    )
    if not limits:
        raise SchemeRulesInvalid(f"{where}: limits is empty; a scheme without a limit has none")
    raw_advice = table.get("advice", {})
    _table(raw_advice, f"{where}, advice")
    advice = {code: _advice(one, f"{where}, advice {code!r}") for code, one in raw_advice.items()}
    waits = [one.wait_ns for one in advice.values()]
    return SchemeRules(
        network,
        networks,
        int(midnight.timestamp()) * 1_000_000_000,
        frozenset(_words(table, "final_codes", where)),
        frozenset(_words(table, "mend_codes", where)),
        _count(table, "unadvised_attempts", 0, 100, where),
        limits,
        advice,
        max(waits + [one.window_ns for one in limits]),
        max((one.window_ns for one in limits if one.scope == "card"), default=0),
        min((one.attempts, one.rule) for one in limits),
    )


def _limit(table: Any, network: str, where: str) -> Limit:
    _table(table, where)
    _only(table, _LIMIT_NAMES, where)
    scope = _value(table, "scope", str, where)
    if scope not in _SCOPES:
        raise SchemeRulesInvalid(f"{where}: scope is one of {sorted(_SCOPES)}, not {scope!r}")
    window_h = _count(table, "window_h", 1, _HOURS_MOST, where)
    apart = table.get("initiators_apart", False)
    if not isinstance(apart, bool):
        raise SchemeRulesInvalid(f"{where}: initiators_apart must be true or false")
    return Limit(
        f"{network}.{scope}_{window_h}h",
        scope,
        window_h * HOUR_NS,
        _count(table, "attempts", 1, 1_000, where),
        apart,
    )


def _advice(table: Any, where: str) -> Advice:
    _table(table, where)
    _only(table, _ADVICE_NAMES, where)
    until = table.get("until", "")
    if until not in {one.value for one in Until}:
        raise SchemeRulesInvalid(f"{where}: until is `new_details` or `customer`, not {until!r}")
    return Advice(_count(table, "wait_h", 1, _HOURS_MOST, where) * HOUR_NS, Until(until))


def _table(value: Any, where: str) -> None:
    if not isinstance(value, dict):
        raise SchemeRulesInvalid(f"{where}: a table is wanted, not {type(value).__name__}")


def _only(table: Mapping[str, Any], names: frozenset[str], where: str) -> None:
    unknown = sorted(set(table) - names)
    if unknown:
        raise SchemeRulesInvalid(f"{where}: {unknown} is not known; known are {sorted(names)}")


def _value(table: Mapping[str, Any], name: str, kind: Callable[..., Any], where: str) -> Any:
    value = table.get(name)
    if type(value) is not kind:
        wanted = getattr(kind, "__name__", "value")
        raise SchemeRulesInvalid(f"{where}: {name} must be a {wanted}, not {value!r}")
    return value


def _count(table: Mapping[str, Any], name: str, least: int, most: int, where: str) -> int:
    value: int = _value(table, name, int, where)
    if not least <= value <= most:
        raise SchemeRulesInvalid(f"{where}: {name} must be {least} to {most}, not {value}")
    return value


def _words(table: Mapping[str, Any], name: str, where: str) -> tuple[str, ...]:
    value = table.get(name, [])
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise SchemeRulesInvalid(f"{where}: {name} must be a list of words, not {value!r}")
    return tuple(value)
