"""What each command does. Errors that an operator can mend become one sentence and a status."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from turnout.cli.children import lifeline
from turnout.cli.parser import make_parser
from turnout.config import ConfigError, Settings, load, write_sandbox_config

# Statuses as in sysexits.h: the configuration is wrong; something needed is not there.
BAD_CONFIG = 78
CANNOT_RUN = 69
FAILED = 1


def run(arguments: list[str]) -> int:
    """Runs a command line; gives the exit status."""
    parser = make_parser()
    given = parser.parse_args(arguments)
    if given.command is None:
        parser.print_help()
        return 0
    try:
        return _COMMANDS[given.command](given)
    except ConfigError as error:
        return _told(error, BAD_CONFIG)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        from turnout.app.process import is_operators

        # What the operator cannot mend is a defect and keeps its traceback.
        if not is_operators(error):
            raise
        return _told(error, CANNOT_RUN)


def _told(error: Exception, status: int) -> int:
    print(f"turnout: {error}", file=sys.stderr, flush=True)
    return status


def _settings(given: argparse.Namespace) -> Settings:
    return load(Path(given.config), os.environ)


def _serve(given: argparse.Namespace) -> int:
    from turnout.app.serve import run_serve

    settings = _settings(given)
    lifeline()
    run_serve(settings)
    return 0


def _side(given: argparse.Namespace) -> int:
    from turnout.app.side import run_side

    settings = _settings(given)
    lifeline()
    run_side(settings, given.command)
    return 0


def _up(given: argparse.Namespace) -> int:
    from turnout.cli.supervisor import run_up

    path = Path(given.config)
    made = () if path.exists() else _make(path.parent)
    return run_up(load(path, os.environ), made)


def _make(directory: Path) -> tuple[Path, ...]:
    return write_sandbox_config(directory, os.urandom).made


def _init(given: argparse.Namespace) -> int:
    directory = Path(given.directory)
    directory.mkdir(parents=True, exist_ok=True)
    made = _make(directory)
    for path in made:
        print(f"made {path}")
    if not made:
        print(f"{directory}: everything is there already; nothing was changed")
    return 0


def _reload(given: argparse.Namespace) -> int:
    from turnout.app.house import check_config
    from turnout.app.lock import holder_of

    settings = _settings(given)
    check_config(settings)
    room = settings.store.path.parent
    pid = holder_of(room)
    if pid is None:
        print(f"turnout: no process serves the record in {room}", file=sys.stderr)
        return CANNOT_RUN
    os.kill(pid, signal.SIGHUP)
    print(
        f"{settings.path} is sound; process {pid} was told, and says in its log what it took over"
    )
    return 0


def _config(given: argparse.Namespace) -> int:
    from turnout.app.house import check_config

    settings = _settings(given)
    check_config(settings)
    for warning in settings.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(
        f"{settings.path} is sound: {len(settings.merchants)} merchants, "
        f"{len(settings.profiles)} profiles, {len(settings.accounts)} accounts, "
        f"{len(settings.api_keys)} API keys"
    )
    return 0


def _ledger(given: argparse.Namespace) -> int:
    from turnout.stores.sqlite import audit_file

    path = Path(given.record) if given.record else _settings(given).store.path
    verdict = audit_file(path)
    read = f"{verdict.transactions} entries of {verdict.payments} payments"
    if verdict.difference is not None:
        print(f"{path}: the ledger does not agree, after {read}", file=sys.stderr)
        print(f"first difference: {verdict.difference}", file=sys.stderr)
        return FAILED
    print(f"{path}: the ledger agrees: {read}, {verdict.balances} balances")
    return 0


def _routing(given: argparse.Namespace) -> int:
    from turnout.cli.top import run_top

    # Asked for here, because who starts it in the background may have had them ignored, and
    # because a screen that is watched is to be given back.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    return run_top(_settings(given), once=given.once)


def _replay(given: argparse.Namespace) -> int:
    from turnout.cli.replay import run_replay

    as_json = given.json or os.environ.get("JSON") == "1"
    return run_replay(_settings(given), given, as_json=as_json)


def _backup(given: argparse.Namespace) -> int:
    from turnout.app.backup import make_backup
    from turnout.app.system import SystemClock
    from turnout.app.watch import package_version

    room = Path(given.directory)
    made = make_backup(_settings(given), room, package_version(), SystemClock().now_ns())
    print(
        f"{room}: {made.payments} payments, {made.ledger_entries} ledger entries and {made.cards} "
        f"cards, checked; needs master key {', '.join(made.master_key_ids)}, which is not in it"
    )
    if made.tokens_without_card:
        print(
            f"{made.tokens_without_card} payments refer to a card that was never kept, because "
            "the vault had failed at that moment",
            file=sys.stderr,
        )
    return 0


def _restore(given: argparse.Namespace) -> int:
    from turnout.app.backup import restore_backup
    from turnout.app.system import SystemClock

    settings = _settings(given)
    back, aside = restore_backup(
        settings, Path(given.directory), SystemClock().now_ns(), replace=given.replace
    )
    for path in aside:
        print(f"moved aside: {path}")
    print(
        f"{settings.store.path}, {settings.vault.path}: restored as of {back.made_at}. What was "
        "paid since is not in it: compare with the providers before you take payments"
    )
    return 0


def _demo(given: argparse.Namespace) -> int:
    from turnout.cli.demo import run_demo

    return run_demo(as_json=given.json or os.environ.get("JSON") == "1")


def _version(given: argparse.Namespace) -> int:
    from turnout.app.watch import package_version

    print(f"turnout {package_version()}")
    return 0


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "up": _up,
    "serve": _serve,
    "edge": _side,
    "sandbox": _side,
    "init": _init,
    "reload": _reload,
    "config": _config,
    "backup": _backup,
    "restore": _restore,
    "ledger": _ledger,
    "routing": _routing,
    "replay": _replay,
    "demo": _demo,
    "version": _version,
}
