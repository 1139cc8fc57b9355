"""Fencing beside a process that serves: all that the dead one sent, and nothing of the living."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.contract.store_units import authorization
from tests.unit.rig import make_rig
from turnout.domain.operation import OperationState
from turnout.stores.sqlite import SqliteStore


async def test_a_limited_fence_goes_on_and_leaves_the_living_alone(tmp_path: Path) -> None:
    path = tmp_path / "record.db"
    store = SqliteStore(path)
    for number in range(1, 8):
        await store.commit(authorization(number).begin)
    await store.close()
    store = SqliteStore(path)
    assert await store.fence_in_flight(5, 3) == 3
    alive = authorization(99)
    await store.commit(alive.begin)
    assert await store.fence_in_flight(6, 3) == 3
    assert await store.fence_in_flight(7, 3) == 1
    assert await store.fence_in_flight(8, 3) == 0
    payment = await store.get_payment(alive.payment.payment_id)
    assert payment is not None
    assert payment.operations[0].state is OperationState.SENDING
    assert len(await store.due_operations(10, 100)) == 7
    await store.close()


async def test_what_the_start_leaves_is_fenced_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "record.db"
    store = SqliteStore(path)
    await asyncio.gather(*(store.commit(authorization(one).begin) for one in range(1, 2_500)))
    await store.close()
    store = SqliteStore(path)
    rig = await make_rig(tmp_path, store=store)
    assert await rig.recovery.fence(100) == 100
    await rig.recovery.fence_rest()
    assert len(await store.due_operations(rig.clock.now_ns(), 5_000)) == 2_499
    await store.close()
