"""`turnout sandbox` and `turnout edge`: the parts beside the server, each alone.

Each imports its own room only: three processes start at once, and imports are most of a start.
"""

from __future__ import annotations

import os
import time

from turnout.app.ends import Ends
from turnout.app.places import edge_room, edge_settings
from turnout.app.process import run_process
from turnout.config import Settings
from turnout.telemetry import get_logger

log = get_logger("turnout.app")


def run_side(settings: Settings, part: str) -> None:
    """Runs `sandbox` or `edge` until it is told to stop.

    Raises:
        EdgeFailed: there is no Envoy, or it cannot run.
        OSError: a port is taken.
    """
    run_process(settings, lambda logs: {"sandbox": _sandbox, "edge": _edge}[part](settings))


async def _sandbox(settings: Settings) -> None:
    from turnout.app.simulated import sandbox_settings
    from turnout.sandbox import Sandbox

    ends = Ends()
    ends.listen()
    # Another seed each time: the record outlives the sandbox, and ids repeat with the seed.
    seed = int.from_bytes(os.urandom(4), "little")
    async with Sandbox(sandbox_settings(settings), time.time, seed) as sandbox:
        log.info(
            "sandbox.ready",
            pid=os.getpid(),
            stripe=sandbox.stripe_url,
            adyen=sandbox.adyen_url,
            control=sandbox.control_url,
            seed=seed,
        )
        await ends.stop.wait()
    log.info("sandbox.ended")


async def _edge(settings: Settings) -> None:
    from turnout.edge.run import Edge, run_edge

    ends = Ends()
    ends.listen()

    def tell(edge: Edge) -> None:
        address = f"{settings.edge.host}:{edge.port}"
        log.info("edge.ready", pid=os.getpid(), envoy_pid=edge.pid, address=address)

    await run_edge(edge_settings(settings), edge_room(settings), ends.stop, tell)
    log.info("edge.ended")
