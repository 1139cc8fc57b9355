"""10,000 authorizations, 64 in flight: none lost, the books agree, no card data anywhere."""

import asyncio
import base64
import sqlite3
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.e2e.grounds import CVC, GOOD_CARDS, Merchant, method, playground
from tests.e2e.leaks import columns_with_code, files, find_code, find_numbers
from turnout import v1
from turnout.cli.reckoning import reckon

PAYMENTS = 10_000
IN_FLIGHT = 64
DECLINED_CARD = "4000000000009995"
SEED = 20_260_101


async def authorize_many(merchant: Merchant, count: int, dice: Random) -> dict[str, v1.Payment]:
    """Authorizes with as many in flight as said; the answers by reference."""
    answers: dict[str, v1.Payment] = {}
    plan: list[tuple[str, dict[str, Any]]] = []
    for at in range(count):
        number = DECLINED_CARD if dice.random() < 0.05 else dice.choice(GOOD_CARDS)
        manual = dice.random() < 0.5
        plan.append(
            (
                f"load-{at}",
                {
                    "amount_minor": dice.randrange(20_000, 500_000),
                    "currency": dice.choice(("EUR", "USD", "GBP")),
                    "payment_method": method(number),
                    "capture_method": v1.CAPTURE_METHOD_MANUAL
                    if manual
                    else v1.CAPTURE_METHOD_AUTOMATIC,
                },
            )
        )
    waiting = iter(plan)

    async def work() -> None:
        for reference, fields in waiting:
            answers[reference] = await merchant.authorize(reference, **fields)

    await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))
    return answers


# A minute on two cores of its own; other work on the machine multiplies it.
@pytest.mark.timeout(500)
async def test_ten_thousand_authorizations_agree_with_the_books(tmp_path: Path) -> None:
    room = tmp_path / "turnout"
    async with playground(room) as ground:
        merchant = Merchant(ground)
        began = time.monotonic()
        answers = await authorize_many(merchant, PAYMENTS, Random(SEED))
        took_s = time.monotonic() - began
        print(f"{PAYMENTS} authorizations in {took_s:.1f} s: {PAYMENTS / took_s:.0f} per second")
        payments = await merchant.all_settled()

        known = {payment.payment_id for payment in payments}
        lost = [one.payment_id for one in answers.values() if one.payment_id not in known]
        assert not lost
        assert len(answers) == len(known) == PAYMENTS
        # An answer that was final has not changed since.
        now = {payment.payment_id: payment.status for payment in payments}
        changed = [
            one.payment_id
            for one in answers.values()
            if one.status != v1.PAYMENT_STATUS_PROCESSING and now[one.payment_id] != one.status
        ]
        assert not changed

        found = reckon(payments, await ground.books())
        assert not found.differences
        assert not found.charged_twice
        assert sum(found.captured_minor.values()) > 0
        assert sum(found.held_minor.values()) > 0
        summary = await ground.control("GET", "summary")
        assert summary["balanced"] and not summary["charged_more_than_once"]
        look_for_card_data(room, ground.log, "while it runs")
    look_for_card_data(room, ground.log, "after it has ended")


def look_for_card_data(room: Path, log: list[tuple[str, str]], when: str) -> None:
    numbers = (*GOOD_CARDS, DECLINED_CARD)
    written = {str(path.relative_to(room)): path.read_bytes() for path in files(room)}
    assert "var/record.db" in written
    assert "var/vault.db" in written
    written["(log)"] = "\n".join(line for _, line in log).encode()
    for name, data in written.items():
        assert not find_numbers(data, numbers), f"{name}, {when}"
    assert not find_code(written["(log)"], CVC), f"a CVC stands in the log, {when}"
    for name in ("var/record.db", "var/vault.db"):
        assert not columns_with_code(room / name, CVC, few=20), f"a CVC stands in {name}, {when}"


def test_a_card_number_is_found_in_any_disguise(tmp_path: Path) -> None:
    number = GOOD_CARDS[1]
    for data in (
        f"x{number}y".encode(),
        number.encode("utf-16"),
        number.encode().hex().encode(),
        *(base64.b64encode(b"k" * offset + number.encode() + b"tail") for offset in range(3)),
    ):
        assert find_numbers(b"before " + data + b" after", [number]), data
    assert not find_numbers(b"tok_01a1fda776aa5d5d6e20cda2969f0fac", [number])
    assert find_code(b'{"cvc":"9173"}', CVC)
    assert not find_code(b'"elapsed_ms":9173.25 at 1791734', CVC)


def test_a_code_in_a_database_is_found(tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE a (row INTEGER, text TEXT, number INTEGER)")
        connection.executemany("INSERT INTO a VALUES (?, ?, ?)", [(9173, "", 9173), (1, "", 9173)])
    assert columns_with_code(path, CVC, few=1) == {"a.number"}
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO a VALUES (2, 'cvc=9173', 1)")
    assert columns_with_code(path, CVC, few=1) == {"a.number", "a.text"}
