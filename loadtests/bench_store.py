"""What the record costs: microseconds of CPU for an authorization, and commits a second.

    python loadtests/bench_store.py            a table
    JSON=1 python loadtests/bench_store.py     and a JSON line for each figure
    python loadtests/bench_store.py --folder /some/disk --payments 20000 --switch-us 500

An authorization is two commits: the write-ahead (claim, payment, decision, operation) and the
settlement (payment, operation, ledger, event, answer). `busy` adds Python work on the event loop
between them, as serving gRPC does, because a writer's thread then has to win the interpreter's
lock back: that is where a fast statement becomes a slow commit.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import uvloop

from turnout.domain.cards import CardFacts, Funding, Network
from turnout.domain.events import Event, EventType
from turnout.domain.ledger import LedgerKind, LedgerTransaction, postings
from turnout.domain.operation import ClaimKey, Operation, OperationKind, OperationState
from turnout.domain.payment import (
    Address,
    CaptureMethod,
    Customer,
    DecisionSummary,
    MethodView,
    Payment,
    PaymentDetails,
    PaymentStatus,
)
from turnout.ports import Claim, DecisionRecord, UnitOfWork
from turnout.stores.sqlite import SqliteStore

_NOW_NS = 1_760_000_000_000_000_000
_ANSWER = b'{"payment":"' + b"x" * 700 + b'"}'
_IN_FLIGHT = (1, 8, 64)
_GOAL_LOOP_US = 40.0


@dataclass(slots=True)
class Figure:
    """One measured number, as DESIGN.md's Figures says."""

    name: str
    value: float
    unit: str
    how: str
    goal: str | None = None
    met: bool | None = None


@dataclass(slots=True)
class Run:
    """What one run measured."""

    authorizations: int
    wall_s: float
    loop_s: float
    process_s: float
    transactions: int
    commits_ms: list[float]


def _payment(number: int) -> Payment:
    return Payment(
        payment_id=f"pay_{number:032x}",
        merchant_id="mer_bench",
        profile_id="default",
        merchant_reference=f"order-{number}",
        live=False,
        amount_minor=4_200,
        currency="EUR",
        capture_method=CaptureMethod.AUTOMATIC,
        status=PaymentStatus.PROCESSING,
        created_at_ns=_NOW_NS + number,
        updated_at_ns=_NOW_NS + number,
        details=PaymentDetails(
            customer=Customer(reference=f"cus-{number % 1000}", email="payer@example.com"),
            billing_address=Address(city="Berlin", postal_code="10115", country="DE"),
            metadata={"cart": str(number)},
        ),
        method=MethodView(
            "card",
            f"tok_{number:032x}",
            CardFacts(Network.VISA, "42424242", "4242", 12, 2030, Funding.CREDIT, "DE"),
        ),
        account_id="acc_north",
        decision=DecisionSummary(
            f"dec_{number:032x}", "acc_north", ["acc_north", "acc_south"], ["priority"], "1", 1, 1
        ),
    )


def _operation(payment: Payment, number: int) -> Operation:
    return Operation(
        f"att_{number:032x}",
        payment.payment_id,
        payment.merchant_id,
        OperationKind.AUTHORIZE,
        1,
        "acc_north",
        "stripe",
        payment.amount_minor,
        payment.currency,
        OperationState.SENDING,
        _NOW_NS,
        _NOW_NS,
        claim=ClaimKey(payment.merchant_id, "AuthorizePayment", f"key-{number:032x}"),
        check_at_ns=_NOW_NS + 30_000_000_000,
    )


def _begin(number: int) -> UnitOfWork:
    payment = _payment(number)
    operation = _operation(payment, number)
    assert operation.claim is not None
    return UnitOfWork(
        claim=Claim(
            operation.claim, b"f" * 32, payment.payment_id, operation.operation_id, _NOW_NS
        ),
        payment=payment,
        operations=[operation],
        decision=DecisionRecord(
            f"dec_{number:032x}", payment.merchant_id, payment.payment_id, _NOW_NS, b"r" * 300
        ),
    )


def _settle(number: int) -> UnitOfWork:
    payment = _payment(number)
    operation = _operation(payment, number)
    assert operation.claim is not None
    operation.state = OperationState.SUCCEEDED
    operation.provider_reference = f"pi_{number:024x}"
    operation.check_at_ns = 0
    payment.version = 2
    payment.status = PaymentStatus.SUCCEEDED
    payment.provider_reference = operation.provider_reference
    payment.operations = [operation]
    payment.retotal()
    ledger = LedgerTransaction(
        f"ltx_{number:032x}",
        payment.merchant_id,
        operation.account_id,
        payment.payment_id,
        operation.operation_id,
        LedgerKind.AUTHORIZATION,
        payment.currency,
        postings(LedgerKind.AUTHORIZATION, payment.amount_minor),
        _NOW_NS,
    )
    event = Event(
        f"evt_{number:032x}",
        payment.merchant_id,
        EventType.PAYMENT_CAPTURED,
        payment.payment_id,
        operation.operation_id,
        _NOW_NS,
        _ANSWER,
    )
    return UnitOfWork(
        payment=payment,
        operations=[operation],
        ledger=[ledger],
        events=[event],
        answers=[(operation.claim, _ANSWER)],
    )


