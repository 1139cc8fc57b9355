"""A unit of work on its way into the record: Python objects to a row, the row to tables.

On the event loop a unit becomes one row of the view `unit_batch`, as wide as all that a unit may
hold, with null for what it does not; what it holds more often makes further rows. In the writer's
thread SQLite puts each part in its table, without the interpreter's lock: the view has a trigger
for each part, which passes over what is null before it opens a table. What few units hold is JSON
in one column, which costs the others nothing.
"""

from __future__ import annotations

import re
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

# What the merchant said, how is paid, and why there: written again only where it changed.
_STANDING = ("details", "method", "decision")
PAYMENT = Row(Payment, without=("operations",))
_MOVED = Row(Payment, without=("operations",), nulls=_STANDING)
OPERATION = Row(Operation)
LEDGER = Row(LedgerTransaction)
_LEDGER = Row(LedgerTransaction, without=("postings",))
EVENT = Row(Event, without=("cursor",))
DECISION = Row(DecisionRecord)
REVIEW = Row(ReviewRecord)

# The parts and their columns.
CLAIM = (
    "merchant_id", "rpc", "key", "fingerprint", "payment_id", "operation_id", "created_at_ns",
    "answer",
)  # fmt: skip
# A movement of the domain has two or four postings; any other number is JSON in `postings`.
_POSTED = tuple(f"{name}_{line}" for line in range(4) for name in ("book", "amount"))
_PARTS: dict[str, tuple[str, ...]] = {
    "claim": CLAIM,
    "payment": (*PAYMENT.names, "customer_reference"),
    "operation": OPERATION.names,
    "ledger": (*_LEDGER.names, *_POSTED, "postings"),
    "event": EVENT.names,
    "decision": DECISION.names,
    "answered": ("merchant_id", "rpc", "key", "answer"),
    "uncounted": ("attempt_id",),
    "rest": ("rest",),
}
# In the order in which they are written. A capture at once is two transactions of the ledger.
_PLACES = (
    "claim", "payment", "operation", "ledger", "ledger", "event", "decision", "answered",
    "uncounted", "rest",
)  # fmt: skip
COLUMNS = tuple(
    f"{part}_{place}_{name}" for place, part in enumerate(_PLACES) for name in _PARTS[part]
)
_NO_CLAIM, _NO_PAYMENT, _NO_OPERATION, _NO_LEDGER, _NO_EVENT, _NO_DECISION, _NO_ANSWER = (
    (None,) * len(names) for names in list(_PARTS.values())[:7]
)
_NOTHING = (None,) * len(COLUMNS)
_NOTHING_BEFORE = (*_NO_CLAIM, *_NO_PAYMENT)

_dumps = orjson.dumps
_NEW = re.compile(r"\bNEW\.(\w+)")
_FIRED = re.compile(r"-- TRIGGER (unit_\w+)")


def encode(unit: UnitOfWork) -> Rows:
    """All that the unit holds, read now."""
    claim, payment, decision = unit.claim, unit.payment, unit.decision
    operations, ledger, events = unit.operations, unit.ledger, unit.events
    answers, uncounted = unit.answers, unit.uncounted
    rows = [
        (
            *(_NO_CLAIM if claim is None else claim_cells(claim)),
            *(_NO_PAYMENT if payment is None else _payment_cells(payment, unit.details_stand)),
            *(OPERATION.cells(operations[0]) if operations else _NO_OPERATION),
            *(_ledger_cells(ledger[0]) if ledger else _NO_LEDGER),
            *(_ledger_cells(ledger[1]) if len(ledger) > 1 else _NO_LEDGER),
            *(EVENT.cells(events[0]) if events else _NO_EVENT),
            *(_NO_DECISION if decision is None else DECISION.cells(decision)),
            *(_answer_cells(answers[0]) if answers else _NO_ANSWER),
            uncounted[0] if uncounted else None,
            _rest(unit),
        )
    ]
    more = (operations[1:], ledger[2:], events[1:], answers[1:], uncounted[1:])
    if any(more):
        rows += [
            (
                *_NOTHING_BEFORE,
                *(_NO_OPERATION if operation is None else OPERATION.cells(operation)),
                *(_NO_LEDGER if transaction is None else _ledger_cells(transaction)),
                *_NO_LEDGER,
                *(_NO_EVENT if event is None else EVENT.cells(event)),
                *_NO_DECISION,
                *(_NO_ANSWER if answer is None else _answer_cells(answer)),
                attempt_id,
                None,
            )
            for operation, transaction, event, answer, attempt_id in zip_longest(*more)
        ]
    return rows


