"""Merchants and internal services as Locust users; see loadtests/README.md.

    locust -f loadtests/locustfile.py --headless -u 60 -t 2m --shape steady

gRPC users call the server, HTTP users Envoy. API keys come from TURNOUT_LOAD_KEYS (comma between),
one merchant's each.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import time
from argparse import Namespace
from collections.abc import Callable
from typing import Any

# Before any channel, and before anything else of gRPC: it puts gRPC's waiting under gevent.
import grpc.experimental.gevent as grpc_gevent

grpc_gevent.init_gevent()

import grpc  # noqa: E402
from google.protobuf import json_format  # noqa: E402
from locust import FastHttpUser, LoadTestShape, User, between, events, task  # noqa: E402
from locust.env import Environment  # noqa: E402
from locust.runners import MasterRunner, WorkerRunner  # noqa: E402

from loadtests.references import spelled  # noqa: E402
from loadtests.shapes import SHAPES, users_at  # noqa: E402
from loadtests.split import Split, parts_ms  # noqa: E402
from loadtests.summary import Limits, write_summary  # noqa: E402
from loadtests.traffic import Shop  # noqa: E402
from turnout import v1  # noqa: E402

KEYS = [one for one in os.environ.get("TURNOUT_LOAD_KEYS", "").split(",") if one]
SPLIT = Split()
_TIMEOUT_S = 30.0
_numbers = itertools.count(1)
_run = spelled(f"{int(time.time()):x}-{os.getpid()}")


# --- options -------------------------------------------------------------------------------


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def _options(parser: Any) -> None:
    group = parser.add_argument_group("Turnout")
    add = group.add_argument
    add("--grpc-target", default="127.0.0.1:50051", env_var="TURNOUT_LOAD_GRPC")
    add("--edge-url", default="http://127.0.0.1:8080", env_var="TURNOUT_LOAD_EDGE")
    add("--shape", choices=SHAPES, default="steady", env_var="TURNOUT_LOAD_SHAPE")
    add("--seed", type=int, default=1, help="of the mix of calls, cards and amounts")
    add("--summary", default="", help="directory for summary.html and summary.csv")
    add("--fail-ratio", type=float, default=0.001, help="most failed calls, as a share")
    add("--added-p99-ms", type=float, default=0.0, help="highest added p99; 0: no limit")
    add("--total-p99-ms", type=float, default=0.0, help="highest p99 in all; 0: no limit")
    add("--least-per-s", type=float, default=0.0, help="fewest calls a second; 0: no limit")


def _given(environment: Environment) -> Namespace:
    given: Namespace | None = environment.parsed_options
    assert given is not None, "run this file by Locust's command line"
    return given


class Shaped(LoadTestShape):
    """The number of users over time, by --shape, --users and --run-time."""

    use_common_options = True

    def tick(self) -> tuple[int, float] | None:
        """Users now, and how fast to start them."""
        assert self.runner is not None
        given = _given(self.runner.environment)
        duration_s = float(given.run_time or 120)
        users = int(given.num_users or 1)
        elapsed_s: float = self.get_run_time()  # type: ignore[no-untyped-call]
        now = users_at(given.shape, elapsed_s, duration_s, users)
        return None if now is None else (now, max(float(given.spawn_rate or 1), users))


# --- what both kinds of users do -------------------------------------------------------------


def _shop(environment: Environment) -> Shop:
    number = next(_numbers)
    seed: int = _given(environment).seed
    return Shop(random.Random(seed * 1_000_003 + number), f"load-{_run}-{spelled(str(number))}")


def _key() -> str:
    if not KEYS:
        raise SystemExit("TURNOUT_LOAD_KEYS is empty: give one API key a merchant, comma between")
    return KEYS[next(_numbers) % len(KEYS)]


def _split(face: str, total_ms: float, payment: v1.Payment) -> None:
    """Counts an authorization whose attempts have all ended."""
    attempts = [
        (one.started_at.ToNanoseconds() / 1e9, one.ended_at.ToNanoseconds() / 1e9)
        for one in payment.attempts
        if one.HasField("ended_at")
    ]
    if attempts and len(attempts) == len(payment.attempts):
        SPLIT.add(face, total_ms, *parts_ms(total_ms, attempts))


class Merchant:
    """One caller; `call` is the way to its face."""

    def __init__(self, shop: Shop, face: str, call: Callable[..., tuple[Any, float]]) -> None:
        self.shop = shop
        self._face = face
        self._call = call

    def act(self) -> None:
        """One call of the mix. Failures are counted where they happen, and the user goes on."""
        wish = self.shop.next_call()
        getattr(self, f"_{wish}")()

    def _authorize(self) -> None:
        key = self.shop.key()
        asked = self.shop.new_payment(key)
        answer, took_ms = self._call("AuthorizePayment", asked, v1.Payment, key)
        if answer is not None:
            self.shop.answered(key, asked, answer)
            _split(self._face, took_ms, answer)

    def _replay(self) -> None:
        before = self.shop.dice.choice(self.shop.sent)
        answer, _ = self._call(
            "AuthorizePayment", before.request, v1.Payment, before.key, "AuthorizePayment (again)"
        )
        if answer is not None and answer.payment_id != before.payment_id:
            raise AssertionError(f"{before.key} made {answer.payment_id} and {before.payment_id}")

    def _get(self) -> None:
        wanted = self.shop.dice.choice(self.shop.sent).payment_id
        self._call("GetPayment", v1.GetPaymentRequest(payment_id=wanted), v1.Payment)

    def _list(self) -> None:
        asked = v1.ListPaymentsRequest(page_size=20)
        self._call("ListPayments", asked, v1.ListPaymentsResponse)

    def _capture(self) -> None:
        asked = v1.CapturePaymentRequest(payment_id=self.shop.authorized.popleft())
        answer, _ = self._call("CapturePayment", asked, v1.Payment, self.shop.key())
        if answer is not None and answer.status == v1.PAYMENT_STATUS_SUCCEEDED:
            self.shop.captured.append(answer.payment_id)

    def _cancel(self) -> None:
        asked = v1.CancelPaymentRequest(payment_id=self.shop.authorized.popleft())
        self._call("CancelPayment", asked, v1.Payment, self.shop.key())

    def _refund(self) -> None:
        asked = v1.CreateRefundRequest(payment_id=self.shop.captured.popleft())
        self._call("CreateRefund", asked, v1.Refund, self.shop.key())


# --- the two faces ---------------------------------------------------------------------------


class GrpcUser(User):
    """An internal service with generated stubs."""

    weight = 3
    wait_time = between(0.1, 0.5)

    def on_start(self) -> None:
        """Opens a channel of its own."""
        target: str = _given(self.environment).grpc_target
        # Without an own pool, channels to one target share one connection.
        self._channel = grpc.insecure_channel(target, [("grpc.use_local_subchannel_pool", 1)])
        stubs = (v1.PaymentServiceStub(self._channel), v1.RefundServiceStub(self._channel))
        self._methods = {name: getattr(one, name) for one in stubs for name in vars(one)}
        self._authorization = ("authorization", f"Bearer {_key()}")
        self.merchant = Merchant(_shop(self.environment), "grpc", self._call)

    def on_stop(self) -> None:
        """Hangs up."""
        self._channel.close()

    @task
    def act(self) -> None:
        """One call of the mix."""
        self.merchant.act()

    def _call(
        self, rpc: str, asked: Any, _: Any, key: str = "", name: str = ""
    ) -> tuple[Any, float]:
        metadata = [self._authorization]
        if key:
            metadata.append(("idempotency-key", key))
        began = time.perf_counter()
        answer, error = None, None
        try:
            answer = self._methods[rpc](asked, metadata=metadata, timeout=_TIMEOUT_S)
        except grpc.RpcError as failed:
            error = failed
        took_ms = (time.perf_counter() - began) * 1e3
        self.environment.events.request.fire(
            request_type="grpc",
            name=name or rpc,
            response_time=took_ms,
            response_length=0 if answer is None else answer.ByteSize(),
            exception=error,
            context={},
        )
        return answer, took_ms


_PATHS = {
    "AuthorizePayment": ("POST", "/v1/payments:authorize"),
    "GetPayment": ("GET", "/v1/payments/{payment_id}"),
    "ListPayments": ("GET", "/v1/payments?page_size=20"),
    "CapturePayment": ("POST", "/v1/payments/{payment_id}:capture"),
    "CancelPayment": ("POST", "/v1/payments/{payment_id}:cancel"),
    "CreateRefund": ("POST", "/v1/payments/{payment_id}/refunds"),
}


class EdgeUser(FastHttpUser):
    """A merchant's backend that speaks HTTP and JSON through Envoy."""

    weight = 1
    wait_time = between(0.1, 0.5)
    # Set from --edge-url when it starts; Locust wants something here before that.
    host = "http://127.0.0.1:8080"

    def __init__(self, environment: Environment) -> None:
        self.host = _given(environment).edge_url
        super().__init__(environment)

    def on_start(self) -> None:
        """Takes a key."""
        self._authorization = f"Bearer {_key()}"
        self.merchant = Merchant(_shop(self.environment), "http", self._call)

    @task
    def act(self) -> None:
        """One call of the mix."""
        self.merchant.act()

    def _call(
        self, rpc: str, asked: Any, kind: Any, key: str = "", name: str = ""
    ) -> tuple[Any, float]:
        verb, path = _PATHS[rpc]
        fields = json_format.MessageToDict(asked, preserving_proto_field_name=True)
        if "{payment_id}" in path:
            path = path.format(payment_id=fields.pop("payment_id"))
        headers = {"authorization": self._authorization}
        if key:
            headers["idempotency-key"] = key
        began = time.perf_counter()
        with self.client.request(
            verb,
            path,
            name=name or rpc,
            json=fields if verb == "POST" else None,
            headers=headers,
            catch_response=True,
        ) as answer:
            took_ms = (time.perf_counter() - began) * 1e3
            if answer.status_code != 200:
                answer.failure(f"{answer.status_code}: {_reason(answer.text)}")
                return None, took_ms
            answer.success()
            return json_format.Parse(answer.text, kind()), took_ms


