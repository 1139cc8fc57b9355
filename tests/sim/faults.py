"""What goes wrong in one world, drawn from its seed before anything happens.

Every world gets at least three families of faults at once. Crash points are drawn evenly, and a
world that is to die at a rare one gets the faults that lead there, so that none is starved by
those that every payment passes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

# One request to a provider, and what can become of it.
NETWORK = (
    "not_sent",
    "timeout_before",
    "timeout_after",
    "reset_before",
    "reset_after",
    "late_arrival",
    "duplicate",
    "stall",
    "http_500_before",
    "http_500_after",
    "http_503",
    "rate_limited",
    "html_garbage",
    "truncated_json",
    "empty_answer",
    "other_amount",
    "other_reference",
)
WEBHOOK = ("webhook_late", "webhook_twice", "webhook_reordered", "webhook_lost", "webhook_forged")
STORE = ("store_refuses", "store_slow", "vault_refuses", "store_outage")
WORLD = ("clock_jump", "provider_outage", "config_push", "config_bad", "crash", "caller_hangs_up")
COMMON = NETWORK + WEBHOOK + STORE + WORLD
# Drawn after all others and by themselves, so that a world without them is what it always was.
RARE = (
    "clock_far",
    "stands_still",
    "slow_answer",
    "look_lags",
    "key_rotated",
    "account_gone",
)
FAMILIES = COMMON + RARE

ROLES = ("call", "recovery", "webhook")
STAGES = ("before", "inside", "after")
# Where the process can be killed. `inside`: durable, and nobody was told.
POINTS = tuple(
    [f"{kind}.{stage}" for kind in ("claim", "claim_answered", "cascade") for stage in STAGES]
    + [f"settle.{role}.{stage}" for role in ROLES for stage in STAGES]
    + [f"undo.recovery.{stage}" for stage in STAGES]
    + [f"{kind}.{stage}" for kind in ("vault", "answer", "webhook_add") for stage in STAGES]
    + [f"send.{role}.{stage}" for role in ("call", "recovery") for stage in ("before", "booked")]
    + [f"send.{role}.answered" for role in ("call", "recovery")]
    + [f"fence.{stage}" for stage in STAGES]
    + [f"save.{stage}" for stage in STAGES]
    + ["config.before", "config.after"]
)


@dataclass(slots=True)
class Plan:
    """One world's faults.

    Attributes:
        families: those that this world has, each with its probability per chance.
        crashes: point -> the occurrences (from 1) at which the process dies.
        hits: how often each fault happened; crash points as `crash <point>`.
        healed: no more faults from here on.
    """

    families: dict[str, float]
    crashes: dict[str, set[int]]
    seen: Counter[str] = field(default_factory=Counter)
    hits: Counter[str] = field(default_factory=Counter)
    healed: bool = False

    def has(self, family: str) -> bool:
        """Whether this world has this family of faults at all."""
        return family in self.families

    def strikes(self, family: str, random: Random) -> bool:
        """Whether it happens here and now; counted where it does."""
        if family not in self.families or self.healed:
            return False
        if random.random() >= self.families[family]:
            return False
        self.hits[family] += 1
        return True

    def dies(self, point: str) -> bool:
        """Whether the process is killed at this point, this time."""
        occurrences = self.crashes.get(point)
        if occurrences is None:
            return False
        self.seen[point] += 1
        # What recovery does comes late, mostly after everything else has healed.
        spared = self.healed and not point.startswith(("undo.", "settle.rec", "send.rec"))
        if spared or self.seen[point] not in occurrences:
            return False
        self.hits["crash"] += 1
        self.hits[f"crash {point}"] += 1
        return True


# Points that few payments pass, with faults that lead there.
LEADS_TO: dict[str, dict[str, float]] = {
    "undo": {"timeout_before": 0.25, "webhook_lost": 0.1, "reset_after": 0.1},
    "config": {"config_push": 0.25},
    "settle.recovery": {"timeout_after": 0.25},
    "send.recovery": {"timeout_after": 0.1, "reset_before": 0.1},
    "answer": {"store_slow": 0.25},
    "cascade": {"rate_limited": 0.1},
}
_OFTEN = 0.25
_RARELY = 0.06
# What happens a few times in a world, or once in each life of a process.
_SELDOM = ("undo", "config", "fence", "save")


def draw(random: Random, also: Sequence[str] = ()) -> Plan:
    """A world's faults.

    Args:
        random: the seed's.
        also: families that this world has besides, and often.
    """
    count = random.randint(3, 9)
    chosen = random.sample(COMMON, count)
    families = {one: random.choice((0.02, 0.05, 0.1, 0.25)) for one in chosen}
    crashes: dict[str, set[int]] = {}
    if "crash" in families or random.random() < 0.7:
        families.setdefault("crash", 0.0)
        for point in random.sample(POINTS, random.randint(1, 6)):
            seldom = point.startswith(_SELDOM)
            first = random.choice((1, 1, 2) if seldom else (1, 1, 2, 3, 5, 8))
            crashes[point] = {first, first + random.randint(1, 3 if seldom else 20)}
            for lead, faults in LEADS_TO.items():
                if point.startswith(lead):
                    families = faults | families
    if "webhook_forged" in families:
        # Most lies are harmless even if believed, so it takes many of them.
        families["webhook_forged"] = 0.5
    for one in RARE:
        if random.random() < _RARELY:
            families[one] = random.choice((0.02, 0.1))
    families |= dict.fromkeys(also, _OFTEN)
    if "clock_far" in families:
        # Of a step that was not noted when the process died, the next one cannot know.
        for one in ("store_slow", "store_refuses", "store_outage"):
            families.pop(one, None)
    return Plan(families, crashes)
