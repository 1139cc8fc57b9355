"""LedgerService: the table of its methods, and how its lists are asked for."""

from __future__ import annotations

from turnout import v1
from turnout.domain.ledger import Balance, Book, LedgerTransaction
from turnout.orchestration.commands import Caller
from turnout.ports import BalanceFilter, LedgerFilter
from turnout.server import decode, enums, pages
from turnout.server.encode import fill_time
from turnout.server.face import Face, Query, Unary
from turnout.server.services import Ledger

SERVICE = "turnout.v1.LedgerService"


class LedgerFace:
    """LedgerService over orchestration's Ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def methods(self, face: Face) -> list[Unary]:
        """What grpc may call."""
        return [
            Query(face, "GetBalances", v1.GetBalancesRequest, self._balances),
            Query(face, "ListEntries", v1.ListEntriesRequest, self._entries),
        ]

    async def _balances(self, caller: Caller, request: v1.GetBalancesRequest) -> bytes:
        page = pages.read_page(request, caller)
        want = BalanceFilter(
            account_id=request.account_id,
            currency=pages.currency(request.currency),
            books=_books(request),
        )
        # Few enough to be read whole: as many as accounts, currencies and books.
        begin = page.after[0] if page.after else 0
        found = (await self._ledger.balances(caller, want))[begin : begin + page.limit]
        answer = v1.GetBalancesResponse()
        for one in found[: page.size]:
            _fill_balance(answer.balances.add(), one)
        answer.next_page_token = page.next_token(found, lambda _: (begin + page.size, ""))
        return answer.SerializeToString()

    async def _entries(self, caller: Caller, request: v1.ListEntriesRequest) -> bytes:
        page = pages.read_page(request, caller)
        want = _filter(request)
        want.before, want.limit = page.after, page.limit
        found = await self._ledger.entries(caller, want)
        answer = v1.ListEntriesResponse()
        for one in found[: page.size]:
            _fill_entry(answer.entries.add(), one, caller.live)
        answer.next_page_token = page.next_token(
            found, lambda last: (last.created_at_ns, last.transaction_id)
        )
        return answer.SerializeToString()


def _filter(request: v1.ListEntriesRequest) -> LedgerFilter:
    pages.check_count(len(request.kinds), "kinds")
    begin_ns, end_ns = pages.created_between(request)
    return LedgerFilter(
        payment_id=request.payment_id,
        account_id=request.account_id,
        currency=pages.currency(request.currency),
        books=_books(request),
        kinds=[
            decode.word(enums.LEDGER_KIND_WORD, one, "kinds", "LedgerEntryKind")
            for one in request.kinds
        ],
        created_from_ns=begin_ns,
        created_to_ns=end_ns,
    )


def _books(request: v1.GetBalancesRequest | v1.ListEntriesRequest) -> list[Book]:
    pages.check_count(len(request.books), "books")
    return [decode.word(enums.BOOK_WORD, one, "books", "LedgerBook") for one in request.books]


def _fill_balance(out: v1.LedgerBalance, one: Balance) -> None:
    out.account_id = one.account_id
    out.book = enums.BOOK[one.book]
    out.currency = one.currency
    out.balance_minor = one.balance_minor
    out.debits_minor = one.debits_minor
    out.credits_minor = one.credits_minor
    out.posting_count = one.postings
    out.mode = enums.MODE[one.live]


def _fill_entry(out: v1.LedgerEntry, one: LedgerTransaction, live: bool) -> None:
    out.entry_id = one.transaction_id
    out.kind = enums.LEDGER_KIND[one.kind]
    out.account_id = one.account_id
    out.payment_id = one.payment_id
    out.operation_id = one.operation_id
    out.currency = one.currency
    out.mode = enums.MODE[live]
    fill_time(out.created_at, one.created_at_ns)
    for line in one.postings:
        posting = out.postings.add()
        posting.book = enums.BOOK[line.book]
        posting.amount_minor = line.amount_minor
