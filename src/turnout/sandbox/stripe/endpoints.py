"""The simulated endpoints: Stripe's path, the operation that faults match on, and what it does."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from turnout.sandbox.stripe import intents, methods, queries, refunds
from turnout.sandbox.stripe.errors import StripeError
from turnout.sandbox.stripe.model import Charge, Intent, charge_json
from turnout.sandbox.stripe.state import AccountState
from turnout.sandbox.wire import Call

Json = dict[str, Any]
Handler = Callable[[AccountState, Call, str], Json]


def _create_intent(state: AccountState, call: Call, _: str) -> Json:
    return _shown(intents.create(state, call, call.params), call)


def _update_intent(state: AccountState, call: Call, identifier: str) -> Json:
    return _shown(intents.update(state, _intent(state, identifier), call.params), call)


def _confirm_intent(state: AccountState, call: Call, identifier: str) -> Json:
    return _shown(intents.confirm(state, call, _intent(state, identifier), call.params), call)


def _capture_intent(state: AccountState, call: Call, identifier: str) -> Json:
    return _shown(intents.capture(state, call, _intent(state, identifier), call.params), call)


def _cancel_intent(state: AccountState, call: Call, identifier: str) -> Json:
    reason = call.params.get("cancellation_reason")
    return _shown(intents.cancel(state, call, _intent(state, identifier), reason), call)


def _get_intent(state: AccountState, call: Call, identifier: str) -> Json:
    return _shown(_intent(state, identifier), call)


def _list_intents(state: AccountState, call: Call, _: str) -> Json:
    newest = reversed(state.intents.values())
    page, more = queries.page_of(newest, call.params, lambda i: i.id, lambda i: i.created)
    shown = [_shown(intent, call, "data.") for intent in page]
    return queries.listing(shown, more, "/v1/payment_intents")


def _search_intents(state: AccountState, call: Call, _: str) -> Json:
    found = queries.search(state, call.params)
    found["data"] = [_shown(intent, call, "data.") for intent in found["data"]]
    return found


def _create_method(state: AccountState, call: Call, _: str) -> Json:
    return methods.create(state, call.params).json()


def _get_method(state: AccountState, call: Call, identifier: str) -> Json:
    method = state.methods.get(identifier)
    if method is None:
        raise StripeError.missing("PaymentMethod", identifier, "payment_method")
    return method.json()


def _create_refund(state: AccountState, call: Call, _: str) -> Json:
    return refunds.create(state, call, call.params).json()


def _get_refund(state: AccountState, call: Call, identifier: str) -> Json:
    refund = state.refunds.get(identifier)
    if refund is None:
        raise StripeError.missing("refund", identifier, "refund")
    return refund.json()


def _list_refunds(state: AccountState, call: Call, _: str) -> Json:
    params = call.params
    newest = reversed(state.refunds.values())
    if "payment_intent" in params or "charge" in params:
        charges = [charge for _, charge in _charges(state, params)]
        if "charge" in params:
            charges = [charge for charge in charges if charge.id == params["charge"]]
        ids = [identifier for charge in charges for identifier in charge.refund_ids]
        newest = reversed({identifier: state.refunds[identifier] for identifier in ids}.values())
    page, more = queries.page_of(newest, params, lambda r: r.id, lambda r: r.created)
    return queries.listing([refund.json() for refund in page], more, "/v1/refunds")


def _get_charge(state: AccountState, call: Call, identifier: str) -> Json:
    found = state.charges.get(identifier)
    if found is None:
        raise StripeError.missing("charge", identifier, "charge")
    return charge_json(found[1], found[0])


def _list_charges(state: AccountState, call: Call, _: str) -> Json:
    page, more = queries.page_of(
        _charges(state, call.params), call.params, lambda p: p[1].id, lambda p: p[1].created
    )
    shown = [charge_json(charge, intent) for intent, charge in page]
    return queries.listing(shown, more, "/v1/charges")


def _list_events(state: AccountState, call: Call, _: str) -> Json:
    wanted = set(call.params.get("types", ()))
    if "type" in call.params:
        wanted.add(call.params["type"])
    found = (e for e in reversed(state.events) if not wanted or e["type"] in wanted)
    page, more = queries.page_of(
        found, call.params, lambda e: str(e["id"]), lambda e: int(e["created"])
    )
    return queries.listing(page, more, "/v1/events")


def _get_event(state: AccountState, call: Call, identifier: str) -> Json:
    for event in state.events:
        if event["id"] == identifier:
            return event
    raise StripeError.missing("event", identifier)


def _intent(state: AccountState, identifier: str) -> Intent:
    intent = state.intents.get(identifier)
    if intent is None:
        raise StripeError.missing("payment_intent", identifier, "intent")
    return intent


def _charges(state: AccountState, params: Json) -> Iterable[tuple[Intent, Charge]]:
    """Charges, newest first: all, or those of one intent."""
    if "payment_intent" not in params:
        found = state.charges.get(params.get("charge", ""))
        return reversed(state.charges.values()) if found is None else [found]
    intent = state.intents.get(params["payment_intent"])
    return [] if intent is None else [(intent, charge) for charge in reversed(intent.charges)]


def _shown(intent: Intent, call: Call, prefix: str = "") -> Json:
    out = intent.json()
    for path in call.params.get("expand", ()):
        name = path.removeprefix(prefix)
        if name == "latest_charge" and path.startswith(prefix):
            charge = intent.charge
            out[name] = None if charge is None else charge_json(charge, intent)
        elif name == "payment_method" and path.startswith(prefix):
            out[name] = None if intent.method is None else intent.method.json()
        else:
            raise StripeError.bad_request(f"Cannot expand {path[:60]!r}", None, "expand")
    return out


ENDPOINTS: dict[str, tuple[str, Handler]] = {
    "POST /v1/payment_intents": ("authorize", _create_intent),
    "POST /v1/payment_intents/{intent}": ("update", _update_intent),
    "POST /v1/payment_intents/{intent}/confirm": ("authorize", _confirm_intent),
    "POST /v1/payment_intents/{intent}/capture": ("capture", _capture_intent),
    "POST /v1/payment_intents/{intent}/cancel": ("cancel", _cancel_intent),
    "GET /v1/payment_intents/{intent}": ("retrieve", _get_intent),
    "GET /v1/payment_intents": ("list", _list_intents),
    "GET /v1/payment_intents/search": ("search", _search_intents),
    "POST /v1/payment_methods": ("tokenize", _create_method),
    "GET /v1/payment_methods/{payment_method}": ("retrieve", _get_method),
    "POST /v1/refunds": ("refund", _create_refund),
    "GET /v1/refunds": ("list", _list_refunds),
    "GET /v1/refunds/{refund}": ("retrieve", _get_refund),
    "GET /v1/charges": ("list", _list_charges),
    "GET /v1/charges/{charge}": ("retrieve", _get_charge),
    "GET /v1/events": ("list", _list_events),
    "GET /v1/events/{id}": ("retrieve", _get_event),
}
