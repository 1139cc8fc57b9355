"""The schemes' rules on a payment's way: what is refused, counted, given back, and told."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import pytest

from tests.unit.rig import (
    MERCHANT,
    YES,
    Rig,
    idem,
    make_rig,
    payment_command,
    unknown,
    unreachable,
)
from turnout import v1
from turnout.domain.cards import CardDetails
from turnout.domain.declines import DeclineCode, decline
from turnout.domain.errors import Overloaded, StateConflict
from turnout.domain.outcomes import Outcome, OutcomeKind
from turnout.domain.payment import Initiator, PaymentDetails
from turnout.orchestration.commands import (
    CardInput,
    ConfirmCommand,
    Operator,
    Resolution,
    ResolveCommand,
    TokenCommand,
    TokenInput,
)
from turnout.ports import PaymentFilter
from turnout.stores.memory import MemoryStore
from turnout.stores.sqlite import SqliteStore

HOUR_S = 3_600.0
VISA, MASTERCARD = "4111111111111111", "5555555555554444"


def declined(code: str = "05", advice: str = "") -> Outcome:
    """A decline as soft as it can be, so that only the schemes' rules stop anything."""
    why = decline(DeclineCode.DO_NOT_HONOR, issuer_code=code, advice_code=advice, soft=True)
    return Outcome(OutcomeKind.DECLINED, decline=why)


def card(number: str, year: int = 2030) -> CardInput:
    return CardInput(CardDetails(number, 3, year, "737"))


async def pay(rig: Rig, key: str, number: str = VISA, **changes: Any) -> v1.Payment:
    return await rig.authorize(key, method=card(number), **changes)


async def busy(rig: Rig, key: str, number: str = VISA) -> None:
    """Pays, and is told to come again when what is under way is known."""
    with pytest.raises(Overloaded) as caught:
        await pay(rig, key, number)
    assert caught.value.reason == "SCHEME_COUNTERS_BUSY"
    assert caught.value.retry_after_ms == 1_000


async def refused(rig: Rig, key: str, number: str = VISA, **changes: Any) -> StateConflict:
    """Pays, and is refused before anything is stored or sent."""
    calls = len(rig.provider.calls)
    with pytest.raises(StateConflict) as caught:
        await pay(rig, key, number, **changes)
    assert caught.value.reason == "SCHEME_RETRY_FORBIDDEN"
    assert len(rig.provider.calls) == calls
    assert await rig.called(f"ref-{key}") is None
    return caught.value


def attempts(payment: v1.Payment) -> int:
    return len(payment.attempts)


async def one_account(tmp_path: Path, **more: Any) -> Rig:
    return await make_rig(tmp_path, names=("acc_a",), **more)


async def test_a_final_code_ends_the_card_at_this_merchant(tmp_path: Path) -> None:
    rig = await make_rig(tmp_path)
    rig.provider.says["acc_a"] = [declined("14")]
    first = await pay(rig, "k1")
    assert (first.status, attempts(first)) == (v1.PAYMENT_STATUS_FAILED, 1)
    assert first.decision.reasons[-1].endswith("(visa.final_code).")
    rig.clock.forward(400 * 24 * HOUR_S)
    error = await refused(rig, "k2", amount_minor=77)
    assert error.metadata == {
        "network": "visa", "rule": "visa.final_code", "rule_reason": "final_code",
    }  # fmt: skip
    assert "14" in error.message and "another card" in error.message
    assert (await pay(rig, "k3", MASTERCARD)).status == v1.PAYMENT_STATUS_REQUIRES_CAPTURE


async def test_an_advice_ends_the_cascade_and_holds_over_payments(tmp_path: Path) -> None:
    rig = await make_rig(tmp_path)
    rig.provider.says["acc_a"] = [declined("05", "24")]
    assert attempts(await pay(rig, "k1", MASTERCARD)) == 1
    error = await refused(rig, "k2", MASTERCARD)
    assert error.metadata["rule"] == "mastercard.advice_24"
    assert error.metadata["retry_after"] == "2026-09-21T15:13:21Z"
    # Another amount is another intent.
    await pay(rig, "k3", MASTERCARD, amount_minor=5)
    rig.clock.forward(HOUR_S)
    assert (await pay(rig, "k4", MASTERCARD)).status == v1.PAYMENT_STATUS_REQUIRES_CAPTURE


