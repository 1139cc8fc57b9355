"""Adyen's errors: an HTTP status, a code and a type."""

from __future__ import annotations

from turnout.sandbox.wire import Answer


class AdyenError(Exception):
    """An error answer.

    `began` says whether the answer is kept under the idempotency key: what failed before the
    platform looked at it may be sent again.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        kind: str = "validation",
        *,
        psp_reference: str | None = None,
        began: bool = False,
        transient: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.kind = kind
        self.psp_reference = psp_reference
        self.began = began
        self.transient = transient

    def answer(self) -> Answer:
        """The error as an HTTP answer."""
        body: dict[str, object] = {
            "status": self.status,
            "errorCode": self.code,
            "message": self.message,
            "errorType": self.kind,
        }
        if self.psp_reference is not None:
            body["pspReference"] = self.psp_reference
        headers = {"Transient-Error": "true"} if self.transient else {}
        return Answer(self.status, dict(body), headers)
