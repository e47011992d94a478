"""Rules about machines: names, sizes, images, interfaces and their addresses.

Part of `checks.py`. Each rule yields findings and never stops the others; rules about
one machine get its path, rules across machines the whole draft. Pure.
"""

import re
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Address

from orchestration.errors import Finding
from orchestration.spec.catalogue import Catalogue
from orchestration.spec.loader import Draft
from orchestration.spec.positions import Path, Positions
from orchestration.spec.schema import CloudImage, Interface, Machine

NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
NAME_LIMIT = 40
# RFC 1035: one label of a host name.
HOSTNAME_LIMIT = 63
MAC = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
INTERFACES_LIMIT = 10
MEMORY_MB = range(32, 4 * 1024 * 1024 + 1)
CPUS = range(1, 255 + 1)
EXPAND_GIGABYTES = range(65_535 + 1)


def check_machines(
    draft: Draft, positions: Positions, catalogue: Catalogue, testbed_name: str
) -> Iterator[Finding]:
    """Check each machine, then what must be unique among them."""
    for index, machine in draft.machines:
        path: Path = ("machines", index)
        yield from _name(path, machine, positions, testbed_name)
        yield from _sizes(path, machine, positions)
        image = machine.libvirt.libvirt_type
        below = (*path, "libvirt", "libvirt_type", "cloud_image")
        yield from _image(below, image, positions, catalogue)
        yield from _environment((*below, "environment"), image, positions)
        yield from _interfaces(path, machine, positions)
    yield from _duplicates(draft, positions)


def suggest_name(name: str) -> str:
    """Return a valid machine name that is close to `name`, or ''."""
    dashed = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return dashed[:NAME_LIMIT].rstrip("-")


def _name(
    path: Path, machine: Machine, positions: Positions, testbed_name: str
) -> Iterator[Finding]:
    name, at = machine.name, (*path, "name")
    if not NAME.fullmatch(name) or len(name) > NAME_LIMIT:
        better = suggest_name(name)
        yield positions.error(
            at,
            f"`{name}` is no machine name: up to {NAME_LIMIT} of a-z, 0-9 and `-`, "
            "with no `-` at the ends.",
            f"For example `{better}`." if better else "For example `guest-1`.",
        )
    elif testbed_name and len(testbed_name) + 1 + len(name) > HOSTNAME_LIMIT:
        yield positions.error(
            at,
            f"The host name `{testbed_name}-{name}` is longer than "
            f"{HOSTNAME_LIMIT} characters.",
            "Shorten the machine's or the testbed's name.",
        )


def _sizes(path: Path, machine: Machine, positions: Positions) -> Iterator[Finding]:
    libvirt = machine.libvirt
    below = (*path, "libvirt")
    disk = (*below, "libvirt_type", "cloud_image", "expand_gigabytes")
    rules: tuple[tuple[Path, int, range, str], ...] = (
        ((*below, "cpus"), libvirt.cpus, CPUS, ""),
        ((*below, "memory_mb"), libvirt.memory_mb, MEMORY_MB, "The unit is MiB."),
        (
            disk,
            libvirt.libvirt_type.expand_gigabytes,
            EXPAND_GIGABYTES,
            "The disk is made this many GiB larger than the image.",
        ),
    )
    for at, value, allowed, hint in rules:
        if value not in allowed:
            yield positions.error(
                at,
                f"`{at[-1]}` must be between {allowed.start} and {allowed.stop - 1}, "
                f"it is {value}.",
                hint,
            )


def _image(
    path: Path, image: CloudImage, positions: Positions, catalogue: Catalogue
) -> Iterator[Finding]:
    if image.name not in catalogue:
        near = catalogue.nearest(image.name)
        known = f"Known images: {', '.join(catalogue)}."
        yield positions.error(
            (*path, "name"),
            f"Unknown cloud image `{image.name}`.",
            f"Did you mean `{near}`? {known}" if near else known,
        )


def _environment(
    path: Path, image: CloudImage, positions: Positions
) -> Iterator[Finding]:
    for name in image.environment:
        if not VARIABLE.fullmatch(name):
            yield positions.error(
                (*path, name),
                f"`{name}` is no environment variable name.",
                "Use letters, digits and `_`, not starting with a digit.",
                at_key=True,
            )


def _interfaces(
    path: Path, machine: Machine, positions: Positions
) -> Iterator[Finding]:
    if len(machine.interfaces) > INTERFACES_LIMIT:
        yield positions.error(
            (*path, "interfaces"),
            f"{len(machine.interfaces)} interfaces; a guest can have "
            f"{INTERFACES_LIMIT}.",
        )
    for index, interface in enumerate(machine.interfaces):
        below = (*path, "interfaces", index)
        yield from _mac(below, interface, positions)
        yield from _addresses(below, interface, positions)


def _mac(path: Path, interface: Interface, positions: Positions) -> Iterator[Finding]:
    mac, at = interface.mac, (*path, "mac")
    if mac is None:
        return
    if not MAC.fullmatch(mac):
        yield positions.error(
            at,
            f"`{mac}` is no MAC address.",
            "Six pairs of hexadecimal digits with colons, such as 52:54:00:12:34:56.",
        )
    elif mac == "00:00:00:00:00:00":
        yield positions.error(at, "A MAC address cannot be all zero.")
    elif int(mac[:2], 16) & 1:
        yield positions.error(
            at,
            f"`{mac}` is a multicast address; a network card cannot have it.",
            "Make the second digit even, for example start with 52:54:00.",
        )


def _addresses(
    path: Path, interface: Interface, positions: Positions
) -> Iterator[Finding]:
    for key, value in (("ip", interface.ip), ("gateway", interface.gateway)):
        if value is not None and not _is_ipv4(value):
            hint = "Write four numbers with dots, such as 10.0.0.5."
            if "/" in value:
                hint = f"Leave the mask away: {value.partition('/')[0]}."
            elif ":" in value:
                hint = "IPv6 is not built yet; give an IPv4 address."
            yield positions.error((*path, key), f"`{value}` is no IPv4 address.", hint)
    if interface.gateway is not None and interface.ip is None:
        yield positions.warning(
            (*path, "gateway"),
            "`gateway` has no effect without `ip`: DHCP gives the guest its gateway.",
            "Add `ip`, or remove `gateway`.",
        )


def _is_ipv4(text: str) -> bool:
    try:
        IPv4Address(text)
    except AddressValueError:
        return False
    return True


def _duplicates(draft: Draft, positions: Positions) -> Iterator[Finding]:
    names: dict[str, Path] = {}
    macs: dict[str, Path] = {}
    addresses: dict[str, Path] = {}
    for index, machine in draft.machines:
        path: Path = ("machines", index)
        places = [("machine name", machine.name, (*path, "name"), names)]
        for number, interface in enumerate(machine.interfaces):
            below = (*path, "interfaces", number)
            places += [
                ("MAC", interface.mac or "", (*below, "mac"), macs),
                ("address", interface.ip or "", (*below, "ip"), addresses),
            ]
        for what, value, at, seen in places:
            yield from _seen_before(what, value, at, seen, positions)


def _seen_before(
    what: str, value: str, at: Path, seen: dict[str, Path], positions: Positions
) -> Iterator[Finding]:
    if not value:
        return
    first = seen.setdefault(value, at)
    if first != at:
        line = positions.of_value(first).line
        yield positions.error(
            at,
            f"The {what} `{value}` is used twice; first in line {line}.",
            "Each must be different.",
        )
