"""Random histories of payments: whatever is declined, no attempt breaks a card scheme's rule.

The provider's books are checked by a second, naive reading of the rules (`scheme_books`). Seeds
are fixed, so that every run is the same; `SCHEME_SEEDS` tries more of them.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random as Generator
from typing import Any

import pytest

from tests.property.scheme_books import Entry, broken_rules, full_limits
from tests.unit.rig import Rig, ScriptedProvider, idem, make_rig, payment_command
from turnout.domain.cards import CardDetails
from turnout.domain.declines import DeclineCode, decline
from turnout.domain.errors import Overloaded, StateConflict
from turnout.domain.operation import OperationState
from turnout.domain.outcomes import Outcome, OutcomeKind
from turnout.domain.payment import Initiator, PaymentDetails
from turnout.orchestration import schemes
from turnout.orchestration.commands import CardInput, ConfirmCommand
from turnout.ports import InquiryRequest
from turnout.routing.schemes import judging
from turnout.stores.memory import MemoryStore
from turnout.stores.sqlite import SqliteStore

SEEDS = range(int(os.environ.get("SCHEME_SEEDS", "12")))
STEPS = 120
CARDS = (
    "4111111111111111", "4242424242424242", "4012888888881881", "5555555555554444",
    "2223003122003222", "5105105105105100", "378282246310005",
)  # fmt: skip
CODES = ("05", "51", "54", "55", "N7", "61", "65", "91", "96")
FINAL = ("14", "43", "57", "R1")
ADVICE = ("01", "02", "03", "21", "24", "25", "26", "27", "28", "29", "30", "40", "43", "99")
PAUSES_S = (0, 0, 1, 60, 4_000, 20_000, 90_000, 400_000, 1_000_000)


@dataclass
class Books(ScriptedProvider):
    """Decides at random, keeps its books, and sometimes tells only when it is asked.

    Attributes:
        stage: what the driver says of the calls under way, by payment: (call, burst).
        gate: holds every request of a burst until all of them are there.
    """

    generator: Generator = field(default_factory=lambda: Generator(0))
    rig: Rig | None = None
    entries: dict[str, Entry] = field(default_factory=dict)
    call: int = 0
    burst: int = 0
    gate: asyncio.Event | None = None

    async def authorize(self, account: Any, request: Any) -> Outcome:
        assert self.rig is not None
        dice, card = self.generator, await request.reveal.card()
        entry = self.entries[request.operation_id] = Entry(
            self.rig.clock.now_ns(),
            request.payment_id,
            self.call,
            self.burst,
            card.number,
            card.expiry_year * 100 + card.expiry_month,
            request.amount_minor,
            request.currency,
            request.details.initiator is Initiator.MERCHANT,
            dice.choices(("approved", "declined", "not_processed"), (15, 75, 10))[0],
        )
        if entry.fate == "declined":
            entry.code = dice.choice(FINAL) if dice.random() < 0.003 else dice.choice(CODES)
            if entry.scheme == "mastercard" and dice.random() < 0.3:
                entry.advice = dice.choice(ADVICE)
            entry.soft = dice.random() < 0.8
        if self.gate is not None:
            await self.gate.wait()
        if dice.random() < 0.1:
            return Outcome(OutcomeKind.UNKNOWN, reason="timeout")
        return self._tell(request.operation_id)

    async def inquire(self, account: Any, request: InquiryRequest) -> Outcome:
        return self._tell(request.operation.operation_id)

    def _tell(self, operation_id: str) -> Outcome:
        assert self.rig is not None
        entry = self.entries[operation_id]
        entry.told_at_ns = self.rig.clock.now_ns()
        if entry.fate == "approved":
            return Outcome(OutcomeKind.SUCCEEDED, provider_reference=f"their-{operation_id}")
        if entry.fate == "not_processed":
            return Outcome(OutcomeKind.NOT_PROCESSED, reason="not_taken_up")
        # Softer than any connector would say it: the schemes' rules must hold by themselves.
        why = decline(
            DeclineCode.DO_NOT_HONOR,
            issuer_code=entry.code,
            advice_code=entry.advice,
            soft=entry.soft,
        )
        return Outcome(
            OutcomeKind.DECLINED, provider_reference=f"their-{operation_id}", decline=why
        )


@dataclass
class History:
    """One seed's payments and what became of them."""

    rig: Rig
    books: Books
    dice: Generator
    cards: tuple[str, ...]
    needless: list[str] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    number: int = 0

    async def step(self) -> None:
        dice = self.dice
        self.books.call += 1
        self.books.burst += 1
        roll = dice.random()
        if roll < 0.15:
            await self._burst(dice.choice((5, 20)))
        elif roll < 0.3:
            await self._confirm_again()
        else:
            await self._pay(self._card(), dice.choice((1_000, 2_500)), dice.random() < 0.25)
        self.rig.clock.forward(dice.choice(PAUSES_S))
        await self.rig.recovery.work_once()

    def _card(self) -> CardDetails:
        year = 2030 if self.dice.random() < 0.9 else 2031
        return CardDetails(self.dice.choice(self.cards), 3, year, "737")

    async def _pay(self, card: CardDetails, amount_minor: int, by_merchant: bool) -> None:
        self.number += 1
        side = Initiator.MERCHANT if by_merchant else Initiator.CUSTOMER
        asked = self._asked(card, amount_minor, by_merchant)
        try:
            await self.rig.authorize(
                f"k{self.number}",
                amount_minor=amount_minor,
                method=CardInput(card),
                details=PaymentDetails(initiator=side),
            )
        except StateConflict as error:
            self._check_refusal(error, asked)
        except Overloaded:
            # The router's breakers are open, or what is under way holds the last places.
            return

    async def _burst(self, count: int) -> None:
        """Many at once with one card and amount: they all reach the provider before it answers."""
        self.books.gate = asyncio.Event()
        card = self._card()
        tasks = [asyncio.create_task(self._pay(card, 1_000, False)) for _ in range(count)]
        for _ in range(60):
            await asyncio.sleep(0)
        self.books.gate.set()
        await asyncio.gather(*tasks)
        self.books.gate = None

    async def _confirm_again(self) -> None:
        """One payment whose customer tries the same card up to four times."""
        self.number += 1
        key, card, amount_minor = f"c{self.number}", self._card(), 1_000
        command = payment_command(
            merchant_reference=f"ref-{key}", amount_minor=amount_minor, method=None
        )
        await self.rig.payments.create(self.rig.caller(), idem(key, rpc="create"), command)
        payment = await self.rig.called(f"ref-{key}")
        assert payment is not None
        for again in range(4):
            self.books.call += 1
            asked = self._asked(card, amount_minor, False, payment.payment_id)
            confirm = ConfirmCommand(payment.payment_id, CardInput(card))
            try:
                await self.rig.payments.confirm(
                    self.rig.caller(), idem(f"{key}-{again}", rpc="confirm"), confirm
                )
            except StateConflict as error:
                if error.reason == "PAYMENT_STATE":
                    return
                self._check_refusal(error, asked)
            except Overloaded:
                return

    def _asked(
        self, card: CardDetails, amount_minor: int, by_merchant: bool, payment_id: str = ""
    ) -> Entry:
        return Entry(
            self.rig.clock.now_ns(),
            payment_id,
            self.books.call,
            self.books.burst,
            card.number,
            card.expiry_year * 100 + card.expiry_month,
            amount_minor,
            "EUR",
            by_merchant,
            "declined",
        )

    def _check_refusal(self, error: StateConflict, asked: Entry) -> None:
        """What was refused would have broken a rule, as far as that can be told from the books."""
        assert error.reason == "SCHEME_RETRY_FORBIDDEN", error
        assert error.metadata["network"] in ("visa", "mastercard", "amex")
        self.refused[error.metadata["rule_reason"]] += 1
        before = self.books.entries.values()
        untold = [one for one in before if one.told_at_ns is None or self.books.gate is not None]
        if not untold and not broken_rules(asked, before) | full_limits(asked, before):
            self.needless.append(f"{error.message} {error.metadata}")

    def violations(self) -> list[str]:
        """Every attempt of the books that a rule forbids, and every limit that was passed."""
        found: list[str] = []
        before: list[Entry] = []
        for entry in self.books.entries.values():
            broken = broken_rules(entry, before)
            if entry.fate == "declined":
                broken |= full_limits(entry, before)
            found += [f"{rule}: {entry}" for rule in sorted(broken)]
            before.append(entry)
        return found


