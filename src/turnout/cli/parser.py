"""The command line's words and its help."""

from __future__ import annotations

import argparse

from turnout.cli.times import span_s, time_ns

_OVERVIEW = """\
Turnout takes payments in over gRPC and HTTP and takes each to the payment provider that
is most likely to approve it.

everything at once:
  up            start the server, the HTTP edge and, where it is enabled, the sandbox
  demo          a tour with simulated providers that checks what it claims, then ends

the parts, each alone:
  serve         the gRPC server, which keeps the record and the vault
  edge          the HTTP edge: Envoy, JSON in and out
  sandbox       simulated providers on loopback, with books of their own

the record:
  backup DIR    copy record and vault while they are in use, checked, without the master key
  restore DIR   put a backup back, after everything in it was checked
  ledger verify recompute the ledger from its beginning and compare all that follows it

routing:
  routing top   the accounts as routing sees them, live: approvals, failures, breakers, traffic
  replay        what another ruleset would have done with the payments of the last days

the configuration:
  init          make a turnout.toml for local work, with secrets of its own
  config check  say everything that is wrong with a turnout.toml, or that nothing is
  reload        have the running server take over accounts, credentials and keys
  version       say which version this is
"""

_EXAMPLES = """\
examples:
  turnout up                          start here; prints a first payment to try
  turnout serve --config /etc/turnout/turnout.toml
  TURNOUT_SERVER__PORT=50052 turnout serve
  turnout reload                      after you have added an account
  JSON=1 turnout demo                 the tour's figures for machines

Everything that can be set: docs/operating/configuration.md
"""


def make_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(
        prog="turnout",
        description=_OVERVIEW,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="turnout COMMAND [--config FILE]",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", help=argparse.SUPPRESS)
    for name, says in (
        ("up", "Starts everything in the foreground; ctrl-C drains and stops it. Makes a "
               "turnout.toml for local work where there is none."),
        ("serve", "Serves gRPC. SIGTERM drains and ends; SIGHUP reads the configuration again."),
        ("edge", "Runs Envoy in front of the gRPC server."),
        ("sandbox", "Runs the simulated providers that the accounts on loopback point at."),
        ("reload", "Checks the configuration and has the running server take it over."),
    ):  # fmt: skip
        _with_config(commands.add_parser(name, description=says))
    init = commands.add_parser(
        "init", description="Makes turnout.toml and its secrets; leaves alone what exists."
    )
    init.add_argument("directory", nargs="?", default=".", help="where (default: here)")
    config = commands.add_parser("config", description="Looks at the configuration.")
    checks = config.add_subparsers(dest="action", required=True, metavar="check")
    _with_config(checks.add_parser("check", description="Says everything that is wrong."))
    backup = commands.add_parser(
        "backup", description="Copies record and vault into a new directory and checks what it "
        "copied. The server may be running. The master key is not in it: keep that elsewhere."
    )  # fmt: skip
    backup.add_argument("directory", help="a new or empty directory")
    _with_config(backup)
    restore = commands.add_parser(
        "restore", description="Puts a backup in the place of record and vault. The server must "
        "be stopped."
    )  # fmt: skip
    restore.add_argument("directory", help="what `turnout backup` made")
    restore.add_argument(
        "--replace", action="store_true", help="move aside what is there instead of refusing"
    )
    _with_config(restore)
    ledger = commands.add_parser("ledger", description="Looks at the ledger.")
    looks = ledger.add_subparsers(dest="action", required=True, metavar="verify")
    verify = looks.add_parser(
        "verify",
        description="Recomputes every sum and balance from the postings and names the first "
        "difference. Only reads; the server may be running.",
    )
    _with_config(verify)
    verify.add_argument(
        "--record", metavar="FILE", help="another record than the configuration's, such as a copy"
    )
    _add_routing(commands)
    _add_replay(commands)
    demo = commands.add_parser(
        "demo", description="Tours payments over the real faces against simulated providers."
    )
    demo.add_argument("--json", action="store_true", help="figures as JSON lines (or JSON=1)")
    commands.add_parser("version", description="Says which version this is.")
    return parser


def _add_routing(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    routing = commands.add_parser("routing", description="Looks at routing.")
    looks = routing.add_subparsers(dest="action", required=True, metavar="top")
    top = looks.add_parser(
        "top",
        description="Shows the accounts as routing sees them, each second, from the operations "
        "port of the running server. One table where the output is no terminal. Ctrl-C ends it.",
    )
    _with_config(top)
    top.add_argument("--once", action="store_true", help="one table, then end")


def _add_replay(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    replay = commands.add_parser(
        "replay",
        description="Tries recorded decisions under another ruleset and estimates what would have "
        "changed. Only reads the record, in a process of its own; the server may be running.",
    )
    _with_config(replay)
    replay.add_argument("--profile", required=True, help="the profile, pro_...")
    which = replay.add_mutually_exclusive_group(required=True)
    which.add_argument("--ruleset", metavar="FILE", help="the candidate: a TOML or JSON document")
    which.add_argument("--version", type=int, help="the candidate: a stored version")
    replay.add_argument("--live", action="store_true", help="live payments (default: test)")
    replay.add_argument(
        "--since",
        type=span_s,
        default="7d",
        metavar="SPAN",
        help="how far back from --to: 90m, 12h, 7d (default: 7d)",
    )
    replay.add_argument(
        "--from", dest="from_ns", type=time_ns, metavar="TIME", help="instead of --since: ISO 8601"
    )
    replay.add_argument(
        "--to", dest="to_ns", type=time_ns, metavar="TIME", help="ISO 8601 (default: now)"
    )
    replay.add_argument(
        "--most", type=int, default=100_000, help="decisions read, the newest (default: 100000)"
    )
    replay.add_argument("--seed", type=int, default=1, help="for intervals of small samples")
    replay.add_argument("--record", metavar="FILE", help="another record, such as a copy")
    replay.add_argument("--json", action="store_true", help="figures as JSON lines (or JSON=1)")


def _with_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        metavar="FILE",
        default="turnout.toml",
        help="the configuration (default: turnout.toml here)",
    )
