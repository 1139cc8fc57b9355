"""TLS of the edge: what Envoy serves and trusts by, and how newer files take their place.

Envoy reads a certificate through a secret of ours, and reads its files again when something is
moved into a directory that it watches. We move a mark there once the files are others than before
and fit each other. So it does not matter how they were replaced (moved, written over, linked
anew), and neither half a file nor a certificate without its key becomes Envoy's.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
import ssl
from pathlib import Path
from typing import Any

from turnout.edge.settings import EdgeSettings

Json = dict[str, Any]

_SOCKETS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"

# Relative to the directory that Envoy runs in.
_WATCHED = "renewals"
_SERVED, _TRUSTED = "served_certificate", "trusted_authorities"


def downstream() -> Json:
    """The listener's transport socket."""
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{_SOCKETS}.DownstreamTlsContext",
            "common_tls_context": {
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
                "tls_certificate_sds_secret_configs": [_reference(_SERVED)],
            },
        },
    }


def upstream(host: str) -> Json:
    """The transport socket towards the gRPC server."""
    kind = "IP_ADDRESS" if is_ip(host) else "DNS"
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{_SOCKETS}.UpstreamTlsContext",
            "sni": host,
            "common_tls_context": {
                "alpn_protocols": ["h2"],
                "combined_validation_context": {
                    "default_validation_context": {
                        "match_typed_subject_alt_names": [
                            {"san_type": kind, "matcher": {"exact": host}}
                        ],
                    },
                    "validation_context_sds_secret_config": _reference(_TRUSTED),
                },
            },
        },
    }


class Certificates:
    """The PEM files of one edge."""

    def __init__(self, settings: EdgeSettings, room: Path) -> None:
        """Takes note of what the files hold and writes Envoy's secrets into its directory.

        Raises:
            OSError: A file cannot be read, or the files are not what they should be.
        """
        # Envoy runs in a directory of its own, where a relative path would lead elsewhere.
        self._chain, self._key, self._trusted = (
            os.path.abspath(path) if path else ""
            for path in (
                settings.tls_certificate_path,
                settings.tls_key_path,
                settings.upstream_ca_path,
            )
        )
        self._room = room
        self._shown = self._read()
        if self:
            (room / _WATCHED).mkdir(exist_ok=True)
        if self._chain:
            files = {"certificate_chain": self._chain, "private_key": self._key}
            self._write(_SERVED, "tls_certificate", files)
        if self._trusted:
            self._write(_TRUSTED, "validation_context", {"trusted_ca": self._trusted})

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._chain or self._trusted)

    def renew(self) -> bool:
        """Has Envoy read the files again where they are others than before; says whether it did.

        Raises:
            OSError: A file cannot be read, or the files do not fit; Envoy goes on with the old.
        """
        found = self._digest()
        if found == self._shown:
            return False
        found = self._read()
        mark = self._room / "renewed"
        mark.touch()
        mark.replace(self._room / _WATCHED / mark.name)
        self._shown = found
        return True

    def _read(self) -> bytes:
        before = self._digest()
        if self._chain:
            try:
                # The empty password keeps OpenSSL from asking at the terminal for one.
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(self._chain, self._key, password="")
            except ssl.SSLError as error:
                raise OSError(
                    f"{self._chain} and {self._key} are not a certificate and its key "
                    f"({error.reason or error})"
                ) from error
        if self._trusted:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(self._trusted)
            except ssl.SSLError as error:
                raise OSError(f"{self._trusted} holds no certificates") from error
        if self._digest() != before:
            raise OSError("the TLS files changed while they were read")
        return before

    def _digest(self) -> bytes:
        paths = [path for path in (self._chain, self._key, self._trusted) if path]
        return b"".join(hashlib.sha256(Path(path).read_bytes()).digest() for path in paths)

    def _write(self, name: str, kind: str, files: dict[str, str]) -> None:
        sources: Json = {part: {"filename": path} for part, path in files.items()}
        secret = {
            "@type": f"{_SOCKETS}.Secret",
            "name": name,
            kind: {**sources, "watched_directory": {"path": _WATCHED}},
        }
        text = json.dumps({"resources": [secret]}, indent=1)
        (self._room / _file(name)).write_text(text, encoding="utf-8")


def is_ip(host: str) -> bool:
    """Whether it is an address and no name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _reference(name: str) -> Json:
    return {
        "name": name,
        "sds_config": {
            "resource_api_version": "V3",
            # The secret itself never changes; its directory says when to look at its files.
            "path_config_source": {
                "path": _file(name),
                "watched_directory": {"path": _WATCHED},
            },
            # What cannot be used keeps the edge from getting ready, for as long as it takes.
            "initial_fetch_timeout": "0s",
        },
    }


def _file(name: str) -> str:
    return f"{name}.json"
