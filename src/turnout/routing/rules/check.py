"""What is wrong with a ruleset, or probably not meant, before it meets a payment.

Sound before complete: a rule that is called unreachable is so, and a payment that is called
unroutable can be tried. Where a question would cost too much, it is left open, and that is told.
docs/rules.md lists the findings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from turnout.domain.accounts import Account, Profile
from turnout.routing.rules.cover import (
    Budget,
    Index,
    Undecided,
    chosen,
    container,
    uncovered,
)
from turnout.routing.rules.document import FIRST_MATCH, Outcomes, Rule, RulesetDocument
from turnout.routing.rules.findings import Finding, Findings
from turnout.routing.rules.inside import check_conditions, check_outcomes
from turnout.routing.rules.roster import Roster
from turnout.routing.rules.spaces import Box, box_of, contains, intersects, meet, shown

# Comparisons of two boxes, about a microsecond each: for the whole document, and for one question.
_COMPARISONS: Final = 500_000
_COMPARISONS_EACH: Final = 25_000
_NAMED: Final = 8
_TAKING_PART: Final = 20


def check(
    document: RulesetDocument,
    accounts: Mapping[str, Account],
    profile: Profile,
    live: bool,
) -> list[Finding]:
    """Everything that can be told of a document, the gravest first.

    Args:
        document: as it was read.
        accounts: all that exist, by id; those of other merchants are not looked at.
        profile: whose policy it is.
        live: whether it is the policy for live payments or for test payments.
    """
    return _Check(document, Roster.of(accounts, profile, live)).run()


class _Check:
    """One check: what the questions share."""

    def __init__(self, document: RulesetDocument, roster: Roster) -> None:
        self.document = document
        self.roster = roster
        self.findings = Findings()
        self.open: list[str] = []
        self._left = _COMPARISONS
        # Rules that nothing can match take no part in what follows.
        self.rules: list[tuple[int, Rule]] = []
        boxes: list[Box] = []
        for at, rule in enumerate(document.rules):
            box = box_of(rule)
            if all(box.values()):
                self.rules.append((at, rule))
                boxes.append(box)
        self.boxes = boxes
        self.index = Index(boxes)

    def run(self) -> list[Finding]:
        for at, rule in enumerate(self.document.rules):
            path = f"rules[{at}]"
            check_conditions(rule, path, self.findings)
            check_outcomes(rule.then, f"{path}.then", (rule.id,), self.roster, self.findings)
        if self.document.otherwise is not None:
            otherwise = self.document.otherwise
            check_outcomes(otherwise, "otherwise", (), self.roster, self.findings)
        first = self.document.mode == FIRST_MATCH
        reached = self._unreachable() if first else self._conflicts()
        blocks = sum(1 << at for at, (_, rule) in enumerate(self.rules) if rule.then.block)
        for at in reached:
            before = (1 << at) - 1 if first else blocks
            place, rule = self.rules[at]
            self._routable(f"rules[{place}]", (rule.id,), rule.then, self.boxes[at], before)
        self._otherwise()
        self._duplicates()
        if self.open:
            self.findings.note(
                "undecided",
                "",
                (),
                f"too many rules overlap to tell all in good time, so {len(self.open)} questions "
                f"are open: {', '.join(self.open[:_NAMED])}",
            )
        return self.findings.in_order()

    # --- which rules are reached

    def _unreachable(self) -> list[int]:
        """The positions of rules that some payment reaches, or may."""
        reached = []
        for at, (place, rule) in enumerate(self.rules):
            covering = self._covering(self.boxes[at], (1 << at) - 1, f"is {rule.id} reached?")
            if not covering:
                reached.append(at)
                continue
            names = tuple(self.rules[one][1].id for one in covering)
            self.findings.warn(
                "unreachable",
                f"rules[{place}]",
                (rule.id, *names[:_TAKING_PART]),
                f"is never reached: {_together(names)} every payment that it matches; put it "
                "before them, narrow them, or delete it",
            )
        return reached

    def _covering(self, box: Box, others: int, question: str) -> list[int]:
        """Rules among the others that together have all of a box; empty where some is left."""
        _, still = self.index.lonely(box, others)
        if not still:
            return []
        one = container(box, self.boxes, still)
        if one is not None:
            return [one]
        cuts: list[Box] = []
        try:
            left = self._search(box, self._near(box, others, question), question, cuts)
        except Undecided:
            return []
        if left is not None:
            return []
        wanted = {id(cut) for cut in cuts}
        return [other for other in chosen(others) if id(self.boxes[other]) in wanted]

    def _near(self, box: Box, others: int, question: str) -> list[Box]:
        """The boxes of those of the others that may meet a box.

        Raises:
            Undecided: they are too many to be gone through; that has been noted.
        """
        near = self.index.near(box, others)
        if near.bit_count() > min(self._left, _COMPARISONS_EACH):
            self.open.append(question)
            raise Undecided
        return [self.boxes[other] for other in chosen(near)]

    def _search(
        self, box: Box, others: Sequence[Box], question: str, cuts: list[Box] | None = None
    ) -> Box | None:
        """What the others leave of a box, within the document's budget.

        Raises:
            Undecided: it is too dear to tell; that has been noted.
        """
        budget = Budget(min(self._left, _COMPARISONS_EACH))
        given = budget.left
        try:
            return uncovered(box, others, budget, cuts)
        except Undecided:
            self.open.append(question)
            raise
        finally:
            self._left -= given - max(budget.left, 0)

    def _otherwise(self) -> None:
        outcomes = self.document.otherwise
        if outcomes is None:
            return
        covering = self._covering({}, self.index.all, "is otherwise reached?")
        if covering:
            names = tuple(self.rules[one][1].id for one in covering)
            self.findings.warn(
                "unreachable",
                "otherwise",
                names[:_TAKING_PART],
                f"is never reached: {_together(names)} every payment; narrow them, or delete it",
            )
        else:
            self._routable("otherwise", (), outcomes, {}, self.index.all)

    # --- which payments are left without an account

    def _routable(
        self, path: str, ids: tuple[str, ...], outcomes: Outcomes, box: Box, before: int
    ) -> None:
        """Payments that get here (and not to the rules `before`) and find no account."""
        if outcomes.block or not self.roster.boxes:
            return
        self._never_chosen(path, ids, outcomes, box)
        if not self.roster.kept(outcomes):
            return
        taken = [one for boxes in self.roster.boxes.values() for one in boxes]
        if not any(intersects(one, box) for one in taken):
            self.findings.warn(
                "unroutable",
                path,
                ids,
                f"no account of {self.roster.profile_id} takes any payment that gets here; add an "
                "account that does, or say block and why",
            )
            return
        witness = self._lost_payment(box, self.roster.kept(outcomes), before, ids)
        if witness:
            self.findings.warn(
                "unroutable",
                path,
                ids,
                f"leaves no account to a payment with {_told(witness)}, which other accounts "
                "of the profile take; name an account that takes it, narrow the conditions, or "
                "say block and why",
                witness,
            )

    def _lost_payment(
        self, box: Box, kept: frozenset[str], before: int, ids: tuple[str, ...]
    ) -> tuple[tuple[str, str], ...]:
        """A payment of the box, not of the rules before, that the profile takes, the kept not."""
        own = [one for account_id in kept for one in self.roster.boxes.get(account_id, ())]
        for account_id, boxes in self.roster.boxes.items():
            question = f"are payments of {account_id} lost to {ids[0] if ids else 'otherwise'}?"
            for taken in boxes if account_id not in kept else ():
                piece = meet(box, taken)
                if piece is None or any(contains(one, piece) for one in own):
                    continue
                try:
                    witness = self._alone(piece, own, before, question)
                except Undecided:
                    continue
                if witness:
                    return witness
        return ()

    def _alone(
        self, piece: Box, own: Sequence[Box], before: int, question: str
    ) -> tuple[tuple[str, str], ...]:
        """A payment of the piece that neither the accounts' own boxes nor rules before have."""
        left = self._search(piece, own, question)
        if left is None:
            return ()
        payment, still = self.index.lonely(left, before)
        if not still and _possible(payment):
            return _witness(payment, left)
        near = self._near(piece, before, question)
        left = self._search(piece, [*own, *near], question)
        if left is None or not _possible(left):
            return ()
        return _witness({}, left)

    def _never_chosen(self, path: str, ids: tuple[str, ...], outcomes: Outcomes, box: Box) -> None:
        named = {account_id for _, account_id in outcomes.accounts()} - set(outcomes.exclude)
        then = f"{path}.then" if ids else path
        for account_id in sorted(named & set(self.roster.boxes)):
            if not any(intersects(one, box) for one in self.roster.boxes[account_id]):
                self.findings.warn(
                    "account_never_eligible",
                    then,
                    ids,
                    f"{account_id} takes none of the payments that get here (its methods, "
                    "networks, currencies, countries or limits); take it out or widen the account",
                )

    def _conflicts(self) -> list[int]:
        """accumulate: rules that keep other accounts and match the same payment."""
        groups: dict[frozenset[str], int] = {}
        for at, (_, rule) in enumerate(self.rules):
            kept = self.roster.kept(rule.then) & set(self.roster.boxes)
            if not rule.then.block and kept and (rule.then.only or rule.then.exclude):
                groups[kept] = groups.get(kept, 0) | 1 << at
        for kept, members in groups.items():
            others = sum(bits for other, bits in groups.items() if not kept & other)
            for at in chosen(members) if others else ():
                self._conflict(at, others & ((1 << at) - 1))
        return list(range(len(self.rules)))

    def _conflict(self, at: int, others: int) -> None:
        place, rule = self.rules[at]
        for count, other in enumerate(chosen(self.index.near(self.boxes[at], others))):
            both = meet(self.boxes[at], self.boxes[other])
            self._left -= 1
            if both is not None and _possible(both):
                witness = _witness({}, both)
                name = self.rules[other][1].id
                self.findings.warn(
                    "conflict",
                    f"rules[{place}].then",
                    (rule.id, name),
                    f"and {name} keep no account in common, so a payment that both match "
                    f"({_told(witness)}) has none; let their conditions not overlap",
                    witness,
                )
                return
            if count > _COMPARISONS_EACH or self._left < 0:
                self.open.append(f"does {rule.id} leave accounts to other rules?")
                return

    def _duplicates(self) -> None:
        """Rules with equal conditions and outcomes; with first_match they are unreachable too."""
        if self.document.mode == FIRST_MATCH:
            return
        seen: dict[str, str] = {}
        for at, rule in enumerate(self.document.rules):
            same = repr((sorted(map(repr, rule.when)), rule.then))
            if same in seen:
                self.findings.warn(
                    "duplicate_rule",
                    f"rules[{at}]",
                    (rule.id, seen[same]),
                    f"says the same as {seen[same]}, and both count; delete one of them",
                )
            seen.setdefault(same, rule.id)


def _together(names: tuple[str, ...]) -> str:
    if len(names) == 1:
        return f"{names[0]}, which stands before it, matches"
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}, which stand before it, together match"


def _possible(values: Mapping[str, Any]) -> bool:
    """Whether there may be such a payment: two time zones would have to agree on the hour."""
    return sum(dimension.startswith("time in ") for dimension in values) < 2


def _witness(payment: Mapping[str, Any], piece: Box) -> tuple[tuple[str, str], ...]:
    """A payment by its facts, first those that the piece is about."""
    values = {name: payment.get(name, next(iter(held.values()))) for name, held in piece.items()}
    values.update(payment)
    return tuple((name, shown(name, value)) for name, value in values.items())


def _told(witness: tuple[tuple[str, str], ...]) -> str:
    return ", ".join(f"{name} {value}" for name, value in witness) or "any facts"
