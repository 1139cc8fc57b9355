"""From TOML, JSON or plain data to a document. Everything that is wrong is told at once.

Strict on purpose: a misspelt key in a policy about money must not mean "no policy". What can only
be told by looking at accounts, or at other rules, is the business of `check`.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from typing import Any, Final

from turnout.domain.accounts import Objective
from turnout.domain.errors import FieldError
from turnout.routing.rules.conditions import read_condition
from turnout.routing.rules.document import (
    ACCUMULATE,
    FIRST_MATCH,
    Cap,
    Commit,
    Outcomes,
    Rule,
    RulesetDocument,
    RulesetInvalid,
)
from turnout.routing.rules.values import Reader, shown

MOST_RULES: Final = 10_000
MOST_CONDITIONS: Final = 32
# As many as a profile may have.
_MOST_ACCOUNTS: Final = 255
_MOST_SHARE: Final = 1_000_000
_MOST_PAYMENTS: Final = 10**12
_LONGEST_TEXT: Final = 500
_PERIODS: Final = ("day", "month")
_OUTCOMES: Final = (
    "only",
    "exclude",
    "priority",
    "split",
    "weight",
    "cap",
    "commit",
    "cheapest_within_points",
    "block",
    "require_three_ds",
)
# The core's own bounds.
_OBJECTIVE_MOST: Final = {
    "margin_bps": 10_000,
    "latency_minor_per_s": 1_000_000,
    "approval_per_fee_bps": 1,
    "approval_per_latency_s": 10,
}


def from_mapping(raw: object) -> RulesetDocument:
    """Reads plain data: dicts, lists, strings, numbers and booleans.

    Raises:
        RulesetInvalid: with everything that is wrong.
    """
    reader = Reader()
    document = _document(raw, reader)
    if reader.problems:
        raise RulesetInvalid(reader.problems)
    return document


def from_toml(text: str) -> RulesetDocument:
    """Reads TOML.

    Raises:
        RulesetInvalid: with everything that is wrong.
    """
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise _malformed("TOML", error) from None
    return from_mapping(raw)


def from_json(text: bytes | str) -> RulesetDocument:
    """Reads JSON, as bytes in UTF-8. A key that stands twice in one object is an error.

    Raises:
        RulesetInvalid: with everything that is wrong.
    """
    try:
        words = text.decode() if isinstance(text, bytes) else text
        raw = json.loads(words, object_pairs_hook=_object, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _malformed("JSON", error) from None
    return from_mapping(raw)


def _malformed(kind: str, error: Exception) -> RulesetInvalid:
    told = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
    return RulesetInvalid([FieldError("document", f"{kind}_MALFORMED", f"is not {kind}: {told}")])


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the key {shown(key)} stands twice in one object")
            seen.add(key)
    return found


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _document(raw: object, reader: Reader) -> RulesetDocument:
    table = reader.table(raw, "", ("mode", "objective", "rules", "otherwise"))
    mode = reader.word(table, "mode", "", (FIRST_MATCH, ACCUMULATE))
    seen: dict[str, str] = {}
    rules = []
    rows = reader.array(table, "rules", "", MOST_RULES)
    for at, one in enumerate(rows):
        path = f"rules[{at}]"
        rule = _rule(one, path, reader)
        if rule.id in seen:
            reader.wrong(
                f"{path}.id",
                "ID_NOT_UNIQUE",
                f"{rule.id!r} is the id of {seen[rule.id]} too; every rule needs an id of its own",
            )
        elif rule.id:
            seen[rule.id] = path
        rules.append(rule)
    if "rules" not in table:
        reader.missing("rules", "write [[rules]] above each rule; there must be at least one")
    return RulesetDocument(
        mode=mode,
        rules=tuple(rules),
        objective=_objective(table["objective"], reader) if "objective" in table else None,
        otherwise=(
            _outcomes(table["otherwise"], "otherwise", reader) if "otherwise" in table else None
        ),
    )


def _rule(raw: object, path: str, reader: Reader) -> Rule:
    table = reader.table(raw, path, ("id", "description", "when", "then"))
    when = []
    if "when" in table:
        rows = reader.array(table, "when", path, MOST_CONDITIONS, least=0)
        for at, one in enumerate(rows):
            when.append(read_condition(one, f"{path}.when[{at}]", reader))
    if "then" not in table:
        reader.missing(f"{path}.then", f"say what follows, at least one of {', '.join(_OUTCOMES)}")
    return Rule(
        id=reader.rule_id(table, path),
        description=reader.optional_text(table, "description", path, _LONGEST_TEXT),
        when=tuple(when),
        then=_outcomes(table["then"], f"{path}.then", reader) if "then" in table else Outcomes(),
    )


def _objective(raw: object, reader: Reader) -> Objective:
    path = "objective"
    table = reader.table(raw, path, ("kind", *_OBJECTIVE_MOST))
    kinds = ("approval", "cost", "value", "latency", "weighted")
    figures = {
        key: reader.number(table[key], f"{path}.{key}", 0, most)
        for key, most in _OBJECTIVE_MOST.items()
        if key in table
    }
    return Objective(reader.word(table, "kind", path, kinds), **figures)


def _outcomes(raw: object, path: str, reader: Reader) -> Outcomes:
    table = reader.table(raw, path, _OUTCOMES)
    if isinstance(raw, Mapping) and not raw:
        reader.wrong(path, "EMPTY", f"is empty; say at least one of {', '.join(_OUTCOMES)}")
    points = None
    if "cheapest_within_points" in table:
        where = f"{path}.cheapest_within_points"
        points = reader.number(table["cheapest_within_points"], where, 0, 100)
    block = ""
    if "block" in table:
        block = reader.text(table["block"], f"{path}.block", _LONGEST_TEXT)
    three_ds = False
    if "require_three_ds" in table:
        where = f"{path}.require_three_ds"
        three_ds = reader.truth(table["require_three_ds"], where)
        if not three_ds and len(table) == 1:
            reader.wrong(where, "NO_OUTCOME", "is false, so the rule does nothing; say what it is")
    return Outcomes(
        only=_accounts(table, "only", path, reader),
        exclude=_accounts(table, "exclude", path, reader),
        priority=_tiers(table, path, reader),
        split=_by_account(table, "split", path, reader),
        weight=_by_account(table, "weight", path, reader),
        cap=tuple(_cap(one, where, reader) for one, where in _rows(table, "cap", path, reader)),
        commit=tuple(
            _commit(one, where, reader) for one, where in _rows(table, "commit", path, reader)
        ),
        cheapest_within_points=points,
        block=block,
        require_three_ds=three_ds,
    )


def _rows(
    table: Mapping[str, Any], key: str, path: str, reader: Reader
) -> list[tuple[object, str]]:
    if key not in table:
        return []
    rows = reader.array(table, key, path, _MOST_ACCOUNTS)
    return [(one, f"{path}.{key}[{at}]") for at, one in enumerate(rows)]


def _accounts(table: Mapping[str, Any], key: str, path: str, reader: Reader) -> tuple[str, ...]:
    return tuple(reader.account_id(one, where) for one, where in _rows(table, key, path, reader))


def _tiers(table: Mapping[str, Any], path: str, reader: Reader) -> tuple[tuple[str, ...], ...]:
    tiers = []
    seen: set[str] = set()
    for row, where in _rows(table, "priority", path, reader):
        tier = []
        for at, one in enumerate(reader.items(row, where, _MOST_ACCOUNTS)):
            account = reader.account_id(one, f"{where}[{at}]")
            if account and account in seen:
                reader.wrong(
                    f"{where}[{at}]",
                    "ACCOUNT_TWICE",
                    f"{account} stands in these tiers before; an account has one place",
                )
            seen.add(account)
            tier.append(account)
        tiers.append(tuple(tier))
    return tuple(tiers)


def _by_account(table: Mapping[str, Any], key: str, path: str, reader: Reader) -> dict[str, Any]:
    if key not in table:
        return {}
    where = f"{path}.{key}"
    if not isinstance(table[key], Mapping):
        reader.wrong_type(where, "a table of account ids and numbers", table[key])
        return {}
    if not table[key]:
        reader.wrong(where, "EMPTY", "is empty; name at least one, or leave the key out")
    if len(table[key]) > _MOST_ACCOUNTS:
        reader.too_many(where, len(table[key]), _MOST_ACCOUNTS)
        return {}
    found: dict[str, Any] = {}
    for name, value in table[key].items():
        account = reader.account_id(name, where)
        if account and key == "split":
            found[account] = reader.integer(value, f"{where}.{account}", 1, _MOST_SHARE)
        elif account:
            found[account] = reader.number(value, f"{where}.{account}", -1, 1)
    return found


def _cap(raw: object, path: str, reader: Reader) -> Cap:
    table = reader.table(raw, path, ("account", "payments", "amount_minor", "currency", "per"))
    payments = amount_minor = None
    if "payments" in table:
        payments = reader.integer(table["payments"], f"{path}.payments", 1, _MOST_PAYMENTS)
    if "amount_minor" in table:
        where = f"{path}.amount_minor"
        amount_minor = reader.integer(table["amount_minor"], where, 1, 2**63 - 1)
    if ("payments" in table) == ("amount_minor" in table):
        reader.wrong(path, "CAP_UNCLEAR", "say either payments, or amount_minor and its currency")
    currency = ""
    if "currency" in table:
        currency = reader.currency(table["currency"], f"{path}.currency")
    if ("currency" in table) != ("amount_minor" in table):
        reader.wrong(path, "CAP_UNCLEAR", "amount_minor and currency need each other")
    return Cap(
        account=reader.account_of(table, path),
        per=reader.word(table, "per", path, _PERIODS),
        payments=payments,
        amount_minor=amount_minor,
        currency=currency,
    )


def _commit(raw: object, path: str, reader: Reader) -> Commit:
    table = reader.table(raw, path, ("account", "payments", "per", "within_points"))
    payments, within_points = 1, 0.0
    if "payments" in table:
        payments = reader.integer(table["payments"], f"{path}.payments", 1, _MOST_PAYMENTS)
    else:
        reader.missing(f"{path}.payments", "say how many payments were promised")
    if "within_points" in table:
        where = f"{path}.within_points"
        within_points = reader.number(table["within_points"], where, 0, 100)
    else:
        reader.missing(
            f"{path}.within_points",
            "say how many percentage points of approval the commitment may cost",
        )
    return Commit(
        account=reader.account_of(table, path),
        payments=payments,
        per=reader.word(table, "per", path, _PERIODS),
        within_points=within_points,
    )
