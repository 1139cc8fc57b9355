"""Whether a payment is surely sound, told from a few looks at the whole of it.

Nearly every payment is, and to ask each field for its errors costs four times as much. Nothing is
refused here: where this does not say yes, `validate.py` says what is wrong, if anything is. A
property test holds the two together.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache

from turnout.domain.cards import card_errors, holds_card_number
from turnout.domain.countries import COUNTRIES
from turnout.domain.members import members
from turnout.domain.money import EXPONENTS, amount_error
from turnout.domain.payment import Initiator, PaymentDetails
from turnout.orchestration import limits
from turnout.orchestration.commands import CardInput, MethodInput, PaymentCommand, TokenInput

_Initiator = members(Initiator)

_DAY_S = 86_400
_DAY_NS = _DAY_S * 1_000_000_000

# What a byte of an IPv4 address is usually written as.
_OCTETS = frozenset(map(str, range(256)))
# An address that urlsplit surely reads: ASCII, no brackets, a name after the scheme.
_PLAIN_URL = re.compile(r"https?://[0-9A-Za-z][!-Z\\^-~]*")


def surely_sound(command: PaymentCommand, now_ns: int) -> bool:
    """Whether nothing can be wrong with a payment. False says nothing."""
    details, reference = command.details, command.merchant_reference
    texts = [reference, details.customer.email, details.description, details.statement_descriptor]
    return (
        0 < len(reference) <= limits.REFERENCE_MOST
        and reference.isprintable()
        and command.currency in EXPONENTS
        and amount_error(command.amount_minor, "") is None
        and _method_sound(command.method, now_ns)
        and _details_sound(details)
        and _short_texts_sound(command, texts)
        and (not details.metadata or _metadata_sound(details.metadata, texts))
        # A line end ends a run of digits, so all texts can be asked at once.
        and "\0" not in (whole := "\n".join(texts))
        and not holds_card_number(whole)
    )


def month_of(now_ns: int) -> tuple[int, int]:
    """Year and month (UTC)."""
    return _month_of_day(now_ns // _DAY_NS)


@lru_cache(maxsize=2)
def _month_of_day(day: int) -> tuple[int, int]:
    date = datetime.fromtimestamp(day * _DAY_S, UTC)
    return date.year, date.month


def is_ipv4(text: str) -> bool:
    """Whether it is one in the usual spelling; `ipaddress` takes ten times as long to say so."""
    parts = text.split(".")
    return len(parts) == 4 and _OCTETS.issuperset(parts)


def _method_sound(method: MethodInput | None, now_ns: int) -> bool:
    if isinstance(method, CardInput):
        return not card_errors(method.card, *month_of(now_ns), "") and (
            not method.issuer_country or method.issuer_country in COUNTRIES
        )
    if isinstance(method, TokenInput):
        cvc = method.cvc
        return method.token_id != "" and (
            not cvc or (3 <= len(cvc) <= 4 and cvc.isascii() and cvc.isdigit())
        )
    return method is None


def _details_sound(details: PaymentDetails) -> bool:
    """All but what texts have in common."""
    customer, url, risk_score = details.customer, details.return_url, details.risk_score
    return (
        len(customer.email) <= limits.EMAIL_MOST
        and len(details.description) <= limits.TEXT_MOST
        and len(details.statement_descriptor) <= limits.DESCRIPTOR_MOST
        and (not customer.ip_address or is_ipv4(customer.ip_address))
        and (not url or (len(url) <= limits.URL_MOST and _PLAIN_URL.fullmatch(url) is not None))
        and (risk_score is None or 0 <= risk_score <= 100)
        and (
            not details.previous_network_transaction_id
            or details.initiator is not _Initiator.CUSTOMER
        )
    )


def _short_texts_sound(command: PaymentCommand, texts: list[str]) -> bool:
    """Lengths of the short texts, and countries; what may hold a card number goes to `texts`."""
    details, method = command.details, command.method
    customer, browser = details.customer, details.customer.browser
    short = [
        customer.reference,
        customer.name,
        customer.phone,
        details.previous_network_transaction_id,
    ]
    if isinstance(method, CardInput):
        short.append(method.card.holder_name)
    for address in (details.billing_address, details.shipping_address):
        if address is not None:
            if address.country and address.country not in COUNTRIES:
                return False
            short += (address.line1, address.line2, address.city, address.state)
            short += (address.postal_code, address.name, address.phone)
    if _longer(short, limits.SHORT_TEXT_MOST):
        return False
    texts += short
    if browser is not None:
        wide = [browser.user_agent, browser.accept_header, browser.language]
        if _longer(wide, limits.WIDE_TEXT_MOST):
            return False
        texts += wide
    return True


def _metadata_sound(metadata: Mapping[str, str], texts: list[str]) -> bool:
    """Metadata's size; what may hold a card number goes to `texts`."""
    keys, values = list(metadata), list(metadata.values())
    texts += keys
    texts += values
    return (
        len(keys) <= limits.METADATA_PAIRS_MOST
        and "" not in metadata
        and not _longer(keys, limits.METADATA_KEY_MOST)
        and not _longer(values, limits.METADATA_VALUE_MOST)
    )


def _longer(texts: list[str], most: int) -> bool:
    """Whether one of them is longer; mostly not even all together are."""
    return len("".join(texts)) > most and max(map(len, texts)) > most
