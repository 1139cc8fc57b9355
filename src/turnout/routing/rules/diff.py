"""What differs between two documents, rule by rule, for people and for programs."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from turnout.routing.rules.document import Rule, RulesetDocument


class ChangeKind(StrEnum):
    """What became of a rule, or of a key."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    MOVED = "moved"


@dataclass(frozen=True, slots=True)
class Change:
    """One difference.

    Attributes:
        kind: what became of it.
        rule_id: the rule; "" where it is about the document.
        path: the key within the rule, or within the document, say `then.priority`; "" where it
            is the whole rule.
        before, after: plain data; None where there is nothing.
        text: the same for people.
    """

    kind: ChangeKind
    rule_id: str
    path: str
    before: Any
    after: Any
    text: str


def diff(before: RulesetDocument, after: RulesetDocument) -> list[Change]:
    """Differences in the order of the later document; rules that are gone stand last."""
    changes = []
    old_top, new_top = before.to_mapping(), after.to_mapping()
    for key in ("mode", "objective"):
        changes += _keys("", {key: old_top.get(key)}, {key: new_top.get(key)})
    old = {rule.id: rule for rule in before.rules}
    new = {rule.id: rule for rule in after.rules}
    moved = _moved([one for one in old if one in new], [one for one in new if one in old])
    old_places = {rule.id: at for at, rule in enumerate(before.rules)}
    for at, rule in enumerate(after.rules):
        if rule.id not in old:
            changes.append(_whole(ChangeKind.ADDED, rule, f"is new, at place {at + 1}"))
            continue
        if rule.id in moved:
            was = old_places[rule.id]
            changes.append(
                Change(
                    ChangeKind.MOVED,
                    rule.id,
                    "",
                    was,
                    at,
                    f"{rule.id}: moves from place {was + 1} to place {at + 1}",
                )
            )
        if rule != old[rule.id]:
            changes += _keys(rule.id, _flat(old[rule.id]), _flat(rule))
    changes += [
        _whole(ChangeKind.REMOVED, rule, f"is gone, from place {at + 1}")
        for at, rule in enumerate(before.rules)
        if rule.id not in new
    ]
    return changes + _keys(
        "", _outcomes(old_top.get("otherwise")), _outcomes(new_top.get("otherwise"))
    )


def _whole(kind: ChangeKind, rule: Rule, text: str) -> Change:
    plain = _plain(rule)
    added = kind is ChangeKind.ADDED
    return Change(
        kind,
        rule.id,
        "",
        None if added else plain,
        plain if added else None,
        f"{rule.id}: {text}",
    )


def _plain(rule: Rule) -> dict[str, Any]:
    plain: dict[str, Any] = RulesetDocument(mode="", rules=(rule,)).to_mapping()["rules"][0]
    return plain


def _flat(rule: Rule) -> dict[str, Any]:
    """A rule's keys; each outcome counts as a key of its own."""
    plain = _plain(rule)
    then = plain.pop("then")
    return plain | {f"then.{key}": value for key, value in then.items()}


def _outcomes(otherwise: Mapping[str, Any] | None) -> dict[str, Any]:
    return {f"otherwise.{key}": value for key, value in (otherwise or {}).items()}


def _keys(rule_id: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    changes = []
    # What a rule asks stands before what it does.
    for key in sorted({**before, **after}, key=lambda one: one.startswith("then.")):
        old, new = before.get(key), after.get(key)
        if old == new:
            continue
        if old is None:
            kind, text = ChangeKind.ADDED, f"is now {_spelt(new)}"
        elif new is None:
            kind, text = ChangeKind.REMOVED, f"is no longer {_spelt(old)}"
        else:
            kind, text = ChangeKind.CHANGED, f"was {_spelt(old)}, is {_spelt(new)}"
        where = f"{rule_id}: {key}" if rule_id else key
        # A rule stays the same rule when one of its keys comes or goes.
        kind = ChangeKind.CHANGED if rule_id else kind
        changes.append(Change(kind, rule_id, key, old, new, f"{where} {text}"))
    return changes


def _spelt(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _moved(old: Sequence[str], new: Sequence[str]) -> set[str]:
    """Which of the same ids must be moved to make one order of the other: as few as can be.

    Those that stay are a longest increasing run of old places in the new order (Fredman, 1975).
    """
    place = {rule_id: at for at, rule_id in enumerate(old)}
    ends: list[int] = []
    chain: dict[int, int | None] = {}
    for rule_id in new:
        at = place[rule_id]
        length = bisect_left(ends, at)
        chain[at] = ends[length - 1] if length else None
        ends[length : length + 1] = [at]
    stay = set()
    step = ends[-1] if ends else None
    while step is not None:
        stay.add(old[step])
        step = chain[step]
    return set(old) - stay