async def test_without_advice_a_mastercard_gets_one_cascade(tmp_path: Path) -> None:
    rig = await make_rig(tmp_path)
    for name in ("acc_a", "acc_b"):
        rig.provider.says[name] = [declined(), declined()]
    payment = await pay(rig, "k1", MASTERCARD)
    assert attempts(payment) == 2
    assert "At most 3 attempts, in the order acc_a, acc_b, acc_c" in payment.decision.reasons[-2]
    assert "2 where a decline brings no advice code" in payment.decision.reasons[-2]
    assert payment.decision.reasons[-1].startswith("No further attempt: the declines brought no")
    stored = await rig.store.get_payment(payment.payment_id)
    assert stored is not None and stored.decision is not None
    assert stored.decision.reasons == payment.decision.reasons
    by_merchant = PaymentDetails(initiator=Initiator.MERCHANT)
    assert attempts(await pay(rig, "k2", MASTERCARD, details=by_merchant)) == 1


async def test_a_refused_connection_is_no_attempt_to_the_scheme(tmp_path: Path) -> None:
    rig = await make_rig(tmp_path)
    rig.provider.says["acc_a"] = [declined()]
    rig.provider.says["acc_b"] = [unreachable()]
    payment = await pay(rig, "k1", MASTERCARD)
    assert (attempts(payment), payment.status) == (3, v1.PAYMENT_STATUS_REQUIRES_CAPTURE)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_two_at_once_cannot_both_take_the_last_place(kind: str, tmp_path: Path) -> None:
    store = MemoryStore() if kind == "memory" else SqliteStore(tmp_path / "record.db")
    rig = await one_account(tmp_path, store=store)
    rig.provider.says["acc_a"] = [declined() for _ in range(60)]
    for number in range(14):
        await pay(rig, f"k{number}")
    done = await asyncio.gather(
        *(pay(rig, f"burst-{number}") for number in range(20)), return_exceptions=True
    )
    served = [one for one in done if isinstance(one, v1.Payment)]
    # Whoever looks while the last one is under way is told to come again.
    errors = [one for one in done if isinstance(one, StateConflict | Overloaded)]
    assert (len(served), len(errors)) == (1, 19)
    assert {one.metadata["rule"] for one in errors} == {"visa.intent_720h"}
    assert len(rig.provider.calls) == 15
    await refused(rig, "later")
    # The merchant's own payments have their own places.
    await pay(rig, "mit", details=PaymentDetails(initiator=Initiator.MERCHANT))
    await store.close()


async def test_approvals_take_no_place(tmp_path: Path) -> None:
    rig = await one_account(tmp_path)
    for number in range(40):
        await pay(rig, f"k{number}", MASTERCARD)
    assert len(rig.provider.calls) == 40


async def test_a_limit_rolls_and_old_attempts_are_forgotten(tmp_path: Path) -> None:
    rig = await one_account(tmp_path)
    rig.provider.says["acc_a"] = [declined() for _ in range(40)]
    for number in range(8):
        await pay(rig, f"k{number}", MASTERCARD, amount_minor=100 + number)
        rig.clock.forward(HOUR_S)
    error = await refused(rig, "k8", MASTERCARD)
    assert error.metadata["rule"] == "mastercard.card_24h"
    assert (error.metadata["count"], error.metadata["limit"]) == ("8", "8")
    rig.clock.forward(16 * HOUR_S + 1)
    await pay(rig, "k9", MASTERCARD)
    await refused(rig, "k10", MASTERCARD)
    assert isinstance(rig.store, MemoryStore)
    rig.clock.forward(31 * 24 * HOUR_S)
    await rig.recovery.sweep_once()
    assert rig.store._attempts == {} and rig.store._under == {}


async def test_an_unknown_outcome_holds_its_place_until_it_is_known(tmp_path: Path) -> None:
    rig = await one_account(tmp_path)
    rig.provider.says["acc_a"] = [unknown() for _ in range(8)]
    for number in range(8):
        await pay(rig, f"k{number}", MASTERCARD, amount_minor=100 + number)
    await busy(rig, "k8", MASTERCARD)
    rig.provider.inquiries = [*(declined() for _ in range(7)), YES]
    for _ in range(20):
        rig.clock.forward(60)
        await rig.recovery.work_once()
    found = await rig.store.list_payments(MERCHANT, PaymentFilter(limit=20))
    assert sum(one.status == "failed" for one in found) == 7
    await pay(rig, "k9", MASTERCARD)


async def test_who_fails_to_authenticate_is_no_attempt_to_the_scheme(tmp_path: Path) -> None:
    rig = await one_account(tmp_path)
    failed = decline(DeclineCode.AUTHENTICATION_FAILED)
    rig.provider.says["acc_a"] = [Outcome(OutcomeKind.DECLINED, decline=failed) for _ in range(20)]
    for number in range(20):
        payment = await pay(rig, f"k{number}", MASTERCARD)
        assert payment.status == v1.PAYMENT_STATUS_FAILED
    assert isinstance(rig.store, MemoryStore) and rig.store._attempts == {}


