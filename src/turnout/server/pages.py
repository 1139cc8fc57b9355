"""Pages: sizes, tokens and time ranges of the lists.

A page token is opaque to callers: base64url of a version byte, a hash of the merchant and filters
that it belongs to, and the place to go on from. The hash is there so that a token used with other
filters is an error and not a page with holes; nothing in a token is secret or trusted, because
every list is cut to the caller's own merchant anyway.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar, cast

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from turnout.domain.errors import FieldError, InvalidRequest
from turnout.domain.money import EXPONENTS, currency_error
from turnout.orchestration.commands import Caller

T = TypeVar("T")

DEFAULT_PAGE_SIZE: Final = 20
MAX_PAGE_SIZE: Final = 100
# No list has a use for more, and a store must turn each into a condition.
MAX_FILTER_VALUES: Final = 50

_VERSION: Final = 1
_HASH_BYTES: Final = 12
_HEAD: Final = struct.Struct(f">B{_HASH_BYTES}sq")
_ITEM_ID: Final = re.compile(r"\w*", re.ASCII)
_LONGEST_TOKEN: Final = 256
_SECOND_NS: Final = 1_000_000_000
# The record keeps nanoseconds since 1970 in 63 bits, which end in the year 2262.
_LAST_SECOND: Final = (2**63 - 1) // _SECOND_NS - 1


class PageRequest(Protocol):
    """What all requests for pages have in common."""

    page_size: int
    page_token: str


def page_size(request: PageRequest) -> int:
    """How many the page holds at most.

    Raises:
        InvalidRequest: not 1 to 100, nor 0 for the default.
    """
    asked = request.page_size
    if asked == 0:
        return DEFAULT_PAGE_SIZE
    if not 1 <= asked <= MAX_PAGE_SIZE:
        raise InvalidRequest(
            [
                FieldError(
                    "page_size",
                    "PAGE_SIZE_OUT_OF_RANGE",
                    f"{asked} is not 1 to {MAX_PAGE_SIZE}; 0 means {DEFAULT_PAGE_SIZE}",
                )
            ]
        )
    return asked


def list_hash(request: Message, caller: Caller) -> bytes:
    """Names a list: who asks, of what, with which filters. Clears the page's own fields."""
    request.ClearField("page_size")
    request.ClearField("page_token")
    who = f"{request.DESCRIPTOR.name}\n{caller.merchant_id}\n{caller.live}\n"
    said = hashlib.sha256(who.encode())
    said.update(request.SerializeToString(deterministic=True))
    return said.digest()[:_HASH_BYTES]


def write_token(of_list: bytes, place: int, item_id: str = "") -> str:
    """The token that goes on after this place."""
    raw = _HEAD.pack(_VERSION, of_list, place) + item_id.encode("ascii")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def read_token(token: str, of_list: bytes) -> tuple[int, str]:
    """The place that a token names: a number that sorts, and the id of the item there.

    Raises:
        InvalidRequest: it is no token of ours, or one of another list.
    """
    try:
        if len(token) > _LONGEST_TOKEN:
            raise ValueError("longer than any token")
        padded = token.encode("ascii") + b"=" * (-len(token) % 4)
        raw = base64.b64decode(padded, altchars=b"-_", validate=True)
        version, made_for, place = _HEAD.unpack_from(raw)
        item_id = raw[_HEAD.size :].decode("ascii")
        if version != _VERSION or place < 0 or not _ITEM_ID.fullmatch(item_id):
            raise ValueError("not in this form")
    except (ValueError, binascii.Error, struct.error) as error:
        raise _bad_token(
            "PAGE_TOKEN_INVALID",
            "this is not a page token; give back `next_page_token` exactly as it came, or leave "
            "it empty for the first page",
        ) from error
    if made_for != of_list:
        raise _bad_token(
            "PAGE_TOKEN_MISMATCH",
            "this token belongs to a list with other filters; repeat the filters of the first "
            "page, or leave the token empty to begin anew",
        )
    return place, item_id


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a list, as it is asked for.

    Attributes:
        size: how many the page holds at most.
        after: the place of the last item of the page before; None for the first page.
    """

    size: int
    after: tuple[int, str] | None
    _of_list: bytes

    @property
    def limit(self) -> int:
        """How many to look for: one more than the page holds tells whether there is another."""
        return self.size + 1

    def next_token(self, found: Sequence[T], place: Callable[[T], tuple[int, str]]) -> str:
        """The token of the next page; empty where this page is the last.

        Args:
            found: as many items as were there, of `limit`.
            place: where an item stands in the list.
        """
        if len(found) <= self.size:
            return ""
        return write_token(self._of_list, *place(found[self.size - 1]))


def read_page(request: PageRequest, caller: Caller) -> Page:
    """The page that a request asks for; clears the request's own fields for it.

    Raises:
        InvalidRequest: its size or token cannot be used.
    """
    size, token = page_size(request), request.page_token
    of_list = list_hash(cast(Message, request), caller)
    return Page(size, read_token(token, of_list) if token else None, of_list)


def _bad_token(reason: str, description: str) -> InvalidRequest:
    return InvalidRequest([FieldError("page_token", reason, description)])


def time_ns(request: Message, field: str) -> int:
    """Nanoseconds since 1970 of a filter's moment, 0 where there is none.

    A moment that is given is at least 1: nothing lies before 1970, which 0 would not say.

    Raises:
        InvalidRequest: it is not a moment that the record can hold.
    """
    if not request.HasField(field):
        return 0
    stamp: Timestamp = getattr(request, field)
    if not (0 <= stamp.seconds <= _LAST_SECOND and 0 <= stamp.nanos < _SECOND_NS):
        raise InvalidRequest(
            [
                FieldError(
                    field,
                    "TIMESTAMP_OUT_OF_RANGE",
                    "a moment is from 1970 to 2262, with nanos from 0 to 999999999",
                )
            ]
        )
    return max(stamp.seconds * _SECOND_NS + stamp.nanos, 1)


def created_between(request: Message) -> tuple[int, int]:
    """The first moment of a list and the one after its last, each 0 where it has none.

    Raises:
        InvalidRequest: one is not a moment that the record can hold, or nothing lies between.
    """
    begin_ns, end_ns = time_ns(request, "created_after"), time_ns(request, "created_before")
    if end_ns and begin_ns >= end_ns:
        text = "must be before created_before"
        raise InvalidRequest([FieldError("created_after", "TIME_RANGE_EMPTY", text)])
    return begin_ns, end_ns


def currency(given: str) -> str:
    """A filter's currency, empty where there is none.

    Raises:
        InvalidRequest: nothing can be in it, so the list would be empty without saying why.
    """
    if given and given not in EXPONENTS:
        raise InvalidRequest([currency_error(given, "currency")])
    return given


def check_count(count: int, field: str) -> None:
    """Refuses a filter with more values than any list has a use for.

    Raises:
        InvalidRequest: there are too many.
    """
    if count > MAX_FILTER_VALUES:
        raise InvalidRequest(
            [FieldError(field, "TOO_MANY_VALUES", f"{count} values; at most {MAX_FILTER_VALUES}")]
        )
