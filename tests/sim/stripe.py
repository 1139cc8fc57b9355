"""Stripe as its wire shows it: forms in, JSON out, idempotency keys, slow search, signed events.

Lean on purpose (the sandbox is the faithful one): a hundred microseconds a payment decide how many
worlds an hour has. What the real connector reads is all here, and money moves in the books.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, unquote_plus

import orjson

from tests.sim.books import Charge, issuer_code

if TYPE_CHECKING:
    from tests.sim.world import World

Reply = tuple[int, dict[str, str], bytes]
Seal = Callable[[float], tuple[dict[str, str], bytes]]
SOFT = ("insufficient_funds", "do_not_honor", "try_again_later", "generic_decline")
HARD = ("lost_card", "stolen_card", "expired_card")


@dataclass(slots=True)
class Intent:
    """One PaymentIntent."""

    id: str
    account_id: str
    operation_id: str
    payment_id: str
    created: int
    amount: int
    currency: str
    manual: bool
    made_s: float
    searchable_s: float
    status: str = "requires_confirmation"
    charge: Charge | None = None
    charge_id: str = ""
    error: dict[str, Any] | None = None
    reason: str | None = None
    refunds: list[dict[str, Any]] = field(default_factory=list)

    def json(self) -> dict[str, Any]:
        charge = self.charge
        return {
            "id": self.id,
            "object": "payment_intent",
            "amount": self.amount,
            "amount_received": 0 if charge is None else charge.captured_minor,
            "currency": self.currency.lower(),
            "livemode": False,
            "status": self.status,
            "capture_method": "manual" if self.manual else "automatic",
            "metadata": {
                "turnout_operation": self.operation_id,
                "turnout_payment_id": self.payment_id,
            },
            "latest_charge": None if charge is None else self.charge_json(),
            "last_payment_error": self.error,
            "cancellation_reason": self.reason,
            "next_action": {
                "type": "redirect_to_url",
                "redirect_to_url": {"url": f"https://stripe.sim/redirect/{self.id}"},
            }
            if self.status == "requires_action"
            else None,
        }

    def charge_json(self) -> dict[str, Any]:
        charge = self.charge
        return {
            "id": self.charge_id,
            "object": "charge",
            "amount": self.amount,
            "amount_captured": 0 if charge is None else charge.captured_minor,
            "captured": charge is not None and charge.captured_minor > 0,
            "currency": self.currency.lower(),
            "paid": charge is not None,
            "status": "succeeded" if charge is not None else "failed",
            "failure_code": None if self.error is None else self.error["code"],
            "payment_intent": self.id,
            "metadata": {"turnout_operation": self.operation_id},
            "payment_method_details": {
                "card": {"checks": {"cvc_check": "pass"}, "network_transaction_id": "10101"}
            },
        }


class Refused(Exception):
    """An error answer."""

    def __init__(self, status: int, error: dict[str, Any]) -> None:
        super().__init__(status)
        self.status = status
        self.error = error


def _bad(message: str, code: str = "parameter_invalid", status: int = 400) -> Refused:
    return Refused(status, {"type": "invalid_request_error", "code": code, "message": message})


class StripeModel:
    """All Stripe accounts of a world."""

    def __init__(self, world: World, random: Random, accounts: dict[str, tuple[str, str]]) -> None:
        self.world = world
        self.books = world.books
        self.random = random
        self.accounts = {key: (name, secret.encode()) for name, (key, secret) in accounts.items()}
        self.secrets = {name: secret.encode() for name, (key, secret) in accounts.items()}
        self.intents: dict[str, Intent] = {}
        self.in_order: dict[str, list[Intent]] = {name: [] for name in accounts}
        self.by_operation: dict[str, Intent] = {}
        self.methods: dict[str, str] = {}
        self.keys: dict[tuple[str, str], tuple[str, bytes, Reply, float]] = {}
        self.lag_s = random.choice((0.0, 5.0, 90.0))
        self.behind_s = 4.0 if world.plan.has("look_lags") else 0.0
        world.plan.hits["look_lags"] += self.behind_s > 0
        self.count = 0

    def rotate(self, account_id: str, key: str) -> Callable[[], None]:
        """Another key for an account; what it returns takes the ones before it away."""
        old = [one for one, known in self.accounts.items() if known[0] == account_id]
        self.accounts[key] = self.accounts[old[-1]]

        def revoke() -> None:
            for one in old:
                self.accounts.pop(one, None)

        return revoke

    def new_id(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}_{self.count:012d}"

    def handle(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
        """One request that has arrived."""
        known = self.accounts.get(headers.get("Authorization", "")[7:])
        if known is None:
            return _error(Refused(401, {"type": "invalid_request_error", "message": "key"}))
        account_id = known[0]
        try:
            if method == "GET":
                headers = {"date": formatdate(self.world.true_s(), usegmt=True)}
                return 200, headers, orjson.dumps(self._get(account_id, path))
            return self._post(account_id, path, headers.get("Idempotency-Key", ""), body)
        except Refused as refused:
            return _error(refused)

    def _post(self, account_id: str, path: str, key: str, body: bytes) -> Reply:
        name, now_s = (account_id, key), self.world.loop.now_s
        kept = self.keys.get(name) if key else None
        if kept is not None:
            if kept[0] != path or kept[1] != body:
                raise Refused(400, {"type": "idempotency_error", "message": "another body"})
            if kept[3] > now_s:
                raise Refused(
                    409,
                    {"type": "idempotency_error", "code": "idempotency_key_in_use"},
                )
            return kept[2]
        form = _form(body)
        try:
            reply: Reply = (200, {}, orjson.dumps(self._do(account_id, path, key, form)))
        except Refused as refused:
            reply = _error(refused)
        if key:
            self.keys[name] = (path, body, reply, now_s + self.random.random() * 0.05)
        return reply

    def _do(self, account_id: str, path: str, key: str, form: dict[str, str]) -> dict[str, Any]:
        parts = path.split("/")
        if path == "/v1/payment_methods":
            number = form["card[number]"]
            if not number.isdigit():
                raise _bad("number", "incorrect_number")
            made = self.new_id("pm")
            self.methods[made] = number
            return {"id": made, "object": "payment_method"}
        if path == "/v1/payment_intents":
            return self._create(account_id, form)
        if path == "/v1/refunds":
            return self._refund(account_id, form)
        intent = self._intent(account_id, parts[3])
        if key:
            self.books.asked(key, account_id)
        if parts[4] == "capture":
            return self._capture(intent, key or self.new_id("keyless"), form)
        return self._cancel(intent, key or self.new_id("keyless"), form)

    def _intent(self, account_id: str, name: str) -> Intent:
        intent = self.intents.get(name)
        if intent is None or intent.account_id != account_id:
            raise _bad("no such intent", "resource_missing", 404)
        return intent

    def _create(self, account_id: str, form: dict[str, str]) -> dict[str, Any]:
        if form.get("payment_method") not in self.methods:
            raise _bad("no such method", "resource_missing")
        operation_id = form["metadata[turnout_operation]"]
        self.books.asked(operation_id, account_id)
        now_s = self.world.true_s()
        intent = Intent(
            self.new_id("pi"),
            account_id,
            operation_id,
            form["metadata[turnout_payment_id]"],
            int(now_s),
            int(form["amount"]),
            form["currency"].upper(),
            form["capture_method"] == "manual",
            now_s,
            now_s + self.lag_s,
        )
        self.intents[intent.id] = intent
        self.in_order[account_id].append(intent)
        self.by_operation[operation_id] = intent
        mind = self.world.issuer(self.random)
        if mind == "action":
            intent.status = "requires_action"
            self._tell(intent, "payment_intent.requires_action")
        elif mind == "approve":
            self._approve(intent)
        else:
            raw = issuer_code(mind, self.random)
            self._decline(intent, self.random.choice(SOFT if mind == "soft" else HARD), raw)
            self.books.declines[self.methods[form["payment_method"]]] += 1
            raise Refused(402, {**(intent.error or {}), "payment_intent": intent.json()})
        return intent.json()

    def _approve(self, intent: Intent) -> None:
        intent.charge = Charge(
            intent.account_id,
            intent.operation_id,
            intent.payment_id,
            intent.currency,
            intent.amount,
        )
        intent.charge_id = self.new_id("ch")
        self.books.authorize(intent.charge)
        if intent.manual:
            intent.status = "requires_capture"
            self._tell(intent, "charge.succeeded", "payment_intent.amount_capturable_updated")
        else:
            self.books.move(intent.charge, "capture", intent.amount, intent.operation_id)
            intent.status = "succeeded"
            self._tell(intent, "charge.succeeded", "payment_intent.succeeded")

    def _decline(self, intent: Intent, code: str, issuer: str = "") -> None:
        intent.status = "requires_payment_method"
        intent.error = {
            "type": "card_error",
            "code": "card_declined" if code != "expired_card" else code,
            "decline_code": code,
            "message": "Your card was declined.",
        }
        if issuer:
            intent.error["network_decline_code"] = issuer
        self._tell(intent, "payment_intent.payment_failed")

    def finish_action(self, operation_id: str, approve: bool) -> None:
        """The payer comes back from the issuer's page."""
        intent = self.by_operation.get(operation_id)
        if intent is None or intent.status != "requires_action":
            return
        if approve:
            self._approve(intent)
        else:
            self._decline(intent, "authentication_required")

    def _capture(self, intent: Intent, key: str, form: dict[str, str]) -> dict[str, Any]:
        charge = intent.charge
        if intent.status != "requires_capture" or charge is None:
            raise _unexpected(intent)
        amount = int(form.get("amount_to_capture", charge.held_minor))
        if not 0 < amount <= charge.held_minor:
            raise _bad("amount_to_capture", "amount_too_large")
        self.books.move(charge, "capture", amount, key)
        if charge.held_minor:
            self.books.move(charge, "cancel", charge.held_minor, f"rest-{key}")
        intent.status = "succeeded"
        self._tell(intent, "charge.captured", "payment_intent.succeeded")
        return intent.json()

    def _cancel(self, intent: Intent, key: str, form: dict[str, str]) -> dict[str, Any]:
        if intent.status not in ("requires_capture", "requires_action", "requires_payment_method"):
            raise _unexpected(intent)
        charge = intent.charge
        if charge is not None and charge.held_minor:
            self.books.move(charge, "cancel", charge.held_minor, key)
        intent.status = "canceled"
        intent.reason = form.get("cancellation_reason")
        self._tell(intent, "payment_intent.canceled")
        return intent.json()

    def expire_all(self) -> None:
        """Every hold has run out."""
        for intent in self.intents.values():
            if intent.status == "requires_capture" and intent.charge is not None:
                charge = intent.charge
                self.books.move(charge, "cancel", charge.held_minor, f"expired-{intent.id}")
                intent.status, intent.reason = "canceled", "automatic"
                self._tell(intent, "charge.expired", "payment_intent.canceled")

    def _refund(self, account_id: str, form: dict[str, str]) -> dict[str, Any]:
        intent = self._intent(account_id, form["payment_intent"])
        operation_id = form["metadata[turnout_operation]"]
        self.books.asked(operation_id, account_id)
        charge, amount = intent.charge, int(form["amount"])
        if charge is None or amount > charge.captured_minor - charge.refunded_minor:
            raise _bad("refund is greater than what is left", "charge_already_refunded")
        mind = self.random.random()
        refund = {
            "id": self.new_id("re"),
            "object": "refund",
            "amount": amount,
            "currency": intent.currency.lower(),
            "payment_intent": intent.id,
            "status": "pending" if 0.8 < mind < 0.9 else "succeeded",
            "made_s": self.world.true_s(),
            "metadata": {"turnout_operation": operation_id},
        }
        intent.refunds.append(refund)
        self.books.move(charge, "refund", amount, operation_id)
        self._tell(intent, "refund.created", subject=refund)
        if refund["status"] == "pending":
            wait_s = 1.0 + self.random.random() * 20
            self.world.loop.call_later(wait_s, self._refund_ends, intent, refund, mind < 0.87)
        elif mind > 0.95:
            wait_s = 1.0 + self.random.random() * 20
            self.world.loop.call_later(wait_s, self._refund_ends, intent, refund, False)
        return refund

    def _refund_ends(self, intent: Intent, refund: dict[str, Any], good: bool) -> None:
        refund["status"] = "succeeded" if good else "failed"
        if not good and intent.charge is not None:
            self.books.undo(intent.charge, refund["metadata"]["turnout_operation"])
        self._tell(intent, "refund.updated", subject=refund)

    # --- questions -----------------------------------------------------------------------

    def _get(self, account_id: str, target: str) -> dict[str, Any]:
        path, _, query = target.partition("?")
        arguments = dict(one.split("=", 1) for one in query.split("&") if one)
        parts = path.split("/")
        # A copy of the books that follows a little behind answers what is looked up.
        seen_s = self.world.true_s() - self.behind_s
        if path == "/v1/payment_intents/search":
            return self._search(unquote(arguments["query"]).split("'")[3])
        if path == "/v1/payment_intents":
            return self._list(account_id, arguments, seen_s)
        if path == "/v1/refunds":
            intent = self._intent(account_id, arguments["payment_intent"])
            seen = [one for one in intent.refunds if one["made_s"] <= seen_s]
            return {"object": "list", "data": seen[::-1], "has_more": False}
        if parts[2] == "refunds":
            for intent in self.in_order[account_id]:
                for refund in intent.refunds:
                    if refund["id"] == parts[3]:
                        return refund
            raise _bad("no such refund", "resource_missing", 404)
        intent = self._intent(account_id, parts[3])
        if intent.made_s > seen_s:
            raise _bad("no such intent yet", "resource_missing", 404)
        return intent.json()

    def _search(self, operation_id: str) -> dict[str, Any]:
        intent = self.by_operation.get(operation_id)
        found = intent is not None and intent.searchable_s <= self.world.true_s()
        return {"object": "search_result", "data": [intent.json()] if found and intent else []}

    def _list(self, account_id: str, arguments: dict[str, str], seen_s: float) -> dict[str, Any]:
        low, high = int(arguments["created%5Bgte%5D"]), int(arguments["created%5Blte%5D"])
        after = arguments.get("starting_after", "")
        rows: list[Intent] = []
        passed = not after
        for intent in reversed(self.in_order[account_id]):
            if passed and low <= intent.created <= high and intent.made_s <= seen_s:
                rows.append(intent)
            passed = passed or intent.id == after
        page = rows[:10]
        return {
            "object": "list",
            "data": [one.json() for one in page],
            "has_more": len(rows) > len(page),
        }

    def _tell(self, intent: Intent, *kinds: str, subject: dict[str, Any] | None = None) -> None:
        secret = self.secrets[intent.account_id]
        for kind in kinds:
            what = subject
            if what is None:
                what = intent.charge_json() if kind.startswith("charge") else intent.json()
            event = {
                "id": self.new_id("evt"),
                "object": "event",
                "created": int(self.world.true_s()),
                "livemode": False,
                "type": kind,
                "data": {"object": what},
            }
            body = orjson.dumps(event)
            self.world.couriers.send(
                intent.account_id,
                partial(_sealed, secret, body),
                partial(self._impostor, intent, body),
            )

    def _impostor(self, intent: Intent, body: bytes) -> tuple[str, Seal]:
        """Another merchant's account, which signs with its own secret what it knows of ours."""
        good = b'"requires_capture"' if intent.manual else b'"succeeded"'
        lie = body.replace(b'"requires_payment_method"', good)
        lie = lie.replace(b'"requires_action"', good).replace(b'"failed"', b'"succeeded"')
        other = "acc_other" if intent.account_id != "acc_other" else "acc_s1"
        return other, partial(_sealed, self.secrets[other], lie)


def _sealed(secret: bytes, body: bytes, now_s: float) -> tuple[dict[str, str], bytes]:
    stamp = str(int(now_s))
    digest = hmac.digest(secret, stamp.encode() + b"." + body, "sha256").hex()
    return {"stripe-signature": f"t={stamp},v1={digest}"}, body


def _error(refused: Refused) -> Reply:
    return refused.status, {}, orjson.dumps({"error": refused.error})


def _unexpected(intent: Intent) -> Refused:
    return Refused(
        400,
        {
            "type": "invalid_request_error",
            "code": "payment_intent_unexpected_state",
            "message": f"This PaymentIntent is {intent.status}",
            "payment_intent": intent.json(),
        },
    )


def _form(body: bytes) -> dict[str, str]:
    form: dict[str, str] = {}
    for pair in body.decode().split("&"):
        name, _, value = pair.partition("=")
        form[name] = unquote_plus(value) if "%" in value or "+" in value else value
    return form
