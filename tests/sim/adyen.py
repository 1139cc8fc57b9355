"""Adyen's Checkout API as its wire shows it: nothing can be asked, results come by webhook.

Captures, cancels and refunds are answered `received`; the books move when the scheme decides, and
the signed notification is all that tells. A repeated idempotency key replays, whatever the body.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

import orjson

from tests.sim.books import Charge, issuer_code

if TYPE_CHECKING:
    from tests.sim.world import World

Reply = tuple[int, dict[str, str], bytes]
Seal = Callable[[float], tuple[dict[str, str], bytes]]
SOFT = (("12", "Not enough balance"), ("2", "Refused"), ("9", "Issuer Unavailable"))
HARD = (("5", "Blocked Card"), ("20", "FRAUD"), ("6", "Expired Card"))


@dataclass(slots=True)
class Payment:
    """One payment at a merchant account."""

    psp: str
    account_id: str
    reference: str
    payment_id: str
    amount: int
    currency: str
    manual: bool
    status: str = "new"
    charge: Charge | None = None


@dataclass(slots=True)
class Account:
    """One merchant account."""

    account_id: str
    name: str
    hmac_key: bytes
    multi_capture: bool


class AdyenModel:
    """All Adyen merchant accounts of a world."""

    def __init__(
        self, world: World, random: Random, accounts: dict[str, tuple[str, str, str]]
    ) -> None:
        self.world = world
        self.books = world.books
        self.random = random
        self.by_key: dict[str, Account] = {}
        self.accounts: dict[str, Account] = {}
        for account_id, (key, name, hmac_key) in accounts.items():
            multi_capture = account_id == "acc_a2"
            made = Account(account_id, name, bytes.fromhex(hmac_key), multi_capture)
            self.by_key[key] = self.accounts[account_id] = made
        self.payments: dict[str, Payment] = {}
        self.by_reference: dict[str, Payment] = {}
        self.keys: dict[tuple[str, str], Reply] = {}
        self.count = 0

    def rotate(self, account_id: str, key: str) -> Callable[[], None]:
        """Another key for an account; what it returns takes the ones before it away."""
        account = self.accounts[account_id]
        old = [one for one, known in self.by_key.items() if known is account]
        self.by_key[key] = account

        def revoke() -> None:
            for one in old:
                self.by_key.pop(one, None)

        return revoke

    def new_psp(self) -> str:
        self.count += 1
        return f"PSP{self.count:013d}"

    def handle(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
        """One request that has arrived."""
        account = self.by_key.get(headers.get("X-API-Key", ""))
        if account is None:
            return _error(401, "000", "Unauthorized", "security")
        key = headers.get("Idempotency-Key", "")
        kept = self.keys.get((account.account_id, key)) if key else None
        if kept is not None:
            return kept
        document = orjson.loads(body)
        if document["merchantAccount"] != account.name:
            return _error(403, "901", "Invalid Merchant Account", "security")
        reply = self._do(account, path, document)
        if key:
            self.keys[account.account_id, key] = reply
        return reply

    def _do(self, account: Account, path: str, document: dict[str, Any]) -> Reply:
        reference = document["reference"]
        self.books.asked(reference, account.account_id)
        parts = path.split("/")
        if path == "/v72/payments":
            return 200, {}, orjson.dumps(self._authorise(account, document))
        if path == "/v72/cancels":
            payment = self.by_reference.get(document["paymentReference"])
            return self._modify(account, payment, "cancels", document, technical=True)
        payment = self.payments.get(parts[3])
        if payment is None or payment.account_id != account.account_id:
            return _error(422, "167", "Original pspReference required", "validation")
        return self._modify(account, payment, parts[4], document)

    def _authorise(self, account: Account, document: dict[str, Any]) -> dict[str, Any]:
        payment = Payment(
            self.new_psp(),
            account.account_id,
            document["reference"],
            document["metadata"]["turnout_payment_id"],
            document["amount"]["value"],
            document["amount"]["currency"],
            "additionalData" in document,
        )
        self.payments[payment.psp] = payment
        self.by_reference[payment.reference] = payment
        mind = self.world.issuer(self.random)
        answer: dict[str, Any] = {
            "pspReference": payment.psp,
            "merchantReference": payment.reference,
            "amount": document["amount"],
        }
        if mind == "action":
            payment.status = "redirected"
            answer["resultCode"] = "RedirectShopper"
            answer["action"] = {
                "type": "redirect",
                "method": "GET",
                "url": f"https://adyen.sim/redirect/{payment.psp}",
            }
        elif mind == "approve" and self.random.random() < 0.05:
            payment.status = "waits"
            answer["resultCode"] = "Received"
            wait_s = 1.0 + self.random.random() * 20
            self.world.loop.call_later(wait_s, self._approve, payment)
        elif mind == "approve":
            self._approve(payment)
            answer["resultCode"] = "Authorised"
            answer["additionalData"] = {"cvcResult": "1 Matches", "networkTxReference": "10101"}
        else:
            code, reason = self.random.choice(SOFT if mind == "soft" else HARD)
            self._refuse(payment, reason)
            self.books.declines[document["paymentMethod"]["number"]] += 1
            raw = issuer_code(mind, self.random)
            if raw:
                answer["additionalData"] = {"refusalReasonRaw": f"{raw} : {reason}"}
            answer |= {"resultCode": "Refused", "refusalReason": reason}
            answer["refusalReasonCode"] = code
        return answer

    def _approve(self, payment: Payment) -> None:
        if payment.status == "cancelled":
            return
        payment.status = "authorised"
        payment.charge = Charge(
            payment.account_id,
            payment.reference,
            payment.payment_id,
            payment.currency,
            payment.amount,
        )
        self.books.authorize(payment.charge)
        if not payment.manual:
            self.books.move(payment.charge, "capture", payment.amount, payment.reference)
        self._tell(payment, "AUTHORISATION", payment.psp, payment.reference, payment.amount)

    def _refuse(self, payment: Payment, reason: str) -> None:
        payment.status = "refused"
        self._tell(
            payment, "AUTHORISATION", payment.psp, payment.reference, payment.amount, reason
        )

    def finish_action(self, operation_id: str, approve: bool) -> None:
        """The payer comes back from the issuer's page, and the shop's page hands it on."""
        payment = self.by_reference.get(operation_id)
        if payment is None or payment.status != "redirected":
            return
        if approve:
            self._approve(payment)
        else:
            self._refuse(payment, "3D Not Authenticated")

    def _modify(
        self,
        account: Account,
        payment: Payment | None,
        what: str,
        document: dict[str, Any],
        *,
        technical: bool = False,
    ) -> Reply:
        psp, reference = self.new_psp(), document["reference"]
        named = document.get("paymentReference") or (payment.psp if payment is not None else "")
        answer = {
            "merchantAccount": account.name,
            "pspReference": psp,
            "reference": reference,
            "status": "received",
            "paymentReference" if technical else "paymentPspReference": named,
        }
        if "amount" in document:
            answer["amount"] = document["amount"]
        amount = document.get("amount", {}).get("value", 0)
        arguments = (account, payment, what, psp, reference, amount, technical)
        self.world.loop.call_later(self.random.random() * 0.5, self._decide, *arguments)
        return 201, {}, orjson.dumps(answer)

    def _decide(
        self,
        account: Account,
        payment: Payment | None,
        what: str,
        psp: str,
        reference: str,
        amount: int,
        technical: bool,
    ) -> None:
        """What the scheme makes of a modification."""
        if payment is None:
            ghost = Payment("", account.account_id, reference, "", 0, "EUR", True)
            self._tell(ghost, "TECHNICAL_CANCEL", psp, reference, 0, "Transaction not found")
            return
        charge, why = payment.charge, ""
        code = {"captures": "CAPTURE", "refunds": "REFUND", "cancels": "CANCELLATION"}.get(
            what, "CANCEL_OR_REFUND"
        )
        if what == "captures":
            if charge is None or amount > charge.held_minor:
                why = "Insufficient balance on payment"
            else:
                self.books.move(charge, "capture", amount, reference)
                if account.multi_capture and self.random.random() < 0.04:
                    self.world.loop.call_later(
                        self.random.random() * 9, self._capture_fails, payment, psp, reference
                    )
                if charge.held_minor and not account.multi_capture:
                    self.books.move(charge, "cancel", charge.held_minor, f"rest-{reference}")
        elif what == "refunds":
            if charge is None or amount > charge.captured_minor - charge.refunded_minor:
                why = "Insufficient balance on payment"
            else:
                self.books.move(charge, "refund", amount, reference)
                if self.random.random() < 0.06:
                    self.world.loop.call_later(
                        1 + self.random.random() * 20, self._refund_fails, payment, psp, reference
                    )
        else:
            why = self._release(payment, reference)
        if technical:
            code = "TECHNICAL_CANCEL"
        self._tell(payment, code, psp, reference, amount or payment.amount, why, payment.psp)

    def _release(self, payment: Payment, reference: str) -> str:
        """A cancel: what is held goes back; why not, where it does not."""
        charge = payment.charge
        if charge is None:
            if payment.status in ("redirected", "waits"):
                payment.status = "cancelled"
                return ""
            return "Transaction is not authorised"
        if not charge.held_minor:
            return "Transaction has been captured, cancel not possible"
        self.books.move(charge, "cancel", charge.held_minor, reference)
        return ""

    def _capture_fails(self, payment: Payment, psp: str, reference: str) -> None:
        """The scheme takes a capture back, unless it was refunded meanwhile."""
        charge = payment.charge
        if charge is None or charge.refunded_minor:
            return
        amount = charge.done[reference][1]
        self.books.undo(charge, reference)
        self._tell(payment, "CAPTURE_FAILED", psp, reference, amount, "", payment.psp)

    def _refund_fails(self, payment: Payment, psp: str, reference: str) -> None:
        charge = payment.charge
        if charge is None or reference in charge.undone:
            return
        amount = charge.done[reference][1]
        self.books.undo(charge, reference)
        self._tell(payment, "REFUND_FAILED", psp, reference, amount, "", payment.psp)

    def expire_all(self) -> None:
        """Every hold has run out."""
        for payment in self.payments.values():
            charge = payment.charge
            if charge is not None and charge.held_minor:
                self.books.move(charge, "cancel", charge.held_minor, f"expired-{payment.psp}")
                self._tell(payment, "EXPIRE", payment.psp, payment.reference, payment.amount)

    def _tell(
        self,
        payment: Payment,
        code: str,
        psp: str,
        reference: str,
        amount: int,
        why_not: str = "",
        original: str = "",
    ) -> None:
        account = self.accounts[payment.account_id]
        item: dict[str, Any] = {
            "amount": {"currency": payment.currency, "value": amount},
            "eventCode": code,
            "eventDate": "2026-09-21T10:00:00+00:00",
            "merchantAccountCode": account.name,
            "merchantReference": reference,
            "pspReference": psp,
            "reason": why_not,
            "success": "false" if why_not else "true",
        }
        if original:
            item["originalReference"] = original
        self.world.couriers.send(
            account.account_id, _seal(item, account), partial(self._impostor, item, account)
        )

    def _impostor(self, item: dict[str, Any], account: Account) -> tuple[str, Seal]:
        """Another account that says the same as a success, signed with its own key."""
        other = next(one for one in self.accounts.values() if one is not account)
        lie = {**item, "success": "true", "merchantAccountCode": other.name}
        return other.account_id, _seal(lie, other)


def _seal(item: dict[str, Any], account: Account) -> Seal:
    item["additionalData"] = {"hmacSignature": _sign(item, account.hmac_key)}
    items = [{"NotificationRequestItem": item}]
    body = orjson.dumps({"live": "false", "notificationItems": items})
    return lambda _: ({}, body)


def _sign(item: dict[str, Any], key: bytes) -> str:
    amount = item["amount"]
    signed = ":".join(
        (
            item["pspReference"],
            item.get("originalReference", ""),
            item["merchantAccountCode"],
            item["merchantReference"],
            str(amount["value"]),
            amount["currency"],
            item["eventCode"],
            item["success"],
        )
    )
    return base64.b64encode(hmac.digest(key, signed.encode(), "sha256")).decode()


def _error(status: int, code: str, message: str, kind: str) -> Reply:
    return (
        status,
        {},
        orjson.dumps({"status": status, "errorCode": code, "message": message, "errorType": kind}),
    )
