"""The record of payments in one SQLite file.

Writes go through the writer's thread. Reads that follow an index to a few rows are made where they
are asked for, on the event loop: at 15 to 40 us each they cost less than a hop to another thread.
Pages with free filters may walk a long way, so they run in a reader's thread. Both read through
connections of their own and see every commit that has been awaited, because each statement (or
transaction) of a WAL reader begins at the newest commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import apsw

from turnout.domain.audit import Verdict
from turnout.domain.events import Event
from turnout.domain.ledger import Balance, LedgerTransaction
from turnout.domain.operation import ClaimKey, Operation
from turnout.domain.payment import Payment
from turnout.ports import (
    MAX_NS,
    BalanceFilter,
    Claim,
    DecidedAttempt,
    DecisionFilter,
    DecisionRecord,
    EventFilter,
    LedgerFilter,
    PaymentFilter,
    RefundFilter,
    ReviewFilter,
    SchemeFacts,
    SchemeKeys,
    StoredWebhook,
    UnitOfWork,
)
from turnout.stores import laws
from turnout.stores.sqlite import attempts, ledger, opening, reads, units
from turnout.stores.sqlite.rulesets import RulesetTables, all_rows
from turnout.stores.sqlite.writer import Writer, Written, unavailable
from turnout.stores.waking import Subscription, Waking

_T = TypeVar("_T")

# Index reads of more rows than this go to the reader's thread.
_ROWS_ON_LOOP = 100


class SqliteStore(Written, RulesetTables):
    """A `Store` in the file `path`, which it makes (mode 0600) where there is none.

    One process may have it open for writing; the composition root holds the lock that sees to it.
    """

    def __init__(self, path: Path) -> None:
        """Opens the file and brings its schema up to date.

        Raises:
            CannotOpen: it is damaged, something else, or of a newer schema.
        """
        kind = opening.RECORD
        writing = opening.connect_writer(path, kind)
        _fill_laws(writing)
        units.prepare(writing)
        self._writing = writing
        self._reading = opening.connect_reader(path, kind)
        self._scanning = opening.connect_reader(path, kind)
        self._scanner = ThreadPoolExecutor(1, "record-reader")
        self._last_at_open = self._row("SELECT coalesce(max(rowid), 0) FROM operations")[0]
        self._waking = Waking()
        self._writer = Writer(writing, kind.name, units.COLUMNS, units.refusal, self._waking.wake)

    def holds_tokens(self) -> bool:
        """Whether anything in it refers to a card in the vault."""
        return bool(self._row(reads.HOLDS_TOKENS)[0])

    def unused(self) -> bool:
        """Whether no process has ever served with it."""
        return self._row("SELECT 1 FROM configs LIMIT 1") is None

    # --- units ---------------------------------------------------------------------------

    def commit(self, unit: UnitOfWork) -> Awaitable[None]:
        """See `Store.commit`."""
        events = unit.events
        return self._writer.submit(
            units.encode(unit), [event.merchant_id for event in events] if events else ()
        )

    # --- reading, in two ways ------------------------------------------------------------

    @contextmanager
    def _medium(self) -> Iterator[None]:
        try:
            yield
        except apsw.Error as error:
            raise unavailable("record", error) from error

    def _row(self, sql: str, *values: Any) -> Any:
        """The first row, or None."""
        try:
            return self._reading.execute(sql, values).fetchone()
        except apsw.Error as error:
            raise unavailable("record", error) from error

    def _all(self, sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        try:
            return self._reading.execute(sql, values).fetchall()
        except apsw.Error as error:
            raise unavailable("record", error) from error

    def _payment(self, sql: str, *values: Any) -> Payment | None:
        rows = self._all(sql, values)
        return reads.read_payments(rows)[0] if rows else None

    async def _scan(self, read: Callable[..., _T], *values: Any) -> _T:
        loop = asyncio.get_running_loop()
        with self._medium():
            return await loop.run_in_executor(self._scanner, read, self._scanning, *values)

    async def _rows(self, limit: int, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        if limit > _ROWS_ON_LOOP:
            return await self._scan(all_rows, sql, values)
        with self._medium():
            return all_rows(self._reading, sql, values)

    # --- claims --------------------------------------------------------------------------

    async def find_claim(self, key: ClaimKey) -> Claim | None:
        """See `Store.find_claim`."""
        row = self._row(reads.CLAIM, key.merchant_id, key.rpc, key.key)
        return None if row is None else reads.read_claim(key, row)

    async def find_taken(self, key: ClaimKey, merchant_reference: str) -> tuple[Claim | None, str]:
        """See `Store.find_taken`."""
        merchant_id = key.merchant_id
        asked = (merchant_id, key.rpc, key.key, merchant_id, merchant_reference)
        taken_by = ""
        for row in self._all(reads.TAKEN, asked):
            if row[0] is not None:
                return reads.read_claim(key, row), ""
            taken_by = str(row[1])
        return None, taken_by

    async def find_to_change(
        self, key: ClaimKey, payment_id: str
    ) -> tuple[Claim | None, Payment | None]:
        """See `Store.find_to_change`."""
        asked = (key.merchant_id, key.rpc, key.key, payment_id)
        rows = self._all(reads.TO_CHANGE, asked)
        if not rows:
            return await self.find_claim(key), None
        return reads.read_to_change(key, rows)

    async def answer_claim(self, key: ClaimKey, answer: bytes) -> bytes:
        """See `Store.answer_claim`."""
        await self.commit(UnitOfWork(answers=[(key, answer)]))
        claim = await self.find_claim(key)
        if claim is None or claim.answer is None:
            raise KeyError(key)
        return claim.answer

    async def delete_expired_claims(self, before_ns: int, limit: int) -> int:
        """See `Store.delete_expired_claims`."""

        def delete(connection: apsw.Connection) -> int:
            connection.execute(
                "DELETE FROM claims WHERE claim_id IN (SELECT claim_id FROM claims "
                "WHERE created_at_ns < ? AND answer IS NOT NULL "
                "ORDER BY created_at_ns LIMIT ?)",
                (before_ns, limit),
            )
            return connection.changes()

        deleted: int = await self._writer.run(delete)
        return deleted

    # --- attempts as the schemes count them ----------------------------------------------

    async def scheme_facts(self, keys: SchemeKeys, card_since_ns: int) -> SchemeFacts:
        """See `Store.scheme_facts`."""
        try:
            return attempts.read_facts(self._reading, keys, card_since_ns)
        except apsw.Error as error:
            raise unavailable("record", error) from error

    async def forget_attempts(self, now_ns: int, limit: int) -> int:
        """See `Store.forget_attempts`."""
        forgotten: int = await self._writer.run(
            lambda connection: attempts.forget(connection, now_ns, limit)
        )
        return forgotten

    # --- payments ------------------------------------------------------------------------

    async def get_payment(self, payment_id: str) -> Payment | None:
        """See `Store.get_payment`."""
        return self._payment(reads.BY_ID, payment_id)

    async def find_payment_by_operation(self, operation_id: str) -> Payment | None:
        """See `Store.find_payment_by_operation`."""
        return self._payment(reads.BY_OPERATION, operation_id)

    async def find_payment_by_provider_reference(
        self, account_id: str, provider_reference: str
    ) -> Payment | None:
        """See `Store.find_payment_by_provider_reference`."""
        if not provider_reference:
            return None
        return self._payment(reads.BY_PROVIDER_REFERENCE, account_id, provider_reference)

    async def get_decision(self, merchant_id: str, decision_id: str) -> DecisionRecord | None:
        """See `Store.get_decision`."""
        row = self._row(reads.DECISION_BY_ID, decision_id, merchant_id)
        return None if row is None else reads.read_decision(row)

    async def list_decisions(self, merchant_id: str, want: DecisionFilter) -> list[DecidedAttempt]:
        """See `Store.list_decisions`."""
        return await self._scan(reads.list_decisions, merchant_id, want)

    async def list_payments(self, merchant_id: str, want: PaymentFilter) -> list[Payment]:
        """See `Store.list_payments`."""
        return await self._scan(reads.list_payments, merchant_id, want)

    async def list_refunds(
        self, merchant_id: str, want: RefundFilter
    ) -> list[tuple[Payment, Operation]]:
        """See `Store.list_refunds`."""
        return await self._scan(reads.list_refunds, merchant_id, want)

    # --- events --------------------------------------------------------------------------

    async def list_events(self, merchant_id: str, want: EventFilter) -> list[Event]:
        """See `Store.list_events`."""
        if want.limit <= _ROWS_ON_LOOP and reads.is_short(want):
            with self._medium():
                return reads.list_events(self._reading, merchant_id, want)
        return await self._scan(reads.list_events, merchant_id, want)

    async def last_cursor(self, merchant_id: str) -> int:
        """See `Store.last_cursor`."""
        cursor: int = self._row(reads.LAST_CURSOR, merchant_id)[0]
        return cursor

    def subscribe(self, merchant_id: str) -> Subscription:
        """See `Store.subscribe`."""
        return self._waking.subscribe(merchant_id)

    # --- the ledger, and what waits for a person ------------------------------------------

    async def list_ledger(self, merchant_id: str, want: LedgerFilter) -> list[LedgerTransaction]:
        """See `Store.list_ledger`."""
        return await self._scan(ledger.list_ledger, merchant_id, want)

    async def ledger_balances(self, merchant_id: str, want: BalanceFilter) -> list[Balance]:
        """See `Store.ledger_balances`."""
        return await self._scan(ledger.balances, merchant_id, want)

    async def audit_ledger(self) -> Verdict:
        """See `Store.audit_ledger`."""
        return await self._scan(ledger.audit_record)

    async def list_reviews(self, want: ReviewFilter) -> list[Payment]:
        """See `Store.list_reviews`."""
        return await self._scan(ledger.list_reviews, want)

    async def set_aside_webhooks(
        self, after: tuple[int, str] | None, limit: int
    ) -> list[StoredWebhook]:
        """See `Store.set_aside_webhooks`."""
        place = after or (-1, "")
        rows = await self._rows(limit, reads.SET_ASIDE_WEBHOOKS, *place, limit)
        return [reads.read_webhook(row) for row in rows]

    # --- recovery ------------------------------------------------------------------------

    async def fence_in_flight(self, now_ns: int, limit: int = 0) -> int:
        """See `Store.fence_in_flight`; one statement, over an index of what is in flight."""
        which = "state = 'sending'"
        values: tuple[int, ...] = (now_ns,)
        if limit:
            which = (
                "rowid IN (SELECT rowid FROM operations INDEXED BY operations_sending "
                "WHERE state = 'sending' AND rowid <= ?2 LIMIT ?3)"
            )
            values = (now_ns, self._last_at_open, limit)

        def fence(connection: apsw.Connection) -> int:
            connection.execute(
                "UPDATE operations SET state = 'unknown', updated_at_ns = ?1, check_at_ns = ?1 "
                f"WHERE {which}",
                values,
            )
            return connection.changes()

        fenced: int = await self._writer.run(fence)
        return fenced

    async def due_operations(
        self, now_ns: int, limit: int, without: Sequence[str] = (), beyond_ns: int = MAX_NS
    ) -> list[tuple[str, str]]:
        """See `Store.due_operations`."""
        bounds = (now_ns, beyond_ns, limit)
        if without:
            marks = ", ".join(f"?{number + 4}" for number in range(len(without)))
            query = reads.DUE.format(f" AND account_id NOT IN ({marks})")
            rows = await self._scan(all_rows, query, (*bounds, *without))
        else:
            rows = await self._rows(limit, reads.DUE_OF_ALL, *bounds)
        return [(row[0], row[1]) for row in rows]

    async def next_check_ns(self) -> int:
        """See `Store.next_check_ns`."""
        earliest: int = self._row(reads.NEXT_CHECK)[0]
        return earliest

    async def expired_authorizations(self, now_ns: int, limit: int) -> list[str]:
        """See `Store.expired_authorizations`."""
        return [row[0] for row in await self._rows(limit, reads.EXPIRED, now_ns, limit)]

    # --- webhooks ------------------------------------------------------------------------

    async def add_webhooks(self, webhooks: Sequence[StoredWebhook]) -> int:
        """See `Store.add_webhooks`."""
        # New is what was not there before and is there afterwards under its own id: of two calls
        # that bring the same event at once, one is told so.
        fresh = {
            one.webhook_id
            for one in webhooks
            if self._row(reads.WEBHOOK_KNOWN, one.account_id, one.event.event_id) is None
        }
        if not fresh:
            return 0
        rows = [row for one in webhooks for row in units.encode_webhook(one)]
        await self._writer.submit(rows)
        kept = [one for one in fresh if self._row(reads.WEBHOOK_KEPT, one) is not None]
        return len(kept)

    async def pending_webhooks(self, limit: int) -> list[StoredWebhook]:
        """See `Store.pending_webhooks`."""
        rows = await self._rows(limit, reads.PENDING_WEBHOOKS, limit)
        return [reads.read_webhook(row) for row in rows]

    async def fail_webhook(self, webhook_id: str, reason: str, give_up: bool) -> None:
        """See `Store.fail_webhook`."""

        def fail(connection: apsw.Connection) -> None:
            connection.execute(
                "UPDATE webhooks SET attempts = attempts + 1, reason = ?, "
                "state = iif(?, 'set_aside', state) WHERE webhook_id = ?",
                (reason, give_up, webhook_id),
            )

        await self._writer.run(fail)

    # --- state and configuration ---------------------------------------------------------

    async def load_blob(self, name: str) -> bytes | None:
        """See `Store.load_blob`."""
        row = self._row("SELECT value FROM blobs WHERE name = ?", name)
        return None if row is None else row[0]

    async def save_blob(self, name: str, value: bytes) -> None:
        """See `Store.save_blob`."""

        def save(connection: apsw.Connection) -> None:
            connection.execute(
                "INSERT INTO blobs (name, value) VALUES (?, ?) "
                "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (name, value),
            )

        await self._writer.run(save)

    async def import_config(self, digest: str, body: bytes, now_ns: int) -> int:
        """See `Store.import_config`."""

        def keep(connection: apsw.Connection) -> int:
            newest = connection.execute(
                "SELECT version, digest FROM configs ORDER BY version DESC LIMIT 1"
            ).fetchone()
            if newest is not None and newest[1] == digest:
                return int(newest[0])
            version = 1 if newest is None else int(newest[0]) + 1
            connection.execute(
                "INSERT INTO configs (version, digest, body, created_at_ns) VALUES (?, ?, ?, ?)",
                (version, digest, body, now_ns),
            )
            return version

        version: int = await self._writer.run(keep)
        return version

    async def close(self) -> None:
        """See `Store.close`."""
        await asyncio.to_thread(self._writer.close)
        await asyncio.to_thread(self._scanner.shutdown)
        self._reading.close()
        self._scanning.close()
        # The last connection to close folds the log back into the file.
        await asyncio.to_thread(self._writing.close)


def _fill_laws(connection: apsw.Connection) -> None:
    """Writes the domain's tables of edges into the record, at every start."""
    undoes = [(kind.value, undone.value) for kind, undone in laws.UNDOES.items()]
    with connection:
        connection.execute("DELETE FROM payment_transitions")
        connection.executemany(
            "INSERT INTO payment_transitions (from_status, to_status) VALUES (?, ?)", laws.edges()
        )
        connection.execute("DELETE FROM operation_transitions")
        connection.executemany(
            "INSERT INTO operation_transitions (from_state, to_state) VALUES (?, ?)",
            laws.operation_edges(),
        )
        connection.execute("DELETE FROM ledger_undoes")
        connection.executemany("INSERT INTO ledger_undoes (kind, undoes) VALUES (?, ?)", undoes)
