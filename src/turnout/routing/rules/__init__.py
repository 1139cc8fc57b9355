"""Rulesets: a merchant's routing policy as a document; docs/rules.md is its reference."""

from turnout.routing.rules.check import check
from turnout.routing.rules.diff import Change, ChangeKind, diff
from turnout.routing.rules.document import (
    Cap,
    Commit,
    Condition,
    Outcomes,
    Rule,
    RulesetDocument,
    RulesetInvalid,
)
from turnout.routing.rules.findings import Finding, Severity
from turnout.routing.rules.reading import from_json, from_mapping, from_toml

__all__ = [
    "Cap",
    "Change",
    "ChangeKind",
    "Commit",
    "Condition",
    "Finding",
    "Outcomes",
    "Rule",
    "RulesetDocument",
    "RulesetInvalid",
    "Severity",
    "check",
    "diff",
    "from_json",
    "from_mapping",
    "from_toml",
]
