"""Which fields Adyen's requests have, and the checks on the ones that carry money and cards.

Field names come from Adyen's Checkout description; the contract tests compare both ways.
"""

from __future__ import annotations

from typing import Any

from turnout.sandbox import pan
from turnout.sandbox.adyen.errors import AdyenError
from turnout.sandbox.currencies import ADYEN_SUPPORTED


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


PAYMENT = _words(
    "accountInfo additionalAmount additionalData amount applicationInfo authenticationData "
    "bankAccount billingAddress browserInfo captureDelayHours channel checkoutAttemptId company "
    "countryCode dateOfBirth dccQuote deliverAt deliveryAddress deliveryDate deviceFingerprint "
    "enableOneClick enablePayOut enableRecurring enhancedSchemeData entityType fraudOffset "
    "fundOrigin fundRecipient industryUsage installments lineItems localizedShopperStatement "
    "mandate mcc merchantAccount merchantOrderReference merchantRiskIndicator metadata mpiData "
    "order orderReference origin paymentMethod paymentValidations platformChargebackLogic "
    "recurringExpiry recurringFrequency recurringProcessingModel redirectFromIssuerMethod "
    "redirectToIssuerMethod reference returnUrl riskData sessionValidity shopperConversionId "
    "shopperEmail shopperIP shopperInteraction shopperLocale shopperName shopperReference "
    "shopperStatement shopperTaxInfo socialSecurityNumber splits store storePaymentMethod "
    "subMerchants surcharge telephoneNumber threeDS2RequestData threeDSAuthenticationOnly "
    "trustedShopper"
)
DETAILS = _words("authenticationData details paymentData threeDSAuthenticationOnly")
CAPTURE = _words(
    "amount applicationInfo enhancedSchemeData lineItems merchantAccount platformChargebackLogic "
    "reference splits subMerchants"
)
CANCEL = _words("applicationInfo merchantAccount reference")
STANDALONE_CANCEL = CANCEL | {"paymentReference"}
REFUND = _words(
    "amount applicationInfo capturePspReference enhancedSchemeData lineItems merchantAccount "
    "merchantRefundReason reference splits store"
)
CARD = _words(
    "billingSequenceNumber brand checkoutAttemptId cvc expiryMonth expiryYear fastlaneData "
    "fundingSource holderName networkPaymentReference number sdkData type"
)
AMOUNT = frozenset({"currency", "value"})


def known(body: dict[str, Any], names: frozenset[str], structure: str) -> None:
    """Refuse fields that the structure does not have."""
    unknown = body.keys() - names
    if unknown:
        raise AdyenError(
            400, "702", f"{structure} has no field {', '.join(sorted(unknown))[:200]}"
        )


def text(body: dict[str, Any], name: str, maximum: int = 80) -> str:
    """An optional text field."""
    value = body.get(name, "")
    if not isinstance(value, str):
        raise AdyenError(400, "702", f"{name} must be a string")
    if len(value) > maximum:
        raise AdyenError(422, "702", f"{name} has more than {maximum} characters")
    return value


def amount(body: dict[str, Any]) -> tuple[int, str]:
    """The amount in minor units and its currency."""
    given = body.get("amount")
    if not isinstance(given, dict):
        raise AdyenError(422, "100", "No amount specified")
    known(given, AMOUNT, "Amount")
    value, currency = given.get("value"), given.get("currency")
    if isinstance(value, bool) or not isinstance(value, int) or not isinstance(currency, str):
        raise AdyenError(400, "702", "Amount needs an integer value and a currency")
    if currency not in ADYEN_SUPPORTED:
        raise AdyenError(422, "138", f"Currency {currency[:8]!r} is not supported")
    # Adyen documents no maximum; its integers have 64 bits and card messages 12 digits.
    if not 0 < value <= 999_999_999_999:
        raise AdyenError(422, "137", "Invalid amount specified")
    return value, currency


def card(body: dict[str, Any]) -> dict[str, str]:
    """The card of a payment, checked as Adyen checks it before any issuer is asked."""
    method = body.get("paymentMethod")
    if not isinstance(method, dict):
        raise AdyenError(422, "14_004", "Missing payment method details")
    if method.get("type") not in ("scheme", "card"):
        raise AdyenError(500, "905", "Payment details are not supported", "configuration")
    known(method, CARD, "CardDetails")
    if not all(isinstance(value, str) for value in method.values()):
        raise AdyenError(400, "702", "Card details must be strings")
    number = method.get("number", "").replace(" ", "")
    if not (number.isascii() and number.isdigit() and 12 <= len(number) <= 19):
        raise AdyenError(422, "101", "Invalid card number")
    if not pan.luhn_ok(number):
        raise AdyenError(422, "101", "Invalid card number")
    month, year = method.get("expiryMonth", ""), method.get("expiryYear", "")
    if not (month.isdigit() and 1 <= int(month) <= 12):
        raise AdyenError(422, "129", "Expiry month is missing or not between 1 and 12")
    if not (year.isdigit() and len(year) == 4):
        raise AdyenError(422, "129", "Expiry year is missing or not four digits")
    cvc = method.get("cvc")
    if cvc is not None and not (cvc.isdigit() and 3 <= len(cvc) <= 4):
        raise AdyenError(422, "103", "CVC is not the right length")
    return {**method, "number": number}
