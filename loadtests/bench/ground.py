"""A Turnout to measure, on free ports, in a directory that goes away with it."""

from __future__ import annotations

import contextlib
import itertools
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import grpc

from loadtests.bench.load import Job
from loadtests.bench.messages import Bodies, authorize_request
from loadtests.bench.parts import Part, await_http, control, cores, running
from loadtests.references import spelled
from turnout import v1
from turnout.cli.playground import free_ports, write_playground
from turnout.config import Settings

AUTHORIZE = "/turnout.v1.PaymentService/AuthorizePayment"
AUTHORIZE_STREAM = "/turnout.v1.PaymentService/AuthorizeStream"
GET = "/turnout.v1.PaymentService/GetPayment"
CAPTURE = "/turnout.v1.PaymentService/CapturePayment"
REFUND = "/turnout.v1.RefundService/CreateRefund"
AUTHORIZE_JSON = "/v1/payments:authorize"

# A profile for each provider, so that a figure is about one of them.
_PROFILES = """
[[profiles]]
id = "pro_adyen"
merchant = "mer_demo"
scheme_rules_in_test = false
tiers = [["acc_adyen_main"]]

[[profiles]]
id = "pro_stripe"
merchant = "mer_demo"
scheme_rules_in_test = false
tiers = [["acc_stripe_main"]]
"""

# Under valgrind and among busy neighbours a start takes its minute.
_START_LIMIT_S = 120.0

_salts = itertools.count(int.from_bytes(os.urandom(3), "little"))


def salt() -> str:
    """A beginning of references that no other run uses; 13 characters."""
    return spelled(f"bench{next(_salts):08x}")


class Ground:
    """One configuration, and what runs of it.

    Attributes:
        server, echo: the processes, once they run.
        ready_s: how long the server took from its start to ready.
        under: a tool's command line to run a part under, by the part's name.
    """

    def __init__(self, room: Path, more: str = "", timeout_ms: int = 5_000) -> None:
        self.room = room
        self.under: dict[str, list[str]] = {}
        self.settings: Settings = write_playground(
            room, timeout_ms=timeout_ms, more=_PROFILES + more
        )
        self.key = (room / "var/secrets/test_api_key").read_text("ascii").strip()
        self.server: Part
        self.echo: Part
        self.edge: Part
        self.ready_s = 0.0
        self.echo_port = free_ports(1)[0]
        self._stack = contextlib.ExitStack()
        self._server_cores, self.load_cores = cores()

    def __enter__(self) -> Ground:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def config(self) -> str:
        """The configuration's file."""
        return str(self.settings.path)

    # --- processes -----------------------------------------------------------------------

    def start_instant(
        self, delay_ms: float = 0.0, times: str = "", environ: Mapping[str, str] = {}
    ) -> None:
        """Starts the server with a provider inside that answers at once, or after a time.

        Args:
            delay_ms: how long the provider takes.
            times: file for the store's times on the event loop, written at the end.
            environ: options of the server, such as `TURNOUT_SERVER__MAX_CONCURRENT_RPCS`.
        """
        arguments = ["loadtests.bench.serve_instant", self.config, str(delay_ms)]
        self._start_server([*arguments, times] if times else arguments, environ)

    def start_real(self) -> None:
        """Starts the sandbox and the server with the real connectors."""
        self._start("sandbox", ["turnout", "sandbox", "--config", self.config], self.load_cores)
        port = self.settings.sandbox.control_port
        await_http(self.sandbox, port, "/_control/health")
        # Webhooks are another road and another cost; they stay where they are.
        control(port, "PUT", "webhooks", {"preset": "held"})
        self._start_server(["turnout", "serve", "--config", self.config])

    def start_edge(self, environ: Mapping[str, str] = {}) -> None:
        """Starts Envoy in front of the server."""
        arguments = ["turnout", "edge", "--config", self.config]
        quiet = {"TURNOUT_EDGE__ACCESS_LOG_PATH": "/dev/null", **environ}
        self.edge = self._start("edge", arguments, self.load_cores, quiet)
        await_http(self.edge, self.settings.edge.port, "/readyz")

    def start_echo(self, answer: v1.Payment) -> None:
        """Starts the bare server, on the same core."""
        raw = answer.SerializeToString().hex()
        arguments = ["loadtests.bench.echo", str(self.echo_port), raw]
        self.echo = self._start("echo", arguments, self._server_cores)
        with self.channel(self.echo_port) as channel:
            grpc.channel_ready_future(channel).result(timeout=_START_LIMIT_S)

    def _start_server(self, arguments: list[str], environ: Mapping[str, str] = {}) -> None:
        self.server = self._start("serve", arguments, self._server_cores, environ)
        self.ready_s = await_http(self.server, self.settings.operations.port, "/readyz")

    def _start(
        self, name: str, arguments: list[str], on: set[int], environ: Mapping[str, str] = {}
    ) -> Part:
        under = self.under.get(name, ())
        part = self._stack.enter_context(running(name, arguments, on, self.room, environ, under))
        if name == "sandbox":
            self.sandbox = part
        return part

    # --- calls ---------------------------------------------------------------------------

    def channel(self, port: int) -> grpc.Channel:
        """A channel of its own to a port on loopback."""
        return grpc.insecure_channel(f"127.0.0.1:{port}")

    def metadata(self, key: str) -> tuple[tuple[str, str], ...]:
        """What a caller says."""
        return (("authorization", f"Bearer {self.key}"), ("idempotency-key", key))

    def payment(self, profile: str = "") -> v1.Payment:
        """One authorization: a token to pay with again, and an answer for the echo."""
        request = authorize_request(0, profile=profile)
        request.merchant_reference = reference = f"{salt()}-first-pays"
        with self.channel(self.settings.server.port) as channel:
            answer: v1.Payment = v1.PaymentServiceStub(channel).AuthorizePayment(
                request, metadata=self.metadata(reference), timeout=30
            )
        return answer

    def job(self, path: str, bodies: Bodies, *, port: int = 0, as_json: bool = False) -> Job:
        """A job for the load client; how to call is up to the caller."""
        headers = {":path": path, ":authority": "127.0.0.1", "user-agent": "turnout-bench"}
        headers["authorization"] = f"Bearer {self.key}"
        if as_json:
            headers["content-type"] = "application/json"
        else:
            headers |= {"content-type": "application/grpc", "te": "trailers"}
        job = Job("127.0.0.1", port or self.settings.server.port, headers, bodies, salt=salt())
        if path == AUTHORIZE_STREAM:
            job.streamed, job.connections = True, 1
        elif not as_json:
            headers["grpc-timeout"] = "30S"
        return job


@contextlib.contextmanager
def ground(more: str = "", timeout_ms: int = 5_000) -> Iterator[Ground]:
    """A Ground in a temporary directory."""
    with (
        tempfile.TemporaryDirectory(prefix="turnout-bench-") as room,
        Ground(Path(room), more, timeout_ms) as one,
    ):
        yield one
