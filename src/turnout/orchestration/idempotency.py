"""Idempotency: one execution and one answer for each (merchant, rpc, key).

A call becomes a Run. Its work goes on in a task of its own, so a caller that hangs up changes
nothing; a second call with the same key joins the run and gets its answer. The claim is written in
the same commit as the first thing that the call does, and the answer in the commit that settles
it. Shortly before the caller's deadline the run answers with the payment as it stands
(`processing`); that is then the stored answer for good, and the work still goes on.

An error before the claim is stored leaves nothing behind: the same key may be used again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from turnout.domain.errors import DeadlineExceeded, IdempotencyKeyReused, RequestInProgress
from turnout.domain.operation import ClaimKey, OperationKind
from turnout.domain.payment import Payment
from turnout.orchestration.commands import Caller, Idempotency
from turnout.orchestration.observer import Observer
from turnout.ports import Claim, ClaimTaken, Clock, Encoder, Store, UnitOfWork

log = logging.getLogger(__name__)

_MS = 1_000_000
# How soon to look again for an answer that another process, or recovery, will store.
_POLL_FIRST_S = 0.01
_POLL_MOST_S = 0.25


class Run:
    """One execution of one idempotent call.

    Attributes:
        caller: who called first.
        key: where the answer is kept.
        answered: the stored answer is decided; later outcomes change the payment, not it.
        claimed: the claim is durable.
        encode_present: encodes the resource as it stands, once there is one to show.
        late: the caller's time is up.
        begun_ns: monotonic time at which it began.
        noted: something was added to the payment's decision since it was written down.
        provider_ns: how much of its time providers took.
        taken_by: the payment that has the merchant's reference already; empty where none has.
        payment: the payment that the call is about as it stood with the key; None where there is
            none. It is not known to be the caller's.
        task: does its work, once it has begun.
    """

    __slots__ = (
        "_clock",
        "_created_at_ns",
        "_ended",
        "_store",
        "_timer",
        "_waiting",
        "answered",
        "begun_ns",
        "caller",
        "claimed",
        "encode_present",
        "fingerprint",
        "key",
        "late",
        "noted",
        "payment",
        "provider_ns",
        "taken_by",
        "task",
    )

    def __init__(
        self, caller: Caller, key: ClaimKey, fingerprint: bytes, store: Store, clock: Clock
    ) -> None:
        self.caller = caller
        self.key = key
        self.fingerprint = fingerprint
        self.answered = False
        self.claimed = False
        self.late = False
        self.noted = False
        self.encode_present: Callable[[], bytes] | None = None
        self._store = store
        self._clock = clock
        self._created_at_ns = clock.now_ns()
        self.begun_ns = clock.monotonic_ns()
        self.provider_ns = 0
        self.taken_by = ""
        self.payment: Payment | None = None
        self.task: asyncio.Task[None] | None = None
        self._waiting: list[asyncio.Future[bytes]] = []
        self._ended: bytes | Exception | None = None
        self._timer: asyncio.TimerHandle | asyncio.Task[None] | None = None

    @property
    def done(self) -> bool:
        """Whether those who wait have been told; the work may still go on."""
        return self._ended is not None

    def wait(self) -> asyncio.Future[bytes]:
        """A future of the caller's own for the answer: to give it up ends nothing else."""
        future = asyncio.get_running_loop().create_future()
        if self._ended is None:
            self._waiting.append(future)
        else:
            _tell(future, self._ended)
        return future

    def claim(self, payment_id: str, operation_id: str) -> Claim:
        """The claim to write in the call's first commit.

        Raises:
            DeadlineExceeded: the caller's time ran out before anything was stored.
        """
        if self.late:
            raise DeadlineExceeded(
                "DEADLINE_EXCEEDED",
                "the deadline passed before anything was stored or sent; call again with the same "
                "key and a longer deadline",
            )
        return Claim(self.key, self.fingerprint, payment_id, operation_id, self._created_at_ns)

    async def begin(self, commit: Awaitable[None], encode_present: Callable[[], bytes]) -> None:
        """Awaits the commit that holds the claim; from then on a deadline has an answer."""
        await commit
        self.claimed = True
        self.encode_present = encode_present
        if self.late:
            self._answer_present()

    async def complete(self, commit: Awaitable[None], answer: bytes) -> None:
        """Awaits the commit that holds the claim with its answer, and gives that answer."""
        await self.begin(commit, lambda: answer)
        self.answered = True
        self.resolve(answer)

    def take_answer(self, unit: UnitOfWork) -> bytes | None:
        """Decides the answer by the unit about to be committed, or takes it out of the unit.

        Returns:
            The bytes to give to `resolve` after the commit; None where the run was answered.
        """
        if self.answered:
            unit.answers = [one for one in unit.answers if one[0] != self.key]
            return None
        for key, answer in unit.answers:
            if key is self.key or key == self.key:
                self.answered = True
                return answer
        return None

    def resolve(self, answer: bytes) -> None:
        """Gives the answer to everybody who waits for it."""
        self.stop_timer()
        self._end(answer)

    def fail(self, error: Exception) -> None:
        """Tells everybody who waits that there is no answer; the work may still go on."""
        self.stop_timer()
        self._end(error)

    def _end(self, ended: bytes | Exception) -> None:
        if self._ended is None:
            self._ended = ended
            waiting, self._waiting = self._waiting, []
            told = [_tell(future, ended) for future in waiting]
            if isinstance(ended, Exception) and not any(told):
                # The face would have answered it, and logged it where it is a defect.
                log.warning("%s failed when its callers had gone", self.key.rpc, exc_info=ended)

    async def adopt_stored(self) -> None:
        """Gives the answer that somebody else stored (a webhook that came first), if one did."""
        claim = await self._store.find_claim(self.key)
        if claim is not None and claim.answer is not None:
            self.answered = True
            self.resolve(claim.answer)

    async def resolve_stored(self) -> None:
        """Gives the answer that somebody else stored, or stores the present state as it."""
        await self.adopt_stored()
        if not self.answered and self.encode_present is not None:
            self.answered = True
            self.resolve(await self._store.answer_claim(self.key, self.encode_present()))

    def start_timer(self, margin_ns: int) -> None:
        """Answers with the present state this long before the caller's deadline."""
        left_ns = self.caller.deadline_ns - margin_ns - self._clock.monotonic_ns()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(max(left_ns, 0) / 1e9, self._on_deadline)

    def stop_timer(self) -> None:
        """Lets go of the deadline."""
        if self._timer is not None and not isinstance(self._timer, asyncio.Task):
            self._timer.cancel()

    def _on_deadline(self) -> None:
        self.late = True
        if self.claimed:
            self._answer_present()

    def _answer_present(self) -> None:
        if self.answered or self.done or self.encode_present is None:
            return
        self.answered = True
        self._timer = asyncio.get_running_loop().create_task(
            self._store_present(self.encode_present())
        )

    async def _store_present(self, answer: bytes) -> None:
        try:
            stored = await self._store.answer_claim(self.key, answer)
        except Exception as error:
            # Whoever waits must hear of it; the payment itself goes on in the run's task.
            self._end(error)
            return
        self._end(stored)


