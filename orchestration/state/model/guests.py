"""The guests of a testbed, with all names, paths and addresses decided.

Units are in the names; addresses are their usual text forms. Only `Markers` change
after the state was built.
"""

from operator import not_
from pathlib import PurePosixPath

from pydantic import Field

from orchestration.compose.language.schema import DiskBus, NetworkModel
from orchestration.state.model.images import DiskOrigin, Frozen, ImageState

# The name of the virtio port through which a guest reports its SSH host key.
HOST_KEY_PORT = "testbed.host-key"


def _is_virtio(value: str) -> bool:
    return value == "virtio"


class InterfaceState(Frozen):
    """One interface on an experiment's bridge: `name` in the guest, `tap` on its host.

    `address` is known for static and reserved addresses (`prefix` with it) and empty
    otherwise. `dhcp`: the guest asks for its address. `name_server` is set where DHCP
    gives none. An empty `name_server` and a `model` of virtio are not dumped, so that
    older guests keep their hash and their instance.
    """

    name: str
    bridge: str
    device: str
    tap: str
    mac: str
    mtu: int
    dhcp: bool
    address: str = ""
    prefix: int = 0
    gateway: str = ""
    name_server: str = Field(default="", exclude_if=not_)
    model: NetworkModel = Field(default=NetworkModel.VIRTIO, exclude_if=_is_virtio)


class ManagementInterface(Frozen):
    """A guest's last interface: static, no gateway, isolated from other guests."""

    name: str
    network: str
    tap: str
    mac: str
    address: str
    prefix: int


class ScriptState(Frozen):
    """A script in the testbed's folder; the digest is empty in offline plans."""

    path: str
    sha256: str = ""


class Markers(Frozen):
    """Events of a guest; each is written after the event, never before.

    `disk` is the identity of the image that the disk was made from, `reached` the spec
    hash with which the guest was first reached, `script` the digest of the setup script
    that ended with `script_exit_code`, `context` the digest of the guest's current
    context, `user_keys` that of the users' SSH keys that it accepts.
    """

    disk: str = ""
    reached: str = ""
    script: str = ""
    script_exit_code: int | None = None
    run_script: str = ""
    run_script_exit_code: int | None = None
    context: str = ""
    user_keys: str = Field(default="", exclude_if=not_)


class GuestState(Frozen):
    """One guest on its host, with all names and paths decided.

    `domain` is libvirt's name; an empty `hostname` is the same, as in states of earlier
    versions. `artefacts_dir` is the folder on the guest's host; `disk`, `seed`, `xml`
    and `console` are full paths there. `spec_hash` covers what the user wrote about
    this guest.

    A guest without a `seed` has no account for us: it only runs. One without a `disk`
    has its CD-ROM alone. A clone names its `golden` image's machine.
    """

    name: str
    index: int
    host: str
    domain: str
    hostname: str = Field(default="", exclude_if=not_)
    uuid: str
    user: str
    password_hash: str = ""
    cpus: int
    memory_mib: int
    expand_gib: int
    image: ImageState
    disk_origin: DiskOrigin = DiskOrigin.LINKED
    is_cdrom: bool = False
    is_readonly: bool = False
    disk_bus: DiskBus = Field(default=DiskBus.VIRTIO, exclude_if=_is_virtio)
    artefacts_dir: str
    disk: str
    seed: str
    xml: str
    console: str
    interfaces: tuple[InterfaceState, ...]
    management: ManagementInterface | None
    environment: dict[str, str]
    guest_agent: bool = Field(default=False, exclude_if=not_)
    context: str | None = None
    context_sha256: str = Field(default="", exclude_if=not_)
    setup_script: ScriptState | None = None
    run_script: ScriptState | None = None
    spec_hash: str
    golden: str = ""
    markers: Markers = Markers()

    @property
    def key_report(self) -> str:
        """The file on its host in which QEMU keeps the host key that it reports."""
        return str(PurePosixPath(self.artefacts_dir, f"{self.name}-host-key.report"))

    @property
    def is_set_up(self) -> bool:
        """Return whether a run reached it, or its current setup script ended well."""
        if self.setup_script is None:
            return bool(self.markers.reached)
        is_current = self.markers.script == self.setup_script.sha256
        return is_current and self.markers.script_exit_code == 0


class GoldenState(Frozen):
    """A machine on main of which only the clones run.

    `guest` describes the single start that runs the clones' shared script, and `image`
    is its result, on main. Without preparation, `image` is the image that the machine
    itself would start from. Testbeds with the same `owner` share the image.
    """

    guest: GuestState
    image: ImageState
    context_sha256: str = ""
    owner: str = Field(default="", exclude_if=not_)

    @property
    def name(self) -> str:
        """The user's name for the machine."""
        return self.guest.name

    @property
    def is_prepared(self) -> bool:
        """Return whether an image is made of it before its clones are."""
        return bool(self.image.golden)

    @property
    def is_started(self) -> bool:
        """Return whether a script has to run in it."""
        return self.guest.setup_script is not None
