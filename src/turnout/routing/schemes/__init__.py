"""The card schemes' rules about trying a declined card again: dated data and a pure judge."""

from turnout.routing.schemes.book import (
    Advice,
    Limit,
    RuleBook,
    SchemeRules,
    SchemeRulesInvalid,
    Until,
    read_rules,
    rule_book,
)
from turnout.routing.schemes.judging import Asked, Forbidden, Reason, judge, room

__all__ = [
    "Advice",
    "Asked",
    "Forbidden",
    "Limit",
    "Reason",
    "RuleBook",
    "SchemeRules",
    "SchemeRulesInvalid",
    "Until",
    "judge",
    "read_rules",
    "room",
    "rule_book",
]
