"""Random units of work, alone and together: the record on disk does what the one in memory does.

The memory store applies one unit after another by plain rules, so it is the model; the SQLite
store writes whole batches as one statement and takes refused ones apart. Both must refuse the same
units, and hold the same record afterwards, also after the file was closed and opened again.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contract.store_units import (
    MERCHANT,
    NOW_NS,
    claim_key,
    make_event,
    make_ledger,
    make_operation,
    make_payment,
    payment_id,
)
from turnout.domain.ledger import LedgerKind
from turnout.domain.operation import Operation, OperationKind, OperationState
from turnout.domain.payment import PaymentStatus
from turnout.ports import (
    Claim,
    DecisionRecord,
    EventFilter,
    MerchantReferenceTaken,
    PaymentFilter,
    RefundFilter,
    Store,
    UnitOfWork,
)
from turnout.stores.laws import RecordRefused
from turnout.stores.memory import MemoryStore
from turnout.stores.sqlite import SqliteStore

_PAYMENTS = 4
_KEYS = 3
_small = st.integers(0, 3)
_WRONG_TWICE = {RecordRefused, MerchantReferenceTaken}


@dataclass
class Step:
    """What a unit is to hold, in small numbers that collide often."""

    payment: int
    reference: str = ""
    claim: int | None = None
    answer: int | None = None
    touches: bool = True
    version_error: int = 0
    status: PaymentStatus | None = None
    sums: tuple[int, int, int, int] = (0, 0, 0, 0)
    review: bool = False
    operations: list[tuple[int, OperationKind, OperationState, int]] = field(default_factory=list)
    ledger: list[tuple[int, LedgerKind]] = field(default_factory=list)
    events: int = 0
    decides: bool = False


_steps = st.builds(
    Step,
    payment=st.integers(1, _PAYMENTS),
    reference=st.sampled_from(["", "", "a", "b"]),
    claim=st.one_of(st.none(), st.integers(1, _KEYS)),
    answer=st.one_of(st.none(), st.integers(1, _KEYS)),
    touches=st.integers(0, 9).map(bool),
    version_error=st.sampled_from([0, 0, 0, 0, 0, 1, -1]),
    # None: as it stands, so that enough units are taken.
    status=st.one_of(st.none(), st.none(), st.sampled_from(PaymentStatus)),
    sums=st.one_of(
        st.just((0, 0, 0, 0)), st.just((3, 2, 1, 0)), st.tuples(_small, _small, _small, _small)
    ),
    review=st.booleans(),
    operations=st.lists(
        st.tuples(
            st.integers(1, 3),
            st.sampled_from(OperationKind),
            st.sampled_from(OperationState),
            st.integers(0, 3),
        ),
        max_size=2,
        unique_by=lambda one: one[0],
    ),
    ledger=st.lists(st.tuples(st.integers(1, 3), st.sampled_from(LedgerKind)), max_size=1),
    events=st.integers(0, 2),
    decides=st.booleans(),
)


class World:
    """Both stores, and the units that both are given."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.model = MemoryStore()
        self.store = SqliteStore(path)
        self.versions: dict[int, int] = {}
        self.statuses: dict[int, PaymentStatus] = {}
        self.references: dict[int, str] = {}
        self._made = 0

    def unit(self, step: Step) -> UnitOfWork:
        """A unit by the step, its version counted on from what has been tried."""
        self._made += 1
        number = step.payment
        standing = self.versions.get(number, 0)
        payment = make_payment(
            number, reference=self.references.get(number, step.reference), customer="c"
        )
        payment.version = max(1, standing + 1 + step.version_error)
        payment.status = step.status or self.statuses.get(number, payment.status)
        payment.authorized_minor, payment.captured_minor = step.sums[:2]
        payment.refunded_minor, payment.pending_refund_minor = step.sums[2:]
        payment.needs_review = step.review
        payment.updated_at_ns += self._made
        payment.details.description = str(self._made % 2)
        operations: list[Operation] = []
        for sequence, kind, state, check in step.operations:
            one = make_operation(payment, number, kind=kind, sequence=sequence, state=state)
            one.check_at_ns = NOW_NS + check if check else 0
            one.provider_reference = f"pi_{check}" if check else ""
            if one.details is not None and sequence == 3:
                one.details.merchant_reference = "of whichever refund comes first"
            operations.append(one)
        ledger = [
            make_ledger(
                make_operation(payment, number, kind=OperationKind.CAPTURE, sequence=sequence),
                kind,
                self._made * 10 + index,
            )
            for index, (sequence, kind) in enumerate(step.ledger)
        ]
        claim = None
        if step.claim is not None:
            claim = Claim(claim_key(str(step.claim)), b"f", payment.payment_id, "", NOW_NS)
        decision = DecisionRecord(f"dec_{self._made}", MERCHANT, payment.payment_id, 1, b"d")
        return UnitOfWork(
            claim=claim,
            answers=[]
            if step.answer is None
            else [(claim_key(str(step.answer)), str(self._made).encode())],
            payment=payment if step.touches else None,
            operations=operations,
            ledger=ledger,
            events=[make_event(payment, self._made * 10 + one) for one in range(step.events)],
            decision=decision if step.decides else None,
        )

    async def commit(self, steps: list[Step]) -> None:
        """Gives all to the model one by one, and to the store at once."""
        units: list[UnitOfWork] = []
        expected: list[BaseException | None] = []
        for step in steps:
            unit = self.unit(step)
            (result,) = await asyncio.gather(self.model.commit(unit), return_exceptions=True)
            if result is None and unit.payment is not None:
                self.versions[step.payment] = unit.payment.version
                self.statuses[step.payment] = unit.payment.status
                self.references[step.payment] = unit.payment.merchant_reference
            expected.append(result)
            units.append(unit)
        commits = [self.store.commit(unit) for unit in units]
        results = await asyncio.gather(*commits, return_exceptions=True)
        for wanted, found in zip(expected, results, strict=True):
            # A unit that is wrong twice may be refused for either reason.
            kinds = {type(wanted), type(found)}
            twice = None not in (wanted, found) and kinds & _WRONG_TWICE
            assert len(kinds) == 1 or twice, (wanted, found)

    async def reopen(self) -> None:
        await self.store.close()
        self.store = SqliteStore(self.path)

    async def compare(self) -> None:
        """Everything that can be read must be the same."""
        assert await read_all(self.store) == await read_all(self.model)


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[World]:
    world = World(path)
    try:
        yield world
    finally:
        await world.store.close()


