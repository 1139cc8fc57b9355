"""`turnout routing top`: the accounts as routing sees them, refreshed each second.

It asks the operations port, so it needs no key and costs the server one look a second. Only ANSI
escapes that every terminal of the last forty years knows, and none where nobody watches.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, TextIO

from turnout.app.places import in_url, reachable
from turnout.config import Settings

_EVERY_S = 1.0
_TIMEOUT_S = 5.0
_UNREACHABLE = 69
_WIDTH = 80
# The alternate screen without a cursor, so that what stood there before comes back at the end.
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_HOME, _END_OF_LINE, _END_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"
_RED, _YELLOW, _BOLD, _PLAIN = "\x1b[31m", "\x1b[33m", "\x1b[1m", "\x1b[0m"

_HEAD = (
    f"{'ACCOUNT':<24} {'APPROVAL':>8} {'FAILS':>6} {'LATENCY':>8} {'OPEN/CAP':>9} "
    f"{'SHARE':>5} {'APPROVED':>14}"
)
_LEGEND = (
    "APPROVAL, FAILS: estimated. OPEN/CAP: calls under way. SHARE, APPROVED: attempts",
    "of the last minute, first and further ones.",
)


Accounts = Sequence[Mapping[str, Any]]
"""One look at the accounts, as the operations port tells it."""


def look(url: str) -> Accounts:
    """Asks the operations port.

    Raises:
        OSError: it does not answer, or not so.
    """
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:
            accounts: Accounts = json.load(answer)["accounts"]
        return accounts
    except (urllib.error.URLError, ValueError, KeyError) as error:
        reason = getattr(error, "reason", None) or error
        raise OSError(f"{url} does not tell of the accounts ({reason})") from error


def table(accounts: Accounts, *, rows: int = 0, colours: bool = False) -> list[str]:
    """The table's lines, of at most 80 characters without their colours.

    Args:
        accounts: the ill ones are shown first, then those with the most traffic.
        rows: how many lines there is room for; 0 for any number.
        colours: whether to make the ill ones red.
    """
    total = sum(one["attempts"] for one in accounts)
    ordered = sorted(
        accounts,
        key=lambda one: (one["breaker"] == "closed", -one["attempts"], one["account_id"]),
    )
    lines = [_BOLD + _HEAD + _PLAIN if colours else _HEAD]
    for at, one in enumerate(ordered):
        told = _lines(one, total, colours)
        if rows and len(lines) + len(told) > rows - 1 and at < len(ordered):
            lines.append(f"and {len(ordered) - at} more; the terminal is too low for them")
            break
        lines += told
    if not ordered:
        lines.append("no accounts are configured")
    return lines


def _lines(one: Mapping[str, Any], total: int, colours: bool) -> list[str]:
    name = str(one["account_id"])
    name = name if len(name) <= 24 else name[:22] + ".."
    calls = f"{one['in_flight']}/{one['max_in_flight'] or '-'}"
    latency = f"{one['latency_ms']:.0f} ms" if one["latency_ms"] else "-"
    attempts, approved = one["attempts"], one["approved"]
    share = f"{attempts / total:.0%}" if total else "-"
    done = f"{approved / attempts:.0%} of {attempts}" if attempts else "-"
    line = (
        f"{name:<24} {one['approval']:>8.1%} {one['failure_rate']:>6.1%} {latency:>8} "
        f"{calls:>9} {share:>5} {done:>14}"
    )
    said = _trouble(one)
    if not said:
        return [line]
    mark = _RED if one["breaker"] == "open" else _YELLOW
    told = [line, f"  {said}"[:_WIDTH]]
    return [mark + part + _PLAIN for part in told] if colours else told


def _trouble(one: Mapping[str, Any]) -> str:
    """What is wrong with an account, in a line; empty where nothing is."""
    if one["breaker"] == "open":
        return (
            f"breaker open: {one['reason'] or 'unknown'}; next probe in "
            f"{max(one['retry_in_s'], 0.0):.0f} s"
        )
    if one["breaker"] == "half_open":
        return f"breaker half open: {one['reason'] or 'unknown'}; probing with single payments"
    if not one["enabled"]:
        return "disabled: takes no new payments"
    if one["overdue"]:
        return f"{one['overdue']} calls take suspiciously long"
    return ""


def run_top(
    settings: Settings,
    *,
    once: bool,
    out: TextIO | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Shows the table; each second on a terminal, once elsewhere. Gives the exit status."""
    out = out or sys.stdout
    operations = settings.operations
    url = f"http://{in_url(reachable(operations.host))}:{operations.port}/accounts"
    if once or not out.isatty():
        try:
            accounts = look(url)
        except OSError as error:
            return _not_there(error)
        print("\n".join(table(accounts)), file=out, flush=True)
        return 0
    colours = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    try:
        # The first look before the screen is taken: an error is to stay on the usual one.
        accounts = look(url)
    except OSError as error:
        return _not_there(error)
    out.write(_ENTER)
    try:
        _watch(accounts, url, colours, out, sleep)
    except KeyboardInterrupt:
        return 0
    finally:
        out.write(_LEAVE)
        out.flush()


def _watch(
    accounts: Accounts, url: str, colours: bool, out: TextIO, sleep: Callable[[float], None]
) -> NoReturn:
    """Paints again and again, until it is interrupted."""
    trouble = ""
    while True:
        room = shutil.get_terminal_size((_WIDTH, 24))
        above = f"turnout routing top   {time.strftime('%H:%M:%S')}   ctrl-C ends"
        body = table(accounts, rows=room.lines - 2 - len(_LEGEND), colours=colours)
        lines = [f"{above}   {trouble}"[: room.columns], *body, *_LEGEND]
        out.write(_HOME + "".join(f"{line}{_END_OF_LINE}\r\n" for line in lines[:-1]))
        out.write(lines[-1] + _END_OF_LINE + _END_OF_SCREEN)
        out.flush()
        sleep(_EVERY_S)
        try:
            accounts, trouble = look(url), ""
        except OSError:
            # A server that restarts comes back; what is shown meanwhile is old.
            trouble = "NO ANSWER, figures are old"


def _not_there(error: OSError) -> int:
    print(f"turnout: {error}; is the server running?", file=sys.stderr, flush=True)
    return _UNREACHABLE
