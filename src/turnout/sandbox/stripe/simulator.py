"""Stripe's API: paths, authentication, versions, idempotency and dispatch."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from turnout.sandbox.books import Books
from turnout.sandbox.idempotency import Claim, KeyStore
from turnout.sandbox.ids import IdMint
from turnout.sandbox.settings import STRIPE_VERSION, SandboxSettings
from turnout.sandbox.stripe import authentication, form, methods
from turnout.sandbox.stripe.endpoints import ENDPOINTS
from turnout.sandbox.stripe.errors import StripeError
from turnout.sandbox.stripe.parameters import TABLES, UNSIMULATED
from turnout.sandbox.stripe.state import AccountState
from turnout.sandbox.webhooks import WebhookCourier
from turnout.sandbox.wire import Answer, Call, Clock, packed

_DAY_S = 86_400.0
_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}")
_JSON = {"Stripe-Version": STRIPE_VERSION}

_NAMES = {
    "payment_intents": "intent",
    "payment_methods": "payment_method",
    "refunds": "refund",
    "charges": "charge",
    "events": "id",
}


class StripeSimulator:
    """Speaks Stripe's API for several accounts."""

    name = "stripe"

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
        self.keys = KeyStore(self._settings.idempotency_keys_max, _DAY_S)
        self.states = {
            account.name: AccountState(
                account, self._settings, self._books, self._mint, self._courier, self._clock,
                self._page_url,
            )
            for account in self._settings.stripe_accounts
        }  # fmt: skip
        self._by_key = {state.account.api_key: state for state in self.states.values()}
        for state in self.states.values():
            methods.add_named(state)

    def prepare(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> Call | Answer:
        """Authenticate, decode, check parameters and claim the idempotency key."""
        try:
            return self._prepare(method, path, query, headers, body)
        except StripeError as error:
            return self._with_request_id(error.answer())

    def execute(self, call: Call) -> Answer:
        """Carry the call out and keep the answer under its idempotency key."""
        endpoint, identifier, state = call.plan
        try:
            answer = Answer(200, packed(ENDPOINTS[endpoint][1](state, call, identifier)))
        except StripeError as error:
            if not error.began:
                self.abandon(call)
                return self._with_request_id(error.answer())
            answer = Answer(error.status, packed({"error": error.error}))
        self._with_request_id(answer)
        if call.idempotency_key is not None and call.stored is not None:
            assert isinstance(answer.body, bytes)
            call.stored.body = answer.body
            call.stored.headers = (("Original-Request", answer.headers["Request-Id"]),)
            call.stored.status = answer.status
        return answer

    def abandon(self, call: Call) -> None:
        """Free the key of a call that never began."""
        if call.stored is not None and call.idempotency_key is not None:
            self.keys.forget(call.account, call.idempotency_key)

    def page(self, path: str, query: str) -> Answer | None:
        """The issuer's page of a payer who must authenticate."""
        identifier = path.rpartition("/")[2]
        for state in self.states.values():
            intent = state.intents.get(identifier)
            if intent is not None:
                return authentication.visit(state, intent, query)
        return None

    def describe(self, call: Call) -> None:
        """Find the payment that a call is about, for faults to match on."""
        _, identifier, state = call.plan
        params = call.params
        intent = state.intents.get(identifier or params.get("payment_intent", ""))
        if intent is None and params.get("charge") in state.charges:
            intent = state.charges[params["charge"]][0]
        method = state.methods.get(params.get("payment_method", ""))
        if intent is not None:
            call.reference = state.reference(intent.metadata, intent.id)
            call.aliases = (intent.id, *intent.metadata.values())
            call.amount_minor = intent.amount
            call.currency = intent.currency.upper()
            method = method or intent.method or (intent.charge and intent.charge.method)
        else:
            metadata = params.get("metadata", {})
            call.reference = state.reference(metadata, "")
            call.aliases = tuple(metadata.values())
            call.currency = params.get("currency", "").upper() or None
        amount = params.get("amount", params.get("amount_to_capture"))
        call.amount_minor = call.amount_minor if amount is None else amount
        number = params.get("card", {}).get("number", "")
        call.last4 = method.last4 if method else number[-4:] or None

    def distort(self, call: Call, body: dict[str, Any], kind: str, delta: int) -> None:
        """Falsify an answer."""
        if kind == "amount":
            for name in ("amount", "amount_capturable", "amount_received"):
                if body.get(name):
                    body[name] += delta
        elif kind == "currency":
            body["currency"] = "usd" if body.get("currency") != "usd" else "eur"
        else:
            body["metadata"] = {key: f"other-{key}" for key in body.get("metadata") or {}}
            body["id"] = self._mint.stripe(str(body.get("id", "pi")).partition("_")[0])

    def _prepare(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> Call | Answer:
        state = self._authenticate(headers)
        endpoint, identifier = _route(method, path)
        if endpoint not in ENDPOINTS:
            raise StripeError(
                404,
                {
                    "type": "invalid_request_error",
                    "message": f"Unrecognized request URL ({method}: {path[:100]})",
                },
            )
        version = headers.get("Stripe-Version", STRIPE_VERSION)
        if version != STRIPE_VERSION:
            known = "is not a version" if not _VERSION.match(version) else "is not simulated"
            raise StripeError.bad_request(
                f"Stripe-Version {version[:40]!r} {known}; the sandbox speaks {STRIPE_VERSION}"
            )
        text = query if method == "GET" else _form_text(headers, body)
        params = form.check(_simulated(form.decode(text)), TABLES[endpoint])
        if "expand" in params and "payment_intents" not in endpoint:
            raise StripeError.unsupported("expansion of this object", "expand")
        call = Call(
            "stripe", ENDPOINTS[endpoint][0], state.account.name, method, path, params,
            plan=(endpoint, identifier, state),
        )  # fmt: skip
        if endpoint == "POST /v1/payment_intents" and not params.get("confirm"):
            call.operation = "create"
        key = headers.get("Idempotency-Key")
        if key is None or method != "POST":
            return call
        return self._claim(call, key, f"{method} {path}", text)

    def _claim(self, call: Call, key: str, endpoint: str, text: str) -> Call | Answer:
        if not 1 <= len(key) <= 255:
            raise StripeError.bad_request("Idempotency-Key must have 1 to 255 characters")
        call.idempotency_key = key
        fingerprint = hashlib.sha256("&".join(sorted(text.split("&"))).encode()).digest()
        claim, stored = self.keys.claim(call.account, key, endpoint, fingerprint, self._clock())
        if claim is Claim.FRESH:
            call.stored = stored
            return call
        if claim is Claim.REPLAY:
            headers = {"Idempotent-Replayed": "true", **dict(stored.headers)}
            return self._with_request_id(Answer(stored.status, stored.body, headers))
        if claim is Claim.IN_PROGRESS:
            raise StripeError(
                409,
                {
                    "type": "idempotency_error",
                    "code": "idempotency_key_in_use",
                    "message": "Another request with this idempotency key is in progress.",
                },
            )
        raise StripeError(
            400,
            {
                "type": "idempotency_error",
                "message": "This idempotency key was first used with another endpoint or with "
                "other parameters.",
            },
        )

    def _authenticate(self, headers: Mapping[str, str]) -> AccountState:
        given = headers.get("Authorization", "")
        scheme, _, credentials = given.partition(" ")
        if scheme.lower() == "basic":
            try:
                credentials = base64.b64decode(credentials).decode().partition(":")[0]
            except (binascii.Error, UnicodeDecodeError):
                credentials = ""
        state = self._by_key.get(credentials.strip())
        if state is None:
            what = "Invalid API key provided" if given else "No API key was provided"
            raise StripeError(401, {"type": "invalid_request_error", "message": what})
        return state

    def _with_request_id(self, answer: Answer) -> Answer:
        answer.headers.update(_JSON)
        answer.headers["Request-Id"] = self._mint.stripe("req")
        return answer


def _route(method: str, path: str) -> tuple[str, str]:
    """The description's path of a request, and the id in it."""
    parts = path.split("/")
    if len(parts) < 3 or len(parts) > 5 or parts[1] != "v1" or parts[2] not in _NAMES:
        return "", ""
    if len(parts) == 3 or parts[3] == "search":
        return f"{method} {path}", ""
    tail = "" if len(parts) == 4 else f"/{parts[4]}"
    return f"{method} /v1/{parts[2]}/{{{_NAMES[parts[2]]}}}{tail}", parts[3]


def _form_text(headers: Mapping[str, str], body: bytes) -> str:
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if body and kind != "application/x-www-form-urlencoded":
        raise StripeError.bad_request(
            f"Bodies must be application/x-www-form-urlencoded, not {kind[:60]!r}"
        )
    try:
        return body.decode("ascii" if body.isascii() else "utf-8")
    except UnicodeDecodeError as error:
        raise StripeError.bad_request("The body is not valid UTF-8") from error


def _simulated(params: dict[str, Any]) -> dict[str, Any]:
    for name in params:
        if name in UNSIMULATED:
            raise StripeError.unsupported(UNSIMULATED[name], name)
    return params
