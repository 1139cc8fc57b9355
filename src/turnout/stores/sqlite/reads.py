"""Rows back into the domain's objects, and the SQL of every read.

A payment and its operations are read by ONE statement, so that they are of one moment whatever the
writer does meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import apsw
import orjson

from turnout.domain.events import Event
from turnout.domain.operation import ClaimKey, Operation, OperationState
from turnout.domain.outcomes import ProviderEvent
from turnout.domain.payment import Payment
from turnout.ports import (
    Claim,
    DecidedAttempt,
    DecisionFilter,
    DecisionRecord,
    EventFilter,
    PaymentFilter,
    RefundFilter,
    StoredWebhook,
)
from turnout.stores.shapes import reader
from turnout.stores.sqlite.units import DECISION, EVENT, OPERATION, PAYMENT

_WIDTH = len(PAYMENT.names)
_CLAIM_WIDTH = 5
_COLUMNS = ", ".join(
    [f"{'d' if name == 'details' else 'p'}.{name}" for name in PAYMENT.names]
    + [f"o.{name}" for name in OPERATION.names]
)
_JOINED = (
    "JOIN payment_details AS d ON d.payment_id = p.payment_id "
    "LEFT JOIN operations AS o ON o.payment_id = p.payment_id"
)
SELECT_WHOLE = f"SELECT {_COLUMNS} FROM payments AS p {_JOINED}"

BY_ID = f"{SELECT_WHOLE} WHERE p.payment_id = ? ORDER BY o.sequence"
BY_OPERATION = f"""{SELECT_WHOLE} WHERE p.payment_id = (
    SELECT payment_id FROM operations WHERE operation_id = ?) ORDER BY o.sequence"""
BY_PROVIDER_REFERENCE = f"""{SELECT_WHOLE} WHERE p.payment_id = (
    SELECT payment_id FROM operations
    WHERE account_id = ? AND provider_reference = ? AND provider_reference <> ''
    ORDER BY rowid LIMIT 1) ORDER BY o.sequence"""

CLAIM = """SELECT fingerprint, payment_id, operation_id, created_at_ns, answer FROM claims
    WHERE merchant_id = ? AND rpc = ? AND key = ?"""
# Asked for every new payment, so it is short: apsw looks a statement up by all of its text.
# No row where nothing is taken; one without a fingerprint is the payment of that reference.
TAKEN = f"""{CLAIM}
    UNION ALL SELECT NULL, payment_id, NULL, NULL, NULL FROM payments
    WHERE merchant_id = ? AND merchant_reference = ? AND merchant_reference <> ''"""
# No row where there is no payment, which hardly anybody asks for: a row that is always there would
# have SQLite sort by itself what an index has sorted. The claim is looked for once, whatever
# number of operations follow it.
TO_CHANGE = f"""SELECT c.fingerprint, c.payment_id, c.operation_id, c.created_at_ns, c.answer,
        {_COLUMNS}
    FROM payments AS p JOIN payment_details AS d ON d.payment_id = p.payment_id
    LEFT JOIN claims AS c ON c.merchant_id = ? AND c.rpc = ? AND c.key = ?
    LEFT JOIN operations AS o ON o.payment_id = p.payment_id
    WHERE p.payment_id = ? ORDER BY o.sequence"""
_EVENT_COLUMNS = ", ".join([*EVENT.names, "cursor"])
LAST_CURSOR = "SELECT coalesce(max(cursor), 0) FROM events WHERE merchant_id = ?"
# Two halves of one index, each in its order; `{}` may leave accounts out.
DUE = """SELECT payment_id, operation_id, check_at_ns FROM operations
    WHERE check_at_ns > 0 AND check_at_ns <= ?1{0}
    UNION ALL SELECT payment_id, operation_id, check_at_ns FROM operations
    WHERE check_at_ns > 0 AND check_at_ns > ?2{0}
    ORDER BY check_at_ns, operation_id LIMIT ?3"""
DUE_OF_ALL = DUE.format("")
NEXT_CHECK = "SELECT coalesce(min(check_at_ns), 0) FROM operations WHERE check_at_ns > 0"
EXPIRED = """SELECT payment_id FROM payments
    WHERE capture_before_ns > 0 AND status IN ('requires_capture', 'partially_captured')
    AND capture_before_ns <= ? ORDER BY capture_before_ns, payment_id LIMIT ?"""
HOLDS_TOKENS = """SELECT EXISTS (SELECT 1 FROM payments WHERE method IS NOT NULL)
    OR EXISTS (SELECT 1 FROM claims WHERE rpc = 'CreateToken')"""
WEBHOOK_KNOWN = "SELECT 1 FROM webhooks WHERE account_id = ? AND event_id = ?"
WEBHOOK_KEPT = "SELECT 1 FROM webhooks WHERE webhook_id = ?"
_WEBHOOK = "SELECT webhook_id, account_id, received_at_ns, event, attempts, reason FROM webhooks"
PENDING_WEBHOOKS = f"""{_WEBHOOK}
    WHERE state = 'pending' ORDER BY received_at_ns, webhook_id LIMIT ?"""

SET_ASIDE_WEBHOOKS = f"""{_WEBHOOK}
    WHERE state = 'set_aside' AND (received_at_ns, webhook_id) > (?, ?)
    ORDER BY received_at_ns, webhook_id LIMIT ?"""

DECISION_BY_ID = f"""SELECT {", ".join(DECISION.names)} FROM decisions
    WHERE decision_id = ? AND merchant_id = ?"""
# The attempt that was written with a decision has its time.
DECISIONS = f"""SELECT {", ".join(f"d.{name}" for name in DECISION.names)},
        o.account_id, o.state, p.amount_minor, p.currency
    FROM decisions AS d
    JOIN payments AS p ON p.payment_id = d.payment_id
    JOIN operations AS o ON o.payment_id = d.payment_id AND o.sequence = (
        SELECT min(sequence) FROM operations AS a WHERE a.payment_id = d.payment_id
            AND a.kind = 'authorize' AND a.created_at_ns = d.created_at_ns)
    WHERE d.decision_id > ? AND d.decision_id < ? AND d.merchant_id = ?
        AND p.profile_id = ? AND p.live = ?
    ORDER BY d.decision_id DESC LIMIT ?"""

_read_provider_event = reader(ProviderEvent)


def read_payments(rows: Iterable[tuple[Any, ...]]) -> list[Payment]:
    """Payments with their operations, of rows in which those of one payment stand together."""
    found: list[Payment] = []
    last: Payment | None = None
    for row in rows:
        if last is None or last.payment_id != row[0]:
            last = PAYMENT.read(row[:_WIDTH])
            assert last is not None
            found.append(last)
        if row[_WIDTH] is not None:
            last.operations.append(OPERATION.read(row[_WIDTH:]))
    return found


def read_claim(key: ClaimKey, row: tuple[Any, ...]) -> Claim:
    """A claim of its row and the key it was asked for by."""
    return Claim(ClaimKey(key.merchant_id, key.rpc, key.key), *row)


def read_to_change(key: ClaimKey, rows: list[tuple[Any, ...]]) -> tuple[Claim | None, Payment]:
    """A claim and a payment of the rows of `TO_CHANGE`."""
    first = rows[0]
    claim = None if first[0] is None else read_claim(key, first[:_CLAIM_WIDTH])
    return claim, read_payments([row[_CLAIM_WIDTH:] for row in rows])[0]


def read_decision(row: tuple[Any, ...]) -> DecisionRecord:
    """A decision of its row."""
    made: DecisionRecord = DECISION.read(row)
    return made


def list_decisions(
    connection: apsw.Connection, merchant_id: str, want: DecisionFilter
) -> list[DecidedAttempt]:
    """A page of decisions with their first attempts, newest first."""
    values = (want.after, want.before, merchant_id, want.profile_id, want.live, want.limit)
    width = len(DECISION.names)
    return [
        DecidedAttempt(
            read_decision(row[:width]), row[width], OperationState(row[width + 1]), *row[-2:]
        )
        for row in connection.execute(DECISIONS, values)
    ]


def read_webhook(row: tuple[Any, ...]) -> StoredWebhook:
    """A webhook of its row."""
    event = _read_provider_event(orjson.loads(row[3]))
    return StoredWebhook(row[0], row[1], row[2], event, row[4], row[5])


class Where:
    """Conditions with their values; the SQL itself never holds a value."""

    def __init__(self) -> None:
        self.clauses: list[str] = []
        self.values: list[Any] = []

    def add(self, clause: str, *values: Any) -> None:
        """One more condition."""
        self.clauses.append(clause)
        self.values.extend(values)

    def among(self, column: str, values: Sequence[str]) -> None:
        """One of these; none of them asks for nothing."""
        if values:
            self.add(f"{column} IN ({', '.join('?' * len(values))})", *map(str, values))

    def equal(self, column: str, value: str) -> None:
        """This one; an empty one asks for nothing."""
        if value:
            self.add(f"{column} = ?", value)

    def created(self, prefix: str, from_ns: int, to_ns: int) -> None:
        """Made within this time; 0 leaves that side open."""
        if from_ns:
            self.add(f"{prefix}created_at_ns >= ?", from_ns)
        if to_ns:
            self.add(f"{prefix}created_at_ns < ?", to_ns)

    def __str__(self) -> str:
        return " AND ".join(self.clauses)


def list_payments(
    connection: apsw.Connection, merchant_id: str, want: PaymentFilter
) -> list[Payment]:
    """A page of payments, newest first."""
    where = Where()
    where.add("q.merchant_id = ? AND q.live = ?", merchant_id, want.live)
    where.created("q.", want.created_from_ns, want.created_to_ns)
    # One status is read along its own index. Of several, that index would give all to be sorted,
    # so the `+` keeps it out: walking the newest finds a page of them sooner.
    if len(want.statuses) == 1:
        where.equal("q.status", want.statuses[0])
    else:
        where.among("+q.status", want.statuses)
    where.equal("q.merchant_reference", want.merchant_reference)
    where.equal("q.currency", want.currency)
    where.equal("q.account_id", want.account_id)
    if want.customer_reference:
        where.add(
            "q.payment_id IN (SELECT payment_id FROM payment_details "
            "WHERE merchant_id = ? AND customer_reference = ? AND customer_reference <> '')",
            merchant_id,
            want.customer_reference,
        )
    if want.before is not None:
        where.add("(q.created_at_ns, q.payment_id) < (?, ?)", *want.before)
    sql = f"""SELECT {_COLUMNS} FROM (
            SELECT * FROM payments AS q WHERE {where}
            ORDER BY q.created_at_ns DESC, q.payment_id DESC LIMIT ?
        ) AS p {_JOINED} ORDER BY p.created_at_ns DESC, p.payment_id DESC, o.sequence"""
    return read_payments(connection.execute(sql, (*where.values, want.limit)))


def list_refunds(
    connection: apsw.Connection, merchant_id: str, want: RefundFilter
) -> list[tuple[Payment, Operation]]:
    """A page of refunds with their payments, newest first."""
    where = Where()
    where.add("kind = 'refund' AND merchant_id = ?", merchant_id)
    where.add("(SELECT live FROM payments AS p WHERE p.payment_id = r.payment_id) = ?", want.live)
    where.created("", want.created_from_ns, want.created_to_ns)
    where.equal("payment_id", want.payment_id)
    where.among("state", want.states)
    if want.merchant_reference:
        # As the index has it, which SQLite must be told: it cannot see what the value will be.
        where.add("details ->> 'merchant_reference' <> ''")
        where.add("details ->> 'merchant_reference' = ?", want.merchant_reference)
    if want.before is not None:
        where.add("(created_at_ns, operation_id) < (?, ?)", *want.before)
    page = f"""SELECT operation_id, payment_id FROM operations AS r WHERE {where}
        ORDER BY created_at_ns DESC, operation_id DESC LIMIT ?"""
    # One transaction, so that the page and its payments are of one moment.
    with connection:
        names: list[Any] = connection.execute(page, (*where.values, want.limit)).fetchall()
        wanted = orjson.dumps(sorted({payment_id for _, payment_id in names})).decode()
        rows = connection.execute(
            f"{SELECT_WHOLE} WHERE p.payment_id IN (SELECT value FROM json_each(?)) "
            "ORDER BY p.payment_id, o.sequence",
            (wanted,),
        ).fetchall()
    payments = {one.payment_id: one for one in read_payments(rows)}
    found: list[tuple[Payment, Operation]] = []
    for operation_id, payment_id in names:
        payment = payments[payment_id]
        refund = payment.operation(operation_id)
        assert refund is not None
        found.append((payment, refund))
    return found


def is_short(want: EventFilter) -> bool:
    """Whether a page of events is read along an index, without passing over others."""
    filters = want.types or want.payment_id or want.created_from_ns or want.created_to_ns
    return not filters


def list_events(connection: apsw.Connection, merchant_id: str, want: EventFilter) -> list[Event]:
    """A page of events, oldest first."""
    where = Where()
    where.add("merchant_id = ? AND cursor > ? AND live = ?", merchant_id, want.after, want.live)
    where.equal("payment_id", want.payment_id)
    where.created("", want.created_from_ns, want.created_to_ns)
    if want.types:
        families = [one[:-1] for one in want.types if one.endswith(".*")]
        exact = [one for one in want.types if not one.endswith(".*")]
        parts = ["substr(type, 1, length(?)) = ?"] * len(families)
        if exact:
            parts.append(f"type IN ({', '.join('?' * len(exact))})")
        values = [part for one in families for part in (one, one)] + [str(one) for one in exact]
        where.add(f"({' OR '.join(parts)})", *values)
    sql = f"SELECT {_EVENT_COLUMNS} FROM events WHERE {where} ORDER BY cursor LIMIT ?"
    found: list[Event] = []
    for row in connection.execute(sql, (*where.values, want.limit)):
        event: Event = EVENT.read(row[:-1])
        event.cursor = row[-1]
        found.append(event)
    return found
