"""After the world has come to rest: our record against the providers' own books.

I1, I2, I3, I5, I6, I10 of the list of invariants, and I4 over all that the record holds.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from tests.sim.books import Charge
from tests.sim.shop import CARDS, MASTERCARDS, MERCHANT
from turnout.domain.operation import ClaimKey, Operation, OperationKind, OperationState
from turnout.domain.payment import CAPTURABLE, CaptureMethod, Payment, PaymentStatus
from turnout.stores.memory import MemoryStore
from turnout.stores.memory_claims import _key

if TYPE_CHECKING:
    from tests.sim.world import World

_S = OperationState
# The one limit that a dozen cards of a world can reach; see routing/schemes/rules.toml.
_MASTERCARD_DECLINES_A_DAY = 8
_UNDECIDED = (PaymentStatus.PROCESSING, PaymentStatus.REQUIRES_ACTION)
# Faults after which a person may have to look: the provider says what cannot be, nothing ever
# tells, or our own clock says that it has been waiting for hours. Without them no payment of a
# world may end as a review.
MAY_NEED_REVIEW = frozenset({"other_amount", "webhook_lost", "clock_jump", "clock_far"})


def check(world: World) -> None:
    """Writes all that is wrong to the world's watch."""
    record = world.disk.record
    posted: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for transaction in record.ledger():
        for line in transaction.postings:
            posted[transaction.payment_id][line.book.value] += line.amount_minor
    for name in record._payments:
        payment = record._whole(record._payments[name])
        _payment(world, payment, posted[payment.payment_id])
    _counted(world, record)
    _acked(world, record)
    _nothing_forgotten(world, record)
    _no_card_data(world, record)


def _payment(world: World, payment: Payment, posted: dict[str, int]) -> None:
    fault = world.watch.fault
    name = payment.payment_id
    charges = world.books.of_payment.get(name, [])
    reviewed = payment.needs_review
    live = [one for one in charges if one.live]
    if len(live) > 1:
        fault("I1", f"{name} is charged {len(live)} times")
    # A capture taken back under a refund is a person's business in any world.
    taken_back = any(one.undone for one in charges)
    if reviewed and not taken_back and not MAY_NEED_REVIEW & set(world.plan.families):
        why = [one.reason for one in payment.operations if one.reason]
        fault("review", f"{name} needs a person without a reason to: {why}")
    if reviewed:
        return
    if "webhook_lost" in world.plan.families and taken_back:
        # A refund taken back days later is told by webhook alone; only reconciliation finds it.
        return
    if payment.status in _UNDECIDED:
        fault("I2", f"{name} never left {payment.status}")
    for one in payment.operations:
        _operation(world, payment, one)
    _sums(world, payment, charges)
    held = payment.authorized_minor - payment.captured_minor - payment.released_minor
    net = payment.captured_minor - payment.refunded_minor
    # What the provider owes us, however many books it is spread over.
    posted["owed"] = posted["receivable"] + posted["captured"] + posted["refunded"]
    expected = {
        "authorized": held,
        "authorized_contra": -held,
        "owed": net,
        "payable": -(net - payment.pending_refund_minor),
        "refunds_in_transit": -payment.pending_refund_minor,
    }
    for book, amount in expected.items():
        if posted.get(book, 0) != amount:
            fault("I3", f"{name}: {book} is {posted.get(book, 0)} in the ledger, not {amount}")
    if world.expires and payment.status in CAPTURABLE:
        fault("I3", f"{name} can still be captured after its authorization ran out")


def _operation(world: World, payment: Payment, one: Operation) -> None:
    """What we believe of an operation, and what its provider did."""
    fault = world.watch.fault
    charge = world.books.by_operation.get(one.operation_id)
    booked = None if charge is None else charge.done[one.operation_id]
    name = f"{payment.payment_id} {one.operation_id} ({one.reason})"
    if one.open:
        fault("I2", f"{name} is still {one.state}")
        return
    if one.kind is OperationKind.CANCEL:
        return
    if one.state is _S.SUCCEEDED:
        if charge is None or booked is None or one.operation_id in charge.undone:
            fault("I3", f"{name} succeeded here and not at {one.account_id}")
        elif booked[1] != one.amount_minor or charge.currency != one.currency:
            fault("I3", f"{name} is {one.amount_minor} here and {booked[1]} there")
        elif charge.account_id != one.account_id:
            fault("I10", f"{name} is at {one.account_id} here and at {charge.account_id} there")
        return
    if charge is None or one.operation_id in charge.undone:
        return
    if one.kind is OperationKind.AUTHORIZE:
        if charge.live:
            fault("I1", f"{name} is {one.state} here and holds money at {charge.account_id}")
    else:
        fault("I3", f"{name} is {one.state} here and was done at {charge.account_id}")


