"""Machines → guests: interfaces with their addresses, image, paths and hash.

Two halves: `build_cards` decides MACs and addresses of all interfaces together, since
they must not collide; `Guests` then builds one guest at a time. Used by `state.build`.
Which interfaces are asked to use DHCP: those that can reach the external bridge and
were given no address. Where DHCP cannot answer, an interface has no address.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import PurePosixPath
from uuid import NAMESPACE_URL, uuid5

from orchestration.spec.built import built_guest
from orchestration.spec.schema import CloudImage, Libvirt, Machine, Spec
from orchestration.state.addresses import (
    GUEST_MTU,
    SUBNET_PREFIX,
    Card,
    assign_addresses,
    assign_macs,
    host_address,
    is_within,
    nat_subnet,
    static_prefix,
)
from orchestration.state.bases import Bases
from orchestration.state.model import (
    GuestState,
    HostState,
    InterfaceState,
    ManagementInterface,
    Markers,
    ScriptState,
    State,
)
from orchestration.state.names import MANAGEMENT_INTERFACE, Names
from orchestration.state.placement import Placement
from orchestration.state.topology import Components

# Scripts have digests of their own in the markers; and the markers, the hash itself
# and where an image is fetched from say nothing about what the guest should be.
NOT_HASHED = ("index", "setup_script", "run_script", "spec_hash", "markers")
NOT_HASHED_OF_IMAGE = ("main_path", "source", "url", "sums_url", "size_bytes")
# Left out while they say nothing, so that older guests keep their hash.
HASHED_WHEN_SET = ("disk_origin", "is_cdrom", "is_readonly", "password_hash")


@dataclass(frozen=True, slots=True)
class Cards:
    """MACs and addresses of all interfaces.

    `reserved` are those that the NAT network's DHCP server knows, in order; the
    others with an address have it from the user.
    """

    macs: Mapping[Card, str]
    reserved: Mapping[Card, str]


def interface_name(index: int) -> str:
    """Return what a guest calls its interface."""
    return f"eth{index}"


def build_cards(
    spec: Spec, names: Names, components: Components, previous: State | None
) -> Cards:
    """Decide MACs and addresses. Raises: StateError (an address wanted twice)."""
    given: dict[Card, str | None] = {}
    static: dict[Card, str] = {}
    dynamic: list[Card] = []
    subnet = nat_subnet(names.number)
    external = spec.network.external_bridge
    for machine in spec.machines:
        for index, interface in enumerate(machine.interfaces):
            card = (machine.name, interface_name(index))
            given[card] = interface.mac
            if external is None:
                continue
            if not components.are_connected(interface.attached_to, external):
                continue
            if interface.ip is None:
                dynamic.append(card)
            elif is_within(interface.ip, subnet):
                static[card] = interface.ip
        if spec.testbed_options.management_network:
            given[machine.name, MANAGEMENT_INTERFACE] = None
    kept = _previous_addresses(previous)
    addresses = assign_addresses(subnet, dynamic, kept=kept, static=static)
    addresses |= static
    return Cards(
        macs=assign_macs(names.testbed, given),
        reserved={card: addresses[card] for card in given if card in addresses},
    )


def _previous_addresses(previous: State | None) -> dict[Card, str]:
    return {
        (guest.name, interface.name): interface.address
        for guest in (previous.guests if previous else ())
        for interface in guest.interfaces
        if interface.dhcp
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Guests:
    """What guests are built from; `management` are addresses by guest.

    `password_hashes` are those of the passwords as written.
    """

    names: Names
    directory: str
    placement: Placement
    bases: Bases
    cards: Cards
    management: Mapping[str, str]
    scripts: Mapping[str, str]
    password_hashes: Mapping[str, str]
    previous: Mapping[str, GuestState]

    def build(self, machines: Iterable[Machine]) -> tuple[GuestState, ...]:
        """Build all guests in the order of the YAML; a guest keeps its index."""
        machines = tuple(machines)
        indexes = self._indexes([machine.name for machine in machines])
        return tuple(
            self._guest(machine, indexes[machine.name]) for machine in machines
        )

    def _indexes(self, guests: list[str]) -> dict[str, int]:
        kept = {g: self.previous[g].index for g in guests if g in self.previous}
        taken = set(kept.values())
        free = (index for index in range(len(guests)) if index not in taken)
        return {g: kept[g] if g in kept else next(free) for g in guests}

    def _guest(self, machine: Machine, index: int) -> GuestState:
        names, libvirt = self.names, built_guest(machine)
        host = self.placement.hosts[self.placement.guests[machine.name]]
        base = self.bases.build(machine.name, libvirt.libvirt_type, host)
        folder = self._artefacts_dir(host)
        before = self.previous.get(machine.name)
        guest = GuestState(
            name=machine.name,
            index=index,
            host=host.name,
            domain=names.domain(machine.name),
            uuid=str(uuid5(NAMESPACE_URL, f"testbed:{names.testbed}/{machine.name}")),
            user=base.user,
            cpus=libvirt.cpus,
            memory_mib=libvirt.memory_mb,
            expand_gib=base.expand_gib,
            image=base.image,
            disk_origin=base.origin,
            is_cdrom=base.is_cdrom,
            is_readonly=base.is_readonly,
            artefacts_dir=str(folder),
            disk=str(folder / f"{machine.name}-disk.qcow2") if base.has_disk else "",
            seed="",
            xml=str(folder / f"{machine.name}-domain.xml"),
            console=str(folder / f"{machine.name}-console.log"),
            interfaces=self._interfaces(machine, index),
            management=None,
            environment={},
            spec_hash="",
            markers=before.markers if before else Markers(),
        )
        if isinstance(libvirt.libvirt_type, CloudImage):
            guest = self._seeded(guest, libvirt, libvirt.libvirt_type)
        return guest.model_copy(update={"spec_hash": spec_hash(guest, host)})

    def _seeded(
        self, guest: GuestState, libvirt: Libvirt, source: CloudImage
    ) -> GuestState:
        """Add what only cloud-init in the guest can make true."""
        return guest.model_copy(
            update={
                "user": libvirt.username or guest.user,
                "password_hash": self.password_hashes.get(libvirt.password or "", ""),
                "seed": str(
                    PurePosixPath(guest.artefacts_dir, f"{guest.name}-seed.iso")
                ),
                "management": self._management(guest.name, guest.index),
                "environment": source.environment,
                "context": source.context,
                "setup_script": self._script(source.setup_script),
                "run_script": self._script(source.run_script),
            }
        )

    def _artefacts_dir(self, host: HostState) -> PurePosixPath:
        if host.is_main:
            return PurePosixPath(self.directory, "artefacts")
        return PurePosixPath(host.projects_dir, self.names.testbed, "artefacts")

    def _interfaces(
        self, machine: Machine, guest_index: int
    ) -> tuple[InterfaceState, ...]:
        gateway_card = self._gateway_card(machine)
        subnet = nat_subnet(self.names.number)
        interfaces = []
        for index, wanted in enumerate(machine.interfaces):
            card = (machine.name, interface_name(index))
            address = wanted.ip or self.cards.reserved.get(card, "")
            dhcp = wanted.ip is None and card in self.cards.reserved
            gateway = (wanted.gateway or "") if wanted.ip else ""
            if card == gateway_card:
                gateway = host_address(subnet)
            interfaces.append(
                InterfaceState(
                    name=interface_name(index),
                    bridge=wanted.attached_to,
                    device=self.names.bridge(wanted.attached_to),
                    tap=self.names.tap(guest_index, index),
                    mac=self.cards.macs[card],
                    mtu=GUEST_MTU,
                    dhcp=dhcp,
                    address=address,
                    prefix=static_prefix(address, subnet) if address else 0,
                    gateway=gateway,
                )
            )
        return tuple(interfaces)

    def _gateway_card(self, machine: Machine) -> Card | None:
        """Return the interface that leads outside unless the user chose one."""
        if any(interface.ip and interface.gateway for interface in machine.interfaces):
            return None
        for index, interface in enumerate(machine.interfaces):
            card = (machine.name, interface_name(index))
            if interface.ip is None and card in self.cards.reserved:
                return card
        return None

    def _management(self, guest: str, index: int) -> ManagementInterface | None:
        address = self.management.get(guest)
        if address is None:
            return None
        return ManagementInterface(
            name=MANAGEMENT_INTERFACE,
            network=self.names.management_network,
            tap=self.names.management_tap(index),
            mac=self.cards.macs[guest, MANAGEMENT_INTERFACE],
            address=address,
            prefix=SUBNET_PREFIX,
        )

    def _script(self, path: str | None) -> ScriptState | None:
        if path is None:
            return None
        return ScriptState(path=path, sha256=self.scripts.get(path, ""))


def spec_hash(guest: GuestState, host: HostState) -> str:
    """Digest everything that, when changed, needs the guest to be defined again."""
    content = guest.model_dump(mode="json", exclude=set(NOT_HASHED))
    for name in HASHED_WHEN_SET:
        if content[name] == GuestState.model_fields[name].default:
            del content[name]
    content["image"] = _hashed_image(guest)
    content |= {"domain_type": host.domain_type, "datapath": host.datapath}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()


def _hashed_image(guest: GuestState) -> dict[str, str]:
    """Return what of the image matters; a user's file by its stamp and place."""
    own = () if guest.image.is_own else ("is_own", "stamp")
    return guest.image.model_dump(exclude={*NOT_HASHED_OF_IMAGE, *own})
