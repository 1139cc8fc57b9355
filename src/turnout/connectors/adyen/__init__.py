"""Adyen: the Checkout API.

It cannot be asked what became of a payment, and a request with a CVC cannot be kept to be sent
again. What makes an outcome findable is our operation id as `reference`: the AUTHORISATION webhook
carries it, and where none comes, POST /cancels takes an authorization back by it. While the call
itself is still running, the same request may be sent once more under the same idempotency key.
Captures, cancels and refunds are only ever `received`; signed webhooks finish them. A redirect is
finished by POST /payments/details with what the payer brought back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from turnout.connectors.adyen import answers, requests, webhooks
from turnout.connectors.adyen.codes import SCALE
from turnout.connectors.exchange import Exchange, PerAccount, url_problems
from turnout.connectors.verdicts import declined, not_processed, unknown
from turnout.domain.accounts import Account
from turnout.domain.declines import DeclineCode
from turnout.domain.members import members
from turnout.domain.outcomes import Outcome
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

_Code = members(DeclineCode)

# How long to wait for the AUTHORISATION webhook before an authorization of unknown outcome is
# taken back. Adyen's webhooks come within seconds as a rule; shorter costs sales that would have
# been told of in time, longer holds the payer's money.
INQUIRY_WAIT_S = 60
# 672 hours is the API's own maximum.
CAPTURE_DELAY_MAX_H = 672


# The version that requests and answers are written for; a base URL may name another one.
API_VERSION = "v72"
_VERSIONED = re.compile(r"/v[0-9]+\Z")


@dataclass(slots=True, repr=False)
class _Prepared:
    """What every request of an account shares; without a repr, for it holds the key."""

    base: str
    payments_url: str
    headers: dict[str, str]
    merchant_account: str
    return_url: str
    capture_delay_h: int
    problem: bool


def _capture_delay_h(account: Account) -> int:
    """Setting `capture_delay_hours`, 0 where it is not set.

    Raises:
        ValueError: it is no number of hours that Adyen takes.
    """
    given = account.settings.get("capture_delay_hours", "0")
    hours = int(given) if given.isascii() and given.isdigit() and len(given) < 4 else -1
    if not 0 <= hours <= CAPTURE_DELAY_MAX_H:
        raise ValueError(
            f"account {account.account_id}: settings.capture_delay_hours is {given!r}; "
            f"a whole number from 0 to {CAPTURE_DELAY_MAX_H} is wanted"
        )
    return hours


def _prepare(account: Account) -> _Prepared:
    key = account.credentials.get("api_key")
    merchant_account = account.settings.get("merchant_account", "")
    problem = key is None or not merchant_account or bool(url_problems(account))
    try:
        capture_delay_h = _capture_delay_h(account)
    except ValueError:
        # check_account tells it in words; until it is mended, nothing is sent.
        capture_delay_h, problem = 0, True
    base = account.base_url.rstrip("/")
    if not _VERSIONED.search(base):
        base = f"{base}/{API_VERSION}"
    return _Prepared(
        base,
        f"{base}/payments",
        {
            "X-API-Key": key.reveal() if key is not None else "",
            "Content-Type": "application/json",
        },
        merchant_account,
        account.settings.get("return_url", requests.NO_RETURN_URL),
        capture_delay_h,
        problem,
    )


class AdyenConnector:
    """The Connector for Adyen; see `turnout.ports.Connector` for the contract."""

    provider = "adyen"

    def __init__(
        self,
        transport: HttpTransport,
        clock: Clock,
        budget: RetryBudget | None = None,
        *,
        inquiry_wait_s: int = INQUIRY_WAIT_S,
    ) -> None:
        self.traits = ConnectorTraits(
            can_inquire=False,
            can_cancel_by_reference=True,
            inquiry_wait_s=inquiry_wait_s,
            keeps_rest=True,
        )
        self._exchange = Exchange(transport, clock, budget)
        self._accounts = PerAccount(_prepare)

    async def authorize(self, account: Account, request: AuthorizeRequest) -> Outcome:
        """POST /payments with the card."""
        prepared = self._accounts.get(account)
        if prepared.problem:
            return not_processed("account_misconfigured", account_fault=True)
        amount = SCALE.to_provider(request.amount_minor, request.currency)
        if amount is None:
            return declined(_Code.AMOUNT_INVALID, provider_code="amount_not_expressible")
        body = requests.payment_body(
            request,
            amount,
            await request.reveal.card(),
            prepared.merchant_account,
            prepared.return_url,
            prepared.capture_delay_h,
        )
        answer = await self._exchange.send(
            account,
            "POST",
            prepared.payments_url,
            {**prepared.headers, "Idempotency-Key": request.operation_id},
            body,
            request.deadline_ns,
            again=answers.transient,
        )
        failed = answer.missing()
        if failed is not None:
            return failed
        document = answer.json()
        if answer.status == 200 and document is not None:
            return answer.believed(answers.payment_outcome(document, request.operation_id))
        return answer.believed(answers.error_outcome(answer, document))

    async def follow_up(self, account: Account, request: FollowUpRequest) -> Outcome:
        """Captures, cancels or refunds; at best PENDING."""
        prepared = self._accounts.get(account)
        if prepared.problem:
            return not_processed("account_misconfigured", account_fault=True)
        if not request.authorization_reference and not request.authorization_operation_id:
            return not_processed("no_reference")
        made = requests.follow_up_request(request, prepared.merchant_account)
        if made is None:
            return declined(_Code.AMOUNT_INVALID, provider_code="amount_not_expressible")
        path, body = made
        answer = await self._exchange.send(
            account,
            "POST",
            prepared.base + path,
            {**prepared.headers, "Idempotency-Key": request.operation_id},
            body,
            request.deadline_ns,
            again=answers.transient,
        )
        failed = answer.missing()
        if failed is not None:
            return failed
        document = answer.json()
        if answer.status in (200, 201) and document is not None:
            payment = request.authorization_reference or request.authorization_operation_id
            return answers.modification_outcome(document, request.operation_id, payment)
        return answer.believed(answers.error_outcome(answer, document))

    async def inquire(self, account: Account, request: InquiryRequest) -> Outcome:
        """Hands over what a payer brought back from a redirect; else UNKNOWN.

        The Checkout API has nothing to ask. An answer counts only where it names our operation, or
        names none and has the PSP reference that our payment got, because the parameters come from
        the payer's browser and may be another payment's; and no refusal of the parameters
        themselves says anything about the payment.
        """
        prepared = self._accounts.get(account)
        body = requests.details_body(request.parameters)
        if body is None or prepared.problem or request.operation is not request.authorization:
            return unknown("cannot_inquire")
        answer = await self._exchange.send(
            account,
            "POST",
            f"{prepared.payments_url}/details",
            {**prepared.headers, "Idempotency-Key": requests.details_key(request, body)},
            body,
            request.deadline_ns,
        )
        document = answer.json() if answer.missing() is None else None
        if answer.status != 200 or document is None:
            return unknown("details_not_taken")
        operation = request.operation
        if not answers.is_about(document, operation.operation_id, operation.provider_reference):
            return unknown("reference_mismatch")
        return answer.believed(answers.payment_outcome(document, operation.operation_id))

    def read_webhook(
        self, account: Account, headers: Mapping[str, str], body: bytes, now_ns: int
    ) -> WebhookDelivery:
        """Checks each item's hmacSignature, then reads the items."""
        return webhooks.read(account, body)

    def check_account(self, account: Account) -> list[str]:
        """What is missing or wrong, for people.

        Credential `api_key`; setting `merchant_account`; settings `return_url` and
        `capture_delay_hours` may be left out.
        """
        problems = url_problems(account)
        where = f"account {account.account_id}"
        key = account.credentials.get("api_key")
        if key is None or not key.reveal():
            problems.append(f"{where}: credentials.api_key is missing (Adyen's API key)")
        elif not key.reveal().isascii() or not key.reveal().isprintable():
            problems.append(f"{where}: credentials.api_key holds characters that no key has")
        if not account.settings.get("merchant_account"):
            problems.append(
                f"{where}: settings.merchant_account is missing (the merchant account's name)"
            )
        try:
            _capture_delay_h(account)
        except ValueError as error:
            problems.append(str(error))
        if not account.webhook_secrets:
            problems.append(f"{where}: webhook_secrets is empty (the webhook's HMAC key)")
        for secret in account.webhook_secrets:
            try:
                bytes.fromhex(secret.reveal())
            except ValueError:
                problems.append(f"{where}: a webhook secret is not a hexadecimal HMAC key")
        return problems
