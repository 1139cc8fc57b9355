"""Captures, cancels, refunds and reversals: answered `received`, decided by webhook.

The request is only checked for sense; what the scheme says of it (too much, too late, already
captured) comes as a webhook with success `false`, as at Adyen.
"""

from __future__ import annotations

from typing import Any

from turnout.sandbox.adyen import fields
from turnout.sandbox.adyen.errors import AdyenError
from turnout.sandbox.adyen.model import Modification, Payment
from turnout.sandbox.adyen.refusals import CAPTURE_FAILS, REFUND_FAILS
from turnout.sandbox.adyen.state import AccountState
from turnout.sandbox.wire import Call

_NOT_ENOUGH = "Insufficient balance on payment"
_NOT_CAPTURED = "Transaction hasn't been captured, refund not possible"


def capture(state: AccountState, call: Call, psp_reference: str) -> dict[str, Any]:
    """Take some or all of a hold; without multi-capture the rest is released."""
    value, currency = fields.amount(call.params)
    payment = _payment(state, psp_reference)
    _same_currency(payment, currency)
    made = _modification(state, call, "CAPTURE", value)
    book = payment.book
    if payment.status != "authorised" or book is None or book.held_minor < value:
        made.reason = _NOT_ENOUGH
    elif not state.account.multi_capture and book.captured_minor:
        made.reason = "Multiple partial captures are not enabled"
    else:
        made.succeeded = True
        state.books.move(book, "captured", value, state.clock(), made.psp_reference)
        if book.held_minor and not state.account.multi_capture:
            state.books.move(book, "released", book.held_minor, state.clock(), made.psp_reference)
    _tell(state, payment, made, "CAPTURE")
    if made.succeeded and payment.card.holder_name.lower() == CAPTURE_FAILS:
        fail_capture(state, payment, made)
    return _received(state, payment, made, amount=(value, currency))


def cancel(state: AccountState, call: Call, psp_reference: str) -> dict[str, Any]:
    """Give a hold back."""
    payment = _payment(state, psp_reference)
    made = _modification(state, call, "CANCELLATION", payment.amount_minor)
    _release(state, payment, made)
    _tell(state, payment, made, "CANCELLATION")
    return _received(state, payment, made)


def cancel_by_reference(state: AccountState, call: Call) -> dict[str, Any]:
    """Give a hold back that is known by our reference only: the way out of an unknown outcome."""
    reference = fields.text(call.params, "paymentReference")
    if not reference:
        raise AdyenError(422, "130", "paymentReference is missing")
    found = state.by_reference.get(reference, ())
    made = _modification(state, call, "TECHNICAL_CANCEL", 0)
    # The newest that still holds money; two payments under one reference are the merchant's doing.
    held = [p for p in found if p.book is not None and p.book.held_minor]
    payment = held[-1] if held else (found[-1] if found else None)
    if payment is not None:
        made.amount_minor = payment.amount_minor
        _release(state, payment, made)
    else:
        made.reason = "Original payment not found"
    state.notifier.send(
        "TECHNICAL_CANCEL",
        made.psp_reference,
        reference,
        made.amount_minor,
        "EUR" if payment is None else payment.currency,
        success=made.succeeded,
        reason=made.reason,
        payment_method=None if payment is None else payment.card.brand,
        original_reference=None if payment is None else payment.psp_reference,
    )
    out: dict[str, Any] = {
        "merchantAccount": state.account.name,
        "paymentReference": reference,
        "pspReference": made.psp_reference,
        "status": "received",
    }
    if made.reference:
        out["reference"] = made.reference
    return out


def refund(state: AccountState, call: Call, psp_reference: str) -> dict[str, Any]:
    """Give captured money back, whole or in parts."""
    value, currency = fields.amount(call.params)
    payment = _payment(state, psp_reference)
    _same_currency(payment, currency)
    made = _modification(state, call, "REFUND", value)
    _give_back(state, payment, made, value)
    _tell(state, payment, made, "REFUND")
    if made.succeeded and payment.card.holder_name.lower() == REFUND_FAILS:
        fail_refund(state, payment, made)
    return _received(state, payment, made, amount=(value, currency))


def reverse(state: AccountState, call: Call, psp_reference: str) -> dict[str, Any]:
    """Cancel what is not captured yet, refund what is."""
    payment = _payment(state, psp_reference)
    made = _modification(state, call, "CANCEL_OR_REFUND", payment.amount_minor)
    captured = payment.book is not None and payment.book.net_captured_minor > 0
    if captured and payment.book is not None:
        _give_back(state, payment, made, payment.book.net_captured_minor)
    else:
        _release(state, payment, made)
    action = {"modification.action": "refund" if captured else "cancel"}
    _tell(state, payment, made, "CANCEL_OR_REFUND", action)
    return _received(state, payment, made)


