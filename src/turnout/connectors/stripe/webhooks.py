"""Stripe's notifications: the signature over the raw body, then one event as ours.

Source: docs.stripe.com/webhooks/signatures. The signed text is the timestamp, a dot and the body;
a header may carry several v1 signatures while a secret is being changed.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable, Mapping

import orjson

from turnout.connectors.documents import Json, table, text
from turnout.connectors.signatures import hmac_sha256
from turnout.connectors.stripe.answers import (
    capture_outcome,
    charge_outcome,
    identifier,
    intent_outcome,
    money,
    refund_outcome,
    seconds_to_ns,
)
from turnout.connectors.stripe.requests import OPERATION_MARK
from turnout.domain.accounts import Account
from turnout.domain.operation import OperationKind
from turnout.domain.outcomes import Outcome, OutcomeKind, ProviderEvent
from turnout.ports import WebhookDelivery, WebhookRejected

log = logging.getLogger(__name__)

# Stripe's own libraries allow five minutes; a clock that runs behind is as suspicious as an old
# notification, so it counts to both sides.
TOLERANCE_S = 300
_SIGNATURES_MAX = 16
_SHOWN_MAX = 64

_K = OperationKind


def read(
    account: Account, headers: Mapping[str, str], body: bytes, now_ns: int
) -> WebhookDelivery:
    """Checks and reads one notification; see `turnout.ports.Connector.read_webhook`."""
    _check_signature(account, headers.get("stripe-signature", ""), body, now_ns)
    try:
        event = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise WebhookRejected("not_json", "the signed body is not JSON") from error
    if not isinstance(event, dict) or event.get("object") != "event":
        raise WebhookRejected("not_an_event", "the signed body is not a Stripe event")
    event_id = text(event, "id")
    if not event_id:
        raise WebhookRejected("not_an_event", "the event has no id")
    if event.get("livemode", account.live) is not account.live:
        raise WebhookRejected(
            "wrong_mode",
            f"account {account.account_id} got an event of the other mode (test or live); check "
            "which endpoint the webhook was registered under",
        )
    events = []
    reader = _READERS.get(text(event, "type"))
    subject = table(table(event, "data"), "object")
    if reader is not None and subject:
        occurred_at_ns = seconds_to_ns(event.get("created"))
        for one in reader(subject, account):
            if one.outcome.kind is OutcomeKind.UNKNOWN:
                # It tells nothing; what is known otherwise must not be made less known by it.
                log.warning(
                    "account %s: the event %s of %s is not understood (%s)",
                    account.account_id,
                    text(event, "type"),
                    one.operation_reference[:_SHOWN_MAX],
                    one.outcome.reason,
                )
                continue
            one.event_id = f"{event_id}{one.event_id}"
            one.event_type = text(event, "type")
            one.occurred_at_ns = occurred_at_ns
            events.append(one)
    return WebhookDelivery(events, b"", "text/plain")


def _check_signature(account: Account, header: str, body: bytes, now_ns: int) -> None:
    timestamp = ""
    signatures: list[str] = []
    for item in header.split(",", _SIGNATURES_MAX):
        name, _, value = item.strip().partition("=")
        if name == "t":
            timestamp = value
        elif name == "v1":
            signatures.append(value)
    if not signatures or not (timestamp.isascii() and timestamp.isdigit()):
        raise WebhookRejected(
            "signature_missing", "the Stripe-Signature header is missing or has no t and v1"
        )
    if not account.webhook_secrets:
        raise WebhookRejected(
            "secret_missing", f"account {account.account_id} has no webhook secret configured"
        )
    signed = timestamp.encode() + b"." + body
    good = False
    for secret in account.webhook_secrets:
        expected = hmac_sha256(secret.reveal().encode(), signed).hex()
        for candidate in signatures:
            good |= hmac.compare_digest(
                expected.encode(), candidate.encode("utf-8", "surrogatepass")
            )
    if not good:
        raise WebhookRejected(
            "signature_wrong",
            f"no signature fits a webhook secret of account {account.account_id}; check that the "
            "secret belongs to this endpoint",
        )
    age_s = now_ns // 1_000_000_000 - int(timestamp[:15])
    if not -TOLERANCE_S <= age_s <= TOLERANCE_S:
        raise WebhookRejected(
            "stale", f"the notification was signed {age_s} s ago; more than {TOLERANCE_S} s apart"
        )


def _authorization(
    operation: str, intent: str, outcome: Outcome, kind: OperationKind = _K.AUTHORIZE
) -> ProviderEvent:
    """An event of a payment that carries our mark."""
    return ProviderEvent(
        "", kind, outcome, operation_reference=operation, payment_reference=intent
    )


def _intent(subject: Json, account: Account) -> list[ProviderEvent]:
    """payment_intent.*: the authorization, and the capture where it was waited for."""
    intent = identifier(subject, "payment_intent", "pi_")
    operation = text(table(subject, "metadata"), OPERATION_MARK)
    if not intent or not operation:
        return []
    if text(subject, "status") == "succeeded" and text(subject, "capture_method") == "manual":
        outcome = capture_outcome(subject, intent)
        return [_authorization(operation, intent, outcome, _K.CAPTURE)]
    outcome = intent_outcome(subject, operation, account.live, manual=None)
    return [_authorization(operation, intent, outcome)]


def _intent_canceled(subject: Json, account: Account) -> list[ProviderEvent]:
    """payment_intent.canceled: whatever was held is let go."""
    if text(subject, "status") != "canceled":
        return []
    return _released(subject, identifier(subject, "payment_intent", "pi_"), "canceled")


def _charge_expired(subject: Json, account: Account) -> list[ProviderEvent]:
    """charge.expired: an authorization ran out uncaptured."""
    if subject.get("captured") is True:
        return []
    return _released(subject, text(subject, "payment_intent"), "expired")


def _released(subject: Json, intent: str, reason: str) -> list[ProviderEvent]:
    operation = text(table(subject, "metadata"), OPERATION_MARK)
    if not intent or not operation:
        return []
    outcome = Outcome(OutcomeKind.SUCCEEDED, reason, provider_reference=intent)
    return [_authorization(operation, intent, outcome, _K.CANCEL)]


def _charge(subject: Json, account: Account) -> list[ProviderEvent]:
    """charge.succeeded, charge.failed, charge.pending: the authorization seen from its charge."""
    intent = text(subject, "payment_intent")
    operation = text(table(subject, "metadata"), OPERATION_MARK)
    if not intent or not operation:
        return []
    return [_authorization(operation, intent, charge_outcome(subject, intent))]


def _charge_captured(subject: Json, account: Account) -> list[ProviderEvent]:
    """charge.captured: a capture of an authorization that waited for it."""
    intent = text(subject, "payment_intent")
    operation = text(table(subject, "metadata"), OPERATION_MARK)
    if not intent or not operation or subject.get("captured") is not True:
        return []
    amount, currency = money(subject, "amount_captured")
    if amount is None:
        # Taken for the whole of it, a partial capture would be more than there was.
        return []
    outcome = Outcome(
        OutcomeKind.SUCCEEDED,
        provider_reference=identifier(subject, "charge", "ch_"),
        amount_minor=amount,
        currency=currency,
    )
    return [_authorization(operation, intent, outcome, _K.CAPTURE)]


def _refund(subject: Json, account: Account) -> list[ProviderEvent]:
    """refund.*: refunds that we asked for.

    Stripe shows released holds as refunds too; those, and refunds made elsewhere, carry no mark of
    ours and are left to reconciliation.
    """
    operation = text(table(subject, "metadata"), OPERATION_MARK)
    if not operation:
        return []
    outcome = refund_outcome(subject, operation)
    return [
        ProviderEvent(
            "",
            _K.REFUND,
            outcome,
            operation_reference=operation,
            payment_reference=text(subject, "payment_intent"),
            reverses=outcome.kind is OutcomeKind.DECLINED,
        )
    ]


def _charge_refunded(subject: Json, account: Account) -> list[ProviderEvent]:
    """charge.refunded: carries the charge's refunds only where the account's version has them."""
    events = []
    refunds = table(subject, "refunds").get("data")
    for refund in refunds if isinstance(refunds, list) else []:
        if isinstance(refund, dict):
            for event in _refund(refund, account):
                event.event_id = f":{text(refund, 'id')}"
                events.append(event)
    return events


_READERS: dict[str, Callable[[Json, Account], list[ProviderEvent]]] = {
    "payment_intent.amount_capturable_updated": _intent,
    "payment_intent.canceled": _intent_canceled,
    "payment_intent.payment_failed": _intent,
    "payment_intent.processing": _intent,
    "payment_intent.requires_action": _intent,
    "payment_intent.succeeded": _intent,
    "charge.captured": _charge_captured,
    "charge.expired": _charge_expired,
    "charge.failed": _charge,
    "charge.pending": _charge,
    "charge.succeeded": _charge,
    "charge.refunded": _charge_refunded,
    "charge.refund.updated": _refund,
    "refund.created": _refund,
    "refund.failed": _refund,
    "refund.updated": _refund,
}
