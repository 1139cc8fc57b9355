"""Attempts as the card schemes count them, in memory; see `MemoryStore`."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from turnout.ports import (
    AttemptDecline,
    AttemptLimit,
    AttemptRefused,
    SchemeAttempt,
    SchemeFacts,
    SchemeKeys,
    UnitOfWork,
)
from turnout.stores.shapes import copier

_copy_attempt = copier(SchemeAttempt)


class MemoryAttempts:
    """The part of a memory store that counts attempts."""

    def __init__(self) -> None:
        super().__init__()
        self._attempts: dict[str, SchemeAttempt] = {}
        self._under: defaultdict[bytes, dict[str, SchemeAttempt]] = defaultdict(dict)

    def _check_attempt(self, unit: UnitOfWork) -> None:
        """Whether the unit's attempt may be counted, once what the unit settles is settled.

        Raises:
            AttemptRefused: it may not.
        """
        count = unit.count
        if count is None:
            return
        new = count.attempt
        uncounted = set(unit.uncounted)
        told = {one.attempt_id: one for one in unit.declined}

        def standing(key: bytes) -> list[SchemeAttempt]:
            found = (one for one in self._standing(key) if one.attempt_id not in uncounted)
            return [_told(one, told.get(one.attempt_id)) for one in found]

        intent = standing(new.intent)
        seen = sum(1 for one in intent if one.declined_at_ns)
        if seen != count.declines_seen or any(one.final for one in standing(new.acceptor)):
            raise AttemptRefused
        for limit in count.limits:
            among = standing(new.card) if limit.scope == "card" else intent
            if sum(1 for one in among if _counts(one, limit, new)) >= limit.attempts:
                raise AttemptRefused

    def _apply_attempts(self, unit: UnitOfWork) -> None:
        for decline in unit.declined:
            standing = self._attempts.get(decline.attempt_id)
            if standing is not None:
                self._put(_told(standing, decline))
        for attempt_id in unit.uncounted:
            self._drop(attempt_id)
        if unit.count is not None:
            self._put(_copy_attempt(unit.count.attempt))

    def _standing(self, key: bytes) -> list[SchemeAttempt]:
        """Those under a key, oldest first; a key that nothing stands under stays unknown."""
        found = self._under.get(key, {}).values()
        return sorted(found, key=lambda one: (one.sent_at_ns, one.attempt_id))

    def _put(self, attempt: SchemeAttempt) -> None:
        self._attempts[attempt.attempt_id] = attempt
        for key in _keys(attempt):
            self._under[key][attempt.attempt_id] = attempt

    def _drop(self, attempt_id: str) -> None:
        attempt = self._attempts.pop(attempt_id, None)
        if attempt is None:
            return
        for key in _keys(attempt):
            del self._under[key][attempt_id]
            if not self._under[key]:
                del self._under[key]

    async def scheme_facts(self, keys: SchemeKeys, card_since_ns: int) -> SchemeFacts:
        """See `Store.scheme_facts`."""
        final = [one for one in self._standing(keys.acceptor) if one.final]
        card = [one for one in self._standing(keys.card) if one.sent_at_ns > card_since_ns]
        return SchemeFacts(
            [_copy_attempt(one) for one in self._standing(keys.intent)],
            _copy_attempt(final[-1]) if final else None,
            [one.sent_at_ns for one in card],
            sum(1 for one in card if not one.declined_at_ns),
        )

    async def forget_attempts(self, now_ns: int, limit: int) -> int:
        """See `Store.forget_attempts`."""
        old = [
            (one.kept_until_ns, one.attempt_id)
            for one in self._attempts.values()
            if 0 < one.kept_until_ns < now_ns
        ]
        old = sorted(old)[:limit]
        for _, attempt_id in old:
            self._drop(attempt_id)
        return len(old)


def _keys(attempt: SchemeAttempt) -> list[bytes]:
    return [key for key in (attempt.card, attempt.acceptor, attempt.intent) if key]


def _told(attempt: SchemeAttempt, decline: AttemptDecline | None) -> SchemeAttempt:
    """The attempt with what is now known of it; the first word stands."""
    if decline is None or attempt.declined_at_ns:
        return attempt
    return replace(
        attempt,
        declined_at_ns=decline.declined_at_ns,
        issuer_code=decline.issuer_code,
        advice_code=decline.advice_code,
        final=decline.final,
        kept_until_ns=decline.kept_until_ns,
    )


def _counts(one: SchemeAttempt, limit: AttemptLimit, new: SchemeAttempt) -> bool:
    same_side = not limit.apart or one.merchant_initiated is new.merchant_initiated
    return same_side and one.sent_at_ns > limit.since_ns
