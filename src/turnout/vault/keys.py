"""The keys that seal cards and hash requests, wrapped under the master key.

Envelope encryption: the master key wraps a few keys and touches no card, so it can change without
sealing every card again, and a data key can change while records of the old one stay readable.
Records name their key; the newest data key seals. Each wrapped key is bound to its id and its
purpose, so rows cannot be swapped or a data key be passed off as an index key.
"""

from __future__ import annotations

import hmac
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from turnout.domain.ids import RANDOM_BYTES, make_id
from turnout.ports import Clock, Random, VaultStore, WrappedKey
from turnout.vault.master import (
    MASTER_KEY_BYTES,
    VaultLocked,
    make_master_key,
    master_key_id,
    read_master_key,
)

__all__ = ["NONCE_BYTES", "KeyRing", "VaultLocked", "open_keys"]

# 96 bits is the nonce that GCM is built for (NIST SP 800-38D, 5.2.1.1).
NONCE_BYTES: Final = 12
DATA: Final = "data"
INDEX: Final = "index"
_KEY_BYTES: Final = 32
_KEY_PREFIX: Final = "key_"

# One key, several uses: each use has a key of its own, derived under its label.
_REQUEST_LABEL: Final = b"turnout/vault/request-fingerprint/v1"
_CARD_LABEL: Final = b"turnout/vault/card-fingerprint/v1"
# Of card numbers; another kind of credential (a network token) gets a label of its own.
_CREDENTIAL_LABEL: Final = b"turnout/vault/credential/pan/v1"


def _keyed(index_key: bytes, label: bytes) -> HMAC:
    return HMAC(hmac.digest(index_key, label, "sha256"), SHA256())


def _digest(keyed: HMAC, data: bytes) -> bytes:
    """32 bytes; from a copy, because taking in the key costs more than hashing a request."""
    own = keyed.copy()
    own.update(data)
    return own.finalize()


class KeyRing:
    """The vault's keys, ready for use. Hides them from repr.

    Attributes:
        sealing_key_id: the data key that new cards are sealed under.
        sealing: its cipher.
    """

    __slots__ = (
        "_card_hash",
        "_ciphers",
        "_credential_hash",
        "_request_hash",
        "sealing",
        "sealing_key_id",
    )

    def __init__(self, data_keys: list[tuple[str, bytes]], index_key: bytes) -> None:
        """Takes data keys, oldest first, and the one index key."""
        self._ciphers = {key_id: AESGCM(key) for key_id, key in data_keys}
        self.sealing_key_id = data_keys[-1][0]
        self.sealing = self._ciphers[self.sealing_key_id]
        self._request_hash = _keyed(index_key, _REQUEST_LABEL)
        self._card_hash = _keyed(index_key, _CARD_LABEL)
        self._credential_hash = _keyed(index_key, _CREDENTIAL_LABEL)

    def __repr__(self) -> str:
        return f"KeyRing({len(self._ciphers)} data keys, hidden)"

    def cipher(self, key_id: str) -> AESGCM | None:
        """The cipher of a data key, or None where the vault has no such key."""
        return self._ciphers.get(key_id)

    def request_fingerprint(self, data: bytes) -> bytes:
        """Keyed hash of a request's canonical bytes; 32 bytes."""
        return _digest(self._request_hash, data)

    def card_fingerprint(self, number: str) -> bytes:
        """Keyed hash of a card number; 32 bytes, never equal to a request's."""
        return _digest(self._card_hash, number.encode())

    def credential(self, card_fingerprint: bytes) -> bytes:
        """A secret of one card, 32 bytes: a key for hashes that may stand outside the vault."""
        return _digest(self._credential_hash, card_fingerprint)


async def open_keys(
    store: VaultStore, master_key_path: Path, clock: Clock, random: Random
) -> KeyRing:
    """Unwraps the vault's keys; makes them where the vault is empty.

    Raises:
        VaultLocked: the master key or a wrapped key is missing or does not fit.
        StoreUnavailable: the vault's database cannot be read or written.
    """
    wrapped = await store.list_keys()
    cards = await store.count()
    master = read_master_key(master_key_path)
    if master is None:
        if wrapped or cards:
            raise VaultLocked(
                f"the vault holds {cards} cards and {len(wrapped)} keys, but its master key "
                f"{master_key_path} is missing; put the file back from your backup, or correct "
                "vault.master_key_path. No new key is made, because it could not open this vault"
            )
        master = random.bytes(MASTER_KEY_BYTES)
        make_master_key(master_key_path, master)
    opened = [(key, _unwrap(key, master, master_key_path)) for key in wrapped]
    # The index key comes first, so that a crash between the two leaves no cards and no doubt.
    for purpose in (INDEX, DATA):
        if any(key.purpose == purpose for key, _ in opened):
            continue
        if cards:
            raise VaultLocked(
                f"the vault holds {cards} cards, but no {purpose} key; its database is damaged: "
                "restore it from your backup together with the record"
            )
        opened.append(await _add(store, purpose, master, clock, random))
    data_keys = [(key.key_id, plain) for key, plain in opened if key.purpose == DATA]
    index_key = next(plain for key, plain in opened if key.purpose == INDEX)
    return KeyRing(data_keys, index_key)


async def _add(
    store: VaultStore, purpose: str, master: bytes, clock: Clock, random: Random
) -> tuple[WrappedKey, bytes]:
    now_ns = clock.now_ns()
    key_id = make_id(_KEY_PREFIX, now_ns, random.bytes(RANDOM_BYTES))
    plain = random.bytes(_KEY_BYTES)
    nonce = random.bytes(NONCE_BYTES)
    sealed = nonce + AESGCM(master).encrypt(nonce, plain, _bound_to(key_id, purpose))
    key = WrappedKey(key_id, purpose, master_key_id(master), sealed, now_ns)
    await store.add_key(key)
    return key, plain


def _unwrap(key: WrappedKey, master: bytes, path: Path) -> bytes:
    ours = master_key_id(master)
    if key.master_key_id != ours:
        raise VaultLocked(
            f"the master key {path} is {ours}, but key {key.key_id} of the vault is wrapped under "
            f"{key.master_key_id}; put that master key back, or set vault.path to its own vault"
        )
    nonce, sealed = key.wrapped[:NONCE_BYTES], key.wrapped[NONCE_BYTES:]
    try:
        return AESGCM(master).decrypt(nonce, sealed, _bound_to(key.key_id, key.purpose))
    except (InvalidTag, ValueError) as error:
        raise VaultLocked(
            f"key {key.key_id} of the vault does not open although the master key fits; the "
            "vault's database is damaged: restore it from your backup"
        ) from error


def _bound_to(key_id: str, purpose: str) -> bytes:
    return f"turnout/vault/wrapped-key/v1|{key_id}|{purpose}".encode()
