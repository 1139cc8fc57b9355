"""A whole Turnout of its own: a directory, free ports, fresh secrets, simulated providers.

The demo tours one, and the end-to-end tests break many. It is what `turnout up` starts, on other
ports; and it can do what nobody does to a Turnout that they like, such as `kill`.
"""

from __future__ import annotations

import os
import random
import re
import signal
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import grpc

from turnout.app.places import edge_url
from turnout.cli.children import Child
from turnout.cli.first_payment import grpc_address, test_api_key
from turnout.cli.stack import Stack
from turnout.config import Settings, load, write_sandbox_config

# Below the range from which the kernel takes ports for outgoing connections, so that none of
# those can take a port between our choice and its use.
_PORTS = range(20_000, 32_000)
_NAMES = ("grpc", "edge", "operations", "control", "stripe", "adyen")
# What `write_sandbox_config` writes, by name.
_USUAL = {"grpc": 50_051, "edge": 8_080, "control": 7_100, "stripe": 7_101, "adyen": 7_102}

# A profile for each way to route, and times at which nobody need wait: seconds where an operator
# would have minutes. A few published cards stand for all customers, so that no scheme would have
# them tried so often.
IMPATIENT = """
[[profiles]]
id = "pro_adyen"
merchant = "mer_demo"
tiers = [["acc_adyen_main"]]
scheme_rules_in_test = false

[[profiles]]
id = "pro_stripe"
merchant = "mer_demo"
tiers = [["acc_stripe_main"]]
scheme_rules_in_test = false

[[profiles]]
id = "pro_in_order"
merchant = "mer_demo"
tiers = [["acc_stripe_main"], ["acc_adyen_main"]]
scheme_rules_in_test = false

[[profiles]]
id = "pro_multi"
merchant = "mer_demo"
tiers = [["acc_adyen_second"]]
scheme_rules_in_test = false

[recovery]
intervals_s = [0.2, 0.5, 1.0]
settle_after_s = 0.5
webhook_wait_s = 4.0
poll_s = 0.05
retry_trickle_per_s = 50.0
retry_ramp_per_s = 500.0
"""


# Whoever tours or tests may do so on a machine that is busy with other things.
_PATIENT = """
[admission]
read_lag_ms = 10000.0
authorize_lag_ms = 10000.0
follow_up_lag_ms = 30000.0
"""


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now, all different."""
    found: list[int] = []
    dice = random.SystemRandom()
    with ExitStack() as held:
        while len(found) < count:
            port = dice.choice(_PORTS)
            listener = held.enter_context(socket.socket())
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            found.append(port)
    return found


def write_playground(room: Path, *, timeout_ms: int = 5_000, more: str = IMPATIENT) -> Settings:
    """Makes a configuration on free ports.

    Args:
        room: where; made if it is missing.
        timeout_ms: how long a provider may take.
        more: further TOML, put at the end.

    Raises:
        ConfigError: `more` cannot be used.
    """
    room.mkdir(parents=True, exist_ok=True)
    path = write_sandbox_config(room, os.urandom).path
    text = path.read_text("utf-8")
    ports = dict(zip(_NAMES, free_ports(len(_NAMES)), strict=True))
    for name, usual in _USUAL.items():
        text = re.sub(rf"\b{usual}\b", str(ports[name]), text)
    text = text.replace(
        'provider = "', f'timeout_ms = {timeout_ms}\nconnect_timeout_ms = 1000\nprovider = "'
    )
    text += f"\n[operations]\nport = {ports['operations']}\n{_PATIENT}{more}"
    path.write_text(text, "utf-8")
    return load(path, os.environ)


class Playground:
    """A running Turnout, and the ways into it.

    Attributes:
        settings: what it was started with.
        stack: its processes.
        key: a test API key.
        grpc: a channel to the gRPC face.
        log: all lines that its processes have written, each after its part's name.
    """

    grpc: grpc.aio.Channel

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.key = test_api_key(settings)
        self.log: list[tuple[str, str]] = []
        self.stack = Stack(settings, os.environ, lambda name, line: self.log.append((name, line)))
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Playground:
        try:
            await self.stack.start()
        except BaseException:
            await self.stack.stop()
            raise
        self.grpc = grpc.aio.insecure_channel(
            grpc_address(self.settings),
            # After a kill the next call shall try at once, not when a back-off is over.
            options=[
                ("grpc.initial_reconnect_backoff_ms", 50),
                ("grpc.min_reconnect_backoff_ms", 50),
                ("grpc.max_reconnect_backoff_ms", 200),
            ],
        )
        self._http = aiohttp.ClientSession()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._http is not None:
            await self._http.close()
            await self.grpc.close()
        await self.stack.stop()

    @property
    def edge(self) -> str:
        """The HTTP face."""
        return edge_url(self.settings)

    def child(self, name: str) -> Child:
        """One of its processes."""
        return self.stack.children[name]

    def metadata(self, idempotency_key: str = "") -> list[tuple[str, str]]:
        """A caller's gRPC metadata."""
        said = [("authorization", f"Bearer {self.key}")]
        return [*said, ("idempotency-key", idempotency_key)] if idempotency_key else said

    async def kill(self, name: str = "serve") -> None:
        """Kill -9, and waits for the end."""
        child = self.child(name)
        child.signal(signal.SIGKILL)
        await child.wait()

    async def http(
        self,
        verb: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        idempotency_key: str = "",
        raw: bytes | None = None,
    ) -> tuple[int, bytes]:
        """One call to the HTTP face: status and body."""
        assert self._http is not None
        said = {"authorization": f"Bearer {self.key}"}
        if idempotency_key:
            said["idempotency-key"] = idempotency_key
        if raw is not None:
            said["content-type"] = "application/json"
        said |= headers or {}
        async with self._http.request(
            verb, self.edge + path, json=body, data=raw, headers=said
        ) as answer:
            return answer.status, await answer.read()

    async def control(self, verb: str, path: str, body: Any = None) -> Any:
        """One call to the sandbox's control API.

        Raises:
            aiohttp.ClientResponseError: it refuses.
        """
        assert self._http is not None
        url = f"http://127.0.0.1:{self.settings.sandbox.control_port}/_control/{path}"
        async with self._http.request(verb, url, json=body, raise_for_status=True) as answer:
            return await answer.json()

    async def books(self) -> list[dict[str, Any]]:
        """Every charge that the providers know, oldest first."""
        found: list[dict[str, Any]] = []
        while True:
            page = await self.control("GET", f"books?limit=1000&skip={len(found)}")
            found += page["charges"]
            if len(found) >= page["total"] or not page["charges"]:
                return found
