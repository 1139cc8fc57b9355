"""What we send to Adyen's Checkout API: JSON bodies, and the addresses they go to."""

from __future__ import annotations

from hashlib import sha256
from urllib.parse import quote

import orjson

from turnout.connectors.adyen.codes import SCALE
from turnout.connectors.documents import Json
from turnout.domain.cards import CardDetails
from turnout.domain.members import members
from turnout.domain.operation import OperationKind
from turnout.domain.payment import Address, Browser, CaptureMethod, Initiator, PaymentDetails
from turnout.ports import AuthorizeRequest, FollowUpRequest, InquiryRequest

_Capture = members(CaptureMethod)
_Initiator = members(Initiator)
_Kind = members(OperationKind)

# The API demands a return URL even where nobody will be redirected. Where neither the payment nor
# the account has one, this one goes out: a name that by RFC 2606 never resolves.
NO_RETURN_URL = "https://no-return-url.invalid/"

PAYMENT_MARK = "turnout_payment_id"
# Adyen's limits on metadata: 20 keys of 20 characters, values of 80.
_METADATA_KEYS_MAX = 20
_METADATA_KEY_MAX = 20
_METADATA_VALUE_MAX = 80
_RETURN_URL_MAX = 1024
_STATEMENT_MAX = 22
_STATEMENT_EXTRA = frozenset(" .,'_-?+*/")

_REFUND_REASONS = {
    "requested_by_customer": "CUSTOMER REQUEST",
    "duplicate": "DUPLICATE",
    "fraudulent": "FRAUD",
    "returned": "RETURN",
}


def statement(text: str) -> str:
    """A statement descriptor in the characters that Adyen allows."""
    kept = "".join(
        one if (one.isascii() and one.isalnum()) or one in _STATEMENT_EXTRA else " "
        for one in text[:_STATEMENT_MAX]
    )
    return kept.strip()


def payment_body(
    request: AuthorizeRequest,
    amount: int,
    card: CardDetails,
    merchant_account: str,
    return_url: str,
    capture_delay_h: int,
) -> bytes:
    """POST /payments."""
    details = request.details
    by_merchant = details.initiator is _Initiator.MERCHANT
    method: Json = {
        "type": "scheme",
        "number": card.number,
        "expiryMonth": str(card.expiry_month),
        "expiryYear": str(card.expiry_year),
    }
    if card.cvc:
        method["cvc"] = card.cvc
    billing = details.billing_address
    holder = card.holder_name or (billing.name if billing is not None else "")
    if holder:
        method["holderName"] = holder
    if by_merchant and details.previous_network_transaction_id:
        method["networkPaymentReference"] = details.previous_network_transaction_id
    return_to = details.return_url or return_url
    metadata = {PAYMENT_MARK: request.payment_id}
    body: Json = {
        "merchantAccount": merchant_account,
        "reference": request.operation_id,
        "amount": {"value": amount, "currency": request.currency},
        "paymentMethod": method,
        "returnUrl": return_to if len(return_to) <= _RETURN_URL_MAX else NO_RETURN_URL,
        "merchantOrderReference": request.merchant_reference,
        "metadata": metadata,
        "shopperInteraction": "ContAuth" if by_merchant else "Ecommerce",
    }
    if request.capture_method is _Capture.MANUAL:
        body["additionalData"] = {"manualCapture": "true"}
    else:
        body["captureDelayHours"] = capture_delay_h
    if by_merchant:
        body["recurringProcessingModel"] = "UnscheduledCardOnFile"
    else:
        body["channel"] = "Web"
        always = request.require_three_ds or details.three_d_secure.lower() == "challenge"
        body["authenticationData"] = _authentication(always)
    _add_details(body, details)
    if details.metadata:
        _add_metadata(metadata, details.metadata)
    return orjson.dumps(body)


def _authentication(always: bool) -> Json:
    """3-D Secure by redirect: there is no page of ours that could show a challenge."""
    data: Json = {"threeDSRequestData": {"nativeThreeDS": "disabled"}}
    if always:
        data["attemptAuthentication"] = "always"
    return data


