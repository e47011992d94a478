"""The root of the state: one testbed, its hosts, networks and guests.

Built by `state.build`, stored as `state.json`; older files come through `versions.py`.
"""

from ipaddress import ip_address, ip_network
from operator import not_
from typing import NamedTuple

from pydantic import Field

from orchestration.state.model.guests import (
    GoldenState,
    GuestState,
    InterfaceState,
    ManagementInterface,
)
from orchestration.state.model.hosts import HostState
from orchestration.state.model.images import Frozen
from orchestration.state.model.network import NetworkState

# Add 1 when a state file changes, with a step in `versions.py` for earlier ones.
SCHEMA_VERSION = 3


class Way(NamedTuple):
    """How a guest is reached: on which interface, from which host.

    A guest without any address has no interface.
    """

    host: str
    interface: InterfaceState | ManagementInterface | None

    @property
    def address(self) -> str:
        """The guest's address there; empty when none is known."""
        return self.interface.address if self.interface else ""


class State(Frozen):
    """One testbed, complete. `directory` is its folder on main.

    `yaml_sha256` shows whether the YAML changed since. `identity_file` is the private
    key (a path on main) that logs in to the guests, `public_key` its line. New golden
    images are shared with testbeds of the same `golden_owner`.
    """

    schema_version: int = SCHEMA_VERSION
    testbed: str
    number: int
    directory: str
    yaml_sha256: str
    identity_file: str
    public_key: str
    golden_owner: str = Field(default="", exclude_if=not_)
    hosts: tuple[HostState, ...]
    network: NetworkState
    guests: tuple[GuestState, ...]
    goldens: tuple[GoldenState, ...] = ()

    @property
    def main(self) -> HostState:
        """The one host that is main."""
        return next(host for host in self.hosts if host.is_main)

    def host(self, name: str) -> HostState:
        """Return a host by name. Raises KeyError."""
        # Asked for each guest: a map of all hosts takes four times as long.
        for host in self.hosts:
            if host.name == name:
                return host
        raise KeyError(name)

    def guest(self, name: str) -> GuestState:
        """Return a guest, or the guest of a golden image. Raises KeyError."""
        # A map of thousands of guests would be built for each of their tasks.
        for guest in self.machines:
            if guest.name == name:
                return guest
        raise KeyError(name)

    def way_to(self, guest: GuestState) -> Way:
        """Return how a guest is reached.

        A host reaches its guests over its management network. Without that, only the
        host of the NAT network has an address where guests have theirs.
        """
        if guest.management is not None:
            return Way(guest.host, guest.management)
        known = [i for i in guest.interfaces if i.address]
        nat = self.network.nat
        if nat is None:
            return Way(guest.host, next(iter(known), None))
        subnet = ip_network(nat.subnet)
        inside = (i for i in known if ip_address(i.address) in subnet)
        return Way(nat.host, next(inside, next(iter(known), None)))

    def golden(self, name: str) -> GoldenState:
        """Return a golden image by its machine's name. Raises KeyError."""
        return {golden.name: golden for golden in self.goldens}[name]

    @property
    def machines(self) -> tuple[GuestState, ...]:
        """All guests, then the machines that only become golden images."""
        return (*self.guests, *(golden.guest for golden in self.goldens))

    @property
    def started(self) -> tuple[GuestState, ...]:
        """All guests, then the machines that run once to become golden images."""
        found = (golden.guest for golden in self.goldens if golden.is_started)
        return (*self.guests, *found)

    def clones_on(self, host: str) -> tuple[GuestState, ...]:
        """Return the guests on a host whose disks lie over prepared golden images."""
        return tuple(g for g in self.guests if g.host == host and g.image.golden)

    @property
    def used_hosts(self) -> tuple[HostState, ...]:
        """The hosts that this testbed uses; main is always one."""
        names = {guest.host for guest in self.guests}
        names |= {bridge.host for bridge in self.network.bridges}
        return tuple(h for h in self.hosts if h.is_main or h.name in names)
