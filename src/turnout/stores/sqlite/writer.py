"""The one thread that writes to a database file, and how concurrent writes share its commits.

Units are made rows by those who submit them; the thread takes all that is waiting and hands it to
SQLite as ONE statement of many rows, which in autocommit mode is one transaction with one fsync.
A batch is whatever gathered while the one before was being written, and as long as every few
turns of the event loop bring another unit: a busy loop comes to what a commit leads to only after
all that has arrived already, so what arrives may as well share the commit. An idle loop brings
nothing more, and a lone unit is written at once.

One statement, because a thread must take the interpreter's lock again after each: beside a busy
event loop that costs up to a switch interval every time, however fast the statement was. The
statement inserts into a view, whose triggers put each part of a row in its table. Statements are
prepared once, for a few numbers of rows; rows of nulls, which the triggers pass over, fill up.

Where the statement breaks a law, SQLite takes back all of it. The batch is then halved, inside one
transaction, until those that break laws stand alone: they fail, their neighbours commit.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Sequence
from itertools import chain
from queue import Empty, SimpleQueue
from typing import Any

import apsw

from turnout.ports import StoreUnavailable
from turnout.stores.laws import RecordRefused
from turnout.stores.sqlite import opening

# A unit is one or more rows of the batch view.
Rows = list[tuple[Any, ...]]
Job = Callable[[apsw.Connection], Any]

# Enough to share an fsync widely; a larger batch only makes its first units wait for its last.
MOST_UNITS = 256

# How many rows a statement has. A row too many costs a tenth of one that is needed, a prepared
# statement some 10 KB for each of its rows.
_SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
# apsw prepares a longer one anew each time.
_MOST_TEXT = 16_384

# What may be wrong with a unit: it breaks a law, or holds what no column can (a number beyond 64
# bits, half a surrogate pair).
_UNFIT = (apsw.ConstraintError, OverflowError, UnicodeEncodeError, TypeError)

# What the operating system has lost it may lose without another word: after a failed fsync the
# pages count as written, and the next fsync says yes (fsyncgate, 2018). Likewise a damaged page.
# Then nothing more is written until the file has been opened, and checked, anew.
_LOSSES = (apsw.CorruptError, apsw.NotADBError)
_LOSING = (apsw.SQLITE_IOERR_FSYNC, apsw.SQLITE_IOERR_DIR_FSYNC)

# The medium, not the unit: nothing was written, and the same may work later.
_MEDIUM = (
    apsw.FullError,
    apsw.IOError,
    apsw.CantOpenError,
    apsw.ReadOnlyError,
    apsw.BusyError,
    apsw.LockedError,
    apsw.NoMemError,
    apsw.CorruptError,
    apsw.NotADBError,
    apsw.ProtocolError,
    apsw.PermissionsError,
)


def unavailable(what: str, error: apsw.Error) -> StoreUnavailable:
    """How a failure of the medium is told."""
    return StoreUnavailable(f"the {what} cannot be used now: {error}")


def _loses(error: apsw.Error) -> bool:
    return isinstance(error, _LOSSES) or getattr(error, "extendedresult", 0) in _LOSING


# After so many turns of the loop without another unit what was gathered is handed over. A call
# takes some three from gRPC's core into the house, and one or two until its unit; a turn of an
# idle loop takes microseconds. The figures are in docs/performance.md.
QUIET_TURNS = 8
# Enough to share a commit: the writer has work, while the loop gathers more.
GATHER_MOST_UNITS = 64
# Units may also come slowly, between other work that keeps the loop busy.
_GATHER_MOST_S = 0.02


class _Entry:
    """A unit or a job, and who waits for it."""

    __slots__ = ("error", "future", "job", "merchants", "result", "rows")

    def __init__(
        self,
        future: asyncio.Future[Any],
        rows: Rows | None,
        job: Job | None,
        merchants: Sequence[str],
    ) -> None:
        self.future = future
        self.rows = rows
        self.job = job
        self.merchants = merchants
        self.result: Any = None
        self.error: Exception | None = None


class Writer:
    """Writes units and jobs in the order in which they were submitted.

    Attributes:
        transactions: how many transactions were committed.
        units: how many units they wrote.
        failing: why the last transaction was not written; empty where it was.
        wounded: why nothing will be written any more; empty as long as it can be.
    """

    def __init__(
        self,
        connection: apsw.Connection,
        what: str,
        columns: Sequence[str],
        refusal: Callable[[apsw.ConstraintError], Exception],
        woken: Callable[[Sequence[str]], None] | None = None,
    ) -> None:
        """Starts the thread.

        Args:
            connection: has a view `unit_batch` of these columns with triggers that take its
                rows and pass over one of nulls.
            what: the file's kind, for messages.
            columns: the view's columns.
            refusal: what the waiting caller is told where a law is broken.
            woken: called on the event loop with the merchants whose events are now durable.
        """
        self.transactions = 0
        self.units = 0
        self.failing = ""
        self.wounded = ""
        self._connection = connection
        self._what = what
        row = f"({','.join('?' * len(columns))})"
        texts = {
            size: f"INSERT INTO unit_batch VALUES {','.join([row] * size)}" for size in _SIZES
        }
        self._statements = {n: text for n, text in texts.items() if len(text) <= _MOST_TEXT}
        self._most_rows = max(self._statements)
        self._filler = (None,) * len(columns)
        self._refusal = refusal
        self._woken = woken
        self._loop: asyncio.AbstractEventLoop | None = None
        self._gathered: list[_Entry] = []
        self._gather_until_s = 0.0
        self._seen = self._quiet_turns = 0
        self._queue: SimpleQueue[list[_Entry] | None] = SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=f"{what}-writer", daemon=True)
        self._thread.start()

    # --- on the event loop ---------------------------------------------------------------

    def submit(self, rows: Rows, merchants: Sequence[str] = ()) -> asyncio.Future[None]:
        """Hands over a unit; durable when the future is done."""
        return self._put(rows, None, merchants)

    def run(self, job: Job) -> asyncio.Future[Any]:
        """Hands over a function that runs on the writer's connection, under a savepoint.

        Its result is told when its transaction is durable.
        """
        return self._put(None, job, ())

    def _put(
        self, rows: Rows | None, job: Job | None, merchants: Sequence[str]
    ) -> asyncio.Future[Any]:
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        if self._closed:
            future.set_exception(StoreUnavailable(f"the {self._what} is closed"))
        else:
            if not self._gathered:
                self._seen = self._quiet_turns = 0
                self._gather_until_s = loop.time() + _GATHER_MOST_S
                loop.call_soon(self._gather, loop)
            self._gathered.append(_Entry(future, rows, job, merchants))
        return future

    def _gather(self, loop: asyncio.AbstractEventLoop) -> None:
        """Goes with the loop turn by turn, until nothing more comes or there is enough."""
        count = len(self._gathered)
        if count > self._seen:
            self._seen, self._quiet_turns = count, 0
        else:
            self._quiet_turns += 1
        if (
            count >= GATHER_MOST_UNITS
            or self._quiet_turns >= QUIET_TURNS
            or loop.time() >= self._gather_until_s
        ):
            self._hand_over()
            return
        if self._quiet_turns:
            # gRPC's own thread, which brings the next call, may be waiting for this very core.
            os.sched_yield()
        loop.call_soon(self._gather, loop)

    def _hand_over(self) -> None:
        """Gives the thread what was gathered.

        Waking the thread costs more than a unit's encoding, because the two then fight for the
        interpreter; so it is woken once for all of them, not once a unit.
        """
        gathered, self._gathered = self._gathered, []
        if gathered:
            self._queue.put(gathered)

    def _finish(self, batch: list[_Entry]) -> None:
        for entry in batch:
            if entry.error is None and entry.merchants and self._woken is not None:
                self._woken(entry.merchants)
            # Whoever waited may have been cancelled; the unit was written all the same.
            if not entry.future.done():
                if entry.error is None:
                    entry.future.set_result(entry.result)
                else:
                    entry.future.set_exception(entry.error)

    def close(self) -> None:
        """Writes what was submitted, then ends the thread. Blocks; the connection stays open."""
        if not self._closed:
            self._closed = True
            self._hand_over()
            self._queue.put(None)
        self._thread.join()

    # --- on the writer's thread ----------------------------------------------------------

    def _run(self) -> None:
        waiting: list[_Entry] = []
        open_ = True
        while open_ or waiting:
            if not waiting:
                first = self._queue.get()
                if first is None:
                    return
                waiting = first
            try:
                while open_ and len(waiting) < MOST_UNITS:
                    more = self._queue.get_nowait()
                    if more is None:
                        open_ = False
                    else:
                        waiting += more
            except Empty:
                pass  # All that gathered meanwhile is in the batch.
            batch, waiting = waiting[:MOST_UNITS], waiting[MOST_UNITS:]
            self._write(batch)
            self._tell(batch)

    def _tell(self, batch: list[_Entry]) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(self._finish, batch)
        except RuntimeError:
            # The loop was closed under us, so nobody waits for these any more; they are durable.
            self._closed = True

    def _write(self, batch: list[_Entry]) -> None:
        if self.wounded:
            self._fail(batch, StoreUnavailable(self.wounded))
            return
        try:
            # Only where the medium refused even that, after the batch before: a unit that went
            # into an open transaction would be told durable without being so.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            if any(entry.job is not None for entry in batch) or not self._at_once(batch):
                self._step_by_step(batch)
            self.failing = ""
        except _MEDIUM as error:
            told = unavailable(self._what, error)
            self.failing = str(told)
            if _loses(error):
                self.wounded = (
                    f"{told}; what it says from now on cannot be believed, so nothing more is "
                    "written until a restart has checked the file; look at the disk first"
                )
            self._fail(batch, told)
        except Exception as error:
            # A defect, but those who wait must hear of it, and the thread must live on.
            self._fail(batch, error)

    def _fail(self, batch: list[_Entry], error: Exception) -> None:
        for entry in batch:
            entry.error = error
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except apsw.Error as failed:
            # Still open, then: the next batch begins by trying again, and fails if it cannot.
            error.add_note(f"and the transaction could not be taken back at once: {failed}")

    def _at_once(self, batch: list[_Entry]) -> bool:
        """The usual way: the whole batch as one statement; False where it breaks a law."""
        try:
            self._insert(batch)
        except _UNFIT:
            return False
        self.transactions += 1
        self.units += len(batch)
        return True

    def _insert(self, batch: Sequence[_Entry]) -> None:
        """Writes the batch's units, all or none, inside a transaction or as one."""
        rows = [row for entry in batch for row in entry.rows or ()]
        if len(rows) <= self._most_rows:
            self._insert_rows(rows)
            return
        self._connection.execute("SAVEPOINT rows")
        try:
            for start in range(0, len(rows), self._most_rows):
                self._insert_rows(rows[start : start + self._most_rows])
        except _UNFIT:
            self._connection.execute("ROLLBACK TO rows")
            self._connection.execute("RELEASE rows")
            raise
        self._connection.execute("RELEASE rows")

    def _insert_rows(self, rows: Rows) -> None:
        size = next(size for size in self._statements if size >= len(rows))
        rows += [self._filler] * (size - len(rows))
        # What a failing statement has done is taken back, inside a transaction too.
        self._connection.execute(self._statements[size], list(chain.from_iterable(rows)))

    def _step_by_step(self, batch: list[_Entry]) -> None:
        """One transaction of several statements: where there are jobs, or laws are broken."""
        self._connection.execute("BEGIN IMMEDIATE")
        units: list[_Entry] = []
        for entry in batch:
            if entry.job is None:
                units.append(entry)
            else:
                self._halve(units)
                units = []
                self._do(entry)
        self._halve(units)
        self._connection.execute("COMMIT")
        self.transactions += 1
        self.units += sum(1 for entry in batch if entry.error is None and entry.rows is not None)

    def _halve(self, units: Sequence[_Entry]) -> None:
        if not units:
            return
        try:
            self._insert(units)
        except _UNFIT as error:
            if len(units) == 1:
                if isinstance(error, apsw.ConstraintError):
                    units[0].error = self._refusal(error)
                else:
                    units[0].error = error
                return
            middle = len(units) // 2
            self._halve(units[:middle])
            self._halve(units[middle:])

    def _do(self, entry: _Entry) -> None:
        assert entry.job is not None
        connection = self._connection
        connection.execute("SAVEPOINT job")
        try:
            entry.result = entry.job(connection)
        except _MEDIUM:
            raise
        except Exception as error:
            connection.execute("ROLLBACK TO job")
            entry.error = (
                RecordRefused(str(error)) if isinstance(error, apsw.ConstraintError) else error
            )
        connection.execute("RELEASE job")


class Written:
    """What a store tells of its file, as its writer knows it."""

    _writer: Writer

    @property
    def transactions(self) -> int:
        """How many transactions were committed since it was opened."""
        return self._writer.transactions

    @property
    def units(self) -> int:
        """How many units of work they wrote."""
        return self._writer.units

    @property
    def failing(self) -> str:
        """Why it cannot be written now; empty where the last write went well."""
        return self._writer.wounded or self._writer.failing

    @property
    def wounded(self) -> bool:
        """Whether it will not be written any more before it was opened anew."""
        return bool(self._writer.wounded)

    async def probe(self) -> None:
        """Writes a row as it stands: whether the medium takes writes again.

        Raises:
            StoreUnavailable: it does not.
        """
        await self._writer.run(opening.touch)
