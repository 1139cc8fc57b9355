"""TokenService: the table of its methods."""

from __future__ import annotations

from turnout import v1
from turnout.server import decode
from turnout.server.face import Face, Mutation, Unary
from turnout.server.services import Tokens

SERVICE = "turnout.v1.TokenService"


class TokenFace:
    """TokenService over orchestration's Tokens."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def methods(self, face: Face) -> list[Unary]:
        """What grpc may call."""
        return [
            Mutation(
                face,
                "CreateToken",
                v1.CreateTokenRequest,
                decode.token,
                self._tokens.create,
                _without_cvc,
            )
        ]


def _without_cvc(request: v1.CreateTokenRequest) -> None:
    request.card.ClearField("cvc")
