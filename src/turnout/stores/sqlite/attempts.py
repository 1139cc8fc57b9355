"""Attempts as the card schemes count them: their part of a unit, and how they are read.

What was declined or approved is written before the next attempt is counted, so that one commit
may settle an attempt and count its successor.
"""

from __future__ import annotations

from typing import Any

import apsw

from turnout.ports import (
    AttemptCount,
    AttemptDecline,
    SchemeAttempt,
    SchemeFacts,
    SchemeKeys,
)
from turnout.stores.shapes import Row

# Where they stand in the JSON array `NEW.rest`.
_DECLINED = "jsonb_each(NEW.rest, '$[3]')"
_COUNTED = "jsonb_each(NEW.rest, '$[4]')"
REFUSED = "scheme_attempt_refused"

_ATTEMPT = Row(SchemeAttempt)
_AT = {name: f"m.value ->> {place}" for place, name in enumerate(_ATTEMPT.names)}
_CARD, _ACCEPTOR, _INTENT = (f"unhex({_AT[name]})" for name in ("card", "acceptor", "intent"))
_SEEN = len(_ATTEMPT.names)
_LIMITS = _SEEN + 1
_TAKEN = ", ".join(
    f"unhex({taken})" if name in _ATTEMPT.blobs else taken for name, taken in _AT.items()
)

STATEMENTS = f"""
    UPDATE scheme_attempts SET
        declined_at_ns = m.value ->> 1, issuer_code = m.value ->> 2,
        advice_code = m.value ->> 3, final = m.value ->> 4, kept_until_ns = m.value ->> 5
    FROM {_DECLINED} AS m
    WHERE scheme_attempts.attempt_id = m.value ->> 0 AND scheme_attempts.declined_at_ns = 0;

    INSERT INTO scheme_attempts ({", ".join(_ATTEMPT.names)})
    SELECT {_TAKEN} FROM {_COUNTED} AS m;

    SELECT RAISE(ABORT, '{REFUSED}') FROM {_COUNTED} AS m
    WHERE EXISTS (
        SELECT 1 FROM scheme_attempts AS a WHERE a.acceptor = {_ACCEPTOR} AND a.final = 1
    ) OR m.value ->> {_SEEN} <> (
        SELECT count(*) FROM scheme_attempts AS a
        WHERE a.intent = {_INTENT} AND a.declined_at_ns > 0
    );

    SELECT RAISE(ABORT, '{REFUSED}')
    FROM {_COUNTED} AS m, jsonb_each(m.value, '$[{_LIMITS}]') AS l
    WHERE l.value ->> 2 < CASE l.value ->> 0
        WHEN 'card' THEN (
            SELECT count(*) FROM scheme_attempts AS a
            WHERE a.card = {_CARD} AND a.card <> x'' AND a.sent_at_ns > l.value ->> 1
        )
        ELSE (
            SELECT count(*) FROM scheme_attempts AS a
            WHERE a.intent = {_INTENT} AND a.sent_at_ns > l.value ->> 1 AND (
                NOT l.value ->> 3 OR a.merchant_initiated = {_AT["merchant_initiated"]}
            )
        )
    END;
"""

_NAMES = ", ".join(_ATTEMPT.names)
# One short read tells that there is nothing, as for most payments.
_ANY = """SELECT EXISTS (SELECT 1 FROM scheme_attempts WHERE intent = ?1)
    OR EXISTS (SELECT 1 FROM scheme_attempts WHERE acceptor = ?2 AND final = 1)
    OR EXISTS (
        SELECT 1 FROM scheme_attempts WHERE card = ?3 AND card <> x'' AND sent_at_ns > ?4
    )"""
_UNDER_INTENT = f"""SELECT {_NAMES} FROM scheme_attempts WHERE intent = ?
    ORDER BY sent_at_ns, attempt_id"""
_FINAL = f"""SELECT {_NAMES} FROM scheme_attempts WHERE acceptor = ? AND final = 1
    ORDER BY sent_at_ns DESC LIMIT 1"""
# Not empty: so says the index, which holds only cards that a limit counts by.
_UNDER_CARD = """SELECT sent_at_ns, declined_at_ns FROM scheme_attempts
    WHERE card = ? AND card <> x'' AND sent_at_ns > ? ORDER BY sent_at_ns"""
_FORGET = """DELETE FROM scheme_attempts WHERE attempt_id IN (
    SELECT attempt_id FROM scheme_attempts
    WHERE kept_until_ns > 0 AND kept_until_ns < ? ORDER BY kept_until_ns LIMIT ?)"""


def count_cells(count: AttemptCount) -> tuple[Any, ...]:
    """An attempt to be counted: its columns, the declines seen, the limits."""
    limits = [(one.scope, one.since_ns, one.attempts, one.apart) for one in count.limits]
    return (*_ATTEMPT.values(count.attempt), count.declines_seen, limits)


def decline_cells(decline: AttemptDecline) -> tuple[Any, ...]:
    """What is now known of a counted attempt."""
    return (
        decline.attempt_id,
        decline.declined_at_ns,
        decline.issuer_code,
        decline.advice_code,
        decline.final,
        decline.kept_until_ns,
    )


def read_facts(connection: apsw.Connection, keys: SchemeKeys, card_since_ns: int) -> SchemeFacts:
    """What stands under an attempt's keys."""
    wanted = (keys.intent, keys.acceptor, keys.card, card_since_ns)
    if not connection.execute(_ANY, wanted).get:
        return SchemeFacts()
    rows = connection.execute(_UNDER_INTENT, (keys.intent,)).fetchall()
    final = connection.execute(_FINAL, (keys.acceptor,)).fetchone()
    sent: list[Any] = []
    if keys.card:
        sent = connection.execute(_UNDER_CARD, (keys.card, card_since_ns)).fetchall()
    return SchemeFacts(
        [_ATTEMPT.read(row) for row in rows],
        None if final is None else _ATTEMPT.read(final),
        [row[0] for row in sent],
        sum(1 for row in sent if not row[1]),
    )


def forget(connection: apsw.Connection, now_ns: int, limit: int) -> int:
    """Deletes what no rule looks back to; returns how many."""
    connection.execute(_FORGET, (now_ns, limit))
    return connection.changes()
