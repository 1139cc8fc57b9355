"""A unit of work on its way into the record: Python objects to a row, the row to tables.

On the event loop a unit becomes one row of the view `unit_batch`, as wide as all that a unit may
hold, with null for what it does not; what it holds more than once makes further rows. In the
writer's thread the view's trigger puts each part in its table, without the interpreter's lock. Parts
that few units hold are JSON in one column, which costs the others nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import zip_longest
from typing import Any

import apsw
import orjson

from turnout.domain.events import Event
from turnout.domain.ledger import LedgerTransaction
from turnout.domain.operation import ClaimKey, Operation
from turnout.domain.payment import Payment
from turnout.ports import (
    AttemptRefused,
    Claim,
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
from turnout.stores.sqlite.writer import Rows

PAYMENT = Row(Payment, without=("operations",))
_MOVED = Row(Payment, without=("operations",), nulls=("details",))
OPERATION = Row(Operation)
LEDGER = Row(LedgerTransaction)
_LEDGER = Row(LedgerTransaction, without=("postings",))
EVENT = Row(Event, without=("cursor",))
DECISION = Row(DecisionRecord)
REVIEW = Row(ReviewRecord)

# The view's columns, part by part: a part's prefix, then the column's name.
_CLAIM = (
    "merchant_id", "rpc", "key", "fingerprint", "payment_id", "operation_id", "created_at_ns",
    "answer",
)  # fmt: skip
_PARTS = {
    "claim": _CLAIM,
    "payment": (*PAYMENT.names, "customer_reference"),
    "operation": OPERATION.names,
    "ledger": (*_LEDGER.names, "books", "amounts"),
    "event": EVENT.names,
    "decision": DECISION.names,
    "answered": ("merchant_id", "rpc", "key", "answer"),
}
# `rest` is a JSON array in the order of `_REST`.
COLUMNS = (
    "unit",
    *(f"{part}_{name}" for part, names in _PARTS.items() for name in names),
    "uncounted",
    "rest",
)
_REST = ("webhook", "webhook_done", "review", *attempts.COLUMNS)

_NO_CLAIM, _NO_PAYMENT, _NO_OPERATION, _NO_LEDGER, _NO_EVENT, _NO_DECISION, _NO_ANSWER = (
    (None,) * len(names) for names in _PARTS.values()
)
_NOTHING = (None,) * len(COLUMNS)
_NOTHING_BEFORE = (1, *_NO_CLAIM, *_NO_PAYMENT)

_dumps = orjson.dumps


def encode(unit: UnitOfWork) -> Rows:
    """All that the unit holds, read now."""
    claim, payment, decision = unit.claim, unit.payment, unit.decision
    operations, ledger, events = unit.operations, unit.ledger, unit.events
    answers, uncounted = unit.answers, unit.uncounted
    rows = [
        (
            1,
            *(_NO_CLAIM if claim is None else _claim_cells(claim)),
            *(_NO_PAYMENT if payment is None else _payment_cells(payment, unit.details_stand)),
            *(OPERATION.cells(operations[0]) if operations else _NO_OPERATION),
            *(_ledger_cells(ledger[0]) if ledger else _NO_LEDGER),
            *(EVENT.cells(events[0]) if events else _NO_EVENT),
            *(_NO_DECISION if decision is None else DECISION.cells(decision)),
            *(_answer_cells(answers[0]) if answers else _NO_ANSWER),
            uncounted[0] if uncounted else None,
            _rest(unit),
        )
    ]
    more = (operations[1:], ledger[1:], events[1:], answers[1:], uncounted[1:])
    if any(more):
        rows += [
            (
                *_NOTHING_BEFORE,
                *(_NO_OPERATION if operation is None else OPERATION.cells(operation)),
                *(_NO_LEDGER if transaction is None else _ledger_cells(transaction)),
                *(_NO_EVENT if event is None else EVENT.cells(event)),
                *_NO_DECISION,
                *(_NO_ANSWER if answer is None else _answer_cells(answer)),
                attempt_id,
                None,
            )
            for operation, transaction, event, answer, attempt_id in zip_longest(*more)
        ]
    return rows


def _claim_cells(claim: Claim) -> tuple[Any, ...]:
    key = claim.key
    return (
        key.merchant_id,
        key.rpc,
        key.key,
        claim.fingerprint,
        claim.payment_id,
        claim.operation_id,
        claim.created_at_ns,
        claim.answer,
    )


def _payment_cells(payment: Payment, details_stand: bool) -> tuple[Any, ...]:
    if details_stand and payment.version > 1:
        return (*_MOVED.cells(payment), None)
    return (*PAYMENT.cells(payment), payment.details.customer.reference)


def _ledger_cells(transaction: LedgerTransaction) -> tuple[Any, ...]:
    postings = transaction.postings
    return (
        *_LEDGER.cells(transaction),
        _dumps([one.book for one in postings]).decode(),
        _dumps([one.amount_minor for one in postings]).decode(),
    )


def _answer_cells(answered: tuple[ClaimKey, bytes]) -> tuple[Any, ...]:
    key, answer = answered
    return (key.merchant_id, key.rpc, key.key, answer)


def _rest(unit: UnitOfWork) -> str | None:
    """What few units hold, as JSON; None where this one holds nothing of it."""
    if not (unit.webhook_done or unit.review or unit.declined or unit.count):
        return None
    rest = (
        None,
        unit.webhook_done or None,
        None if unit.review is None else REVIEW.cells(unit.review),
        [attempts.decline_cells(one) for one in unit.declined],
        [] if unit.count is None else [attempts.count_cells(unit.count)],
    )
    return _dumps(rest, bytes.hex).decode()


def encode_webhook(webhook: StoredWebhook) -> Rows:
    """A webhook that is kept where it is new."""
    row = (
        webhook.webhook_id,
        webhook.account_id,
        webhook.event.event_id,
        webhook.received_at_ns,
        webhook.event,
        webhook.attempts,
    )
    return [(1, *_NOTHING[1:-1], _dumps((row,), bytes.hex).decode())]


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


# --- the other side: rows to tables -----------------------------------------------------------


def _names(names: Iterable[str], without: tuple[str, ...] = ()) -> str:
    return ", ".join(name for name in names if name not in without)


def _cells(part: str, without: tuple[str, ...] = ()) -> str:
    """A part's columns of the view, in order."""
    return ", ".join(f"NEW.{part}_{name}" for name in _PARTS[part] if name not in without)


