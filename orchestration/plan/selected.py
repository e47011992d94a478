"""Up of some guests alone: its modes, and the part of a state that it works on.

Plans, pages, records and clients take them from here. Nothing here touches a machine.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from orchestration.errors import ExecutionRefused
from orchestration.plan.model import Options
from orchestration.state.model import State
from orchestration.state.model.network import NetworkState


class Mode(StrEnum):
    """The ways of bringing single guests up."""

    UP = "up"
    RECREATE = "recreate"
    SCRIPTS = "scripts"


@dataclass(frozen=True, slots=True)
class GuestUp:
    """One way to bring guests up; `loses_data`: their disks are erased before."""

    mode: Mode
    title: str
    options: Options

    @property
    def loses_data(self) -> bool:
        """Return whether everything on the guests' disks is lost."""
        return self.options.provision


WAYS = {
    way.mode: way
    for way in (
        GuestUp(Mode.UP, "Up", Options()),
        GuestUp(Mode.RECREATE, "Recreate", Options(provision=True)),
        GuestUp(Mode.SCRIPTS, "Run scripts again", Options(rerun_scripts=True)),
    )
}


def way_named(name: str) -> GuestUp:
    """Return the way that a form or a program names. Raises: ExecutionRefused."""
    found = next((way for mode, way in WAYS.items() if mode == name), None)
    if found is None:
        raise ExecutionRefused(
            f"Guests cannot be brought up by `{name}`.",
            hint=f"Use one of {', '.join(WAYS)}.",
        )
    return found


def part_with(state: State, names: Collection[str]) -> State:
    """Return the state with these guests alone: their images, hosts and networks.

    Main stays in it: images come from there, and the uplink is there.
    """
    guests = tuple(guest for guest in state.guests if guest.name in names)
    images = {guest.golden for guest in guests}
    hosts = {guest.host for guest in guests} | {state.main.name}
    return state.model_copy(
        update={
            "guests": guests,
            "goldens": tuple(g for g in state.goldens if g.name in images),
            "network": _network_on(state.network, hosts),
        }
    )


def _network_on(network: NetworkState, hosts: Collection[str]) -> NetworkState:
    return network.model_copy(
        update={
            "bridges": tuple(b for b in network.bridges if b.host in hosts),
            "patches": tuple(p for p in network.patches if p.host in hosts),
            "management": tuple(m for m in network.management if m.host in hosts),
            "cards": tuple(card for card in network.cards if card.host in hosts),
        }
    )
