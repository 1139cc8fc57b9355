"""API keys, idempotency keys, request ids."""

from __future__ import annotations

import hashlib

import pytest

from turnout.domain.accounts import ApiKey
from turnout.domain.errors import InvalidRequest, Unauthenticated
from turnout.server import headers
from turnout.server.auth import KeyRing

SECRET = "sk_test_abc"


def key_of(secret: str, key_id: str) -> ApiKey:
    return ApiKey(key_id, "mer_1", hashlib.sha256(secret.encode()).hexdigest())


class Dice:
    def bytes(self, count: int) -> bytes:
        return b"\xab" * count

    def seed(self) -> int:
        return 1


def read(*metadata: tuple[str, str | bytes]) -> headers.Headers:
    return headers.read(metadata, Dice())


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER "])
def test_a_key_opens(scheme: str) -> None:
    ring = KeyRing([key_of(SECRET, "k1"), key_of("other", "k2")])
    assert ring.find(scheme + SECRET).key_id == "k1"


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        ("", "API_KEY_MISSING"),
        ("Bearer", "API_KEY_MALFORMED"),
        (SECRET, "API_KEY_MALFORMED"),
        (f"Basic {SECRET}", "API_KEY_MALFORMED"),
        ("Bearer ", "API_KEY_INVALID"),
        ("Bearer sk_test_wrong", "API_KEY_INVALID"),
        (f"Bearer {SECRET}x", "API_KEY_INVALID"),
        (f"Bearer {SECRET.upper()}", "API_KEY_INVALID"),
        (f"Bearer {SECRET}, Bearer {SECRET}", "API_KEY_INVALID"),
        ("Bearer " + "x" * 100_000, "API_KEY_INVALID"),
        ("Bearer \udcff", "API_KEY_INVALID"),
    ],
)
def test_anything_else_does_not(sent: str, reason: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        KeyRing([key_of(SECRET, "k1")]).find(sent)
    assert caught.value.reason == reason
    assert SECRET not in caught.value.message


def test_an_empty_key_opens_nothing_even_where_its_digest_is_listed() -> None:
    ring = KeyRing([key_of("", "empty")])
    with pytest.raises(Unauthenticated):
        ring.find("Bearer ")


def test_a_key_that_opened_opens_again_and_others_still_do_not() -> None:
    ring = KeyRing([key_of(SECRET, "k1")])
    for spaces in range(100):
        assert ring.find("Bearer " + " " * spaces + SECRET).key_id == "k1"
    assert ring.find(f"Bearer {SECRET}").key_id == "k1"
    with pytest.raises(Unauthenticated):
        ring.find(f"Bearer {SECRET}x")


def test_keys_can_be_replaced() -> None:
    ring = KeyRing([key_of(SECRET, "k1")])
    ring.find(f"Bearer {SECRET}")
    ring.replace([key_of("new", "k2")])
    assert ring.find("Bearer new").key_id == "k2"
    with pytest.raises(Unauthenticated):
        ring.find(f"Bearer {SECRET}")


@pytest.mark.parametrize("key", ["k", "!~", "a" * 255, "order-1:attempt/2"])
def test_good_idempotency_keys(key: str) -> None:
    assert headers.idempotency_key(read(("idempotency-key", key))) == key


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        ([], "IDEMPOTENCY_KEY_REQUIRED"),
        ([""], "IDEMPOTENCY_KEY_REQUIRED"),
        (["a" * 256], "IDEMPOTENCY_KEY_MALFORMED"),
        (["a b"], "IDEMPOTENCY_KEY_MALFORMED"),
        (["a\n"], "IDEMPOTENCY_KEY_MALFORMED"),
        (["ä"], "IDEMPOTENCY_KEY_MALFORMED"),
        ([b"\xff"], "IDEMPOTENCY_KEY_MALFORMED"),
        (["a", "a"], "IDEMPOTENCY_KEY_MALFORMED"),
    ],
)
def test_bad_idempotency_keys(sent: list[str | bytes], reason: str) -> None:
    said = read(*(("idempotency-key", one) for one in sent))
    with pytest.raises(InvalidRequest) as caught:
        headers.idempotency_key(said)
    (one,) = caught.value.fields
    assert (one.field, one.reason) == ("idempotency-key", reason)


def test_a_sane_request_id_is_taken() -> None:
    assert read(("x-request-id", "7f-3:a/b+c=")).request_id == "7f-3:a/b+c="


@pytest.mark.parametrize("sent", ["", "a b", "a" * 129, "a\nb", "<script>", "ä", b"\xff"])
def test_another_is_made_anew(sent: str | bytes) -> None:
    assert read(("x-request-id", sent)).request_id == "req_" + "ab" * 16


def test_a_repeated_request_id_is_made_anew() -> None:
    said = read(("x-request-id", "a"), ("x-request-id", "b"))
    assert said.request_id == "req_" + "ab" * 16


def test_a_trace_is_kept_where_it_is_one() -> None:
    trace = f"00-{'0a' * 16}-{'0b' * 8}-01"
    assert read(("traceparent", trace)).traceparent == trace
    assert read(("traceparent", "00-zz")).traceparent == ""
    assert read().traceparent == ""
