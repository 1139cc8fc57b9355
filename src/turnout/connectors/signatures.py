"""HMAC-SHA256 under the keys that providers sign their notifications with."""

from __future__ import annotations

from functools import lru_cache

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

# Far above any number of accounts; keys are the configuration's, never a caller's.
_KEYS_MAX = 1024


@lru_cache(maxsize=_KEYS_MAX)
def _keyed(key: bytes) -> HMAC:
    return HMAC(key, SHA256())


def hmac_sha256(key: bytes, data: bytes) -> bytes:
    """32 bytes; from a copy, because taking in the key costs more than hashing a notification."""
    own = _keyed(key).copy()
    own.update(data)
    return own.finalize()
