"""Closed loops: how many calls a second, and how much of the server's CPU each takes.

Subjects are measured in turn within each round, and ratios are made within a round, so what else
the machine does at that time is in both parts of a ratio. CPU time per call is told beside: it
moves far less with a busy machine than calls a second do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from loadtests.bench.figures import Figure, figure
from loadtests.bench.ground import (
    AUTHORIZE,
    AUTHORIZE_JSON,
    AUTHORIZE_STREAM,
    CAPTURE,
    GET,
    REFUND,
    Ground,
    ground,
    salt,
)
from loadtests.bench.load import Job
from loadtests.bench.messages import (
    authorize_bodies,
    capture_bodies,
    get_bodies,
    refund_bodies,
)
from loadtests.bench.parts import Part, Seen, put_load
from loadtests.bench.stats import median, spread

IN_FLIGHT = 64
# A sandbox in Python on the load's core has less to give than a server; more in flight at it would
# only queue there.
_IN_FLIGHT_SANDBOX = 48
_FOLLOW_UPS = 1_500
# By instructions; docs/performance.md says where they go, and `make bench-steps` counts them.
_WHY = (
    "Python takes two and a half times what the bare call does, a payment's rows in SQLite twice"
)
# Payments share commits, so more of them at once cost less each.
_CROWD = 256


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to measure."""

    runs: int = 5
    seconds: float = 3.0


@dataclass(slots=True)
class Runs:
    """What the rounds of one subject showed."""

    per_s: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    client: list[float] = field(default_factory=list)

    def add(self, seen: Seen) -> None:
        """Keeps a round."""
        self.per_s.append(seen.per_s)
        self.cpu_us.append(seen.cpu_us[0])
        self.client.append(seen.client_most_per_s)


def ratio(part: Runs, whole: Runs) -> float:
    """Calls a second of one in those of another, by rounds."""
    return median([a / b for a, b in zip(part.per_s, whole.per_s, strict=True)])


def cpu_ratio(part: Runs, whole: Runs) -> float:
    """The same by CPU time: what the ratio of throughputs is where nothing disturbs."""
    return median([b / a for a, b in zip(part.cpu_us, whole.cpu_us, strict=True)])


def closed(job: Job, part: Part, plan: Plan, in_flight: int = IN_FLIGHT) -> Job:
    """A closed loop that watches the server's CPU."""
    job.in_flight, job.seconds, job.watch_pids = in_flight, plan.seconds, [part.pid]
    return job


def rounds(subjects: Mapping[str, Callable[[], Seen]], plan: Plan) -> dict[str, Runs]:
    """Measures all subjects in turn, several times; forwards and backwards, so none is first."""
    found = {name: Runs() for name in subjects}
    order = list(subjects)
    for number in range(plan.runs):
        for name in order if number % 2 == 0 else reversed(order):
            found[name].add(subjects[name]())
    return found


def _told(name: str, letter: str, runs: Runs, echo: Runs, goal: str | None) -> list[Figure]:
    many = len(runs.per_s)
    scatter = f"medians of {many}, scatter {spread(runs.per_s):.0%}"
    return [
        figure(
            f"{name}_ratio",
            ratio(runs, echo),
            "ratio",
            f"({letter}) to (a); {scatter}",
            goal,
            _WHY,
        ),
        figure(f"{name}_cpu_ratio", cpu_ratio(runs, echo), "ratio", "the same by CPU per call"),
        figure(f"{name}_cpu_us", median(runs.cpu_us), "us", "server's CPU per call"),
        figure(f"{name}_per_s", median(runs.per_s), "1/s", "this machine, now"),
    ]


class _FollowUps:
    """Captures of payments that were authorized for it, and refunds of those captures."""

    def __init__(self, one: Ground, plan: Plan) -> None:
        self._one = one
        self._plan = plan
        self._ids = str(one.room / "ids")

    def _each(self, path: str, bodies: list[tuple[str, str]]) -> Seen:
        job = closed(self._one.job(path, bodies), self._one.server, self._plan)
        job.references, job.warm_s, job.seconds = self._ids, 0.0, 60.0
        return put_load(job, self._one.load_cores)

    def capture(self) -> Seen:
        """Authorizes anew, then captures each."""
        job = self._one.job(AUTHORIZE, authorize_bodies(manual=True))
        job.in_flight, job.count, job.keep_ids, job.seconds = IN_FLIGHT, _FOLLOW_UPS, self._ids, 60
        put_load(job, self._one.load_cores)
        return self._each(CAPTURE, capture_bodies())

    def refund(self) -> Seen:
        """Refunds each of those captured just before."""
        return self._each(REFUND, refund_bodies())


