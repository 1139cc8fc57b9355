"""Group commit: who shares a transaction, who fails alone, and what a failing medium leaves."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest

from tests.contract.store_units import MERCHANT, authorization, make_event
from turnout.ports import ClaimTaken, EventFilter, StoreUnavailable, UnitOfWork
from turnout.stores.laws import RecordRefused
from turnout.stores.sqlite import SqliteStore, units, writer
from turnout.stores.sqlite.writer import GATHER_MOST_UNITS, MOST_UNITS, QUIET_TURNS


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "record.db")
    yield opened
    await opened.close()


class Held:
    """Holds the writer's thread inside a job, so that what is submitted meanwhile gathers."""

    def __init__(self, store: SqliteStore) -> None:
        self._go = threading.Event()
        self._held = threading.Event()
        self._job = store._writer.run(self._wait)

    def _wait(self, connection: apsw.Connection) -> None:
        self._held.set()
        self._go.wait()

    async def __aenter__(self) -> None:
        await asyncio.to_thread(self._held.wait)

    async def __aexit__(self, *error: object) -> None:
        self._go.set()
        await self._job


async def test_a_lone_unit_is_one_transaction(store: SqliteStore) -> None:
    for number in range(1, 6):
        await store.commit(authorization(number).begin)
    assert (store.transactions, store.units) == (5, 5)