async def test_a_confirmation_counts_like_a_payment(tmp_path: Path) -> None:
    rig = await one_account(tmp_path)
    rig.provider.says["acc_a"] = [declined("05", "03")]
    command = payment_command(merchant_reference="ref", method=card(MASTERCARD))
    await rig.payments.create(rig.caller(), idem("create", rpc="create"), command)
    payment = await rig.called("ref")
    assert payment is not None

    async def confirm(key: str, year: int, number: str = MASTERCARD) -> v1.Payment:
        asked = ConfirmCommand(payment.payment_id, card(number, year))
        answer = await rig.payments.confirm(rig.caller(), idem(key, rpc="confirm"), asked)
        return v1.Payment.FromString(answer)

    first = await confirm("c1", 2030)
    assert first.status == v1.PAYMENT_STATUS_REQUIRES_PAYMENT_METHOD
    with pytest.raises(StateConflict, match="advice 03"):
        await confirm("c2", 2031)
    await refused(rig, "other", MASTERCARD)
    stored = await rig.store.get_payment(payment.payment_id)
    assert stored is not None and stored.status == "requires_payment_method"
    assert (await confirm("c3", 2030, VISA)).status == v1.PAYMENT_STATUS_REQUIRES_CAPTURE


async def test_a_token_is_the_card_that_it_stands_for(tmp_path: Path) -> None:
    rig = await one_account(tmp_path)
    rig.provider.says["acc_a"] = [declined("43")]
    await pay(rig, "k1")
    token = v1.Token.FromString(
        await rig.tokens.create(rig.caller(), idem("t1", rpc="token"), TokenCommand(card(VISA)))
    )
    with pytest.raises(StateConflict, match="43"):
        await rig.authorize("k2", method=TokenInput(token.token_id))


async def test_test_payments_may_be_let_off_and_live_ones_never(tmp_path: Path) -> None:
    rig = await one_account(tmp_path)
    directory = rig.parts.directory
    profiles = {
        name: replace(one, scheme_rules_in_test=False) for name, one in directory.profiles.items()
    }
    directory.swap(directory.merchants, profiles, directory.accounts, 2)
    rig.provider.says["acc_a"] = [declined("14") for _ in range(20)]
    for number in range(20):
        payment = await pay(rig, f"k{number}")
        assert payment.status == v1.PAYMENT_STATUS_FAILED
    assert isinstance(rig.store, MemoryStore) and rig.store._attempts == {}


async def test_nothing_in_the_record_can_be_made_of_a_card_number(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "record.db")
    rig = await one_account(tmp_path, store=store)
    rig.provider.says["acc_a"] = [declined(), declined()]
    await pay(rig, "k1", MASTERCARD)
    await pay(rig, "k2", MASTERCARD)
    connection = apsw.Connection(str(tmp_path / "record.db"))
    rows = connection.execute("SELECT * FROM scheme_attempts").fetchall()
    keys = {bytes(part) for row in rows for part in row if isinstance(part, bytes)}
    assert len(rows) == 2 and len(keys) == 3
    fingerprint = rig.parts.vault.card_fingerprint(MASTERCARD)
    derivable: set[bytes] = set()
    for words in (MASTERCARD.encode(), fingerprint):
        derivable.add(hashlib.sha256(words).digest()[:16])
        derivable.add(hashlib.blake2b(words).digest()[:16])
        derivable.add(hashlib.blake2b(words, digest_size=16).digest())
    assert keys.isdisjoint(derivable) and fingerprint[:16] not in keys
    connection.close()
    await store.close()


@pytest.mark.parametrize(
    ("resolution", "counted"),
    [
        (Resolution.SUCCEEDED, False),
        (Resolution.NOT_PROCESSED, False),
        (Resolution.FAILED, True),
    ],
)
async def test_an_operators_answer_lets_go_of_the_place_that_was_held(
    resolution: Resolution, counted: bool, tmp_path: Path
) -> None:
    store = MemoryStore()
    rig = await one_account(tmp_path, store=store)
    rig.provider.says["acc_a"] = [unknown()]
    rig.provider.inquiries = [unknown() for _ in range(9)]
    payment = await pay(rig, "k1", MASTERCARD)
    for _ in range(12):
        rig.clock.forward(100)
        await rig.recovery.work_once()
    (held,) = store._attempts.values()
    assert (held.declined_at_ns, held.kept_until_ns) == (0, 0)
    await rig.reviews.resolve(
        Operator("opr_1", "Olga", rig.clock.monotonic_ns() + 30 * 10**9),
        idem("op", rpc="resolve"),
        ResolveCommand(payment.payment_id, payment.attempts[0].attempt_id, resolution, "asked"),
    )
    # A decline counts, as any other, and is forgotten as any other.
    assert [one.kept_until_ns > one.declined_at_ns > 0 for one in store._attempts.values()] == (
        [True] if counted else []
    )
    rig.clock.forward(31 * 24 * HOUR_S)
    await store.forget_attempts(rig.clock.now_ns(), 10)
    assert not store._attempts
