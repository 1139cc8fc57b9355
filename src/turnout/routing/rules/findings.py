"""What a check of a ruleset finds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MOST_OF_A_CODE: Final = 100


class Severity(StrEnum):
    """How grave a finding is: an error keeps a ruleset from being put in force."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or that is probably not meant.

    Attributes:
        code: for programs, lower_snake_case; docs/rules.md lists all.
        severity: how grave.
        path: where in the document, say `rules[3].when[1]`.
        rule_ids: the rule that it is about, then others that take part, twenty at most; empty
            where it is about the document.
        text: what is wrong and what to do.
        witness: facts of a payment that shows it, where there is one; what is not named may be
            anything.
    """

    code: str
    severity: Severity
    path: str
    rule_ids: tuple[str, ...]
    text: str
    witness: tuple[tuple[str, str], ...] = ()


class Findings:
    """Gathers findings about one document."""

    def __init__(self) -> None:
        self.all: list[Finding] = []

    def error(self, code: str, path: str, rule_ids: tuple[str, ...], text: str) -> None:
        """Notes what keeps the document from being put in force."""
        self.all.append(Finding(code, Severity.ERROR, path, rule_ids, text))

    def warn(
        self,
        code: str,
        path: str,
        rule_ids: tuple[str, ...],
        text: str,
        witness: tuple[tuple[str, str], ...] = (),
    ) -> None:
        """Notes what is probably not meant."""
        self.all.append(Finding(code, Severity.WARNING, path, rule_ids, text, witness))

    def note(self, code: str, path: str, rule_ids: tuple[str, ...], text: str) -> None:
        """Notes what is worth knowing."""
        self.all.append(Finding(code, Severity.NOTE, path, rule_ids, text))

    def in_order(self) -> list[Finding]:
        """The gravest first, then as they were found; of one code a hundred at most."""
        order = list(Severity)
        told = []
        counts: Counter[str] = Counter()
        for finding in sorted(self.all, key=lambda one: order.index(one.severity)):
            counts[finding.code] += 1
            if counts[finding.code] <= MOST_OF_A_CODE:
                told.append(finding)
        left = {code: n - MOST_OF_A_CODE for code, n in counts.items() if n > MOST_OF_A_CODE}
        if left:
            more = ", ".join(f"{count:,} of {code}" for code, count in left.items())
            text = f"there are more findings than are told: {more}; mend those that are told first"
            told.append(Finding("more", Severity.NOTE, "", (), text))
        return told
