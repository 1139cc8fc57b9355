"""What accounts cost and what profiles want: checked, and turned into the domain's types."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from turnout.config.options import default_of, did_you_mean
from turnout.config.reading import Reader
from turnout.config.tables import FeeLineTable, FeesTable, ObjectiveTable
from turnout.domain.accounts import FeeLine, Fees, Objective
from turnout.domain.cards import Network
from turnout.domain.countries import COUNTRIES
from turnout.domain.money import EXPONENTS

# Which kind of objective each of its parameters is for; beside another it would be ignored.
_PARAMETER_OF = {
    "margin_bps": "value",
    "latency_minor_per_s": "value",
    "approval_per_fee_bps": "weighted",
    "approval_per_latency_s": "weighted",
}


def check_rates(rates: Mapping[str, float], path: str, reader: Reader) -> None:
    """Notes what is no currency."""
    for currency in rates:
        _check_currency(currency, f"{path}.{currency[:40]}", reader)


def check_fees(fees: FeesTable, rates: Mapping[str, float], path: str, reader: Reader) -> None:
    """Notes words that are none, and parts that would mean nothing."""
    for at, currency in enumerate(fees.settlement_currencies):
        _check_currency(currency, f"{path}.settlement_currencies[{at}]", reader)
    if fees.currency:
        _check_currency(fees.currency, f"{path}.currency", reader)
        if fees.currency not in rates:
            reader.wrong(
                f"{path}.currency", f"{fees.currency[:40]} has no rate in routing.exchange_rates"
            )
    _check_country(fees.home_country, f"{path}.home_country", reader)
    crossing = [line for line in fees.lines if line.cross_border is not None]
    if not fees.home_country and (fees.cross_border_bps or crossing):
        reader.wrong(f"{path}.home_country", "is needed to tell what crosses a border")
    if fees.conversion_bps and not fees.settlement_currencies:
        reader.wrong(
            f"{path}.settlement_currencies", "is needed to tell what is converted: empty is all"
        )
    networks = [one.value for one in Network]
    for at, line in enumerate(fees.lines):
        where = f"{path}.lines[{at}]"
        if line.network and line.network not in networks:
            hint = did_you_mean(line.network, networks)
            reader.wrong(f"{where}.network", f"{line.network[:40]!r} is no card network; {hint}")
        _check_country(line.issuer_country, f"{where}.issuer_country", reader)


def check_objective(objective: ObjectiveTable, path: str, reader: Reader) -> None:
    """Notes parameters of another kind of objective."""
    for field in dataclasses.fields(objective):
        kind = _PARAMETER_OF.get(field.name, objective.kind)
        if kind != objective.kind and getattr(objective, field.name) != default_of(field):
            reader.wrong(
                f"{path}.{field.name}", f"is for kind {kind!r}, and kind is {objective.kind!r}"
            )


def fees_of(row: FeesTable) -> Fees:
    """The domain's fees of a table."""
    lines = tuple(FeeLine(**_values(line)) for line in row.lines)
    return Fees(**(_values(row) | {"lines": lines}))


def objective_of(row: ObjectiveTable) -> Objective:
    """The domain's objective of a table."""
    return Objective(**_values(row))


def _values(row: FeesTable | ObjectiveTable | FeeLineTable) -> dict[str, Any]:
    """By name: a table and its type in the domain have the same names."""
    return {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}


def _check_currency(currency: str, path: str, reader: Reader) -> None:
    if currency not in EXPONENTS:
        reader.wrong(path, f"{currency[:40]!r} is no active ISO 4217 currency")


def _check_country(country: str, path: str, reader: Reader) -> None:
    if country and country not in COUNTRIES:
        reader.wrong(path, f"{country[:40]!r} is no ISO 3166-1 alpha-2 country")
