"""Two documents are compared rule by rule."""

from itertools import permutations
from typing import Any

from turnout.routing.rules import Change, ChangeKind, diff, from_mapping


def rule(rule_id: str, **changes: Any) -> dict[str, Any]:
    return {"id": rule_id, "then": {"only": ["acc_a"]}} | changes


def changes(before: list[Any], after: list[Any], **top: Any) -> list[Change]:
    return diff(
        from_mapping({"mode": "first_match", "rules": before}),
        from_mapping({"mode": "first_match", "rules": after} | top),
    )


def test_no_difference_is_no_change() -> None:
    assert changes([rule("a"), rule("b")], [rule("a"), rule("b")]) == []


def test_rules_come_go_change_and_move() -> None:
    before = [rule("a"), rule("b"), rule("c"), rule("d")]
    german = {"fact": "issuer_country", "in": ["DE"], "missing": "no_match"}
    after = [
        rule("d"),
        rule("a"),
        rule("e"),
        rule("c", when=[german], then={"only": ["acc_b"], "require_three_ds": True}),
    ]
    found = changes(before, after)
    assert [(one.kind.value, one.rule_id, one.path) for one in found] == [
        ("moved", "d", ""),
        ("added", "e", ""),
        ("changed", "c", "when"),
        ("changed", "c", "then.only"),
        ("changed", "c", "then.require_three_ds"),
        ("removed", "b", ""),
    ]
    assert found[0].text == "d: moves from place 4 to place 1"
    assert (found[0].before, found[0].after) == (3, 0)
    assert found[1].after == rule("e")
    assert found[2].text == (
        'c: when is now [{"fact": "issuer_country", "in": ["DE"], "missing": "no_match"}]'
    )
    assert found[3].text == 'c: then.only was ["acc_a"], is ["acc_b"]'
    assert (found[4].before, found[4].after) == (None, True)
    assert found[5].before == rule("b")


def test_the_document_itself_changes() -> None:
    found = changes(
        [rule("a")],
        [rule("a")],
        mode="accumulate",
        objective={"kind": "cost"},
        otherwise={"block": "no"},
    )
    assert [one.text for one in found] == [
        'mode was "first_match", is "accumulate"',
        'objective is now {"kind": "cost"}',
        'otherwise.block is now "no"',
    ]
    assert [one.kind for one in found] == [ChangeKind.CHANGED, ChangeKind.ADDED, ChangeKind.ADDED]


def test_as_few_rules_as_can_be_are_moved() -> None:
    ids = ["a", "b", "c", "d", "e"]
    for order in permutations(ids):
        found = changes([rule(one) for one in ids], [rule(one) for one in order])
        assert all(one.kind is ChangeKind.MOVED for one in found)
        # Without those that moved the orders agree.
        moved = {one.rule_id for one in found}
        assert [one for one in order if one not in moved] == sorted(set(ids) - moved)
        runs = [
            [one for at, one in enumerate(order) if mask >> at & 1]
            for mask in range(1 << len(ids))
        ]
        assert len(ids) - len(moved) == max(len(run) for run in runs if run == sorted(run))
