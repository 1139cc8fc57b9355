"""What `turnout up` says when it is ready: where everything is, and a first payment to try."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from turnout.app.places import edge_url, in_url, reachable
from turnout.cli.stack import Stack
from turnout.config import Settings

_PYTHON = """\
import grpc; from turnout import v1; \
print(v1.PaymentServiceStub(grpc.insecure_channel("{address}")).AuthorizePayment(\
v1.AuthorizePaymentRequest(merchant_reference="{reference}", amount_minor=1099, currency="EUR", \
payment_method=v1.PaymentMethod(card=v1.Card(number="4242424242424242", expiry_month=12, \
expiry_year=2030, cvc="123"))), metadata=[("authorization", "Bearer {key}"), \
("idempotency-key", "{reference}")]))"""

_JSON = (
    '{{"merchant_reference":"{reference}","amount_minor":1099,"currency":"EUR",'
    '"payment_method":{{"card":{{"number":"4242424242424242","expiry_month":12,'
    '"expiry_year":2030,"cvc":"123"}}}}}}'
)


def test_api_key(settings: Settings) -> str:
    """The test key that `turnout init` made, where it is still beside its hash; else empty."""
    for path, reference in settings.references.items():
        if path.startswith("api_keys[") and reference.startswith("file:"):
            hashed = settings.path.parent / reference.removeprefix("file:")
            key = hashed.with_suffix("")
            if hashed.suffix == ".sha256" and key.is_file():
                return key.read_text("ascii").strip()
    return ""


def grpc_address(settings: Settings) -> str:
    """Where gRPC is, as a channel takes it."""
    return f"{in_url(reachable(settings.server.host))}:{settings.server.port}"


def curl_line(settings: Settings, key: str, reference: str) -> str:
    """A payment over HTTP."""
    return (
        f"curl -sS {edge_url(settings)}/v1/payments:authorize "
        f"-H 'authorization: Bearer {key}' -H 'idempotency-key: {reference}' "
        f"-H 'content-type: application/json' -d '{_JSON.format(reference=reference)}'"
    )


def python_line(settings: Settings, key: str, reference: str) -> str:
    """A payment over gRPC."""
    program = _PYTHON.format(address=grpc_address(settings), reference=reference, key=key)
    return f"{shlex.quote(_interpreter())} -c '{program}'"


def _interpreter() -> str:
    """This interpreter, as short as it can be written from here."""
    path = Path(sys.executable)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def welcome(stack: Stack, took_s: float) -> str:
    """The whole message."""
    settings = stack.settings
    key = test_api_key(settings)
    rows = [
        ("gRPC", grpc_address(settings)),
        ("HTTP", "(no Envoy here)" if stack.missing else edge_url(settings)),
        ("operations", f"http://{in_url(settings.operations.host)}:{settings.operations.port}"),
    ]
    if "sandbox" in stack.children:
        control = f"http://127.0.0.1:{settings.sandbox.control_port}/_control"
        rows.append(("sandbox", f"{control} (make providers ill, read their books)"))
    rows.append(("record", str(settings.store.path)))
    rows.append(("test API key", key or "(the one whose hash is in the configuration)"))
    lines = [f"\nTurnout is ready, after {took_s:.1f} s.\n"]
    lines += [f"  {name:<14}{value}" for name, value in rows]
    if key:
        # A new one each time: the record remembers references and keys for good.
        reference = f"order-{os.urandom(3).hex()}"
        if not stack.missing:
            lines += [
                "\nA first payment, over HTTP:\n",
                curl_line(settings, key, reference + "-h"),
            ]
        lines += ["\nand over gRPC:\n", python_line(settings, key, reference + "-g")]
    lines.append("\nctrl-C drains and stops everything.")
    return "\n".join(lines)
