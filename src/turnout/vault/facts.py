"""What is believed of a card, where the number, the BIN file and the merchant disagree."""

from __future__ import annotations

from dataclasses import dataclass

from turnout.domain.cards import BinFacts, CardDetails, CardFacts, Funding, Network, bin_of

_N = Network
# By names of our own: a member that is looked up in its enum costs more than a call.
_NO_NETWORK = Network.UNKNOWN
_NO_FUNDING = Funding.UNKNOWN
_NOTHING = BinFacts()
_BOTH = frozenset({_N.VISA, _N.MASTERCARD})


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
    _N.CARTES_BANCAIRES: _BOTH | {_N.MAESTRO},
    _N.ELO: _BOTH | {_N.DISCOVER, _N.DINERS, _N.MAESTRO, _N.UNKNOWN},
    _N.HIPERCARD: frozenset({_N.MASTERCARD, _N.DINERS, _N.UNKNOWN}),
    _N.RUPAY: frozenset({_N.DISCOVER, _N.UNIONPAY, _N.MAESTRO, _N.JCB, _N.UNKNOWN}),
    _N.MIR: frozenset({_N.MASTERCARD, _N.MAESTRO, _N.UNIONPAY, _N.JCB, _N.UNKNOWN}),
    _N.INTERAC: _BOTH | {_N.UNKNOWN},
    _N.EFTPOS_AU: _BOTH | {_N.MAESTRO, _N.UNKNOWN},
    _N.DANKORT: frozenset({_N.VISA, _N.MAESTRO, _N.UNKNOWN}),
    _N.BANCONTACT: _BOTH | {_N.MAESTRO, _N.UNKNOWN},
    _N.TROY: frozenset({_N.DISCOVER, _N.UNKNOWN}),
    _N.VERVE: frozenset({_N.MAESTRO, _N.DISCOVER, _N.UNKNOWN}),
    # 622126 to 622925 belong to both, and JCB cards run on Discover's network in the USA.
    _N.UNIONPAY: frozenset({_N.DISCOVER}),
    _N.DISCOVER: frozenset({_N.UNIONPAY, _N.DINERS, _N.JCB}),
    _N.MAESTRO: frozenset({_N.MASTERCARD, _N.UNKNOWN}),
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
    network = by_number if file.network is _NO_NETWORK else file.network
    wanted = hints.network
    if wanted is not _NO_NETWORK and plausible(wanted, by_number, file.network):
        network = wanted
    number, funding = card.number, hints.funding
    return CardFacts(
        network,
        bin_of(number),
        number[-4:],
        card.expiry_month,
        card.expiry_year,
        file.funding if funding is _NO_FUNDING else funding,
        hints.issuer_country or file.issuer_country,
        file.issuer_name,
    )
