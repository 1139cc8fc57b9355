"""Identifiers: a prefix that names the kind, then time and randomness in hexadecimal.

48 bits of milliseconds come first, so ids sort by the time at which they were made and inserts
land at the end of an index; 80 random bits follow, so two processes never meet. Hexadecimal
because it costs a tenth of base 32 in Python.
"""

from __future__ import annotations

from typing import Final

PAYMENT: Final = "pay_"
ATTEMPT: Final = "att_"
CAPTURE: Final = "cap_"
CANCEL: Final = "can_"
REFUND: Final = "ref_"
EVENT: Final = "evt_"
DECISION: Final = "dec_"
TOKEN: Final = "tok_"
LEDGER_TRANSACTION: Final = "ltx_"
WEBHOOK: Final = "whk_"

RANDOM_BYTES: Final = 10
_MILLISECOND_MASK: Final = (1 << 48) - 1


def make_id(prefix: str, now_ns: int, random_bytes: bytes) -> str:
    """An id of `prefix` and 32 hexadecimal digits.

    Args:
        prefix: one of the prefixes above.
        now_ns: wall-clock time, nanoseconds since the epoch.
        random_bytes: RANDOM_BYTES fresh random bytes.
    """
    time = ((now_ns // 1_000_000) & _MILLISECOND_MASK).to_bytes(6, "big")
    return prefix + (time + random_bytes).hex()


def id_time(prefix: str, now_ns: int) -> str:
    """The beginning of all ids of `prefix` made at this time; it sorts before each of them.

    Args:
        prefix: one of the prefixes above.
        now_ns: wall-clock time, nanoseconds since the epoch; ids know its milliseconds.
    """
    return f"{prefix}{(now_ns // 1_000_000) & _MILLISECOND_MASK:012x}"
