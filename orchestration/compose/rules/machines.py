"""Rules about a single machine: its name, sizes, image and variables.

Part of `compose/check.py`. Each rule yields findings and never stops the others.
Interfaces are in `interfaces.py`, accounts in `accounts.py`, clones in `clones.py`,
files in `files.py`. Pure.
"""

import re
from collections.abc import Iterator, Mapping

from orchestration.compose.catalogue import Catalogue
from orchestration.compose.draft import Draft, Drafted
from orchestration.compose.language.schema import CloudImage, Docker, IsoGuest, Libvirt
from orchestration.compose.names import NAME_LIMIT, suggest_name
from orchestration.compose.reading.positions import Path, Positions
from orchestration.compose.rules.accounts import check_account
from orchestration.errors import Finding

NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
# RFC 1035: one label of a host name.
HOSTNAME_LIMIT = 63
# Texts that inet_aton(3) reads as an address; a machine's name has no dots.
ADDRESS_LIKE = re.compile(r"[0-9]+|0x[0-9a-f]+")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
MEMORY_MB = range(32, 4 * 1024 * 1024 + 1)
CPUS = range(1, 255 + 1)
EXPAND_GIGABYTES = range(65_535 + 1)

Size = tuple[Path, int, range, str]


def check_machines(
    draft: Draft, positions: Positions, catalogue: Catalogue, testbed_name: str
) -> Iterator[Finding]:
    """Check each machine."""
    for drafted in draft.machines:
        yield from _name(drafted, positions, testbed_name)
        kind = drafted.machine.kind
        if isinstance(kind, Libvirt):
            yield from _sizes(_libvirt_sizes(drafted, kind), positions)
            yield from check_account(drafted, kind, positions)
            if isinstance(kind.libvirt_type, CloudImage):
                yield from _image(drafted, kind.libvirt_type, positions, catalogue)
        elif isinstance(kind, Docker):
            path = (*drafted.kind_path, "environment")
            yield from _environment(path, kind.environment, positions)
            yield from _docker(drafted, kind, positions)


def is_address_like(name: str) -> bool:
    """Return whether resolvers read a name as an address: `10` is 0.0.0.10."""
    return ADDRESS_LIKE.fullmatch(name) is not None


def longest_name(drafted: Drafted) -> str:
    """Return a machine's longest name: its own, or that of its last clone."""
    scaling = drafted.machine.scaling
    if scaling is None or not scaling.clones:
        return drafted.machine.name
    return f"{drafted.machine.name}-{len(scaling.clones) - 1}"


def _name(
    drafted: Drafted, positions: Positions, testbed_name: str
) -> Iterator[Finding]:
    name, at = drafted.machine.name, (*drafted.path, "name")
    longest = longest_name(drafted)
    if not NAME.fullmatch(name) or len(name) > NAME_LIMIT:
        better = suggest_name(name)
        yield positions.error(
            at,
            f"`{name}` is no machine name: up to {NAME_LIMIT} of a-z, 0-9 and `-`, "
            "with no `-` at the ends.",
            f"For example `{better}`." if better else "For example `guest-1`.",
        )
    elif len(longest) > NAME_LIMIT:
        yield positions.error(
            at,
            f"The clone's name `{longest}` is longer than {NAME_LIMIT} characters.",
            "Shorten the machine's name.",
        )
    elif testbed_name and len(testbed_name) + 1 + len(longest) > HOSTNAME_LIMIT:
        yield positions.error(
            at,
            f"The host name `{testbed_name}-{longest}` is longer than "
            f"{HOSTNAME_LIMIT} characters.",
            "Shorten the machine's or the testbed's name.",
        )
    elif is_address_like(name) and drafted.machine.scaling is None:
        yield positions.warning(
            at,
            f"Programs take `{name}` for an address, so that it is no name in the "
            f"testbed's DNS: there the guest is `{testbed_name or '<testbed>'}-{name}` "
            "alone.",
            "Begin the name with a letter, unless that is enough.",
        )


def _libvirt_sizes(drafted: Drafted, kind: Libvirt) -> Iterator[Size]:
    below, disk = drafted.kind_path, kind.libvirt_type
    yield (*below, "cpus"), kind.cpus, CPUS, ""
    yield (*below, "memory_mb"), kind.memory_mb, MEMORY_MB, "The unit is MiB."
    if isinstance(disk, CloudImage | IsoGuest):
        path = (*drafted.disk_path, "expand_gigabytes")
        hint = "The disk is made this many GiB larger than the image."
        if isinstance(disk, IsoGuest):
            hint = "It is the size of the blank disk in GiB."
        yield path, disk.expand_gigabytes, EXPAND_GIGABYTES, hint


def _sizes(sizes: Iterator[Size], positions: Positions) -> Iterator[Finding]:
    for at, value, allowed, hint in sizes:
        if value not in allowed:
            yield positions.error(
                at,
                f"`{at[-1]}` must be between {allowed.start} and {allowed.stop - 1}, "
                f"it is {value}.",
                hint,
            )


def _image(
    drafted: Drafted, image: CloudImage, positions: Positions, catalogue: Catalogue
) -> Iterator[Finding]:
    path = drafted.disk_path
    if image.name not in catalogue:
        near = catalogue.nearest(image.name)
        known = f"Known images: {', '.join(catalogue)}."
        yield positions.error(
            (*path, "name"),
            f"Unknown cloud image `{image.name}`.",
            f"Did you mean `{near}`? {known}" if near else known,
        )
    yield from _environment((*path, "environment"), image.environment, positions)


def _environment(
    path: Path, environment: Mapping[str, str], positions: Positions
) -> Iterator[Finding]:
    for name in environment:
        if not VARIABLE.fullmatch(name):
            yield positions.error(
                (*path, name),
                f"`{name}` is no environment variable name.",
                "Use letters, digits and `_`, not starting with a digit.",
                at_key=True,
            )


def _docker(drafted: Drafted, kind: Docker, positions: Positions) -> Iterator[Finding]:
    path = drafted.kind_path
    if not kind.image.strip() or kind.image.startswith("-"):
        yield positions.error(
            (*path, "image"), f"`{kind.image}` is no image.", "For example `nginx`."
        )
    for index, volume in enumerate(kind.volumes):
        if not volume.target.startswith("/"):
            yield positions.error(
                (*path, "volumes", index, "target"),
                f"`{volume.target}` is no absolute path.",
                "Where the container sees it: start it with `/`.",
            )
