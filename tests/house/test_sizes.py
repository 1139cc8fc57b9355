"""Nothing grows past what one can read at a sitting."""

import pytest

from tests.house.sizes import MEASURED, check_sizes
from tests.house.sources import Source, every_file, expect_none, report


def test_every_file_function_and_line_is_short_enough() -> None:
    sources = [s for s in every_file() if s.path.endswith(MEASURED) and not s.generated]
    assert sources
    expect_none(finding for source in sources for finding in check_sizes(source))


def _python(statements: int) -> str:
    return "def long():\n" + "    x = 1\n" * statements


def _rust(statements: int) -> str:
    body = "        let x = 1;\n" * statements
    return f"impl A {{\n    pub(crate) fn long(&self) -> u8 {{\n{body}    }}\n}}\n"


@pytest.mark.parametrize(
    ("path", "text", "words"),
    [
        ("a.py", "#\n" * 500, "file of 500 lines"),
        ("a.rs", "//\n" * 500, "file of 500 lines"),
        ("a.py", "#" * 100, "line of 100 characters"),
        ("a.sql", "-" * 120, "line of 120 characters"),
        ("a.py", _python(69), "function long of 70 lines"),
        ("a.py", "async " + _python(80), "function long of 81 lines"),
        ("a.rs", _rust(68), "function long of 70 lines"),
    ],
)
def test_what_is_too_long_is_found(path: str, text: str, words: str) -> None:
    assert words in report(check_sizes(Source(path, text)))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.py", "#\n" * 499),
        ("a.py", "#" * 99),
        ("a.py", _python(68)),
        ("a.rs", _rust(67)),
        ("a.rs", "trait A {\n    fn declared(&self);\n}\n" + "//\n" * 80),
    ],
)
def test_what_just_fits_is_left_alone(path: str, text: str) -> None:
    expect_none(check_sizes(Source(path, text)))
