"""The floors of the house as data: which room may import which.

A room is a top-level module or folder of `turnout`. Imports go down only, so a reader can take
any room and know that nothing above it can reach in. The table is the one in
docs/architecture.md; a test there compares the two.
"""

import sys
from dataclasses import dataclass

from tests.house.imports import imports_of, module_name
from tests.house.sources import Finding, Source


@dataclass(frozen=True, slots=True)
class Floor:
    """Rooms of equal height: what they may import besides themselves."""

    number: int
    rooms: tuple[str, ...]
    below: tuple[int, ...]
    siblings: bool = False
    contract: bool = False


FLOORS = (
    Floor(0, ("domain",), ()),
    Floor(1, ("ports", "config", "telemetry"), (0,)),
    Floor(2, ("routing", "risk", "vault"), (0, 1)),
    Floor(3, ("orchestration",), (0, 1, 2)),
    Floor(4, ("connectors", "stores", "coordination", "outbox", "sandbox"), (0, 1)),
    Floor(5, ("server", "edge"), (0, 1, 2, 3), contract=True),
    Floor(6, ("app", "cli", "__main__"), (0, 1, 2, 3, 4, 5), siblings=True, contract=True),
)
FLOOR_OF = {room: floor for floor in FLOORS for room in floor.rooms}

# Rooms that stand on the standard library alone.
BARE_ROOMS = frozenset({"domain", "ports"})

# Doors in the outer wall: a module that only these rooms (or files) may import, because what
# stands behind it would otherwise spread through the house.
DOORS = {
    "turnout._native": ("routing/engine",),
    "apsw": ("stores",),
    "grpc": ("server", "edge", "app", "cli"),
}


def room_of(dotted: str) -> str | None:
    """`turnout.domain.money` is in `domain`; `turnout` itself is in no room."""
    parts = dotted.split(".")
    return parts[1] if parts[0] == "turnout" and len(parts) > 1 else None


def check_floors(source: Source) -> list[Finding]:
    """Every import of one module of the package against the table."""
    module, _ = module_name(source.path)
    room = room_of(module)
    if room is None:
        return _check_front_door(source)
    if room not in FLOOR_OF:
        message = f"room '{room}' is on no floor; give it one in tests/house/floors.py"
        return [Finding(source.path, 1, message)]
    findings = []
    for found in imports_of(source.text, source.path):
        complaint = _complaint(room, module, found.dotted)
        if complaint:
            findings.append(Finding(source.path, found.line, complaint))
    return findings


def _check_front_door(source: Source) -> list[Finding]:
    return [
        Finding(source.path, found.line, "turnout/__init__.py imports no room: imports stay cheap")
        for found in imports_of(source.text, source.path)
        if found.dotted.startswith("turnout.")
    ]


def _complaint(room: str, module: str, dotted: str) -> str | None:
    for door, keys in DOORS.items():
        if dotted == door or dotted.startswith(f"{door}."):
            inside = module.removeprefix("turnout.").replace(".", "/")
            if not any(inside == key or inside.startswith(f"{key}/") for key in keys):
                return f"only {', '.join(keys)} may import {door}"
            return None
    target = room_of(dotted)
    if target is None:
        return _outside(room, dotted.split(".")[0])
    floor = FLOOR_OF[room]
    if target == "v1":
        return None if floor.contract else f"floor {floor.number} knows no proto: turnout.v1"
    if target == room or not _is_room(target):
        return None
    if target not in FLOOR_OF:
        return f"imports '{target}', a room that is on no floor"
    height = FLOOR_OF[target].number
    if height in floor.below or (height == floor.number and floor.siblings):
        return None
    return f"{room} (floor {floor.number}) may not import {target} (floor {height})"


def _is_room(target: str) -> bool:
    # `from turnout import __version__` names an attribute of the package, not a room.
    return not target.startswith("__") or target == "__main__"


def _outside(room: str, top: str) -> str | None:
    if room in BARE_ROOMS and top != "turnout" and top not in sys.stdlib_module_names:
        return f"{room} stands on the standard library alone, and {top} is not of it"
    return None
