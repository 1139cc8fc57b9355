"""Stripe's errors: an envelope, a type, and codes that callers branch on."""

from __future__ import annotations

from typing import Any

from turnout.sandbox.wire import Answer


class StripeError(Exception):
    """An error answer.

    `began` says whether the request had started to be carried out: only then does Stripe keep the
    answer under the idempotency key.
    """

    def __init__(self, status: int, error: dict[str, Any], *, began: bool = False) -> None:
        super().__init__(error.get("message", ""))
        self.status = status
        self.error = error
        self.began = began

    @staticmethod
    def bad_request(
        message: str, code: str | None = None, param: str | None = None, *, began: bool = False
    ) -> StripeError:
        """A 400 of type invalid_request_error."""
        error: dict[str, Any] = {"type": "invalid_request_error", "message": message}
        if code is not None:
            error["code"] = code
        if param is not None:
            error["param"] = param
        return StripeError(400, error, began=began)

    @staticmethod
    def unsupported(what: str, param: str) -> StripeError:
        """A parameter that Stripe knows and this simulator does not act on."""
        return StripeError.bad_request(
            f"The sandbox does not simulate {what}; leave {param} out.", None, param
        )

    @staticmethod
    def missing(kind: str, identifier: str, param: str = "id") -> StripeError:
        """A 404 for an object that does not exist in this account."""
        return StripeError(
            404,
            {
                "type": "invalid_request_error",
                "code": "resource_missing",
                "message": f"No such {kind}: {identifier[:80]!r}",
                "param": param,
            },
            began=True,
        )

    @staticmethod
    def card(code: str, message: str, **more: Any) -> StripeError:
        """A 402: the card was looked at and refused."""
        error = {"type": "card_error", "code": code, "message": message}
        error.update({name: value for name, value in more.items() if value is not None})
        return StripeError(402, error, began=True)

    def answer(self) -> Answer:
        """The error as an HTTP answer."""
        return Answer(self.status, {"error": self.error})
