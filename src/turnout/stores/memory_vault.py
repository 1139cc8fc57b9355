"""The vault's store in memory: for simulations and tests. It holds only ciphertext."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from turnout.ports import VaultRecord, WrappedKey
from turnout.stores.laws import RecordRefused
from turnout.stores.shapes import copier

copied_record = copier(VaultRecord)
_copy_key = copier(WrappedKey)


class MemoryVaultStore:
    """A `VaultStore` that forgets everything with the process."""

    def __init__(self) -> None:
        self._records: dict[str, VaultRecord] = {}
        self._keys: dict[str, WrappedKey] = {}

    def put(self, record: VaultRecord) -> Awaitable[None]:
        """See `VaultStore.put`; kept before it returns."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if record.token_id in self._records:
            future.set_exception(RecordRefused("card_token: the token exists"))
        else:
            self._records[record.token_id] = copied_record(record)
            future.set_result(None)
        return future

    async def get(self, token_id: str) -> VaultRecord | None:
        """See `VaultStore.get`."""
        record = self._records.get(token_id)
        return None if record is None else copied_record(record)

    async def add_key(self, key: WrappedKey) -> None:
        """See `VaultStore.add_key`."""
        if key.key_id in self._keys:
            raise RecordRefused("vault_key: the key exists")
        self._keys[key.key_id] = _copy_key(key)

    async def list_keys(self) -> list[WrappedKey]:
        """See `VaultStore.list_keys`."""
        keys = sorted(self._keys.values(), key=lambda one: one.created_at_ns)
        return [_copy_key(one) for one in keys]

    async def count(self) -> int:
        """See `VaultStore.count`."""
        return len(self._records)

    async def close(self) -> None:
        """See `VaultStore.close`; there is nothing to let go of."""
