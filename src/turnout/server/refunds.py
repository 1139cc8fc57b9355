"""RefundService: the table of its methods, and how its lists are asked for."""

from __future__ import annotations

from turnout import v1
from turnout.orchestration.commands import Caller
from turnout.ports import RefundFilter
from turnout.server import decode, enums, pages
from turnout.server.encode import ProtoEncoder, fill_refund
from turnout.server.face import Face, Mutation, Query, Unary
from turnout.server.services import Refunds

SERVICE = "turnout.v1.RefundService"


class RefundFace:
    """RefundService over orchestration's Refunds."""

    def __init__(self, refunds: Refunds, encoder: ProtoEncoder) -> None:
        self._refunds = refunds
        self._encoder = encoder

    def methods(self, face: Face) -> list[Unary]:
        """What grpc may call."""
        return [
            Mutation(
                face, "CreateRefund", v1.CreateRefundRequest, decode.refund, self._refunds.create
            ),
            Query(face, "GetRefund", v1.GetRefundRequest, self._get),
            Query(face, "ListRefunds", v1.ListRefundsRequest, self._list),
        ]

    async def _get(self, caller: Caller, request: v1.GetRefundRequest) -> bytes:
        refund_id = decode.named(request.refund_id, "refund_id")
        payment, operation = await self._refunds.get(caller, refund_id)
        return self._encoder.refund(payment, operation)

    async def _list(self, caller: Caller, request: v1.ListRefundsRequest) -> bytes:
        page = pages.read_page(request, caller)
        want = _filter(request)
        want.before, want.limit = page.after, page.limit
        found = await self._refunds.list(caller, want)
        answer = v1.ListRefundsResponse()
        for payment, operation in found[: page.size]:
            fill_refund(answer.refunds.add(), payment, operation)
        answer.next_page_token = page.next_token(
            found, lambda last: (last[1].created_at_ns, last[1].operation_id)
        )
        return answer.SerializeToString()


def _filter(request: v1.ListRefundsRequest) -> RefundFilter:
    pages.check_count(len(request.status), "status")
    begin_ns, end_ns = pages.created_between(request)
    return RefundFilter(
        payment_id=request.payment_id,
        states=[
            state
            for number in set(request.status)
            for state in decode.word(enums.REFUND_STATES, number, "status", "RefundStatus")
        ],
        merchant_reference=request.merchant_reference,
        created_from_ns=begin_ns,
        created_to_ns=end_ns,
    )
