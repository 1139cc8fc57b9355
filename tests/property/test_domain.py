"""The laws of payments, operations and the ledger, walked at random."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from turnout.domain.declines import ADVICE, DeclineCode, decline
from turnout.domain.ids import RANDOM_BYTES, make_id
from turnout.domain.ledger import RECIPES, Book, LedgerKind, postings
from turnout.domain.operation import (
    ID_PREFIX,
    OPEN_STATES,
    OPERATION_TRANSITIONS,
    Operation,
    OperationKind,
    OperationState,
)
from turnout.domain.payment import (
    CAPTURABLE,
    STARTS,
    TRANSITIONS,
    CaptureMethod,
    Payment,
    PaymentDetails,
    PaymentStatus,
)

AMOUNTS = st.integers(1, 10_000)


def make_payment(status: PaymentStatus, capture: CaptureMethod = CaptureMethod.MANUAL) -> Payment:
    return Payment(
        "pay_1", "mer_1", "pro_1", "ref-1", False, 10_000, "EUR", capture, status, 1, 1,
        PaymentDetails(),
    )  # fmt: skip


def make_operation(
    kind: OperationKind, state: OperationState, amount: int = 100, sequence: int = 1
) -> Operation:
    return Operation(
        f"{ID_PREFIX[kind]}{sequence}", "pay_1", "mer_1", kind, sequence, "acc_1", "stripe",
        amount, "EUR", state, 1, 1,
    )  # fmt: skip


def reachable(table: dict[PaymentStatus, frozenset[PaymentStatus]]) -> set[PaymentStatus]:
    seen, waiting = set(STARTS), list(STARTS)
    while waiting:
        for status in table[waiting.pop()] - seen:
            seen.add(status)
            waiting.append(status)
    return seen


class PaymentWalk(RuleBasedStateMachine):
    """Every step that the table has is taken, every other one is refused and changes nothing."""

    payment: Payment
    now_ns: int

    @initialize(start=st.sampled_from(sorted(STARTS)))
    def begin(self, start: PaymentStatus) -> None:
        self.payment = make_payment(start)
        self.now_ns = 1

    @rule(status=st.sampled_from(PaymentStatus))
    def move(self, status: PaymentStatus) -> None:
        self.now_ns += 1
        before, changed_at = self.payment.status, self.payment.updated_at_ns
        if status is before or status in TRANSITIONS[before]:
            self.payment.move(status, self.now_ns)
            assert (self.payment.status, self.payment.updated_at_ns) == (status, self.now_ns)
        else:
            with pytest.raises(ValueError, match="no edge"):
                self.payment.move(status, self.now_ns)
            assert (self.payment.status, self.payment.updated_at_ns) == (before, changed_at)

    @invariant()
    def what_is_final_stays_final(self) -> None:
        assert TRANSITIONS[PaymentStatus.FAILED] == TRANSITIONS[PaymentStatus.CANCELED] == set()


TestPaymentWalk = PaymentWalk.TestCase
TestPaymentWalk.settings = settings(max_examples=100, stateful_step_count=30)


def test_the_tables_name_every_state_once() -> None:
    assert set(TRANSITIONS) == set(PaymentStatus) == reachable(TRANSITIONS)
    assert set(OPERATION_TRANSITIONS) == set(OperationState)
    for status, following in TRANSITIONS.items():
        assert status not in following
    for state, next_states in OPERATION_TRANSITIONS.items():
        assert state not in next_states


def test_money_that_moved_is_never_forgotten_by_a_status() -> None:
    # Once captured, a payment can fall back to what is held, but never to "nothing happened".
    for status in (PaymentStatus.SUCCEEDED, PaymentStatus.PARTIALLY_CAPTURED):
        assert not TRANSITIONS[status] & {PaymentStatus.FAILED, PaymentStatus.CANCELED}
    assert frozenset({PaymentStatus.REQUIRES_CAPTURE, PaymentStatus.PARTIALLY_CAPTURED}) == (
        CAPTURABLE
    )


@given(st.sampled_from(OperationState), st.sampled_from(OperationState))
def test_an_operation_moves_along_its_table_only(a: OperationState, b: OperationState) -> None:
    operation = make_operation(OperationKind.CAPTURE, a)
    if b is a or b in OPERATION_TRANSITIONS[a]:
        operation.move(b, 9)
        assert (operation.state, operation.updated_at_ns) == (b, 9)
    else:
        with pytest.raises(ValueError, match="no edge"):
            operation.move(b, 9)
        assert (operation.state, operation.updated_at_ns) == (a, 1)


def test_nothing_becomes_unprocessed_once_a_provider_has_taken_it_up() -> None:
    for state in (OperationState.PENDING, OperationState.SUCCEEDED, OperationState.FAILED):
        assert OperationState.NOT_PROCESSED not in OPERATION_TRANSITIONS[state]
    # What failed may succeed only through the eyes of a person.
    assert OperationState.SUCCEEDED not in OPERATION_TRANSITIONS[OperationState.FAILED]
    assert OperationState.SENDING not in frozenset().union(*OPERATION_TRANSITIONS.values())


OPERATIONS = st.lists(
    st.builds(
        make_operation,
        st.sampled_from(OperationKind),
        st.sampled_from(OperationState),
        AMOUNTS,
        st.integers(1, 99),
    ),
    max_size=12,
)


@given(OPERATIONS, st.sampled_from(CaptureMethod))
def test_totals_are_sums_of_operations_and_nothing_else(
    operations: list[Operation], capture: CaptureMethod
) -> None:
    payment = make_payment(PaymentStatus.PROCESSING, capture)
    payment.operations = operations
    payment.authorized_minor = payment.refunded_minor = 12_345
    payment.retotal()

    def total(kind: OperationKind, states: frozenset[OperationState]) -> int:
        return sum(o.amount_minor for o in operations if o.kind is kind and o.state in states)

    done = frozenset({OperationState.SUCCEEDED})
    captured = total(OperationKind.CAPTURE, done)
    if capture is CaptureMethod.AUTOMATIC:
        captured += total(OperationKind.AUTHORIZE, done)
    assert payment.authorized_minor == total(OperationKind.AUTHORIZE, done)
    assert payment.captured_minor == captured
    assert payment.pending_capture_minor == total(OperationKind.CAPTURE, OPEN_STATES)
    assert payment.refunded_minor == total(OperationKind.REFUND, done)
    assert payment.pending_refund_minor == total(OperationKind.REFUND, OPEN_STATES)
    again = (payment.authorized_minor, payment.captured_minor, payment.refunded_minor)
    payment.retotal()
    assert again == (payment.authorized_minor, payment.captured_minor, payment.refunded_minor)


@given(OPERATIONS)
def test_what_is_open_binds_money_in_capture_and_refund(operations: list[Operation]) -> None:
    payment = make_payment(PaymentStatus.REQUIRES_CAPTURE)
    payment.operations = operations
    payment.retotal()
    cancels = any(o.kind is OperationKind.CANCEL and o.open for o in operations)
    assert payment.cancel_open == cancels
    if cancels:
        assert payment.capturable_minor == 0
    else:
        bound = payment.captured_minor + payment.pending_capture_minor
        assert payment.capturable_minor == payment.authorized_minor - bound
    refunds = payment.refunded_minor + payment.pending_refund_minor
    assert payment.refundable_minor == payment.captured_minor - refunds


@given(st.sampled_from(sorted(set(PaymentStatus) - CAPTURABLE)))
def test_only_what_is_held_can_be_captured(status: PaymentStatus) -> None:
    payment = make_payment(status)
    payment.authorized_minor = 100
    assert payment.capturable_minor == 0


@given(st.sampled_from(LedgerKind), st.integers(1, 10**12))
def test_every_ledger_transaction_sums_to_zero(kind: LedgerKind, amount: int) -> None:
    lines = postings(kind, amount)
    assert sum(line.amount_minor for line in lines) == 0
    assert len({line.book for line in lines}) == len(lines) == len(RECIPES[kind])
    assert all(abs(line.amount_minor) == amount for line in lines)


@given(st.sampled_from(LedgerKind), st.integers(max_value=0))
def test_nothing_but_a_positive_amount_is_posted(kind: LedgerKind, amount: int) -> None:
    with pytest.raises(ValueError, match="cannot be posted"):
        postings(kind, amount)


@pytest.mark.parametrize(
    "way",
    [
        (LedgerKind.AUTHORIZATION, LedgerKind.RELEASE),
        (LedgerKind.AUTHORIZATION, LedgerKind.CAPTURE, LedgerKind.CAPTURE_FAILED,
         LedgerKind.RELEASE),
        (LedgerKind.REFUND_REQUESTED, LedgerKind.REFUND_FAILED),
        (LedgerKind.REFUND_REQUESTED, LedgerKind.REFUND, LedgerKind.REFUND_REVERSED,
         LedgerKind.REFUND_FAILED),
        (LedgerKind.AUTHORIZATION, LedgerKind.CAPTURE, LedgerKind.REFUND_REQUESTED,
         LedgerKind.REFUND, LedgerKind.REFUND_REVERSED, LedgerKind.REFUND_FAILED,
         LedgerKind.CAPTURE_FAILED, LedgerKind.RELEASE),
    ],
)  # fmt: skip
def test_what_is_undone_leaves_the_books_as_they_were(way: tuple[LedgerKind, ...]) -> None:
    books = dict.fromkeys(Book, 0)
    for kind in way:
        for line in postings(kind, 700):
            books[line.book] += line.amount_minor
    assert set(books.values()) == {0}


@given(st.integers(0, 2**47), st.integers(0, 2**47), st.binary(min_size=10, max_size=10))
def test_ids_sort_by_time(one_ms: int, other_ms: int, noise: bytes) -> None:
    assert len(noise) == RANDOM_BYTES
    one, other = (make_id("pay_", ms * 1_000_000, noise) for ms in (one_ms, other_ms))
    assert (one < other) == (one_ms < other_ms)
    assert len(one) == 36


def test_every_decline_has_advice() -> None:
    assert set(ADVICE) == set(DeclineCode)
    for code in DeclineCode:
        assert decline(code).advice is ADVICE[code]
    assert len(decline(DeclineCode.GENERIC, provider_message="x" * 9_999).provider_message) == 500
