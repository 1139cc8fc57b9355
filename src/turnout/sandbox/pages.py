"""The issuer's page that a payer is sent to: approve or fail, then back to the shop.

A person opens it in a browser; a test gets it with `?outcome=approve` or `?outcome=fail`.
"""

from __future__ import annotations

import html
from urllib.parse import parse_qs, urlencode

from turnout.sandbox.wire import Answer

# Where payers' pages live on a provider's port; no provider's API has paths below it.
PAGE_PREFIX = "/redirect/"

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Sandbox issuer</title>
<style>body{{font-family:sans-serif;max-width:32em;margin:4em auto}}
a{{display:inline-block;padding:.6em 1.2em;margin-right:1em;border:1px solid}}</style></head>
<body><h1>Sandbox issuer</h1><p>{text}</p>
<p><a href="?outcome=approve">Approve</a><a href="?outcome=fail">Fail</a></p></body></html>
"""


def outcome(query: str) -> bool | None:
    """What the payer chose: True approve, False fail, None nothing yet."""
    chosen = parse_qs(query).get("outcome", [""])[0]
    return {"approve": True, "fail": False}.get(chosen)


def ask(text: str) -> Answer:
    """The page with the two choices."""
    body = _PAGE.format(text=html.escape(text)).encode()
    return Answer(200, body, content_type="text/html; charset=utf-8")


def done(text: str) -> Answer:
    """A page for a payer whose shop gave no address to return to."""
    return Answer(200, text.encode(), content_type="text/plain; charset=utf-8")


def go_back(return_url: str, parameters: dict[str, str]) -> Answer:
    """Send the payer back to the shop with what the provider adds to the address."""
    joint = "&" if "?" in return_url else "?"
    location = f"{return_url}{joint}{urlencode(parameters)}"
    return Answer(303, b"", {"Location": location}, content_type="text/plain")
