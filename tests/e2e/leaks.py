"""Looks for card data in every byte that a Turnout has written."""

import base64
import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path


def forms(number: str) -> dict[str, bytes]:
    """A card number as it could hide: plain, wide, in hexadecimal, in base64 at any offset."""
    plain = number.encode()
    found = {
        "plain": plain,
        "grouped": b" ".join(plain[at : at + 4] for at in range(0, len(plain), 4)),
        "utf-16": number.encode("utf-16-le"),
        "utf-16-be": number.encode("utf-16-be"),
        "hex": plain.hex().encode(),
        "HEX": plain.hex().upper().encode(),
    }
    for offset in range(3):
        # The characters that do not depend on what stands before or after.
        encoded = base64.b64encode(b"\0" * offset + plain)
        first = -(-offset * 8 // 6)
        last = (offset + len(plain)) * 8 // 6
        found[f"base64+{offset}"] = encoded[first:last]
    return found


def find_numbers(data: bytes, numbers: Iterable[str]) -> list[str]:
    """Which card numbers stand in the data, and how they hide."""
    return [
        f"...{number[-4:]} as {form}"
        for number in numbers
        for form, needle in forms(number).items()
        if needle in data
    ]


def find_code(text: bytes, code: str) -> bool:
    """Whether a verification code stands in the text as a word of its own."""
    return re.search(rb"(?<![\w.:+-])" + code.encode() + rb"(?![\w.:+-])", text) is not None


def cells(path: Path) -> Iterator[tuple[str, bytes | int]]:
    """Every value in every table of a database, with its column's name."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        tables = [
            row[0]
            for row in connection.execute("SELECT name FROM sqlite_schema WHERE type='table'")
        ]
        for table in tables:
            rows = connection.execute(f'SELECT * FROM "{table}"')
            names = [column[0] for column in rows.description]
            for row in rows:
                for name, value in zip(names, row, strict=True):
                    known = isinstance(value, bytes | int)
                    yield f"{table}.{name}", value if known else str(value).encode()
    finally:
        connection.close()


def columns_with_code(path: Path, code: str, few: int) -> set[str]:
    """Columns of a database where a verification code stands.

    In text, once is too often. A whole number equals it by chance now and then (a row's number
    does), so there more than a `few` are.
    """
    found: Counter[str] = Counter()
    for column, value in cells(path):
        if isinstance(value, int):
            found[column] += value == int(code)
        elif find_code(value, code):
            found[column] += few + 1
    return {column for column, times in found.items() if times > few}


def files(room: Path) -> list[Path]:
    return [path for path in room.rglob("*") if path.is_file()]
