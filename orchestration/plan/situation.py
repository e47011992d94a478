"""A testbed as its server knows it, with which a client plans from its own files.

The server sends it (`GET /api/v1/testbeds/<account>/<name>/inputs`); the client adds its
YAML and files, and gets the plan that the server makes of the same files:
`testbed/testbeds/planning.py` takes the same steps from its rows. Pure but for the files.
"""

from collections.abc import Mapping
from hashlib import sha256
from ipaddress import IPv4Network
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from orchestration.compose.catalogue import Catalogue, Image
from orchestration.compose.check import check
from orchestration.compose.files import Files, FolderFiles
from orchestration.compose.language.built import require_built
from orchestration.compose.language.schema import LoadBalancing, Spec
from orchestration.compose.loader import Loaded
from orchestration.compose.pools import Pools
from orchestration.errors import StateError
from orchestration.plan.lifecycle import plan
from orchestration.plan.model import Command, Options, Plan
from orchestration.project.digests import is_golden_edited, with_files_now
from orchestration.project.folder import YAML_NAME
from orchestration.project.inputs import read_inputs
from orchestration.project.passwords import salt_for
from orchestration.state.build import Identity, Site, build_state
from orchestration.state.diff.changes import diff
from orchestration.state.diff.deployed import union
from orchestration.state.disk_bases import DiskFile
from orchestration.state.model import GuestState, HostState, State
from orchestration.state.mtu import JUMBO
from orchestration.state.placement import Taken

_HIDDEN = "hidden:"
_LOGIN = ("port", "user", "identity_file", "host_key")
_NO_LOGIN = {name: HostState.model_fields[name].default for name in _LOGIN}


