"""The host of each guest, and the hosts of each bridge.

Bridges are assigned to the hosts in turn; a guest goes to the host of its first bridge;
a bridge is then *stretched* to every further host that has a guest on it. Bridges and
guests of the previous state stay on their host while it exists, so that an edited YAML
moves nothing by accident. `Balanced` places a guest instead where memory and processors
are least used, other testbeds included. A closed host gets no guest that has no disk
there yet. Used by `state.build` and `state.topology`.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from orchestration.compose.language.schema import Libvirt, LoadBalancing, Machine, Spec
from orchestration.errors import StateError
from orchestration.state.model import HostState, State


@dataclass(frozen=True, slots=True)
class Taken:
    """The memory and processors that guests of other testbeds use on a host."""

    cpus: int = 0
    memory_mib: int = 0

    def __add__(self, other: "Taken") -> "Taken":
        return Taken(self.cpus + other.cpus, self.memory_mib + other.memory_mib)


@dataclass(frozen=True, slots=True)
class Placement:
    """Hosts by name, main first; a bridge's hosts begin with its home."""

    hosts: Mapping[str, HostState]
    bridges: Mapping[str, tuple[str, ...]]
    guests: Mapping[str, str]

    @property
    def main(self) -> HostState:
        """The host that is main, which is always the first."""
        return next(iter(self.hosts.values()))

    def home(self, bridge: str) -> str:
        """Return the host that the bridge's stretches lead to."""
        return self.bridges[bridge][0]

    def with_on_main(self, guests: Iterable[str]) -> "Placement":
        """Return the placement with further guests that are on main."""
        pinned = dict.fromkeys(guests, self.main.name)
        return replace(self, guests={**self.guests, **pinned})


def order_hosts(hosts: Iterable[HostState]) -> tuple[HostState, ...]:
    """Sort the hosts into the common order: main, then by name.

    Raises: StateError (no host, not exactly one main, a name twice).
    """
    ordered = tuple(sorted(hosts, key=lambda host: (not host.is_main, host.name)))
    if not ordered:
        raise StateError(
            "There is no testbed host to put guests on.",
            hint="Ask an administrator to add a host.",
        )
    mains = [host.name for host in ordered if host.is_main]
    if len(mains) != 1:
        found = ", ".join(mains) or "none"
        raise StateError(
            f"Exactly one testbed host must be the main host; found: {found}.",
            hint="Mark the host that runs this program, and no other, as main.",
        )
    if len({host.name for host in ordered}) != len(ordered):
        raise StateError(
            "Two testbed hosts have the same name.", hint="Rename one of them."
        )
    return ordered


def place(
    spec: Spec,
    hosts: Sequence[HostState],
    previous: State | None = None,
    *,
    taken: Mapping[str, Taken] | None = None,
    closed: Collection[str] = (),
) -> Placement:
    """Place bridges and guests on ordered hosts; `taken` is the use by other testbeds.

    `closed` hosts keep what they have; with all of them closed, they count as open.

    Raises: StateError (an interface, or the external bridge, names no bridge).
    """
    by_name = {host.name: host for host in hosts}
    free = [host for host in hosts if host.name not in closed] or list(hosts)
    names = tuple(host.name for host in free)
    homes = _place_bridges(spec, tuple(by_name), names, previous)
    for machine in spec.machines:
        _require_bridges(machine, homes)
    stays = _stays(previous, by_name, names)
    if spec.testbed_options.load_balancing is LoadBalancing.BALANCED:
        guests = _balance_guests(spec, hosts, names, stays, taken or {})
    else:
        guests = _place_guests(spec, names, homes, stays)
    return Placement(by_name, _stretch(spec, by_name, homes, guests), guests)


def needs_of(machine: Machine) -> tuple[int, int]:
    """Return the CPUs and the MiB of memory that a machine is written with."""
    kind = machine.kind
    return (kind.cpus, kind.memory_mb) if isinstance(kind, Libvirt) else (0, 0)


def _stays(
    previous: State | None, hosts: Collection[str], free: Collection[str]
) -> dict[str, str]:
    """Return where guests stay: a closed host keeps those that have a disk there."""
    return {
        guest.name: guest.host
        for guest in (previous.guests if previous else ())
        if guest.host in hosts and (guest.host in free or guest.markers.disk)
    }


