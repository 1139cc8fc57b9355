"""ReplayDecisions: its request as a command, and what it tells."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from turnout import v1
from turnout.orchestration.commands import ReplayCommand
from turnout.orchestration.replays import ReplayReport
from turnout.routing.replay import (
    BOOTSTRAP,
    DIRECT,
    DOUBLY_ROBUST,
    IPS,
    NORMAL,
    SELF_NORMALISED,
    Estimate,
)
from turnout.server import pages
from turnout.server.documents import content_of

_ESTIMATOR = {
    DOUBLY_ROBUST: v1.REPLAY_ESTIMATOR_DOUBLY_ROBUST,
    SELF_NORMALISED: v1.REPLAY_ESTIMATOR_SELF_NORMALISED,
    IPS: v1.REPLAY_ESTIMATOR_INVERSE_PROPENSITY,
    DIRECT: v1.REPLAY_ESTIMATOR_DIRECT,
}
_INTERVAL = {NORMAL: v1.REPLAY_INTERVAL_NORMAL, BOOTSTRAP: v1.REPLAY_INTERVAL_BOOTSTRAP}


def replay_command(request: v1.ReplayDecisionsRequest) -> ReplayCommand:
    """The request in orchestration's words.

    Raises:
        InvalidRequest: a time is none.
    """
    return ReplayCommand(
        request.profile_id,
        request.version,
        content_of(request.document) if request.HasField("document") else None,
        pages.time_ns(request, "from_time"),
        pages.time_ns(request, "to_time"),
        request.max_decisions,
    )


def encode_replay(report: ReplayReport) -> bytes:
    """A report as the API shows it."""
    out = v1.ReplayDecisionsResponse(
        warnings=report.warnings,
        read_count=report.read,
        more=report.more,
        undecided_count=report.undecided,
        elsewhere_count=report.elsewhere,
        unreadable_count=report.unreadable,
    )
    result = report.result
    if result is None:
        return out.SerializeToString()
    out.decision_count = result.decisions
    out.approval, out.fee_bps = result.approval, result.fee_bps
    _fill_changes(out.approval_changes, result.approval_changes)
    _fill_changes(out.fee_changes, result.fee_changes)
    for account_id, share in result.shares_before.items():
        out.shares.add(account_id=account_id, before=share, after=result.shares_after[account_id])
    out.moved, out.effective = result.moved, result.effective
    out.different_count = result.different
    out.no_support_count = result.no_support
    out.no_account_count = result.no_account
    return out.SerializeToString()


def _fill_changes(out: Any, changes: Mapping[str, Estimate]) -> None:
    for estimator, one in changes.items():
        told = out.add(
            estimator=_ESTIMATOR[estimator],
            interval=_INTERVAL.get(one.interval, v1.REPLAY_INTERVAL_UNSPECIFIED),
            decision_count=one.decisions,
        )
        if one.interval in _INTERVAL:
            told.change, told.low, told.high = one.change, one.low, one.high
        elif math.isfinite(one.low):
            told.change = one.change
