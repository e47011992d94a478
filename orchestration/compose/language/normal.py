"""Converts the written form to the internal form, for every generation of the YAML.

The loader calls it machine by machine, after the types are validated; values may still
be wrong, so nothing here fails: an address that cannot be counted is left out, and the
checks report it. Clones get their interfaces, addresses and scripts here. Pure.
"""

from collections.abc import Iterable, Iterator
from ipaddress import AddressValueError, IPv4Address

from orchestration.compose.language.schema import (
    Android,
    Clone,
    Docker,
    Interface,
    Kind,
    Libvirt,
    Machine,
    Network,
    Scaling,
    Spec,
    TestbedOptions,
)
from orchestration.compose.language.written import (
    BridgeInterface,
    CloneScript,
    ClonesOnSwitch,
    DiskChoice,
    GoldenScaling,
    IpType,
    PlainScaling,
    SwitchInterface,
    WrittenAndroid,
    WrittenDocker,
    WrittenLibvirt,
    WrittenMachine,
)

MAC_BITS = 48
WrittenKind = WrittenLibvirt | WrittenDocker | WrittenAndroid


def build_spec(
    machines: Iterable[Machine], network: Network, options: TestbedOptions
) -> Spec:
    """Build the spec from its parts."""
    return Spec(machines=tuple(machines), network=network, testbed_options=options)


def build_machine(written: WrittenMachine) -> Machine:
    """Build the internal form of a machine."""
    kind = kind_of_machine(written)
    return Machine(
        name=written.name,
        kind=_kind(kind),
        interfaces=tuple(map(_interface, written_interfaces(written))),
        scaling=_scaling(kind.scaling) if kind.scaling else None,
    )


def kind_of_machine(written: WrittenMachine) -> WrittenKind:
    """Return the one kind that is given; the model ensures that there is one."""
    kinds = (written.libvirt, written.docker, written.android, written.avd)
    return next(kind for kind in kinds if kind is not None)


def written_interfaces(
    written: WrittenMachine,
) -> tuple[BridgeInterface | SwitchInterface, ...]:
    """Return the interfaces, whichever key and form they are written in."""
    if written.interfaces:
        return written.interfaces
    network = written.network or ()
    return (network,) if isinstance(network, SwitchInterface) else network


def written_disk(written: DiskChoice) -> str:
    """Return the key of the disk that is given."""
    keys = ("cloud_image", "existing_disk", "iso_guest")
    return next(key for key in keys if getattr(written, key) is not None)


def address_at(first: str, offset: int) -> str | None:
    """Return the address at an offset from the first, or None when there is none."""
    try:
        return str(IPv4Address(first) + offset)
    except (AddressValueError, ValueError):
        return None


def mac_number(mac: str) -> int | None:
    """Return a MAC as a number, or None when it is invalid."""
    parts = mac.split(":")
    try:
        octets = bytes.fromhex("".join(parts))
    except ValueError:
        return None
    has_form = len(parts) == MAC_BITS // 8 and all(len(part) == 2 for part in parts)
    return int.from_bytes(octets) if has_form else None


def mac_at(first: str, offset: int) -> str | None:
    """Return the MAC at an offset from the first, or None when there is none."""
    number = mac_number(first)
    if number is None or (number + offset) >> MAC_BITS:
        return None
    return (number + offset).to_bytes(MAC_BITS // 8).hex(":")


def _interface(written: BridgeInterface | SwitchInterface) -> Interface:
    if isinstance(written, BridgeInterface):
        attached_to, network_name = written.bridge, None
    else:
        attached_to, network_name = written.switch, written.network_name
    return Interface(
        attached_to=attached_to,
        mac=written.mac,
        ip=written.ip,
        gateway=written.gateway,
        network_name=network_name,
        model=written.model,
    )


def _kind(written: WrittenKind) -> Kind:
    if isinstance(written, WrittenDocker):
        return Docker.model_validate(written.model_dump(exclude={"scaling"}))
    if isinstance(written, WrittenAndroid):
        return _android(written)
    choice = written.libvirt_type
    disk = choice.cloud_image or choice.existing_disk or choice.iso_guest
    return Libvirt.model_validate(
        {
            "cpus": written.cpus,
            "memory_mb": written.memory_mb,
            "libvirt_type": disk,
            "username": written.username,
            "password": written.password,
        }
    )


def _android(written: WrittenAndroid) -> Android:
    if written.existing_avd is not None:
        return Android(existing_avd=written.existing_avd.path)
    new = written.avd or written
    return Android(
        android_api_version=getattr(new, "android_api_version", None),
        playstore_enabled=getattr(new, "playstore_enabled", False),
    )


def _scaling(written: PlainScaling) -> Scaling:
    interfaces = _clone_interfaces(written)
    shared, setup, run = None, dict[int, str](), dict[int, str]()
    if isinstance(written, GoldenScaling):
        shared = written.shared_setup
        setup, run = _scripts(written.clone_setup), _scripts(written.clone_run)
    return Scaling(
        shared_setup=shared,
        clones=tuple(
            Clone(
                interfaces=tuple(interfaces.get(number, ())),
                setup_script=setup.get(number),
                run_script=run.get(number),
            )
            for number in range(written.count)
        ),
    )


def _scripts(entries: Iterable[CloneScript]) -> dict[int, str]:
    return {number: entry.script for entry in entries for number in entry.clones}


def _clone_interfaces(written: PlainScaling) -> dict[int, list[Interface]]:
    """Return the interfaces of each clone; on switches only the first counts."""
    found: dict[int, list[Interface]] = {}
    if not isinstance(written.interfaces, dict):
        for entry in written.interfaces:
            for number in entry.clones:
                card = Interface(attached_to=entry.bridge, model=entry.model)
                found.setdefault(number, []).append(card)
        return found
    for switch, wanted in written.interfaces.items():
        for number, card in _cards_on_switch(switch, wanted):
            found.setdefault(number, [card])
    return found


def _cards_on_switch(
    switch: str, wanted: ClonesOnSwitch
) -> Iterator[tuple[int, Interface]]:
    """Count addresses and MACs by the place in the list, not by the clone's number."""
    for place, number in enumerate(wanted.clones):
        ip = mac = None
        if isinstance(wanted.ip_type, IpType):
            ip = address_at(wanted.ip_type.ip_range.from_, place)
        if wanted.mac_range is not None:
            mac = mac_at(wanted.mac_range.from_, place)
        yield (
            number,
            Interface(
                attached_to=switch,
                mac=mac,
                ip=ip,
                gateway=wanted.gateway,
                model=wanted.model,
            ),
        )
