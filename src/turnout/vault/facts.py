"""What is believed of a card, where the number, the BIN file and the merchant disagree."""

from __future__ import annotations

from dataclasses import dataclass

from turnout.domain.cards import BinFacts, CardDetails, CardFacts, Funding, Network, bin_of
from turnout.domain.members import members

_Funding = members(Funding)
_Network = members(Network)

_NOTHING = BinFacts()
_BOTH = frozenset({_Network.VISA, _Network.MASTERCARD})


@dataclass(frozen=True, slots=True)
class CardHints:
    """What the merchant says of a card.

    Attributes:
        issuer_country: ISO 3166-1 alpha-2, or empty.
        network: the network that the payer chose on a co-badged card.
    """

    issuer_country: str = ""
    funding: Funding = Funding.UNKNOWN
    network: Network = Network.UNKNOWN


NO_HINTS = CardHints()

# Which networks a local network shares its cards or its ranges with. The number alone shows the
# international one; a hint is believed only where such cards exist. UNKNOWN stands where the local
# ranges lie outside all published international ones.
_SHARES_WITH: dict[Network, frozenset[Network]] = {
    _Network.CARTES_BANCAIRES: _BOTH | {_Network.MAESTRO},
    _Network.ELO: _BOTH | {_Network.DISCOVER, _Network.DINERS, _Network.MAESTRO, _Network.UNKNOWN},
    _Network.HIPERCARD: frozenset({_Network.MASTERCARD, _Network.DINERS, _Network.UNKNOWN}),
    _Network.RUPAY: frozenset(
        {_Network.DISCOVER, _Network.UNIONPAY, _Network.MAESTRO, _Network.JCB, _Network.UNKNOWN}
    ),
    _Network.MIR: frozenset(
        {_Network.MASTERCARD, _Network.MAESTRO, _Network.UNIONPAY, _Network.JCB, _Network.UNKNOWN}
    ),
    _Network.INTERAC: _BOTH | {_Network.UNKNOWN},
    _Network.EFTPOS_AU: _BOTH | {_Network.MAESTRO, _Network.UNKNOWN},
    _Network.DANKORT: frozenset({_Network.VISA, _Network.MAESTRO, _Network.UNKNOWN}),
    _Network.BANCONTACT: _BOTH | {_Network.MAESTRO, _Network.UNKNOWN},
    _Network.TROY: frozenset({_Network.DISCOVER, _Network.UNKNOWN}),
    _Network.VERVE: frozenset({_Network.MAESTRO, _Network.DISCOVER, _Network.UNKNOWN}),
    # 622126 to 622925 belong to both, and JCB cards run on Discover's network in the USA.
    _Network.UNIONPAY: frozenset({_Network.DISCOVER}),
    _Network.DISCOVER: frozenset({_Network.UNIONPAY, _Network.DINERS, _Network.JCB}),
    _Network.MAESTRO: frozenset({_Network.MASTERCARD, _Network.UNKNOWN}),
}


def plausible(wanted: Network, by_number: Network, by_file: Network) -> bool:
    """Whether a card that looks like this can carry the wanted network."""
    if wanted is by_number or wanted is by_file:
        return True
    shares_with = _SHARES_WITH.get(wanted)
    return shares_with is not None and (by_number in shares_with or by_file in shares_with)


def facts_of(
    card: CardDetails, by_number: Network, by_file: BinFacts | None, hints: CardHints
) -> CardFacts:
    """What may be stored and shown of a card.

    The merchant's word wins for country and funding, because it may come from the issuer; for the
    network it is a choice among those that the card can carry, and otherwise ignored.
    """
    file = by_file or _NOTHING
    network = by_number if file.network is _Network.UNKNOWN else file.network
    wanted = hints.network
    if wanted is not _Network.UNKNOWN and plausible(wanted, by_number, file.network):
        network = wanted
    number, funding = card.number, hints.funding
    return CardFacts(
        network,
        bin_of(number),
        number[-4:],
        card.expiry_month,
        card.expiry_year,
        file.funding if funding is _Funding.UNKNOWN else funding,
        hints.issuer_country or file.issuer_country,
        file.issuer_name,
    )
