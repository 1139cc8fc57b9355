"""What we send to Stripe: form bodies with nested keys, and the addresses they go to.

The PaymentIntent's body holds nothing of the card but the PaymentMethod's id, so it may be kept
and sent again word for word under the same idempotency key.
"""

from __future__ import annotations

from urllib.parse import quote, quote_plus

from turnout.connectors.stripe.codes import SCALE
from turnout.domain.cards import CardDetails
from turnout.domain.members import members
from turnout.domain.operation import OperationKind
from turnout.domain.payment import Address, CaptureMethod, Initiator, PaymentDetails
from turnout.ports import AuthorizeRequest, FollowUpRequest

_Capture = members(CaptureMethod)
_Initiator = members(Initiator)
_Kind = members(OperationKind)

# The version that the answers are read for; a request without it gets the account's default.
API_VERSION = "2023-08-16"

# Our marks in Stripe's metadata: by the first an operation is found again.
OPERATION_MARK = "turnout_operation"
PAYMENT_MARK = "turnout_payment_id"

# Stripe's limits on metadata: 50 keys of 40 characters, values of 500.
_METADATA_KEYS_MAX = 48
_METADATA_KEY_MAX = 40
_METADATA_VALUE_MAX = 500
_DESCRIPTION_MAX = 1000
_DESCRIPTOR_MAX = 22
_DESCRIPTOR_FORBIDDEN = str.maketrans("", "", "<>\\'\"*")

_CANCEL_REASONS = frozenset({"duplicate", "fraudulent", "requested_by_customer", "abandoned"})
_REFUND_REASONS = frozenset({"duplicate", "fraudulent", "requested_by_customer"})


def _add(form: list[str], name: str, value: str) -> None:
    """One field, left out where it is empty. `name` is ours and needs no escaping."""
    if value:
        form.append(f"{name}={quote_plus(value)}")


def _add_address(form: list[str], name: str, address: Address) -> None:
    _add(form, f"{name}[line1]", address.line1)
    _add(form, f"{name}[line2]", address.line2)
    _add(form, f"{name}[city]", address.city)
    _add(form, f"{name}[state]", address.state)
    _add(form, f"{name}[postal_code]", address.postal_code)
    _add(form, f"{name}[country]", address.country)


def _add_metadata(form: list[str], metadata: dict[str, str]) -> None:
    """The merchant's own metadata, as much of it as Stripe takes."""
    left = _METADATA_KEYS_MAX
    for key, value in metadata.items():
        if not left:
            return
        bracketed = "[" in key or "]" in key
        if not key or len(key) > _METADATA_KEY_MAX or bracketed or key.startswith("turnout_"):
            continue
        if value:
            form.append(
                f"metadata[{quote(key, safe='')}]={quote_plus(value[:_METADATA_VALUE_MAX])}"
            )
            left -= 1


def descriptor_suffix(text: str) -> str:
    """A statement descriptor as Stripe takes it for cards, or nothing where it would refuse it."""
    cleaned = text.translate(_DESCRIPTOR_FORBIDDEN).strip()[:_DESCRIPTOR_MAX].strip()
    if not cleaned.isascii() or not any(character.isalpha() for character in cleaned):
        return ""
    return cleaned


def payment_method_body(card: CardDetails, details: PaymentDetails) -> bytes:
    """POST /v1/payment_methods: the only body that ever holds a card."""
    form = [
        "type=card",
        f"card[number]={card.number}",
        f"card[exp_month]={card.expiry_month}",
        f"card[exp_year]={card.expiry_year}",
    ]
    _add(form, "card[cvc]", card.cvc)
    customer = details.customer
    billing = details.billing_address
    if billing is not None:
        _add_address(form, "billing_details[address]", billing)
    _add(form, "billing_details[email]", customer.email)
    name = card.holder_name or (billing.name if billing is not None else "") or customer.name
    _add(form, "billing_details[name]", name)
    phone = (billing.phone if billing is not None else "") or customer.phone
    _add(form, "billing_details[phone]", phone)
    return "&".join(form).encode()


