"""A process that commits authorizations and says so after each commit, until it is killed.

    python -m tests.integration.store_child RECORD FIRST IN_FLIGHT

Writes a line for each commit after it was awaited: `begin N` or `settle N`. The parent kills it at
any moment, so a line that was read names a commit that must be in the record.
"""

import asyncio
import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.contract.store_units import authorization
from turnout.stores.sqlite import SqliteStore


async def work(store: SqliteStore, numbers: Iterator[int]) -> None:
    for number in numbers:
        one = authorization(number, reference=f"order-{number}")
        await store.commit(one.begin)
        os.write(1, b"begin %d\n" % number)
        await store.commit(one.settle())
        os.write(1, b"settle %d\n" % number)


async def main() -> None:
    path, first, in_flight = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    store = SqliteStore(path)
    numbers = itertools.count(first)
    await asyncio.gather(*(work(store, numbers) for _ in range(in_flight)))


if __name__ == "__main__":
    asyncio.run(main())
