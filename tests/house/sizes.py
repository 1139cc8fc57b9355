"""How long a file, a function and a line may grow before they must be split."""

import ast
import re
from collections.abc import Iterator

from tests.house.sources import Finding, Source

FILE_LINES = 500
FUNCTION_LINES = 70
LINE_CHARS = 100

MEASURED = (".py", ".pyi", ".rs", ".proto", ".sql", ".sh")

_RUST_FUNCTION = re.compile(
    r"^(?P<indent> *)(?:pub(?:\([a-z ]+\))? )?(?:(?:const|async|unsafe|extern(?: \"C\")?) )*fn "
)


def check_sizes(source: Source) -> list[Finding]:
    """Files under 500 lines, functions under 70, lines under 100 characters."""
    lines = source.text.splitlines()
    findings = [
        Finding(source.path, number, f"line of {len(line)} characters; under {LINE_CHARS}")
        for number, line in enumerate(lines, 1)
        if len(line) >= LINE_CHARS
    ]
    if len(lines) >= FILE_LINES:
        message = f"file of {len(lines)} lines; under {FILE_LINES}: split it by idea"
        findings.append(Finding(source.path, 1, message))
    for name, line, length in _functions(source, lines):
        if length >= FUNCTION_LINES:
            message = f"function {name} of {length} lines; under {FUNCTION_LINES}"
            findings.append(Finding(source.path, line, message))
    return findings


def _functions(source: Source, lines: list[str]) -> Iterator[tuple[str, int, int]]:
    if source.path.endswith(".py"):
        for node in ast.walk(ast.parse(source.text, source.path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node.name, node.lineno, (node.end_lineno or node.lineno) - node.lineno + 1
    elif source.path.endswith(".rs"):
        yield from _rust_functions(lines)


def _rust_functions(lines: list[str]) -> Iterator[tuple[str, int, int]]:
    """rustfmt closes a function at the indent of its `fn`, so no parser is needed."""
    for start, line in enumerate(lines):
        match = _RUST_FUNCTION.match(line)
        if not match:
            continue
        name = re.split(r"\W", line[match.end() :], maxsplit=1)[0]
        closing = match["indent"] + "}"
        for end in range(start, len(lines)):
            text = lines[end].rstrip()
            # A one-liner, a trait's declaration, or the brace that ends the body.
            ended = text == closing or (end == start and text.endswith(("}", ";")))
            if ended or text == match["indent"] + ");":
                yield name, start + 1, end - start + 1
                break
