"""W3C Trace Context, as far as it goes into the log: https://www.w3.org/TR/trace-context/."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_TRACEPARENT: Final = re.compile(
    r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)
_NO_TRACE: Final = "0" * 32
_NO_SPAN: Final = "0" * 16
_SAMPLED: Final = 1


@dataclass(frozen=True, slots=True)
class TraceContext:
    """Whose request this is a part of: 32 and 16 hexadecimal digits."""

    trace_id: str
    span_id: str
    sampled: bool

    def traceparent(self) -> str:
        """The header that says the same."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


def parse_traceparent(header: str) -> TraceContext | None:
    """The context in a `traceparent` header, or None where it is not one (it is then ignored)."""
    match = _TRACEPARENT.fullmatch(header.strip())
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == "ff" or trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    # Version 00 ends here; later versions may go on, and are read as far as they are known.
    if version == "00" and more:
        return None
    return TraceContext(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))
