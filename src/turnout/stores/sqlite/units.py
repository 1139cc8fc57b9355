"""A unit of work on its way into the record: Python objects to JSON, JSON to rows.

On the event loop a unit is turned into one JSON array for each table it touches, which is the
cheapest thing that Python can do with it. In the writer's thread SQLite takes those arrays apart
again, without the interpreter's lock.
"""

from __future__ import annotations

import apsw
import orjson

from turnout.domain.events import Event
from turnout.domain.ledger import LedgerTransaction
from turnout.domain.operation import Operation
from turnout.domain.payment import Payment
from turnout.ports import (
    AttemptRefused,
    ClaimTaken,
    DecisionRecord,
    MerchantReferenceTaken,
    ReviewRecord,
    StoredWebhook,
    UnitOfWork,
    VersionConflict,
)
from turnout.stores.laws import (
    OPERATION_IDENTITY,
    PAYMENT_IDENTITY,
    RecordRefused,
)
from turnout.stores.shapes import Row
from turnout.stores.sqlite import attempts
from turnout.stores.sqlite.writer import Parts

PAYMENT = Row(Payment, without=("operations",))
_MOVED = Row(Payment, without=("operations",), nulls=("details",))
OPERATION = Row(Operation)
LEDGER = Row(LedgerTransaction)
EVENT = Row(Event, without=("cursor",))
DECISION = Row(DecisionRecord)
REVIEW = Row(ReviewRecord)

COLUMNS = (
    "claims",
    "births",
    "moves",
    "operations",
    "ledger",
    "events",
    "decisions",
    "answers",
    "webhooks_done",
    "webhooks",
    "reviews",
    *attempts.COLUMNS,
)
_CLAIMS, _BIRTHS, _MOVES, _OPERATIONS, _LEDGER, _EVENTS, _DECISIONS, _ANSWERS = range(8)
_DONE, _WEBHOOKS, _REVIEWS, _DECLINED, _UNCOUNTED, _COUNTED = range(8, 14)

_dumps = orjson.dumps


def encode(unit: UnitOfWork) -> Parts:
    """All that the unit holds, read now."""
    parts: Parts = []
    claim = unit.claim
    if claim is not None:
        key = claim.key
        row = (
            key.merchant_id,
            key.rpc,
            key.key,
            claim.fingerprint.hex(),
            claim.payment_id,
            claim.operation_id,
            claim.created_at_ns,
            None if claim.answer is None else claim.answer.hex(),
        )
        parts.append((_CLAIMS, _dumps(row)))
    payment = unit.payment
    if payment is not None:
        if payment.version == 1:
            parts.append((_BIRTHS, PAYMENT.dump(payment)))
        else:
            moved = _MOVED if unit.details_stand else PAYMENT
            parts.append((_MOVES, moved.dump(payment)))
    for operation in unit.operations:
        parts.append((_OPERATIONS, OPERATION.dump(operation)))
    for transaction in unit.ledger:
        parts.append((_LEDGER, LEDGER.dump(transaction)))
    for event in unit.events:
        parts.append((_EVENTS, EVENT.dump(event)))
    if unit.decision is not None:
        parts.append((_DECISIONS, DECISION.dump(unit.decision)))
    for key, answer in unit.answers:
        parts.append((_ANSWERS, _dumps((key.merchant_id, key.rpc, key.key, answer.hex()))))
    if unit.webhook_done:
        parts.append((_DONE, _dumps(unit.webhook_done)))
    if unit.review is not None:
        parts.append((_REVIEWS, REVIEW.dump(unit.review)))
    for decline in unit.declined:
        parts.append((_DECLINED, attempts.dump_decline(decline)))
    for attempt_id in unit.uncounted:
        parts.append((_UNCOUNTED, _dumps(attempt_id)))
    if unit.count is not None:
        parts.append((_COUNTED, attempts.dump_count(unit.count)))
    return parts


