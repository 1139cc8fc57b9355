"""The only room that turns card numbers into tokens and tokens back into card numbers.

The vault keeps its own database, apart from the record, so that a copy of the record holds no
card data at all. What leaves this room is a token, the facts that may be shown, and a `Reveal`:
a capability that one attempt uses and that dies with the payment.
"""

from turnout.vault.bins import BinFile, BinFileError, sandbox_bins
from turnout.vault.cards import CardHints, CardVault, OpenCard, SealedCard
from turnout.vault.keys import KeyRing, VaultLocked
from turnout.vault.reveal import CardReveal

__all__ = [
    "BinFile",
    "BinFileError",
    "CardHints",
    "CardReveal",
    "CardVault",
    "KeyRing",
    "OpenCard",
    "SealedCard",
    "VaultLocked",
    "sandbox_bins",
]
