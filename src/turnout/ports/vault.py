"""The vault: sealed cards and wrapped keys."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol

from turnout.domain.cards import BinFacts, CardDetails, CardFacts


@dataclass(slots=True)
class VaultRecord:
    """A sealed card as the vault store keeps it; everything else about it is ciphertext.

    Attributes:
        key_id: the data key it is sealed under.
        sealed: nonce and AES-GCM ciphertext with tag.
        fingerprint: keyed hash of the PAN: equal for equal cards, useless without the key.
        facts: what may be shown.
        customer_reference: the merchant's own id of the customer.
    """

    token_id: str
    merchant_id: str
    key_id: str
    sealed: bytes
    fingerprint: bytes
    facts: CardFacts
    customer_reference: str
    live: bool
    created_at_ns: int


@dataclass(slots=True)
class WrappedKey:
    """A key of the vault, wrapped under the master key.

    Attributes:
        purpose: `data` for sealing, `index` for keyed hashes.
        master_key_id: fingerprint of the master key that wraps it.
    """

    key_id: str
    purpose: str
    master_key_id: str
    wrapped: bytes
    created_at_ns: int


class VaultStore(Protocol):
    """Where sealed cards and wrapped keys are kept: apart from the record.

    All methods raise StoreUnavailable where the medium fails.
    """

    def put(self, record: VaultRecord) -> Awaitable[None]:
        """Makes the record durable; concurrent puts share a commit."""

    async def get(self, token_id: str) -> VaultRecord | None:
        """The record of a token, or None."""

    async def add_key(self, key: WrappedKey) -> None:
        """Keeps a wrapped key."""

    async def list_keys(self) -> list[WrappedKey]:
        """All wrapped keys, oldest first."""

    async def count(self) -> int:
        """How many cards are kept."""

    async def close(self) -> None:
        """Finishes what was submitted and lets go of the medium."""


class BinDirectory(Protocol):
    """What an operator's BIN file says of a card number."""

    def lookup(self, number: str) -> BinFacts | None:
        """The facts of the narrowest range that holds this number, or None."""


class Reveal(Protocol):
    """The capability to see one payment's card, handed to a connector for one attempt."""

    async def card(self) -> CardDetails:
        """The card, with its CVC while that is still in memory.

        Raises:
            StoreUnavailable: the vault cannot be read now.
        """