def _sums(world: World, payment: Payment, charges: list[Charge]) -> None:
    fault = world.watch.fault
    authorization = payment.authorization
    mine = [
        one
        for one in charges
        if authorization is not None and one.operation_id == authorization.operation_id
    ]
    captured = sum(one.captured_minor for one in charges)
    refunded = sum(one.refunded_minor for one in charges)
    held = sum(one.held_minor for one in charges)
    ours = payment.authorized_minor - payment.captured_minor - payment.released_minor
    if authorization is not None and not mine:
        fault("I3", f"{payment.payment_id} has an authorization that its provider has not")
    if captured != payment.captured_minor or refunded != payment.refunded_minor:
        fault(
            "I3",
            f"{payment.payment_id}: captured {payment.captured_minor} refunded "
            f"{payment.refunded_minor} here, {captured} and {refunded} there",
        )
    # A capture taken back before a cancel there, and told after it here: the hold that we believe
    # is restored went with the cancel. It runs out here as any hold does.
    gone_there = 0 == held < ours and any(one.undone for one in charges)
    if held != ours and not gone_there:
        fault("I3", f"{payment.payment_id}: {ours} is held here, {held} there")
    automatic = payment.capture_method is CaptureMethod.AUTOMATIC
    wrong = payment.captured_minor != payment.amount_minor
    if wrong and automatic and payment.status is PaymentStatus.SUCCEEDED:
        fault("I3", f"{payment.payment_id} succeeded with {payment.captured_minor} captured")


def _counted(world: World, record: MemoryStore) -> None:
    """I9: what issuers declined stays under the schemes' limits, and nothing counts for ever."""
    for one in record._attempts.values():
        operation = record._operations[one.attempt_id]
        settled = not operation.open and operation.state is not _S.NEEDS_REVIEW
        if settled and not one.declined_at_ns:
            world.watch.fault("I9", f"{one.attempt_id} is {operation.state} and still counts")
    if world.schemes:
        for number, declines in world.books.declines.items():
            if number in MASTERCARDS and declines > _MASTERCARD_DECLINES_A_DAY:
                world.watch.fault("I9", f"a card was declined {declines} times in a day")


def _acked(world: World, record: MemoryStore) -> None:
    """I2 and I5: what a client was told is there, and is told again byte for byte."""
    for (rpc, key), answer in world.shop.acked.items():
        claim = record._claims.get(_key(ClaimKey(MERCHANT, rpc, key)))
        if claim is None:
            # Claims are forgotten after thirty days and no world lasts that long.
            world.watch.fault("I2", f"{rpc} {key} was answered, and its claim is not there")
        elif claim.answer != answer:
            world.watch.fault(
                "I5",
                f"{rpc} {key} was answered otherwise than it is stored: "
                f"{_shown(answer)} and {_shown(claim.answer)}",
            )
    for token_id in world.shop.tokens:
        if token_id not in world.disk.cards._records:
            world.watch.fault("I2", f"{token_id} was answered for and its card is not kept")
    for payment_id in world.shop.payments:
        if payment_id not in record._payments:
            world.watch.fault("I2", f"{payment_id} was answered for and is not in the record")


def _shown(answer: bytes | None) -> str:
    """What an answer says, in short."""
    return "nothing" if answer is None else f"{len(answer)} bytes that end in {answer[-9:]!r}"


def _nothing_forgotten(world: World, record: MemoryStore) -> None:
    """Every operation that reached a provider stands in the record; every webhook stands once."""
    told = Counter((one.account_id, one.event.event_id) for one in record._webhooks.values())
    for name, count in told.items():
        if count > 1:
            world.watch.fault("webhook", f"{name} is kept {count} times")
    for operation_id, account_id in world.books.asked_at.items():
        known = record._operations.get(operation_id)
        if known is None:
            world.watch.fault("I2", f"{operation_id} reached {account_id} and is not recorded")
        elif known.account_id != account_id:
            world.watch.fault("I10", f"{operation_id} of {known.account_id} went to {account_id}")


def _no_card_data(world: World, record: MemoryStore) -> None:
    """I4 over everything that the record holds, in its plainest form."""
    if world.seed % 8:
        return
    kept: list[Any] = [record._payments, record._operations, record._webhooks, record._decisions]
    kept += [record._events, record._claims, record._blobs]
    text = "".join(map(repr, kept))
    for number in CARDS:
        if number in text:
            world.watch.fault("I4", f"a card ending in {number[-4:]} stands in the record")
