"""What an operator has put in force in a world."""

from __future__ import annotations

from dataclasses import dataclass

from turnout.domain.accounts import Account, Merchant, Profile
from turnout.orchestration.routes import engine_config
from turnout.routing import RoutingSettings


@dataclass(slots=True)
class Config:
    """What is in force: swapped whole."""

    version: int
    merchants: dict[str, Merchant]
    profiles: dict[str, Profile]
    accounts: dict[str, Account]
    _routing: bytes | None = None

    def routing(self) -> bytes:
        """The engine's configuration, compiled once for all processes that start with it.

        Raises:
            RoutingError, KeyError: it is a bad one.
        """
        if self._routing is None:
            self._routing = engine_config(self.accounts, self.profiles, RoutingSettings())
        return self._routing