_PAYMENT_APART = ("details", "customer_reference")
_PAYMENT_MOVING = ", ".join(
    f"{name} = NEW.payment_{name}"
    for name in PAYMENT.names
    if name not in PAYMENT_IDENTITY and name != "details"
)
_PAYMENT_SAME = " AND ".join(f"{name} = NEW.payment_{name}" for name in PAYMENT_IDENTITY)
_OPERATION_SAME = " AND ".join(f"operations.{one} = excluded.{one}" for one in OPERATION_IDENTITY)
_OPERATION_MOVING = ", ".join(
    f"{name} = excluded.{name}" for name in OPERATION.names if name not in OPERATION_IDENTITY
)

# The order matters where it says so; RAISE names the law in words that `refusal` knows. `unit` is
# null in the rows that only fill a statement up.
_TRIGGER = f"""
CREATE TEMP TRIGGER unit_batch_insert INSTEAD OF INSERT ON unit_batch WHEN NEW.unit = 1 BEGIN
    INSERT INTO claims ({_names(_CLAIM)})
    SELECT {_cells("claim")} WHERE NEW.claim_key IS NOT NULL;

    INSERT INTO payments ({_names(PAYMENT.names, ("details",))})
    SELECT {_cells("payment", _PAYMENT_APART)} WHERE NEW.payment_version = 1;

    INSERT INTO payment_details (payment_id, merchant_id, customer_reference, details)
    SELECT
        NEW.payment_payment_id, NEW.payment_merchant_id, NEW.payment_customer_reference,
        NEW.payment_details
    WHERE NEW.payment_version = 1;

    UPDATE payments SET {_PAYMENT_MOVING}
    WHERE NEW.payment_version > 1 AND {_PAYMENT_SAME} AND version = NEW.payment_version - 1;

    -- changes() is what the UPDATE did.
    SELECT iif(
        EXISTS (
            SELECT 1 FROM payments
            WHERE payment_id = NEW.payment_payment_id AND version = NEW.payment_version - 1
        ),
        RAISE(ABORT, 'payment_identity: what names a payment cannot change'),
        RAISE(ABORT, 'version_conflict')
    )
    WHERE NEW.payment_version <> 1 AND changes() <> 1;

    UPDATE payment_details
    SET details = NEW.payment_details, customer_reference = NEW.payment_customer_reference
    WHERE NEW.payment_version > 1 AND NEW.payment_details IS NOT NULL
        AND payment_id = NEW.payment_payment_id AND details <> NEW.payment_details;

    INSERT INTO operations ({_names(OPERATION.names)})
    SELECT {_cells("operation")} WHERE NEW.operation_operation_id IS NOT NULL
    ON CONFLICT (operation_id) DO UPDATE SET {_OPERATION_MOVING} WHERE {_OPERATION_SAME};

    SELECT RAISE(ABORT, 'operation_identity: what names an operation cannot change')
    WHERE NEW.operation_operation_id IS NOT NULL AND changes() <> 1;

    -- Postings first: their transaction checks the sum and closes them.
    INSERT INTO ledger_postings (transaction_id, line, book, amount_minor)
    SELECT NEW.ledger_transaction_id, b.key, b.value, NEW.ledger_amounts ->> b.key
    FROM json_each(NEW.ledger_books) AS b;

    INSERT INTO ledger_transactions ({_names(_LEDGER.names)})
    SELECT {_cells("ledger", ("books", "amounts"))} WHERE NEW.ledger_transaction_id IS NOT NULL;

    INSERT INTO events ({_names(EVENT.names)})
    SELECT {_cells("event")} WHERE NEW.event_event_id IS NOT NULL;

    INSERT INTO decisions ({_names(DECISION.names)})
    SELECT {_cells("decision")} WHERE NEW.decision_decision_id IS NOT NULL;

    -- Of two answers the first stands.
    UPDATE claims SET answer = NEW.answered_answer
    WHERE merchant_id = NEW.answered_merchant_id AND rpc = NEW.answered_rpc
        AND key = NEW.answered_key AND answer IS NULL;

    DELETE FROM scheme_attempts WHERE attempt_id = NEW.uncounted;

    INSERT INTO unit_rest ({_names(_REST)})
    SELECT {", ".join(f"NEW.rest -> {place}" for place in range(len(_REST)))}
    WHERE NEW.rest IS NOT NULL;
END;
"""

