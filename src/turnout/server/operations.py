"""OperationsService: what operators do by hand, under keys that no merchant has."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from google.protobuf.message import Message

from turnout import v1
from turnout.domain.operation import Operation, OperationState
from turnout.domain.payment import Payment
from turnout.domain.reviews import under_review
from turnout.orchestration.commands import Caller, Idempotency, Operator, ResolveCommand
from turnout.ports import ReviewFilter, StoredWebhook
from turnout.server import decode, enums, headers, pages
from turnout.server.encode import fill_payment, fill_time
from turnout.server.face import Call, Context, Face, Unary
from turnout.server.services import Reviews

SERVICE = "turnout.v1.OperationsService"

M = TypeVar("M", bound=Message)


class _Query(Unary, Generic[M]):
    """A method of operators that changes nothing."""

    __slots__ = ("_answer", "_kind")

    def __init__(
        self, face: Face, rpc: str, kind: type[M], answer: Callable[[Caller, M], Awaitable[bytes]]
    ) -> None:
        super().__init__(face, rpc)
        self._kind = kind
        self._answer = answer

    def start(
        self, call: Call, said: headers.Headers, raw: bytes, context: Context, deadline_ns: int
    ) -> Awaitable[bytes]:
        """Authenticates, reads, answers."""
        operator = self.face.operator(call, said, deadline_ns)
        # Page tokens belong to who asks; an operator asks about all merchants.
        caller = Caller(operator.operator_id, operator.operator_id, False, deadline_ns)
        return self._answer(caller, self.face.read(self._kind, raw))


class _Resolve(Unary):
    """The one method of operators that moves something."""

    __slots__ = ("_reviews",)

    def __init__(self, face: Face, reviews: Reviews) -> None:
        super().__init__(face, "ResolveReview")
        self._reviews = reviews

    def start(
        self, call: Call, said: headers.Headers, raw: bytes, context: Context, deadline_ns: int
    ) -> Awaitable[bytes]:
        """Authenticates, reads, decodes, acts."""
        operator: Operator = self.face.operator(call, said, deadline_ns)
        key = headers.idempotency_key(said)
        message = self.face.read(v1.ResolveReviewRequest, raw)
        command = ResolveCommand(
            decode.named(message.payment_id, "payment_id"),
            message.operation_id,
            decode.word(
                enums.RESOLUTION_WORD, message.resolution, "resolution", "ReviewResolution"
            ),
            message.note,
            message.provider_reference,
        )
        request = message.SerializeToString(deterministic=True)
        return self._reviews.resolve(operator, Idempotency(self.rpc, key, request), command)


class OperationsFace:
    """OperationsService over orchestration's Reviews."""

    def __init__(self, reviews: Reviews) -> None:
        self._reviews = reviews

    def methods(self, face: Face) -> list[Unary]:
        """What grpc may call."""
        return [
            _Query(face, "ListReviews", v1.ListReviewsRequest, self._list),
            _Resolve(face, self._reviews),
            _Query(face, "ListSetAsideWebhooks", v1.ListSetAsideWebhooksRequest, self._set_aside),
        ]

    async def _list(self, caller: Caller, request: v1.ListReviewsRequest) -> bytes:
        page = pages.read_page(request, caller)
        want = ReviewFilter(
            merchant_id=request.merchant_id,
            payment_id=request.payment_id,
            account_id=request.account_id,
            live=decode.optional_word(enums.MODE_WORD, request.mode, "mode", "Mode"),
            after=page.after,
            limit=page.limit,
        )
        found = await self._reviews.list(want)
        answer = v1.ListReviewsResponse()
        for payment in found[: page.size]:
            _fill_review(answer.reviews.add(), payment)
        answer.next_page_token = page.next_token(
            found, lambda last: (last.created_at_ns, last.payment_id)
        )
        return answer.SerializeToString()

    async def _set_aside(self, caller: Caller, request: v1.ListSetAsideWebhooksRequest) -> bytes:
        page = pages.read_page(request, caller)
        found = await self._reviews.set_aside(page.after, page.limit)
        answer = v1.ListSetAsideWebhooksResponse()
        for webhook in found[: page.size]:
            _fill_webhook(answer.webhooks.add(), webhook)
        answer.next_page_token = page.next_token(
            found, lambda last: (last.received_at_ns, last.webhook_id)
        )
        return answer.SerializeToString()


def _fill_review(out: v1.Review, payment: Payment) -> None:
    fill_payment(out.payment, payment)
    for one in under_review(payment):
        _fill_operation(out.operations.add(), one)


def _fill_operation(out: v1.ReviewedOperation, one: Operation) -> None:
    out.operation_id = one.operation_id
    out.kind = enums.OPERATION_KIND[one.kind]
    out.account_id = one.account_id
    out.provider = one.provider
    out.provider_reference = one.provider_reference
    out.amount_minor = one.amount_minor
    out.currency = one.currency
    out.reason = one.reason
    out.outcome_open = one.state is OperationState.NEEDS_REVIEW
    fill_time(out.created_at, one.created_at_ns)
    fill_time(out.updated_at, one.updated_at_ns)


def _fill_webhook(out: v1.SetAsideWebhook, webhook: StoredWebhook) -> None:
    event = webhook.event
    out.webhook_id = webhook.webhook_id
    out.account_id = webhook.account_id
    out.event_id = event.event_id
    out.event_type = event.event_type
    out.kind = enums.OPERATION_KIND[event.kind]
    out.operation_id = event.operation_reference
    out.provider_reference = event.outcome.provider_reference
    out.outcome = event.outcome.kind.value
    out.attempt_count = webhook.attempts
    out.reason = webhook.reason
    fill_time(out.received_at, webhook.received_at_ns)
