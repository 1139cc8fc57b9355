"""The capability to see one payment's card."""

from __future__ import annotations

from collections.abc import Callable

from turnout.domain.cards import CardDetails
from turnout.ports import StoreUnavailable, VaultRecord


class CardReveal:
    """Shows one card to a connector until it is wiped.

    A card that was just typed stays in memory until then; a card behind a token is decrypted anew
    for each attempt, so that its number is in memory only while it is being sent.
    """

    __slots__ = ("_card", "_cvc", "_record", "_unseal")

    def __init__(
        self,
        record: VaultRecord,
        unseal: Callable[[VaultRecord], CardDetails],
        cvc: str,
        card: CardDetails | None = None,
    ) -> None:
        self._record: VaultRecord | None = record
        self._unseal = unseal
        self._cvc = cvc
        self._card = card

    async def card(self) -> CardDetails:
        """The card, with its CVC while that is still in memory.

        Raises:
            StoreUnavailable: it was wiped, because the payment has been answered.
            DataLoss: the sealed card does not open.
        """
        if self._card is not None:
            return self._card
        if self._record is None:
            raise StoreUnavailable(
                "the card was wiped from memory when its payment was answered; nothing more can "
                "be sent for it in this call"
            )
        card = self._unseal(self._record)
        card.cvc = self._cvc
        return card

    def wipe(self) -> None:
        """Lets go of the card and its CVC. Python frees them; it cannot overwrite them."""
        self._card = None
        self._record = None
        self._cvc = ""

    @property
    def wiped(self) -> bool:
        """Whether the card can no longer be seen through this."""
        return self._record is None

    def __repr__(self) -> str:
        return "CardReveal(hidden)"

    def __reduce__(self) -> str:
        raise TypeError("a card's capability cannot be pickled or copied")