def encode_webhook(webhook: StoredWebhook) -> Parts:
    """A webhook that is kept where it is new."""
    row = (
        webhook.webhook_id,
        webhook.account_id,
        webhook.event.event_id,
        webhook.received_at_ns,
        webhook.event,
        webhook.attempts,
    )
    return [(_WEBHOOKS, _dumps(row, bytes.hex))]


def refusal(error: apsw.ConstraintError) -> Exception:
    """What a broken law means to the caller."""
    text = str(error)
    if "claims.merchant_id, claims.rpc, claims.key" in text:
        return ClaimTaken()
    if attempts.REFUSED in text:
        return AttemptRefused()
    if "version_conflict" in text or text.endswith("payments.payment_id"):
        return VersionConflict()
    if "payments.merchant_reference" in text or "operations_refund_reference" in text:
        return MerchantReferenceTaken()
    return RecordRefused(text)


# --- the other side: JSON to rows -------------------------------------------------------------


def take(row: Row, without: tuple[str, ...] = ()) -> str:
    """The columns of `row` out of the JSON array `m.value`, in order."""
    return ", ".join(
        f"unhex(m.value ->> {index})" if name in row.blobs else f"m.value ->> {index}"
        for index, name in enumerate(row.names)
        if name not in without
    )


def _names(row: Row, without: tuple[str, ...] = ()) -> str:
    return ", ".join(name for name in row.names if name not in without)


_DETAILS = PAYMENT.names.index("details")
_POSTINGS = LEDGER.names.index("postings")
_VERSION = PAYMENT.names.index("version")
_CUSTOMER = f"coalesce(m.value ->> '$[{_DETAILS}].customer.reference', '')"
_MOVING = tuple(
    (index, name)
    for index, name in enumerate(PAYMENT.names)
    if name not in PAYMENT_IDENTITY and name != "details"
)
_PAYMENT_DIFFERS = " OR ".join(
    f"p.{name} <> m.value ->> {PAYMENT.names.index(name)}" for name in PAYMENT_IDENTITY
)
_OPERATION_SAME = " AND ".join(f"operations.{one} = excluded.{one}" for one in OPERATION_IDENTITY)
_OPERATION_MOVING = ", ".join(
    f"{name} = excluded.{name}" for name in OPERATION.names if name not in OPERATION_IDENTITY
)

