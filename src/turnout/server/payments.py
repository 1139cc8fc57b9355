"""PaymentService: the table of its methods, and how its lists are asked for."""

from __future__ import annotations

from turnout import v1
from turnout.orchestration.commands import Caller, PaymentCommand
from turnout.ports import PaymentFilter
from turnout.server import decode, enums, pages
from turnout.server.encode import ProtoEncoder, fill_payment
from turnout.server.face import Face, Mutation, Query, Unary
from turnout.server.services import Payments

SERVICE = "turnout.v1.PaymentService"


class PaymentFace:
    """PaymentService over orchestration's Payments."""

    def __init__(self, payments: Payments, encoder: ProtoEncoder) -> None:
        self._payments = payments
        self._encoder = encoder

    def authorization(self, face: Face) -> Mutation[v1.AuthorizePaymentRequest, PaymentCommand]:
        """AuthorizePayment, which a stream asks for as well."""
        return Mutation(
            face,
            "AuthorizePayment",
            v1.AuthorizePaymentRequest,
            decode.authorize,
            self._payments.authorize,
            _without_cvc,
        )

    def methods(self, face: Face) -> list[Unary]:
        """What grpc may call, but for the stream."""
        does = self._payments
        return [
            self.authorization(face),
            Mutation(
                face,
                "CreatePayment",
                v1.CreatePaymentRequest,
                decode.create,
                does.create,
                _without_cvc,
            ),
            Mutation(
                face,
                "ConfirmPayment",
                v1.ConfirmPaymentRequest,
                decode.confirm,
                does.confirm,
                _without_cvc,
            ),
            Mutation(
                face, "CapturePayment", v1.CapturePaymentRequest, decode.capture, does.capture
            ),
            Mutation(face, "CancelPayment", v1.CancelPaymentRequest, decode.cancel, does.cancel),
            Query(face, "GetPayment", v1.GetPaymentRequest, self._get),
            Query(face, "ListPayments", v1.ListPaymentsRequest, self._list),
            Query(face, "SyncPayment", v1.SyncPaymentRequest, self._sync),
        ]

    async def _get(self, caller: Caller, request: v1.GetPaymentRequest) -> bytes:
        payment_id = decode.named(request.payment_id, "payment_id")
        return self._encoder.payment(await self._payments.get(caller, payment_id))

    async def _sync(self, caller: Caller, request: v1.SyncPaymentRequest) -> bytes:
        payment_id = decode.named(request.payment_id, "payment_id")
        brought = dict(request.return_parameters)
        return self._encoder.payment(await self._payments.sync(caller, payment_id, brought))

    async def _list(self, caller: Caller, request: v1.ListPaymentsRequest) -> bytes:
        page = pages.read_page(request, caller)
        want = _filter(request)
        want.before, want.limit = page.after, page.limit
        found = await self._payments.list(caller, want)
        answer = v1.ListPaymentsResponse()
        for payment in found[: page.size]:
            fill_payment(answer.payments.add(), payment)
        answer.next_page_token = page.next_token(
            found, lambda last: (last.created_at_ns, last.payment_id)
        )
        return answer.SerializeToString()


def _filter(request: v1.ListPaymentsRequest) -> PaymentFilter:
    pages.check_count(len(request.status), "status")
    begin_ns, end_ns = pages.created_between(request)
    return PaymentFilter(
        statuses=[
            decode.word(enums.PAYMENT_STATUS_WORD, number, "status", "PaymentStatus")
            for number in request.status
        ],
        merchant_reference=request.merchant_reference,
        customer_reference=request.customer_reference,
        currency=pages.currency(request.currency),
        created_from_ns=begin_ns,
        created_to_ns=end_ns,
    )


def _without_cvc(
    request: v1.AuthorizePaymentRequest | v1.CreatePaymentRequest | v1.ConfirmPaymentRequest,
) -> None:
    """Clears every place where a verification code can stand."""
    method = request.payment_method
    chosen = method.WhichOneof("method")
    if chosen == "card":
        method.card.ClearField("cvc")
    elif chosen == "token":
        method.token.ClearField("cvc")