class Claims:
    """Runs idempotent calls."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        encoder: Encoder,
        fingerprint: Callable[[bytes], bytes],
        answer_margin_ms: int = 50,
        observer: Observer | None = None,
    ) -> None:
        self._observer = observer or Observer()
        self._store = store
        self._clock = clock
        self._encoder = encoder
        self._fingerprint = fingerprint
        self._margin_ns = answer_margin_ms * _MS
        self._running: dict[tuple[str, str, str], Run] = {}

    @property
    def in_flight(self) -> int:
        """How many runs are under way, answered or not."""
        return len(self._running)

    async def run(
        self,
        caller: Caller,
        idem: Idempotency,
        work: Callable[[Run], Awaitable[None]],
        *,
        new_reference: str | None = None,
        payment_id: str | None = None,
        refused: Exception | None = None,
    ) -> bytes:
        """Executes `work` once for this key, or gives the answer of the execution before.

        Args:
            caller: who calls.
            idem: the key and the request it stands for.
            work: does the call, writes the run's claim in its first commit, and resolves the run.
            new_reference: the merchant's name for the payment that `work` makes, if it makes one;
                who has it already is then looked up with the key, see `Run.taken_by`.
            payment_id: the payment that `work` changes, if there must be one already; it is then
                read with the key, see `Run.payment`.
            refused: why it cannot be executed today; it may have been before.

        Raises:
            IdempotencyKeyReused: the key was used with another request.
            RequestInProgress: the first call is still running, and this caller's time is up.
            TurnoutError: whatever the work refuses with before it stored anything.
        """
        name = (caller.merchant_id, idem.rpc, idem.key)
        fingerprint = self._fingerprint(idem.request)
        running = self._running.get(name)
        if running is not None:
            return await self._join(running, caller, fingerprint)
        run = Run(caller, ClaimKey(*name), fingerprint, self._store, self._clock)
        self._running[name] = run
        run.task = asyncio.get_running_loop().create_task(
            self._execute(name, run, work, new_reference, payment_id, refused)
        )
        return await run.wait()

    async def drain(self, timeout_s: float) -> int:
        """Waits until all runs are done, at most this long; returns how many are left."""
        tasks = [run.task for run in self._running.values() if run.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=timeout_s)
        return len(self._running)

    async def _execute(
        self,
        name: tuple[str, str, str],
        run: Run,
        work: Callable[[Run], Awaitable[None]],
        new_reference: str | None,
        payment_id: str | None,
        refused: Exception | None,
    ) -> None:
        store, key = self._store, run.key
        try:
            if new_reference is not None:
                stored, run.taken_by = await store.find_taken(key, new_reference)
            elif payment_id is not None:
                stored, run.payment = await store.find_to_change(key, payment_id)
            else:
                stored = await store.find_claim(key)
            if stored is not None:
                await self._replay(run, stored)
                return
            if refused is not None:
                raise refused
            run.start_timer(self._margin_ns)
            try:
                await work(run)
            except ClaimTaken:
                # Another process claimed the key between the look-up and our commit.
                stored = await store.find_claim(key)
                if stored is None:
                    raise _in_progress() from None
                await self._replay(run, stored)
                return
            if not run.done:
                await run.resolve_stored()
        except Exception as error:
            if run.done:
                raise
            run.fail(error)
        finally:
            self._running.pop(name, None)

    async def _join(self, run: Run, caller: Caller, fingerprint: bytes) -> bytes:
        if run.fingerprint != fingerprint:
            self._observer.replayed("refused")
            raise IdempotencyKeyReused
        self._observer.replayed("joined")
        left_s = (caller.deadline_ns - self._margin_ns - self._clock.monotonic_ns()) / 1e9
        answer = run.wait()
        try:
            done, _ = await asyncio.wait([answer], timeout=max(left_s, 0))
        finally:
            # Nobody looks at it any more where the time is up, or the caller has gone.
            answer.cancel()
        if not done:
            raise _in_progress()
        return answer.result()

    async def _replay(self, run: Run, claim: Claim) -> None:
        """Answers from the record; where nothing is answered yet, waits for whoever settles it."""
        if claim.fingerprint != run.fingerprint:
            self._observer.replayed("refused")
            raise IdempotencyKeyReused
        self._observer.replayed("replayed")
        wait_s = _POLL_FIRST_S
        found: Claim | None = claim
        while found is not None and found.answer is None:
            left_s = (run.caller.deadline_ns - self._margin_ns - self._clock.monotonic_ns()) / 1e9
            if left_s <= 0:
                payment = await self._store.get_payment(claim.payment_id)
                if payment is None:
                    raise _in_progress()
                encoded = self._present(payment, claim)
                run.resolve(await self._store.answer_claim(run.key, encoded))
                return
            await asyncio.sleep(min(wait_s, left_s))
            wait_s = min(wait_s * 2, _POLL_MOST_S)
            found = await self._store.find_claim(run.key)
        if found is None or found.answer is None:
            raise _in_progress()
        run.resolve(found.answer)

    def _present(self, payment: Payment, claim: Claim) -> bytes:
        operation = payment.operation(claim.operation_id)
        if operation is not None and operation.kind is OperationKind.REFUND:
            return self._encoder.refund(payment, operation)
        return self._encoder.payment(payment)


def _tell(future: asyncio.Future[bytes], ended: bytes | Exception) -> bool:
    """Ends a wait; says whether there was still somebody waiting."""
    if future.done():
        return False
    if isinstance(ended, Exception):
        future.set_exception(ended)
    else:
        future.set_result(ended)
    return True


def _in_progress() -> RequestInProgress:
    return RequestInProgress(
        "REQUEST_IN_PROGRESS",
        "the first call with this idempotency key is still running; call again with the same key "
        "to get its answer",
        retry_after_ms=500,
    )
