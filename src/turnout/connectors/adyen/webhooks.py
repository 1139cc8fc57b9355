"""Adyen's standard notifications: one HMAC for each item, then each item as ours.

Source: docs.adyen.com/development-resources/webhooks/verify-hmac-signatures. The signature covers
eight fields, among them who, how much and whether it worked, but no time: an old notification
that is sent again is caught by its id, not by its age.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import logging
from dataclasses import dataclass
from datetime import datetime

import orjson

from turnout.connectors.adyen.answers import add_checks, decline_of, money
from turnout.connectors.documents import Json, table, text
from turnout.connectors.signatures import hmac_sha256
from turnout.connectors.verdicts import declined, unknown
from turnout.domain.accounts import Account
from turnout.domain.declines import DeclineCode
from turnout.domain.operation import ID_PREFIX, OperationKind
from turnout.domain.outcomes import Outcome, OutcomeKind, ProviderEvent
from turnout.ports import WebhookDelivery, WebhookRejected

log = logging.getLogger(__name__)

# What Adyen wants to read; anything else counts as not delivered at older endpoints.
REPLY = b"[accepted]"
ITEMS_MAX = 100
_SHOWN_MAX = 64
# Nanoseconds of later times do not fit into 64 bits.
_TIME_MAX_S = 9_000_000_000

_K = OperationKind


@dataclass(frozen=True, slots=True)
class _Reading:
    """What an event code says.

    Attributes:
        reverses: it takes back a success that was told earlier.
        decline: what success means, where the event itself is bad news.
        pending: the event says that the result is still to come.
    """

    kind: OperationKind
    reverses: bool = False
    decline: DeclineCode | None = None
    reason: str = ""
    pending: bool = False


_READINGS: dict[str, _Reading] = {
    "AUTHORISATION": _Reading(_K.AUTHORIZE),
    "OFFER_CLOSED": _Reading(_K.AUTHORIZE, decline=DeclineCode.ABANDONED_BY_CUSTOMER),
    "CAPTURE": _Reading(_K.CAPTURE),
    "CAPTURE_FAILED": _Reading(_K.CAPTURE, reverses=True, decline=DeclineCode.PROVIDER_REJECTED),
    "CANCELLATION": _Reading(_K.CANCEL),
    "TECHNICAL_CANCEL": _Reading(_K.CANCEL),
    "CANCEL_OR_REFUND": _Reading(_K.CANCEL),
    "EXPIRE": _Reading(_K.CANCEL, reason="expired"),
    "REFUND": _Reading(_K.REFUND),
    "REFUND_WITH_DATA": _Reading(_K.REFUND),
    "POSTPONED_REFUND": _Reading(_K.REFUND, pending=True),
    "REFUND_FAILED": _Reading(_K.REFUND, reverses=True, decline=DeclineCode.PROVIDER_REJECTED),
    "REFUNDED_REVERSED": _Reading(_K.REFUND, reverses=True, decline=DeclineCode.PROVIDER_REJECTED),
}


def read(account: Account, body: bytes) -> WebhookDelivery:
    """Checks and reads one notification; see `turnout.ports.Connector.read_webhook`."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise WebhookRejected("not_json", "the body is not JSON") from error
    if not isinstance(document, dict):
        raise WebhookRejected("not_a_notification", "the body is not a JSON object")
    items = _items(document)
    keys = _keys(account)
    for item in items:
        _check_signature(account, item, keys)
    if text(document, "live") != ("true" if account.live else "false"):
        raise WebhookRejected(
            "wrong_mode",
            f"account {account.account_id} got a notification of the other mode (test or live)",
        )
    expected = account.settings.get("merchant_account", "")
    events = []
    for item in items:
        if text(item, "merchantAccountCode") != expected:
            raise WebhookRejected(
                "wrong_account",
                f"the notification is for another merchant account than {expected!r} of account "
                f"{account.account_id}",
            )
        event = _event(item)
        if event is None:
            continue
        if event.outcome.kind is OutcomeKind.UNKNOWN:
            # It tells nothing, and what is known must not be made less known by it.
            log.warning(
                "account %s: a notification %s of %s is not understood (%s)",
                account.account_id,
                event.event_type,
                event.operation_reference[:_SHOWN_MAX],
                event.outcome.reason,
            )
            continue
        events.append(event)
    return WebhookDelivery(events, REPLY, "text/plain")


def _items(document: Json) -> list[Json]:
    wrapped = document.get("notificationItems")
    if not isinstance(wrapped, list) or not 0 < len(wrapped) <= ITEMS_MAX:
        raise WebhookRejected("not_a_notification", "there are no notificationItems")
    items = []
    for one in wrapped:
        item = one.get("NotificationRequestItem") if isinstance(one, dict) else None
        if not isinstance(item, dict):
            raise WebhookRejected("not_a_notification", "an item is no NotificationRequestItem")
        items.append(item)
    return items


def _keys(account: Account) -> list[bytes]:
    if not account.webhook_secrets:
        raise WebhookRejected(
            "secret_missing", f"account {account.account_id} has no HMAC key configured"
        )
    try:
        return [bytes.fromhex(secret.reveal()) for secret in account.webhook_secrets]
    except ValueError:
        # Without the cause: its message would quote the key.
        raise WebhookRejected(
            "secret_malformed",
            f"an HMAC key of account {account.account_id} is not hexadecimal; copy it from the "
            "Customer Area as it is shown",
        ) from None


