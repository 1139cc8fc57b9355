"""A whole orchestration in one process: real store, vault and router over a scripted provider.

The provider is the only thing that is played: it keeps its own books, so that tests can ask it
what it charged rather than believe our record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random as Generator
from typing import Any

from turnout import v1
from turnout.domain.accounts import Account, Merchant, Profile
from turnout.domain.cards import CardDetails
from turnout.domain.declines import DeclineCode, decline
from turnout.domain.operation import OperationKind
from turnout.domain.outcomes import Outcome, OutcomeKind, ProviderEvent
from turnout.domain.payment import CaptureMethod, Payment, PaymentDetails
from turnout.orchestration.attempts import Cascade
from turnout.orchestration.commands import Caller, CardInput, Idempotency, PaymentCommand
from turnout.orchestration.directory import Directory
from turnout.orchestration.events import Events
from turnout.orchestration.explanations import Explanations
from turnout.orchestration.follow_ups import FollowUps
from turnout.orchestration.idempotency import Claims
from turnout.orchestration.ledger import Ledger
from turnout.orchestration.mint import Mint
from turnout.orchestration.parts import Parts
from turnout.orchestration.payments import Payments
from turnout.orchestration.recovery import Recovery
from turnout.orchestration.refunds import Refunds
from turnout.orchestration.replays import Replays
from turnout.orchestration.reviews import Reviews
from turnout.orchestration.rulesets import Rulesets
from turnout.orchestration.schedule import RecoverySettings, Schedule
from turnout.orchestration.settle import Settler
from turnout.orchestration.snapshots import Snapshots, load_rulesets, prepare
from turnout.orchestration.tokens import Tokens
from turnout.orchestration.webhooks import Webhooks
from turnout.ports import (
    AuthorizeRequest,
    ConnectorTraits,
    FollowUpRequest,
    InquiryRequest,
    PaymentFilter,
    Store,
    WebhookDelivery,
)
from turnout.routing import RoutingEngine, RoutingSettings
from turnout.server.encode import ProtoEncoder
from turnout.server.routing import encode_ruleset
from turnout.stores.memory import MemoryStore
from turnout.stores.memory_vault import MemoryVaultStore
from turnout.vault import CardVault

MERCHANT = "mer_test"
SECOND_NS = 1_000_000_000
START_NS = 1_790_000_000 * SECOND_NS
YES = Outcome(OutcomeKind.SUCCEEDED)


def no(code: DeclineCode = DeclineCode.INSUFFICIENT_FUNDS) -> Outcome:
    """A decline."""
    return Outcome(OutcomeKind.DECLINED, decline=decline(code))


def unreachable() -> Outcome:
    """Refused before it was sent."""
    return Outcome(OutcomeKind.NOT_PROCESSED, reason="connect_failed")


def unknown() -> Outcome:
    """It left, and nobody said what became of it."""
    return Outcome(OutcomeKind.UNKNOWN, reason="timeout")


class TestClock:
    """Wall time that tests turn; monotonic time goes with it."""

    __test__ = False

    def __init__(self) -> None:
        self.now = START_NS

    def now_ns(self) -> int:
        return self.now

    def monotonic_ns(self) -> int:
        return self.now - START_NS

    def forward(self, seconds: float) -> None:
        self.now += int(seconds * SECOND_NS)


class TestRandom:
    """Repeatable randomness."""

    __test__ = False

    def __init__(self, seed: int = 1) -> None:
        self._generator = Generator(seed)

    def bytes(self, count: int) -> bytes:
        return self._generator.randbytes(count)

    def seed(self) -> int:
        return self._generator.getrandbits(64)


Script = Callable[[Any], Outcome | Awaitable[Outcome]]


@dataclass
class ScriptedProvider:
    """A provider that does what it is told and keeps its own books.

    Attributes:
        says: what it answers, by account, in order; YES once they are used up.
        charged: our operation ids that it has authorized, by account.
        calls: every call that reached it: (account, kind, operation id).
    """

    provider: str = "scripted"
    traits: ConnectorTraits = field(default_factory=lambda: ConnectorTraits(True, True))
    says: dict[str, list[Outcome | Script]] = field(default_factory=dict)
    follow: list[Outcome | Script] = field(default_factory=list)
    inquiries: list[Outcome | Script] = field(default_factory=list)
    charged: dict[str, str] = field(default_factory=dict)
    calls: list[tuple[str, str, str]] = field(default_factory=list)
    seen_cards: list[str] = field(default_factory=list)

    async def authorize(self, account: Account, request: AuthorizeRequest) -> Outcome:
        self.calls.append((account.account_id, "authorize", request.operation_id))
        card = await request.reveal.card()
        self.seen_cards.append(card.number)
        outcome = await self._next(self.says.get(account.account_id, []), request)
        if outcome.kind is OutcomeKind.SUCCEEDED:
            self.charged[request.operation_id] = account.account_id
        return self._with_reference(outcome, request.operation_id)

    async def follow_up(self, account: Account, request: FollowUpRequest) -> Outcome:
        self.calls.append((account.account_id, request.kind.value, request.operation_id))
        outcome = await self._next(self.follow, request)
        return self._with_reference(outcome, request.operation_id)

    async def inquire(self, account: Account, request: InquiryRequest) -> Outcome:
        self.calls.append((account.account_id, "inquire", request.operation.operation_id))
        return await self._next(self.inquiries, request)

    def read_webhook(
        self, account: Account, headers: Mapping[str, str], body: bytes, now_ns: int
    ) -> WebhookDelivery:
        kind, reference, outcome = body.decode().split(" ")
        event = ProviderEvent(
            f"{kind}-{reference}-{outcome}",
            OperationKind(kind),
            Outcome(OutcomeKind(outcome.removeprefix("un"))),
            operation_reference=reference,
            reverses=outcome.startswith("un"),
        )
        if event.reverses or event.outcome.kind is OutcomeKind.DECLINED:
            event.outcome = no(DeclineCode.PROCESSING_ERROR)
        return WebhookDelivery([event], b"ok", "text/plain")

    def check_account(self, account: Account) -> list[str]:
        return []

    @staticmethod
    def _with_reference(outcome: Outcome, operation_id: str) -> Outcome:
        if outcome.kind is not OutcomeKind.NOT_PROCESSED and not outcome.provider_reference:
            outcome.provider_reference = f"their-{operation_id}"
        return outcome

    @staticmethod
    async def _next(script: list[Outcome | Script], request: Any) -> Outcome:
        if not script:
            return Outcome(OutcomeKind.SUCCEEDED)
        one = script.pop(0)
        if isinstance(one, Outcome):
            return one
        said = one(request)
        return said if isinstance(said, Outcome) else await said


@dataclass
class Rig:
    """Everything, wired as the composition root wires it."""

    clock: TestClock
    provider: ScriptedProvider
    store: Store
    parts: Parts
    claims: Claims
    payments: Payments
    refunds: Refunds
    tokens: Tokens
    events: Events
    webhooks: Webhooks
    recovery: Recovery
    ledger: Ledger
    reviews: Reviews
    snapshots: Snapshots
    rulesets: Rulesets
    explanations: Explanations
    replays: Replays

    def caller(self, timeout_s: float = 30.0, *, merchant: str = MERCHANT) -> Caller:
        """A caller who waits this long."""
        deadline_ns = self.clock.monotonic_ns() + int(timeout_s * SECOND_NS)
        return Caller(merchant, "key_1", False, deadline_ns)

    async def authorize(
        self, key: str = "k1", *, timeout_s: float = 30.0, **changes: Any
    ) -> v1.Payment:
        """Authorizes a good card and parses the answer."""
        command = payment_command(**{"merchant_reference": f"ref-{key}", **changes})
        answer = await self.payments.authorize(self.caller(timeout_s), idem(key), command)
        return v1.Payment.FromString(answer)

    async def called(self, merchant_reference: str) -> Payment | None:
        """The merchant's payment of this reference, or None."""
        want = PaymentFilter(merchant_reference=merchant_reference)
        found = await self.store.list_payments(MERCHANT, want)
        return found[0] if found else None