# The order matters where it says so; RAISE names the law in words that `refusal` knows.
_TRIGGER = f"""
CREATE TEMP TRIGGER unit_batch_insert INSTEAD OF INSERT ON unit_batch BEGIN
    INSERT INTO claims (
        merchant_id, rpc, key, fingerprint, payment_id, operation_id, created_at_ns, answer
    )
    SELECT
        m.value ->> 0, m.value ->> 1, m.value ->> 2, unhex(m.value ->> 3), m.value ->> 4,
        m.value ->> 5, m.value ->> 6, unhex(m.value ->> 7)
    FROM jsonb_each(NEW.claims) AS m;

    INSERT INTO payments ({_names(PAYMENT, ("details",))})
    SELECT {take(PAYMENT, ("details",))} FROM jsonb_each(NEW.births) AS m;

    INSERT INTO payment_details (payment_id, merchant_id, customer_reference, details)
    SELECT m.value ->> 0, m.value ->> 1, {_CUSTOMER}, m.value ->> {_DETAILS}
    FROM jsonb_each(NEW.births) AS m;

    UPDATE payments SET {", ".join(f"{name} = m.value ->> {index}" for index, name in _MOVING)}
    FROM jsonb_each(NEW.moves) AS m
    WHERE payments.payment_id = m.value ->> 0
        AND payments.version = (m.value ->> {_VERSION}) - 1;

    -- changes() is what the UPDATE did, for both of these.
    SELECT RAISE(ABORT, 'version_conflict')
    WHERE changes() <> (SELECT count(*) FROM jsonb_each(NEW.moves));

    SELECT RAISE(ABORT, 'payment_identity: what names a payment cannot change')
    FROM jsonb_each(NEW.moves) AS m CROSS JOIN payments AS p
    WHERE p.payment_id = m.value ->> 0 AND ({_PAYMENT_DIFFERS});

    UPDATE payment_details
    SET details = m.value ->> {_DETAILS}, customer_reference = {_CUSTOMER}
    FROM jsonb_each(NEW.moves) AS m
    WHERE m.value ->> {_DETAILS} IS NOT NULL
        AND payment_details.payment_id = m.value ->> 0
        AND payment_details.details <> m.value ->> {_DETAILS};

    INSERT INTO operations ({_names(OPERATION)})
    SELECT {take(OPERATION)} FROM jsonb_each(NEW.operations) AS m WHERE true
    ON CONFLICT (operation_id) DO UPDATE SET {_OPERATION_MOVING} WHERE {_OPERATION_SAME};

    SELECT RAISE(ABORT, 'operation_identity: what names an operation cannot change')
    WHERE changes() <> (SELECT count(*) FROM jsonb_each(NEW.operations));

    -- Postings first: their transaction checks the sum and closes them.
    INSERT INTO ledger_postings (transaction_id, line, book, amount_minor)
    SELECT m.value ->> 0, p.key, p.value ->> 'book', p.value ->> 'amount_minor'
    FROM jsonb_each(NEW.ledger) AS m, jsonb_each(m.value, '$[{_POSTINGS}]') AS p;

    INSERT INTO ledger_transactions ({_names(LEDGER, ("postings",))})
    SELECT {take(LEDGER, ("postings",))} FROM jsonb_each(NEW.ledger) AS m;

    INSERT INTO events ({_names(EVENT)}) SELECT {take(EVENT)} FROM jsonb_each(NEW.events) AS m;

    INSERT INTO decisions ({_names(DECISION)})
    SELECT {take(DECISION)} FROM jsonb_each(NEW.decisions) AS m;

    -- Not UPDATE ... FROM, which promises no order: of two answers the first must stand.
    INSERT INTO claims (
        merchant_id, rpc, key, fingerprint, payment_id, operation_id, created_at_ns, answer
    )
    SELECT
        c.merchant_id, c.rpc, c.key, c.fingerprint, c.payment_id, c.operation_id,
        c.created_at_ns, unhex(m.value ->> 3)
    FROM jsonb_each(NEW.answers) AS m CROSS JOIN claims AS c
    WHERE c.merchant_id = m.value ->> 0 AND c.rpc = m.value ->> 1 AND c.key = m.value ->> 2
        AND c.answer IS NULL
    ON CONFLICT (merchant_id, rpc, key) DO UPDATE SET answer = excluded.answer
    WHERE claims.answer IS NULL;

    INSERT INTO webhooks (webhook_id, account_id, event_id, received_at_ns, event, attempts)
    SELECT
        m.value ->> 0, m.value ->> 1, m.value ->> 2, m.value ->> 3, m.value ->> 4, m.value ->> 5
    FROM jsonb_each(NEW.webhooks) AS m WHERE true
    ON CONFLICT (account_id, event_id) DO NOTHING;

    UPDATE webhooks SET state = 'done'
    WHERE webhook_id IN (SELECT m.value FROM jsonb_each(NEW.webhooks_done) AS m);

    INSERT INTO reviews ({_names(REVIEW)}) SELECT {take(REVIEW)} FROM jsonb_each(NEW.reviews) AS m;

    {attempts.STATEMENTS}
END;
"""


def prepare(connection: apsw.Connection) -> None:
    """Makes the view and the trigger that take units, for this connection only."""
    nothing = ", ".join(f"NULL AS {name}" for name in COLUMNS)
    connection.execute(f"CREATE TEMP VIEW unit_batch AS SELECT {nothing}")
    connection.execute(_TRIGGER)
