"""Stripe: PaymentIntents and Refunds.

A raw card becomes a PaymentMethod first and a PaymentIntent, created and confirmed in one, second.
No money can move in the first step, so whatever happens there is never an unknown outcome. The
second step carries our operation id three times over: as idempotency key, in the metadata that
comes back in answers and webhooks, and so in what can be searched; and its body holds no card, so
it can be sent again after a crash of the network, though not after a crash of this process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from turnout.connectors.documents import Json, table, text
from turnout.connectors.exchange import Answer, Exchange, PerAccount, url_problems
from turnout.connectors.stripe import answers, requests, webhooks
from turnout.connectors.stripe.codes import SCALE
from turnout.connectors.verdicts import declined, not_processed, unknown
from turnout.domain.accounts import Account
from turnout.domain.declines import DeclineCode
from turnout.domain.members import members
from turnout.domain.operation import OperationKind
from turnout.domain.outcomes import Outcome, OutcomeKind
from turnout.domain.payment import CaptureMethod
from turnout.ports import (
    AuthorizeRequest,
    Clock,
    ConnectorTraits,
    FollowUpRequest,
    HttpTransport,
    InquiryRequest,
    RetryBudget,
    WebhookDelivery,
)

_Outcome = members(OutcomeKind)
_Code = members(DeclineCode)
_Capture = members(CaptureMethod)
_Kind = members(OperationKind)

# Stripe keeps idempotency keys for at least 24 hours; after that the same key would charge again.
RESEND_WITHIN_NS = 20 * 3600 * 1_000_000_000
# Pages of 100 that one inquiry reads before it goes on at the next one.
PAGES_MAX = 20
# Our clock and Stripe's may differ by this much when PaymentIntents are listed by time; and ours
# may have been ahead by an hour when the operation was written down.
CLOCK_SKEW_S = 120
CLOCK_AHEAD_S = 3_600
# A refund list longer than this is not one payment's.
REFUND_PAGES_MAX = 10

_SECOND_NS = 1_000_000_000


@dataclass(slots=True, repr=False)
class _Prepared:
    """What every request of an account shares; without a repr, for it holds the key."""

    base: str
    get_headers: dict[str, str]
    post_headers: dict[str, str]
    return_url: str
    problem: bool


def _prepare(account: Account) -> _Prepared:
    key = account.credentials.get("api_key")
    get_headers = {
        "Authorization": f"Bearer {key.reveal() if key is not None else ''}",
        "Stripe-Version": requests.API_VERSION,
    }
    post_headers = {**get_headers, "Content-Type": "application/x-www-form-urlencoded"}
    return _Prepared(
        account.base_url.rstrip("/"),
        get_headers,
        post_headers,
        account.settings.get("return_url", ""),
        key is None or bool(url_problems(account)),
    )


def _never_again(answer: Answer) -> bool:
    """Only silence is worth asking again: Stripe keeps errors under the key as it does results."""
    return False


class StripeConnector:
    """The Connector for Stripe; see `turnout.ports.Connector` for the contract."""

    provider = "stripe"
    # Nothing at Stripe cancels by our reference, and nothing needs to: it can be asked.
    traits = ConnectorTraits(can_inquire=True, can_cancel_by_reference=False)

    def __init__(
        self, transport: HttpTransport, clock: Clock, budget: RetryBudget | None = None
    ) -> None:
        self._exchange = Exchange(transport, clock, budget)
        self._accounts = PerAccount(_prepare)

    async def _post(
        self, account: Account, path: str, body: bytes, key: str, deadline_ns: int
    ) -> Answer:
        prepared = self._accounts.get(account)
        headers = {**prepared.post_headers, "Idempotency-Key": key}
        url = prepared.base + path
        return await self._exchange.send(
            account, "POST", url, headers, body, deadline_ns, again=_never_again
        )

    async def _get(self, account: Account, path: str, deadline_ns: int) -> Json | None:
        """A JSON object, or None where none could be had."""
        answer = await self._ask(account, path, deadline_ns)
        return answer.json() if answer.status == 200 else None

    async def _ask(self, account: Account, path: str, deadline_ns: int) -> Answer:
        prepared = self._accounts.get(account)
        return await self._exchange.send(
            account, "GET", prepared.base + path, prepared.get_headers, b"", deadline_ns
        )

    # --- authorize ---------------------------------------------------------------------------

    async def authorize(self, account: Account, request: AuthorizeRequest) -> Outcome:
        """PaymentMethod, then PaymentIntent."""
        prepared = self._accounts.get(account)
        if prepared.problem:
            return not_processed("account_misconfigured", account_fault=True)
        amount = SCALE.to_provider(request.amount_minor, request.currency)
        if amount is None:
            return declined(_Code.AMOUNT_INVALID, provider_code="amount_not_expressible")
        method = await self._make_method(account, request)
        if isinstance(method, Outcome):
            return method
        body = requests.payment_intent_body(request, amount, method, prepared.return_url)
        answer = await self._post(
            account,
            "/v1/payment_intents",
            body.encode(),
            request.operation_id,
            request.deadline_ns,
        )
        manual = request.capture_method is _Capture.MANUAL
        outcome = _authorized(answer, request.operation_id, account.live, manual)
        if outcome.kind is _Outcome.UNKNOWN:
            outcome.provider_state["payment_intent_body"] = body
        return outcome

    async def _make_method(self, account: Account, request: AuthorizeRequest) -> str | Outcome:
        """The PaymentMethod's id, or why there is none; never UNKNOWN, for no money moves here."""
        card = await request.reveal.card()
        answer = await self._post(
            account,
            "/v1/payment_methods",
            requests.payment_method_body(card, request.details),
            f"{request.operation_id}-pm",
            request.deadline_ns,
        )
        if answer.failure:
            return not_processed(f"payment_method_{answer.failure}")
        document = answer.json()
        if answer.status == 200:
            found = answers.identifier(document or {}, "payment_method", "pm_")
            return found or not_processed("payment_method_garbage")
        error = table(document or {}, "error")
        answer.in_doubt = False
        outcome = answers.refusal(answer, error) or answer.believed(answers.decline_of(error))
        if outcome.kind is _Outcome.UNKNOWN:
            return not_processed(f"payment_method_{outcome.reason}")
        return outcome

    # --- captures, cancels, refunds ----------------------------------------------------------

    async def follow_up(self, account: Account, request: FollowUpRequest) -> Outcome:
        """Captures, cancels or refunds, under our operation id as idempotency key."""
        if self._accounts.get(account).problem:
            return not_processed("account_misconfigured", account_fault=True)
        if not request.authorization_reference:
            return not_processed("no_reference")
        made = requests.follow_up_request(request)
        if made is None:
            return declined(_Code.AMOUNT_INVALID, provider_code="amount_not_expressible")
        path, body = made
        answer = await self._post(
            account, path, body.encode(), request.operation_id, request.deadline_ns
        )
        failed = answer.missing()
        if failed is not None:
            return failed
        return answer.believed(_followed_up(answer, request))

    # --- inquiries ---------------------------------------------------------------------------

    async def inquire(self, account: Account, request: InquiryRequest) -> Outcome:
        """Asks by id where there is one, else by our mark."""
        if self._accounts.get(account).problem:
            return unknown("account_misconfigured")
        kind = request.operation.kind
        if kind is _Kind.AUTHORIZE:
            return await self._inquire_authorize(account, request)
        intent_id = request.authorization.provider_reference
        if not intent_id:
            return unknown("no_reference")
        settled = request.now_ns > request.sent_before_ns
        if kind is _Kind.REFUND:
            return await self._inquire_refund(account, request, intent_id, settled)
        intent = await self._get(account, requests.intent_path(intent_id), request.deadline_ns)
        if intent is None:
            return unknown("inquiry_failed")
        if kind is _Kind.CAPTURE:
            return answers.capture_outcome(intent, intent_id, settled=settled)
        return answers.cancel_outcome(intent, intent_id, settled=settled)

    async def _inquire_authorize(self, account: Account, request: InquiryRequest) -> Outcome:
        operation = request.operation
        if operation.provider_reference:
            return await self._look(account, request, operation.provider_reference)
        again = await self._send_again(account, request)
        if again is not None and again.kind is not _Outcome.UNKNOWN:
            return again
        found = await self._search(account, request)
        if found:
            return await self._look(account, request, found)
        if again is not None:
            # The copy that has just left may still be on its way.
            return unknown("not_found_yet")
        if request.now_ns <= request.sent_before_ns:
            return unknown("not_found_yet")
        return await self._walk(account, request)

    async def _look(self, account: Account, request: InquiryRequest, intent_id: str) -> Outcome:
        """The outcome as the PaymentIntent shows it now."""
        intent = await self._get(account, requests.intent_path(intent_id), request.deadline_ns)
        if intent is None:
            return unknown("inquiry_failed")
        return answers.intent_outcome(
            intent,
            request.operation.operation_id,
            account.live,
            manual=request.capture_method is _Capture.MANUAL,
            settled=request.now_ns > request.sent_before_ns,
        )

    async def _send_again(self, account: Account, request: InquiryRequest) -> Outcome | None:
        """The same request under the same key: Stripe answers with what became of the first.

        Only while Stripe surely still keeps the key; None where nothing has left.
        """
        operation = request.operation
        body = operation.provider_state.get("payment_intent_body", "")
        if not body or request.now_ns - operation.created_at_ns > RESEND_WITHIN_NS:
            return None
        answer = await self._post(
            account,
            "/v1/payment_intents",
            body.encode(),
            operation.operation_id,
            request.deadline_ns,
        )
        if answer.failure and not answer.in_doubt:
            return None
        # Whatever is not about this very PaymentIntent leaves the first copy's fate open.
        answer.in_doubt = True
        manual = request.capture_method is _Capture.MANUAL
        return _authorized(answer, operation.operation_id, account.live, manual)

    async def _search(self, account: Account, request: InquiryRequest) -> str:
        """The PaymentIntent's id by our mark, or nothing.

        Search may lag behind by minutes, in an outage by an hour, so only a hit means something.
        """
        operation_id = request.operation.operation_id
        page = await self._get(account, requests.search_path(operation_id), request.deadline_ns)
        return _marked(_rows(page), operation_id)

    async def _walk(self, account: Account, request: InquiryRequest) -> Outcome:
        """Reads the list of the time in which it must have been made: the list never lags.

        A busy account's list is long, so where one inquiry stopped the next one goes on. Where
        our clock is not Stripe's, the time is another one and what is missing means nothing.
        """
        operation = request.operation
        created_from_s = operation.created_at_ns // _SECOND_NS - CLOCK_AHEAD_S - CLOCK_SKEW_S
        created_to_s = max(request.sent_before_ns, request.now_ns) // _SECOND_NS + CLOCK_SKEW_S
        after = operation.provider_state.get("listed_to", "")
        for _ in range(PAGES_MAX):
            path = requests.list_path(created_from_s, created_to_s, after)
            answer = await self._ask(account, path, request.deadline_ns)
            page = answer.json() if answer.status == 200 else None
            rows = _rows(page)
            if page is None or not _whole(page, "payment_intent", "pi_"):
                return unknown("inquiry_failed", {"listed_to": after})
            found = _marked(rows, operation.operation_id)
            if found:
                return await self._look(account, request, found)
            if page.get("has_more") is False:
                dated_s = answer.dated_s
                if (
                    dated_s is not None
                    and abs(dated_s - request.now_ns // _SECOND_NS) > CLOCK_SKEW_S
                ):
                    return unknown("clocks_differ", {"listed_to": ""})
                return not_processed("not_found")
            last = answers.identifier(rows[-1], "payment_intent", "pi_") if rows else ""
            if not last or last == after:
                return unknown("inquiry_failed", {"listed_to": ""})
            after = last
        return unknown("inquiry_unfinished", {"listed_to": after})

    async def _inquire_refund(
        self, account: Account, request: InquiryRequest, intent_id: str, settled: bool
    ) -> Outcome:
        operation = request.operation
        if operation.provider_reference:
            path = requests.refund_path(operation.provider_reference)
            refund = await self._get(account, path, request.deadline_ns)
            if refund is None:
                return unknown("inquiry_failed")
            return answers.refund_outcome(refund, operation.operation_id)
        after = ""
        for _ in range(REFUND_PAGES_MAX):
            path = requests.refunds_path(intent_id, after)
            page = await self._get(account, path, request.deadline_ns)
            if page is None or not _whole(page, "refund", "re_"):
                return unknown("inquiry_failed")
            for row in _rows(page):
                mark = text(table(row, "metadata"), requests.OPERATION_MARK)
                if mark == operation.operation_id:
                    return answers.refund_outcome(row, operation.operation_id)
                after = answers.identifier(row, "refund", "re_")
            if page.get("has_more") is False:
                return not_processed("not_found") if settled else unknown("not_found_yet")
            if not after:
                break
        return unknown("inquiry_unfinished")

    # --- webhooks and configuration ----------------------------------------------------------

    def read_webhook(
        self, account: Account, headers: Mapping[str, str], body: bytes, now_ns: int
    ) -> WebhookDelivery:
        """Checks the Stripe-Signature header, then reads the event."""
        return webhooks.read(account, headers, body, now_ns)

    def check_account(self, account: Account) -> list[str]:
        """Credential `api_key`; setting `return_url` (optional)."""
        problems = url_problems(account)
        where = f"account {account.account_id}"
        key = account.credentials.get("api_key")
        if key is None or not key.reveal():
            problems.append(f"{where}: credentials.api_key is missing (Stripe's secret key)")
        else:
            secret = key.reveal()
            if not secret.isascii() or not secret.isprintable() or " " in secret:
                problems.append(f"{where}: credentials.api_key holds characters that no key has")
            wrong = ("_test_" if account.live else "_live_") in secret[:12]
            if wrong:
                mode = "live" if account.live else "test"
                problems.append(f"{where}: credentials.api_key is not a {mode} key")
        if not account.webhook_secrets:
            problems.append(
                f"{where}: webhook_secrets is empty (the endpoint's signing secret, whsec_...)"
            )
        if account.multi_capture:
            problems.append(
                f"{where}: multi_capture is set, but Stripe takes one capture for each payment "
                f"at API version {requests.API_VERSION}"
            )
        return problems


def _authorized(answer: Answer, operation_id: str, live: bool, manual: bool) -> Outcome:
    """The outcome of create-and-confirm."""
    failed = answer.missing()
    if failed is not None:
        return failed
    document = answer.json()
    if answer.status == 200 and document is not None:
        outcome = answers.intent_outcome(document, operation_id, live, manual=manual)
    else:
        outcome = answers.authorize_error(answer, document, operation_id)
    return answer.believed(outcome)


def _followed_up(answer: Answer, request: FollowUpRequest) -> Outcome:
    """The outcome of a capture, cancel or refund from its answer."""
    document = answer.json()
    intent = request.authorization_reference
    if answer.status != 200 or document is None:
        return answers.follow_up_error(answer, document, request.kind, intent)
    if request.kind is _Kind.REFUND:
        if document.get("payment_intent", intent) != intent:
            return unknown("reference_mismatch")
        return answers.refund_outcome(document, request.operation_id)
    if request.kind is _Kind.CAPTURE:
        return answers.capture_outcome(document, intent)
    return answers.cancel_outcome(document, intent)


def _rows(page: Json | None) -> list[Json]:
    """The objects of a page."""
    data = page.get("data") if page is not None else None
    return [row for row in data if isinstance(row, dict)] if isinstance(data, list) else []


def _whole(page: Json, kind: str, prefix: str) -> bool:
    """Whether every row of a page can be read, so that what is not on it is not there."""
    data = page.get("data")
    return isinstance(data, list) and all(
        isinstance(row, dict)
        and answers.identifier(row, kind, prefix)
        and isinstance(row.get("metadata", {}), dict)
        for row in data
    )


def _marked(rows: list[Json], operation_id: str) -> str:
    """The id of the PaymentIntent that carries our mark, or nothing."""
    for row in rows:
        if text(table(row, "metadata"), requests.OPERATION_MARK) == operation_id:
            return answers.identifier(row, "payment_intent", "pi_")
    return ""
