"""Payments and units of work as orchestration makes them, for the suites of the stores."""

from dataclasses import dataclass, field

from turnout.domain.cards import CardFacts, Funding, Network
from turnout.domain.events import Event, EventType
from turnout.domain.ledger import LedgerKind, LedgerTransaction, postings
from turnout.domain.operation import (
    ClaimKey,
    Operation,
    OperationDetails,
    OperationKind,
    OperationState,
)
from turnout.domain.outcomes import Outcome, OutcomeKind, ProviderEvent
from turnout.domain.payment import (
    Address,
    CaptureMethod,
    Customer,
    DecisionSummary,
    MethodView,
    Payment,
    PaymentDetails,
    PaymentStatus,
)
from turnout.ports import Claim, DecisionRecord, StoredWebhook, UnitOfWork

NOW_NS = 1_760_000_000_000_000_000
MERCHANT = "mer_shop"
ACCOUNT = "acc_north"


def payment_id(number: int) -> str:
    return f"pay_{number:032x}"


def operation_id(number: int, sequence: int = 1, prefix: str = "att_") -> str:
    return f"{prefix}{number:024x}{sequence:08x}"


def make_payment(
    number: int = 1, *, merchant_id: str = MERCHANT, reference: str = "", customer: str = ""
) -> Payment:
    """A payment as it is first written: processing, nothing authorized."""
    return Payment(
        payment_id=payment_id(number),
        merchant_id=merchant_id,
        profile_id="default",
        merchant_reference=reference,
        live=False,
        amount_minor=1_000,
        currency="EUR",
        capture_method=CaptureMethod.MANUAL,
        status=PaymentStatus.PROCESSING,
        created_at_ns=NOW_NS + number,
        updated_at_ns=NOW_NS + number,
        details=PaymentDetails(
            customer=Customer(reference=customer, email="payer@example.com"),
            billing_address=Address(city="Berlin", country="DE"),
            metadata={"order": str(number)},
        ),
        method=MethodView(
            token_id="tok_1",
            card=CardFacts(Network.VISA, "42424242", "4242", 12, 2030, Funding.CREDIT, "DE"),
        ),
        account_id=ACCOUNT,
        decision=DecisionSummary("dec_1", ACCOUNT, [ACCOUNT], ["priority"], "1", 1, NOW_NS),
    )


def make_operation(
    payment: Payment,
    number: int = 1,
    *,
    kind: OperationKind = OperationKind.AUTHORIZE,
    sequence: int = 1,
    amount_minor: int | None = None,
    state: OperationState = OperationState.SENDING,
) -> Operation:
    prefix = {"authorize": "att_", "capture": "cap_", "cancel": "can_", "refund": "ref_"}[kind]
    return Operation(
        operation_id=operation_id(number, sequence, prefix),
        payment_id=payment.payment_id,
        merchant_id=payment.merchant_id,
        kind=kind,
        sequence=sequence,
        account_id=ACCOUNT,
        provider="stripe",
        amount_minor=payment.amount_minor if amount_minor is None else amount_minor,
        currency=payment.currency,
        state=state,
        created_at_ns=NOW_NS + number + sequence - 1,
        updated_at_ns=NOW_NS + number,
        details=None if kind is OperationKind.AUTHORIZE else OperationDetails(reason="asked"),
    )


def claim_key(key: str = "key-1", merchant_id: str = MERCHANT) -> ClaimKey:
    return ClaimKey(merchant_id, "AuthorizePayment", key)


def make_event(
    payment: Payment, number: int = 1, kind: EventType = EventType.PAYMENT_AUTHORIZED
) -> Event:
    return Event(
        f"evt_{number:032x}",
        payment.merchant_id,
        kind,
        payment.payment_id,
        "",
        NOW_NS + number,
        b'{"payment":' + str(number).encode() + b"}",
    )


def make_ledger(
    operation: Operation, kind: LedgerKind, number: int, amount_minor: int = 0
) -> LedgerTransaction:
    return LedgerTransaction(
        f"ltx_{number:032x}",
        operation.merchant_id,
        operation.account_id,
        operation.payment_id,
        operation.operation_id,
        kind,
        operation.currency,
        postings(kind, amount_minor or operation.amount_minor),
        NOW_NS,
    )


def make_webhook(number: int = 1, account_id: str = ACCOUNT) -> StoredWebhook:
    return StoredWebhook(
        f"whk_{number:032x}",
        account_id,
        NOW_NS + number,
        ProviderEvent(
            f"provider-event-{number}",
            OperationKind.CAPTURE,
            Outcome(OutcomeKind.SUCCEEDED, provider_reference="pi_1", amount_minor=5),
            operation_reference=operation_id(number),
        ),
    )


@dataclass
class Authorization:
    """One payment's two commits, as the hot path makes them."""

    payment: Payment
    operation: Operation
    claim: Claim
    number: int
    begin: UnitOfWork = field(init=False)

    def __post_init__(self) -> None:
        self.begin = UnitOfWork(
            claim=self.claim,
            payment=self.payment,
            operations=[self.operation],
            decision=DecisionRecord(
                f"dec_{self.number:032x}",
                self.payment.merchant_id,
                self.payment.payment_id,
                NOW_NS,
                b"compact",
            ),
        )

    def settle(self) -> UnitOfWork:
        """The provider approved: changes the objects and says what to commit."""
        payment, operation = self.payment, self.operation
        operation.move(OperationState.SUCCEEDED, NOW_NS + 5)
        operation.provider_reference = f"pi_{self.number}"
        operation.check_at_ns = 0
        payment.move(PaymentStatus.REQUIRES_CAPTURE, NOW_NS + 5)
        payment.provider_reference = operation.provider_reference
        payment.operations = [operation]
        payment.capture_before_ns = NOW_NS + 1_000
        payment.retotal()
        payment.version += 1
        return UnitOfWork(
            answers=[(self.claim.key, b"answer-" + str(self.number).encode())],
            payment=payment,
            operations=[operation],
            ledger=[make_ledger(operation, LedgerKind.AUTHORIZATION, self.number)],
            events=[make_event(payment, self.number)],
        )


def authorization(
    number: int = 1,
    *,
    merchant_id: str = MERCHANT,
    reference: str = "",
    key: str = "",
    customer: str = "",
) -> Authorization:
    payment = make_payment(number, merchant_id=merchant_id, reference=reference, customer=customer)
    operation = make_operation(payment, number)
    key_ = claim_key(key or f"key-{number}", merchant_id)
    operation.claim = key_
    claim = Claim(
        key_, b"fingerprint", payment.payment_id, operation.operation_id, NOW_NS + number
    )
    return Authorization(payment, operation, claim, number)
