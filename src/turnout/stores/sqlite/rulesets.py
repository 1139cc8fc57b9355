"""Rulesets, activations and snapshots in the record's file.

They are written by jobs and not by the units of work, which are made for payments: a ruleset is
written a few times a day.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import apsw

from turnout.ports import (
    ActivationRecord,
    Claim,
    ClaimTaken,
    RulesetFilter,
    RulesetRecord,
    SnapshotRecord,
    VersionConflict,
)
from turnout.stores.shapes import Row
from turnout.stores.sqlite.units import CLAIM, claim_cells
from turnout.stores.sqlite.writer import Writer

_T = TypeVar("_T")

_RULESET = Row(RulesetRecord)
_ACTIVATION = Row(ActivationRecord)
_SNAPSHOT = Row(SnapshotRecord)


def _insert(table: str, row: Row, more: str = "") -> str:
    marks = ", ".join("?" * len(row.names))
    return f"INSERT INTO {table} ({', '.join(row.names)}) VALUES ({marks}) {more}"


def _select(table: str, row: Row) -> str:
    return f"SELECT {', '.join(row.names)} FROM {table}"


_OF = "merchant_id = ? AND profile_id = ? AND live = ?"
_ADD_RULESET = _insert("rulesets", _RULESET)
_ADD_ACTIVATION = _insert("ruleset_activations", _ACTIVATION)
_ADD_SNAPSHOT = _insert("snapshots", _SNAPSHOT, "ON CONFLICT (snapshot_version) DO NOTHING")
_ADD_CLAIM = f"""INSERT INTO claims ({", ".join(CLAIM)})
    VALUES ({", ".join("?" * len(CLAIM))})"""
_GET = f"{_select('rulesets', _RULESET)} WHERE {_OF} AND version = ?"
_LIST = f"""{_select("rulesets", _RULESET)} WHERE {_OF} AND (? = 0 OR version < ?)
    ORDER BY version DESC LIMIT ?"""
_ACTIVATIONS = f"{_select('ruleset_activations', _ACTIVATION)} WHERE {_OF} ORDER BY sequence"
_FIND = f"{_select('snapshots', _SNAPSHOT)} WHERE snapshot_version = ?"


class RulesetTables:
    """The `RulesetStore` part of the record in SQLite."""

    _writer: Writer

    def _row(self, sql: str, *values: Any) -> Any:
        raise NotImplementedError

    async def _scan(self, read: Callable[..., _T], *values: Any) -> _T:
        raise NotImplementedError

    async def _every_row(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """All rows, read in the reader's thread."""
        return await self._scan(all_rows, sql, values)

    async def add_ruleset(self, ruleset: RulesetRecord, claim: Claim) -> None:
        """See `RulesetStore.add_ruleset`."""

        def add(connection: apsw.Connection) -> None:
            _claim(connection, claim)
            _once(connection, _ADD_RULESET, _RULESET.values(ruleset))

        await self._writer.run(add)

    async def activate_ruleset(
        self, activation: ActivationRecord, snapshot: SnapshotRecord, claim: Claim
    ) -> None:
        """See `RulesetStore.activate_ruleset`."""

        def activate(connection: apsw.Connection) -> None:
            _claim(connection, claim)
            _once(connection, _ADD_ACTIVATION, _ACTIVATION.values(activation))
            connection.execute(_ADD_SNAPSHOT, _SNAPSHOT.values(snapshot))

        await self._writer.run(activate)

    async def keep_snapshot(self, snapshot: SnapshotRecord) -> None:
        """See `RulesetStore.keep_snapshot`."""

        def keep(connection: apsw.Connection) -> None:
            connection.execute(_ADD_SNAPSHOT, _SNAPSHOT.values(snapshot))

        await self._writer.run(keep)

    async def find_snapshot(self, snapshot_version: str) -> SnapshotRecord | None:
        """See `RulesetStore.find_snapshot`."""
        row = self._row(_FIND, snapshot_version)
        return None if row is None else SnapshotRecord(*row)

    async def get_ruleset(
        self, merchant_id: str, profile_id: str, live: bool, version: int
    ) -> RulesetRecord | None:
        """See `RulesetStore.get_ruleset`."""
        row = self._row(_GET, merchant_id, profile_id, live, version)
        found: RulesetRecord | None = None if row is None else _RULESET.read(row)
        return found

    async def list_rulesets(self, merchant_id: str, want: RulesetFilter) -> list[RulesetRecord]:
        """See `RulesetStore.list_rulesets`."""
        of = (merchant_id, want.profile_id, want.live)
        # Documents may be large: never on the event loop.
        rows = await self._every_row(_LIST, *of, want.before, want.before, want.limit)
        return [_RULESET.read(row) for row in rows]

    async def list_activations(
        self, merchant_id: str, profile_id: str, live: bool
    ) -> list[ActivationRecord]:
        """See `RulesetStore.list_activations`."""
        rows = await self._every_row(_ACTIVATIONS, merchant_id, profile_id, live)
        return [_ACTIVATION.read(row) for row in rows]


def all_rows(
    connection: apsw.Connection, sql: str, values: tuple[Any, ...]
) -> list[tuple[Any, ...]]:
    """All rows of a query, for a reader's thread."""
    return connection.execute(sql, values).fetchall()


def _claim(connection: apsw.Connection, claim: Claim) -> None:
    try:
        connection.execute(_ADD_CLAIM, claim_cells(claim))
    except apsw.ConstraintError:
        raise ClaimTaken from None


def _once(connection: apsw.Connection, sql: str, values: tuple[Any, ...]) -> None:
    try:
        connection.execute(sql, values)
    except apsw.ConstraintError:
        raise VersionConflict from None
