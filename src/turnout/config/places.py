"""Where Turnout may listen, and what must be there when it does."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from turnout.config.reading import Reader
from turnout.config.sections import Edge, Operations, Server, Vault


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine only. A name is looked up by nobody here."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_places(
    server: Server,
    operations: Operations,
    edge: Edge,
    any_live: bool,
    vault: Vault,
    reader: Reader,
) -> None:
    """Refuses plaintext in the open, half a TLS, missing files and deadlines that cross."""
    for name, face in (("server", server), ("edge", edge)):
        _check_face(name, face, reader)
    if not is_loopback(operations.host) and not operations.allow_non_loopback:
        reader.wrong(
            "operations.host",
            f"{operations.host} can be reached from other machines, and this server has neither "
            "TLS nor keys; use 127.0.0.1, or set operations.allow_non_loopback = true",
        )
    if server.tls_certificate_path is not None and edge.upstream_ca_path is None:
        reader.wrong(
            "edge.upstream_ca_path",
            "is missing: the gRPC server has TLS, so the edge must know whom to trust",
        )
    if server.default_deadline_ms > server.max_deadline_ms:
        reader.wrong("server.default_deadline_ms", "is above server.max_deadline_ms")
    if server.answer_margin_ms >= server.default_deadline_ms:
        reader.wrong("server.answer_margin_ms", "must be well below server.default_deadline_ms")
    if vault.path == vault.master_key_path:
        reader.wrong("vault.master_key_path", "must be another file than vault.path")
    if vault.sandbox_bins and any_live:
        reader.wrong("vault.sandbox_bins", "invented facts have no place beside live accounts")
    _check_file("vault.bin_file_path", vault.bin_file_path, reader)
    _check_file("edge.upstream_ca_path", edge.upstream_ca_path, reader)


def _check_face(name: str, face: Server | Edge, reader: Reader) -> None:
    certificate, key = face.tls_certificate_path, face.tls_key_path
    if (certificate is None) is not (key is None):
        missing = "tls_key_path" if key is None else "tls_certificate_path"
        reader.wrong(f"{name}.{missing}", "is missing: TLS needs a certificate and its key")
    _check_file(f"{name}.tls_certificate_path", certificate, reader)
    _check_file(f"{name}.tls_key_path", key, reader)
    if (
        certificate is None
        and not is_loopback(face.host)
        and not face.allow_plaintext_non_loopback
    ):
        reader.wrong(
            f"{name}.host",
            f"{face.host} can be reached from other machines, and without TLS card data and API "
            f"keys would cross the network in the clear; set {name}.tls_certificate_path and "
            f"{name}.tls_key_path, listen on 127.0.0.1, or, behind something of yours that ends "
            f"TLS, set {name}.allow_plaintext_non_loopback = true",
        )


def _check_file(option: str, path: Path | None, reader: Reader) -> None:
    if path is not None and not path.is_file():
        reader.wrong(option, f"there is no file {path}")
