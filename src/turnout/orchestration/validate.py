"""Checks on commands: bad input is refused here, before anything is stored or sent.

All faults of a request are told at once, each with the path of its field. Nothing of a card is
ever in the text.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from turnout.domain.cards import CARD_EXPIRED, CardDetails, card_errors, holds_card_number
from turnout.domain.errors import FieldError, InvalidRequest
from turnout.domain.money import EXPONENTS, amount_error, currency_error
from turnout.domain.payment import Address, Customer, Initiator, PaymentDetails
from turnout.orchestration import limits
from turnout.orchestration.commands import (
    CaptureCommand,
    CardInput,
    ConfirmCommand,
    MethodInput,
    OtherMethodInput,
    PaymentCommand,
    RefundCommand,
    Resolution,
    ResolveCommand,
    SimulateCommand,
    TokenCommand,
    TokenInput,
)
from turnout.orchestration.glance import is_ipv4, month_of, surely_sound


def refused_today(error: InvalidRequest) -> InvalidRequest:
    """The refusal of a call that may have been sound when it was first made: a card expires.

    Raises:
        InvalidRequest: it never was.
    """
    if any(one.reason != CARD_EXPIRED for one in error.fields):
        raise error
    return error


def check_payment(command: PaymentCommand, now_ns: int) -> None:
    """A payment about to be created.

    Raises:
        InvalidRequest: every field that is wrong.
    """
    if surely_sound(command, now_ns):
        return
    _raise(payment_errors(command, now_ns))


def payment_errors(command: PaymentCommand, now_ns: int) -> list[FieldError]:
    """Every field of a payment that is wrong."""
    found: list[FieldError] = []
    reference = command.merchant_reference
    if not 1 <= len(reference) <= limits.REFERENCE_MOST or not reference.isprintable():
        found.append(
            FieldError(
                "merchant_reference",
                "MERCHANT_REFERENCE_INVALID",
                f"send your own reference of this payment, 1 to {limits.REFERENCE_MOST} printable "
                "characters",
            )
        )
    elif holds_card_number(reference):
        found.append(_pan_found("merchant_reference"))
    if command.currency not in EXPONENTS:
        found.append(currency_error(command.currency, "currency"))
    wrong = amount_error(command.amount_minor, "amount_minor")
    if wrong is not None:
        found.append(wrong)
    if command.method is not None:
        found += _method_errors(command.method, now_ns)
    return found + _details_errors(command.details)


def check_confirm(command: ConfirmCommand, now_ns: int) -> None:
    """A confirmation.

    Raises:
        InvalidRequest: every field that is wrong.
    """
    found: list[FieldError] = []
    if command.method is not None:
        found += _method_errors(command.method, now_ns)
    found += _url_errors(command.return_url)
    if command.customer is not None:
        found += _customer_errors(command.customer)
    found += _address_errors(command.billing_address, "billing_address")
    _raise(found)


def check_return_parameters(parameters: dict[str, str]) -> None:
    """What a payer brought back from a redirect.

    Raises:
        InvalidRequest: there is more of it than any provider sends.
    """
    if len(parameters) > limits.RETURN_PARAMETERS_MOST or any(
        len(name) > limits.SHORT_TEXT_MOST or len(value) > limits.RETURN_PARAMETER_MOST
        for name, value in parameters.items()
    ):
        raise InvalidRequest(
            [
                FieldError(
                    "return_parameters",
                    "RETURN_PARAMETERS_TOO_LARGE",
                    f"at most {limits.RETURN_PARAMETERS_MOST} parameters of up to "
                    f"{limits.RETURN_PARAMETER_MOST} characters; send those of return_url's "
                    "query only",
                )
            ]
        )


def check_token(command: TokenCommand, now_ns: int) -> None:
    """A card about to become a token.

    Raises:
        InvalidRequest: every field that is wrong.
    """
    found = _card_input_errors(command.source, now_ns, "card")
    found += _text(command.customer_reference, "customer_reference", limits.SHORT_TEXT_MOST)
    _raise(found)


def check_capture(command: CaptureCommand, currency: str) -> None:
    """A capture of a payment in this currency.

    Raises:
        InvalidRequest: every field that is wrong.
    """
    found = _follow_up_errors(command.amount_minor, command.currency, currency)
    found += _text(command.merchant_reference, "merchant_reference", limits.REFERENCE_MOST)
    _raise(found)


def check_refund(command: RefundCommand, currency: str) -> None:
    """A refund of a payment in this currency.

    Raises:
        InvalidRequest: every field that is wrong.
    """
    found = _follow_up_errors(command.amount_minor, command.currency, currency)
    found += _text(command.merchant_reference, "merchant_reference", limits.REFERENCE_MOST)
    found += _text(command.description, "description", limits.TEXT_MOST)
    found += _metadata_errors(command.metadata)
    _raise(found)


def check_description(description: str) -> None:
    """A note that is kept with a ruleset.

    Raises:
        InvalidRequest: it is too long, or holds card data.
    """
    _raise(_text(description, "description", limits.TEXT_MOST))


def check_simulation(command: SimulateCommand) -> None:
    """A payment that does not exist; what makes no sense of a real one makes none of it.

    Raises:
        InvalidRequest: every field that is wrong.
    """
    found: list[FieldError] = []
    if command.currency not in EXPONENTS:
        found.append(currency_error(command.currency, "facts.currency"))
    wrong = amount_error(command.amount_minor, "facts.amount_minor")
    if wrong is not None:
        found.append(wrong)
    details, card = command.details, command.card
    found += _country_errors(card.issuer_country, "facts.issuer_country")
    if details.billing_address is not None:
        found += _country_errors(details.billing_address.country, "facts.billing_country")
    found += _metadata_errors(details.metadata)
    found += _risk_errors(details.risk_score, "facts.risk_score")
    if card.bin and not (6 <= len(card.bin) <= 8 and card.bin.isascii() and card.bin.isdigit()):
        found.append(FieldError("facts.bin", "BIN_INVALID", "a BIN is 6 to 8 digits, never more"))
    if command.version and command.content is not None:
        found.append(
            FieldError("version", "ONE_OF_TWO", "give version or document, or neither of them")
        )
    _raise(found)


def _raise(found: list[FieldError]) -> None:
    if found:
        raise InvalidRequest(found)


def _follow_up_errors(amount_minor: int, currency: str, of_payment: str) -> list[FieldError]:
    found: list[FieldError] = []
    if amount_minor:
        wrong = amount_error(amount_minor, "amount_minor")
        if wrong is not None:
            found.append(wrong)
    if currency and currency != of_payment:
        found.append(
            FieldError(
                "currency",
                "CURRENCY_MISMATCH",
                f"the payment is in {of_payment}; send that or leave the field out",
            )
        )
    return found


def _method_errors(method: MethodInput, now_ns: int) -> list[FieldError]:
    if isinstance(method, CardInput):
        return _card_input_errors(method, now_ns, "payment_method.card")
    if isinstance(method, TokenInput):
        found: list[FieldError] = []
        if not method.token_id:
            found.append(
                FieldError(
                    "payment_method.token.token_id",
                    "TOKEN_MISSING",
                    "send the tok_... that CreateToken or an earlier payment gave",
                )
            )
        return found + _cvc_errors(method.cvc, "payment_method.token.cvc")
    return [_not_taken(method)]


def _not_taken(method: OtherMethodInput) -> FieldError:
    return FieldError(
        f"payment_method.{method.kind}",
        "PAYMENT_METHOD_NOT_SUPPORTED",
        "no account here takes this kind of payment method yet; send a card or a token",
    )


def check_resolve(command: ResolveCommand) -> None:
    """Refuses a resolution that says nothing of how it is known, or holds card data.

    Raises:
        InvalidRequest: with the fields that are wrong.
    """
    found: list[FieldError] = []
    if not command.note.strip():
        found.append(FieldError("note", "NOTE_MISSING", "say how it is known"))
    found += _text(command.note, "note", limits.TEXT_MOST)
    if len(command.provider_reference) > limits.SHORT_TEXT_MOST:
        found.append(
            FieldError(
                "provider_reference", "TEXT_TOO_LONG", f"at most {limits.SHORT_TEXT_MOST} fit"
            )
        )
    if not command.operation_id and command.resolution is not Resolution.RECORD_STANDS:
        found.append(
            FieldError("operation_id", "OPERATION_MISSING", "name the operation that it is about")
        )
    _raise(found)


def _card_input_errors(source: CardInput, now_ns: int, field: str) -> list[FieldError]:
    card: CardDetails = source.card
    found = card_errors(card, *month_of(now_ns), field)
    found += _text(card.holder_name, f"{field}.holder_name", limits.SHORT_TEXT_MOST)
    found += _country_errors(source.issuer_country, f"{field}.issuer_country")
    return found


def _cvc_errors(cvc: str, field: str) -> list[FieldError]:
    if cvc and not (3 <= len(cvc) <= 4 and cvc.isascii() and cvc.isdigit()):
        return [FieldError(field, "CVC_MALFORMED", "a CVC is 3 or 4 digits")]
    return []


def _details_errors(details: PaymentDetails) -> list[FieldError]:
    found = _customer_errors(details.customer)
    found += _address_errors(details.billing_address, "billing_address")
    found += _address_errors(details.shipping_address, "shipping_address")
    found += _text(details.description, "description", limits.TEXT_MOST)
    found += _text(details.statement_descriptor, "statement_descriptor", limits.DESCRIPTOR_MOST)
    found += _text(
        details.previous_network_transaction_id, "network_transaction_id", limits.SHORT_TEXT_MOST
    )
    found += _metadata_errors(details.metadata)
    found += _url_errors(details.return_url)
    found += _risk_errors(details.risk_score, "risk_score")
    if details.previous_network_transaction_id and details.initiator is Initiator.CUSTOMER:
        found.append(
            FieldError(
                "network_transaction_id",
                "INITIATOR_MISMATCH",
                "only a payment that the merchant starts refers to an earlier one; set initiator "
                "to INITIATOR_MERCHANT or leave this out",
            )
        )
    return found


def _risk_errors(risk_score: int | None, field: str) -> list[FieldError]:
    if risk_score is None or 0 <= risk_score <= 100:
        return []
    return [
        FieldError(
            field,
            "RISK_SCORE_OUT_OF_RANGE",
            f"{risk_score} is not 0 to 100; leave it out where there is none",
        )
    ]


def _customer_errors(customer: Customer) -> list[FieldError]:
    found: list[FieldError] = []
    for name in ("reference", "email", "name", "phone"):
        value = getattr(customer, name)
        if value:
            most = limits.EMAIL_MOST if name == "email" else limits.SHORT_TEXT_MOST
            found += _text(value, f"customer.{name}", most)
    if customer.ip_address and not is_ipv4(customer.ip_address):
        try:
            ipaddress.ip_address(customer.ip_address)
        except ValueError:
            found.append(
                FieldError(
                    "customer.ip_address", "IP_ADDRESS_INVALID", "send an IPv4 or IPv6 address"
                )
            )
    browser = customer.browser
    if browser is not None:
        for name in ("user_agent", "accept_header", "language"):
            found += _text(
                getattr(browser, name), f"customer.browser.{name}", limits.WIDE_TEXT_MOST
            )
    return found


def _address_errors(address: Address | None, field: str) -> list[FieldError]:
    if address is None:
        return []
    found = _country_errors(address.country, f"{field}.country")
    for name in ("line1", "line2", "city", "state", "postal_code", "name", "phone"):
        value = getattr(address, name)
        if value:
            found += _text(value, f"{field}.{name}", limits.SHORT_TEXT_MOST)
    return found


def _country_errors(country: str, field: str) -> list[FieldError]:
    if country and not (len(country) == 2 and country.isascii() and country.isupper()):
        return [
            FieldError(
                field,
                "COUNTRY_INVALID",
                'send an ISO 3166-1 alpha-2 code in capitals, for example "DE"',
            )
        ]
    return []


def _text(value: str, field: str, most: int) -> list[FieldError]:
    if not value:
        return []
    if len(value) > most:
        return [FieldError(field, "TEXT_TOO_LONG", f"{len(value)} characters; at most {most} fit")]
    if "\0" in value:
        return [FieldError(field, "TEXT_INVALID", "holds a U+0000, which no provider takes")]
    if holds_card_number(value):
        return [_pan_found(field)]
    return []


def _metadata_errors(metadata: dict[str, str]) -> list[FieldError]:
    if not metadata:
        return []
    if len(metadata) > limits.METADATA_PAIRS_MOST:
        return [
            FieldError(
                "metadata",
                "METADATA_TOO_LARGE",
                f"{len(metadata)} pairs; at most {limits.METADATA_PAIRS_MOST} are kept",
            )
        ]
    found: list[FieldError] = []
    for key, value in metadata.items():
        if not 1 <= len(key) <= limits.METADATA_KEY_MOST or "\0" in key:
            found.append(
                FieldError(
                    "metadata",
                    "METADATA_KEY_INVALID",
                    f"a key has 1 to {limits.METADATA_KEY_MOST} characters, none of them U+0000",
                )
            )
        elif holds_card_number(key):
            found.append(_pan_found("metadata"))
        else:
            found += _text(value, f"metadata[{key!r}]", limits.METADATA_VALUE_MOST)
    return found


def _url_errors(url: str) -> list[FieldError]:
    if not url:
        return []
    wrong = FieldError(
        "return_url", "RETURN_URL_INVALID", "send an absolute http or https URL, or leave it out"
    )
    if len(url) > limits.URL_MOST:
        return [wrong]
    try:
        parts = urlsplit(url)
    except ValueError:
        return [wrong]
    # A space counts as printable, and no browser can be sent to such an address as it stands.
    broken = not url.isprintable() or " " in url
    if parts.scheme not in ("http", "https") or not parts.netloc or broken:
        return [wrong]
    return []


def _pan_found(field: str) -> FieldError:
    return FieldError(
        field,
        "CARD_DATA_IN_TEXT",
        "this text holds what looks like a card number; send card data in payment_method only",
    )
