"""Lists with cursors, and the part of the search language that finds payments again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from turnout.sandbox.stripe.errors import StripeError
from turnout.sandbox.stripe.model import Intent
from turnout.sandbox.stripe.state import AccountState

_CLAUSE = re.compile(
    r"""\s*(?:metadata\[(?P<q>["'])(?P<key>[^"']+)(?P=q)\]|(?P<field>[a-z_]+))"""
    r"""\s*(?P<op>:|>=|<=|>|<)\s*(?:(?P<q2>["'])(?P<text>.*?)(?P=q2)|(?P<number>-?\d+))\s*"""
)
_T = TypeVar("_T")
# Later than any time in seconds that a request can name.
_NEVER = 10**18
_COMPARE: dict[str, Callable[[int, int], bool]] = {
    ":": lambda a, b: a == b,
    ">": lambda a, b: a > b,
    "<": lambda a, b: a < b,
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
}


def page_of(
    newest_first: Iterable[_T],
    params: dict[str, Any],
    identify: Callable[[_T], str],
    created: Callable[[_T], int],
) -> tuple[list[_T], bool]:
    """One page, newest first, and whether more follow; reads no further than it must."""
    limit = params.get("limit", 10)
    if not 1 <= limit <= 100:
        raise StripeError.bad_request(
            "limit must be between 1 and 100", "parameter_invalid_integer", "limit"
        )
    window = params.get("created", {})
    oldest = max(window.get("gte", 0), window.get("gt", -1) + 1)
    newest = min(window.get("lte", _NEVER), window.get("lt", _NEVER + 1) - 1)
    after, before = params.get("starting_after"), params.get("ending_before")
    waiting = after is not None
    found_before = before is None
    page: list[_T] = []
    for item in newest_first:
        identifier = identify(item)
        if identifier == before:
            found_before = True
            break
        if waiting:
            waiting = identifier != after
            continue
        if created(item) < oldest:
            break
        if created(item) <= newest:
            page.append(item)
        if before is None and len(page) > limit:
            break
    if waiting or not found_before:
        raise StripeError.missing("object", str(after or before), "starting_after")
    shown = page[:limit] if before is None else page[-limit:]
    return shown, len(page) > limit


def listing(data: list[dict[str, Any]], has_more: bool, url: str) -> dict[str, Any]:
    """A list object."""
    return {"object": "list", "data": data, "has_more": has_more, "url": url}


def search(state: AccountState, params: dict[str, Any]) -> dict[str, Any]:
    """PaymentIntents by query, as far behind the truth as Stripe's search is."""
    if "query" not in params:
        raise StripeError.bad_request("query is missing", "parameter_missing", "query")
    limit = params.get("limit", 10)
    if not 1 <= limit <= 100:
        raise StripeError.bad_request(
            "limit must be between 1 and 100", "parameter_invalid_integer", "limit"
        )
    clauses = _parse(params["query"])
    now_s = state.clock()
    skip = int(params["page"]) if params.get("page", "").isdigit() else 0
    found = [
        intent
        for intent in _candidates(state, clauses)
        if state.searchable_at.get(intent.id, 0.0) <= now_s
        and all(_matches(intent, clause) for clause in clauses)
    ]
    found.sort(key=lambda intent: intent.sequence, reverse=True)
    page = found[skip : skip + limit]
    more = len(found) > skip + limit
    return {
        "object": "search_result",
        "data": page,
        "has_more": more,
        "next_page": str(skip + limit) if more else None,
        "url": "/v1/payment_intents/search",
    }


Clause = tuple[str | None, str, str, str]


def _parse(query: str) -> list[Clause]:
    clauses: list[Clause] = []
    position = 0
    while position < len(query):
        match = _CLAUSE.match(query, position)
        if match is None:
            raise StripeError.bad_request(f"Cannot read the query at {position}", None, "query")
        value = match["text"] if match["number"] is None else match["number"]
        clauses.append((match["key"], match["field"] or "", match["op"], value))
        position = match.end()
        if position < len(query):
            if not query[position:].upper().startswith("AND "):
                raise StripeError.bad_request(
                    "The sandbox joins clauses with AND only", None, "query"
                )
            position += 4
    if not clauses:
        raise StripeError.bad_request("The query is empty", None, "query")
    return clauses


def _candidates(state: AccountState, clauses: list[Clause]) -> Iterable[Intent]:
    for key, _, op, value in clauses:
        if key is not None and op == ":":
            return list(state.by_metadata.get((key, value), {}).values())
    return list(state.intents.values())


def _matches(intent: Intent, clause: Clause) -> bool:
    key, name, op, value = clause
    if key is not None:
        return op == ":" and intent.metadata.get(key) == value
    if name in ("amount", "created") and value.lstrip("-").isdigit():
        return _COMPARE[op](getattr(intent, name), int(value))
    if name in ("currency", "status") and op == ":":
        return bool(getattr(intent, name) == value)
    raise StripeError.bad_request(f"The sandbox does not search by {name!r}", None, "query")
