"""The values and bounded questions that the probes of a guest's layers share.

`reaching` makes a `Symptom` of its last attempt, `diagnose` the `Evidence`; each probe
takes the `Evidence` and returns a `Diagnosis` when its layer is the one that failed.
Each question is bounded by ASK_TIMEOUT_S, in the guest by INSIDE_TIMEOUT_S.
"""

import json
from dataclasses import dataclass, field
from enum import StrEnum

from orchestration.hosts import Host
from orchestration.instructions.task import Task
from orchestration.providers.guest import console
from orchestration.providers.libvirt.ownership import GuestDomain
from orchestration.state.model import (
    GuestState,
    InterfaceState,
    ManagementInterface,
    ManagementState,
)
from orchestration.transport.base import Command, Transport, command

# On a host with too many guests the command waits for a processor, too.
ASK_TIMEOUT_S = 30.0
# cloud-init's own program takes seconds to start under emulation.
INSIDE_TIMEOUT_S = 60.0
CONSOLE_LINES = 60


class Layer(StrEnum):
    """The layers that must work before a guest is ready, from the bottom up."""

    DOMAIN = "domain"
    DISK = "disk"
    PORT = "port"
    LINK = "link"
    BOOT = "boot"
    LEASE = "lease"
    ADDRESS = "address"
    SSH = "ssh"
    HOST_KEY = "host key"
    LOGIN = "login"
    FIRST_BOOT = "first boot"


NETWORK = (Layer.PORT, Layer.LINK, Layer.BOOT, Layer.LEASE, Layer.ADDRESS)


@dataclass(frozen=True, slots=True)
class Symptom:
    """The layer that an attempt to log in did not pass, and how it ended there.

    `is_temporary`: the guest refused the login for now only.
    """

    layer: Layer
    words: str
    detail: str = ""
    hint: str = ""
    is_temporary: bool = False


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The first layer that failed. `words` completes "Guest web was not ready: …"."""

    layer: Layer
    words: str
    hint: str
    evidence: str = ""


@dataclass(slots=True)
class Evidence:
    """The data about a guest that did not come up; `remarks` are further evidence.

    `guest_transport` is None where no login works.
    """

    task: Task
    guest: GuestState
    symptom: Symptom
    guest_transport: Transport | None = None
    remarks: list[str] = field(default_factory=list)
    _console: str | None = None
    _devices: dict[str, dict[str, object]] = field(default_factory=dict)

    @property
    def domain(self) -> GuestDomain:
        """The guest's domain."""
        return self.task.domain(self.guest)

    @property
    def way(self) -> ManagementInterface | InterfaceState | None:
        """The interface by which the guest is reached."""
        return self.task.state.way_to(self.guest).interface

    @property
    def management(self) -> ManagementState | None:
        """The management network of the guest's host."""
        networks = self.task.state.network.management
        return next((n for n in networks if n.host == self.guest.host), None)

    def read_console(self) -> str:
        """Return the end of the guest's serial console; it is read once.

        Raises: TestbedError.
        """
        if self._console is None:
            self._console = console.console_tail(
                self.task.host.transport,
                self.guest.console,
                lines=CONSOLE_LINES,
                scope=self.task.scope,
            )
        return self._console

    def ask(self, *words: str) -> str:
        """Return the output of a command on the guest's host; empty when it fails."""
        return self._answer(self.task.host.transport, command(*words), ASK_TIMEOUT_S)

    def inside(self, cmd: Command) -> str:
        """Return a command's output in the guest; empty if it or the login fails."""
        if self.guest_transport is None:
            return ""
        return self._answer(self.guest_transport, cmd, INSIDE_TIMEOUT_S)

    def _answer(self, transport: Transport, cmd: Command, timeout_s: float) -> str:
        completed = transport.run(
            cmd.with_root(),
            scope=self.task.scope,
            timeout_s=timeout_s,
            check=False,
        )
        return completed.stdout if completed.exit_code == 0 else ""

    def device(self, tap: str) -> dict[str, object]:
        """Return what `ip` prints of a host's network device; empty when missing."""
        if tap not in self._devices:
            said = self.ask("ip", "-s", "-j", "link", "show", "dev", tap)
            self._devices[tap] = _first(said)
        return self._devices[tap]

    def neighbour(self, address: str) -> dict[str, object]:
        """Return the neighbour entry of an address on the host that reaches it."""
        way, task = self.task.state.way_to(self.guest), self.task
        host = task.host if way.host == task.host.state.name else self._opened(way.host)
        asked = command("ip", "-j", "neigh", "show", address)
        return _first(self._answer(host.transport, asked, ASK_TIMEOUT_S))

    def _opened(self, name: str) -> Host:
        return self.task.hosts.open(self.task.state.host(name))


def _first(text: str) -> dict[str, object]:
    """Return the first object of a JSON list; iproute2 prints {} for nothing."""
    try:
        found = json.loads(text or "[]")
    except ValueError:
        return {}
    entries = [entry for entry in found if isinstance(entry, dict) and entry]
    return entries[0] if entries else {}
