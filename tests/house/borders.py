"""No file names one machine's paths or a registry's address, and the Rust core stays pure."""

import re

from tests.house.sources import Finding, Source

# Written with character classes, so that the rules do not find themselves.
_MACHINE_PATH = re.compile(
    r"(?<![\w.])/(?:[w]ork|[f]arm|[r]oot|[h]ome/\w+)/|/tmp/(?:[b]ash|[t]urnout)"
)
_REGISTRY = re.compile(
    r"https?://[^\s\"'<>)]*(?:[p]ypi|[p]ythonhosted|[n]pmjs|[c]rates\.io|[a]rtifactory|[d]evpi)"
    r"|--(?:extra-)?[i]ndex-url|--[f]ind-links"
)
# Cargo writes this name for its default source, whichever mirror serves it.
_CARGO_DEFAULT = "registry+https://github.com/rust-lang/" + "crates.io-index"

_CORE_BANS = {
    "pyo3": "the core knows no Python",
    "SystemTime": "now_ns is an argument",
    "Instant::now": "now_ns is an argument",
    "thread_rng": "the seed is an argument",
    "rand::rng(": "the seed is an argument",
    "std::fs": "the core does no I/O",
    "std::net": "the core does no I/O",
    "println!": "the core does no I/O",
    "std::env": "the core reads no surroundings",
}


def check_addresses(source: Source) -> list[Finding]:
    """Paths and addresses that are true on one machine only."""
    findings = []
    for number, line in enumerate(source.text.splitlines(), 1):
        if match := _MACHINE_PATH.search(line):
            message = f"'{match.group()}' is a path of one machine"
            findings.append(Finding(source.path, number, message))
        if match := _REGISTRY.search(line.replace(_CARGO_DEFAULT, "")):
            message = f"'{match.group()}' is a registry's address or option"
            findings.append(Finding(source.path, number, message))
    return findings


def check_core(source: Source) -> list[Finding]:
    """The Rust core is a function of its arguments; lib.rs says so to the compiler."""
    findings = [
        Finding(source.path, number, f"{ban}: {why}")
        for number, line in enumerate(source.text.splitlines(), 1)
        for ban, why in _CORE_BANS.items()
        if ban in line.split("//")[0]
    ]
    if source.path.endswith("/lib.rs") and "#![forbid(unsafe_code)]" not in source.text:
        findings.append(Finding(source.path, 1, "the core forbids unsafe code"))
    return findings
