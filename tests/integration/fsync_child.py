"""A process that commits, meets a failing fsync, and says what it was told.

    FSYNC_FAULT=FLAG LD_PRELOAD=... python -m tests.integration.fsync_child RECORD

Writes one word a step: what the commit came to before, during and after the fault.
"""

import asyncio
import os
import sys
from pathlib import Path

from tests.contract.store_units import authorization
from turnout.ports import StoreUnavailable
from turnout.stores.sqlite import SqliteStore


async def attempt(store: SqliteStore, number: int) -> str:
    try:
        await store.commit(authorization(number).begin)
    except StoreUnavailable as error:
        return "wounded" if "until a restart" in str(error) or store.wounded else "unavailable"
    return "durable"


async def main() -> None:
    store = SqliteStore(Path(sys.argv[1]))
    flag = Path(os.environ["FSYNC_FAULT"])
    said = [await attempt(store, 1)]
    flag.touch()
    said.append(await attempt(store, 2))
    flag.unlink()
    # The disk says yes again, which proves nothing about what it lost.
    said.append(await attempt(store, 3))
    found = await store.get_payment(authorization(1).payment.payment_id)
    said.append("readable" if found is not None else "lost")
    print(" ".join(said), flush=True)
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main())
