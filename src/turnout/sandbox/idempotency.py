"""Stored answers by idempotency key, with the differences between providers left to callers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Claim(Enum):
    """What a key says about a request."""

    FRESH = "fresh"
    REPLAY = "replay"
    IN_PROGRESS = "in_progress"
    OTHER_REQUEST = "other_request"


@dataclass(slots=True)
class Stored:
    """A key with the request that took it and, once known, the answer."""

    fingerprint: bytes
    endpoint: str
    at_s: float
    status: int = 0
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def done(self) -> bool:
        """Whether the answer is known."""
        return self.status != 0


class KeyStore:
    """Keys of one provider, forgotten after `valid_s` and when there are too many."""

    def __init__(self, keys_max: int, valid_s: float) -> None:
        self._keys_max = keys_max
        self._valid_s = valid_s
        self._stored: dict[tuple[str, str], Stored] = {}

    def __len__(self) -> int:
        return len(self._stored)

    def claim(
        self, account: str, key: str, endpoint: str, fingerprint: bytes, now_s: float
    ) -> tuple[Claim, Stored]:
        """Take a key for a request, or learn why it cannot be taken."""
        name = (account, key)
        stored = self._stored.get(name)
        if stored is not None and now_s - stored.at_s <= self._valid_s:
            if stored.fingerprint != fingerprint or stored.endpoint != endpoint:
                return Claim.OTHER_REQUEST, stored
            return (Claim.REPLAY if stored.done else Claim.IN_PROGRESS), stored
        stored = Stored(fingerprint, endpoint, now_s)
        self._stored[name] = stored
        if len(self._stored) > self._keys_max:
            self._stored.pop(next(iter(self._stored)))
        return Claim.FRESH, stored

    def forget(self, account: str, key: str) -> None:
        """Free a key whose request was refused before anything began."""
        self._stored.pop((account, key), None)
