"""The face over TLS, and addresses that cannot be listened on."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.integration.server_face import AUTH, NOW_NS, running
from turnout import v1
from turnout.config import ConfigError
from turnout.config.sections import Server

IDEM = ("idempotency-key", "key-1")
CREATE = v1.CreatePaymentRequest(merchant_reference="r").SerializeToString()


def write_certificate(chain_path: Path, key_path: Path, serial_number: int = 1) -> bytes:
    """A certificate for 127.0.0.1 that vouches for itself, and its key; gives the former."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "turnout")])
    # Wide enough for any machine's clock.
    begin = datetime.datetime.fromtimestamp(NOW_NS / 1e9, datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial_number)
        .not_valid_before(begin - datetime.timedelta(days=3_650))
        .not_valid_after(begin + datetime.timedelta(days=36_500))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    chain_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return chain_path.read_bytes()


@pytest.fixture
def tls_files(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate and its key."""
    chain_path, key_path = tmp_path / "chain.pem", tmp_path / "key.pem"
    write_certificate(chain_path, key_path)
    return chain_path, key_path


async def create(port: int, trusted: bytes, key: str) -> bytes:
    """Creates a payment on a connection of its own, to a server that shows this certificate."""
    trust = grpc.ssl_channel_credentials(trusted)
    # Channels with the same options and credentials share connections; this one must not.
    alone = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.secure_channel(f"127.0.0.1:{port}", trust, alone) as channel:
        call: Any = channel.unary_unary("/turnout.v1.PaymentService/CreatePayment")
        answer: bytes = await call(CREATE, metadata=(AUTH, ("idempotency-key", key)), timeout=30)
        return answer


async def test_calls_go_through_tls_and_not_around_it(tls_files: tuple[Path, Path]) -> None:
    chain, key = tls_files
    settings = Server(port=0, tls_certificate_path=chain, tls_key_path=key)
    async with running(settings) as rig:
        assert await create(rig.server.port, chain.read_bytes(), "key-1") == b"CreatePayment"
        # The rig's own channel speaks plaintext.
        told = await rig.refused("PaymentService/CreatePayment", CREATE, AUTH, IDEM)
        assert told.code is grpc.StatusCode.UNAVAILABLE
        assert len(rig.stand_in.asked) == 1


async def test_an_address_that_is_taken_is_told_by_the_option_s_name() -> None:
    async with running() as rig:
        with pytest.raises(OSError, match=r"server\.host, server\.port: cannot listen on 127"):
            async with running(Server(port=rig.server.port)):
                raise AssertionError("two servers on one port")


async def test_a_renewed_certificate_is_shown_to_new_connections(
    tls_files: tuple[Path, Path],
) -> None:
    chain, key = tls_files
    first = chain.read_bytes()
    settings = Server(port=0, tls_certificate_path=chain, tls_key_path=key)
    async with running(settings) as rig:
        certificates, port = rig.server.certificates, rig.server.port
        assert certificates is not None
        assert await create(port, first, "key-1") == b"CreatePayment"
        assert certificates.renew() is False
        second = write_certificate(chain, key, serial_number=2)
        assert certificates.renew() is True
        assert await create(port, second, "key-2") == b"CreatePayment"
        with pytest.raises(grpc.aio.AioRpcError, match="CERTIFICATE_VERIFY_FAILED"):
            await create(port, first, "key-3")
        assert certificates.renew() is False
        assert await create(port, second, "key-4") == b"CreatePayment"


async def test_what_is_no_certificate_changes_nothing(tls_files: tuple[Path, Path]) -> None:
    chain, key = tls_files
    first = chain.read_bytes()
    settings = Server(port=0, tls_certificate_path=chain, tls_key_path=key)
    async with running(settings) as rig:
        certificates = rig.server.certificates
        assert certificates is not None
        # Another pair's key, as between the two steps of a renewal that writes file by file.
        write_certificate(chain.with_name("other.pem"), key)
        with pytest.raises(ConfigError, match="KEY_VALUES_MISMATCH"):
            certificates.renew()
        chain.write_text("-----BEGIN CERTIFICATE-----\n", "ascii")
        with pytest.raises(ConfigError, match=r"tls_certificate_path.*tls_key_path"):
            certificates.renew()
        chain.unlink()
        with pytest.raises(FileNotFoundError):
            certificates.renew()
        assert await create(rig.server.port, first, "key-1") == b"CreatePayment"