class Situation(BaseModel):
    """The inputs of a plan that only the server knows.

    `taken` and `closed` are by host, `disk_files` by paths as the YAML has them.
    `previous` is the present state, `known` all that may exist of it and before it,
    `unfinished` what may exist besides while a change is not finished: all three as
    `without_secrets` returns them.
    """

    model_config = ConfigDict(frozen=True)

    testbed: str
    number: int
    directory: str
    identity_file: str
    public_key: str
    golden_owner: str
    hosts: tuple[HostState, ...]
    images: tuple[Image, ...]
    nat_pool: IPv4Network
    management_pool: IPv4Network
    tunnel_kind: str
    disk_folders: tuple[str, ...] = ()
    network_cards: tuple[str, ...] = ()
    taken: Mapping[str, Taken] = {}
    closed: tuple[str, ...] = ()
    most_mtu: int = JUMBO
    disk_files: Mapping[str, DiskFile] = {}
    is_disk_edited: bool = False
    is_deployed: bool = False
    previous: State | None = None
    known: State | None = None
    unfinished: State | None = None

    def checked(self, yaml: bytes, files: Files) -> Loaded:
        """Apply every rule of the language, with this server's hosts and images."""
        return check(
            yaml,
            files=files,
            catalogue=Catalogue(self.images),
            testbed_name=self.testbed,
            image_folders=[FolderFiles(Path(one)) for one in self.disk_folders],
            network_cards=self.network_cards,
            ranges=self._pools.ranges(self.number),
            hosts=self.hosts,
        )

    def planned(self, command: Command, options: Options, folder: Path) -> Plan:
        """Plan a command with the files of a folder.

        Raises: SpecError (with all findings), NotBuiltYet, StateError, OSError.
        """
        state, known = self._states(command, folder)
        previous = known or self.unfinished
        before = None if previous is None else union(previous, state)
        return plan(command, state, options, previous=before)

    def wanted(self, folder: Path) -> State:
        """Return the state that the folder's files want. Raises: as `planned`."""
        if self.is_deployed and self.previous and not self._is_edited(folder):
            return with_files_now(folder, self.previous)
        return self._built(folder)

    @property
    def _pools(self) -> Pools:
        return Pools(self.nat_pool, self.management_pool)

    def _states(self, command: Command, folder: Path) -> tuple[State, State | None]:
        """Return a command's state, and what may exist besides if it changes that."""
        if command in (Command.DOWN, Command.CLEAR_ARTEFACTS):
            return self._existing(), None
        if command is Command.GENERATE_ARTEFACTS and self.is_deployed:
            return self._existing(), None
        wanted = self.wanted(folder)
        if self.known is None or diff(self.known, wanted).is_empty:
            return wanted, None
        is_same = self.is_deployed and not self._is_edited(folder)
        return wanted, None if is_same else self.known

    def _existing(self) -> State:
        if self.previous is None:
            raise StateError(
                "This testbed is a draft: there is nothing of it on the hosts.",
                hint="Use Up or Generate artefacts first.",
            )
        return self.previous

    def _is_edited(self, folder: Path) -> bool:
        """Return whether the folder wants another state than the present one."""
        if self.previous is None:
            return True
        is_other_yaml = _yaml_sha256(folder) != self.previous.yaml_sha256
        is_other = is_other_yaml or is_golden_edited(folder, self.previous)
        return is_other or self.is_disk_edited

    def _built(self, folder: Path) -> State:
        yaml = (folder / YAML_NAME).read_bytes()
        spec: Spec = self.checked(yaml, FolderFiles(folder)).require()
        require_built(spec)
        is_balanced = spec.testbed_options.load_balancing is LoadBalancing.BALANCED
        salt = salt_for(self.public_key, self.previous)
        built = build_state(
            spec,
            read_inputs(folder, spec, salt=salt, disk_files=self.disk_files),
            identity=self._identity(yaml),
            hosts=self.hosts,
            catalogue=Catalogue(self.images),
            previous=self.previous,
            site=Site(self.tunnel_kind, self._pools),
            taken=self.taken if is_balanced else None,
            closed=self.closed,
            most_mtu=self.most_mtu,
        )
        return without_secrets(built)

    def _identity(self, yaml: bytes) -> Identity:
        return Identity(
            testbed=self.testbed,
            number=self.number,
            directory=self.directory,
            yaml_sha256=sha256(yaml).hexdigest(),
            identity_file=self.identity_file,
            public_key=self.public_key,
            golden_owner=self.golden_owner,
        )


def without_secrets(state: State) -> State:
    """Return a state whose passwords and environments can be compared, and not read.

    The salt of the passwords stays: hashes that are made later need it. It does not say
    how main signs in to the hosts.
    """
    guests = tuple(_hidden(state, guest) for guest in state.guests)
    goldens = tuple(
        golden.model_copy(update={"guest": _hidden(state, golden.guest)})
        for golden in state.goldens
    )
    hosts = tuple(map(without_login, state.hosts))
    changed = {"guests": guests, "goldens": goldens, "hosts": hosts}
    return state.model_copy(update=changed)


def without_login(host: HostState) -> HostState:
    """Return a host that does not say how main signs in to it.

    Its addresses stay: tunnels end there, and no guest may have them. Its folders stay:
    the paths of disks begin with them.
    """
    return host.model_copy(update=_NO_LOGIN)


def _hidden(state: State, guest: GuestState) -> GuestState:
    environment = {
        name: _digest(state, value) for name, value in guest.environment.items()
    }
    kept, _, last = guest.password_hash.rpartition("$")
    password = f"{kept}${_digest(state, last)}" if guest.password_hash else ""
    changed = {"environment": environment, "password_hash": password}
    return guest.model_copy(update=changed)


def _digest(state: State, text: str) -> str:
    """Digest a secret; one that is digested already stays as it is."""
    if text.startswith(_HIDDEN):
        return text
    key = f"{state.public_key}\0{text}".encode()
    return f"{_HIDDEN}{sha256(key).hexdigest()}"


def _yaml_sha256(folder: Path) -> str:
    return sha256((folder / YAML_NAME).read_bytes()).hexdigest()
