"""The rooms put together: every adapter behind its port, every service with its parts.

Opening is in the order of what can fail most often for an operator's reasons: configuration,
lock, databases, master key. Nothing here speaks to a provider, so a dead one cannot keep Turnout
from starting.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from turnout.app.backup import refuse_unfinished
from turnout.app.lock import RecordLock
from turnout.app.system import SystemClock, SystemRandom
from turnout.config import ConfigError, Settings
from turnout.config.sections import Vault as VaultSection
from turnout.connectors.http import HttpClient
from turnout.connectors.registry import build_connectors
from turnout.orchestration.admission import Admission, AdmissionSettings
from turnout.orchestration.attempts import Cascade
from turnout.orchestration.budgets import RetryBudgets, RetrySettings
from turnout.orchestration.directory import Directory
from turnout.orchestration.events import Events
from turnout.orchestration.explanations import Explanations
from turnout.orchestration.follow_ups import FollowUps
from turnout.orchestration.idempotency import Claims
from turnout.orchestration.ledger import Ledger
from turnout.orchestration.mint import Mint
from turnout.orchestration.observer import Observer
from turnout.orchestration.parts import Parts
from turnout.orchestration.payments import Payments
from turnout.orchestration.recovery import Recovery
from turnout.orchestration.refunds import Refunds
from turnout.orchestration.replays import Replays
from turnout.orchestration.reviews import Reviews
from turnout.orchestration.routes import engine_config
from turnout.orchestration.rulesets import Rulesets
from turnout.orchestration.schedule import RecoverySettings, Schedule
from turnout.orchestration.settle import Settler
from turnout.orchestration.snapshots import (
    RulesetsUnfit,
    Snapshot,
    Snapshots,
    load_rulesets,
    prepare,
)
from turnout.orchestration.tokens import Tokens
from turnout.orchestration.webhooks import Webhooks
from turnout.ports import BinDirectory, Connector, Store
from turnout.routing import RoutingEngine, RoutingError, RoutingSettings
from turnout.server.auth import KeyRing
from turnout.server.encode import ProtoEncoder
from turnout.server.routing import encode_ruleset
from turnout.server.services import Services
from turnout.stores.sqlite import CannotOpen, SqliteStore, SqliteVaultStore
from turnout.vault import BinFile, CardVault, VaultLocked, sandbox_bins


@dataclass(slots=True)
class House:
    """Everything that lives as long as the process serves."""

    settings: Settings
    lock: RecordLock
    clock: SystemClock
    random: SystemRandom
    store: SqliteStore
    vault_store: SqliteVaultStore
    transport: HttpClient
    connectors: Mapping[str, Connector]
    directory: Directory
    engine: RoutingEngine
    keys: KeyRing
    claims: Claims
    services: Services
    webhooks: Webhooks
    recovery: Recovery
    admission: Admission
    snapshots: Snapshots

    async def close(self) -> None:
        """Closes what is open, the record last."""
        await self.transport.close()
        await self.vault_store.close()
        await self.store.close()
        self.lock.release()


def check_accounts(settings: Settings, connectors: Mapping[str, Connector]) -> None:
    """Asks each account's connector whether it could work with it.

    Raises:
        ConfigError: names every account and key that it could not work with.
    """
    problems: list[str] = []
    for account in settings.accounts.values():
        connector = connectors.get(account.provider)
        if connector is None:
            known = ", ".join(sorted(connectors))
            problems.append(
                f"account {account.account_id}: provider is {account.provider!r}, and there is no "
                f"connector of that name; known are {known}"
            )
        elif account.enabled:
            problems += connector.check_account(account)
    if problems:
        raise ConfigError(str(settings.path), problems)


def routing_settings(settings: Settings) -> RoutingSettings:
    """What is tuned of the routing engine."""
    tuned = settings.routing
    return RoutingSettings(
        tuned.health, tuned.breaker, tuned.choice, tuned.learning, tuned.exchange_rates
    )


def engine_config_of(settings: Settings) -> bytes:
    """The routing engine's configuration, without the rulesets that the record has."""
    return engine_config(settings.accounts, settings.profiles, routing_settings(settings))


