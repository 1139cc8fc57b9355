"""Calls, names and habits that have no place in the package.

Time and randomness are arguments: a function that reaches for the clock cannot be replayed or
simulated. Mentioning a banned function counts, not only calling it, because a default of
`now=time.monotonic` hides the clock just as well.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from tests.house.imports import Names
from tests.house.sources import Finding, Source

CLOCKS = (
    "time.time",
    "time.time_ns",
    "time.monotonic",
    "time.monotonic_ns",
    "time.perf_counter",
    "time.perf_counter_ns",
    "time.localtime",
    "time.gmtime",
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.datetime.today",
    "datetime.date.today",
)
DICE = ("random", "secrets", "os.urandom", "uuid.uuid1", "uuid.uuid4")
# A generator that is seeded by its maker is the very thing to pass around.
SEEDED = ("random.Random",)
SLEEPS = ("time.sleep",)
SPEECH = ("print",)
BANNED = {
    **dict.fromkeys(CLOCKS, "take a Clock or now_ns as an argument"),
    **dict.fromkeys(DICE, "take a Random or seed as an argument"),
    **dict.fromkeys(SLEEPS, "it stops the event loop for everyone"),
    **dict.fromkeys(SPEECH, "log through telemetry; only the command line prints"),
}


@dataclass(frozen=True, slots=True)
class Allowance:
    """One place where a ban is lifted, and why the place must be the one."""

    place: str
    names: tuple[str, ...]
    why: str


ALLOWED = (
    Allowance("app", (*CLOCKS, *DICE), "composition: makes the Clock and Random of the process"),
    Allowance(
        "cli", (*CLOCKS, *DICE, *SLEEPS, *SPEECH), "speaks to people; outside every service"
    ),
)

BANNED_STEMS = frozenset(
    {"util", "utils", "helper", "helpers", "misc", "common", "stuff", "tools"}
)


def _within(name: str, names: tuple[str, ...]) -> bool:
    return any(name == one or name.startswith(f"{one}.") for one in names)


def allowance_for(path: str, name: str) -> Allowance | None:
    """The allowance that covers one banned name in one file of the package."""
    inside = path.removeprefix("src/turnout/").removesuffix(".py")
    for allowance in ALLOWED:
        here = inside == allowance.place or inside.startswith(f"{allowance.place}/")
        if here and _within(name, allowance.names):
            return allowance
    return None


def banned_names(source: Source) -> Iterator[tuple[str, int, str]]:
    """Every mention of a banned name: the name in full, its line, and what to do instead."""
    tree = ast.parse(source.text, source.path)
    names = Names(tree)
    inner = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    for node in ast.walk(tree):
        # Only whole chains: of `random.Random`, not the `random` inside it.
        if not isinstance(node, ast.Name | ast.Attribute) or id(node) in inner:
            continue
        name = names.resolve(node)
        if name is None or _within(name, SEEDED):
            continue
        for ban, instead in BANNED.items():
            if _within(name, (ban,)):
                yield name, node.lineno, instead


def check_bans(source: Source) -> list[Finding]:
    """Banned names outside the places that have an allowance."""
    return [
        Finding(source.path, line, f"{name} is banned here: {instead}")
        for name, line, instead in banned_names(source)
        if allowance_for(source.path, name) is None
    ]


_BROAD = frozenset({"Exception", "BaseException"})


def check_swallowing(source: Source) -> list[Finding]:
    """Bare excepts, and broad ones that drop what they caught without a word."""
    findings = []
    tree = ast.parse(source.text, source.path)
    names = Names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            if node.type is None:
                findings.append(Finding(source.path, node.lineno, "bare except: name the errors"))
            elif _catches_all(node.type) and all(_says_nothing(s) for s in node.body):
                findings.append(Finding(source.path, node.lineno, "swallows every error"))
        elif isinstance(node, ast.Call) and names.resolve(node.func) == "contextlib.suppress":
            findings += [
                Finding(source.path, node.lineno, "suppresses every error")
                for kind in node.args
                if _catches_all(kind)
            ]
    return findings


def _catches_all(kind: ast.expr) -> bool:
    kinds = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return any(isinstance(k, ast.Name) and k.id in _BROAD for k in kinds)


def _says_nothing(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Return):
        return statement.value is None or isinstance(statement.value, ast.Constant)
    return isinstance(statement, ast.Pass | ast.Continue | ast.Break) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )


def check_file_name(path: str) -> list[Finding]:
    """No drawer for things without a place: every file is named for its idea."""
    return [
        Finding(path, 1, f"'{part}' names no idea; name the file for what it holds")
        for part in path.split("/")
        if part.split(".")[0].removeprefix("test_").lower() in BANNED_STEMS
    ]
