"""The server's TLS certificate and key, and how newer ones take their place without a restart."""

from __future__ import annotations

import ssl
from pathlib import Path

import grpc

from turnout.config import ConfigError


class Certificates:
    """Reads a PEM chain and its key; what was read last is shown to new connections."""

    def __init__(self, chain_path: Path, key_path: Path) -> None:
        """Reads both.

        Raises:
            OSError: a file cannot be read.
            ConfigError: they are no certificate and key, or not of each other.
        """
        self._paths = (chain_path, key_path)
        self._pems = self._read()
        self._newer: grpc.ServerCertificateConfiguration | None = None

    def _read(self) -> tuple[bytes, bytes]:
        chain_path, key_path = self._paths
        pems = chain_path.read_bytes(), key_path.read_bytes()
        try:
            # From the files, because ssl reads nothing else; the bytes must be those it liked.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(chain_path, key_path)
        except ssl.SSLError as error:
            raise _unusable(
                f"{chain_path} and {key_path} are not a certificate and its key "
                f"({error.reason or error})"
            ) from error
        if pems != (chain_path.read_bytes(), key_path.read_bytes()):
            raise _unusable(f"{chain_path} or {key_path} changed while they were read")
        return pems

    def renew(self) -> bool:
        """Reads both again; says whether they are others than before.

        Where they cannot be used, those from before stay in use.

        Raises:
            OSError, ConfigError: as at the start.
        """
        pems = self._read()
        if pems == self._pems:
            return False
        self._newer = _configuration(pems)
        self._pems = pems
        return True

    def credentials(self) -> grpc.ServerCredentials:
        """What grpc serves with; it asks for newer ones at each handshake."""
        return grpc.dynamic_ssl_server_credentials(
            _configuration(self._pems),
            self._take,  # type: ignore[arg-type]  # None is allowed; the stub forgets it.
        )

    def _take(self) -> grpc.ServerCertificateConfiguration | None:
        """On a thread of grpc's: what has come since it asked last; None where nothing has."""
        newer, self._newer = self._newer, None
        return newer


def _unusable(problem: str) -> ConfigError:
    return ConfigError("server.tls_certificate_path, server.tls_key_path", [problem])


def _configuration(pems: tuple[bytes, bytes]) -> grpc.ServerCertificateConfiguration:
    chain, key = pems
    return grpc.ssl_server_certificate_configuration([(key, chain)])