def expire(state: AccountState, payment: Payment) -> None:
    """The authorization ran out before it was captured."""
    book = payment.book
    if payment.status != "authorised" or book is None or not book.held_minor:
        return
    value = book.held_minor
    state.books.move(book, "released", value, state.clock(), payment.psp_reference)
    if not book.captured_minor:
        payment.status = "expired"
    state.notifier.send(
        "EXPIRE",
        payment.psp_reference,
        payment.reference,
        value,
        payment.currency,
        success=True,
        payment_method=payment.card.brand,
    )


def fail_capture(state: AccountState, payment: Payment, made: Modification) -> None:
    """The scheme rejects a capture that was reported as done."""
    book = payment.book
    if book is None or made.kind != "CAPTURE" or not made.succeeded:
        return
    made.succeeded = False
    state.books.move(book, "capture_failed", made.amount_minor, state.clock(), made.psp_reference)
    _tell(state, payment, made, "CAPTURE_FAILED", reason="Capture Failed", success=True)


def fail_refund(state: AccountState, payment: Payment, made: Modification) -> None:
    """The scheme rejects a refund that was reported as done."""
    book = payment.book
    if book is None or made.kind != "REFUND" or not made.succeeded:
        return
    made.succeeded = False
    state.books.move(book, "refund_failed", made.amount_minor, state.clock(), made.psp_reference)
    _tell(state, payment, made, "REFUND_FAILED", reason="Refund Failed", success=True)


def _release(state: AccountState, payment: Payment, made: Modification) -> None:
    book = payment.book
    if book is not None and book.held_minor and not book.captured_minor:
        state.books.move(book, "released", book.held_minor, state.clock(), made.psp_reference)
        payment.status = "cancelled"
        made.succeeded = True
    elif book is not None and book.held_minor:
        # Partly captured with more to come: the open rest is given back.
        state.books.move(book, "released", book.held_minor, state.clock(), made.psp_reference)
        made.succeeded = True
    elif book is not None and book.captured_minor:
        made.reason = "Transaction has been captured, cancel not possible"
    else:
        made.reason = "Transaction is not authorised"


def _give_back(state: AccountState, payment: Payment, made: Modification, value: int) -> None:
    book = payment.book
    if book is None or book.captured_minor == 0:
        made.reason = _NOT_CAPTURED
    elif value > book.net_captured_minor:
        made.reason = _NOT_ENOUGH
    else:
        made.succeeded = True
        state.books.move(book, "refunded", value, state.clock(), made.psp_reference)


def _payment(state: AccountState, psp_reference: str) -> Payment:
    payment = state.payments.get(psp_reference)
    if payment is None:
        raise AdyenError(422, "167", "Original pspReference required for this operation")
    return payment


def _same_currency(payment: Payment, currency: str) -> None:
    if payment.currency != currency:
        raise AdyenError(422, "138", f"The payment is in {payment.currency}, not {currency}")


def _modification(state: AccountState, call: Call, kind: str, value: int) -> Modification:
    reference = fields.text(call.params, "reference")
    return Modification(state.mint.adyen(), kind, value, reference, succeeded=False)


def _received(
    state: AccountState,
    payment: Payment,
    made: Modification,
    amount: tuple[int, str] | None = None,
) -> dict[str, Any]:
    payment.modifications.append(made)
    out: dict[str, Any] = {
        "merchantAccount": state.account.name,
        "paymentPspReference": payment.psp_reference,
        "pspReference": made.psp_reference,
        "status": "received",
    }
    if made.reference:
        out["reference"] = made.reference
    if amount is not None:
        out["amount"] = {"currency": amount[1], "value": amount[0]}
    return out


def _tell(
    state: AccountState,
    payment: Payment,
    made: Modification,
    event_code: str,
    additional: dict[str, str] | None = None,
    *,
    reason: str | None = None,
    success: bool | None = None,
) -> None:
    own = state.settings.adyen_modification_reference == "modification"
    state.notifier.send(
        event_code,
        made.psp_reference,
        made.reference if own and made.reference else payment.reference,
        made.amount_minor,
        payment.currency,
        success=made.succeeded if success is None else success,
        reason=made.reason if reason is None else reason,
        payment_method=payment.card.brand,
        original_reference=payment.psp_reference,
        additional=additional,
    )
