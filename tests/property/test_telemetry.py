"""No way of saying a card number gets it into a line."""

import io
import json

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_cards import TEST_NUMBERS
from turnout.telemetry import parse_traceparent, scrub
from turnout.telemetry.lines import Entry, as_json, as_text, trouble_text
from turnout.telemetry.scrub import _searched, harmless

NUMBERS = st.sampled_from(sorted(TEST_NUMBERS))
GAPS = st.sampled_from(["", " ", "-", ".", "  ", "\u00a0", "\u2013"])
# Letters and marks around the number; digits glued to it would make it another number.
AROUND = st.text(
    alphabet=st.characters(codec="utf-8", exclude_categories=("Nd", "Nl", "No")), max_size=20
)


@st.composite
def written(draw: st.DrawFn) -> tuple[str, str]:
    """A card number and one way to write it."""
    number, gap = draw(NUMBERS), draw(GAPS)
    cuts = sorted(draw(st.sets(st.integers(3, len(number) - 3), max_size=4)))
    ends = [*cuts, len(number)]
    parts = [number[a:b] for a, b in zip([0, *cuts], ends, strict=True)]
    return number, gap.join(part for part in parts if part)


def nested(leaf: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.lists(inner, min_size=1, max_size=3),
            st.dictionaries(AROUND, inner, min_size=1, max_size=3),
            st.tuples(inner),
        ),
        max_leaves=6,
    )


def digits_of(text: str) -> str:
    return "".join(char for char in text if char.isdigit())


@given(written(), AROUND, AROUND)
def test_no_text_carries_a_number_out(card: tuple[str, str], before: str, after: str) -> None:
    number, shown = card
    assert number not in digits_of(scrub(f"{before}{shown}{after}"))


@given(written(), AROUND, st.data())
def test_no_line_carries_a_number_out(
    card: tuple[str, str], around: str, data: st.DataObject
) -> None:
    number, shown = card
    value = data.draw(nested(st.just(f"{around}{shown}") | st.just(int(number))))
    try:
        raise ValueError(f"cannot read {shown}{around}")
    except ValueError as error:
        trouble = trouble_text((type(error), error, error.__traceback__))
    entry = Entry(1, "error", "t", f"{around} {shown}", {"value": value, around: shown}, trouble)
    for line in (as_json(entry), as_text(entry)):
        body = line.partition("2030")[2] or line[30:]
        assert number not in digits_of(body)
    parsed = json.loads(as_json(entry))
    assert parsed["level"] == "error"


# What the thorough search looks for, in pieces and near misses.
# One thing to hide in each text, in all its spellings.
ALL_GAPS = st.text(alphabet=" .-_+/*\t\n\r\v\f\x1c\u00ad\u2013\u200b\ufeff", max_size=3)
CARDS = st.builds(
    lambda number, gap, cut: f"{number[:cut]}{gap}{number[cut:]}",
    NUMBERS,
    ALL_GAPS | st.sampled_from(["%20", "%2d", "%2D"]),
    st.integers(1, 11),
)
CVCS = st.builds(
    "{}{}{}".format,
    st.sampled_from(["cvc", "CVV2", "cvn", "csc", "securityCode", "verification_value"]),
    st.sampled_from([":", "=", '":"', "%3d", "['"]),
    st.sampled_from(["737", "0001", "\u0667\u0663\u0667"]),
)
KEYS = st.builds(
    "{}{}".format,
    st.sampled_from(["sk_test_", "rk_live_", "pk_test_", "whsec_", "AQE", "Bearer ", "basic "]),
    st.just("abcdefghijklmnoprstuvw"),
)


@given(CARDS | CVCS | KEYS, AROUND)
def test_what_is_to_be_hidden_does_not_pass_with_one_look(danger: str, around: str) -> None:
    for text in (danger, f"{around}{danger}", f"{danger}{around}", f"x\0{danger}\0y"):
        assert not harmless(text) or _searched(text) == text
    assert not harmless(danger)


ANY_TEXT = st.text(alphabet=st.characters(), max_size=40)  # lone surrogates among them


@given(ANY_TEXT, st.dictionaries(ANY_TEXT, ANY_TEXT | st.integers() | st.floats(), max_size=4))
def test_a_line_is_one_line_and_json_is_json(event: str, fields: dict[str, object]) -> None:
    entry = Entry(1, "info", "t", event, fields)
    json.loads(as_json(entry))
    for line in (as_json(entry), as_text(entry)):
        assert len(io.StringIO(line).readlines()) == 1


@given(st.text())
def test_any_traceparent_is_read_or_ignored(header: str) -> None:
    assert parse_traceparent(header) is None or header.strip()


HEX = "0123456789abcdef"


@given(
    st.text(HEX, min_size=32, max_size=32), st.text(HEX, min_size=16, max_size=16), st.booleans()
)
def test_a_traceparent_comes_back(trace_id: str, span_id: str, sampled: bool) -> None:
    header = f"00-{trace_id}-{span_id}-{'01' if sampled else '00'}"
    found = parse_traceparent(header)
    if set(trace_id) == {"0"} or set(span_id) == {"0"}:
        assert found is None
    else:
        assert found is not None
        assert found.traceparent() == header
