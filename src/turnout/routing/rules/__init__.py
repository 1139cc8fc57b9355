"""Rulesets: a merchant's routing policy as a document; docs/rules.md is its reference."""

from turnout.routing.rules.document import (
    Cap,
    Commit,
    Condition,
    Outcomes,
    Rule,
    RulesetDocument,
    RulesetInvalid,
)
from turnout.routing.rules.reading import from_json, from_mapping, from_toml

__all__ = [
    "Cap",
    "Commit",
    "Condition",
    "Outcomes",
    "Rule",
    "RulesetDocument",
    "RulesetInvalid",
    "from_json",
    "from_mapping",
    "from_toml",
]
