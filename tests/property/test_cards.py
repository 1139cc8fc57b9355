"""Card numbers, whatever their digits."""

from hypothesis import given
from hypothesis import strategies as st

from turnout.domain.cards import (
    CardDetails,
    Network,
    card_errors,
    holds_card_number,
    luhn_valid,
    network_of,
)

DIGITS = st.text(alphabet="0123456789", min_size=1, max_size=24)


def with_check_digit(body: str) -> str:
    return next(body + check for check in "0123456789" if luhn_valid(body + check))


def walked_luhn(number: str) -> bool:
    """The check sum as the standard tells it, digit by digit."""
    total = 0
    for place, digit in enumerate(reversed(number)):
        total += sum(divmod(2 * int(digit), 10)) if place % 2 else int(digit)
    return total % 10 == 0


def walked_text(text: str) -> bool:
    """Letter by letter: a run of digits goes on over spaces and dashes, and ends at all else."""
    run = ""
    for letter in f"{text}\x00":
        if letter in "0123456789":
            run += letter
        elif letter not in " -":
            known = run and network_of(run) is not Network.UNKNOWN
            if 13 <= len(run) <= 19 and known and walked_luhn(run):
                return True
            run = ""
    return False


@given(DIGITS)
def test_the_check_sum_is_the_standards(number: str) -> None:
    assert luhn_valid(number) == walked_luhn(number)


PIECES = st.one_of(
    st.sampled_from(["4242424242424242", "5555 5555-5555 4444", "424242424242", "42", " ", "-"]),
    st.text(max_size=6),
    st.text(alphabet="0123456789 -\n.\u0664\u2011\ud800", max_size=24),
)


@given(st.lists(PIECES, max_size=6).map("".join))
def test_card_numbers_in_text_are_those_of_a_walk_over_its_letters(text: str) -> None:
    assert holds_card_number(text) == walked_text(text)


@given(st.lists(PIECES, max_size=6))
def test_texts_joined_by_line_ends_hold_a_card_number_if_one_of_them_does(
    texts: list[str],
) -> None:
    assert holds_card_number("\n".join(texts)) == any(map(holds_card_number, texts))


@given(st.text(alphabet="0123456789", min_size=11, max_size=18))
def test_exactly_one_check_digit_fits(body: str) -> None:
    assert sum(luhn_valid(body + check) for check in "0123456789") == 1


@given(st.text(alphabet="0123456789", min_size=11, max_size=18), st.data())
def test_one_mistyped_digit_is_always_seen(body: str, data: st.DataObject) -> None:
    number = with_check_digit(body)
    at = data.draw(st.integers(0, len(number) - 1))
    other = data.draw(st.sampled_from([d for d in "0123456789" if d != number[at]]))
    assert not luhn_valid(number[:at] + other + number[at + 1 :])


@given(st.text(alphabet="0123456789", min_size=11, max_size=18), st.data())
def test_swapped_neighbours_are_seen_but_for_09(body: str, data: st.DataObject) -> None:
    number = with_check_digit(body)
    at = data.draw(st.integers(0, len(number) - 2))
    one, two = number[at], number[at + 1]
    swapped = number[:at] + two + one + number[at + 2 :]
    assert luhn_valid(swapped) == (one == two or {one, two} == {"0", "9"})


@given(DIGITS)
def test_every_number_has_a_network_and_only_one(number: str) -> None:
    assert network_of(number) in Network


@given(st.text(max_size=30), st.text(max_size=6), st.integers(), st.integers())
def test_no_input_breaks_the_checks_or_is_quoted_by_them(
    number: str, cvc: str, month: int, year: int
) -> None:
    for error in card_errors(CardDetails(number, month, year, cvc), 2028, 6, "card"):
        if len(number) > 5:
            assert number not in error.description
        if len(cvc) > 2:
            assert cvc not in error.description