def signed_text(item: Json) -> bytes:
    """What Adyen's signature covers, fields that are missing as empty ones."""
    amount = table(item, "amount")
    value = amount.get("value", "")
    fields = (
        text(item, "pspReference"),
        text(item, "originalReference"),
        text(item, "merchantAccountCode"),
        text(item, "merchantReference"),
        str(value) if type(value) is int else "",
        text(amount, "currency"),
        text(item, "eventCode"),
        _success(item),
    )
    return ":".join(fields).encode("utf-8", "surrogatepass")


def _success(item: Json) -> str:
    value = item.get("success")
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else ""


def _check_signature(account: Account, item: Json, keys: list[bytes]) -> None:
    given = text(table(item, "additionalData"), "hmacSignature")
    if not given:
        raise WebhookRejected(
            "signature_missing",
            "an item carries no hmacSignature; switch HMAC signatures on for this webhook in the "
            "Customer Area",
        )
    try:
        signature = base64.b64decode(given, validate=True)
    except (binascii.Error, ValueError) as error:
        raise WebhookRejected("signature_wrong", "hmacSignature is not base64") from error
    signed = signed_text(item)
    good = False
    for key in keys:
        expected = hmac_sha256(key, signed)
        good |= hmac.compare_digest(expected, signature)
    if not good:
        raise WebhookRejected(
            "signature_wrong",
            f"hmacSignature fits no HMAC key of account {account.account_id}; check that the key "
            "belongs to this webhook endpoint",
        )


def _event(item: Json) -> ProviderEvent | None:
    """One item as an event; None for codes that say nothing of our operations."""
    code = text(item, "eventCode")
    reading = _READINGS.get(code)
    if reading is None:
        return None
    psp = text(item, "pspReference")
    ours = text(item, "merchantReference")
    original = text(item, "originalReference")
    kind: OperationKind | None = reading.kind
    succeeded = _success(item) == "true"
    if code == "CANCEL_OR_REFUND":
        kind = _cancel_or_refund(item, ours)
    if kind is None:
        return None
    if kind is not _K.AUTHORIZE and reading.decline is not None and not succeeded:
        # A failure that did not happen: nothing has changed.
        return None
    if code in ("OFFER_CLOSED", "EXPIRE") and not succeeded:
        return None
    outcome = _outcome(item, reading, kind, succeeded, psp)
    if kind is _K.AUTHORIZE:
        payment = psp if code == "AUTHORISATION" else ""
    else:
        payment = original or (psp if code == "EXPIRE" else "")
    return ProviderEvent(
        f"{code}:{psp}:{_success(item)}",
        kind,
        outcome,
        operation_reference=ours,
        payment_reference=payment,
        reverses=reading.reverses,
        occurred_at_ns=_when_ns(text(item, "eventDate")),
        event_type=code,
    )


def _cancel_or_refund(item: Json, ours: str) -> OperationKind | None:
    """Which of the two it was: by the operation that we asked for, else by what Adyen did.

    None where neither tells: a hold that is taken for released would be a payment given up.
    """
    for kind in (_K.CANCEL, _K.REFUND):
        if ours.startswith(ID_PREFIX[kind]):
            return kind
    action = text(table(item, "additionalData"), "modification.action")
    return {"cancel": _K.CANCEL, "refund": _K.REFUND}.get(action)


def _outcome(
    item: Json, reading: _Reading, kind: OperationKind, succeeded: bool, psp: str
) -> Outcome:
    if _success(item) not in ("true", "false"):
        # Only these two are results; whatever else may come one day is not a refusal.
        return unknown("unexpected_success")
    more = table(item, "additionalData")
    reason = text(item, "reason")
    if reading.decline is not None:
        outcome = declined(
            reading.decline,
            provider_code=text(item, "eventCode"),
            provider_message=reason,
            reference=psp,
        )
    elif not succeeded:
        if kind is _K.AUTHORIZE:
            outcome = decline_of("", reason, more, psp)
        else:
            outcome = declined(
                DeclineCode.PROVIDER_REJECTED, provider_message=reason, reference=psp
            )
            if _never_existed(item, reason):
                outcome.reason = "authorization_not_found"
    elif reading.pending:
        outcome = Outcome(OutcomeKind.PENDING, "postponed", provider_reference=psp)
    else:
        outcome = Outcome(OutcomeKind.SUCCEEDED, reading.reason, provider_reference=psp)
    if kind is _K.AUTHORIZE:
        add_checks(outcome, more)
    # A cancel's amount is the payment's, not what was let go.
    if kind is not _K.CANCEL:
        outcome.amount_minor, outcome.currency = money(table(item, "amount"))
        if outcome.amount_minor is None and outcome.kind is OutcomeKind.SUCCEEDED:
            return unknown("amount_unreadable")
    return outcome


def _never_existed(item: Json, reason: str) -> bool:
    """Whether a cancel by reference failed because nothing stands under the reference.

    Both must say so: other failures (captured already, expired) mean that there was a payment.
    """
    return (
        text(item, "eventCode") == "TECHNICAL_CANCEL"
        and not text(item, "originalReference")
        and "not found" in reason.lower()
    )


def _when_ns(date: str) -> int:
    """Adyen's time of the event, 0 where it cannot be read."""
    try:
        when = datetime.fromisoformat(date)
    except (ValueError, OverflowError):
        return 0
    if when.tzinfo is None:
        return 0
    seconds = int(when.timestamp())
    return seconds * 1_000_000_000 if 0 < seconds < _TIME_MAX_S else 0
