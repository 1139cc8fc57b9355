"""The vault's sealed cards and wrapped keys, in a SQLite file of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import apsw

from turnout.ports import VaultRecord, WrappedKey
from turnout.stores.laws import RecordRefused
from turnout.stores.shapes import Row
from turnout.stores.sqlite import opening
from turnout.stores.sqlite.writer import Writer, Written, unavailable

_CARD = Row(VaultRecord)
_KEY = Row(WrappedKey)
_CARD_COLUMNS = ", ".join(_CARD.names)
_KEY_COLUMNS = ", ".join(_KEY.names)
_GET = f"SELECT {_CARD_COLUMNS} FROM cards WHERE token_id = ?"

_TRIGGER = f"""
CREATE TEMP TRIGGER unit_batch_insert INSTEAD OF INSERT ON unit_batch
WHEN NEW.token_id IS NOT NULL BEGIN
    INSERT INTO cards ({_CARD_COLUMNS}) VALUES ({", ".join(f"NEW.{one}" for one in _CARD.names)});
END;
"""


class SqliteVaultStore(Written):
    """A `VaultStore` in the file `path`, which it makes (mode 0600) where there is none."""

    def __init__(self, path: Path) -> None:
        """Opens the file and brings its schema up to date.

        Raises:
            CannotOpen: it is damaged, something else, or of a newer schema.
        """
        kind = opening.VAULT
        self._writing = opening.connect_writer(path, kind)
        nothing = ", ".join(f"NULL AS {name}" for name in _CARD.names)
        self._writing.execute(f"CREATE TEMP VIEW unit_batch AS SELECT {nothing}")
        self._writing.execute(_TRIGGER)
        self._reading = opening.connect_reader(path, kind)
        self._writer = Writer(self._writing, kind.name, _CARD.names, _refusal)

    def put(self, record: VaultRecord) -> Awaitable[None]:
        """See `VaultStore.put`."""
        return self._writer.submit([_CARD.cells(record)])

    def _rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        try:
            return self._reading.execute(sql, values).fetchall()
        except apsw.Error as error:
            raise unavailable("vault", error) from error

    async def get(self, token_id: str) -> VaultRecord | None:
        """See `VaultStore.get`."""
        rows = self._rows(_GET, token_id)
        return _CARD.read(rows[0]) if rows else None

    async def add_key(self, key: WrappedKey) -> None:
        """See `VaultStore.add_key`."""
        marks = ", ".join("?" * len(_KEY.names))
        values = _KEY.values(key)

        def add(connection: apsw.Connection) -> None:
            connection.execute(f"INSERT INTO vault_keys ({_KEY_COLUMNS}) VALUES ({marks})", values)

        await self._writer.run(add)

    async def list_keys(self) -> list[WrappedKey]:
        """See `VaultStore.list_keys`."""
        rows = self._rows(f"SELECT {_KEY_COLUMNS} FROM vault_keys ORDER BY created_at_ns, rowid")
        return [_KEY.read(row) for row in rows]

    async def count(self) -> int:
        """See `VaultStore.count`."""
        count: int = self._rows("SELECT count(*) FROM cards")[0][0]
        return count

    async def close(self) -> None:
        """See `VaultStore.close`."""
        await asyncio.to_thread(self._writer.close)
        self._reading.close()
        await asyncio.to_thread(self._writing.close)


def _refusal(error: apsw.ConstraintError) -> Exception:
    return RecordRefused(str(error))