def idem(key: str, request: bytes = b"", rpc: str = "authorize") -> Idempotency:
    """A key, and what it stands for."""
    return Idempotency(rpc, key, request or key.encode())


def payment_command(**changes: Any) -> PaymentCommand:
    """An ordinary payment of 10.99 EUR with a published test card."""
    command = PaymentCommand(
        "ref-1",
        1_099,
        "EUR",
        CaptureMethod.MANUAL,
        CardInput(CardDetails("4111111111111111", 3, 2030, "737", "A Payer")),
        PaymentDetails(),
    )
    for name, value in changes.items():
        setattr(command, name, value)
    return command


def accounts(*names: str, **changes: Any) -> dict[str, Account]:
    """Test accounts of the scripted provider."""
    return {
        name: Account(name, MERCHANT, "scripted", "http://127.0.0.1", **changes) for name in names
    }


async def make_rig(
    tmp_path: Path,
    *,
    store: Store | None = None,
    names: tuple[str, ...] = ("acc_a", "acc_b", "acc_c"),
    recovery: RecoverySettings | None = None,
    provider: ScriptedProvider | None = None,
    clock: TestClock | None = None,
    **account: Any,
) -> Rig:
    """Wires a rig; a given store and clock let one process follow another."""
    clock = clock or TestClock()
    mint = Mint(clock, TestRandom())
    provider = provider or ScriptedProvider()
    known = accounts(*names, **account)
    profile = Profile("main", MERCHANT, tuple((name,) for name in names))
    other = Profile("other", "mer_other", ())
    directory = Directory(
        {
            MERCHANT: Merchant(MERCHANT, "org", "Test", "main"),
            "mer_other": Merchant("mer_other", "org", "Other", "other"),
        },
        {"main": profile, "other": other},
        known,
        {"scripted": provider},
        1,
    )
    schedule = Schedule(recovery or RecoverySettings(), directory)
    vault = await CardVault.open(
        MemoryVaultStore(), tmp_path / "keys" / "master.key", clock, TestRandom(2)
    )
    store = store or MemoryStore()
    kept = await load_rulesets(store, known, directory.profiles)
    snapshot = await prepare(known, directory.profiles, RoutingSettings(), kept, clock.now_ns())
    await store.keep_snapshot(snapshot.record)
    engine = RoutingEngine(snapshot.compiled)
    parts = Parts(
        store,
        vault,
        directory,
        engine,
        mint,
        ProtoEncoder(),
        schedule,
        Settler(schedule),
    )
    claims = Claims(store, clock, parts.encoder, vault.fingerprint)
    follow_ups = FollowUps(parts)
    snapshots = Snapshots(store, directory, engine, snapshot)
    rulesets = Rulesets(parts, claims, snapshots, encode_ruleset)
    return Rig(
        clock,
        provider,
        store,
        parts,
        claims,
        Payments(parts, claims, Cascade(parts), follow_ups),
        Refunds(parts, claims, follow_ups),
        Tokens(parts, claims),
        Events(parts),
        Webhooks(parts),
        Recovery(parts, follow_ups),
        Ledger(parts),
        Reviews(parts, claims),
        snapshots,
        rulesets,
        Explanations(parts, snapshots, rulesets),
        Replays(parts, snapshots, rulesets),
    )


async def until(condition: Callable[[], bool]) -> None:
    """Lets other tasks run until a condition holds."""
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to hold")
