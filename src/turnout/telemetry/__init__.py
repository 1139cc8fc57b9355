"""What Turnout tells of itself: logs, figures, probes. None of it may hold a payment up."""

from turnout.telemetry.logs import (
    Logger,
    Logs,
    configure_logs,
    get_logger,
)
from turnout.telemetry.metrics import Metrics
from turnout.telemetry.operations import OperationsServer, Readiness
from turnout.telemetry.scrub import scrub, scrub_value
from turnout.telemetry.trace import TraceContext, parse_traceparent

__all__ = [
    "Logger",
    "Logs",
    "Metrics",
    "OperationsServer",
    "Readiness",
    "TraceContext",
    "configure_logs",
    "get_logger",
    "parse_traceparent",
    "scrub",
    "scrub_value",
]
