"""The command line: `turnout`.

Rooms are imported only when their command runs: `--help` answers at once, and what must stand in
the environment before gRPC is imported is put there first.
"""

from __future__ import annotations

import os
import sys

# grpcio's event-engine listener costs an eighth of a server's throughput in this version; see
# docs/operating/running.md. An operator's own setting stands.
_GRPC_EXPERIMENTS = "-event_engine_listener"


def main(arguments: list[str] | None = None) -> None:
    """Runs a command and ends the process with its status."""
    os.environ.setdefault("GRPC_EXPERIMENTS", _GRPC_EXPERIMENTS)
    # Makes gRPC log errors only: its warnings are for its own developers.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    from turnout.cli.commands import run

    sys.exit(run(sys.argv[1:] if arguments is None else arguments))
