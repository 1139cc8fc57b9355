"""Requests as merchants might make them, for hypothesis: also the odd ones."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.unit.connectors_rig import (
    ATTEMPT,
    CANCEL,
    CAPTURE,
    PAYMENT,
    REFUND,
    HeldCard,
    authorize,
    follow_up,
)
from turnout.domain.cards import CardDetails
from turnout.domain.money import EXPONENTS, MAX_AMOUNT_MINOR
from turnout.domain.operation import OperationKind
from turnout.domain.payment import (
    Address,
    Browser,
    CaptureMethod,
    Customer,
    Initiator,
    PaymentDetails,
)
from turnout.ports import AuthorizeRequest, FollowUpRequest

# What UTF-8 can carry, as everything that comes through gRPC is.
texts = st.text(st.characters(codec="utf-8"), max_size=60)
long_texts = st.one_of(texts, st.just("x" * 1500), st.just("ü" * 90))
urls = st.one_of(
    st.just(""),
    st.just("https://shop.example/return?order=77&x=%20"),
    st.just("https://shop.example/" + "r" * 1200),
)
currencies = st.sampled_from(sorted(EXPONENTS))
amounts = st.one_of(
    st.integers(1, MAX_AMOUNT_MINOR), st.integers(1, 10_000).map(lambda many: many * 1000)
)
metadata = st.dictionaries(texts, long_texts, max_size=60)

addresses = st.builds(
    Address,
    texts,
    texts,
    texts,
    texts,
    texts,
    st.sampled_from(["", "US", "FR", "JP"]),
    texts,
    texts,
)
browsers = st.builds(
    Browser,
    texts,
    texts,
    texts,
    st.integers(0, 48),
    st.integers(0, 10_000),
    st.integers(0, 10_000),
    st.integers(-840, 720),
    st.booleans(),
    st.booleans(),
)
customers = st.builds(
    Customer,
    long_texts,
    long_texts,
    texts,
    texts,
    st.sampled_from(["", "203.0.113.7", "2001:db8::1"]),
    st.none() | browsers,
)
details = st.builds(
    PaymentDetails,
    customers,
    st.none() | addresses,
    st.none() | addresses,
    long_texts,
    texts,
    metadata,
    urls,
    st.sampled_from(Initiator),
    st.sampled_from(["", "automatic", "challenge", "exemption"]),
    st.sampled_from(["", "123456789012345", "MCC123456 0101"]),
)
cards = st.builds(
    CardDetails,
    st.sampled_from(["4242424242424242", "378282246310005", "6759649826438453"]),
    st.integers(1, 12),
    st.integers(2030, 2060),
    st.sampled_from(["", "123", "7373"]),
    texts,
)


@st.composite
def authorizations(draw: st.DrawFn) -> AuthorizeRequest:
    """Any authorization."""
    return authorize(
        operation_id=ATTEMPT,
        payment_id=PAYMENT,
        merchant_reference=draw(st.text(st.characters(codec="ascii"), min_size=1, max_size=64)),
        amount_minor=draw(amounts),
        currency=draw(currencies),
        capture_method=draw(st.sampled_from(CaptureMethod)),
        reveal=HeldCard(draw(cards)),
        details=draw(details),
        require_three_ds=draw(st.booleans()),
    )


@st.composite
def follow_ups(draw: st.DrawFn, reference: str) -> FollowUpRequest:
    """Any capture, cancel or refund."""
    kind = draw(
        st.sampled_from([OperationKind.CAPTURE, OperationKind.CANCEL, OperationKind.REFUND])
    )
    by_reference = kind is OperationKind.CANCEL and draw(st.booleans())
    return follow_up(
        kind,
        "" if by_reference else reference,
        operation_id={
            OperationKind.CAPTURE: CAPTURE,
            OperationKind.CANCEL: CANCEL,
            OperationKind.REFUND: REFUND,
        }[kind],
        amount_minor=draw(amounts),
        currency=draw(currencies),
        final=draw(st.booleans()),
        reason=draw(
            st.sampled_from(
                ["", "duplicate", "fraudulent", "requested_by_customer", "returned", "abandoned",
                 "outcome_reversed", "by_provider"]
            )
        ),
    )  # fmt: skip
