"""Open loops: what Turnout adds to a call's latency, slow providers, and overload.

A call's latency counts from when it was meant to leave. Rates are shares of what closed loops
reached a moment before on the same machine, so that "half load" is half load here and now.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from pathlib import Path

from loadtests.bench.figures import Figure, figure
from loadtests.bench.ground import AUTHORIZE, AUTHORIZE_JSON, Ground, ground
from loadtests.bench.messages import authorize_bodies
from loadtests.bench.parts import Seen, put_load
from loadtests.bench.stats import median
from loadtests.bench.throughput import Plan, closed

# RESOURCE_EXHAUSTED and UNAVAILABLE: what says "not now, and nothing was done".
_SHED = frozenset({"8", "14"})
_ANY = tuple(str(status) for status in range(1, 17))
_LADDER = (16, 32, 64, 128, 256, 512)
_SATURATED = 0.95
# What the edge is told to let through, of what the server did at saturation: the rest is room for
# Envoy, which takes a core from the load here, and for other calls than authorizations.
_EDGE_SHARE = 0.92
_SLOW_MS = 4_000
_SLOW_RATE = 500.0
# Room for the 2,000 in flight that the goal speaks of, and some.
_SLOW_SETTINGS = {"TURNOUT_SERVER__MAX_CONCURRENT_RPCS": "8000"}


def open_loop(
    one: Ground, rate: float, seconds: float, *, port: int = 0, as_json: bool = False
) -> Seen:
    """Authorizations at a fixed rate."""
    path = AUTHORIZE_JSON if as_json else AUTHORIZE
    job = one.job(path, authorize_bodies(as_json=as_json), port=port, as_json=as_json)
    job.rate, job.seconds, job.warm_s = rate, seconds, 1.0
    return put_load(job, one.load_cores)


def saturation(one: Ground, plan: Plan, *, port: int = 0, as_json: bool = False) -> Seen:
    """The closed loop that fills the server."""
    path = AUTHORIZE_JSON if as_json else AUTHORIZE
    job = one.job(path, authorize_bodies(as_json=as_json), port=port, as_json=as_json)
    return put_load(closed(job, one.server, plan), one.load_cores)


def climb(one: Ground, plan: Plan) -> tuple[int, Seen]:
    """Saturation: the fewest calls in flight that reach 95 percent of the best rate.

    More in flight share more commits, so the best rate is not where latency begins to rise.
    """
    steps = {}
    for in_flight in _LADDER:
        job = one.job(AUTHORIZE, authorize_bodies())
        steps[in_flight] = put_load(closed(job, one.server, plan, in_flight), one.load_cores)
    best = max(seen.per_s for seen in steps.values())
    return next((n, seen) for n, seen in steps.items() if seen.per_s >= _SATURATED * best)


def added(plan: Plan) -> list[Figure]:
    """(b) over (a), and Envoy over (b), at half of (b)'s saturation."""
    differences: dict[str, list[float]] = {}
    with ground() as one:
        one.start_instant()
        one.start_echo(one.payment())
        one.start_edge()
        edge = one.settings.edge.port
        rate = median([saturation(one, plan).per_s for _ in range(3)]) / 2
        for _ in range(plan.runs):
            bare = open_loop(one, rate, plan.seconds, port=one.echo_port).latency_ms
            direct = open_loop(one, rate, plan.seconds).latency_ms
            through = open_loop(one, rate, plan.seconds, port=edge).latency_ms
            as_json = open_loop(one, rate, plan.seconds, port=edge, as_json=True).latency_ms
            for share in ("p50", "p99"):
                for name, upper, lower in (
                    ("added", direct, bare),
                    ("edge_grpc_added", through, direct),
                    ("edge_json_added", as_json, direct),
                ):
                    differences.setdefault(f"{name}_{share}_ms", []).append(
                        upper[share] - lower[share]
                    )
    goals = {
        "added_p50_ms": "<= 2",
        "added_p99_ms": "<= 8",
        "edge_grpc_added_p50_ms": "< 1",
        "edge_grpc_added_p99_ms": "< 3",
    }
    how = f"open loop at {rate:.0f}/s, half of (b)'s saturation; median of {plan.runs}"
    why = "at saturation payments share commits, at half of it hardly, and cost twice as much each"
    return [
        figure(name, median(values), "ms", how, goals.get(name), why * name.startswith("added"))
        for name, values in differences.items()
    ]


