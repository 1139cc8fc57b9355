"""Envoy's configuration, made from the contract's descriptors and a few settings.

The configuration is one JSON document: descriptors and OpenAPI description stand in it. Only TLS
files are read from elsewhere (`tls.py`), because they are renewed while Envoy runs. Every rpc with
an HTTP rule gets a route of its own name; the access log says that name and never a path, because
a path is the caller's text and may hold anything.

Overload protection so far is a limit on connections; memory limits and shedding have their place
beside it in `overload_manager`.
"""

from __future__ import annotations

import base64
import os
from importlib.resources import files
from typing import Any

from google.api import annotations_pb2
from google.protobuf import descriptor_pb2

from turnout import v1
from turnout.edge import strict_json, tls
from turnout.edge.replies import local_reply_config
from turnout.edge.settings import EdgeSettings

Json = dict[str, Any]

_TYPES = "type.googleapis.com/envoy"
_HTTP = "extensions.filters.http"
_TRANSCODER = "envoy.filters.http.grpc_json_transcoder"
_BUFFER = "envoy.filters.http.buffer"
_SHEDDING = "envoy.filters.http.local_ratelimit"
_CLUSTER = "turnout"
_WEBHOOK_SERVICE = "turnout.v1.WebhookService"

# A caller that sends its headers or body slower than this holds a connection for nothing.
_REQUEST_TIMEOUT = "30s"
_HEADERS_TIMEOUT = "10s"

# The calls that begin an authorization; their filter config switches the bucket on for a route
# and says nothing where the chain has none.
_AUTHORIZING = ("AuthorizePayment", "ConfirmPayment")
_SHED = {_SHEDDING: {"@type": f"{_TYPES}.config.route.v3.FilterConfig", "config": {}}}

# An address that no caller has: an empty list would mean Envoy's default, all private networks.
_NOWHERE = {"address_prefix": "255.255.255.255", "prefix_len": 32}

# How often the edge asks whether the server is ready; /readyz answers from what it last heard.
_HEALTH_INTERVAL = "1s"


def build(settings: EdgeSettings) -> Json:
    """Return Envoy's bootstrap configuration.

    Raises:
        ValueError: A setting contradicts another; the message names it.
    """
    if bool(settings.tls_certificate_path) != bool(settings.tls_key_path):
        raise ValueError("edge: tls_certificate_path and tls_key_path belong together")
    if settings.timeout_ms > settings.timeout_max_ms:
        raise ValueError("edge: timeout_ms is above timeout_max_ms")
    return {
        "node": {"id": "turnout-edge", "cluster": _CLUSTER},
        "static_resources": {
            "listeners": [_listener(settings)],
            "clusters": [_upstream(settings)],
        },
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": f"{_TYPES}.extensions.resource_monitors.downstream_connections.v3"
                        ".DownstreamConnectionsConfig",
                        "max_active_downstream_connections": settings.connections_max,
                    },
                }
            ]
        },
        # Relative to the directory that Envoy runs in: a unix socket's path must be short.
        "admin": {"address": {"pipe": {"path": ADMIN_SOCKET, "mode": 0o600}}},
        "stats_config": {"stats_matcher": {"inclusion_list": {"patterns": _STATS}}},
    }


ADMIN_SOCKET = "admin.sock"

# The few counters that the drain and an operator read; Envoy keeps hundreds otherwise.
_STATS = [
    {"prefix": "http.edge.downstream_rq"},
    {"prefix": "http.edge.downstream_cx"},
    {"prefix": f"cluster.{_CLUSTER}.upstream"},
    {"prefix": f"cluster.{_CLUSTER}.health_check"},
    # /readyz is computed from these.
    {"prefix": f"cluster.{_CLUSTER}.membership"},
    {"prefix": "listener_manager"},
    {"prefix": "server."},
]


