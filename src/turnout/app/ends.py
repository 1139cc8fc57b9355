"""What a process is told from outside: stop, or read the configuration again."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass, field


@dataclass(slots=True)
class Ends:
    """What the process is told from outside."""

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    reload: asyncio.Event = field(default_factory=asyncio.Event)

    def listen(self) -> None:
        """SIGTERM and ctrl-C stop; SIGHUP reads the configuration again."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop.set)
        loop.add_signal_handler(signal.SIGHUP, self.reload.set)
