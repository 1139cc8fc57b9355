"""A certificate that is renewed under a running server's feet, as certbot or cert-manager does."""

import asyncio
import signal
import ssl
from pathlib import Path

from tests.e2e.running import Command, turnout
from tests.integration.test_server_tls import write_certificate
from turnout.cli.playground import write_playground


async def logged(server: Command, event: str) -> str:
    """The first line of its log that tells of this event."""
    return await server.until(lambda line: f'"event":"{event}"' in line)


async def shown(port: int) -> bytes:
    """The certificate that a new connection is shown."""
    pem = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port))
    return ssl.PEM_cert_to_DER_cert(pem)


async def test_a_reload_shows_a_renewed_certificate_and_refuses_a_broken_one(
    tmp_path: Path,
) -> None:
    settings = write_playground(tmp_path)
    port = settings.server.port
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    first = ssl.PEM_cert_to_DER_cert(write_certificate(chain, key).decode())
    environ = {
        "TURNOUT_SERVER__TLS_CERTIFICATE_PATH": str(chain),
        "TURNOUT_SERVER__TLS_KEY_PATH": str(key),
        "TURNOUT_EDGE__UPSTREAM_CA_PATH": str(chain),
    }
    arguments = ("serve", "--config", str(settings.path))
    async with turnout(*arguments, cwd=tmp_path, **environ) as server:
        await logged(server, "serve.ready")
        assert await shown(port) == first

        second = ssl.PEM_cert_to_DER_cert(write_certificate(chain, key, 2).decode())
        server.process.send_signal(signal.SIGHUP)
        await logged(server, "tls.renewed")
        assert await shown(port) == second

        chain.write_text("not yet written to the end", "ascii")
        server.process.send_signal(signal.SIGHUP)
        assert str(chain) in await logged(server, "tls.refused")
        assert await shown(port) == second


async def test_a_certificate_that_is_none_keeps_it_from_starting(tmp_path: Path) -> None:
    settings = write_playground(tmp_path)
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    write_certificate(tmp_path / "other.pem", key)
    write_certificate(chain, tmp_path / "other.key")
    environ = {
        "TURNOUT_SERVER__TLS_CERTIFICATE_PATH": str(chain),
        "TURNOUT_SERVER__TLS_KEY_PATH": str(key),
        "TURNOUT_EDGE__UPSTREAM_CA_PATH": str(chain),
    }
    arguments = ("serve", "--config", str(settings.path))
    async with turnout(*arguments, cwd=tmp_path, **environ) as server:
        assert await server.ended() == 78
    assert "server.tls_certificate_path" in server.text and str(chain) in server.text
    assert "Traceback" not in server.text
