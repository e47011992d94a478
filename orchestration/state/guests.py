"""Machines → guests: interfaces with their addresses, image, paths and hash.

Builds one guest at a time, after `addresses.py` has decided all MACs and addresses;
golden images first, since their clones' disks start from them. Used by `state.build`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from ipaddress import IPv4Network
from pathlib import PurePosixPath

from orchestration.compose.language.built import built_guest
from orchestration.compose.language.schema import CloudImage, Libvirt, Machine
from orchestration.compose.pools import SUBNET_PREFIX
from orchestration.state.addresses import (
    Addressing,
    InterfaceKey,
    host_address,
    interface_name,
    static_prefix,
)
from orchestration.state.clones import (
    Expanded,
    context_key,
    golden_digest,
    is_prepared,
)
from orchestration.state.disk_bases import Base, Bases
from orchestration.state.model import (
    GoldenState,
    GuestState,
    HostState,
    InterfaceState,
    ManagementInterface,
    Markers,
    ScriptState,
)
from orchestration.state.model.images import DiskOrigin
from orchestration.state.names import MANAGEMENT_INTERFACE, Names
from orchestration.state.placement import Placement

# Scripts and contexts have their own digests in the markers. The markers, the hash
# itself and the source of an image do not describe the guest that is wanted.
NOT_HASHED = (
    "index",
    "setup_script",
    "run_script",
    "context_sha256",
    "spec_hash",
    "golden",
    "markers",
)
NOT_HASHED_OF_IMAGE = (
    "main_path",
    "source",
    "url",
    "sums_url",
    "size_bytes",
    "is_packed",
)
# Omitted while they have their defaults, so that older guests keep their hash.
HASHED_WHEN_SET = ("disk_origin", "is_cdrom", "is_readonly", "password_hash")


@dataclass(frozen=True, slots=True, kw_only=True)
class Guests:
    """The inputs of guests; `management` are addresses by guest.

    `password_hashes` are those of the passwords as written. `name_server` answers in
    the NAT network; it is empty without that network. `subnet` is the NAT network's.
    """

    names: Names
    directory: str
    placement: Placement
    bases: Bases
    name_server: str
    addressing: Addressing
    subnet: IPv4Network
    mtu: int
    management: Mapping[str, str]
    scripts: Mapping[str, str]
    password_hashes: Mapping[str, str]
    previous: Mapping[str, GuestState]
    golden_owner: str
    previous_goldens: Mapping[str, GoldenState]

    def build(
        self, expanded: Expanded
    ) -> tuple[tuple[GuestState, ...], tuple[GoldenState, ...]]:
        """Build all guests and golden images in order; each keeps its index."""
        guests, goldens = expanded.spec.machines, expanded.goldens
        indexes = self._indexes([machine.name for machine in (*guests, *goldens)])
        made = {
            golden.name: self._golden(self._guest(golden, indexes[golden.name]))
            for golden in goldens
        }
        built = (
            self._guest(m, indexes[m.name], made.get(expanded.parent(m.name)))
            for m in guests
        )
        return tuple(built), tuple(made.values())

    def _golden(self, guest: GuestState) -> GoldenState:
        if not is_prepared(guest):
            return GoldenState(guest=guest, image=guest.image)
        script = guest.setup_script.sha256 if guest.setup_script else ""
        context = guest.context_sha256 if guest.setup_script else ""
        digest_for = partial(
            golden_digest, guest, script_sha256=script, context_sha256=context
        )
        owner = self.golden_owner
        before = self.previous_goldens.get(guest.name)
        # Another owner alone is no reason to lose the clones' disks.
        if before and before.image.golden == digest_for(owner=before.owner):
            owner = before.owner
        image = self.bases.golden(
            guest.name, digest_for(owner=owner), self.placement.main
        )
        return GoldenState(
            guest=guest, image=image, context_sha256=context, owner=owner
        )

    def _indexes(self, guests: list[str]) -> dict[str, int]:
        kept = {g: self.previous[g].index for g in guests if g in self.previous}
        taken = set(kept.values())
        free = (index for index in range(len(guests)) if index not in taken)
        return {g: kept[g] if g in kept else next(free) for g in guests}

    def _guest(
        self, machine: Machine, index: int, golden: GoldenState | None = None
    ) -> GuestState:
        names, libvirt, main = self.names, built_guest(machine), self.placement.main
        host = self.placement.hosts[self.placement.guests.get(machine.name, main.name)]
        base = self.bases.build(machine.name, libvirt.libvirt_type, host)
        if golden and golden.is_prepared:
            base = self._on_golden(base, golden, host)
        folder = self._artefacts_dir(host)
        before = self.previous.get(machine.name)
        domain, hostname = names.domain(machine.name), names.hostname(machine.name)
        guest = GuestState(
            name=machine.name,
            index=index,
            host=host.name,
            domain=domain,
            hostname=hostname if hostname != domain else "",
            uuid=names.uuid(machine.name),
            user=base.user,
            cpus=libvirt.cpus,
            memory_mib=libvirt.memory_mb,
            expand_gib=base.expand_gib,
            image=base.image,
            disk_origin=base.origin,
            is_cdrom=base.is_cdrom,
            is_readonly=base.is_readonly,
            disk_bus=base.bus,
            artefacts_dir=str(folder),
            disk=str(folder / f"{machine.name}-disk.qcow2") if base.has_disk else "",
            seed="",
            xml=str(folder / f"{machine.name}-domain.xml"),
            console=str(folder / f"{machine.name}-console.log"),
            interfaces=self._interfaces(machine, index),
            management=None,
            environment={},
            spec_hash="",
            golden=golden.name if golden else "",
            markers=before.markers if before else Markers(),
        )
        if isinstance(libvirt.libvirt_type, CloudImage) and base.has_seed:
            guest = self._seeded(guest, libvirt, libvirt.libvirt_type)
        return guest.model_copy(update={"spec_hash": spec_hash(guest, host)})

    def _seeded(
        self, guest: GuestState, libvirt: Libvirt, source: CloudImage
    ) -> GuestState:
        """Add the settings that only cloud-init in the guest can apply."""
        return guest.model_copy(
            update={
                "user": libvirt.username or guest.user,
                "password_hash": self.password_hashes.get(libvirt.password or "", ""),
                "seed": str(
                    PurePosixPath(guest.artefacts_dir, f"{guest.name}-seed.iso")
                ),
                "management": self._management(guest.name, guest.index),
                "environment": source.environment,
                "guest_agent": source.guest_agent,
                "context": source.context,
                "context_sha256": self.scripts.get(
                    context_key(source.context or ""), ""
                ),
                "setup_script": self._script(source.setup_script),
                "run_script": self._script(source.run_script),
            }
        )

    def _on_golden(self, base: Base, golden: GoldenState, host: HostState) -> Base:
        """Base a clone on its golden image, which already has the wanted size."""
        image = self.bases.golden(golden.name, golden.image.golden, host)
        return replace(base, image=image, origin=DiskOrigin.LINKED, expand_gib=0)

    def _artefacts_dir(self, host: HostState) -> PurePosixPath:
        if host.is_main:
            return PurePosixPath(self.directory, "artefacts")
        return PurePosixPath(host.projects_dir, self.names.testbed, "artefacts")

    def _interfaces(
        self, machine: Machine, guest_index: int
    ) -> tuple[InterfaceState, ...]:
        gateway_key = self._gateway_key(machine)
        subnet = self.subnet
        interfaces = []
        for index, wanted in enumerate(machine.interfaces):
            key = (machine.name, interface_name(index))
            address = wanted.ip or self.addressing.reserved.get(key, "")
            dhcp = wanted.ip is None and key in self.addressing.reserved
            gateway = (wanted.gateway or "") if wanted.ip else ""
            if key == gateway_key:
                gateway = host_address(subnet)
            interfaces.append(
                InterfaceState(
                    name=interface_name(index),
                    bridge=wanted.attached_to,
                    device=self.names.bridge(wanted.attached_to),
                    tap=self.names.tap(guest_index, index),
                    mac=self.addressing.macs[key],
                    mtu=self.mtu,
                    dhcp=dhcp,
                    address=address,
                    prefix=static_prefix(address, subnet) if address else 0,
                    gateway=gateway,
                    name_server=self._name_server(key, gateway, dhcp=dhcp),
                    model=wanted.model,
                )
            )
        return tuple(interfaces)

    def _name_server(self, key: InterfaceKey, gateway: str, *, dhcp: bool) -> str:
        """Return the name server of a fixed address that reaches it.

        An address in the NAT network reaches it, and one with a gateway is expected to.
        """
        is_fixed = not dhcp and (key in self.addressing.reserved or bool(gateway))
        return self.name_server if is_fixed else ""

    def _gateway_key(self, machine: Machine) -> InterfaceKey | None:
        """Return the interface that leads outside unless the user chose one."""
        if any(interface.ip and interface.gateway for interface in machine.interfaces):
            return None
        for index, interface in enumerate(machine.interfaces):
            key = (machine.name, interface_name(index))
            if interface.ip is None and key in self.addressing.reserved:
                return key
        return None

    def _management(self, guest: str, index: int) -> ManagementInterface | None:
        address = self.management.get(guest)
        if address is None:
            return None
        return ManagementInterface(
            name=MANAGEMENT_INTERFACE,
            network=self.names.management_network,
            tap=self.names.management_tap(index),
            mac=self.addressing.macs[guest, MANAGEMENT_INTERFACE],
            address=address,
            prefix=SUBNET_PREFIX,
        )

    def _script(self, path: str | None) -> ScriptState | None:
        if path is None:
            return None
        return ScriptState(path=path, sha256=self.scripts.get(path, ""))


def spec_hash(guest: GuestState, host: HostState) -> str:
    """Digest all settings whose change requires a new definition of the guest."""
    content = guest.model_dump(mode="json", exclude=set(NOT_HASHED))
    for name in HASHED_WHEN_SET:
        if content[name] == GuestState.model_fields[name].default:
            del content[name]
    content["image"] = _hashed_image(guest)
    content |= {"domain_type": host.domain_type, "datapath": host.datapath}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()


def _hashed_image(guest: GuestState) -> dict[str, str]:
    """Return the image's relevant settings; a user's file by its stamp and path.

    On main that is the file's own path, which earlier versions used in place, so that
    older guests keep their hash.
    """
    image = guest.image
    own = () if image.is_own else ("is_own", "stamp")
    own = own if image.golden else (*own, "golden")
    found = image.model_dump(exclude={*NOT_HASHED_OF_IMAGE, *own})
    is_copied_here = image.is_own and image.path == image.main_path
    if is_copied_here and not image.is_packed:
        found["path"] = image.source or image.path
    return found
