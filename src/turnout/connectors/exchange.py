"""One question to a provider and its answer, with at most one repetition under the same key.

The repetition is safe because it carries the provider's idempotency key: a provider that took the
first copy answers with what became of it. It also makes later answers doubtful: after a copy that
nobody answered, only an answer that speaks of the operation itself says that money did not move;
that a second copy was refused (rate limit, credentials, no connection) says nothing of the first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from json import loads as loads_slowly
from typing import Generic, TypeVar

import orjson

from turnout.connectors.documents import Json
from turnout.connectors.http import is_loopback
from turnout.connectors.verdicts import not_processed, unknown
from turnout.domain.accounts import Account
from turnout.domain.members import members
from turnout.domain.outcomes import Outcome, OutcomeKind
from turnout.ports import (
    Clock,
    HttpNotSent,
    HttpRequest,
    HttpTransport,
    HttpUnknown,
    RetryBudget,
)

_Outcome = members(OutcomeKind)

# Less time than this is not worth a first copy, nor a second: no provider answers that fast, and
# a payment that is surely not sent is better than one of unknown outcome.
SEND_MIN_MS = 100
RESEND_MIN_MS = 250
# Retry-After beyond an hour is an outage's notice, not a rate limit; recovery looks again anyway.
RETRY_AFTER_MAX_MS = 3_600_000

_T = TypeVar("_T")


@dataclass(slots=True)
class Answer:
    """What came back.

    Attributes:
        status: the HTTP status; 0 where no answer came.
        failure: short code of why no answer came; empty where one did.
        in_doubt: a copy of the request may be at the provider without this being its answer.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    failure: str = ""
    in_doubt: bool = False

    def missing(self) -> Outcome | None:
        """The outcome where no answer came, or None where one did."""
        if not self.failure:
            return None
        return unknown(self.failure) if self.in_doubt else not_processed(self.failure)

    def json(self) -> Json | None:
        """The body as a JSON object, or None where it is anything else."""
        try:
            parsed = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None
        return parsed if isinstance(parsed, dict) else None

    def believed(self, outcome: Outcome) -> Outcome:
        """The outcome that was read from this answer, or UNKNOWN where it cannot be believed.

        A refusal whose answer names one thing twice says two things, and which of them was read
        is chance. Only refusals are looked at: to look costs more than to read.
        """
        if outcome.kind is not _Outcome.DECLINED or not self._names_twice():
            return outcome
        return unknown("garbage")

    def _names_twice(self) -> bool:
        try:
            loads_slowly(self.body, object_pairs_hook=_each_once)
        except (ValueError, RecursionError):
            return True
        return False

    @property
    def retry_after_ms(self) -> int:
        """How long the provider asked to be left alone; dates and nonsense count as 0."""
        text = self.headers.get("retry-after", "")
        if not (text.isascii() and text.isdigit() and len(text) <= 9):
            return 0
        return min(int(text) * 1000, RETRY_AFTER_MAX_MS)

    @property
    def dated_s(self) -> int | None:
        """When it was sent by the provider's own clock; None where it does not say."""
        try:
            return int(parsedate_to_datetime(self.headers.get("date", "")).timestamp())
        except ValueError:
            return None


def _each_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object's names and values.

    Raises:
        ValueError: a name stands in it twice.
    """
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name stands twice")
    return made


class Exchange:
    """Sends requests for all connectors: deadlines, timeouts and the one repetition."""

    def __init__(
        self, transport: HttpTransport, clock: Clock, budget: RetryBudget | None = None
    ) -> None:
        """Takes what it works with; without a budget every repetition may be made."""
        self._transport = transport
        self._clock = clock
        self._budget = budget

    async def send(
        self,
        account: Account,
        method: str,
        url: str,
        headers: dict[str, str],
        body: bytes,
        deadline_ns: int,
        *,
        again: Callable[[Answer], bool] | None = None,
    ) -> Answer:
        """One request, and once more after an unknown fate if `again` is given.

        `deadline_ns` is monotonic: nothing is sent after it, and no wait goes beyond it. `again`
        is given for requests that carry an idempotency key; it says of an answer whether the
        provider asks for the same request again.
        """
        clock = self._clock
        in_doubt = False
        while True:
            left_ms = (deadline_ns - clock.monotonic_ns()) // 1_000_000
            if left_ms < SEND_MIN_MS:
                return Answer(0, failure="deadline", in_doubt=in_doubt)
            request = HttpRequest(
                method,
                url,
                headers,
                body,
                min(account.connect_timeout_ms, left_ms),
                min(account.timeout_ms, left_ms),
            )
            try:
                response = await self._transport.send(request)
            except HttpNotSent as error:
                return Answer(0, failure=error.reason, in_doubt=in_doubt)
            except HttpUnknown as error:
                answer = Answer(0, failure=error.reason, in_doubt=True)
                repeat = again is not None
            else:
                answer = Answer(response.status, response.body, response.headers, "", in_doubt)
                repeat = again is not None and again(answer)
            if not repeat or in_doubt:
                return answer
            if deadline_ns - clock.monotonic_ns() < RESEND_MIN_MS * 1_000_000:
                return answer
            if self._budget is not None and not self._budget.take(account.account_id):
                return answer
            in_doubt = True


class PerAccount(Generic[_T]):
    """What is derived from an account, made once for each account object.

    Accounts are immutable and replaced whole on reload, so identity is the right key; the account
    is kept beside the value so that its identity cannot be given to another object.
    """

    # Far above any number of live accounts; reached only by accounts that were replaced.
    _KEPT_MAX = 4096

    def __init__(self, make: Callable[[Account], _T]) -> None:
        self._make = make
        self._kept: dict[int, tuple[Account, _T]] = {}

    def get(self, account: Account) -> _T:
        """The value for this account object."""
        found = self._kept.get(id(account))
        if found is not None and found[0] is account:
            return found[1]
        if len(self._kept) >= self._KEPT_MAX:
            self._kept.clear()
        value = self._make(account)
        self._kept[id(account)] = (account, value)
        return value


def url_problems(account: Account) -> list[str]:
    """What is wrong with an account's base URL, for people."""
    url = account.base_url
    scheme, _, rest = url.partition("://")
    host = rest.split("/", 1)[0].rsplit("@", 1)[-1]
    name = host[1 : host.find("]")] if host.startswith("[") else host.split(":", 1)[0]
    where = f"account {account.account_id}: base_url {url!r}"
    if "@" in rest.split("/", 1)[0]:
        return [f"account {account.account_id}: base_url must not carry credentials"]
    if scheme == "https" and name:
        return []
    if scheme != "http" or not name:
        return [f"{where} is not an https URL"]
    if account.live:
        return [f"{where}: a live account is reached over https only"]
    if not is_loopback(name):
        return [f"{where}: plain http is for test accounts on this machine only; use https"]
    return []
