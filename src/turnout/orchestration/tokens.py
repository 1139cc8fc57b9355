"""Tokens: a card goes into the vault, and a token comes out."""

from __future__ import annotations

from turnout.domain.errors import InvalidRequest
from turnout.orchestration.commands import Caller, Idempotency, TokenCommand
from turnout.orchestration.idempotency import Claims, Run
from turnout.orchestration.parts import Parts
from turnout.orchestration.validate import check_token, refused_today
from turnout.ports import UnitOfWork
from turnout.vault import CardHints


class Tokens:
    """What TokenService does, knowing no proto."""

    def __init__(self, parts: Parts, claims: Claims) -> None:
        self._parts = parts
        self._claims = claims

    async def create(self, caller: Caller, idem: Idempotency, command: TokenCommand) -> bytes:
        """Seals a card; its CVC is not kept.

        Raises:
            InvalidRequest: the card is not one; nothing was stored.
        """
        self._parts.admission.authorize(self._claims.in_flight)
        refused = None
        try:
            check_token(command, self._parts.mint.clock.now_ns())
        except InvalidRequest as error:
            refused = refused_today(error)
        return await self._claims.run(
            caller, idem, lambda run: self._create(run, command), refused=refused
        )

    async def _create(self, run: Run, command: TokenCommand) -> None:
        vault, source = self._parts.vault, command.source
        sealed = vault.seal(
            run.caller.merchant_id,
            run.caller.live,
            source.card,
            CardHints(source.issuer_country, source.funding, source.network),
            command.customer_reference,
        )
        sealed.reveal.wipe()
        claim = run.claim("", "")
        answer = claim.answer = self._parts.encoder.token(sealed.record)
        # The card first: an answer that names a token must never be there without its card.
        await vault.persist(sealed)
        await run.complete(self._parts.store.commit(UnitOfWork(claim=claim)), answer)
