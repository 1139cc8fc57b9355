"""The card vault: seals cards into tokens and opens tokens for their own merchant.

Sealing is plain computation and takes microseconds, so it happens on the event loop; only keeping
the sealed card waits for a disk, and the caller awaits that together with the record's commit.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from cryptography.exceptions import InvalidTag

from turnout.domain.cards import CardDetails, CardFacts, network_of
from turnout.domain.errors import DataLoss, NotFound
from turnout.domain.ids import RANDOM_BYTES, TOKEN, make_id
from turnout.ports import BinDirectory, Clock, Random, VaultRecord, VaultStore
from turnout.vault.facts import NO_HINTS, CardHints, facts_of
from turnout.vault.keys import NONCE_BYTES, KeyRing, open_keys
from turnout.vault.reveal import CardReveal
from turnout.vault.sealing import binding, seal_card, unseal_card

__all__ = ["CardHints", "CardVault", "OpenCard", "SealedCard"]

# Only schemes' rules ask for it, and a keyed hash costs a hundredth of a payment.
Credential = Callable[[], bytes]


@dataclass(slots=True)
class SealedCard:
    """A card that was just sealed and is not yet kept: `CardVault.persist` does that.

    Attributes:
        reveal: shows the card, with its CVC, until it is wiped.
        credential: makes a secret of the card, equal for equal cards: see `KeyRing.credential`.
    """

    token_id: str
    facts: CardFacts
    record: VaultRecord = field(repr=False)
    reveal: CardReveal = field(repr=False)
    credential: Credential = field(repr=False)


@dataclass(slots=True)
class OpenCard:
    """A token that was found and belongs to the caller."""

    token_id: str
    facts: CardFacts
    reveal: CardReveal = field(repr=False)
    credential: Credential = field(repr=False)


class CardVault:
    """Tokens for cards, over a store that sees ciphertext only."""

    __slots__ = ("_bins", "_clock", "_keys", "_random", "_store")

    def __init__(
        self,
        store: VaultStore,
        keys: KeyRing,
        clock: Clock,
        random: Random,
        bins: BinDirectory | None = None,
    ) -> None:
        self._store = store
        self._keys = keys
        self._clock = clock
        self._random = random
        self._bins = bins

    @classmethod
    async def open(
        cls,
        store: VaultStore,
        master_key_path: Path,
        clock: Clock,
        random: Random,
        bins: BinDirectory | None = None,
    ) -> CardVault:
        """Opens the vault; an empty one gets its keys here, an old one never gets new ones.

        The file with the master key is made where the vault is empty, and only there.

        Raises:
            VaultLocked: the master key is missing, unsafe or another one.
            StoreUnavailable: the vault's database cannot be read or written.
        """
        keys = await open_keys(store, master_key_path, clock, random)
        return cls(store, keys, clock, random, bins)

    def seal(
        self,
        merchant_id: str,
        live: bool,
        card: CardDetails,
        hints: CardHints = NO_HINTS,
        customer_reference: str = "",
    ) -> SealedCard:
        """Seals a card under a new token. Nothing is stored yet; see `persist`.

        The card must have been checked (`domain.cards.card_errors`); its CVC is not sealed.
        """
        now_ns = self._clock.now_ns()
        # One draw for both: a call into the kernel costs more than the bytes.
        noise = self._random.bytes(RANDOM_BYTES + NONCE_BYTES)
        keys = self._keys
        number = card.number
        token_id = make_id(TOKEN, now_ns, noise[:RANDOM_BYTES])
        key_id = keys.sealing_key_id
        by_file = self._bins.lookup(number) if self._bins is not None else None
        facts = facts_of(card, network_of(number), by_file, hints)
        record = VaultRecord(
            token_id,
            merchant_id,
            key_id,
            seal_card(
                keys.sealing,
                noise[RANDOM_BYTES:],
                card,
                binding(token_id, merchant_id, live, key_id),
            ),
            keys.card_fingerprint(number),
            facts,
            customer_reference,
            live,
            now_ns,
        )
        reveal = CardReveal(record, self._unseal, card.cvc, card)
        credential = partial(keys.credential, record.fingerprint)
        return SealedCard(token_id, facts, record, reveal, credential)

    def persist(self, sealed: SealedCard) -> Awaitable[None]:
        """Submits the sealed card when called; it is durable when awaited.

        Raises (when awaited):
            StoreUnavailable: it is not kept.
        """
        return self._store.put(sealed.record)

    async def open_token(
        self, merchant_id: str, live: bool, token_id: str, cvc: str = ""
    ) -> OpenCard:
        """A merchant's token, ready to pay with.

        Raises:
            NotFound: there is no such token, or it is another merchant's or of the other mode.
            DataLoss: the sealed card does not open.
            StoreUnavailable: the vault cannot be read now.
        """
        record = await self.find(merchant_id, live, token_id)
        # Before anything is written or sent; the number is dropped again at once.
        self._unseal(record)
        return OpenCard(
            token_id,
            record.facts,
            CardReveal(record, self._unseal, cvc),
            partial(self._keys.credential, record.fingerprint),
        )

    async def find(self, merchant_id: str, live: bool, token_id: str) -> VaultRecord:
        """What is kept of a merchant's token.

        Raises:
            NotFound: as `open_token`.
            StoreUnavailable: the vault cannot be read now.
        """
        record = await self._store.get(token_id)
        if record is None or record.merchant_id != merchant_id or record.live is not live:
            raise NotFound(
                "TOKEN_NOT_FOUND",
                f"there is no token {token_id[:64]!r} for this merchant in this mode; make one "
                "with CreateToken, or check that a test key is used for a test token",
            )
        return record

    def fingerprint(self, data: bytes) -> bytes:
        """Keyed hash of a request, to tell a repeated request from another; 32 bytes.

        Args:
            data: canonical bytes of the request without the CVC.
        """
        return self._keys.request_fingerprint(data)

    def card_fingerprint(self, number: str) -> bytes:
        """Keyed hash of a card number: equal for equal cards, useless without the vault's key."""
        return self._keys.card_fingerprint(number)

    def _unseal(self, record: VaultRecord) -> CardDetails:
        cipher = self._keys.cipher(record.key_id)
        bound_to = binding(record.token_id, record.merchant_id, record.live, record.key_id)
        try:
            if cipher is not None:
                return unseal_card(cipher, record.sealed, bound_to)
            cause = f"the vault has no key {record.key_id}"
        except (InvalidTag, ValueError):
            # The cause is not chained: a decoder's error can quote what it choked on.
            cause = "its ciphertext does not verify"
        raise DataLoss(
            "VAULT_RECORD_DAMAGED",
            f"token {record.token_id} cannot be opened: {cause}; restore the vault from a backup, "
            "or ask the payer for the card again",
            metadata={"token_id": record.token_id},
        ) from None

    def __repr__(self) -> str:
        return "CardVault(hidden)"