def _listener(settings: EdgeSettings) -> Json:
    chain: Json = {
        "filters": [
            {
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": _connection_manager(settings),
            }
        ]
    }
    if settings.tls_certificate_path:
        chain["transport_socket"] = tls.downstream()
    return {
        "name": "edge",
        "address": _address(settings.listen_host, settings.listen_port),
        # With it a second edge would start silently beside the first and take half its calls.
        "enable_reuse_port": False,
        "per_connection_buffer_limit_bytes": settings.webhook_limit_bytes + 64 * 1024,
        "filter_chains": [chain],
    }


def _connection_manager(settings: EdgeSettings) -> Json:
    return {
        "@type": f"{_TYPES}.extensions.filters.network.http_connection_manager.v3"
        ".HttpConnectionManager",
        "stat_prefix": "edge",
        "codec_type": "AUTO",
        "route_config": _routes(settings),
        "http_filters": _filters(settings),
        "local_reply_config": local_reply_config(),
        "access_log": _access_log(settings),
        "use_remote_address": True,
        "xff_num_trusted_hops": settings.trusted_hops,
        # Nobody's x-envoy-* headers are believed, not even a neighbour's on a private network.
        "internal_address_config": {"unix_sockets": False, "cidr_ranges": [_NOWHERE]},
        "generate_request_id": True,
        "preserve_external_request_id": True,
        "always_set_request_id_in_response": True,
        "server_header_transformation": "PASS_THROUGH",
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "request_timeout": _REQUEST_TIMEOUT,
        "request_headers_timeout": _HEADERS_TIMEOUT,
        "common_http_protocol_options": {
            "idle_timeout": "300s",
            "max_headers_count": 100,
            "headers_with_underscores_action": "REJECT_REQUEST",
        },
        "drain_timeout": "1s",
        "http2_protocol_options": {"max_concurrent_streams": 1000},
    }


def _filters(settings: EdgeSettings) -> list[Json]:
    return [
        {
            "name": "envoy.filters.http.health_check",
            "typed_config": {
                "@type": f"{_TYPES}.{_HTTP}.health_check.v3.HealthCheck",
                "pass_through_mode": False,
                "headers": [{"name": ":path", "string_match": {"exact": "/readyz"}}],
                "cluster_min_healthy_percentages": {_CLUSTER: {"value": 100}},
            },
        },
        *_shedding(settings),
        {
            "name": _BUFFER,
            "typed_config": {
                "@type": f"{_TYPES}.{_HTTP}.buffer.v3.Buffer",
                "max_request_bytes": settings.request_limit_bytes,
            },
        },
        {
            "name": "envoy.filters.http.lua",
            "typed_config": {
                "@type": f"{_TYPES}.{_HTTP}.lua.v3.Lua",
                "default_source_code": {"inline_string": strict_json.source(_image())},
            },
        },
        {
            "name": _TRANSCODER,
            "typed_config": {
                "@type": f"{_TYPES}.{_HTTP}.grpc_json_transcoder.v3.GrpcJsonTranscoder",
                "proto_descriptor_bin": base64.b64encode(v1.descriptor_set()).decode(),
                "services": [service for service, methods in _services().items() if methods],
                "convert_grpc_status": True,
                "print_options": {
                    "preserve_proto_field_names": True,
                    "always_print_primitive_fields": True,
                    "stream_newline_delimited": True,
                },
                "request_validation_options": {
                    "reject_unknown_method": True,
                    "reject_unknown_query_parameters": True,
                    "reject_binding_body_field_collisions": True,
                },
            },
        },
        {
            "name": "envoy.filters.http.router",
            "typed_config": {
                "@type": f"{_TYPES}.{_HTTP}.router.v3.Router",
                "suppress_envoy_headers": True,
            },
        },
    ]


