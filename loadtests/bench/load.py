"""The load client: one process that calls, in a closed or an open loop, and tells what it saw.

    python -m loadtests.bench.load < job.json > result.json

Closed: so many calls in flight, each answer sends the next; for throughput. Open: calls leave at
a fixed rate whether or not answers come, and a call's latency counts from when it was MEANT to
leave, so a server (or this client) that stalls cannot hide the calls that it kept waiting.

Bodies are prepared bytes around one reference of constant length, which is the idempotency key
too. One thread, plain sockets and select(), whose timeout is exact to the microsecond.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time
from array import array
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from loadtests.bench.stats import due, intended_ns, quantile
from loadtests.bench.wire import Connection, OneStream
from loadtests.references import spelled

_READ_BYTES = 1 << 18
# Longest sleep while something is under way, so that the end is noticed.
_NAP_S = 0.05
# Tells a gRPC message's length in front of it.
_GRPC_PREFIX = 5


@dataclass(slots=True)
class Job:
    """What to do.

    Attributes:
        bodies: pairs of hex, before and after the reference; taken in turn.
        references: file with one reference a line, each used once (or again and again with
            `cycle`); empty makes new ones from `salt`.
        keyed: the reference is sent as idempotency key.
        streamed: the calls of a connection are messages of one AuthorizeStream.
        in_flight: of a closed loop; 0 means open.
        rate: calls a second of an open loop.
        watch_pids: processes whose CPU time is read at both ends of the measured window.
        keep_ids: file for the payment ids of good answers.
        count: stop after so many calls; 0 means by time.
    """

    host: str
    port: int
    headers: dict[str, str]
    bodies: list[tuple[str, str]]
    salt: str = ""
    references: str = ""
    cycle: bool = False
    keyed: bool = True
    streamed: bool = False
    connections: int = 4
    in_flight: int = 0
    rate: float = 0.0
    warm_s: float = 0.5
    seconds: float = 3.0
    drain_s: float = 10.0
    count: int = 0
    watch_pids: list[int] = field(default_factory=list)
    keep_ids: str = ""


def cpu_ns(pid: int) -> int:
    """CPU time of a process with all its threads, since it began; exact to the nanosecond."""
    # The kernel's clock id of another process's CPU time; see clock_getcpuclockid(3).
    return time.clock_gettime_ns((~pid << 3) | 2)


class _Socket:
    """A connection with its socket."""

    def __init__(self, job: Job) -> None:
        self.sock = socket.create_connection((job.host, job.port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        self.wire = (
            OneStream(job.headers)
            if job.streamed
            else Connection(job.headers, "idempotency-key" if job.keyed else "")
        )
        self.waiting: deque[tuple[int, str, bytes]] = deque()

    def fileno(self) -> int:
        return self.sock.fileno()

    def put(self, number_ns: int, reference: str, body: bytes) -> None:
        """Calls, or keeps the call until the server allows it."""
        if self.waiting or not self.wire.can_call(len(body)):
            self.waiting.append((number_ns, reference, body))
        else:
            self.wire.call(number_ns, body, reference)

    def flush(self) -> None:
        """Sends what can be sent."""
        wire = self.wire
        while self.waiting and wire.can_call(len(self.waiting[0][2])):
            number_ns, reference, body = self.waiting.popleft()
            wire.call(number_ns, body, reference)
        if wire.out:
            try:
                del wire.out[: self.sock.send(wire.out)]
            except BlockingIOError:
                return

    def read(self) -> None:
        """Takes what has come."""
        try:
            data = self.sock.recv(_READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            raise ConnectionError("the server closed the connection")
        self.wire.received(data)


class Client:
    """Carries out one job."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.sent = 0
        self.finished = 0
        self.statuses: Counter[int] = Counter()
        self.latencies = array("Q")
        self.refusals = array("Q")
        self.ids: list[str] = []
        self._bodies = [(bytes.fromhex(a), bytes.fromhex(b)) for a, b in job.bodies]
        self._grpc = job.headers["content-type"].startswith("application/grpc")
        self._references: list[str] = []
        if job.references:
            with open(job.references, encoding="ascii") as file:
                self._references = file.read().split()
        self._sockets = [_Socket(job) for _ in range(job.connections)]
        self._from_ns = 0
        self._to_ns = 0
        self._in_window = 0
        self._first_bad = ""
        self._cpu_before: list[int] = []

    # --- calls ---------------------------------------------------------------------------

    def _more(self) -> bool:
        job = self.job
        if job.count and self.sent >= job.count:
            return False
        return job.cycle or not self._references or self.sent < len(self._references)

    def _send(self, to: _Socket, meant_ns: int) -> None:
        number = self.sent
        self.sent += 1
        if self._references:
            reference = self._references[number % len(self._references)]
        else:
            reference = f"{self.job.salt}-{spelled(f'{number:010d}')}"
        before, after = self._bodies[number % len(self._bodies)]
        body = before + reference.encode() + after
        if self._grpc:
            body = b"\x00" + len(body).to_bytes(4) + body
        to.put(meant_ns, reference, body)

    def _collect(self, of: _Socket, now_ns: int) -> int:
        done, of.wire.done = of.wire.done, []
        good = 0 if self._grpc else 200
        for about, status, answer in done:
            assert isinstance(about, int)
            self.finished += 1
            if self._from_ns <= now_ns < self._to_ns:
                self._in_window += 1
                self.statuses[status] += 1
            if self._from_ns <= about < self._to_ns:
                (self.latencies if status == good else self.refusals).append(now_ns - about)
            if status != good and not self._first_bad:
                self._first_bad = f"{status}: {_readable(answer)}"
            if status == good and self.job.keep_ids:
                self.ids.append(_payment_id(answer))
        return len(done)

    # --- loops ---------------------------------------------------------------------------

    def _turn(self, timeout_s: float) -> list[tuple[_Socket, int]]:
        """Sends, waits, reads; how many calls ended on which connection."""
        for one in self._sockets:
            one.flush()
        blocked = [one for one in self._sockets if one.wire.out]
        readable, writable, _ = select.select(self._sockets, blocked, [], timeout_s)
        ended = []
        for one in readable:
            one.read()
            count = self._collect(one, time.perf_counter_ns())
            if count:
                ended.append((one, count))
        for one in writable:
            one.flush()
        return ended

    def _closed(self, until_ns: int) -> None:
        share = max(1, self.job.in_flight // len(self._sockets))
        now_ns = time.perf_counter_ns()
        for one in self._sockets:
            for _ in range(share):
                if self._more():
                    self._send(one, now_ns)
        while (now_ns := time.perf_counter_ns()) < until_ns:
            for one, count in self._turn(_NAP_S):
                now_ns = time.perf_counter_ns()
                for _ in range(count):
                    if self._more():
                        self._send(one, now_ns)
            if self.finished == self.sent and not self._more():
                return
            self._mark(now_ns)

    def _open(self, until_ns: int) -> None:
        rate, sockets = self.job.rate, self._sockets
        began_ns = time.perf_counter_ns()
        while (now_ns := time.perf_counter_ns()) < until_ns:
            while self.sent < due(began_ns, now_ns, rate) and self._more():
                number = self.sent
                self._send(sockets[number % len(sockets)], intended_ns(began_ns, number, rate))
            next_s = (intended_ns(began_ns, self.sent, rate) - time.perf_counter_ns()) / 1e9
            self._turn(min(max(next_s, 0.0), _NAP_S))
            self._mark(now_ns)
            if not self._more() and self.finished == self.sent:
                return

    def _mark(self, now_ns: int) -> None:
        if not self._cpu_before and now_ns >= self._from_ns:
            self._cpu_before = self._cpu()
            self._marked_ns = now_ns

    def _cpu(self) -> list[int]:
        return [cpu_ns(os.getpid()), *(cpu_ns(pid) for pid in self.job.watch_pids)]

    def run(self) -> dict[str, Any]:
        """Carries the job out."""
        job = self.job
        began_ns = time.perf_counter_ns()
        self._from_ns = self._marked_ns = began_ns + int(job.warm_s * 1e9)
        self._to_ns = self._from_ns + int(job.seconds * 1e9)
        (self._closed if job.in_flight else self._open)(self._to_ns)
        ended_ns = min(time.perf_counter_ns(), self._to_ns)
        cpu = [now - before for now, before in zip(self._cpu(), self._cpu_before, strict=True)]
        give_up_ns = time.perf_counter_ns() + int(job.drain_s * 1e9)
        while self.finished < self.sent and time.perf_counter_ns() < give_up_ns:
            self._turn(_NAP_S)
        if job.keep_ids:
            with open(job.keep_ids, "w", encoding="ascii") as file:
                file.write("\n".join(self.ids))
        return self._result((ended_ns - self._from_ns) / 1e9, cpu)

    def _result(self, seconds: float, cpu: list[int]) -> dict[str, Any]:
        good = self.statuses[0 if self._grpc else 200]
        return {
            "sent": self.sent,
            "unanswered": self.sent - self.finished,
            "seconds": seconds,
            "calls": self._in_window,
            "good": good,
            "statuses": {str(status): count for status, count in self.statuses.items()},
            "per_s": good / seconds,
            "all_per_s": self._in_window / seconds,
            "latency_ms": _quantiles(self.latencies),
            "refusal_ms": _quantiles(self.refusals),
            "first_bad": self._first_bad,
            "client_cpu_s": cpu[0] / 1e9,
            "cpu_s": [one / 1e9 for one in cpu[1:]],
        }


def _quantiles(values: array[int]) -> dict[str, float]:
    if not values:
        return {}
    ordered = sorted(values)
    shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999, "max": 1.0}
    return {name: quantile(ordered, share) / 1e6 for name, share in shares.items()}


def _readable(raw: bytes) -> str:
    """What of some bytes is text."""
    return "".join(chr(byte) if 32 <= byte < 127 else " " for byte in raw[:1_000])


def _payment_id(answer: bytes) -> str:
    """The first field of a Payment, in protobuf or in JSON."""
    if answer[:1] == b"{":
        return str(json.loads(answer)["payment_id"])
    size = answer[_GRPC_PREFIX + 1]
    return answer[_GRPC_PREFIX + 2 : _GRPC_PREFIX + 2 + size].decode("ascii")


def main() -> None:
    """Reads a job, carries it out, writes what came of it."""
    job = Job(**json.load(sys.stdin))
    json.dump(Client(job).run(), sys.stdout)


if __name__ == "__main__":
    main()