def _add_details(body: Json, details: PaymentDetails) -> None:
    """What is known of the payer; empty parts are left out, for Adyen checks what it gets."""
    customer = details.customer
    if 3 <= len(customer.reference) <= 256:
        body["shopperReference"] = customer.reference
    if customer.email and len(customer.email) <= 256:
        body["shopperEmail"] = customer.email
    if customer.ip_address and len(customer.ip_address) <= 50:
        body["shopperIP"] = customer.ip_address
    if customer.browser is not None:
        browser = _browser(customer.browser)
        if browser is not None:
            body["browserInfo"] = browser
    if details.billing_address is not None:
        address = _address(details.billing_address)
        if address is not None:
            body["billingAddress"] = address
    if details.shipping_address is not None:
        address = _address(details.shipping_address)
        if address is not None:
            body["deliveryAddress"] = address
    if details.statement_descriptor:
        text = statement(details.statement_descriptor)
        if text:
            body["shopperStatement"] = text


def _browser(browser: Browser) -> Json | None:
    """All of it or nothing: the API refuses a part."""
    if not (browser.user_agent and browser.accept_header and browser.language):
        return None
    return {
        "userAgent": browser.user_agent,
        "acceptHeader": browser.accept_header,
        "language": browser.language,
        "colorDepth": browser.color_depth_bits or 24,
        "screenHeight": browser.screen_height_px,
        "screenWidth": browser.screen_width_px,
        "timeZoneOffset": browser.time_zone_offset_min,
        "javaEnabled": browser.java_enabled,
        "javaScriptEnabled": browser.javascript_enabled,
    }


def _address(address: Address) -> Json | None:
    """An address as Adyen wants it, or nothing where a part is missing that it demands.

    An invented part would fail the issuer's address check.
    """
    if not (address.line1 and address.city and address.postal_code and address.country):
        return None
    street, house = _street_and_house(address)
    # For the United States, five digits at most: without the +4 part.
    postal_code_max = 5 if address.country == "US" else 10
    made = {
        "street": street,
        "houseNumberOrName": house,
        "city": address.city,
        "postalCode": address.postal_code[:postal_code_max],
        "country": address.country,
    }
    if 0 < len(address.state) <= 3:
        made["stateOrProvince"] = address.state
    return made


def _street_and_house(address: Address) -> tuple[str, str]:
    """The house number apart: the first or the last word, where it begins with a digit."""
    first, _, behind = address.line1.partition(" ")
    if behind and first[0].isdigit():
        return behind, first
    before, _, last = address.line1.rpartition(" ")
    if before and last and last[0].isdigit():
        return before, last
    return address.line1, address.line2 or "N/A"


def _add_metadata(metadata: dict[str, str], given: dict[str, str]) -> None:
    """The merchant's own metadata, as much of it as Adyen takes."""
    for key, value in given.items():
        if len(metadata) >= _METADATA_KEYS_MAX:
            return
        if 0 < len(key) <= _METADATA_KEY_MAX and 0 < len(value) <= _METADATA_VALUE_MAX:
            metadata.setdefault(key, value)


def details_body(parameters: dict[str, str]) -> bytes | None:
    """POST /payments/details; None where the payer brought nothing that Adyen asks for."""
    details = {
        name: parameters[name] for name in ("redirectResult", "payload") if parameters.get(name)
    }
    return orjson.dumps({"details": details}) if details else None


def details_key(request: InquiryRequest, body: bytes) -> str:
    """The idempotency key of POST /payments/details: the same for the same parameters."""
    return f"{request.operation.operation_id}-{sha256(body).hexdigest()[:16]}"


def follow_up_request(request: FollowUpRequest, merchant_account: str) -> tuple[str, bytes] | None:
    """Path and body of a capture, cancel or refund; None where Adyen cannot write the amount."""
    body: Json = {"merchantAccount": merchant_account, "reference": request.operation_id}
    psp = quote(request.authorization_reference, safe="")
    if request.kind is _Kind.CANCEL:
        if not psp:
            body["paymentReference"] = request.authorization_operation_id
            return "/cancels", orjson.dumps(body)
        # Never /reversals: of what is captured in part it would give the captured money back.
        return f"/payments/{psp}/cancels", orjson.dumps(body)
    amount = SCALE.to_provider(request.amount_minor, request.currency)
    if amount is None:
        return None
    body["amount"] = {"value": amount, "currency": request.currency}
    if request.kind is _Kind.CAPTURE:
        return f"/payments/{psp}/captures", orjson.dumps(body)
    reason = _REFUND_REASONS.get(request.reason.lower())
    if reason is not None:
        body["merchantRefundReason"] = reason
    return f"/payments/{psp}/refunds", orjson.dumps(body)
