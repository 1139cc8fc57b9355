"""One world: a seed decides everything in it. Chaos, then healing, then it must come to rest."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from tests.sim.adyen import AdyenModel
from tests.sim.books import Books
from tests.sim.check import check
from tests.sim.config import Config
from tests.sim.faults import NETWORK, Plan, draw
from tests.sim.loop import SimLoop, Stuck
from tests.sim.medium import Disk
from tests.sim.network import Couriers
from tests.sim.process import Process
from tests.sim.shop import MERCHANT, Shop
from tests.sim.stripe import StripeModel
from tests.sim.watch import Watch
from turnout.domain.accounts import Account, Merchant, Profile, Secret
from turnout.orchestration.budgets import RetrySettings
from turnout.orchestration.schedule import RecoverySettings
from turnout.orchestration.steadiness import NOTED
from turnout.ports import HttpRequest

START_S = 1_790_000_000
_START_NS = START_S * 1_000_000_000
# A time zone taken for another, a month, a clock that was never set: each both ways, or put right.
_FAR_S = (0, 7_200, -7_200, 40 * 86_400, -40 * 86_400, 3_650 * 86_400, -3_650 * 86_400)
_RESTS_WITHIN_S = 4 * 3_600.0
# The times of a real installation, but for those that only make a world longer.
SETTINGS = RecoverySettings(
    intervals_s=(5.0, 30.0, 60.0),
    action_timeout_s=200.0,
    pending_review_after_s=1_800.0,
    poll_s=4.0,
)
# Without a budget, with a real installation's, and with one that a bad minute uses up.
RETRIES = (
    None,
    RetrySettings(),
    RetrySettings(ratio=0.05, trickle_per_s=0.2, ramp_per_s=2.0, burst=2.0),
)
_STRIPE = {
    "acc_s1": ("sk_sim_1", "whsec_1"),
    "acc_s2": ("sk_sim_2", "whsec_2"),
    "acc_other": ("sk_sim_3", "whsec_3"),
}
_ADYEN = {
    "acc_a1": ("ak_sim_1", "SimOne", "a1" * 32),
    "acc_a2": ("ak_sim_2", "SimTwo", "a2" * 32),
}


_OURS = ("acc_s1", "acc_s2", "acc_a1", "acc_a2")


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked of worlds besides their seeds.

    Attributes:
        payments: customers in a world.
        also: families of faults that each has besides those that it draws.
        trace: keep all that happens, not only the end.
    """

    payments: int = 60
    also: tuple[str, ...] = ()
    trace: bool = False


@dataclass(slots=True)
class Result:
    """What came of one world."""

    seed: int
    payments: int
    faults: list[str]
    hits: Counter[str]
    families: tuple[str, ...]
    commits: int
    steps: int
    virtual_s: float
    reviews: int
    trace: list[str] = field(default_factory=list)


class SimClock:
    """Wall time that may be wrong, and monotonic time that is not."""

    def __init__(self, loop: SimLoop) -> None:
        self._loop = loop
        self.wrong_ns = 0

    def now_ns(self) -> int:
        """See `Clock.now_ns`."""
        return _START_NS + int(self._loop.now_s * 1e9) + self.wrong_ns

    def monotonic_ns(self) -> int:
        """See `Clock.monotonic_ns`."""
        return int(self._loop.now_s * 1e9)


