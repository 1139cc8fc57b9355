"""The calls that the benches send, as prepared bytes around one reference.

Only published test numbers. A request is as full as a shop's: payer, address, note, metadata.
"""

from __future__ import annotations

from google.protobuf import json_format

from turnout import v1

# As long as every real one, because protobuf counts lengths: a salt, a dash and ten letters.
REFERENCE_CHARS = 24
SALT_CHARS = REFERENCE_CHARS - 11
# `pay_` and 32 digits.
ID_CHARS = 36

_NUMBERS = (
    "4242424242424242",
    "5555555555554444",
    "4000056655665556",
    "2223003122003222",
)
_CURRENCIES = ("EUR", "USD", "GBP", "EUR")

Bodies = list[tuple[str, str]]


def authorize_request(
    place: int, *, token: str = "", profile: str = "", manual: bool = False
) -> v1.AuthorizePaymentRequest:
    """One of a few different payments, with a placeholder for its reference."""
    card = v1.Card(
        number=_NUMBERS[place % len(_NUMBERS)],
        expiry_month=3,
        expiry_year=2030,
        cvc="737",
        holder_name="Jordan Example",
    )
    method = v1.PaymentMethod(card=card)
    if token:
        method = v1.PaymentMethod(token=v1.TokenReference(token_id=token, cvc="737"))
    return v1.AuthorizePaymentRequest(
        merchant_reference="r" * REFERENCE_CHARS,
        amount_minor=10_000 + 137 * place,
        currency=_CURRENCIES[place % len(_CURRENCIES)],
        payment_method=method,
        capture_method=v1.CAPTURE_METHOD_MANUAL if manual else v1.CAPTURE_METHOD_AUTOMATIC,
        profile_id=profile,
        customer=v1.Customer(
            reference="customer-48151623",
            email="jordan@example.com",
            name="Jordan Example",
            ip_address="203.0.113.17",
        ),
        billing_address=v1.Address(
            line1="1 Example Street",
            city="Amsterdam",
            postal_code="1011 AB",
            country="NL",
        ),
        description="Two pairs of shoes and a hat",
        metadata={"cart": "0f8a5b1c-3d52-4a3f", "channel": "web"},
        return_url="https://shop.example.com/paid",
    )


def _around(raw: bytes, placeholder: str) -> tuple[str, str]:
    """The bytes before and after the one place where the placeholder stands."""
    before, found, after = raw.partition(placeholder.encode())
    if not found or placeholder.encode() in after:
        raise ValueError(
            f"the placeholder stands {'twice' if found else 'nowhere'} in the message"
        )
    return before.hex(), after.hex()


def authorize_bodies(
    *, token: str = "", profile: str = "", manual: bool = False, as_json: bool = False
) -> Bodies:
    """AuthorizePayment: four cards in turn, or one token."""
    found = []
    for place in range(len(_NUMBERS)):
        request = authorize_request(place, token=token, profile=profile, manual=manual)
        raw = request.SerializeToString()
        if as_json:
            text: str = json_format.MessageToJson(
                request, preserving_proto_field_name=True, indent=None
            )
            raw = text.encode()
        found.append(_around(raw, "r" * REFERENCE_CHARS))
    return found


def get_bodies() -> Bodies:
    """GetPayment; the reference is the payment's id."""
    raw = v1.GetPaymentRequest(payment_id="p" * ID_CHARS).SerializeToString()
    return [_around(raw, "p" * ID_CHARS)]


def capture_bodies() -> Bodies:
    """CapturePayment of the whole amount; the reference is the payment's id."""
    raw = v1.CapturePaymentRequest(payment_id="p" * ID_CHARS).SerializeToString()
    return [_around(raw, "p" * ID_CHARS)]


def refund_bodies() -> Bodies:
    """CreateRefund of the whole amount; the reference is the payment's id."""
    raw = v1.CreateRefundRequest(payment_id="p" * ID_CHARS).SerializeToString()
    return [_around(raw, "p" * ID_CHARS)]
