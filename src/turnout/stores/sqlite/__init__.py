"""The record and the vault's cards in SQLite files: one machine, nothing to install."""

from turnout.stores.sqlite.inspector import RecordInspector
from turnout.stores.sqlite.ledger import audit_file
from turnout.stores.sqlite.opening import CannotOpen
from turnout.stores.sqlite.record import SqliteStore
from turnout.stores.sqlite.vault import SqliteVaultStore

__all__ = ["CannotOpen", "RecordInspector", "SqliteStore", "SqliteVaultStore", "audit_file"]
