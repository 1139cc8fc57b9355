"""Whatever the domain can hold comes back from the record exactly, field by field."""

import asyncio
import itertools
import types
import typing
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass, replace
from enum import Enum
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnout.domain.cards import CardFacts
from turnout.domain.events import Event
from turnout.domain.operation import Operation
from turnout.domain.outcomes import ProviderEvent
from turnout.domain.payment import STARTS, DecisionSummary, Payment, PaymentDetails
from turnout.ports import Claim, EventFilter, StoredWebhook, UnitOfWork, VaultRecord, WrappedKey
from turnout.stores.shapes import copier, plainer, reader
from turnout.stores.sqlite import SqliteStore, SqliteVaultStore

_INT = st.integers(-(2**63), 2**63 - 1)
_AMOUNT = st.integers(0, 2**62)


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """Any value that a field of this type may hold in the record."""
    if hint is int:
        return _INT
    if hint is str:
        return st.text()
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*(values_of(one) for one in arguments))
    if origin is list:
        return st.lists(values_of(arguments[0]), max_size=3)
    if origin is dict:
        return st.dictionaries(values_of(arguments[0]), values_of(arguments[1]), max_size=3)
    if isinstance(hint, type) and is_dataclass(hint):
        return instances(hint)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return st.sampled_from(list(hint))
    found: st.SearchStrategy[Any] = st.from_type(hint)
    return found