def claim_cells(claim: Claim) -> tuple[Any, ...]:
    """What a claim's columns hold."""
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
    cells = _LEDGER.cells(transaction)
    posted = [part for one in transaction.postings for part in (one.book, one.amount_minor)]
    if len(posted) == 4:
        return (*cells, *posted, None, None, None, None, None)
    if len(posted) == 8:
        return (*cells, *posted, None)
    other = _dumps([(one.book, one.amount_minor) for one in transaction.postings]).decode()
    return (*cells, *_NOTHING[: len(_POSTED)], other)


def _answer_cells(answered: tuple[ClaimKey, bytes]) -> tuple[Any, ...]:
    key, answer = answered
    return (key.merchant_id, key.rpc, key.key, answer)


def _rest(unit: UnitOfWork) -> str | None:
    """What few units hold, as JSON; None where this one holds nothing of it."""
    if not (unit.webhook_done or unit.review or unit.declined or unit.count):
        return None
    rest: tuple[Any, ...] = (
        [],  # Webhooks come by themselves, see `encode_webhook`.
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
    return [(*_NOTHING[:-1], _dumps(((row,),), bytes.hex).decode())]


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
    """A part's columns, in order."""
    return ", ".join(f"NEW.{name}" for name in _PARTS[part] if name not in without)


_PAYMENT_APART = ("details", "customer_reference")
_PAYMENT_MOVING = ", ".join(
    # Where the details stand, the others do.
    f"{name} = iif(NEW.details IS NULL, {name}, NEW.{name})"
    if name in _STANDING
    else f"{name} = NEW.{name}"
    for name in PAYMENT.names
    if name not in PAYMENT_IDENTITY and name != "details"
)
_PAYMENT_SAME = " AND ".join(f"{name} = NEW.{name}" for name in PAYMENT_IDENTITY)
_OPERATION_SAME = " AND ".join(f"operations.{one} = excluded.{one}" for one in OPERATION_IDENTITY)
_OPERATION_MOVING = ", ".join(
    f"{name} = excluded.{name}" for name in OPERATION.names if name not in OPERATION_IDENTITY
)
_REVIEWED = ", ".join(f"NEW.rest ->> '$[2][{place}]'" for place in range(len(REVIEW.names)))

_POSTING = "INSERT INTO ledger_postings (transaction_id, line, book, amount_minor)"


def _post(line: int) -> str:
    return f"{_POSTING} VALUES (NEW.transaction_id, {line}, NEW.book_{line}, NEW.amount_{line});"


# (part, when it is there, what then happens). The order matters where it says so; RAISE names the
# law in words that `refusal` knows.
_TRIGGERS = (
    (
        "claim",
        "NEW.key IS NOT NULL",
        f"INSERT INTO claims ({_names(CLAIM)}) VALUES ({_cells('claim')});",
    ),
    (
        "payment",
        "NEW.version = 1",
        f"""
        INSERT INTO payments ({_names(PAYMENT.names, ("details",))})
        VALUES ({_cells("payment", _PAYMENT_APART)});

        INSERT INTO payment_details (payment_id, merchant_id, customer_reference, details)
        VALUES (NEW.payment_id, NEW.merchant_id, NEW.customer_reference, NEW.details);
        """,
    ),
    (
        "payment",
        "NEW.version <> 1",
        f"""
        UPDATE payments SET {_PAYMENT_MOVING} WHERE {_PAYMENT_SAME} AND version = NEW.version - 1;

        -- changes() is what the UPDATE did.
        SELECT iif(
            EXISTS (
                SELECT 1 FROM payments
                WHERE payment_id = NEW.payment_id AND version = NEW.version - 1
            ),
            RAISE(ABORT, 'payment_identity: what names a payment cannot change'),
            RAISE(ABORT, 'version_conflict')
        )
        WHERE changes() <> 1;
        """,
    ),
    (
        "payment",
        "NEW.version <> 1 AND NEW.details IS NOT NULL",
        """
        UPDATE payment_details
        SET details = NEW.details, customer_reference = NEW.customer_reference
        WHERE payment_id = NEW.payment_id AND details <> NEW.details;
        """,
    ),
    (
        "operation",
        "NEW.operation_id IS NOT NULL",
        f"""
        INSERT INTO operations ({_names(OPERATION.names)}) VALUES ({_cells("operation")})
        ON CONFLICT (operation_id) DO UPDATE SET {_OPERATION_MOVING} WHERE {_OPERATION_SAME};

        SELECT RAISE(ABORT, 'operation_identity: what names an operation cannot change')
        WHERE changes() <> 1;
        """,
    ),
    # Postings first: their transaction checks the sum and closes them.
    ("ledger", "NEW.book_0 IS NOT NULL", _post(0) + _post(1)),
    ("ledger", "NEW.book_2 IS NOT NULL", _post(2) + _post(3)),
    (
        "ledger",
        "NEW.postings IS NOT NULL",
        f"""
        {_POSTING} SELECT NEW.transaction_id, p.key, p.value ->> 0, p.value ->> 1
        FROM json_each(NEW.postings) AS p;
        """,
    ),
    (
        "ledger",
        "NEW.transaction_id IS NOT NULL",
        f"""
        INSERT INTO ledger_transactions ({_names(_LEDGER.names)})
        VALUES ({_cells("ledger", (*_POSTED, "postings"))});
        """,
    ),
    (
        "event",
        "NEW.event_id IS NOT NULL",
        f"INSERT INTO events ({_names(EVENT.names)}) VALUES ({_cells('event')});",
    ),
    (
        "decision",
        "NEW.decision_id IS NOT NULL",
        f"INSERT INTO decisions ({_names(DECISION.names)}) VALUES ({_cells('decision')});",
    ),
    (
        "answered",
        "NEW.key IS NOT NULL",
        # Of two answers the first stands.
        """
        UPDATE claims SET answer = NEW.answer
        WHERE merchant_id = NEW.merchant_id AND rpc = NEW.rpc AND key = NEW.key
            AND answer IS NULL;
        """,
    ),
    (
        "uncounted",
        "NEW.attempt_id IS NOT NULL",
        "DELETE FROM scheme_attempts WHERE attempt_id = NEW.attempt_id;",
    ),
    (
        "rest",
        "NEW.rest IS NOT NULL",
        f"""
        INSERT INTO webhooks (webhook_id, account_id, event_id, received_at_ns, event, attempts)
        SELECT w.value ->> 0, w.value ->> 1, w.value ->> 2, w.value ->> 3, w.value ->> 4,
            w.value ->> 5
        FROM jsonb_each(NEW.rest, '$[0]') AS w WHERE true
        ON CONFLICT (account_id, event_id) DO NOTHING;

        UPDATE webhooks SET state = 'done' WHERE webhook_id = NEW.rest ->> 1;

        INSERT INTO reviews ({_names(REVIEW.names)})
        SELECT {_REVIEWED} WHERE NEW.rest ->> 2 IS NOT NULL;

        {attempts.STATEMENTS}
        """,
    ),
)


def prepare(connection: apsw.Connection) -> None:
    """Makes the view and the triggers that take units, for this connection only.

    Raises:
        RuntimeError: this SQLite fires the triggers in another order than that of `_TRIGGERS`.
    """
    nothing = ", ".join(f"NULL AS {name}" for name in COLUMNS)
    connection.execute(f"CREATE TEMP VIEW unit_batch AS SELECT {nothing}")
    triggers = {
        f"unit_{place}_{part}_{number}": _NEW.sub(
            rf"NEW.{part}_{place}_\1", f"WHEN {when} BEGIN {statements} END"
        )
        for place, part in enumerate(_PLACES)
        for number, (of, when, statements) in enumerate(_TRIGGERS)
        if of == part
    }
    # The last one made fires first. SQLite promises no order, so it is asked for the one it has.
    for name, text in reversed(triggers.items()):
        connection.execute(f"CREATE TEMP TRIGGER {name} INSTEAD OF INSERT ON unit_batch {text}")
    program = connection.execute(f"EXPLAIN INSERT INTO unit_batch SELECT {nothing}")
    found = [_FIRED.fullmatch(str(step[5])) for step in program if step[1] == "Init"]
    order = [match[1] for match in found if match]
    if order != list(triggers):
        raise RuntimeError(f"SQLite {apsw.sqlitelibversion()} fires triggers so: {order}")