def payment_intent_body(
    request: AuthorizeRequest, amount: int, payment_method: str, return_url: str
) -> str:
    """POST /v1/payment_intents: create and confirm in one."""
    details = request.details
    manual = request.capture_method is _Capture.MANUAL
    form = [
        f"amount={amount}",
        f"currency={request.currency.lower()}",
        f"payment_method={payment_method}",
        "payment_method_types[]=card",
        "confirm=true",
        "capture_method=manual" if manual else "capture_method=automatic",
        "expand[]=latest_charge",
        f"metadata[{OPERATION_MARK}]={quote_plus(request.operation_id)}",
        f"metadata[{PAYMENT_MARK}]={quote_plus(request.payment_id)}",
    ]
    if details.metadata:
        _add_metadata(form, details.metadata)
    _add(form, "description", details.description[:_DESCRIPTION_MAX])
    if details.statement_descriptor:
        suffix = descriptor_suffix(details.statement_descriptor)
        _add(form, "statement_descriptor_suffix", suffix)
    if details.initiator is _Initiator.MERCHANT:
        form.append("off_session=true")
    else:
        _add(form, "return_url", details.return_url or return_url)
    if request.require_three_ds or details.three_d_secure.lower() == "challenge":
        form.append("payment_method_options[card][request_three_d_secure]=any")
    shipping = details.shipping_address
    if shipping is not None and shipping.line1:
        name = shipping.name or details.customer.name
        if name:
            _add_address(form, "shipping[address]", shipping)
            _add(form, "shipping[name]", name)
            _add(form, "shipping[phone]", shipping.phone)
    return "&".join(form)


def follow_up_request(request: FollowUpRequest) -> tuple[str, str] | None:
    """Path and body of a capture, cancel or refund; None where Stripe cannot write the amount."""
    intent = quote(request.authorization_reference, safe="")
    if request.kind is _Kind.CANCEL:
        reason = request.reason.lower()
        body = f"cancellation_reason={reason}" if reason in _CANCEL_REASONS else ""
        return f"/v1/payment_intents/{intent}/cancel", body
    amount = SCALE.to_provider(request.amount_minor, request.currency)
    if amount is None:
        return None
    if request.kind is _Kind.CAPTURE:
        return f"/v1/payment_intents/{intent}/capture", f"amount_to_capture={amount}"
    form = [
        f"payment_intent={intent}",
        f"amount={amount}",
        f"metadata[{OPERATION_MARK}]={quote_plus(request.operation_id)}",
        f"metadata[{PAYMENT_MARK}]={quote_plus(request.payment_id)}",
    ]
    reason = request.reason.lower()
    if reason in _REFUND_REASONS:
        form.append(f"reason={reason}")
    return "/v1/refunds", "&".join(form)


def intent_path(intent: str) -> str:
    """GET one PaymentIntent with its charge."""
    return f"/v1/payment_intents/{quote(intent, safe='')}?expand%5B%5D=latest_charge"


def search_path(operation_id: str) -> str:
    """GET the PaymentIntents that carry our operation's mark; may lag behind by minutes."""
    query = f"metadata['{OPERATION_MARK}']:'{operation_id}'"
    return f"/v1/payment_intents/search?query={quote(query, safe='')}&limit=10"


def list_path(created_from_s: int, created_to_s: int, after: str) -> str:
    """GET a page of all PaymentIntents of a span of time, newest first; never lags."""
    path = (
        f"/v1/payment_intents?created%5Bgte%5D={created_from_s}"
        f"&created%5Blte%5D={created_to_s}&limit=100"
    )
    return f"{path}&starting_after={quote(after, safe='')}" if after else path


def refunds_path(intent: str, after: str) -> str:
    """GET a page of a PaymentIntent's refunds, newest first."""
    path = f"/v1/refunds?payment_intent={quote(intent, safe='')}&limit=100"
    return f"{path}&starting_after={quote(after, safe='')}" if after else path


def refund_path(refund: str) -> str:
    """GET one refund."""
    return f"/v1/refunds/{quote(refund, safe='')}"
