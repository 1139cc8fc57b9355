"""The record's decisions and what they were made from, read beside a process that writes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from turnout.ports import DecidedAttempt, DecisionFilter
from turnout.stores.sqlite import opening, reads
from turnout.stores.sqlite.rulesets import RulesetTables

_T = TypeVar("_T")


class RecordInspector(RulesetTables, AbstractContextManager["RecordInspector"]):
    """A record that is only looked at: for commands of operators. Nothing of it can be written."""

    def __init__(self, path: Path) -> None:
        """Opens the file.

        Raises:
            CannotOpen: it is no record that this program can read, or it is damaged.
        """
        self._connection = opening.connect_inspector(path, opening.RECORD)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()

    async def list_decisions(self, merchant_id: str, want: DecisionFilter) -> list[DecidedAttempt]:
        """See `Store.list_decisions`."""
        return reads.list_decisions(self._connection, merchant_id, want)

    def _row(self, sql: str, *values: Any) -> Any:
        return self._connection.execute(sql, values).fetchone()

    async def _scan(self, read: Callable[..., _T], *values: Any) -> _T:
        return read(self._connection, *values)
