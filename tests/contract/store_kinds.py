"""Every kind of store, opened for the suites that all of them pass."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from turnout.ports import Store, VaultStore
from turnout.stores.memory import MemoryStore
from turnout.stores.memory_vault import MemoryVaultStore
from turnout.stores.sqlite import SqliteStore, SqliteVaultStore

KINDS = ("memory", "sqlite")


@asynccontextmanager
async def open_store(kind: str, folder: Path) -> AsyncIterator[Store]:
    """A fresh record of this kind."""
    store: Store = MemoryStore() if kind == "memory" else SqliteStore(folder / "record.db")
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def open_vault_store(kind: str, folder: Path) -> AsyncIterator[VaultStore]:
    """A fresh store of sealed cards of this kind."""
    store: VaultStore = (
        MemoryVaultStore() if kind == "memory" else SqliteVaultStore(folder / "vault.db")
    )
    try:
        yield store
    finally:
        await store.close()