async def turns(count: int) -> None:
    """Lets the event loop go round."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_units_that_keep_coming_share_a_commit(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_GATHER_MOST_S", 60.0)
    gathered = []
    for number in range(1, 6):
        gathered.append(asyncio.ensure_future(store.commit(authorization(number).begin)))
        await turns(QUIET_TURNS - 1)
    await asyncio.gather(*gathered)
    assert (store.transactions, store.units) == (1, 5)


async def test_a_unit_after_which_none_comes_is_handed_over(store: SqliteStore) -> None:
    lone = asyncio.ensure_future(store.commit(authorization(1).begin))
    await turns(1)
    assert store._writer._gathered
    await turns(QUIET_TURNS + 1)
    assert not store._writer._gathered
    await lone


async def test_enough_units_are_handed_over_though_more_come(store: SqliteStore) -> None:
    units = [authorization(number).begin for number in range(GATHER_MOST_UNITS + 1)]
    commits = [asyncio.ensure_future(store.commit(unit)) for unit in units[:-1]]
    await turns(2)
    assert not store._writer._gathered
    await asyncio.gather(*commits, store.commit(units[-1]))
    assert (store.transactions, store.units) == (2, GATHER_MOST_UNITS + 1)


async def test_units_that_come_slowly_do_not_wait_for_ever(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_GATHER_MOST_S", 0.0)
    slow = asyncio.ensure_future(store.commit(authorization(1).begin))
    await turns(2)
    assert not store._writer._gathered
    await slow


async def test_what_still_gathers_is_written_before_the_file_is_closed(store: SqliteStore) -> None:
    commits = [asyncio.ensure_future(store.commit(authorization(n).begin)) for n in (1, 2)]
    await turns(1)
    await store.close()
    await asyncio.gather(*commits)
    assert (store.transactions, store.units) == (1, 2)


async def test_a_thousand_units_share_few_transactions(store: SqliteStore) -> None:
    units = [authorization(number).begin for number in range(1, 1_001)]
    async with Held(store):
        before = store.transactions
        commits = [store.commit(unit) for unit in units]
    await asyncio.gather(*commits)
    assert store.transactions - before == 1 + -(-1_000 // MOST_UNITS)
    assert store.units == 1_000


async def test_a_culprit_costs_its_neighbours_nothing(store: SqliteStore) -> None:
    await store.commit(authorization(1, key="same").begin)
    units = [authorization(number).begin for number in range(2, 66)]
    units[31] = authorization(100, key="same").begin
    units[40].payment.captured_minor = 5  # type: ignore[union-attr]
    async with Held(store):
        before = store.transactions
        commits = [store.commit(unit) for unit in units]
    results = await asyncio.gather(*commits, return_exceptions=True)
    wrong = {index: type(one) for index, one in enumerate(results) if one is not None}
    assert wrong == {31: ClaimTaken, 40: RecordRefused}
    # The held job's own, and one for all 64: the neighbours committed together.
    assert store.transactions - before == 2
    assert store.units == 1 + 62


@pytest.mark.parametrize(("reference", "amount_minor"), [("r-\ud800", 1), ("r-1", 1 << 63)])
async def test_a_unit_that_no_column_can_hold_costs_its_neighbours_nothing(
    store: SqliteStore, reference: str, amount_minor: int
) -> None:
    one, two, three = (authorization(number) for number in (1, 2, 3))
    two.payment.merchant_reference, two.payment.amount_minor = reference, amount_minor
    async with Held(store):
        commits = [store.commit(unit) for unit in (one.begin, two.begin, three.begin)]
    results = await asyncio.gather(*commits, return_exceptions=True)
    assert [result is None for result in results] == [True, False, True]
    assert await store.get_payment(two.payment.payment_id) is None
    assert await store.get_payment(three.payment.payment_id) is not None


async def test_the_triggers_fire_in_their_order_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(units, "reversed", list, raising=False)
    with pytest.raises(RuntimeError, match="fires triggers so"):
        SqliteStore(tmp_path / "record.db")


async def test_a_unit_of_many_rows_is_all_or_nothing(store: SqliteStore) -> None:
    """Of more rows than a statement has, and with its last row refused."""
    begun = authorization(1)
    many = [make_event(begun.payment, number) for number in range(1, 201)]
    with pytest.raises(RecordRefused):
        await store.commit(UnitOfWork(events=[*many, many[0]]))
    before = await store.list_events(MERCHANT, EventFilter(limit=1_000))
    await store.commit(UnitOfWork(events=many))
    after = await store.list_events(MERCHANT, EventFilter(limit=1_000))
    assert (before, [one.event_id for one in after]) == ([], [one.event_id for one in many])


async def test_jobs_and_units_keep_their_order(store: SqliteStore) -> None:
    one = authorization(1)
    async with Held(store):
        begun = store.commit(one.begin)
        fenced = asyncio.ensure_future(store.fence_in_flight(7))
        await asyncio.sleep(0)
        second = store.commit(authorization(2).begin)
        refused = store.commit(authorization(3, key="key-1").begin)
    await begun
    assert await fenced == 1
    await second
    with pytest.raises(ClaimTaken):
        await refused
    assert await store.due_operations(10, 10) == [
        (one.payment.payment_id, one.operation.operation_id)
    ]


async def test_a_job_that_fails_is_taken_back_alone(store: SqliteStore) -> None:
    def half(connection: apsw.Connection) -> None:
        connection.execute("INSERT INTO blobs VALUES ('half', x'00')")
        raise ValueError("a defect")

    async with Held(store):
        failed = store._writer.run(half)
        unit = store.commit(authorization(1).begin)
        saved = asyncio.ensure_future(store.save_blob("whole", b"1"))
        await asyncio.sleep(0)
    with pytest.raises(ValueError, match="a defect"):
        await failed
    await unit
    await saved
    assert await store.load_blob("half") is None
    assert await store.load_blob("whole") == b"1"


async def test_a_medium_that_fails_in_mid_transaction_takes_all_of_it_back(
    store: SqliteStore,
) -> None:
    def full(connection: apsw.Connection) -> None:
        connection.execute("INSERT INTO blobs VALUES ('half', x'00')")
        raise apsw.FullError("database or disk is full")

    one, two = authorization(1), authorization(2)
    async with Held(store):
        first = store.commit(one.begin)
        job = store._writer.run(full)
        second = store.commit(two.begin)
    results = await asyncio.gather(first, job, second, return_exceptions=True)
    assert [type(result) for result in results] == [StoreUnavailable] * 3
    assert await store.load_blob("half") is None
    assert await store.get_payment(one.payment.payment_id) is None
    assert store.units == 0
    await store.commit(two.begin)
    await store.commit(one.begin)


async def test_nothing_is_told_durable_inside_a_transaction_that_was_left_open(
    store: SqliteStore, tmp_path: Path
) -> None:
    """As after a rollback that the medium refused."""
    store._writing.execute("BEGIN IMMEDIATE; INSERT INTO blobs VALUES ('half', x'00')")
    one = authorization(1)
    await store.commit(one.begin)
    assert not store._writing.in_transaction
    other = SqliteStore(tmp_path / "record.db")
    assert await other.get_payment(one.payment.payment_id) is not None
    assert await other.load_blob("half") is None
    await other.close()


async def test_who_stops_waiting_is_written_all_the_same(store: SqliteStore) -> None:
    one, two = authorization(1), authorization(2)
    async with Held(store):
        first = asyncio.ensure_future(store.commit(one.begin))
        second = store.commit(two.begin)
        first.cancel()
    await second
    assert await store.get_payment(one.payment.payment_id) is not None


async def test_a_full_record_refuses_and_goes_on_when_there_is_room(store: SqliteStore) -> None:
    """The real error path of SQLITE_FULL: the file may not grow."""
    await store.commit(authorization(1).begin)
    pages = store._writing.pragma("page_count")
    store._writing.pragma("max_page_count", pages)
    units = [authorization(number).begin for number in range(2, 300)]
    results = await asyncio.gather(*map(store.commit, units), return_exceptions=True)
    refused = [unit for unit, one in zip(units, results, strict=True) if one is not None]
    assert refused
    assert {type(one) for one in results if one is not None} == {StoreUnavailable}
    for unit, result in zip(units, results, strict=True):
        assert unit.payment is not None
        found = await store.get_payment(unit.payment.payment_id)
        assert (found is None) is (result is not None)
    with pytest.raises(StoreUnavailable, match="record cannot be used now"):
        await store.save_blob("router", bytes(1_000_000))
    assert await store.load_blob("router") is None
    store._writing.pragma("max_page_count", pages + 10_000)
    await asyncio.gather(*map(store.commit, refused))
    await store.save_blob("router", bytes(1_000_000))


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "record.db")
    commits = [store.commit(authorization(number).begin) for number in range(1, 100)]
    await store.close()
    await asyncio.gather(*commits)
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.commit(UnitOfWork())
    again = SqliteStore(tmp_path / "record.db")
    assert await again.get_payment(authorization(99).payment.payment_id) is not None
    await again.close()