def instant(plan: Plan) -> list[Figure]:
    """(a), (b), (e), (f): nothing but Turnout and the bare server."""
    with ground() as one:
        one.start_instant()
        first = one.payment()
        one.start_echo(first)
        token = first.payment_method.token_id
        ids = one.room / "one_id"
        ids.write_text(first.payment_id, "ascii")

        def call(
            path: str,
            bodies: list[tuple[str, str]],
            echo: bool = False,
            in_flight: int = IN_FLIGHT,
        ) -> Seen:
            job = one.job(path, bodies, port=one.echo_port if echo else 0)
            if path == GET:
                job.references, job.cycle, job.keyed = str(ids), True, False
            job.salt = salt()
            return put_load(
                closed(job, one.echo if echo else one.server, plan, in_flight), one.load_cores
            )

        follow_ups = _FollowUps(one, plan)
        found = rounds(
            {
                "echo": lambda: call(AUTHORIZE, authorize_bodies(), echo=True),
                "authorize_raw": lambda: call(AUTHORIZE, authorize_bodies()),
                "authorize_token": lambda: call(AUTHORIZE, authorize_bodies(token=token)),
                "authorize_crowd": lambda: call(AUTHORIZE, authorize_bodies(), in_flight=_CROWD),
                "get": lambda: call(GET, get_bodies()),
            },
            plan,
        )
        pairs = {"capture": Runs(), "refund": Runs()}
        for _ in range(plan.runs):
            pairs["capture"].add(follow_ups.capture())
            pairs["refund"].add(follow_ups.refund())
    echo = found.pop("echo")
    figures = [
        figure("echo_per_s", median(echo.per_s), "1/s", "(a); this machine, now"),
        figure("echo_cpu_us", median(echo.cpu_us), "us", "(a); server's CPU per call"),
        figure("client_most_per_s", median(echo.client), "1/s", "the load client's own ceiling"),
    ]
    goals = {"authorize_raw": ">= 0.60", "authorize_token": ">= 0.60"}
    letters = {
        "authorize_raw": "b",
        "authorize_token": "b",
        "authorize_crowd": f"b, {_CROWD} in flight",
        "get": "e",
    }
    for name, runs in found.items():
        figures += _told(name, letters[name], runs, echo, goals.get(name))
    for name, runs in pairs.items():
        figures += _told(name, "f", runs, echo, None)
    return figures


def stream(plan: Plan) -> list[Figure]:
    """Raw cards on one AuthorizeStream, against as many calls of their own."""
    with ground() as one:
        one.start_instant()
        one.payment()

        def call(path: str, in_flight: int) -> Seen:
            job = closed(one.job(path, authorize_bodies()), one.server, plan, in_flight)
            return put_load(job, one.load_cores)

        kinds = {"call": AUTHORIZE, "stream": AUTHORIZE_STREAM}
        found = rounds(
            {
                f"{kind}_{in_flight}": partial(call, path, in_flight)
                for in_flight in (IN_FLIGHT, _CROWD)
                for kind, path in kinds.items()
            },
            plan,
        )
    figures = []
    for in_flight in (IN_FLIGHT, _CROWD):
        streamed, called = found[f"stream_{in_flight}"], found[f"call_{in_flight}"]
        name, how = f"stream_{in_flight}", f"{in_flight} in flight, to (b) with as many"
        figures += [
            figure(f"{name}_to_calls", ratio(streamed, called), "ratio", how),
            figure(
                f"{name}_cpu_to_calls", cpu_ratio(streamed, called), "ratio", "the same by CPU"
            ),
            figure(f"{name}_cpu_us", median(streamed.cpu_us), "us", "server's CPU per payment"),
            figure(f"{name}_per_s", median(streamed.per_s), "1/s", "this machine, now"),
        ]
    return figures


def providers(plan: Plan) -> list[Figure]:
    """(c): real connectors and the sandbox's providers over HTTP, webhooks held back."""
    with ground() as one:
        one.start_real()
        one.start_echo(one.payment("pro_adyen"))

        def call(profile: str) -> Seen:
            if not profile:
                job = one.job(AUTHORIZE, authorize_bodies(), port=one.echo_port)
                return put_load(closed(job, one.echo, plan), one.load_cores)
            job = one.job(AUTHORIZE, authorize_bodies(profile=profile))
            return put_load(closed(job, one.server, plan, _IN_FLIGHT_SANDBOX), one.load_cores)

        found = rounds(
            {
                "echo": lambda: call(""),
                "adyen": lambda: call("pro_adyen"),
                "stripe": lambda: call("pro_stripe"),
            },
            plan,
        )
    echo = found["echo"]
    return [
        *_told("adyen", "c", found["adyen"], echo, ">= 0.40"),
        *_told("stripe", "c, two round trips", found["stripe"], echo, None),
    ]


def edge(plan: Plan) -> list[Figure]:
    """(d): through Envoy, as gRPC and as JSON."""
    with ground() as one:
        one.start_instant()
        one.start_echo(one.payment())
        one.start_edge()
        port = one.settings.edge.port

        def call(subject: str) -> Seen:
            as_json = subject == "json"
            to = {"echo": one.echo_port, "direct": 0}.get(subject, port)
            path = AUTHORIZE_JSON if as_json else AUTHORIZE
            job = one.job(path, authorize_bodies(as_json=as_json), port=to, as_json=as_json)
            part = one.echo if subject == "echo" else one.server
            return put_load(closed(job, part, plan), one.load_cores)

        names = ("echo", "direct", "grpc", "json")
        found = rounds({name: partial(call, name) for name in names}, plan)
    echo, direct = found["echo"], found["direct"]
    return [
        *_told("edge_grpc", "d, gRPC", found["grpc"], echo, None),
        *_told("edge_json", "d, JSON", found["json"], echo, None),
        figure("edge_grpc_to_direct", ratio(found["grpc"], direct), "ratio", "(d, gRPC) to (b)"),
        figure("edge_json_to_direct", ratio(found["json"], direct), "ratio", "(d, JSON) to (b)"),
    ]
