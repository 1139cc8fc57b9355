"""`turnout replay`: what a ruleset would have done with the payments of the last days.

It reads the record beside the server and decides in this process, so it costs the server nothing
and needs no key.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import textwrap
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from turnout.app.house import routing_settings
from turnout.cli.demo.report import Figure
from turnout.config import Settings
from turnout.domain import ids
from turnout.domain.accounts import Profile
from turnout.orchestration.replays import Candidate, ReplayReport, try_decisions
from turnout.orchestration.routes import KeptRuleset, engine_config, profile_key
from turnout.orchestration.snapshots import SnapshotLost, engine_again, errors_of, findings_of
from turnout.ports import DecisionFilter
from turnout.routing import RoutingEngine, RoutingError
from turnout.routing.replay import (
    DIRECT,
    DOUBLY_ROBUST,
    IPS,
    NO_INTERVAL,
    SELF_NORMALISED,
    Estimate,
    Replayed,
)
from turnout.routing.rules import RulesetDocument, RulesetInvalid, from_json, from_toml
from turnout.stores.sqlite import RecordInspector

_FAILED = 1
_WRONG = 65
_SECOND_NS = 1_000_000_000
_SAID = {
    DOUBLY_ROBUST: "doubly robust",
    SELF_NORMALISED: "self-normalised",
    IPS: "inverse propensity",
    DIRECT: "estimates alone",
}


class CannotReplay(Exception):
    """What was asked for makes no sense; the message says what to do."""


def run_replay(settings: Settings, given: argparse.Namespace, *, as_json: bool) -> int:
    """Replays and prints; gives the exit status."""
    try:
        report, span = asyncio.run(_replay(settings, given))
    except CannotReplay as error:
        print(f"turnout: {error}", file=sys.stderr, flush=True)
        return _WRONG
    if as_json:
        for figure in figures(report):
            print(figure.as_json())
        for warning in report.warnings:
            print(json.dumps({"warning": warning}))
    else:
        print("\n".join(table(report, span)))
    sys.stdout.flush()
    return 0 if report.result is not None else _FAILED


async def _replay(settings: Settings, given: argparse.Namespace) -> tuple[ReplayReport, str]:
    profile = settings.profiles.get(given.profile)
    if profile is None:
        known = ", ".join(sorted(settings.profiles))
        raise CannotReplay(f"there is no profile {given.profile!r}; known are {known}")
    to_ns = given.to_ns or time.time_ns()
    from_ns = given.from_ns or to_ns - given.since * _SECOND_NS
    if from_ns >= to_ns:
        raise CannotReplay("--from must be before --to")
    span = f"{_day(from_ns)} to {_day(to_ns)}"
    live: bool = given.live
    path = Path(given.record) if given.record else settings.store.path
    with RecordInspector(path) as record:
        if given.version:
            kept = await record.get_ruleset(
                profile.merchant_id, profile.profile_id, live, given.version
            )
            if kept is None:
                raise CannotReplay(f"{profile.profile_id} has no version {given.version}")
            content = from_json(kept.document).to_mapping()
        else:
            content = _document(Path(given.ruleset)).to_mapping()
        candidate = _candidate(settings, profile, live, content)

        async def engine_of(version: str) -> RoutingEngine:
            if not version:
                raise SnapshotLost("the decision does not say what it was made from")
            return await engine_again(record, version)

        want = DecisionFilter(
            profile.profile_id,
            live,
            ids.id_time(ids.DECISION, from_ns),
            ids.id_time(ids.DECISION, to_ns),
            given.most,
        )
        report = await try_decisions(
            record, profile.merchant_id, want, candidate, engine_of, seed=given.seed
        )
    return report, f"profile {profile.profile_id} ({'live' if live else 'test'}), {span}"


def _document(path: Path) -> RulesetDocument:
    """A document of a file, TOML or JSON by its name."""
    text = path.read_text("utf-8")
    try:
        return from_json(text) if path.suffix == ".json" else from_toml(text)
    except RulesetInvalid as error:
        told = "".join(f"\n  {one.field}: {one.description}" for one in error.problems)
        raise CannotReplay(f"{path} is no ruleset:{told}") from None


def _candidate(
    settings: Settings, profile: Profile, live: bool, content: Mapping[str, object]
) -> Candidate:
    errors = errors_of(findings_of(content, settings.accounts, profile, live))
    if errors:
        told = "".join(f"\n  {one.path}: {one.text}" for one in errors)
        raise CannotReplay(f"the ruleset could not be put in force:{told}")
    config = engine_config(
        settings.accounts,
        {profile.profile_id: profile},
        routing_settings(settings),
        {(profile.profile_id, live): (KeptRuleset(0, content),)},
    )
    try:
        engine = RoutingEngine(config)
    except RoutingError as error:
        raise CannotReplay(f"the ruleset could not be put in force: {error}") from None
    return Candidate(engine, profile_key(profile.profile_id, live), content)


def table(report: ReplayReport, span: str) -> list[str]:
    """The report for people: warnings first, because they say what the rest is worth."""
    lines = [f"{span}: {report.read:,} decisions read"]
    if report.more:
        lines[0] += ", and there are older ones (--most)"
    left = (
        (report.undecided, "undecided"),
        (report.elsewhere, "went elsewhere at the last moment"),
        (report.unreadable, "cannot be made again"),
    )
    told = [f"{count:,} {why}" for count, why in left if count]
    if told:
        lines.append(f"left out: {', '.join(told)}")
    for one in report.warnings:
        lines += textwrap.wrap(f"warning: {one}", 98, subsequent_indent="  ")
    result = report.result
    if result is None:
        return lines
    lines += ["", f"{'first attempts':<22}{'was':>9}{'change':>10}   95 % interval"]
    lines += _changes("approved", result.approval, result.approval_changes, 100.0, "points")
    lines += _changes("fees", result.fee_bps, result.fee_changes, 1.0, "bps")
    lines += ["", f"{'account':<34}{'share before':>13}{'after':>8}"]
    for account_id, share in result.shares_before.items():
        after = result.shares_after[account_id]
        lines.append(f"{account_id:<34}{share:>13.1%}{after:>8.1%}")
    lines += [
        "",
        f"{result.moved:,.1f} of {result.decisions:,} payments would go to another account; in "
        f"{result.different:,} decisions",
        f"another one is the likeliest. {result.no_support:,} decisions have no support; the "
        f"others are worth {result.effective:,.0f}",
        "decisions of the candidate's own.",
    ]
    return lines


def _changes(
    name: str, was: float, changes: Mapping[str, Estimate], scale: float, unit: str
) -> list[str]:
    lines: list[str] = []
    shown = f"{was:.2%}" if unit == "points" else f"{was:.1f} {unit}"
    for at, (estimator, said) in enumerate(_SAID.items()):
        one = changes[estimator]
        head = f"{name if at == 0 else '':<22}{shown if at == 0 else '':>9}"
        if one.interval == NO_INTERVAL and one.low != one.high:
            lines.append(f"{head}{'-':>10}   no payment tells               {said}")
            continue
        between = (
            "none"
            if one.interval == NO_INTERVAL
            else f"{one.low * scale:+.2f} to {one.high * scale:+.2f} {unit}"
        )
        lines.append(f"{head}{one.change * scale:>+10.2f}   {between:<29}  {said}")
    return lines


def figures(report: ReplayReport) -> list[Figure]:
    """The report for machines."""
    found = [
        _figure("replay_decisions_read", report.read, "decisions", "in the time asked for"),
        _figure("replay_decisions_undecided", report.undecided, "decisions", "left out"),
        _figure("replay_decisions_elsewhere", report.elsewhere, "decisions", "left out"),
        _figure("replay_decisions_unreadable", report.unreadable, "decisions", "left out"),
    ]
    result = report.result
    if result is None:
        return found
    for name, unit, changes in (
        ("approval", "ratio", result.approval_changes),
        ("fee", "bps", result.fee_changes),
    ):
        for estimator, one in changes.items():
            how = f"{_SAID[estimator]}; interval {one.interval}; {one.decisions} decisions"
            for part, value in (("change", one.change), ("low", one.low), ("high", one.high)):
                if abs(value) != float("inf"):
                    found.append(_figure(f"replay_{name}_{part}_{estimator}", value, unit, how))
    return found + _of_decisions(result)


def _of_decisions(result: Replayed) -> list[Figure]:
    found = [
        _figure("replay_approval", result.approval, "ratio", "of first attempts, as they were"),
        _figure("replay_fee", result.fee_bps, "bps", "of the amount, as they were"),
        _figure("replay_moved", result.moved, "payments", "expected at another account"),
        _figure("replay_different", result.different, "decisions", "another likeliest account"),
        _figure("replay_no_support", result.no_support, "decisions", "no payment tells of them"),
        _figure("replay_no_account", result.no_account, "decisions", "no account is named"),
        _figure("replay_effective", result.effective, "decisions", "Kish's effective size"),
    ]
    for when, shares in (("before", result.shares_before), ("after", result.shares_after)):
        for account_id, share in shares.items():
            name = f"replay_share_{when}"
            found.append(_figure(name, share, "ratio", f"first places of {account_id}"))
    return found


def _figure(name: str, value: float, unit: str, how: str) -> Figure:
    return Figure(name, value, unit, None, None, how)


def _day(now_ns: int) -> str:
    return datetime.fromtimestamp(now_ns // _SECOND_NS, UTC).strftime("%Y-%m-%d %H:%M")
