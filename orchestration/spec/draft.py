"""A YAML as far as it could be read, for the rules: what it means and where it stands.

The loader fills a `Draft`; the checks ask a `Drafted` machine for the paths of its
parts, so that no rule has to know the spellings of the generations.
"""

from dataclasses import dataclass, field

from orchestration.spec.normal import WrittenKind, kind_of_machine, written_disk
from orchestration.spec.positions import Path
from orchestration.spec.schema import Machine, Network, TestbedOptions
from orchestration.spec.written import (
    PlainScaling,
    SwitchInterface,
    WrittenLibvirt,
    WrittenMachine,
)

KINDS = ("libvirt", "docker", "android", "avd")


@dataclass(frozen=True, slots=True)
class Drafted:
    """One machine with the form that it was written in."""

    path: Path
    written: WrittenMachine
    machine: Machine

    @property
    def kind(self) -> WrittenKind:
        """What was written under `libvirt`, `docker`, `android` or `avd`."""
        return kind_of_machine(self.written)

    @property
    def kind_path(self) -> Path:
        """Where the guest's kind is described."""
        written = self.written
        key = next(key for key in KINDS if getattr(written, key) is not None)
        return (*self.path, key)

    @property
    def disk_path(self) -> Path:
        """Where the disk of a virtual machine is described."""
        kind = self.kind
        assert isinstance(kind, WrittenLibvirt)  # noqa: S101 - callers have looked
        key = written_disk(kind.libvirt_type)
        return (*self.kind_path, "libvirt_type", key)

    @property
    def scaling(self) -> PlainScaling | None:
        """What was written about clones."""
        return self.kind.scaling

    @property
    def attach_key(self) -> str:
        """The key that names what an interface is plugged into."""
        return "bridge" if self.written.interfaces else "switch"

    @property
    def interfaces_path(self) -> Path:
        """Where its interfaces are listed."""
        return (*self.path, "interfaces" if self.written.interfaces else "network")

    def interface_path(self, number: int) -> Path:
        """Where one of its interfaces stands."""
        if isinstance(self.written.network, SwitchInterface):
            return self.interfaces_path
        return (*self.interfaces_path, number)


@dataclass(frozen=True, slots=True)
class Draft:
    """The sections that could be read; one whose type errors hide too much is left out.

    `mended` are the places of values that are not the user's (`mending.py`). `network`
    is None when it has errors of its own, or when the file mixes two ways of writing,
    so that no rule judges what is only half known.
    """

    machines: tuple[Drafted, ...] = ()
    network: Network | None = None
    options: TestbedOptions = field(default_factory=TestbedOptions)
    mended: frozenset[Path] = frozenset()
