"""What every record promises of the attempts that it counts for the card schemes."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.store_kinds import KINDS, open_store
from tests.contract.store_units import NOW_NS, authorization
from turnout.ports import (
    AttemptCount,
    AttemptDecline,
    AttemptLimit,
    AttemptRefused,
    SchemeAttempt,
    SchemeFacts,
    SchemeKeys,
    Store,
    UnitOfWork,
)

HOUR_NS = 3_600 * 1_000_000_000
CARD, ACCEPTOR, INTENT = b"card" * 4, b"acceptor" * 2, b"intent__" * 2
KEYS = SchemeKeys(CARD, ACCEPTOR, INTENT)


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(request.param, tmp_path) as opened:
        yield opened


def attempt(number: int, **changes: object) -> SchemeAttempt:
    one = SchemeAttempt(f"att_{number}", CARD, ACCEPTOR, INTENT, False, 203003, NOW_NS + number)
    return replace(one, **changes)  # type: ignore[arg-type]


def counting(
    one: SchemeAttempt, *limits: AttemptLimit, seen: int = 0, **more: object
) -> UnitOfWork:
    return UnitOfWork(count=AttemptCount(one, limits, seen), **more)  # type: ignore[arg-type]


def declined(number: int, **changes: object) -> AttemptDecline:
    told = AttemptDecline(f"att_{number}", NOW_NS + 50, "05", "02", False, NOW_NS + 100)
    return replace(told, **changes)  # type: ignore[arg-type]


async def facts(store: Store, since_ns: int = NOW_NS) -> SchemeFacts:
    return await store.scheme_facts(KEYS, since_ns)


async def test_an_attempt_is_counted_until_it_is_given_back(store: Store) -> None:
    assert await facts(store) == SchemeFacts()
    await store.commit(counting(attempt(2)))
    await store.commit(counting(attempt(1)))
    found = await facts(store)
    assert found.attempts == [attempt(1), attempt(2)]
    assert found.card_sent_at_ns == [NOW_NS + 1, NOW_NS + 2]
    assert found.card_open == 2
    assert (await facts(store, NOW_NS + 1)).card_sent_at_ns == [NOW_NS + 2]
    assert found.final is None

    await store.commit(UnitOfWork(uncounted=["att_1", "att_unknown"]))
    assert (await facts(store)).attempts == [attempt(2)]
    await store.commit(counting(attempt(1)))


async def test_a_decline_is_told_once(store: Store) -> None:
    await store.commit(counting(attempt(1)))
    await store.commit(UnitOfWork(declined=[declined(1), declined(9)]))
    told = attempt(
        1,
        declined_at_ns=NOW_NS + 50,
        issuer_code="05",
        advice_code="02",
        kept_until_ns=NOW_NS + 100,
    )
    assert (await facts(store)).attempts == [told]
    assert (await facts(store)).card_open == 0
    await store.commit(UnitOfWork(declined=[declined(1, issuer_code="14", final=True)]))
    assert (await facts(store)).attempts == [told]


@pytest.mark.parametrize("scope", ["card", "intent"])
async def test_a_limit_refuses_the_unit_whole(store: Store, scope: str) -> None:
    limit = AttemptLimit(scope, NOW_NS, 2)
    await store.commit(counting(attempt(0), limit))
    await store.commit(counting(attempt(1), limit))
    # The one sent at NOW_NS has left the window.
    await store.commit(counting(attempt(2), limit))
    one = authorization(1)
    one.begin.count = AttemptCount(attempt(3), (limit,), 0)
    with pytest.raises(AttemptRefused):
        await store.commit(one.begin)
    assert await store.get_payment(one.payment.payment_id) is None
    assert len((await facts(store)).attempts) == 3

    one.begin.uncounted = ["att_1"]
    await store.commit(one.begin)
    assert await store.get_payment(one.payment.payment_id) is not None


async def test_initiators_count_apart_where_the_limit_says_so(store: Store) -> None:
    await store.commit(counting(attempt(1, merchant_initiated=True)))
    await store.commit(counting(attempt(2), AttemptLimit("intent", NOW_NS, 1, apart=True)))
    for merchant_initiated in (False, True):
        one = attempt(3, merchant_initiated=merchant_initiated)
        with pytest.raises(AttemptRefused):
            await store.commit(counting(one, AttemptLimit("intent", NOW_NS, 1, apart=True)))
    with pytest.raises(AttemptRefused):
        await store.commit(counting(attempt(3), AttemptLimit("intent", NOW_NS, 2)))


async def test_keys_do_not_count_for_each_other(store: Store) -> None:
    other = attempt(1, card=b"", acceptor=b"a" * 16, intent=b"i" * 16)
    await store.commit(counting(other))
    await store.commit(counting(replace(other, attempt_id="att_2", intent=b"j" * 16)))
    await store.commit(counting(attempt(3), AttemptLimit("card", NOW_NS, 1)))
    assert (await facts(store)).attempts == [attempt(3)]
    uncounted_card = await store.scheme_facts(SchemeKeys(b"", b"a" * 16, b"i" * 16), 0)
    assert uncounted_card == SchemeFacts([other])


async def test_a_decline_since_the_look_refuses(store: Store) -> None:
    await store.commit(counting(attempt(1)))
    await store.commit(UnitOfWork(declined=[declined(1)]))
    with pytest.raises(AttemptRefused):
        await store.commit(counting(attempt(2)))
    await store.commit(counting(attempt(2), seen=1))
    # One commit settles an attempt and counts its successor.
    await store.commit(counting(attempt(3), seen=2, declined=[declined(2)]))
    assert [one.declined_at_ns for one in (await facts(store)).attempts] == [
        NOW_NS + 50,
        NOW_NS + 50,
        0,
    ]


async def test_a_final_decline_refuses_every_amount_at_its_acceptor(store: Store) -> None:
    await store.commit(counting(attempt(1)))
    final = declined(1, issuer_code="14", final=True, kept_until_ns=0)
    await store.commit(UnitOfWork(declined=[final]))
    found = await store.scheme_facts(SchemeKeys(CARD, ACCEPTOR, b"other___" * 2), NOW_NS)
    assert found.attempts == []
    assert found.final is not None and found.final.issuer_code == "14"
    with pytest.raises(AttemptRefused):
        await store.commit(counting(attempt(2, intent=b"other___" * 2)))
    await store.commit(counting(attempt(2, acceptor=b"a" * 16, intent=b"other___" * 2)))


async def test_of_many_at_once_no_more_than_the_limit_are_counted(store: Store) -> None:
    limit = AttemptLimit("intent", NOW_NS, 7)
    done = await asyncio.gather(
        *(store.commit(counting(attempt(number), limit)) for number in range(1, 41)),
        return_exceptions=True,
    )
    assert sum(one is None for one in done) == 7
    assert all(one is None or isinstance(one, AttemptRefused) for one in done)
    assert len((await facts(store)).attempts) == 7


async def test_what_no_rule_looks_back_to_is_forgotten(store: Store) -> None:
    for number in range(1, 6):
        await store.commit(counting(attempt(number)))
    await store.commit(
        UnitOfWork(
            declined=[
                declined(1, kept_until_ns=NOW_NS + 300),
                declined(2, kept_until_ns=NOW_NS + 200),
                declined(3, kept_until_ns=NOW_NS + 100),
                declined(4, final=True, kept_until_ns=0),
            ]
        )
    )
    assert await store.forget_attempts(NOW_NS + 100, 10) == 0
    assert await store.forget_attempts(NOW_NS + 400, 2) == 2
    assert [one.attempt_id for one in (await facts(store)).attempts] == ["att_1", "att_4", "att_5"]
    assert await store.forget_attempts(NOW_NS + HOUR_NS, 10) == 1
    # What is open stays until it is settled, and what is final for good.
    assert await store.forget_attempts(NOW_NS + 10**6 * HOUR_NS, 10) == 0
    assert [one.attempt_id for one in (await facts(store)).attempts] == ["att_4", "att_5"]
