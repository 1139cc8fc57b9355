"""Where things are: the operator's settings turned into addresses and into the edge's settings."""

from __future__ import annotations

from pathlib import Path

from turnout.config import Settings
from turnout.edge.settings import EdgeSettings


def reachable(host: str) -> str:
    """An address to call a listener of this machine at, where it listens on all of them."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)


def in_url(host: str) -> str:
    """A host as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


def edge_url(settings: Settings) -> str:
    """Where merchants and providers on this machine reach the edge."""
    scheme = "http" if settings.edge.tls_certificate_path is None else "https"
    return f"{scheme}://{in_url(reachable(settings.edge.host))}:{settings.edge.port}"


def edge_room(settings: Settings) -> Path:
    """The edge's own directory, beside the record."""
    return settings.store.path.parent / "edge"


def edge_settings(settings: Settings) -> EdgeSettings:
    """What the edge is told."""
    edge, server = settings.edge, settings.server
    return EdgeSettings(
        listen_host=edge.host,
        listen_port=edge.port,
        upstream_host=reachable(server.host),
        upstream_port=server.port,
        request_limit_bytes=edge.request_limit_bytes,
        webhook_limit_bytes=edge.webhook_limit_bytes,
        timeout_ms=server.default_deadline_ms,
        timeout_max_ms=server.max_deadline_ms,
        timeout_slack_ms=edge.timeout_slack_ms,
        stream_max_ms=edge.stream_max_ms,
        authorizations_per_s=edge.authorizations_per_s,
        drain_timeout_ms=edge.drain_timeout_ms,
        access_log_path=edge.access_log_path,
        trusted_hops=edge.trusted_hops,
        tls_certificate_path=_text(edge.tls_certificate_path),
        tls_key_path=_text(edge.tls_key_path),
        upstream_ca_path=_text(edge.upstream_ca_path),
        concurrency=edge.concurrency,
        envoy_path=_text(edge.envoy_path),
    )


def _text(path: Path | None) -> str:
    return "" if path is None else str(path)