def _place_bridges(
    spec: Spec, hosts: Collection[str], free: Sequence[str], previous: State | None
) -> dict[str, str]:
    stays: dict[str, str] = {}
    for bridge in previous.network.bridges if previous else ():
        stays.setdefault(bridge.name, bridge.host)
    homes: dict[str, str] = {}
    for index, new in enumerate(spec.network.bridges):
        home = stays.get(new.name, "")
        homes[new.name] = home if home in hosts else free[index % len(free)]
    return homes


def _place_guests(
    spec: Spec,
    free: Sequence[str],
    homes: Mapping[str, str],
    stays: Mapping[str, str],
) -> dict[str, str]:
    guests: dict[str, str] = {}
    loose = 0
    for machine in spec.machines:
        at = machine.interfaces[0].attached_to if machine.interfaces else ""
        if homes.get(at) in free:
            wanted = homes[at]
        else:
            wanted = free[loose % len(free)]
            loose += 1
        guests[machine.name] = stays.get(machine.name, wanted)
    return guests


@dataclass(slots=True)
class _Load:
    """The load of a host's guests; a host of unknown size counts as a small one."""

    host: HostState
    cpus: int = 0
    memory_mib: int = 0

    def add(self, machine: Machine) -> None:
        cpus, memory_mib = needs_of(machine)
        self.cpus += cpus
        self.memory_mib += memory_mib

    def share_with(self, machine: Machine) -> float:
        """Return the host's load with the machine: the higher of the two shares."""
        cpus, memory_mib = needs_of(machine)
        return max(
            (self.cpus + cpus) / max(self.host.cpus, 1),
            (self.memory_mib + memory_mib) / max(self.host.memory_mib, 1024),
        )


def _balance_guests(
    spec: Spec,
    hosts: Sequence[HostState],
    free: Collection[str],
    stays: Mapping[str, str],
    taken: Mapping[str, Taken],
) -> dict[str, str]:
    """Keep guests in place; place each other one on the host with the least load.

    The largest come first, since the small ones fill the gaps.
    """
    loads = {
        host.name: _Load(host, by_others.cpus, by_others.memory_mib)
        for host in hosts
        for by_others in (taken.get(host.name, Taken()),)
    }
    places = {
        machine.name: stays[machine.name]
        for machine in spec.machines
        if machine.name in stays
    }
    waiting = [machine for machine in spec.machines if machine.name not in places]
    for machine in spec.machines:
        if machine.name in places:
            loads[places[machine.name]].add(machine)
    for machine in sorted(waiting, key=needs_of, reverse=True):
        shares = {
            name: load.share_with(machine)
            for name, load in loads.items()
            if name in free
        }
        chosen = min(shares, key=lambda name: shares[name])
        loads[chosen].add(machine)
        places[machine.name] = chosen
    return {machine.name: places[machine.name] for machine in spec.machines}


def _require_bridges(machine: Machine, homes: Mapping[str, str]) -> None:
    for interface in machine.interfaces:
        if interface.attached_to not in homes:
            raise StateError(
                f"Guest {machine.name} is plugged into bridge {interface.attached_to}, "
                "which does not exist.",
                hint="Add the bridge under `network: bridges`, or correct its name.",
            )


def _stretch(
    spec: Spec,
    hosts: Mapping[str, HostState],
    homes: Mapping[str, str],
    guests: Mapping[str, str],
) -> dict[str, tuple[str, ...]]:
    needed: dict[str, set[str]] = {bridge: set() for bridge in homes}
    for machine in spec.machines:
        for interface in machine.interfaces:
            needed[interface.attached_to].add(guests[machine.name])
    external = spec.network.external_bridge
    if external is not None:
        if external not in needed:
            raise StateError(
                f"The external bridge {external} does not exist.",
                hint="Add it under `network: bridges`, or correct its name.",
            )
        needed[external].add(next(iter(hosts)))
    for card in spec.network.network_interfaces:
        if card.testbed_bridge not in needed:
            raise StateError(
                f"The bridge {card.testbed_bridge} of network card {card.nic_name} "
                "does not exist.",
                hint="Add it under `network: bridges`, or correct its name.",
            )
        needed[card.testbed_bridge].add(next(iter(hosts)))
    return {
        bridge: (home, *(h for h in hosts if h in needed[bridge] and h != home))
        for bridge, home in homes.items()
    }