class SimRandom:
    """Repeatable randomness."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def bytes(self, count: int) -> bytes:
        """See `Random.bytes`."""
        return self._random.randbytes(count)

    def seed(self) -> int:
        """See `Random.seed`."""
        return self._random.getrandbits(64)


class World:
    """Everything there is, made of one seed."""

    def __init__(self, seed: int, wish: Wish, master_key_path: Path) -> None:
        self.seed = seed
        self.payment_count = wish.payments
        self.master_key_path = master_key_path
        self.loop = SimLoop()
        self.plan: Plan = draw(Random(f"{seed}/plan"), wish.also)
        self.watch = Watch()
        self.loop.set_exception_handler(self.watch.loop_error)
        self.clock = SimClock(self.loop)
        self.mint_random = SimRandom(Random(f"{seed}/mint"))
        self.network_random = Random(f"{seed}/network")
        self.random = Random(f"{seed}/world")
        self.disk = Disk(self.plan, Random(f"{seed}/disk"), self.watch, self.loop)
        # What ran before has noted what the clock said.
        self.disk.record._blobs[NOTED] = b"%d 0" % _START_NS
        self.books = Books()
        self.couriers = Couriers(self, self.plan, Random(f"{seed}/couriers"))
        stripe = StripeModel(self, Random(f"{seed}/stripe"), _STRIPE)
        adyen = AdyenModel(self, Random(f"{seed}/adyen"), _ADYEN)
        self.models: dict[str, StripeModel | AdyenModel] = {"stripe": stripe, "adyen": adyen}
        self.handlers: dict[str, Callable[..., Any]] = {
            "stripe.sim": stripe.handle,
            "adyen.sim": adyen.handle,
        }
        self.account_ids = [*_STRIPE, *_ADYEN]
        self.keys = {name: known[0] for name, known in (_STRIPE | _ADYEN).items()}
        self.shop = Shop(self, Random(f"{seed}/shop"))
        self.recovery_settings = replace(SETTINGS, jitter=self.random.choice((0.0, 0.2, 0.5)))
        self.retries = self.random.choice(RETRIES)
        # With the schemes' rules a dozen cards soon run out, so most worlds go without.
        self.schemes = self.random.random() < 0.3
        self.chaos_s = self.random.choice((20.0, 60.0))
        self.minds = _minds(self.random)
        self.config = self._config(1)
        self.process: Process | None = None
        self.processes = 0
        self.out_until_s = {"stripe.sim": -1.0, "adyen.sim": -1.0}
        self.far_until_s = 0.0
        self.rotations = 0
        self.expires = self.random.random() < 0.06
        if self.expires:
            # Nine days off look like a clock that is ahead. The other worlds end within a day.
            self.plan.families.pop("clock_far", None)
            self.recovery_settings = replace(self.recovery_settings, clock_doubt_s=30.0)
        self._trace: deque[tuple[Any, ...]] = deque(maxlen=None if wish.trace else 60)

    # --- what all parts ask --------------------------------------------------------------

    def true_s(self) -> float:
        """What the time really is."""
        return START_S + self.loop.now_s

    def note(self, *what: Any) -> None:
        """One line of the trace."""
        self._trace.append((self.loop.now_s, *what))

    def issuer(self, random: Random) -> str:
        """What a card's issuer makes of an authorization: approve, soft, hard or action."""
        roll = random.random()
        for mind, upto in self.minds:
            if roll < upto:
                return mind
        return "approve"

    def network_fault(self, host: str, request: HttpRequest) -> str:
        """What goes wrong with this request; nothing is an empty string."""
        plan, random = self.plan, self.network_random
        if plan.healed:
            return ""
        if self.loop.now_s < self.out_until_s[host]:
            return "provider_outage" if random.random() < 0.7 else "timeout_before"
        for family in plan.families:
            if family in NETWORK and plan.strikes(family, random):
                return family
        if plan.strikes("slow_answer", random):
            return "slow_answer"
        return ""

    # --- configuration -------------------------------------------------------------------

    def _config(self, version: int) -> Config:
        random = self.random
        accounts: dict[str, Account] = {}
        for name, (_, secret) in _STRIPE.items():
            merchant = "mer_other" if name == "acc_other" else MERCHANT
            accounts[name] = Account(
                name,
                merchant,
                "stripe",
                "https://stripe.sim",
                credentials={"api_key": Secret(self.keys[name])},
                webhook_secrets=(Secret(f"whsec_new_{version}"), Secret(secret)),
            )
        for name, (_, code, secret) in _ADYEN.items():
            accounts[name] = Account(
                name,
                MERCHANT,
                "adyen",
                "https://adyen.sim",
                credentials={"api_key": Secret(self.keys[name])},
                webhook_secrets=(Secret(secret),),
                settings={"merchant_account": code},
                multi_capture=name == "acc_a2",
            )
        if version > 1:
            off = random.choice(("acc_s1", "acc_s2", "acc_a1", "acc_a2"))
            accounts[off] = replace(accounts[off], enabled=False)
        names = ["acc_s1", "acc_s2", "acc_a1", "acc_a2"]
        random.shuffle(names)
        tiers: tuple[tuple[str, ...], ...] = tuple((one,) for one in names)
        if random.random() < 0.3:
            tiers = (tuple(names[:2]), tuple(names[2:]))
        merchants = {
            MERCHANT: Merchant(MERCHANT, "org", "Sim", "main"),
            "mer_other": Merchant("mer_other", "org", "Other", "other"),
        }
        profiles = {
            "main": Profile(
                "main",
                MERCHANT,
                tiers,
                max_attempts=random.choice((2, 3, 4)),
                scheme_rules_in_test=self.schemes,
            ),
            "other": Profile("other", "mer_other", (("acc_other",),)),
        }
        return Config(version, merchants, profiles, accounts)

    def next_config(self, bad: bool, gone: str = "") -> Config:
        """The configuration that an operator pushes, perhaps without one of the accounts."""
        config = self._config(self.config.version + 1)
        if gone:
            del config.accounts[gone]
            main = config.profiles["main"]
            tiers = tuple(tuple(one for one in tier if one != gone) for tier in main.tiers)
            config.profiles["main"] = replace(main, tiers=tuple(filter(None, tiers)))
        if bad:
            tiers = (*config.profiles["main"].tiers, ("acc_nowhere",))
            config.profiles["main"] = replace(config.profiles["main"], tiers=tiers)
        return config

    # --- processes -----------------------------------------------------------------------

    def process_died(self) -> None:
        """Somebody starts another one after a while."""
        self.process = None
        self.loop.call_later(self.random.choice((0.05, 1.0, 8.0)), self.boot)

    def boot(self) -> None:
        """Starts a process over what is durable."""
        self.processes += 1
        self.process = Process(self, self.processes)
        starting = self.process.spawn("call", self.process.start())
        starting.add_done_callback(self._started)

    def _started(self, start: asyncio.Task[Any]) -> None:
        error = None if start.cancelled() else start.exception()
        if error is not None:
            self.watch.fault("defect", f"a process cannot start: {error!r}")
            raise error

    # --- the course of a world -----------------------------------------------------------

    async def live(self) -> None:
        """Chaos, healing, rest."""
        self.boot()
        customers = [
            self.loop.create_task(self.shop.customer(number))
            for number in range(self.payment_count)
        ]
        mischief = self.loop.create_task(self._mischief())
        await asyncio.sleep(self.chaos_s * (1.0 + self.random.random()))
        mischief.cancel()
        self._heal()
        await asyncio.gather(*customers)
        await self._rest()
        if self.expires:
            await self._expire()

    def _heal(self) -> None:
        self.plan.healed = True
        self.loop.go_on()
        self.clock.wrong_ns = 0
        self.out_until_s = {"stripe.sim": -1.0, "adyen.sim": -1.0}
        if self.rotations or not all(one in self.config.accounts for one in _OURS):
            self._push_what_is_right()
        self.note("HEAL")

    async def _mischief(self) -> None:
        """What happens by itself: clocks, outages, configuration, sudden death."""
        plan, random, loop = self.plan, self.random, self.loop
        while True:
            await asyncio.sleep(1.0)
            if plan.strikes("clock_jump", random) and loop.now_s > self.far_until_s:
                self.clock.wrong_ns = random.choice((0, 0, random.randint(-3_600, 3_600))) * 10**9
                self.note("clock", self.clock.wrong_ns)
            if loop.now_s > self.far_until_s and plan.strikes("clock_far", random):
                self._clock_far()
            if plan.strikes("provider_outage", random):
                host = random.choice(("stripe.sim", "adyen.sim"))
                self.out_until_s[host] = loop.now_s + random.random() * 15
            process = self.process
            if process is None or not process.ready:
                continue
            try:
                if plan.strikes("config_push", random):
                    process.push_config(bad=False)
                if plan.strikes("account_gone", random):
                    process.push_config(bad=False, gone=random.choice(_OURS))
                if plan.strikes("key_rotated", random):
                    self._rotate_key(process)
                if plan.strikes("config_bad", random):
                    process.push_config(bad=True)
            except asyncio.CancelledError:
                if process.alive:
                    raise
            if process.alive and plan.strikes("stands_still", random):
                self.note("stands still")
                loop.stand_still(process)
                # Shorter than a call, longer than one, longer than any copy of it is on its way.
                loop.call_later(random.choice((2.0, 40.0, 150.0)) * random.random(), loop.go_on)
            if process.alive and plan.strikes("crash", random):
                process.crash("at random")

    def _rotate_key(self, process: Process) -> None:
        """A provider gives us another key, and takes the old one away too early or in time."""
        name = self.random.choice(_OURS)
        self.rotations += 1
        self.keys[name] = f"key_{self.rotations}"
        model = self.models["stripe" if name in _STRIPE else "adyen"]
        revoke = model.rotate(name, self.keys[name])
        if self.random.random() < 0.5:
            revoke()
            self.loop.call_later(self.random.random() * 20.0, self._push_what_is_right)
        else:
            process.push_config(bad=False)
            self.loop.call_later(self.random.random() * 20.0, revoke)

    def _push_what_is_right(self) -> None:
        """All accounts, with the keys that their providers know."""
        if self.process is None:
            self.config = self.next_config(bad=False)
            return
        if not self.process.ready:
            # It may have read the other one already.
            self.loop.call_later(1.0, self._push_what_is_right)
            return
        try:
            self.process.push_config(bad=False)
        except asyncio.CancelledError:
            self.note("died while it was told")

    def _clock_far(self) -> None:
        """A step, long enough to be seen: one that nobody looks at cannot be told by anybody."""
        self.clock.wrong_ns = self.random.choice(_FAR_S) * 10**9
        self.far_until_s = self.loop.now_s + self.random.choice((8.0, 8.0, 100.0))
        self.note("clock", self.clock.wrong_ns)
        if self.process is not None and self.process.ready:
            # Recovery looks twice a second, and in these worlds rarely.
            look = self.process.recovery._steadiness.look()
            self.process.spawn("recovery", look)  # type: ignore[unused-awaitable]  # by itself

    def _at_rest(self) -> bool:
        process, record = self.process, self.disk.record
        return (
            process is not None
            and process.ready
            and process.claims.in_flight == 0
            and self.couriers.waiting == 0
            and not record._pending
            and not record._watched
        )

    async def _rest(self) -> None:
        ends_s = self.loop.now_s + _RESTS_WITHIN_S
        while not self._at_rest() and self.loop.now_s < ends_s:  # noqa: ASYNC110
            await asyncio.sleep(5.0)
        # A refund may still be taken back, and that is told by webhook.
        await asyncio.sleep(30.0)
        while not self._at_rest() and self.loop.now_s < ends_s:  # noqa: ASYNC110
            await asyncio.sleep(5.0)
        if not self._at_rest():
            self.watch.fault("I2", f"the world does not come to rest: {self._restless()}")

    def _restless(self) -> str:
        record = self.disk.record
        return (
            f"watched={sorted(record._watched)[:5]} webhooks={len(record._pending)} "
            f"couriers={self.couriers.waiting} "
            f"in_flight={self.process.claims.in_flight if self.process else None}"
        )

    async def _expire(self) -> None:
        """The process is down for nine days, and every hold at the providers runs out."""
        assert self.process is not None
        self.process.crash("stopped for nine days")
        self.note("nine days")
        process_down_s = 9 * 86_400.0
        self.loop.forget_timers(self.boot)
        if self.random.random() < 0.5:
            # Nobody tells of it: only our own clock knows.
            self.plan.families["webhook_lost"] = 1.0
            self.plan.healed = False
        await asyncio.sleep(process_down_s)
        for model in self.models.values():
            model.expire_all()
        self.plan.healed = True
        self.boot()
        await asyncio.sleep(60.0)
        await self._rest()


