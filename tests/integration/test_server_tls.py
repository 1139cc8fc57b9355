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
from turnout.config.sections import Server

IDEM = ("idempotency-key", "key-1")
CREATE = v1.CreatePaymentRequest(merchant_reference="r").SerializeToString()


@pytest.fixture
def tls_files(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "turnout")])
    # Wide enough for any machine's clock.
    begin = datetime.datetime.fromtimestamp(NOW_NS / 1e9, datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begin - datetime.timedelta(days=3_650))
        .not_valid_after(begin + datetime.timedelta(days=36_500))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    chain_path, key_path = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return chain_path, key_path


async def test_calls_go_through_tls_and_not_around_it(tls_files: tuple[Path, Path]) -> None:
    chain, key = tls_files
    settings = Server(port=0, tls_certificate_path=chain, tls_key_path=key)
    async with running(settings) as rig:
        trust = grpc.ssl_channel_credentials(chain.read_bytes())
        address = f"127.0.0.1:{rig.server.port}"
        async with grpc.aio.secure_channel(address, trust) as channel:
            call: Any = channel.unary_unary("/turnout.v1.PaymentService/CreatePayment")
            assert await call(CREATE, metadata=(AUTH, IDEM), timeout=30) == b"CreatePayment"
        # The rig's own channel speaks plaintext.
        told = await rig.refused("PaymentService/CreatePayment", CREATE, AUTH, IDEM)
        assert told.code is grpc.StatusCode.UNAVAILABLE
        assert len(rig.stand_in.asked) == 1


async def test_an_address_that_is_taken_is_told_by_the_option_s_name() -> None:
    async with running() as rig:
        with pytest.raises(OSError, match=r"server\.host, server\.port: cannot listen on 127"):
            async with running(Server(port=rig.server.port)):
                raise AssertionError("two servers on one port")