async def prepare_snapshot(settings: Settings, store: Store, now_ns: int) -> Snapshot:
    """The routing engine's configuration with the rulesets in force, kept in the record.

    Raises:
        ConfigError: a ruleset in force does not fit the accounts, or the engine refuses the whole.
        StoreUnavailable: the disk fails.
    """
    accounts, profiles = settings.accounts, settings.profiles
    try:
        rulesets = await load_rulesets(store, accounts, profiles)
        snapshot = await prepare(accounts, profiles, routing_settings(settings), rulesets, now_ns)
    except RulesetsUnfit as error:
        raise ConfigError(str(settings.path), list(error.problems)) from None
    except RoutingError as error:
        raise ConfigError(str(settings.path), [f"routing: {error}"]) from None
    await store.keep_snapshot(snapshot.record)
    return snapshot


def check_config(settings: Settings, connectors: Mapping[str, Connector] | None = None) -> None:
    """All that can be checked without opening a file or a port.

    Raises:
        ConfigError: with all that is wrong.
    """
    if connectors is None:
        connectors = build_connectors(HttpClient(), SystemClock())
    check_accounts(settings, connectors)
    try:
        RoutingEngine(engine_config_of(settings))
    except RoutingError as error:
        raise ConfigError(str(settings.path), [f"routing: {error}"]) from None


def _bins(section: VaultSection) -> BinDirectory | None:
    if section.bin_file_path is not None:
        return BinFile.load(section.bin_file_path)
    return sandbox_bins() if section.sandbox_bins else None


def _schedule(settings: Settings, directory: Directory, random: SystemRandom) -> Schedule:
    given = settings.recovery
    names = [field.name for field in dataclasses.fields(RecoverySettings)]
    chosen = RecoverySettings(**{name: getattr(given, name) for name in names})
    return Schedule(chosen, directory, random)


def _retries(settings: Settings) -> RetrySettings:
    given = settings.recovery
    return RetrySettings(given.retry_ratio, given.retry_trickle_per_s, given.retry_ramp_per_s)


async def open_house(
    settings: Settings,
    observer: Observer,
    *,
    connectors: Mapping[str, Connector] | None = None,
) -> House:
    """Opens everything but the doors.

    Args:
        settings: the configuration.
        observer: hears of what orchestration does.
        connectors: by provider, instead of the registry's; for measuring Turnout without
            providers.

    Raises:
        ConfigError, BinFileError: the configuration or a file that it names cannot be used.
        RecordInUse: another process serves this record.
        CannotOpen: a database cannot be used as it is.
        VaultLocked: the master key is missing, unsafe or another one.
        StoreUnavailable: the disk fails.
    """
    clock, random = SystemClock(), SystemRandom()
    transport = _transport(settings)
    budgets = RetryBudgets(clock, _retries(settings))
    known = build_connectors(transport, clock, budgets) if connectors is None else connectors
    check_config(settings, known)
    bins = _bins(settings.vault)
    async with contextlib.AsyncExitStack() as opened:
        lock = opened.enter_context(RecordLock(settings.store.path.parent))
        refuse_unfinished(settings)
        store = SqliteStore(settings.store.path)
        opened.push_async_callback(store.close)
        vault_store = SqliteVaultStore(settings.vault.path)
        opened.push_async_callback(vault_store.close)
        await _refuse_lost_vault(settings, store, vault_store)
        vault = await CardVault.open(
            vault_store, settings.vault.master_key_path, clock, random, bins
        )
        version = await store.import_config(
            settings.digest(), settings.public_body(), clock.now_ns()
        )
        snapshot = await prepare_snapshot(settings, store, clock.now_ns())
        directory = Directory(connectors=known)
        directory.swap(settings.merchants, settings.profiles, settings.accounts, version)
        house = _wire(
            settings,
            observer,
            lock,
            clock,
            random,
            store,
            vault_store,
            vault,
            transport,
            directory,
            budgets,
            snapshot,
        )
        # From here on it is `House.close` that closes.
        opened.pop_all()
    return house


