"""Adyen's Checkout API: paths, authentication, idempotency and dispatch."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import orjson

from turnout.sandbox.adyen import fields, modifications, payments
from turnout.sandbox.adyen.errors import AdyenError
from turnout.sandbox.adyen.state import AccountState
from turnout.sandbox.books import Books
from turnout.sandbox.idempotency import Claim, KeyStore
from turnout.sandbox.ids import IdMint
from turnout.sandbox.settings import SandboxSettings
from turnout.sandbox.webhooks import WebhookCourier
from turnout.sandbox.wire import Answer, Call, Clock, packed

# Adyen keeps idempotency keys for at least 31 days.
_KEYS_VALID_S = 31 * 86_400.0
VERSIONS = ("v71", "v72")

_PATH = re.compile(
    r"/(?P<version>v\d+)"
    r"(?P<path>/payments/details|/payments/(?P<psp>[A-Za-z0-9]{1,64})/(?P<verb>[a-z]+)"
    r"|/payments|/cancels)"
)
# description's path -> (operation for faults, request fields)
_OPERATIONS: dict[str, tuple[str, frozenset[str], str]] = {
    "/payments": ("authorize", fields.PAYMENT, "PaymentRequest"),
    "/payments/details": ("complete", fields.DETAILS, "PaymentDetailsRequest"),
    "/payments/{paymentPspReference}/captures": (
        "capture", fields.CAPTURE, "PaymentCaptureRequest",
    ),
    "/payments/{paymentPspReference}/cancels": ("cancel", fields.CANCEL, "PaymentCancelRequest"),
    "/payments/{paymentPspReference}/reversals": (
        "cancel", fields.CANCEL, "PaymentReversalRequest",
    ),
    "/payments/{paymentPspReference}/refunds": ("refund", fields.REFUND, "PaymentRefundRequest"),
    "/cancels": ("cancel", fields.STANDALONE_CANCEL, "StandalonePaymentCancelRequest"),
}  # fmt: skip
ENDPOINTS = tuple(_OPERATIONS)


class AdyenSimulator:
    """Speaks Adyen's Checkout API for several merchant accounts."""

    name = "adyen"

    def __init__(
        self,
        settings: SandboxSettings,
        books: Books,
        courier: WebhookCourier,
        clock: Clock,
        rng: Random,
        page_url: Callable[[], str],
    ) -> None:
        self._settings = settings
        self._books = books
        self._courier = courier
        self._clock = clock
        self._mint = IdMint(rng)
        self._page_url = page_url
        self.reset()

    def reset(self) -> None:
        """Forget everything but the accounts."""
        self.keys = KeyStore(self._settings.idempotency_keys_max, _KEYS_VALID_S)
        # How often a key came again with another body, which Adyen answers and nobody notices.
        self.keys_reused = 0
        self.states = {
            account.name: AccountState(
                account, self._settings, self._books, self._mint, self._courier, self._clock,
                self._page_url,
            )
            for account in self._settings.adyen_accounts
        }  # fmt: skip
        self._by_key = {state.account.api_key: state for state in self.states.values()}

    def prepare(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> Call | Answer:
        """Authenticate, decode and claim the idempotency key."""
        try:
            return self._prepare(method, path, headers, body)
        except AdyenError as error:
            return error.answer()

    def execute(self, call: Call) -> Answer:
        """Carry the call out and keep the answer under its idempotency key."""
        endpoint, identifier, state = call.plan
        try:
            status = 200 if endpoint in ("/payments", "/payments/details") else 201
            answer = Answer(status, packed(_run(state, call, endpoint, identifier)))
        except AdyenError as error:
            if not error.began:
                self.abandon(call)
            answer = error.answer()
        if call.idempotency_key is not None:
            answer.headers["Idempotency-Key"] = call.idempotency_key
            if call.stored is not None and isinstance(answer.body, bytes):
                call.stored.body = answer.body
                call.stored.status = answer.status
        return answer

    def page(self, path: str, query: str) -> Answer | None:
        """The issuer's page of a payer who must authenticate."""
        identifier = path.rpartition("/")[2]
        for state in self.states.values():
            payment = state.payments.get(identifier)
            if payment is not None and payment.redirect_result is not None:
                return payments.visit(payment, query)
        return None

    def abandon(self, call: Call) -> None:
        """Free the key of a call that never began."""
        if call.stored is not None and call.idempotency_key is not None:
            self.keys.forget(call.account, call.idempotency_key)

    def describe(self, call: Call) -> None:
        """Find the payment that a call is about, for faults to match on."""
        _, identifier, state = call.plan
        params = call.params
        payment = state.payments.get(identifier)
        if payment is None and isinstance(params.get("details"), dict):
            token = str(params["details"].get("redirectResult", "")).partition("!")[0]
            payment = state.by_redirect.get(token)
        if payment is not None:
            call.reference = payment.reference
            call.aliases = (payment.psp_reference,)
            call.amount_minor = payment.amount_minor
            call.currency = payment.currency
            call.last4 = payment.card.last4
        else:
            call.reference = str(params.get("paymentReference") or params.get("reference") or "")
        amount = params.get("amount")
        if isinstance(amount, dict):
            call.amount_minor = amount.get("value")
            call.currency = amount.get("currency")
        method = params.get("paymentMethod")
        if isinstance(method, dict) and isinstance(method.get("number"), str):
            call.last4 = method["number"][-4:]

    def distort(self, call: Call, body: dict[str, Any], kind: str, delta: int) -> None:
        """Falsify an answer."""
        if kind == "reference":
            for name in ("merchantReference", "reference", "paymentReference"):
                if name in body:
                    body[name] = f"other-{body[name]}"
            if "paymentPspReference" in body:
                body["paymentPspReference"] = self._mint.adyen()
        elif isinstance(body.get("amount"), dict):
            if kind == "amount":
                body["amount"]["value"] += delta
            else:
                body["amount"]["currency"] = "USD" if call.currency != "USD" else "EUR"

    def _prepare(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> Call | Answer:
        state = self._by_key.get(headers.get("X-API-Key", ""))
        if state is None:
            raise AdyenError(401, "000", "HTTP Status Response - Unauthorized", "security")
        endpoint, identifier = _route(method, path)
        operation, names, structure = _OPERATIONS[endpoint]
        kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise AdyenError(415, "702", f"Content-Type must be application/json, not {kind!r}")
        try:
            params = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise AdyenError(400, "702", f"The body is not JSON: {error}") from error
        if not isinstance(params, dict):
            raise AdyenError(400, "702", "The body must be a JSON object")
        fields.known(params, names, structure)
        if endpoint != "/payments/details" and params.get("merchantAccount") != state.account.name:
            raise AdyenError(403, "901", "Invalid Merchant Account", "security")
        call = Call(
            "adyen", operation, state.account.name, method, path, params,
            plan=(endpoint, identifier, state),
        )  # fmt: skip
        key = headers.get("Idempotency-Key")
        return call if key is None else self._claim(call, key, body)

    def _claim(self, call: Call, key: str, body: bytes) -> Call | Answer:
        if not 1 <= len(key) <= 64:
            raise AdyenError(422, "702", "Idempotency-Key must have 1 to 64 characters")
        call.idempotency_key = key
        fingerprint = hashlib.sha256(body).digest()
        claim, stored = self.keys.claim(call.account, key, call.path, fingerprint, self._clock())
        if claim is Claim.FRESH:
            call.stored = stored
            return call
        if claim is Claim.OTHER_REQUEST:
            # Adyen documents no comparison of bodies: the first answer comes back. The control
            # API counts it, so that a test can see what a caller could not.
            self.keys_reused += 1
        if not stored.done:
            raise AdyenError(
                422, "704", "The request is already processed or in progress", transient=True
            )
        return Answer(stored.status, stored.body, {"Idempotency-Key": key})


def _route(method: str, path: str) -> tuple[str, str]:
    match = _PATH.fullmatch(path)
    endpoint = ""
    if match is not None and match["version"] in VERSIONS:
        endpoint = match["path"]
        if match["psp"] is not None and endpoint != "/payments/details":
            endpoint = f"/payments/{{paymentPspReference}}/{match['verb']}"
    if endpoint not in _OPERATIONS:
        raise AdyenError(404, "000", f"Nothing at {path[:100]}", "validation")
    if method != "POST":
        raise AdyenError(405, "000", f"{path[:100]} takes POST only", "validation")
    return endpoint, "" if match is None else match["psp"] or ""


def _run(state: AccountState, call: Call, endpoint: str, identifier: str) -> dict[str, Any]:
    if endpoint == "/payments":
        return payments.authorise(state, call)
    if endpoint == "/payments/details":
        return payments.complete(state, call)
    if endpoint == "/cancels":
        return modifications.cancel_by_reference(state, call)
    modify = {
        "captures": modifications.capture,
        "cancels": modifications.cancel,
        "reversals": modifications.reverse,
        "refunds": modifications.refund,
    }[endpoint.rpartition("/")[2]]
    return modify(state, call, identifier)
