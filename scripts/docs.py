"""Write the documents that follow from code: the options and the states.

python scripts/docs.py            write them
python scripts/docs.py --check    fail where a committed one differs
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from turnout.config.reference import reference
from turnout.domain.operation import OPEN_STATES, OPERATION_TRANSITIONS
from turnout.domain.payment import STARTS, TRANSITIONS, PaymentStatus

S = TypeVar("S", bound=StrEnum)

ROOT = Path(__file__).resolve().parent.parent

_STATES_HEAD = """\
# States

<!-- Generated from src/turnout/domain by scripts/docs.py; edit the tables there. -->

The only tables of states. The code refuses every other step (`Payment.move`, `Operation.move`),
the database refuses it again, and property tests walk both tables.

## Payments
"""

_PAYMENT_MEANINGS: Mapping[PaymentStatus, str] = {
    PaymentStatus.REQUIRES_PAYMENT_METHOD: "created, or confirmed and declined: waits for a "
    "payment method",
    PaymentStatus.REQUIRES_CONFIRMATION: "has a payment method and waits to be confirmed",
    PaymentStatus.REQUIRES_ACTION: "the payer must do something, for example 3-D Secure",
    PaymentStatus.PROCESSING: "a provider was asked and has not finished; an unknown outcome "
    "stays here until it is resolved",
    PaymentStatus.REQUIRES_CAPTURE: "authorized: the money is held",
    PaymentStatus.PARTIALLY_CAPTURED: "captured in part; the rest can still be captured or "
    "released",
    PaymentStatus.SUCCEEDED: "captured, with nothing left open; refunds do not change it",
    PaymentStatus.CANCELED: "canceled, or expired at the provider; no money moved",
    PaymentStatus.FAILED: "declined for good; no money moved",
}

_PAYMENT_NOTES = """
Steps back exist for one reason: a provider takes a capture back (`CAPTURE_FAILED`) that it had
reported. From `succeeded` that leads to `requires_capture` or `partially_captured`.

## Operations

Every authorize, capture, cancel and refund is an operation, written down as `sending` before the
provider hears of it. `failed` and `not_processed` both mean that no money moved: the provider said
no, or it never took the request up. `unknown` means that money may have moved. While an operation
is open its amount counts against what may still be captured or refunded.
"""


def states() -> str:
    """All of docs/states.md."""
    starts = frozenset[StrEnum](STARTS)
    payments = "".join(
        f"| `{status}` | {meaning} | {_next(TRANSITIONS[status])} |\n"
        for status, meaning in _PAYMENT_MEANINGS.items()
    )
    operations = "".join(
        f"| `{state}` | {'yes' if state in OPEN_STATES else 'no'} | {_next(following)} |\n"
        for state, following in OPERATION_TRANSITIONS.items()
    )
    return (
        f"{_STATES_HEAD}\n{_diagram(TRANSITIONS, starts)}\n"
        "| status | meaning | next |\n|---|---|---|\n"
        f"{payments}{_PAYMENT_NOTES}\n"
        f"{_diagram(OPERATION_TRANSITIONS, frozenset(list(OPERATION_TRANSITIONS)[:1]))}\n"
        f"| state | open | next |\n|---|---|---|\n{operations}"
    )


def _next(following: frozenset[StrEnum] | frozenset[PaymentStatus]) -> str:
    return ", ".join(f"`{one}`" for one in sorted(following)) or "final"


def _diagram(table: Mapping[S, frozenset[S]], starts: frozenset[StrEnum]) -> str:
    lines = ["```mermaid", "stateDiagram-v2"]
    lines += [f"    [*] --> {one}" for one in sorted(starts)]
    for state, following in table.items():
        lines += [f"    {state} --> {one}" for one in sorted(following)]
    lines += [f"    {state} --> [*]" for state, following in table.items() if not following]
    return "\n".join([*lines, "```", ""])


DOCUMENTS = {
    "docs/operating/configuration.md": reference,
    "docs/states.md": states,
}


def main() -> int:
    """Run what the command line asks for; the exit status is 1 where `--check` finds a change."""
    parser = argparse.ArgumentParser(description="Write the documents that follow from code.")
    parser.add_argument("--check", action="store_true", help="fail where a document differs")
    check = parser.parse_args().check
    stale = 0
    for name, render in DOCUMENTS.items():
        path, text = ROOT / name, render()
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.is_file() or path.read_text("utf-8") != text:
            sys.stderr.write(f"{name} is not what the code says; run: make gen\n")
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main())