async def live(seed: int, folder: Path, *, sqlite: bool = False) -> History:
    """A history of this seed."""
    dice = Generator(seed)
    books = Books(generator=Generator(seed + 1))
    store = SqliteStore(folder / f"record-{seed}.db") if sqlite else MemoryStore()
    rig = await make_rig(folder / f"{seed}", provider=books, store=store)
    books.rig = rig
    history = History(rig, books, dice, tuple(dice.sample(CARDS, 3)))
    for _ in range(STEPS):
        await history.step()
    await store.close()
    return history


@pytest.mark.parametrize("seed", SEEDS)
def test_no_attempt_breaks_a_rule_and_no_refusal_is_needless(seed: int, tmp_path: Path) -> None:
    history = asyncio.run(live(seed, tmp_path))
    assert history.violations() == []
    assert history.needless == []


@pytest.mark.parametrize("seed", [1_001, 1_002])
def test_the_record_on_disk_counts_likewise(seed: int, tmp_path: Path) -> None:
    history = asyncio.run(live(seed, tmp_path, sqlite=True))
    assert history.violations() == []
    assert history.needless == []


def test_the_histories_meet_every_rule(tmp_path: Path) -> None:
    """Or the tests above would be content with payments that never come near one."""
    refused: Counter[str] = Counter()
    fates: Counter[str] = Counter()
    for seed in range(40, 46):
        history = asyncio.run(live(seed, tmp_path))
        refused += history.refused
        fates += Counter(one.fate for one in history.books.entries.values())
    assert min(refused[one] for one in ("advice", "limit", "no_advice", "final_code")) >= 3
    assert min(fates.values()) > 50


def _judge_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schemes, "judge", lambda *_: None)


def _judge_only(blind: str) -> Callable[[pytest.MonkeyPatch], None]:
    """Makes the judge blind to one of its rules."""

    def break_it(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(judging, blind, lambda *_: None)

    return break_it


def _count_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The look before the commit stays, and with it the place that two can take at once."""
    monkeypatch.setattr(MemoryStore, "_check_attempt", lambda *_: None)


def _give_all_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Declined attempts leave the counters too."""
    monkeypatch.setattr(schemes, "_CLEARED", frozenset(OperationState))


@pytest.mark.parametrize(
    ("break_it", "rule"),
    [
        (_judge_nothing, "advice_wait"),
        (_judge_only("_by_advice"), "advice_wait"),
        (_judge_only("_by_silence"), "no_advice"),
        (_judge_only("_by_data"), "mend_data"),
        (_count_nothing, "card_day"),
        (_give_all_back, "advice_wait"),
    ],
)
def test_what_is_broken_is_seen(
    break_it: Callable[[pytest.MonkeyPatch], None],
    rule: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    break_it(monkeypatch)
    for seed in range(60, 70):
        history = asyncio.run(live(seed, tmp_path))
        if any(one.startswith(f"{rule}:") for one in history.violations()):
            return
    pytest.fail(f"no history breaks {rule}")