_REST_TRIGGER = f"""
CREATE TEMP TRIGGER unit_rest_insert INSTEAD OF INSERT ON unit_rest BEGIN
    INSERT INTO webhooks (webhook_id, account_id, event_id, received_at_ns, event, attempts)
    SELECT
        NEW.webhook ->> 0, NEW.webhook ->> 1, NEW.webhook ->> 2, NEW.webhook ->> 3,
        NEW.webhook ->> 4, NEW.webhook ->> 5
    WHERE NEW.webhook ->> 0 IS NOT NULL
    ON CONFLICT (account_id, event_id) DO NOTHING;

    UPDATE webhooks SET state = 'done' WHERE webhook_id = NEW.webhook_done ->> '$';

    INSERT INTO reviews ({_names(REVIEW.names)})
    SELECT {", ".join(f"NEW.review ->> {place}" for place in range(len(REVIEW.names)))}
    WHERE NEW.review ->> 0 IS NOT NULL;

    {attempts.STATEMENTS}
END;
"""


def prepare(connection: apsw.Connection) -> None:
    """Makes the views and the triggers that take units, for this connection only."""
    for view, columns in (("unit_batch", COLUMNS), ("unit_rest", _REST)):
        nothing = ", ".join(f"NULL AS {name}" for name in columns)
        connection.execute(f"CREATE TEMP VIEW {view} AS SELECT {nothing}")
    connection.execute(_REST_TRIGGER)
    connection.execute(_TRIGGER)
