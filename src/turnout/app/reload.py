"""Another configuration for a running process: accounts, credentials, profiles, keys, routing.

All or nothing: what cannot be read, or could not be worked with, changes nothing, and the log
says which key is wrong. What a running process cannot take over is named.
"""

from __future__ import annotations

import os
from dataclasses import replace

from turnout.app.house import House, check_config, engine_config_of
from turnout.config import ConfigError, load
from turnout.ports import StoreUnavailable
from turnout.telemetry import get_logger

log = get_logger("turnout.app")


async def reload_config(house: House) -> bool:
    """Reads the configuration again and puts it in force; says whether it is."""
    path = house.settings.path
    try:
        newer = load(path, os.environ)
        check_config(newer, house.connectors)
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
    house.engine.reload(engine_config_of(newer))
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
