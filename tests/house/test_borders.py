"""The repository is true on every machine, and the Rust core is pure."""

import pytest

from tests.house.borders import check_addresses, check_core
from tests.house.sources import Source, every_file, expect_none


def test_no_file_names_a_machine_or_a_registry() -> None:
    expect_none(finding for s in every_file() for finding in check_addresses(s))


def test_the_core_is_a_function_of_its_arguments() -> None:
    core = [
        s
        for s in every_file()
        if s.path.startswith(("rust/core/src/", "rust/core/Cargo")) and "/bin/" not in s.path
    ]
    assert core
    expect_none(finding for source in core for finding in check_core(source))


@pytest.mark.parametrize(
    "text",
    [
        "see " + "/wo" + "rk/shared/x",
        "open('" + "/ro" + "ot/.cache')",
        "/tm" + "p/turnout/x",
        "https://files.python" + "hosted.org/packages/x.whl",
        '"resolved": "https://registry.npm' + 'js.org/x.tgz"',
        "--index" + "-url https://example.org/simple",
        "registry+https://mirror.example/art" + "ifactory/crates",
    ],
)
def test_an_address_of_one_machine_is_found(text: str) -> None:
    assert check_addresses(Source("docs/x.md", text))


@pytest.mark.parametrize(
    "text",
    [
        'source = "registry+https://github.com/rust-lang/' + 'crates.io-index"',
        "https://example.org/wo" + "rk/papers",
        "put it under var/ or /tmp",
    ],
)
def test_an_address_of_every_machine_is_left_alone(text: str) -> None:
    assert not check_addresses(Source("docs/x.md", text))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("rust/core/src/lib.rs", "pub mod rules;"),
        ("rust/core/src/health.rs", "let now = std::time::Instant::now();"),
        ("rust/core/src/choice.rs", "let mut dice = rand::thread_rng();"),
        ("rust/core/Cargo.toml", 'pyo3 = "0.30"'),
    ],
)
def test_an_impure_core_is_found(path: str, text: str) -> None:
    assert check_core(Source(path, text))


def test_a_comment_may_name_what_the_code_may_not() -> None:
    assert not check_core(Source("rust/core/src/health.rs", "// never Instant::now here"))
