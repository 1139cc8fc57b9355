"""Which rules a payment matches: docs/rules.md word for word."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from tests.oracle.payment import Payment
from turnout.routing.rules import Condition, Rule, RulesetDocument

ASCII_LOWER = {ord(one): one.lower() for one in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def matching(document: RulesetDocument, payment: Payment) -> list[Rule]:
    """The rules whose outcomes count, in order."""
    found = [rule for rule in document.rules if all(holds(one, payment) for one in rule.when)]
    return found[:1] if document.mode == "first_match" else found


def holds(condition: Condition, payment: Payment) -> bool:
    """Whether one condition holds."""
    value = value_of(condition, payment)
    if value is None:
        return condition.missing == "match"
    return said(condition, value) is not condition.not_


def value_of(condition: Condition, payment: Payment) -> object:
    """The fact's value; None where it is unknown."""
    if condition.fact == "metadata":
        return payment.metadata.get(condition.key)
    if condition.fact == "time":
        start = datetime(1970, 1, 1, tzinfo=UTC)
        return (start + timedelta(seconds=payment.now_ns // 10**9)).astimezone(
            ZoneInfo(condition.zone)
        )
    return getattr(payment, condition.fact)


def said(condition: Condition, value: object) -> bool:
    """Whether a known value is what the condition asks for, before `not`."""
    if isinstance(value, datetime):
        return in_time(condition, value)
    if isinstance(value, bool):
        return value is condition.is_
    if isinstance(value, int):
        low = value if condition.min is None else condition.min
        high = value if condition.max is None else condition.max
        return low <= value <= high
    assert isinstance(value, str)
    if condition.fact == "metadata":
        return value in condition.in_ or value.startswith(condition.prefix)
    if condition.fact == "bin":
        ranges = [(one, one) for one in condition.prefix] + list(condition.ranges)
        return any(
            len(value) >= len(first) and first <= value[: len(first)] <= last
            for first, last in ranges
        )
    return lower(value) in [lower(word) for word in condition.in_]


def lower(word: str) -> str:
    """Without regard to ASCII case, and to no other."""
    return word.translate(ASCII_LOWER)


def in_time(condition: Condition, local: datetime) -> bool:
    """Whether a local time lies within; what began yesterday evening counts as yesterday."""
    days = condition.days or DAYS
    clock = f"{local.hour:02}:{local.minute:02}"
    start, end = condition.from_ or "00:00", condition.until or "24:00"
    today, yesterday = DAYS[local.weekday()], DAYS[local.weekday() - 1]
    if start < end:
        return today in days and start <= clock < end
    return (today in days and clock >= start) or (yesterday in days and clock < end)
