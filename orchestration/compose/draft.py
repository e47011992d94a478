"""The valid sections of a YAML with their positions, for the rules.

The loader fills a `Draft`; the checks take the paths of a machine's parts from a
`Drafted`, so that no rule depends on the spellings of the generations, and every
interface of every guest, clones included, from `interfaces_of`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from orchestration.compose.language.generations import KINDS
from orchestration.compose.language.normal import (
    WrittenKind,
    kind_of_machine,
    written_disk,
)
from orchestration.compose.language.schema import (
    Interface,
    Machine,
    Network,
    TestbedOptions,
)
from orchestration.compose.language.written import (
    IpType,
    PlainScaling,
    SwitchInterface,
    WrittenLibvirt,
    WrittenMachine,
)
from orchestration.compose.reading.positions import Path


@dataclass(frozen=True, slots=True)
class Drafted:
    """One machine with the form that it was written in."""

    path: Path
    written: WrittenMachine
    machine: Machine

    @property
    def kind(self) -> WrittenKind:
        """The value of `libvirt`, `docker`, `android` or `avd`."""
        return kind_of_machine(self.written)

    @property
    def kind_path(self) -> Path:
        """The path of the guest's kind."""
        written = self.written
        key = next(key for key in KINDS if getattr(written, key) is not None)
        return (*self.path, key)

    @property
    def disk_path(self) -> Path:
        """The path of a virtual machine's disk."""
        kind = self.kind
        assert isinstance(kind, WrittenLibvirt)  # nosec B101  # noqa: S101 - callers check the kind
        key = written_disk(kind.libvirt_type)
        return (*self.kind_path, "libvirt_type", key)

    @property
    def scaling(self) -> PlainScaling | None:
        """The `scaling` as written."""
        return self.kind.scaling

    @property
    def attach_key(self) -> str:
        """The key that names the bridge or switch of an interface."""
        return "bridge" if self.written.interfaces else "switch"

    @property
    def interfaces_path(self) -> Path:
        """The path of its list of interfaces."""
        return (*self.path, "interfaces" if self.written.interfaces else "network")

    def interface_path(self, number: int) -> Path:
        """Return the path of one of its interfaces."""
        if isinstance(self.written.network, SwitchInterface):
            return self.interfaces_path
        return (*self.interfaces_path, number)


@dataclass(frozen=True, slots=True)
class Draft:
    """The valid sections; one whose type errors hide too much is left out.

    `mended` are the paths of values that are not the user's (`type_errors.mended`).
    `network` is None when it has errors of its own, or when the file mixes generations,
    so that no rule checks partial data.
    """

    machines: tuple[Drafted, ...] = ()
    network: Network | None = None
    options: TestbedOptions = field(default_factory=TestbedOptions)
    mended: frozenset[Path] = frozenset()


@dataclass(frozen=True, slots=True)
class DraftedInterface:
    """One interface of one guest, with the paths of its network, address and MAC.

    An interface whose address cannot be parsed has none and is not dynamic either.
    """

    guest: str
    wanted: Interface
    attached: Path
    ip: Path
    mac: Path
    is_on_switch: bool
    is_dynamic: bool


def interfaces_of(draft: Draft) -> Iterator[DraftedInterface]:
    """Return the interfaces of all machines in the order of the text."""
    for drafted in draft.machines:
        yield from machine_interfaces(drafted)
        yield from clone_interfaces(drafted)


def machine_interfaces(drafted: Drafted) -> Iterator[DraftedInterface]:
    """Return the interfaces that a machine lists itself."""
    for number, interface in enumerate(drafted.machine.interfaces):
        path = drafted.interface_path(number)
        yield DraftedInterface(
            guest=drafted.machine.name,
            wanted=interface,
            attached=(*path, drafted.attach_key),
            ip=(*path, "ip"),
            mac=(*path, "mac"),
            is_on_switch=drafted.attach_key == "switch",
            is_dynamic=interface.ip is None,
        )


def clone_interfaces(drafted: Drafted) -> Iterator[DraftedInterface]:
    """Return the interfaces that `scaling` gives to the clones."""
    machine, written = drafted.machine, drafted.scaling
    if machine.scaling is None or written is None:
        return
    base: Path = (*drafted.kind_path, "scaling", "interfaces")
    is_map = isinstance(written.interfaces, dict)
    counted = _counted(written)
    for number, clone in enumerate(machine.scaling.clones):
        for interface in clone.interfaces:
            path = (*base, interface.attached_to) if is_map else base
            yield DraftedInterface(
                guest=f"{machine.name}-{number}",
                wanted=interface,
                attached=path,
                ip=(*path, "ip_type"),
                mac=(*path, "mac_range"),
                is_on_switch=is_map,
                is_dynamic=interface.attached_to not in counted,
            )


def _counted(written: PlainScaling) -> frozenset[str]:
    """Return the switches on which clones get addresses from a range."""
    if not isinstance(written.interfaces, dict):
        return frozenset()
    return frozenset(
        switch
        for switch, entry in written.interfaces.items()
        if isinstance(entry.ip_type, IpType)
    )
