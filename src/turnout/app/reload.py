"""Another configuration for a running process: accounts, credentials, profiles, keys, routing.

All or nothing: what cannot be read, or could not be worked with, changes nothing, and the log
says which key is wrong. What a running process cannot take over is named. Rulesets in force must
fit the newer accounts.
"""

from __future__ import annotations

import os
from dataclasses import replace

from turnout.app.house import House, check_config, prepare_snapshot
from turnout.config import ConfigError, load
from turnout.ports import StoreUnavailable
from turnout.server.certificates import Certificates
from turnout.telemetry import get_logger

log = get_logger("turnout.app")


async def reload_config(house: House) -> bool:
    """Reads the configuration again and puts it in force; says whether it is."""
    async with house.snapshots.lock:
        return await _reload(house)


async def _reload(house: House) -> bool:
    path = house.settings.path
    try:
        newer = load(path, os.environ)
        check_config(newer, house.connectors)
        snapshot = await prepare_snapshot(newer, house.store, house.clock.now_ns())
        version = await house.store.import_config(
            newer.digest(), newer.public_body(), house.clock.now_ns()
        )
    except ConfigError as error:
        log.error("config.refused", path=str(path), problems=list(error.problems), kept=True)
        return False
    except StoreUnavailable as error:
        log.error("config.not_recorded", path=str(path), error=str(error), kept=True)
        return False
    # No await from here on: no payment may see one part of the old and one of the new.
    house.snapshots.put_in_force(snapshot)
    house.directory.swap(newer.merchants, newer.profiles, newer.accounts, version)
    house.keys.replace(newer.api_keys.values(), newer.operator_keys.values())
    waiting = house.settings.restart_needed(newer)
    house.settings = replace(
        house.settings,
        routing=newer.routing,
        merchants=newer.merchants,
        profiles=newer.profiles,
        accounts=newer.accounts,
        api_keys=newer.api_keys,
        operator_keys=newer.operator_keys,
        references=newer.references,
        warnings=newer.warnings,
    )
    for warning in newer.warnings:
        log.warning("config.warning", problem=warning)
    log.info(
        "config.reloaded",
        config_version=version,
        accounts=len(newer.accounts),
        restart_needed_for=waiting,
    )
    return True


def renew_certificates(certificates: Certificates) -> None:
    """Shows a certificate that has been renewed, under the same name, to new connections."""
    try:
        if certificates.renew():
            log.info("tls.renewed")
    except (OSError, ConfigError) as error:
        log.error("tls.refused", error=str(error), kept=True)