async def _refuse_lost_vault(
    settings: Settings, store: SqliteStore, vault_store: SqliteVaultStore
) -> None:
    """A vault or a record that has gone missing beside the other is no start but a loss.

    Raises:
        VaultLocked: the record has tokens, and the vault has no keys.
        CannotOpen: the vault has cards, and the record was never used.
    """
    if store.unused() and await vault_store.count():
        raise CannotOpen(
            f"the vault {settings.vault.path} has cards, but the record {settings.store.path} is "
            "empty; restore it from the same backup as the vault, or correct store.path. Without "
            "it nobody would know what has been paid already"
        )
    if not await vault_store.list_keys() and store.holds_tokens():
        raise VaultLocked(
            f"the record {settings.store.path} has tokens, but the vault {settings.vault.path} is "
            "empty; restore it from the same backup as the record, or correct vault.path. No new "
            "vault is begun, because it could open none of those tokens"
        )


def _wire(
    settings: Settings,
    observer: Observer,
    lock: RecordLock,
    clock: SystemClock,
    random: SystemRandom,
    store: SqliteStore,
    vault_store: SqliteVaultStore,
    vault: CardVault,
    transport: HttpClient,
    directory: Directory,
    budgets: RetryBudgets,
    snapshot: Snapshot,
) -> House:
    """Hands every room what it needs; opens nothing."""
    schedule = _schedule(settings, directory, random)
    engine = RoutingEngine(snapshot.compiled)
    snapshots = Snapshots(store, directory, engine, snapshot)
    encoder = ProtoEncoder()
    admission = _admission(settings, observer)
    parts = Parts(
        store,
        vault,
        directory,
        engine,
        Mint(clock, random),
        encoder,
        schedule,
        Settler(schedule),
        observer,
        admission,
        budgets=budgets,
    )
    margin_ms = settings.server.answer_margin_ms
    claims = Claims(store, clock, encoder, vault.fingerprint, margin_ms, observer)
    follow_ups = FollowUps(parts)
    webhooks = Webhooks(parts)
    rulesets = Rulesets(parts, claims, snapshots, encode_ruleset)
    return House(
        settings,
        lock,
        clock,
        random,
        store,
        vault_store,
        transport,
        directory.connectors,
        directory,
        engine,
        KeyRing(settings.api_keys.values(), settings.operator_keys.values()),
        claims,
        _services(parts, claims, follow_ups, webhooks, rulesets, snapshots, margin_ms),
        webhooks,
        Recovery(parts, follow_ups),
        admission,
        snapshots,
    )


def _services(
    parts: Parts,
    claims: Claims,
    follow_ups: FollowUps,
    webhooks: Webhooks,
    rulesets: Rulesets,
    snapshots: Snapshots,
    margin_ms: int,
) -> Services:
    return Services(
        Payments(parts, claims, Cascade(parts, margin_ms), follow_ups),
        Refunds(parts, claims, follow_ups),
        Events(parts),
        Tokens(parts, claims),
        webhooks,
        Ledger(parts),
        Reviews(parts, claims),
        rulesets,
        Explanations(parts, snapshots, rulesets),
        Replays(parts, snapshots, rulesets),
    )


def _admission(settings: Settings, observer: Observer) -> Admission:
    names = [field.name for field in dataclasses.fields(AdmissionSettings)]
    limits = AdmissionSettings(**{name: getattr(settings.admission, name) for name in names})
    return Admission(limits, observer.refused)


def _transport(settings: Settings) -> HttpClient:
    given = settings.connectors
    return HttpClient(
        connections_max=given.connections_max,
        connections_per_host_max=given.connections_per_host_max,
        keepalive_s=given.keepalive_s,
    )