def slow(plan: Plan) -> list[Figure]:
    """Providers that take 4 s, 500 payments a second: 2,000 in flight all the time."""
    with ground(timeout_ms=20_000) as one:
        one.start_instant(_SLOW_MS, environ=_SLOW_SETTINGS)
        job = one.job(AUTHORIZE, authorize_bodies())
        job.rate, job.warm_s, job.drain_s = _SLOW_RATE, 6.0, 20.0
        job.seconds = max(plan.seconds, 6.0)
        job.watch_pids = [one.server.pid]
        seen = put_load(job, one.load_cores)
    how = f"beyond the provider's {_SLOW_MS} ms; {_SLOW_RATE:.0f}/s, 2,000 in flight"
    why = f"the core was busy for {_SLOW_RATE * seen.cpu_us[0] / 1e6:.0%} of the time"
    return [
        figure("slow_added_p50_ms", seen.latency_ms["p50"] - _SLOW_MS, "ms", how),
        figure("slow_added_p99_ms", seen.latency_ms["p99"] - _SLOW_MS, "ms", how, "<= 15", why),
        figure("slow_cpu_us", seen.cpu_us[0], "us", "server's CPU per call"),
    ]


def _lost(record: Path, ids: Path) -> int:
    """How many of these payments the record does not have."""
    connection = sqlite3.connect(f"file:{record}?mode=ro", uri=True)
    try:
        known = {row[0] for row in connection.execute("SELECT payment_id FROM payments")}
    finally:
        connection.close()
    return sum(1 for one in ids.read_text("ascii").split() if one not in known)


def overload(plan: Plan) -> list[Figure]:
    """Three times what fills it: by concurrency sent directly, by rate through Envoy."""
    with ground() as one:
        one.start_instant()
        ids, edge_ids = one.room / "accepted", one.room / "accepted_edge"
        in_flight, full = climb(one, plan)

        def direct(times: int) -> Seen:
            job = closed(one.job(AUTHORIZE, authorize_bodies()), one.server, plan)
            job.in_flight, job.keep_ids = times * in_flight, str(ids)
            return put_load(job, one.load_cores, allow=_ANY)

        # Turn about, because a busy neighbour comes and goes.
        pairs = [(direct(1), direct(3)) for _ in range(plan.runs)]
        lost = _lost(one.settings.store.path, ids)
        peak = median([seen.per_s for seen, _ in pairs])
        # As an operator would: what the bench saw the server do, less a little.
        allowed = int(_EDGE_SHARE * peak)
        one.start_edge({"TURNOUT_EDGE__AUTHORIZATIONS_PER_S": str(allowed)})
        job = one.job(AUTHORIZE, authorize_bodies(), port=one.settings.edge.port)
        p99_ms = median([seen.latency_ms["p99"] for seen, _ in pairs])
        job.rate, job.seconds, job.drain_s = 3 * peak, 2 * plan.seconds, 40.0
        job.keep_ids = str(edge_ids)
        through = put_load(job, one.load_cores, allow=_ANY)
        lost += _lost(one.settings.store.path, edge_ids)
    goodput = median([three.per_s / one_.per_s for one_, three in pairs])
    p99 = median([three.latency_ms["p99"] / one_.latency_ms["p99"] for one_, three in pairs])
    wrong: Counter[str] = Counter()
    for seen in (*(seen for pair in pairs for seen in pair), through):
        wrong.update({code: n for code, n in seen.statuses.items() if code not in _SHED | {"0"}})
    shed = 1 - through.good / max(through.calls, 1)
    refused = f"{shed:.0%} shed, in {through.refusal_ms.get('p50', 0.0):.1f} ms at p50"
    edge_p99 = through.latency_ms.get("p99", 0.0) / p99_ms
    several = f"{3 * in_flight} in flight"
    rate = f"{3 * peak:.0f}/s at Envoy, which lets {allowed}/s through"
    return [
        figure("saturated_in_flight", in_flight, "calls", "fewest with 95% of the best rate"),
        figure("saturated_per_s", max(peak, full.per_s), "1/s", f"{in_flight} in flight"),
        figure("saturated_p99_ms", p99_ms, "ms", f"{in_flight} in flight"),
        figure("overload_goodput", goodput, "ratio", several, ">= 0.90"),
        figure("overload_p99", p99, "ratio", f"to saturation's; {several}", "<= 4"),
        figure("overload_edge_goodput", through.per_s / peak, "ratio", rate, ">= 0.90"),
        figure("overload_edge_p99", edge_p99, "ratio", f"accepted calls; {refused}", "<= 4"),
        figure("overload_lost", lost, "payments", "accepted and not in the record", "== 0"),
        figure(
            "overload_wrong_statuses",
            wrong.total(),
            "calls",
            f"neither OK nor shed: {dict(wrong) or 'none'}",
            "== 0",
        ),
        figure("overload_unanswered", through.unanswered, "calls", "within 40 s", "== 0"),
    ]


def startup(plan: Plan) -> list[Figure]:
    """From the process's start to /readyz, with a configuration that was used before."""
    took = []
    for number in range(min(plan.runs, 3) + 1):
        with ground() as one:
            one.start_instant()
            if number:  # The first start also reads the disk.
                took.append(one.ready_s)
    how = f"process start to /readyz; median of {len(took)}"
    return [figure("ready_s", median(took), "s", how, "< 1.5")]
