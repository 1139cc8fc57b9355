"""The bugs: each a small change of the source; its anchor must stand there once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bug:
    """One planted bug.

    Attributes:
        path: below src/turnout.
        also: families of faults for every world, where only rare worlds show the bug.
    """

    name: str
    path: str
    anchor: str
    planted: str
    also: str = ""


_ATTEMPTS = "orchestration/attempts.py"
_SETTLE = "orchestration/settle.py"
_PARTS = "orchestration/parts.py"
_FOLLOW = "orchestration/follow_ups.py"
_IDEM = "orchestration/idempotency.py"
_RECORD = "stores/memory.py"
_STRIPE = "connectors/stripe/__init__.py"
_ADYEN = "connectors/adyen/__init__.py"
_EXCHANGE = "connectors/exchange.py"

BUGS = (
    Bug(
        "stripe requests carry no idempotency key",
        _STRIPE,
        'headers = {**prepared.post_headers, "Idempotency-Key": key}',
        "headers = dict(prepared.post_headers)",
    ),
    Bug(
        "adyen authorizations carry no idempotency key",
        _ADYEN,
        'prepared.payments_url,\n            {**prepared.headers, "Idempotency-Key": '
        "request.operation_id},",
        "prepared.payments_url,\n            dict(prepared.headers),",
    ),
    Bug(
        "sent before the write-ahead commit is durable",
        _ATTEMPTS,
        "await run.begin(committed, lambda: parts.encoder.payment(payment))",
        "run.claimed = True",
    ),
    Bug(
        "claim missing from the write-ahead commit",
        _ATTEMPTS,
        "claim=run.claim(payment.payment_id, operation.operation_id),",
        "claim=None,",
    ),
    Bug(
        "follow-up's claim missing from its commit",
        _FOLLOW,
        "claim=run.claim(payment.payment_id, operation.operation_id),",
        "claim=None,",
    ),
    Bug(
        "key looked up only after the call was executed",
        _IDEM,
        "if stored is not None:\n                await self._replay(run, stored)\n"
        "                return\n            if refused",
        "if refused",
    ),
    Bug(
        "same key with another body is answered",
        _IDEM,
        "        if claim.fingerprint != run.fingerprint:\n",
        "        if claim.fingerprint == b'':\n",
    ),
    Bug(
        "cascade goes on after an unknown outcome",
        _ATTEMPTS,
        "if outcome.kind is _Outcome.NOT_PROCESSED:",
        "if outcome.kind in (_Outcome.NOT_PROCESSED, _Outcome.UNKNOWN):",
    ),
    Bug(
        "stripe: a server error or garbage is a decline",
        "connectors/stripe/answers.py",
        'return unknown(f"http_{status}" if status >= 300 else "garbage")',
        "return declined(DeclineCode.GENERIC)",
        also="http_500_after",
    ),
    Bug(
        "adyen: a server error or garbage is a decline",
        "connectors/adyen/answers.py",
        'return unknown(f"http_{status}" if status >= 300 else "garbage")',
        "return declined(DeclineCode.GENERIC)",
        also="http_500_after",
    ),
    Bug(
        "a timeout counts as not sent",
        _EXCHANGE,
        "answer = Answer(0, failure=error.reason, in_doubt=True)",
        "answer = Answer(0, failure=error.reason, in_doubt=False)",
    ),
    Bug(
        "the doubt about the first copy is forgotten",
        _EXCHANGE,
        "                return answer\n            in_doubt = True",
        "                return answer\n            again = None",
        also="reset_after,not_sent",
    ),
    Bug(
        "answered before the outcome is durable",
        _PARTS,
        "answer = run.take_answer(unit) if run is not None else None",
        "answer = run.take_answer(unit) if run is not None else None\n"
        "        if run is not None and answer is not None:\n"
        "            run.resolve(answer)",
    ),
    Bug(
        "a caller is told another answer than the stored one",
        _PARTS,
        "if run is not None:\n                    await run.adopt_stored()",
        "if run is None:\n                    pass",
    ),
    Bug(
        "the stored answer follows later outcomes",
        "stores/memory_claims.py",
        "if claim is not None and claim.answer is None:",
        "if claim is not None:",
    ),
    Bug(
        "nothing is fenced at the start",
        "orchestration/recovery.py",
        "return await self._parts.store.fence_in_flight(self._parts.mint.clock.now_ns()",
        "return min(0, self._parts.mint.clock.now_ns()",
    ),
    Bug(
        "what was in flight at a crash counts as failed",
        _RECORD,
        "one.state = OperationState.UNKNOWN\n",
        "one.state = OperationState.NOT_PROCESSED\n",
    ),
    Bug(
        "more may be refunded than was captured",
        _FOLLOW,
        'if amount_minor > most or most == 0:\n        raise _too_much("refunded"',
        'if most < 0:\n        raise _too_much("refunded"',
    ),
    Bug(
        "more may be captured than was authorized",
        "domain/payment.py",
        "return self.rest_minor - self.pending_capture_minor",
        "return self.rest_minor",
    ),
    Bug(
        "the payment's version is not checked",
        _RECORD,
        "elif standing is None or standing.version != payment.version - 1:",
        "elif standing is None:",
    ),
    Bug(
        "the same webhook is kept again and again",
        _RECORD,
        "if name not in self._webhook_keys:",
        "if webhook.webhook_id not in self._webhooks:",
    ),
    Bug(
        "a webhook is answered for before it is kept",
        "orchestration/webhooks.py",
        "await parts.store.add_webhooks(",
        "(lambda rows: asyncio.ensure_future(parts.store.add_webhooks(rows)))(",
    ),
    Bug(
        "a webhook of another account is believed",
        "orchestration/webhooks.py",
        "return named if named.account_id == account_id else None",
        "return named",
        also="webhook_forged",
    ),
    Bug(
        "stripe's signatures are not checked",
        "connectors/stripe/webhooks.py",
        '    _check_signature(account, headers.get("stripe-signature", ""), body, now_ns)\n',
        "",
    ),
    Bug(
        "adyen's signatures are not checked",
        "connectors/adyen/webhooks.py",
        "        _check_signature(account, item, keys)\n",
        "        assert item\n",
    ),
    Bug(
        "settling is not idempotent",
        _SETTLE,
        "        if operation.state in _SETTLED:\n            self._late(",
        "        if operation.state in ():\n            self._late(",
    ),
    Bug(
        "old news of a reversed approval is believed",
        _SETTLE,
        "if operation.reason == _TAKEN_BACK or _undone(payment, operation):",
        'if operation.reason == "":',
        also="webhook_late,webhook_twice",
    ),
    Bug(
        "another amount than the asked one is accepted",
        "domain/reviews.py",
        "if outcome.amount_minor is not None and outcome.amount_minor != operation.amount_minor:",
        "if outcome.amount_minor == -1:",
        also="other_amount",
    ),
    Bug(
        "recovery sends to another account",
        _FOLLOW,
        "account, connector = parts.directory.reach(operation.account_id)\n"
        "        authorization = _authorization_of(payment, operation)\n"
        "        request = FollowUpRequest(",
        "account, connector = parts.directory.reach(next(iter(parts.directory.accounts)))\n"
        "        authorization = _authorization_of(payment, operation)\n"
        "        request = FollowUpRequest(",
    ),
    Bug(
        "a refused resend is the fate of the first copy",
        _FOLLOW,
        "            if outcome.kind is _Outcome.NOT_PROCESSED:\n                # That",
        "            if outcome.kind is _Outcome.REQUIRES_ACTION:\n                # That",
        also="reset_after,rate_limited",
    ),
    Bug(
        "times in the record are believed, whatever the clock did",
        _PARTS,
        "return waited_ns > self.schedule.in_flight_ns(operation)",
        "return waited_ns >= 0",
        also="clock_jump,late_arrival",
    ),
    Bug(
        "not found is believed while a copy may be on its way",
        _STRIPE,
        "        if request.now_ns <= request.sent_before_ns:\n"
        '            return unknown("not_found_yet")\n        return await self._walk',
        "        return await self._walk",
        also="late_arrival",
    ),
    Bug(
        "reversed while a copy may be on its way",
        "orchestration/recovery.py",
        "                and self._parts.quiet(current)\n",
        "",
        also="late_arrival,stall",
    ),
    Bug(
        "a capture is posted twice",
        _SETTLE,
        "        change.post(_Ledger.CAPTURE, operation, operation.amount_minor)\n"
        "        self._conclude_captures",
        "        change.post(_Ledger.CAPTURE, operation, operation.amount_minor)\n"
        "        change.post(_Ledger.CAPTURE, operation, operation.amount_minor)\n"
        "        self._conclude_captures",
    ),
    Bug(
        "the rest of a final capture is not released in the ledger",
        _SETTLE,
        "        change.post(_Ledger.RELEASE, operation, rest_minor)\n",
        "",
    ),
    Bug(
        "authorizations never expire",
        "orchestration/recovery.py",
        "for payment_id in expired:",
        "for payment_id in expired[:0]:",
    ),
    Bug(
        "a token is answered before its card is kept",
        "orchestration/tokens.py",
        "        await vault.persist(sealed)\n",
        "",
    ),
    Bug(
        "first attempts are not counted for the card's scheme",
        _ATTEMPTS,
        "unit.count = way.tally.count(operation, change.now_ns)",
        "unit.count = None",
    ),
    Bug(
        "what was approved counts for ever",
        "orchestration/schemes.py",
        "unit.uncounted.append(operation.operation_id)",
        "continue",
    ),
    Bug(
        "what seems old is forgotten by a clock that has stepped",
        "orchestration/recovery.py",
        "        if now_ns is None:\n            return 0\n",
        "        now_ns = now_ns or self._parts.mint.clock.now_ns()\n",
        also="clock_far",
    ),
    Bug(
        "what a clock has dated ahead is not looked at",
        "orchestration/recovery.py",
        "due_operations(now_ns, _PAGE, spent, beyond_ns)",
        "due_operations(now_ns, _PAGE, spent)",
        also="clock_far,timeout_after",
    ),
    Bug(
        "the card number stands in the payment",
        "orchestration/payments.py",
        "            view, seal = method.view, method.seal\n",
        "            view, seal = method.view, method.seal\n"
        "            command.details.description = command.method.card.number\n",
    ),
)
