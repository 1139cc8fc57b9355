"""Which stage of an authorization a sampled stack belongs to.

A sample counts for the innermost frame that names a stage, so a stage is told without those that
it calls. What Python runs below no frame of ours is the event loop's and gRPC's own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

LOOP = "event loop and gRPC"

# First match wins; matched against `function (file)`.
_STAGES: tuple[tuple[str, str], ...] = (
    (r"bench/instant\.py|turnout/connectors/", "connector"),
    (r"turnout/vault/|stores/sqlite/vault\.py|open_token", "vault"),
    (r"stores/sqlite/units\.py|stores/shapes\.py", "store: encode units"),
    (r"stores/sqlite/writer\.py|SqliteStore\.commit ", "store: submit, finish"),
    (r"stores/", "store: reads on the loop"),
    (r"turnout/routing/|orchestration/routes\.py", "decide (routing)"),
    (r"server/encode\.py", "encode the answer"),
    (r"server/decode\.py|server/wire\.py", "decode the request"),
    (r"turnout/telemetry/metrics|prometheus_client", "metrics"),
    (r"turnout/telemetry/|logging/", "log lines"),
    (r"turnout/app/watch\.py", "metrics"),
    (r"turnout/server/", "face: key, headers, ends"),
    (r"orchestration/idempotency\.py", "claims (runs, tasks)"),
    (r"orchestration/(validate|glance|limits|admission)\.py", "validate"),
    (
        r"orchestration/(settle|change|mint)\.py",
        "settle, units, ids",
    ),
    (r"turnout/domain/", "domain"),
    (r"orchestration/", "orchestration: cascade, parts"),
)
_COMPILED = [(re.compile(pattern), stage) for pattern, stage in _STAGES]
# A domain function is its caller's work: money, ids, state moves.
_PASS = frozenset({"domain"})


def stage_of(frames: Iterable[str]) -> str:
    """The stage of one stack.

    Args:
        frames: `function (file)`, the outermost first.
    """
    for one in reversed(list(frames)):
        for pattern, stage in _COMPILED:
            if pattern.search(one):
                if stage in _PASS:
                    break
                return stage
    return LOOP


def shares(lines: Iterable[str], thread: str) -> dict[str, float]:
    """Shares of one thread's samples by stage, the largest first.

    Args:
        lines: collapsed stacks as py-spy writes them: `thread (id): name;frame;frame count`.
        thread: the thread's name.
    """
    counts: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.rstrip().rpartition(" ")
        name, *frames = stack.split(";")
        if name.endswith(f": {thread}"):
            counts[stage_of(frames)] += int(count)
    total = sum(counts.values())
    return {stage: count / total for stage, count in counts.most_common()}
