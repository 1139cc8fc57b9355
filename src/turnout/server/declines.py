"""What each decline means in one sentence for a merchant's staff; never for the payer's screen."""

from __future__ import annotations

from typing import Final

from turnout.domain.declines import DeclineCode

_C = DeclineCode

SENTENCES: Final[dict[DeclineCode, str]] = {
    _C.GENERIC: "The payment was declined without a reason.",
    _C.DO_NOT_HONOR: "The issuer refused the payment and does not say why.",
    _C.INSUFFICIENT_FUNDS: "The account does not hold enough money.",
    _C.EXPIRED_CARD: "The card has expired, or its expiry date is wrong.",
    _C.INCORRECT_CVC: "The card verification code is wrong or missing.",
    _C.INCORRECT_NUMBER: "The issuer knows no card with this number.",
    _C.INCORRECT_ADDRESS: "The billing address is not the one that the issuer knows.",
    _C.INCORRECT_PIN: "The PIN was wrong.",
    _C.PIN_REQUIRED: "The issuer asks for a PIN, or allows no further try of it.",
    _C.LOST_CARD: "The card was reported lost.",
    _C.STOLEN_CARD: "The card was reported stolen.",
    _C.PICKUP_CARD: "The issuer wants the card to be taken in.",
    _C.RESTRICTED_CARD: "The card is blocked or restricted.",
    _C.SUSPECTED_FRAUD: "The issuer or the provider suspects fraud.",
    _C.ISSUER_UNAVAILABLE: "The issuer could not be reached.",
    _C.PROCESSING_ERROR: "The provider or the scheme failed while processing; no money moved.",
    _C.TRY_AGAIN_LATER: "The issuer refuses for now; a later try may pass.",
    _C.AUTHENTICATION_REQUIRED: "The issuer wants the payer to authenticate (3-D Secure).",
    _C.AUTHENTICATION_FAILED: "The payer did not pass the authentication (3-D Secure).",
    _C.CARD_NOT_SUPPORTED: "This kind of card is not accepted at the account that was asked.",
    _C.CURRENCY_NOT_SUPPORTED: "The card or the account does not take this currency.",
    _C.TRANSACTION_NOT_ALLOWED: "The card does not allow this kind of transaction.",
    _C.LIMIT_EXCEEDED: "The payment passes an amount or frequency limit of the card.",
    _C.AMOUNT_INVALID: "The amount is not possible for this card or provider.",
    _C.DUPLICATE_TRANSACTION: "The same transaction was seen a moment ago.",
    _C.REVOKED_AUTHORIZATION: "The payer has withdrawn the permission for this debit.",
    _C.INVALID_ACCOUNT: "The account behind the card is closed or does not exist.",
    _C.PROVIDER_REJECTED: "The provider refused the request as wrong; no money moved.",
    _C.PROVIDER_UNAVAILABLE: "No provider could be reached; no money moved.",
    _C.NO_ELIGIBLE_ACCOUNT: "No account of the profile may take this payment.",
    _C.BLOCKED_BY_RULE: "A rule of the merchant, of Turnout or of the provider blocked it.",
    _C.OUTCOME_REVERSED: "The outcome was unknown, and what may have been charged was reversed.",
    _C.ABANDONED_BY_CUSTOMER: "The payer gave up or did not act in time.",
    _C.AUTHORIZATION_EXPIRED: "The authorization has expired; the money is no longer held.",
}
