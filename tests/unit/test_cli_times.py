"""Times and spans on the command line."""

from argparse import ArgumentTypeError

import pytest

from turnout.cli.times import span_s, time_ns


def test_spans_and_times_are_read() -> None:
    assert [span_s(one) for one in ("90m", "12h", "7d")] == [5_400, 43_200, 604_800]
    assert time_ns("1970-01-02") == 86_400 * 1_000_000_000
    assert time_ns("1970-01-01T01:00:00+01:00") == 0
    assert time_ns("1970-01-01T00:00:05") == 5_000_000_000


@pytest.mark.parametrize("text", ["", "7", "d", "0h", "-1d", "7w", "1.5h"])
def test_what_is_no_span_is_told(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="write 90m, 12h or 7d"):
        span_s(text)


def test_what_is_no_time_is_told() -> None:
    with pytest.raises(ArgumentTypeError, match="'yesterday' is no time"):
        time_ns("yesterday")
