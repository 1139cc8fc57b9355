"""Which files the house rules read, and how a broken rule is told."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# What tools make. Everything else in the tree is read, committed or not, so that a new file
# is held to the rules before its first commit.
_NOT_OURS = frozenset(
    {
        ".git",
        ".venv",
        "target",
        "node_modules",
        "dist",
        "build",
        "var",
        "reports",
        "__pycache__",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        ".hypothesis",
    }
)

GENERATED = ("src/turnout/v1/", "src/turnout/edge/openapi.yaml")


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken rule: where, and what to do about it."""

    path: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


@dataclass(frozen=True, slots=True)
class Source:
    """One text file, by its path below the repository's root."""

    path: str
    text: str

    @property
    def generated(self) -> bool:
        return self.path.startswith(GENERATED)


def _walk(folder: Path) -> Iterator[Path]:
    for entry in sorted(folder.iterdir()):
        if entry.name in _NOT_OURS or entry.is_symlink():
            continue
        if entry.is_dir():
            yield from _walk(entry)
        else:
            yield entry


def every_file() -> list[Source]:
    """Read every text file of the repository; what is not UTF-8 is not text."""
    found = []
    for path in _walk(ROOT):
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        found.append(Source(path.relative_to(ROOT).as_posix(), text))
    return found


def package_files() -> list[Source]:
    """The Python of src/turnout that people write."""
    return [
        source
        for source in every_file()
        if source.path.startswith("src/turnout/")
        and source.path.endswith(".py")
        and not source.generated
    ]


def report(findings: Iterable[Finding]) -> str:
    """Empty when the rule holds; otherwise one line per finding, as editors expect them."""
    return "\n".join(sorted(str(finding) for finding in findings))


def expect_none(findings: Iterable[Finding]) -> None:
    """Fail with every finding on a line of its own, where pytest would shorten a comparison."""
    listing = report(findings)
    assert not listing, f"\n{listing}"
