"""Documents name only files, links and names that are there."""

import re
from collections.abc import Iterator

from tests.house.sources import ROOT, Finding, Source, every_file, expect_none, report

# Where a path that a document names may begin; a link begins where the document is.
_ROOTS = ("", "src/turnout/", "src/turnout/stores/", "tests/")
_FILE = re.compile(r"`([\w./-]+/[\w.-]+\.(?:py|rs|sql|proto|sh|md|json))`")
_LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
_NAME = re.compile(r"`([a-z]+(?:_[a-z]+)+)(?:\(\))?`")
# What other programs call so.
_OTHERS = {"admission_control"}
_CODE = (".py", ".pyi", ".rs", ".sql", ".proto", ".sh", ".toml", ".json", "Makefile")


def _check(document: Source, words: set[str]) -> Iterator[Finding]:
    here = document.path.rpartition("/")[0]
    for number, line in enumerate(document.text.splitlines(), 1):
        paths = {name: [root + name for root in _ROOTS] for name in _FILE.findall(line)}
        paths |= {name: [f"{here}/{name}".lstrip("/")] for name in _LINK.findall(line)}
        for name, places in paths.items():
            if not any((ROOT / place).exists() for place in places):
                yield Finding(document.path, number, f"there is no {name}")
        for name in _NAME.findall(line):
            # What is put together from a name and a unit (`..._total`, `..._cpu_us`) is named.
            parts = name.split("_")
            if not any("_".join(parts[:end]) in words for end in range(2, len(parts) + 1)):
                yield Finding(document.path, number, f"nothing is called {name}")


def test_documents_name_what_is_there() -> None:
    sources = every_file()
    code = [one.text for one in sources if one.path.endswith(_CODE)]
    words = _OTHERS | {word for text in code for word in re.findall(r"\w+", text)}
    # The changelog tells of what was.
    documents = [one for one in sources if one.path.endswith(".md") and one.path != "CHANGELOG.md"]
    assert documents
    expect_none(finding for one in documents for finding in _check(one, words))


def test_what_is_gone_is_found() -> None:
    text = "`orchestration/gone.py` and [it](gone.md) and `find_gone_thing()`"
    told = report(_check(Source("docs/new.md", text), {"find"}))
    assert told.count("gone.py") == told.count("gone.md") == told.count("find_gone_thing") == 1