def _reason(text: str | None) -> str:
    """The machine's word for an error, so that failures of one cause count together."""
    try:
        body = json.loads(text or "")
        return str(body["details"][0]["reason"])
    except (ValueError, KeyError, IndexError, TypeError):
        return (text or "no answer")[:80]


# --- the end -----------------------------------------------------------------------------


@events.report_to_master.add_listener  # type: ignore[untyped-decorator]
def _to_master(client_id: str, data: dict[str, Any]) -> None:
    data["turnout_split"] = SPLIT.take()


@events.worker_report.add_listener  # type: ignore[untyped-decorator]
def _from_worker(client_id: str, data: dict[str, Any]) -> None:
    SPLIT.merge(data.get("turnout_split", []))


@events.quitting.add_listener  # type: ignore[untyped-decorator]
def _judge(environment: Environment, **_: Any) -> None:
    """Writes the summary, and fails the run where a threshold was passed."""
    runner = environment.runner
    if isinstance(runner, WorkerRunner):
        return
    given = _given(environment)
    limits = Limits(given.fail_ratio, given.added_p99_ms, given.total_p99_ms, given.least_per_s)
    workers = runner.worker_count if isinstance(runner, MasterRunner) else 0
    problems = write_summary(environment.stats, SPLIT, limits, given, workers)
    if problems:
        environment.process_exit_code = 1
