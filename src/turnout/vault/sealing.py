"""How a card becomes bytes, and whose bytes they are.

The ciphertext is bound to its token, its merchant, its mode and its key: a row that is copied to
another token or merchant does not open. The CVC has no place in the format, so it cannot be kept
by mistake (PCI DSS 3.3.1 forbids it after the authorization).
"""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from turnout.domain.cards import CardDetails
from turnout.vault.keys import NONCE_BYTES

_VERSION: Final = "1"
_SEPARATOR: Final = "\x1f"


def seal_card(cipher: AESGCM, nonce: bytes, card: CardDetails, bound_to: bytes) -> bytes:
    """Nonce, ciphertext and tag of everything but the CVC."""
    plain = _SEPARATOR.join(
        (
            _VERSION,
            card.number,
            str(card.expiry_month),
            str(card.expiry_year),
            # Last, because a name may hold anything, the separator too.
            card.holder_name,
        )
    )
    return nonce + cipher.encrypt(nonce, plain.encode("utf-8", "surrogatepass"), bound_to)


def unseal_card(cipher: AESGCM, sealed: bytes, bound_to: bytes) -> CardDetails:
    """The card, without a CVC.

    Raises:
        cryptography.exceptions.InvalidTag: it was not sealed by this key for this token.
        ValueError: it was, in a format that this version does not know.
    """
    plain = cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound_to)
    version, _, rest = plain.decode("utf-8", "surrogatepass").partition(_SEPARATOR)
    if version != _VERSION:
        raise ValueError(f"sealed card of format {version[:8]!r}; this version knows {_VERSION}")
    number, month, year, holder = rest.split(_SEPARATOR, 3)
    return CardDetails(number, int(month), int(year), holder_name=holder)


def binding(token_id: str, merchant_id: str, live: bool, key_id: str) -> bytes:
    """What a sealed card is bound to."""
    mode = "live" if live else "test"
    return f"turnout/vault/card/v1|{token_id}|{merchant_id}|{mode}|{key_id}".encode()