def _minds(random: Random) -> list[tuple[str, float]]:
    soft = random.choice((0.05, 0.15, 0.4))
    hard = soft + random.choice((0.02, 0.1))
    return [("soft", soft), ("hard", hard), ("action", hard + random.choice((0.0, 0.08, 0.2)))]


def run_world(seed: int, wish: Wish, master_key_path: Path) -> Result:
    """Lives one world and checks it."""
    world = World(seed, wish, master_key_path)
    log = logging.getLogger("turnout")
    kept_log = log.propagate, log.level
    log.addHandler(world.watch)
    log.propagate = False
    log.setLevel(logging.ERROR)
    loop = world.loop
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(world.live())
        loop.forget_done()
        check(world)
    except Stuck:
        world.watch.fault("I2", f"nothing can happen any more: {world._restless()}")
    finally:
        log.removeHandler(world.watch)
        log.propagate = kept_log[0]
        log.setLevel(kept_log[1])
        loop.wind_up()
        asyncio.set_event_loop(None)
    faults = world.books.faults + world.watch.faults
    kept = [f"{line[0]:10.3f}  {' '.join(map(str, line[1:]))}" for line in world._trace]
    return Result(
        seed,
        len(world.disk.record._payments),
        faults,
        world.plan.hits,
        tuple(world.plan.families),
        world.watch.commits,
        loop.steps,
        loop.now_s,
        len(world.watch.reviews),
        kept if faults or wish.trace else [],
    )