async def read_all(store: Store) -> list[object]:
    """All that a record tells, by every road."""
    found: list[object] = []
    for number in range(1, _PAYMENTS + 1):
        found.append(await store.get_payment(payment_id(number)))
    for key in range(1, _KEYS + 1):
        found.append(await store.find_claim(claim_key(str(key))))
        for reference in ("", "a", "b"):
            found.append(await store.find_taken(claim_key(str(key)), reference))
        found.append(await store.find_to_change(claim_key(str(key)), payment_id(key)))
    for reference in ("a", "b"):
        named = PaymentFilter(merchant_reference=reference)
        found.append(await store.list_payments(MERCHANT, named))
    found.append(await store.list_payments(MERCHANT, PaymentFilter(limit=100)))
    found.append(
        await store.list_payments(
            MERCHANT, PaymentFilter(statuses=[PaymentStatus.PROCESSING], customer_reference="c")
        )
    )
    found.append(await store.list_refunds(MERCHANT, RefundFilter(limit=100)))
    events = await store.list_events(MERCHANT, EventFilter(limit=1_000))
    found.append([replace(one, cursor=0) for one in events])
    found.append(await store.due_operations(NOW_NS + 2, 100))
    found.append(await store.next_check_ns())
    found.append(await store.expired_authorizations(NOW_NS + 10**9, 100))
    return found


def batches(steps: list[Step]) -> list[list[Step]]:
    """Cuts a row of steps where one makes what an earlier one of its batch already speaks of.

    Nobody can speak of what is not durable yet, so such a batch does not occur.
    """
    cut: list[list[Step]] = [[]]
    spoken: set[object] = set()
    for step in steps:
        names: set[object] = {("payment", step.payment), ("key", step.claim)}
        if spoken & names:
            cut.append([])
            spoken = set()
        cut[-1].append(step)
        spoken |= names | {("key", step.answer)}
    return cut


@settings(max_examples=40)
@given(st.lists(st.lists(_steps, min_size=1, max_size=6), max_size=8), st.booleans())
def test_both_records_agree(rounds: list[list[Step]], fences: bool) -> None:
    async def go(path: Path) -> None:
        async with opened(path) as world:
            for steps in rounds:
                for batch in batches(steps):
                    await world.commit(batch)
            await world.compare()
            if fences:
                fenced = await world.store.fence_in_flight(NOW_NS + 50)
                assert fenced == await world.model.fence_in_flight(NOW_NS + 50)
                await world.compare()
            await world.reopen()
            await world.compare()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(go(Path(folder) / "record.db"))


@settings(max_examples=40)
@given(st.lists(_steps, min_size=1, max_size=12))
def test_steps_of_one_payment_at_once_are_taken_in_order(steps: list[Step]) -> None:
    """Not cut into batches: the same payment again and again, as a defect would do it."""

    async def go(path: Path) -> None:
        async with opened(path) as world:
            await world.commit([Step(1), Step(2), Step(3), Step(4)])
            moves = [replace(step, claim=None, answer=None) for step in steps]
            await world.commit(moves)
            await world.compare()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(go(Path(folder) / "record.db"))
