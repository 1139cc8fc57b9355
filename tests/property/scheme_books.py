"""The schemes' rules once more, as naively as they can be read, over a provider's own books.

Nothing here comes from the house's rules: the figures are written down a second time, every
attempt is compared with all that came before it, and there is neither a key nor a counter.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

HOUR_NS = 3_600 * 1_000_000_000
MONTH_NS = 30 * 24 * HOUR_NS
NEVER_AGAIN = ["04", "07", "12", "14", "15", "41", "43", "46", "57", "R0", "R1", "R3"]
MEND = ["54", "55", "70", "82", "1A", "6P", "N7"]
WAIT_H = {
    "02": 72, "03": 720, "21": 720, "24": 1, "25": 24, "26": 48, "27": 96, "28": 144, "29": 192,
    "30": 240,
}  # fmt: skip
PREPAID = ("40", "41", "43")


@dataclass(slots=True)
class Entry:
    """One attempt that reached the provider.

    Attributes:
        call: which of the payment's calls made it: a confirmation is a call of its own.
        burst: attempts of one burst were on their way at the same time.
        fate: `approved`, `declined` or `not_processed`.
        told_at_ns: when the house learnt of it; None as long as it did not.
    """

    at_ns: int
    payment_id: str
    call: int
    burst: int
    card: str
    expiry: int
    amount_minor: int
    currency: str
    by_merchant: bool
    fate: str
    code: str = ""
    advice: str = ""
    soft: bool = True
    told_at_ns: int | None = None

    @property
    def scheme(self) -> str:
        """Visa, Mastercard or another, by the first digit."""
        return {"4": "visa", "5": "mastercard", "2": "mastercard"}.get(self.card[0], "other")

    @property
    def advised(self) -> bool:
        """Whether its advice is one of the table."""
        return self.advice in WAIT_H or self.advice in PREPAID or self.advice == "01"

    def same_intent(self, other: Entry) -> bool:
        """Whether both are for one card, amount and currency; there is one merchant here."""
        return (self.card, self.amount_minor, self.currency) == (
            other.card,
            other.amount_minor,
            other.currency,
        )


def told(one: Entry, new: Entry) -> bool:
    """Whether the house knew of the one when it made the other."""
    return one.told_at_ns is not None and one.told_at_ns <= new.at_ns


def broken_rules(new: Entry, before: Iterable[Entry]) -> set[str]:
    """Which rules an attempt breaks by what is known of those before it."""
    earlier = [one for one in before if one.fate != "not_processed"]
    known = [
        one
        for one in earlier
        if one.fate == "declined"
        and told(one, new)
        and (one.burst != new.burst or one.payment_id == new.payment_id)
    ]
    return (
        _by_final_code(new, known)
        | _by_advice(new, known)
        | _by_payment(new, earlier, known)
        | _by_mending(new, known)
    )


def _by_final_code(new: Entry, known: list[Entry]) -> set[str]:
    return {"final_code" for one in known if one.card == new.card and one.code in NEVER_AGAIN}


def _by_advice(new: Entry, known: list[Entry]) -> set[str]:
    found = set()
    for one in known:
        if new.scheme != "mastercard" or not one.same_intent(new):
            continue
        assert one.told_at_ns is not None
        since_ns = new.at_ns - one.told_at_ns
        same_payment = one.payment_id == new.payment_id
        if one.advice in WAIT_H and since_ns < WAIT_H[one.advice] * HOUR_NS:
            found.add("advice_wait")
        if one.advice == "01" and one.expiry == new.expiry and since_ns < MONTH_NS:
            found.add("advice_01")
        if one.advice in PREPAID and since_ns < MONTH_NS and (same_payment or new.by_merchant):
            found.add("advice_prepaid")
    return found


def _by_payment(new: Entry, earlier: list[Entry], known: list[Entry]) -> set[str]:
    found = set()
    own = [one for one in earlier if one.payment_id == new.payment_id and one.card == new.card]
    if not all(told(one, new) for one in own):
        found.add("outcome_unknown")
    if any(one.call == new.call and not one.soft for one in own):
        found.add("hard_decline")
    silent = any(not one.advised for one in own if one in known)
    if new.scheme == "mastercard" and silent and len(own) >= (1 if new.by_merchant else 2):
        found.add("no_advice")
    return found


def _by_mending(new: Entry, known: list[Entry]) -> set[str]:
    found = set()
    for one in known:
        if new.scheme == "mastercard" or one.code not in MEND:
            continue
        assert one.told_at_ns is not None
        if (one.payment_id, one.call) == (new.payment_id, new.call):
            found.add("mend_data")
        recent = new.at_ns - one.told_at_ns < MONTH_NS
        if new.by_merchant and one.same_intent(new) and one.expiry == new.expiry and recent:
            found.add("mend_data")
    return found


def full_limits(new: Entry, before: Iterable[Entry]) -> set[str]:
    """Which limits leave no place for another declined attempt."""
    declined = [one for one in before if one.fate == "declined"]
    alike = [
        one
        for one in declined
        if one.same_intent(new)
        and new.at_ns - one.at_ns < MONTH_NS
        and (new.scheme == "mastercard" or one.by_merchant is new.by_merchant)
    ]
    found = set()
    if len(alike) >= (30 if new.scheme == "mastercard" else 15):
        found.add("intent_month")
    day = [
        one for one in declined if one.card == new.card and new.at_ns - one.at_ns < 24 * HOUR_NS
    ]
    if new.scheme == "mastercard" and len(day) >= 8:
        found.add("card_day")
    return found
