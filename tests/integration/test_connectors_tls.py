"""The HTTP client's TLS: who is trusted, and that nothing leaves for anybody else."""

from __future__ import annotations

import ssl
from asyncio import StreamReader as Reader
from asyncio import StreamWriter as Writer
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.integration.raw_server import (
    OK,
    RawServer,
    answers_with,
    http_client,
    post,
    raw_server,
    unsent,
)
from turnout.connectors.http import HttpClient


@dataclass
class Authority:
    """A certificate authority of our own."""

    folder: Path
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    def __post_init__(self) -> None:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        now = datetime.now(UTC)
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=30))
            .not_valid_after(now + timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self.key, hashes.SHA256())
        )
        self.path = self.folder / "authority.pem"
        self.path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def server(self, host: str, days: int) -> ssl.SSLContext:
        """A server's context for this host, valid until so many days from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)]))
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=20))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        path = self.folder / f"{host}-{days}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


@pytest.mark.parametrize(
    ("host", "days", "trusted", "reason"),
    [
        ("localhost", 10, True, ""),
        ("localhost", -1, True, "tls_failed"),
        ("other.example", 10, True, "tls_failed"),
        ("localhost", 10, False, "tls_failed"),
    ],
)
async def test_tls_is_always_verified(
    tmp_path: Path, host: str, days: int, trusted: bool, reason: str
) -> None:
    authority = Authority(tmp_path)
    context = ssl.create_default_context(cafile=str(authority.path)) if trusted else None
    served = raw_server(answers_with(OK), authority.server(host, days))
    async with served as server, http_client(context) as client:
        url = f"https://localhost:{server.port}/payments"
        if reason:
            assert await unsent(url, client) == reason
            assert not server.requests
        else:
            assert (await client.send(post(url))).status == 200


async def test_plain_http_behind_an_https_url_is_not_sent() -> None:
    async def behave(server: RawServer, reader: Reader, writer: Writer) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    async with raw_server(behave) as server, http_client() as client:
        url = f"https://localhost:{server.port}/"
        assert await unsent(url, client) in ("tls_failed", "connect_failed")


def test_a_context_that_verifies_nothing_is_refused() -> None:
    loose = ssl.create_default_context()
    loose.check_hostname = False
    with pytest.raises(ValueError, match="host name"):
        HttpClient(ssl_context=loose)
    loose.verify_mode = ssl.CERT_NONE
    with pytest.raises(ValueError, match="certificate"):
        HttpClient(ssl_context=loose)
