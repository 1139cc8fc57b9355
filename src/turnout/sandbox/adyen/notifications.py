"""Adyen's standard webhooks, signed as Adyen documents it."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from turnout.sandbox.settings import AdyenAccount
from turnout.sandbox.webhooks import Delivery, WebhookCourier
from turnout.sandbox.wire import Clock, packed


def sign(item: dict[str, Any], hmac_key: str) -> str:
    """The signature of one item: base64 of HMAC-SHA256 over eight fields joined by colons."""
    amount = item["amount"]
    text = ":".join(
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
    digest = hmac.new(bytes.fromhex(hmac_key), text.encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


class Notifier:
    """Makes and sends the webhooks of one merchant account."""

    def __init__(self, account: AdyenAccount, courier: WebhookCourier, clock: Clock) -> None:
        self.webhook_url = account.webhook_url
        self.hmac_key = account.hmac_key
        self.sent = 0
        self._account = account
        self._courier = courier
        self._clock = clock
        headers = {"Content-Type": "application/json; charset=utf-8"}
        if account.webhook_username is not None:
            pair = f"{account.webhook_username}:{account.webhook_password or ''}"
            headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        self._headers = headers

    def send(
        self,
        event_code: str,
        psp_reference: str,
        merchant_reference: str,
        value: int,
        currency: str,
        *,
        success: bool,
        reason: str = "",
        payment_method: str | None = None,
        original_reference: str | None = None,
        additional: dict[str, str] | None = None,
        operations: list[str] | None = None,
    ) -> None:
        """Send one item; nothing is made for an account without a URL."""
        if self.webhook_url is None:
            return
        item: dict[str, Any] = {
            "amount": {"currency": currency, "value": value},
            "eventCode": event_code,
            "eventDate": datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="seconds"),
            "merchantAccountCode": self._account.name,
            "merchantReference": merchant_reference,
            "pspReference": psp_reference,
            "reason": reason,
            "success": "true" if success else "false",
        }
        if payment_method is not None:
            item["paymentMethod"] = payment_method
        if original_reference is not None:
            item["originalReference"] = original_reference
        if operations is not None:
            item["operations"] = operations
        item["additionalData"] = {**(additional or {}), "hmacSignature": sign(item, self.hmac_key)}
        body = packed({"live": "false", "notificationItems": [{"NotificationRequestItem": item}]})
        self.sent += 1
        self._courier.send(
            Delivery(
                "adyen",
                self._account.name,
                f"{psp_reference}:{event_code}:{item['success']}",
                event_code,
                merchant_reference,
                self.webhook_url,
                _sealed(self._headers, body),
            )
        )


def _sealed(
    headers: dict[str, str], body: bytes
) -> Callable[[float], tuple[dict[str, str], bytes]]:
    # Adyen signs the item, not the moment of sending: every try carries the same bytes.
    return lambda _: (headers, body)