def instances(kind: type, **given_parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Any instance of a dataclass; some fields by strategies of their own."""
    hints = typing.get_type_hints(kind)
    parts = {one.name: values_of(hints[one.name]) for one in fields(kind)}
    return st.builds(kind, **{**parts, **given_parts})


_PAYMENTS = instances(
    Payment,
    status=st.sampled_from(sorted(STARTS)),
    version=st.just(1),
    amount_minor=_AMOUNT,
    authorized_minor=st.just(0),
    captured_minor=st.just(0),
    pending_capture_minor=st.just(0),
    refunded_minor=st.just(0),
    pending_refund_minor=st.just(0),
    released_minor=_AMOUNT,
    operations=st.just([]),
)
# Why it failed is written when it fails.
_WEBHOOKS = instances(StoredWebhook, reason=st.just(""))
_OPERATIONS = instances(Operation, amount_minor=_AMOUNT)


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as one:
        yield one


@pytest.fixture(scope="module")
def store(
    tmp_path_factory: pytest.TempPathFactory, runner: asyncio.Runner
) -> Iterator[SqliteStore]:
    one = SqliteStore(tmp_path_factory.mktemp("record") / "record.db")
    yield one
    runner.run(one.close())


@pytest.fixture(scope="module")
def vault(
    tmp_path_factory: pytest.TempPathFactory, runner: asyncio.Runner
) -> Iterator[SqliteVaultStore]:
    one = SqliteVaultStore(tmp_path_factory.mktemp("vault") / "vault.db")
    yield one
    runner.run(one.close())


# Examples share a store, so each has names of its own.
_NUMBERS = itertools.count()


@given(
    payment=_PAYMENTS,
    operations=st.lists(_OPERATIONS, max_size=3),
    claim=instances(Claim),
    event=instances(Event, cursor=st.just(0)),
)
def test_a_unit_comes_back(
    runner: asyncio.Runner,
    store: SqliteStore,
    payment: Payment,
    operations: list[Operation],
    claim: Claim,
    event: Event,
) -> None:
    number = next(_NUMBERS)
    payment.payment_id += f" {number}"
    payment.merchant_id += f" {number}"
    claim.key.key += f" {number}"
    event.event_id += f" {number}"
    event.merchant_id += f" {number}"
    for sequence, one in enumerate(operations, 1):
        one.operation_id += f" {number}/{sequence}"
        one.payment_id = payment.payment_id
        one.sequence = sequence
        # The record has each reference of a merchant's refund once.
        if one.details is not None and one.details.merchant_reference:
            one.details.merchant_reference += f" {number}/{sequence}"

    async def go() -> None:
        await store.commit(
            UnitOfWork(claim=claim, payment=payment, operations=operations, events=[event])
        )
        payment.operations = operations
        assert await store.get_payment(payment.payment_id) == payment
        assert await store.find_claim(claim.key) == claim
        (found,) = await store.list_events(event.merchant_id, EventFilter(live=event.live))
        event.cursor = found.cursor
        assert found == event

    runner.run(go())


@given(webhook=_WEBHOOKS, record=instances(VaultRecord), key=instances(WrappedKey))
def test_webhooks_cards_and_keys_come_back(
    runner: asyncio.Runner,
    store: SqliteStore,
    vault: SqliteVaultStore,
    webhook: StoredWebhook,
    record: VaultRecord,
    key: WrappedKey,
) -> None:
    number = next(_NUMBERS)
    webhook.webhook_id += f" {number}"
    webhook.account_id += f" {number}"
    record.token_id += f" {number}"
    key.key_id += f" {number}"

    async def go() -> None:
        assert await store.add_webhooks([webhook]) == 1
        assert webhook in await store.pending_webhooks(100)
        await store.commit(UnitOfWork(webhook_done=webhook.webhook_id))
        await vault.put(record)
        await vault.add_key(key)
        assert await vault.get(record.token_id) == record
        assert key in await vault.list_keys()

    runner.run(go())


def parts_of(value: Any) -> list[Any]:
    """Everything in a value that can be changed in place."""
    if isinstance(value, list):
        return [value, *(part for one in value for part in parts_of(one))]
    if isinstance(value, dict):
        return [value]
    if is_dataclass(value) and not isinstance(value, type):
        frozen = value.__dataclass_params__.frozen  # type: ignore[attr-defined]
        inner = [part for one in fields(value) for part in parts_of(getattr(value, one.name))]
        return inner if frozen else [value, *inner]
    return []


@pytest.mark.parametrize("kind", [Payment, Operation, ProviderEvent, Claim, Event, VaultRecord])
def test_a_copy_is_equal_and_shares_nothing_that_can_change(kind: type) -> None:
    copy = copier(kind)

    @settings(max_examples=50)
    @given(instances(kind))
    def check(value: Any) -> None:
        copied = copy(value)
        assert copied == value
        shared = {id(one) for one in parts_of(value)} & {id(one) for one in parts_of(copied)}
        assert not shared

    check()


@pytest.mark.parametrize("kind", [PaymentDetails, Operation, DecisionSummary, VaultRecord])
def test_what_is_empty_is_left_out_and_read_back(kind: type) -> None:
    plain, read = plainer(kind), reader(kind)

    @settings(max_examples=50)
    @given(instances(kind))
    def check(value: Any) -> None:
        written = orjson.dumps(plain(value))
        assert read(orjson.loads(written)) == value
        # Older versions wrote all fields.
        assert read(orjson.loads(orjson.dumps(value, bytes.hex))) == value

    check()


def test_nothing_said_takes_no_room() -> None:
    assert plainer(PaymentDetails)(PaymentDetails()) == {"customer": {}, "initiator": "customer"}


@pytest.mark.parametrize("kind", [Payment, Operation, ProviderEvent, Claim, VaultRecord])
def test_json_is_read_back(kind: type) -> None:
    read = reader(kind)

    @settings(max_examples=50)
    @given(instances(kind))
    def check(value: Any) -> None:
        assert read(orjson.loads(orjson.dumps(value, bytes.hex))) == value

    check()


@pytest.mark.parametrize("kind", [Payment, PaymentDetails, Operation, DecisionSummary, CardFacts])
def test_json_of_an_older_version_is_read_with_defaults(kind: type) -> None:
    read = reader(kind)
    defaults = {
        one.name: one.default if one.default_factory is MISSING else one.default_factory()
        for one in fields(kind)
        if one.default is not MISSING or one.default_factory is not MISSING
    }

    @settings(max_examples=50)
    @given(instances(kind), st.sets(st.sampled_from(sorted(defaults))))
    def check(value: Any, missing: set[str]) -> None:
        encoded = orjson.dumps(value, bytes.hex)

        def older() -> Any:
            document = orjson.loads(encoded)
            return read({name: document[name] for name in document.keys() - missing})

        found, again = older(), older()
        assert found == replace(value, **{name: defaults[name] for name in missing})
        # Two records share nothing that can change, their defaults neither.
        assert not {id(one) for one in parts_of(found)} & {id(one) for one in parts_of(again)}

    check()


@pytest.mark.parametrize("missing", [(), ("version",), ("version", "account_id")])
def test_json_with_a_key_that_is_no_field_is_refused(missing: tuple[str, ...]) -> None:
    read = reader(Payment)

    @settings(max_examples=5)
    @given(_PAYMENTS)
    def check(payment: Payment) -> None:
        document = orjson.loads(orjson.dumps(payment))
        kept = {name: part for name, part in document.items() if name not in missing}
        with pytest.raises((TypeError, KeyError)):
            read({**kept, "unheard_of": 1})

    check()


def test_json_without_what_has_no_default_is_refused() -> None:
    with pytest.raises(TypeError, match="Payment"):
        reader(Payment)({"payment_id": "pay_1"})
