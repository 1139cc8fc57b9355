"""What an issuer says, as a test asks for it by the card's holder name.

`DECLINED : 05 : Do not honor : 03` is a response code (ISO 8583 field 39), its words and a
merchant advice code; words and advice may be left out. The form is Adyen's, which knows code and
words; the advice, and all of it at Stripe, is the simulators' own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_RESPONSE = re.compile(r"[0-9A-Z]{2}\Z")
_ADVICE = re.compile(r"[0-9]{2}\Z")


@dataclass(frozen=True, slots=True)
class Said:
    """An issuer's answer.

    Attributes:
        code: the response code.
        raw: code and words, as Adyen hands them on.
        advice: the merchant advice code, or None.
    """

    code: str
    raw: str
    advice: str | None


def said(raw: str) -> Said | None:
    """Reads `05 : Do not honor : 03`; None where it does not begin with a response code."""
    parts = [part.strip() for part in raw.split(":")]
    if _RESPONSE.match(parts[0]) is None:
        return None
    advice = parts.pop() if len(parts) > 1 and _ADVICE.match(parts[-1]) else None
    return Said(parts[0], " : ".join(parts if len(parts) > 1 else [*parts, "Declined"]), advice)


def asked(holder_name: str) -> Said | None:
    """What a holder name such as `DECLINED : 14` asks for, or None."""
    word, colon, rest = holder_name.partition(":")
    return said(rest) if colon and word.strip() == "DECLINED" else None
