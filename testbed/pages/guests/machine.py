"""The interfaces, disks and clones of one guest, as a state has them and looks saw them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from orchestration.state.disk_sizes import disk_bytes
from orchestration.state.model import GuestState, State
from orchestration.state.model.images import DiskOrigin, ImageState
from testbed.pages.overview import GuestRow
from testbed.pages.traffic import Rate
from testbed.testbeds.disk_space import virtual_bytes

ORIGINS = {
    DiskOrigin.LINKED: "a layer over its image",
    DiskOrigin.COPIED: "a copy of its image",
    DiskOrigin.BLANK: "created empty",
}


@dataclass(frozen=True, slots=True)
class Traffic:
    """The traffic of an interface in one way since the guest started.

    Dropped packets did not fit into a queue between the guest and its bridge.
    """

    bytes: int
    packets: int
    dropped: int


@dataclass(frozen=True, slots=True)
class Interface:
    """One interface; `wanted` is its address in the state, `actual` those it had.

    `actual` is None while no check has read them, the traffic while nobody counts it,
    `rate` while no two looks tell it.
    """

    name: str
    bridge: str
    mac: str
    tap: str
    wanted: str
    actual: tuple[str, ...] | None
    received: Traffic | None
    sent: Traffic | None
    rate: Rate | None

    @property
    def is_other(self) -> bool:
        """Return whether the guest was seen without the address that it should have."""
        address = self.wanted.partition("/")[0]
        has_one = address not in ("", "dhcp")
        return self.actual is not None and has_one and address not in self.actual


@dataclass(frozen=True, slots=True)
class Disk:
    """One file of the chain that a guest's disk is; 0 bytes where no size is known."""

    title: str
    path: str
    size_bytes: int = 0
    note: str = ""


def interfaces_of(row: GuestRow, addresses: object) -> Iterator[Interface]:
    """Yield a guest's interfaces; `addresses` are those that a check read, by name."""
    guest = row.guest
    counts = row.observed.interfaces if row.observed else {}
    known = addresses if isinstance(addresses, dict) and addresses else None
    rates = row.rates

    def actual(name: str) -> tuple[str, ...] | None:
        return None if known is None else tuple(known.get(name, ()))

    for one in guest.interfaces:
        wanted = f"{one.address}/{one.prefix}" if one.address else ""
        if one.dhcp:
            wanted = one.address or "dhcp"
        yield Interface(
            one.name,
            one.bridge,
            one.mac,
            one.tap,
            wanted,
            actual(one.name),
            *_traffic(counts.get(one.tap)),
            rates.get(one.tap),
        )
    if (own := guest.management) is not None:
        wanted = f"{own.address}/{own.prefix}"
        yield Interface(
            own.name,
            own.network,
            own.mac,
            own.tap,
            wanted,
            actual(own.name),
            *_traffic(counts.get(own.tap)),
            rates.get(own.tap),
        )


def _traffic(
    counts: Mapping[str, Mapping[str, int]] | None,
) -> tuple[Traffic | None, Traffic | None]:
    if not counts:
        return None, None
    return Traffic(**counts["received"]), Traffic(**counts["sent"])


def disks_of(state: State, guest: GuestState) -> Iterator[Disk]:
    """Yield the chain of a guest's disk, and its seed; the state has this guest alone."""
    if guest.disk:
        size = disk_bytes(state, virtual_bytes)[guest.name]
        yield Disk("Disk", guest.disk, size, ORIGINS[guest.disk_origin])
    yield _image("CD-ROM" if guest.is_cdrom else "Image", guest.image)
    golden = next((g for g in state.goldens if g.name == guest.golden), None)
    if guest.image.golden and golden is not None:
        yield _image(f"Image of {golden.name}", golden.guest.image)
    if guest.seed:
        yield Disk("Seed", guest.seed, note="its first settings")


def _image(title: str, image: ImageState) -> Disk:
    return Disk(title, image.path, virtual_bytes(image), image.name)


def other_clones(state: State, guest: GuestState) -> tuple[str, ...]:
    """Return the other clones of a guest's golden image."""
    if not guest.golden:
        return ()
    same = (one.name for one in state.guests if one.golden == guest.golden)
    return tuple(name for name in same if name != guest.name)
