"""WebhookService: providers' notifications, which bring no API key but a signature.

The signature is over the body's bytes and stands in the provider's own headers, so both go down
exactly as they came; who sent them is for the account's connector to judge.
"""

from __future__ import annotations

from collections.abc import Awaitable

from google.api import httpbody_pb2

from turnout import v1
from turnout.server import decode
from turnout.server.face import Call, Context, Face, Unary
from turnout.server.headers import Headers
from turnout.server.services import Webhooks

SERVICE = "turnout.v1.WebhookService"


class ReceiveProviderWebhook(Unary):
    """The one method; takes all metadata down as headers."""

    __slots__ = ("_webhooks",)

    def __init__(self, face: Face, webhooks: Webhooks) -> None:
        super().__init__(face, "ReceiveProviderWebhook")
        self._webhooks = webhooks

    def start(
        self, call: Call, said: Headers, raw: bytes, context: Context, deadline_ns: int
    ) -> Awaitable[bytes]:
        """Reads the envelope and hands its content down."""
        request = self.face.read(v1.ReceiveProviderWebhookRequest, raw)
        account_id = decode.named(request.account_id, "account_id")
        headers = _headers(context)
        if request.body.content_type:
            headers["content-type"] = request.body.content_type
        return self._receive(account_id, headers, request.body.data)

    async def _receive(self, account_id: str, headers: dict[str, str], body: bytes) -> bytes:
        reply, content_type = await self._webhooks.receive(account_id, headers, body)
        answer: bytes = httpbody_pb2.HttpBody(
            content_type=content_type, data=reply
        ).SerializeToString()
        return answer


def _headers(context: Context) -> dict[str, str]:
    """Metadata as HTTP headers, names in lower case; binary metadata is never HTTP's."""
    found: dict[str, str] = {}
    for name, value in context.invocation_metadata() or ():
        if isinstance(value, str):
            found[name] = f"{found[name]}, {value}" if name in found else value
    return found