def _burn(busy_us: float) -> None:
    """Python work on the event loop, as a gRPC call makes it."""
    end = time.perf_counter() + busy_us / 1e6
    while time.perf_counter() < end:
        pass


async def _authorize(
    store: SqliteStore, units: Iterator[tuple[UnitOfWork, UnitOfWork]], busy_us: float
) -> list[float]:
    """Takes payments until there are no more; returns each commit's milliseconds."""
    took: list[float] = []
    for pair in units:
        for unit in pair:
            if busy_us:
                _burn(busy_us / 2)
            start = time.perf_counter()
            await store.commit(unit)
            took.append((time.perf_counter() - start) * 1e3)
    return took


async def _run(folder: Path, first: int, count: int, in_flight: int, busy_us: float) -> Run:
    store = SqliteStore(folder / "record.db")
    units = iter([(_begin(number), _settle(number)) for number in range(first, first + count)])
    gc.freeze()  # The prepared units are the bench's own; a server holds none of them.
    wall, loop, process = time.perf_counter(), time.thread_time(), time.process_time()
    took = await asyncio.gather(*(_authorize(store, units, busy_us) for _ in range(in_flight)))
    run = Run(
        count,
        time.perf_counter() - wall,
        time.thread_time() - loop,
        time.process_time() - process,
        store.transactions,
        sorted(one for part in took for one in part),
    )
    await store.close()
    return run


def _figures(run: Run, in_flight: int, busy_us: float, how: str) -> list[Figure]:
    tag = f"store_{in_flight}_in_flight" + ("_busy" if busy_us else "")
    loop_us = run.loop_s / run.authorizations * 1e6 - busy_us
    commits = run.commits_ms
    # Where little is in flight, most of it is the loop going to sleep and waking up.
    loaded = in_flight == _IN_FLIGHT[-1] and not busy_us
    met = loop_us <= _GOAL_LOOP_US if loaded else None
    goal = f"<= {_GOAL_LOOP_US:.0f}" if loaded else None
    return [
        Figure(f"{tag}_loop_cpu_per_authorization", loop_us, "us", how, goal, met),
        Figure(
            f"{tag}_process_cpu_per_authorization",
            run.process_s / run.authorizations * 1e6 - busy_us,
            "us",
            how,
        ),
        Figure(f"{tag}_commits", 2 * run.authorizations / run.wall_s, "1/s", how),
        Figure(f"{tag}_units_per_transaction", len(commits) / run.transactions, "ratio", how),
        Figure(f"{tag}_commit_p50", statistics.median(commits), "ms", how),
        Figure(f"{tag}_commit_p99", commits[int(len(commits) * 0.99)], "ms", how),
    ]


def main() -> None:
    """Measures, and prints what it measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="where the record is made; a temporary one")
    parser.add_argument("--payments", type=int, default=6_000, help="per run")
    parser.add_argument("--busy-us", type=float, default=300.0, help="of the busy runs")
    parser.add_argument("--switch-us", type=float, default=0.0, help="interpreter's interval")
    given = parser.parse_args()
    if given.switch_us:
        sys.setswitchinterval(given.switch_us / 1e6)
    figures: list[Figure] = []
    for busy_us in (0.0, given.busy_us):
        for in_flight in _IN_FLIGHT:
            count = given.payments if in_flight > 1 else given.payments // 4
            how = (
                f"{count} authorizations of two commits, {in_flight} in flight, "
                f"{busy_us:.0f} us of other work each, uvloop, "
                f"switch interval {sys.getswitchinterval() * 1e6:.0f} us"
            )
            with (
                tempfile.TemporaryDirectory(dir=given.folder) as folder,
                asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
            ):
                run = runner.run(_run(Path(folder), 1, count, in_flight, busy_us))
            figures += _figures(run, in_flight, busy_us, how)
    for one in figures:
        goal = "" if one.goal is None else f"   goal {one.goal}: {'met' if one.met else 'MISSED'}"
        print(f"{one.name:<52} {one.value:>12.2f} {one.unit}{goal}")
    if os.environ.get("JSON") == "1":
        for one in figures:
            print(
                json.dumps(
                    {
                        "name": one.name,
                        "value": round(one.value, 3),
                        "unit": one.unit,
                        "goal": one.goal,
                        "met": one.met,
                        "how": one.how,
                    }
                )
            )


if __name__ == "__main__":
    main()
