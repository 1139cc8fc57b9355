"""Who calls: API keys, configured as SHA-256 and never as themselves.

Looking a digest up in a table leaks nothing worth having: a caller cannot choose a digest, so how
far a comparison got tells nothing about any key. What is hashed and looked up is the same amount
of work whether a key is missing, malformed or wrong.

A header that has opened once is remembered as it came, because hashing it anew costs a tenth of
what the face does for a call. It is in this process's memory with every call anyhow, and who can
find it there by its exact text has the key already.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from turnout.domain.accounts import ApiKey, OperatorKey
from turnout.domain.errors import PermissionDenied, Unauthenticated

_SCHEME = "bearer "
_LONGEST = 512
_SPELLINGS = 4


class KeyRing:
    """The API keys that are good now; may be replaced while calls are served."""

    __slots__ = ("_by_digest", "_opened", "_operators")

    def __init__(self, keys: Iterable[ApiKey], operators: Iterable[OperatorKey] = ()) -> None:
        self._by_digest: dict[str, ApiKey] = {}
        self._operators: dict[str, OperatorKey] = {}
        self._opened: dict[str, ApiKey] = {}
        self.replace(keys, operators)

    def replace(self, keys: Iterable[ApiKey], operators: Iterable[OperatorKey] = ()) -> None:
        """Takes a new set of keys; calls already let in go on."""
        self._by_digest = {key.sha256: key for key in keys}
        self._operators = {key.sha256: key for key in operators}
        self._opened = {}

    def find(self, authorization: str) -> ApiKey:
        """The key that an `authorization` header presents.

        Args:
            authorization: the header's value, empty where there is none.

        Raises:
            Unauthenticated: no key, or one that is not known. Never repeats what was sent.
            PermissionDenied: an operator's key.
        """
        opened = self._opened.get(authorization)
        if opened is not None:
            return opened
        digest = _digest_of(authorization)
        found = self._by_digest.get(digest)
        if found is None:
            if digest in self._operators:
                raise PermissionDenied(
                    "MERCHANT_KEY_REQUIRED",
                    "authorization: an operator's key cannot act for a merchant; use one of the "
                    "merchant's own",
                )
            raise _unknown(authorization)
        # Bounded: the scheme may be written in many ways, all of which open.
        if len(self._opened) < _SPELLINGS * len(self._by_digest):
            self._opened[authorization] = found
        return found

    def find_operator(self, authorization: str) -> OperatorKey:
        """The operator's key that an `authorization` header presents.

        Raises:
            Unauthenticated: as `find`.
            PermissionDenied: a merchant's key.
        """
        digest = _digest_of(authorization)
        found = self._operators.get(digest)
        if found is None:
            if digest in self._by_digest:
                raise PermissionDenied(
                    "OPERATOR_KEY_REQUIRED",
                    "authorization: this is for operators of Turnout; a merchant's key cannot do "
                    "it",
                )
            raise _unknown(authorization)
        return found


def _digest_of(authorization: str) -> str:
    """The digest that a key is kept by; empty where the header can name none."""
    secret = authorization[len(_SCHEME) :][:_LONGEST].strip()
    digest = hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
    sound = authorization[: len(_SCHEME)].lower() == _SCHEME and secret
    return digest if sound else ""


def _unknown(authorization: str) -> Unauthenticated:
    if not authorization:
        return Unauthenticated(
            "API_KEY_MISSING",
            "authorization: no API key; send the header `authorization: Bearer sk_...`",
        )
    if authorization[: len(_SCHEME)].lower() != _SCHEME:
        return Unauthenticated(
            "API_KEY_MALFORMED",
            "authorization: not a bearer token; send `authorization: Bearer sk_...`",
        )
    return Unauthenticated(
        "API_KEY_INVALID",
        "authorization: this API key is not known here; check that it is whole, not revoked, and "
        "meant for this server",
    )
