"""Detects the generation that a YAML is written in, and reports a mix of two.

The oldest files have the keys of `network` at the top; they are moved below it first.

Three generations of the language exist: machines with `interfaces` on bridges; with one
`network` map on a switch; with a `network` list. Each file keeps to one. Checks the raw
values, so that the error appears even when other values are wrong, too.
"""

from collections.abc import Iterator
from enum import StrEnum

from orchestration.compose.reading.document import Document, Value
from orchestration.compose.reading.positions import Path, Position, Positions
from orchestration.errors import Finding

BRIDGE_KEYS = ("bridges", "bridge_connections", "external_bridge", "network_interfaces")
KINDS = ("libvirt", "docker", "android", "avd")


class Way(StrEnum):
    """A generation of the language that a key belongs to."""

    BRIDGES = "bridges (`interfaces`, `network: bridges`)"
    SWITCHES = "logical switches (`network: ovn`)"
    ONE_SWITCH = "a single `network` map per machine"
    SWITCH_LIST = "a `network` list per machine"


CONFLICTS = (
    (Way.BRIDGES, Way.SWITCHES),
    (Way.BRIDGES, Way.ONE_SWITCH),
    (Way.BRIDGES, Way.SWITCH_LIST),
    (Way.ONE_SWITCH, Way.SWITCH_LIST),
)


def move_network(document: Document) -> Iterator[Finding]:
    """Move the bridges of the oldest generation below `network`.

    Their positions in the text stay. Yields an error for a key that is in both.
    """
    data = document.data
    if not isinstance(data, dict):
        return
    network = data.get("network")
    network = {} if network is None else network
    found = [key for key in BRIDGE_KEYS if key in data]
    if not found or not isinstance(network, dict):
        return
    for key in found:
        path = ("network", key)
        if key in network:
            first = document.positions.of_key(path).line
            message = f"`{key}` stands here and under `network`, in line {first}."
            yield document.positions.error(
                (key,), message, "Keep the one under `network`.", at_key=True
            )
        else:
            network[key] = data[key]
            _move(document.positions, key)
        del data[key]
    data["network"] = network


def _move(positions: Positions, key: str) -> None:
    for places in (positions.values, positions.keys):
        below = [path for path in places if path[:1] == (key,)]
        places.update({("network", *path): places[path] for path in below})


def mixed_ways(document: Document) -> Iterator[Finding]:
    """Find the first key that belongs to another generation than those before it."""
    first: dict[Way, Path] = {}
    for way, path in _marks(document.data):
        known = first.get(way)
        place = document.positions.of_key(path)
        if known is None or _at(place) < _at(document.positions.of_key(known)):
            first[way] = path
    found = [
        (first[one], first[other])
        for one, other in CONFLICTS
        if one in first and other in first
    ]
    if found:
        yield _mixed(found[0], first, document.positions)


def _mixed(
    paths: tuple[Path, Path], first: dict[Way, Path], positions: Positions
) -> Finding:
    ways = {path: way for way, path in first.items()}
    early, late = sorted(paths, key=lambda path: _at(positions.of_key(path)))
    line, here = positions.of_key(early).line, positions.of_key(late).line
    return positions.error(
        late,
        f"Two ways of writing are mixed: line {line} speaks of {ways[early]}, "
        f"line {here} of {ways[late]}.",
        "Keep to one of them in the whole file.",
        at_key=True,
    )


def _at(position: Position) -> tuple[int, int]:
    return position.line, position.column


def _marks(data: Value) -> Iterator[tuple[Way, Path]]:
    if not isinstance(data, dict):
        return
    network = data.get("network")
    if isinstance(network, dict):
        for key in network:
            if key in BRIDGE_KEYS and network[key]:
                yield Way.BRIDGES, ("network", key)
            elif key == "ovn":
                yield Way.SWITCHES, ("network", key)
    machines = data.get("machines")
    for index, machine in enumerate(machines if isinstance(machines, list) else ()):
        if isinstance(machine, dict):
            yield from _marks_of_machine(machine, ("machines", index))


def _marks_of_machine(
    machine: dict[str, Value], path: Path
) -> Iterator[tuple[Way, Path]]:
    if machine.get("interfaces"):
        yield Way.BRIDGES, (*path, "interfaces")
    network = machine.get("network")
    if isinstance(network, dict):
        yield Way.ONE_SWITCH, (*path, "network")
    elif network:
        yield Way.SWITCH_LIST, (*path, "network")
    for key in KINDS:
        kind = machine.get(key)
        scaling = kind.get("scaling") if isinstance(kind, dict) else None
        clones = scaling.get("interfaces") if isinstance(scaling, dict) else None
        if clones:
            way = Way.SWITCHES if isinstance(clones, dict) else Way.BRIDGES
            yield way, (*path, key, "scaling", "interfaces")
