"""Rules about clones: their numbers, their networks, and the sizes of their ranges.

Part of `compose/check.py`. Checks `scaling` as written, because the counted addresses
of the internal form no longer show a range that is too short. Pure.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from orchestration.compose.draft import Draft, Drafted
from orchestration.compose.language.normal import mac_number
from orchestration.compose.language.ovn import AddressRange
from orchestration.compose.language.schema import (
    Android,
    ExistingDisk,
    IsoGuest,
    Libvirt,
)
from orchestration.compose.language.written import (
    ClonesOnSwitch,
    GoldenScaling,
    IpType,
    MacRange,
    PlainScaling,
)
from orchestration.compose.reading.positions import Path, Positions
from orchestration.compose.rules.addresses import (
    check_address,
    check_mac,
    parse_address,
)
from orchestration.errors import Finding

SHOWN = 10


def check_scaling(draft: Draft, positions: Positions) -> Iterator[Finding]:
    """Check every machine that has clones."""
    for drafted in draft.machines:
        written = drafted.scaling
        if written is None:
            continue
        path = (*drafted.kind_path, "scaling")
        yield from _can_scale(drafted, path, positions)
        yield from _scripts(drafted, path, positions)
        yield from _reachable(draft, written, path, positions)
        yield from _count(path, written, positions)
        yield from _unlisted(path, written, positions)
        for at, clones in _lists(path, written):
            yield from _numbers(at, clones, written.count, positions)
        if isinstance(written.interfaces, dict):
            yield from _switches((*path, "interfaces"), written.interfaces, positions)


def _can_scale(drafted: Drafted, path: Path, positions: Positions) -> Iterator[Finding]:
    kind, key = drafted.machine.kind, ""
    if isinstance(kind, Libvirt) and isinstance(kind.libvirt_type, IsoGuest):
        key = "iso_guest"
    elif isinstance(kind, Android) and kind.existing_avd is not None:
        key = "existing_avd"
    if key:
        yield positions.error(
            path,
            f"`{key}` cannot be scaled.",
            "Write the machines out one by one, or use another kind.",
            at_key=True,
        )


def _scripts(drafted: Drafted, path: Path, positions: Positions) -> Iterator[Finding]:
    """Refuse scripts where there is no account to run them with."""
    kind, written = drafted.machine.kind, drafted.scaling
    is_disk = isinstance(kind, Libvirt) and isinstance(kind.libvirt_type, ExistingDisk)
    if not is_disk or not isinstance(written, GoldenScaling):
        return
    for key in ("shared_setup", "clone_setup", "clone_run"):
        if getattr(written, key):
            yield positions.error(
                (*path, key),
                "No script can run in clones of an `existing_disk`: the testbed has "
                "no account in it.",
                "Remove it, or start from a `cloud_image`.",
                at_key=True,
            )


def _reachable(
    draft: Draft, written: PlainScaling, path: Path, positions: Positions
) -> Iterator[Finding]:
    """Refuse a golden image that has a script to run and cannot be reached.

    It has only a management interface and one on the external bridge.
    """
    network = draft.network
    if not isinstance(written, GoldenScaling) or not written.shared_setup:
        return
    if draft.options.management_network or network is None or network.ovn:
        return
    if network.external_bridge:
        return
    yield positions.error(
        (*path, "shared_setup"),
        "The golden image cannot be reached to run `shared_setup`: there is no "
        "`external_bridge`, and `management_network` is false.",
        "Name an `external_bridge`, or leave `management_network` on.",
        at_key=True,
    )


def _count(
    path: Path, written: PlainScaling, positions: Positions
) -> Iterator[Finding]:
    if written.count == 0:
        yield positions.warning(
            (*path, "count"),
            "`count` is 0: there will be no guest of this machine.",
            "Remove `scaling` if the machine itself is wanted.",
        )


def _lists(path: Path, written: PlainScaling) -> Iterator[tuple[Path, Sequence[int]]]:
    """Yield every list of clones with its path."""
    base = (*path, "interfaces")
    if isinstance(written.interfaces, dict):
        for name, on_switch in written.interfaces.items():
            yield (*base, name, "clones"), on_switch.clones
    else:
        for index, on_bridge in enumerate(written.interfaces):
            yield (*base, index, "clones"), on_bridge.clones
    if isinstance(written, GoldenScaling):
        for key in ("clone_setup", "clone_run"):
            entries = written.clone_run if key == "clone_run" else written.clone_setup
            for index, entry in enumerate(entries):
                yield (*path, key, index, "clones"), entry.clones


def _unlisted(
    path: Path, written: PlainScaling, positions: Positions
) -> Iterator[Finding]:
    entries = written.interfaces
    values = entries.values() if isinstance(entries, dict) else entries
    listed = {number for entry in values for number in entry.clones}
    missing = [number for number in range(written.count) if number not in listed]
    if missing:
        yield positions.error(
            (*path, "interfaces"),
            f"No interface is given to {_clones(missing)}.",
            f"Clones are numbered from 0 to {written.count - 1}; list each of them.",
            at_key=True,
        )


def _numbers(
    path: Path, clones: Sequence[int], count: int, positions: Positions
) -> Iterator[Finding]:
    negative = [number for number in clones if number < 0]
    beyond = [number for number in clones if number >= count]
    twice = [number for number, times in Counter(clones).items() if times > 1]
    last = f"They are numbered from 0 to {count - 1}."
    if negative:
        yield positions.error(path, f"There is no {_clones(negative)}.", last)
    if beyond and count:
        yield positions.warning(
            path, f"There is no {_clones(beyond)}: `count` is {count}.", last
        )
    if twice:
        yield positions.error(
            path, f"Listed twice: {_clones(twice)}.", "List each once."
        )


def _switches(
    path: Path, interfaces: dict[str, ClonesOnSwitch], positions: Positions
) -> Iterator[Finding]:
    owner: dict[int, str] = {}
    for switch, entry in interfaces.items():
        below = (*path, switch)
        again = [number for number in entry.clones if number in owner]
        if again:
            yield positions.warning(
                (*below, "clones"),
                f"Already on switch `{owner[again[0]]}`, which counts: "
                f"{_clones(again)}.",
                "A clone has one interface; list it once.",
            )
        owner.update((number, switch) for number in entry.clones if number not in owner)
        yield from check_address((*below, "gateway"), entry.gateway, positions)
        count = len(entry.clones)
        if isinstance(entry.ip_type, IpType):
            at = (*below, "ip_type", "ip_range")
            yield from _addresses(at, entry.ip_type.ip_range, count, positions)
        if entry.mac_range is not None:
            at = (*below, "mac_range")
            yield from _macs(at, entry.mac_range, count, positions)


def _addresses(
    path: Path, wanted: AddressRange, count: int, positions: Positions
) -> Iterator[Finding]:
    yield from check_address((*path, "from"), wanted.from_, positions)
    yield from check_address((*path, "to"), wanted.to, positions)
    first, last = parse_address(wanted.from_), parse_address(wanted.to)
    if first is not None and last is not None:
        size = int(last) - int(first) + 1
        yield from _size(path, size, count, "addresses", positions)


def _macs(
    path: Path, wanted: MacRange, count: int, positions: Positions
) -> Iterator[Finding]:
    yield from check_mac((*path, "from"), wanted.from_, positions)
    yield from check_mac((*path, "to"), wanted.to, positions)
    first, last = mac_number(wanted.from_), mac_number(wanted.to)
    if first is not None and last is not None:
        yield from _size(path, last - first + 1, count, "MACs", positions)


def _size(
    path: Path, size: int, count: int, what: str, positions: Positions
) -> Iterator[Finding]:
    if size < 1:
        yield positions.error(path, "The range ends before it begins.", "Turn it over.")
    elif size != count:
        yield positions.error(
            path,
            f"The range holds {size} {what} for {count} clones.",
            "There must be exactly one for each clone of the list.",
        )


def _clones(numbers: Sequence[int]) -> str:
    shown = ", ".join(str(number) for number in numbers[:SHOWN])
    more = f" and {len(numbers) - SHOWN} more" if len(numbers) > SHOWN else ""
    return f"clone {shown}{more}"
