"""Idempotent calls in memory."""

from __future__ import annotations

from turnout.domain.operation import ClaimKey
from turnout.domain.payment import Payment
from turnout.ports import Claim, ClaimTaken
from turnout.stores.memory_references import MemoryReferences
from turnout.stores.shapes import copier

_copy_claim = copier(Claim)


# A claim's key as a dict can hold it: merchant, rpc, key.
_Key = tuple[str, str, str]


def _key(key: ClaimKey) -> _Key:
    return (key.merchant_id, key.rpc, key.key)


class MemoryClaims:
    """The claims of the record in memory."""

    def __init__(self) -> None:
        self._claims: dict[_Key, Claim] = {}
        self._references = MemoryReferences()
        # No claim is older: most sweeps find nothing and need not look at each.
        self._oldest_ns = 1 << 63

    def _check_claim(self, claim: Claim) -> None:
        """Refuses a claim that is there.

        Raises:
            ClaimTaken: it is.
        """
        if _key(claim.key) in self._claims:
            raise ClaimTaken

    def _put_claim(self, claim: Claim) -> None:
        self._claims[_key(claim.key)] = _copy_claim(claim)
        if claim.created_at_ns < self._oldest_ns:
            self._oldest_ns = claim.created_at_ns

    def _answer(self, key: ClaimKey, answer: bytes) -> None:
        """Sets an answer where the claim is there and has none."""
        claim = self._claims.get(_key(key))
        if claim is not None and claim.answer is None:
            claim.answer = answer

    async def find_claim(self, key: ClaimKey) -> Claim | None:
        """See `Store.find_claim`."""
        claim = self._claims.get(_key(key))
        return None if claim is None else _copy_claim(claim)

    async def find_taken(self, key: ClaimKey, merchant_reference: str) -> tuple[Claim | None, str]:
        """See `Store.find_taken`."""
        claim = self._claims.get(_key(key))
        if claim is not None:
            return _copy_claim(claim), ""
        return None, self._references.payment_id(key.merchant_id, merchant_reference) or ""

    async def get_payment(self, payment_id: str) -> Payment | None:
        """See `Store.get_payment`; whoever holds the payments has it."""
        raise NotImplementedError

    async def find_to_change(
        self, key: ClaimKey, payment_id: str
    ) -> tuple[Claim | None, Payment | None]:
        """See `Store.find_to_change`."""
        return await self.find_claim(key), await self.get_payment(payment_id)

    async def answer_claim(self, key: ClaimKey, answer: bytes) -> bytes:
        """See `Store.answer_claim`."""
        claim = self._claims[_key(key)]
        if claim.answer is None:
            claim.answer = answer
        return claim.answer

    async def delete_expired_claims(self, before_ns: int, limit: int) -> int:
        """See `Store.delete_expired_claims`."""
        if before_ns <= self._oldest_ns:
            return 0
        expired = sorted(
            (claim.created_at_ns, name)
            for name, claim in self._claims.items()
            if claim.answer is not None and claim.created_at_ns < before_ns
        )[:limit]
        for _, name in expired:
            del self._claims[name]
        return len(expired)