def _shedding(settings: EdgeSettings) -> list[Json]:
    """The bucket of new authorizations, one for both spellings of their paths; off elsewhere.

    A refusal of the server's own costs it as much as an answer, so what is too much is best
    refused here. The bucket fills often and holds a fifth of a second's worth, because a burst
    waits in the server, where it is latency.
    """
    if not settings.authorizations_per_s:
        return []
    # Envoy fills at most every 50 ms.
    per_fill = -(-settings.authorizations_per_s // 20)
    always = {"default_value": {"numerator": 100}}
    return [
        {
            "name": _SHEDDING,
            "disabled": True,
            "typed_config": {
                "@type": f"{_TYPES}.{_HTTP}.local_ratelimit.v3.LocalRateLimit",
                "stat_prefix": "edge",
                "token_bucket": {
                    "max_tokens": 4 * per_fill,
                    "tokens_per_fill": per_fill,
                    "fill_interval": f"{per_fill / settings.authorizations_per_s:.6f}s",
                },
                "filter_enabled": always,
                "filter_enforced": always,
                "rate_limited_as_resource_exhausted": True,
                "response_headers_to_add": [_header("retry-after", "1", replace=True)],
            },
        }
    ]


def _routes(settings: EdgeSettings) -> Json:
    """Return the route table.

    A request meets it twice: with its HTTP path, which chooses the limit of its body, and again
    with the rpc's path once it has been transcoded, which chooses its deadline.
    """
    description = files("turnout.edge").joinpath("openapi.yaml").read_text(encoding="utf-8")
    routes = [
        _page("/healthz", '{"status":"alive"}\n', "application/json"),
        _page("/openapi.yaml", description, "application/yaml"),
        {
            "name": "webhooks",
            "match": {"prefix": "/v1/webhooks/"},
            "route": _upstream_route(settings, streaming=False),
            "typed_per_filter_config": _body_limit(settings.webhook_limit_bytes),
        },
        {
            "name": "authorizations",
            "match": {"safe_regex": {"regex": r"/v1/payments(:authorize|/[^/]+:confirm)"}},
            "route": _upstream_route(settings, streaming=False),
            "typed_per_filter_config": _SHED,
        },
        {
            "name": "api",
            "match": {"prefix": "/v1/"},
            "route": _upstream_route(settings, streaming=False),
        },
    ]
    for service, methods in _services().items():
        routes += [_rpc(settings, service, method) for method in methods]
    return {
        "name": "edge",
        "max_direct_response_body_size_bytes": len(description.encode()) + 1,
        # The edge answers in JSON to whoever asks; cookies are nobody's business behind it.
        "request_headers_to_remove": ["cookie"],
        "virtual_hosts": [{"name": "edge", "domains": ["*"], "routes": routes}],
    }


def _page(path: str, body: str, content_type: str) -> Json:
    return {
        "name": path,
        "match": {"path": path},
        "direct_response": {"status": 200, "body": {"inline_string": body}},
        "response_headers_to_add": [_header("content-type", content_type, replace=True)],
        "typed_per_filter_config": {
            _TRANSCODER: {"@type": f"{_TYPES}.config.route.v3.FilterConfig", "disabled": True}
        },
    }


def _rpc(
    settings: EdgeSettings, service: str, method: descriptor_pb2.MethodDescriptorProto
) -> Json:
    route: Json = {
        "name": f"{service}/{method.name}",
        "match": {"path": f"/{service}/{method.name}"},
        "route": _upstream_route(settings, streaming=method.server_streaming),
    }
    if not method.server_streaming:
        deadline = _header("grpc-timeout", f"{settings.timeout_ms}m", replace=False)
        route["request_headers_to_add"] = [deadline]
    if method.name in _AUTHORIZING:
        route["typed_per_filter_config"] = _SHED
    if service == _WEBHOOK_SERVICE:
        route["typed_per_filter_config"] = _body_limit(settings.webhook_limit_bytes)
    return route


def _upstream_route(settings: EdgeSettings, *, streaming: bool) -> Json:
    if streaming:
        return {
            "cluster": _CLUSTER,
            "timeout": "0s",
            "idle_timeout": "0s",
            "max_stream_duration": {"max_stream_duration": _seconds(settings.stream_max_ms)},
        }
    return {
        "cluster": _CLUSTER,
        "timeout": _seconds(settings.timeout_max_ms + settings.timeout_slack_ms),
        # The deadline itself, the caller's own or ours, capped; the server hears the same one and
        # answers shortly before it.
        "max_stream_duration": {
            "grpc_timeout_header_max": _seconds(settings.timeout_max_ms),
        },
        # Only where the request has not left: the server never sees a call twice.
        "retry_policy": {"retry_on": "connect-failure,refused-stream", "num_retries": 2},
    }


def _upstream(settings: EdgeSettings) -> Json:
    host = settings.upstream_host
    cluster: Json = {
        "name": _CLUSTER,
        "type": "STATIC" if tls.is_ip(host) else "STRICT_DNS",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": _CLUSTER,
            "endpoints": [
                {
                    "lb_endpoints": [
                        {"endpoint": {"address": _address(host, settings.upstream_port)}}
                    ]
                }
            ],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{_TYPES}.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
        "health_checks": [
            {
                "timeout": "1s",
                "interval": _HEALTH_INTERVAL,
                "no_traffic_interval": _HEALTH_INTERVAL,
                "unhealthy_threshold": 1,
                "healthy_threshold": 1,
                "grpc_health_check": {},
            }
        ],
        # The one server gets every call, healthy or not: it answers better than the edge can.
        "common_lb_config": {"healthy_panic_threshold": {"value": 100}},
    }
    if settings.upstream_ca_path:
        cluster["transport_socket"] = tls.upstream(host)
    return cluster


def _access_log(settings: EdgeSettings) -> list[Json]:
    if not settings.access_log_path:
        return []
    line = {
        "time": "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%",
        "event": "http_request",
        "request_id": "%REQ(X-REQUEST-ID)%",
        "method": "%REQ(X-ENVOY-ORIGINAL-METHOD?:METHOD)%",
        "rpc": "%ROUTE_NAME%",
        "status": "%RESPONSE_CODE%",
        "flags": "%RESPONSE_FLAGS%",
        "duration_ms": "%DURATION%",
        "received_bytes": "%BYTES_RECEIVED%",
        "sent_bytes": "%BYTES_SENT%",
        "remote_ip": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    }
    kinds = f"{_TYPES}.extensions.access_loggers"
    if settings.access_log_path == "-":
        sink: Json = {"@type": f"{kinds}.stream.v3.StdoutAccessLog"}
    else:
        sink = {
            "@type": f"{kinds}.file.v3.FileAccessLog",
            "path": os.path.abspath(settings.access_log_path),
        }
    sink["log_format"] = {"json_format": line}
    # Probes of /readyz come every second or so, and a start's many refusals would frighten.
    return [
        {"name": "access", "filter": {"not_health_check_filter": {}}, "typed_config": sink},
    ]


def _services() -> dict[str, list[descriptor_pb2.MethodDescriptorProto]]:
    """Return the contract's services, each with its methods that have an HTTP rule."""
    return {
        f"{file.package}.{service.name}": [
            method
            for method in service.method
            if method.options.HasExtension(annotations_pb2.http)
        ]
        for file in _image().file
        if file.package == "turnout.v1"
        for service in file.service
    }


def _image() -> descriptor_pb2.FileDescriptorSet:
    return descriptor_pb2.FileDescriptorSet.FromString(v1.descriptor_set())


def _body_limit(limit_bytes: int) -> Json:
    return {
        _BUFFER: {
            "@type": f"{_TYPES}.{_HTTP}.buffer.v3.BufferPerRoute",
            "buffer": {"max_request_bytes": limit_bytes},
        }
    }


def _header(name: str, value: str, *, replace: bool) -> Json:
    action = "OVERWRITE_IF_EXISTS_OR_ADD" if replace else "ADD_IF_ABSENT"
    return {"header": {"key": name, "value": value}, "append_action": action}


def _address(host: str, port: int) -> Json:
    return {"socket_address": {"address": host, "port_value": port}}


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds // 1000}.{milliseconds % 1000:03d}s"
