"""A testbed host as the instructions use it: its transport and its libvirt.

`Hosts` keeps what it opened, one SSH transport per host and per guest and one libvirt
connection per host, so that commands need no new login. Hosts stay open while the
process lives, guests until they have been idle for a while: another process stops most
of them, and this one gets no notice of that. Only this module decides which of the five
ways leads to a machine.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from orchestration.errors import (
    ConsoleUnavailable,
    HostUnreachable,
    LibvirtFailed,
    StateError,
)
from orchestration.providers.libvirt import agent
from orchestration.providers.libvirt.connection import Connection
from orchestration.providers.libvirt.consoles import screen
from orchestration.providers.libvirt.consoles.running import look_whether_running
from orchestration.providers.libvirt.consoles.serial import SerialConsole
from orchestration.providers.libvirt.facts.node import node_facts
from orchestration.providers.libvirt.ownership import domain_of
from orchestration.providers.libvirt.simulated import open_connection
from orchestration.providers.linux import machine, network
from orchestration.providers.ovs import bridges
from orchestration.state.model import (
    Datapath,
    DomainType,
    GuestState,
    HostKind,
    HostNetwork,
    HostState,
    State,
)
from orchestration.transport.agent import AgentTransport
from orchestration.transport.base import Scope, Transport
from orchestration.transport.local import LocalTransport
from orchestration.transport.reachable import forwarding_problem, require_answer
from orchestration.transport.simulated.transport import SimulatedTransport
from orchestration.transport.ssh import Failures, SSHTransport, Terminal
from orchestration.transport.streams import Stream

# Another worker may have stopped a guest that then came back elsewhere, so its address
# and route are a part of the key.
GuestKey = tuple[str, str, HostState, tuple[str, str, str]]

# A guest that is used again later costs one login, 30 ms.
IDLE_S = 900.0
LOOK_FOR_IDLE_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class Host:
    """One opened testbed host."""

    state: HostState
    transport: Transport
    libvirt: Connection


class Hosts:
    """Opens hosts and guests once and keeps them; thread-safe.

    `runtime_dir` holds ssh wrappers for libvirt, the simulated hosts' files and the
    ledgers of boots and of failed logins.
    """

    def __init__(self, runtime_dir: Path) -> None:
        self.runtime_dir = runtime_dir
        self._failures = Failures(runtime_dir / "ssh-failures.json")
        self._lock = threading.Lock()
        self._hosts: dict[HostState, Host] = {}
        self._guests: dict[GuestKey, Transport] = {}
        self._asked_at: dict[GuestKey, float] = {}
        self._looked_at = time.monotonic()

    def open(self, state: HostState) -> Host:
        """Return the host, opened (no connection is made before the first use)."""
        self._look_for_idle()
        with self._lock:
            if state not in self._hosts:
                self._hosts[state] = self._open(state)
            return self._hosts[state]

    def guest(self, state: State, guest: GuestState, *, host_key: str) -> Transport:
        """Return the guest's transport: SSH from main, or through a remote host.

        `host_key` is the guest's pinned public key line. Raises: StateError when the
        guest has no known address, or no known key.
        """
        way = state.way_to(guest)
        host = self.open(state.host(way.host))
        place = (way.address, guest.user, host_key)
        key = (state.testbed, guest.name, host.state, place)
        with self._lock:
            if key not in self._guests:
                self._guests[key] = self._open_guest(state, guest, host, host_key)
            self._asked_at[key] = time.monotonic()
            return self._guests[key]

    def agent(self, state: State, guest: GuestState) -> AgentTransport:
        """Return the way into a guest through its QEMU agent, which may not answer."""
        libvirt = self.open(state.host(guest.host)).libvirt
        asked = partial(agent.ask, libvirt, domain_of(state.testbed, guest))
        account = guest.user if guest.seed else ""
        return AgentTransport(asked, guest.name, account=account)

    def open_serial(
        self,
        state: State,
        guest: GuestState,
        *,
        on_output: Callable[[bytes], None],
        on_end: Callable[[], None],
    ) -> SerialConsole:
        """Open a guest's serial console, on a connection that its end closes.

        Raises: ConsoleUnavailable, ForeignThing, LibvirtFailed, HostUnreachable.
        """
        host = self._open_for_console(state, guest)
        conn = self._libvirt(host.state, host.transport)
        console = SerialConsole(conn, on_output=on_output, on_end=on_end)
        try:
            console.open(domain_of(state.testbed, guest))
        except BaseException:
            console.close()
            raise
        return console

    def open_screen(self, state: State, guest: GuestState) -> Stream:
        """Connect to a guest's screen, a VNC server.

        Raises: ConsoleUnavailable, ForeignThing, LibvirtFailed, HostUnreachable.
        """
        host = self._open_for_console(state, guest)
        domain = domain_of(state.testbed, guest)
        if isinstance(host.transport, SSHTransport):
            path = screen.socket_path(host.libvirt, domain)
            return host.transport.open_socket(path)
        return Stream(screen.open_on_main(host.libvirt, domain))

    def open_shell(
        self, state: State, guest: GuestState, *, host_key: str, size: tuple[int, int]
    ) -> Terminal:
        """Open a login shell of a guest's account; `size` is in columns and rows.

        Raises: StateError, ConsoleUnavailable, HostUnreachable and its kinds.
        """
        transport = self.guest(state, guest, host_key=host_key)
        if not isinstance(transport, SSHTransport):
            raise ConsoleUnavailable(f"Guest {guest.name} is simulated: no shell.")
        try:
            return transport.open_terminal(*size, scope=Scope())
        except HostUnreachable:
            # Its host may know better why.
            with suppress(LibvirtFailed):
                self.require_running(state, guest)
            raise

    def require_running(self, state: State, guest: GuestState) -> None:
        """Raise what keeps a guest from running.

        Raises: ConsoleUnavailable, ForeignThing, LibvirtFailed, HostUnreachable.
        """
        host = self._open_for_console(state, guest)
        look_whether_running(host.libvirt, domain_of(state.testbed, guest))

    def forget_guest(self, state: State, guest: GuestState) -> None:
        """Close the transports of a guest that is gone or new."""
        with self._lock:
            keys = [k for k in self._guests if k[:2] == (state.testbed, guest.name)]
            found = [self._pop(key) for key in keys]
        for transport in found:
            transport.close()

    def close(self) -> None:
        """Close all hosts and guests."""
        with self._lock:
            guests, hosts = list(self._guests.values()), list(self._hosts.values())
            self._guests.clear()
            self._asked_at.clear()
            self._hosts.clear()
        for transport in guests:
            transport.close()
        for host in hosts:
            host.transport.close()
            host.libvirt.close()

    def _open_for_console(self, state: State, guest: GuestState) -> Host:
        host = self.open(state.host(guest.host))
        if not host.state.boots_guests:
            raise ConsoleUnavailable(
                f"Guests of the simulated host {guest.host} have no console."
            )
        return host

    def _look_for_idle(self) -> None:
        """Close idle guests at intervals, on a thread because closing waits."""
        now = time.monotonic()
        with self._lock:
            if now - self._looked_at < LOOK_FOR_IDLE_EVERY_S:
                return
            self._looked_at = now
            idle = [key for key in self._guests if self._is_idle(key)]
        if idle:
            work = threading.Thread(target=self._close_idle, args=(idle,), daemon=True)
            work.start()

    def _close_idle(self, keys: list[GuestKey]) -> None:
        for key in keys:
            transport = self._guests.get(key)
            if not isinstance(transport, SSHTransport) or (
                transport.connection.close_if_idle(IDLE_S)
            ):
                with self._lock:
                    # Keep a guest requested since: nothing would close it later.
                    if key in self._guests and self._is_idle(key):
                        self._pop(key)

    def _is_idle(self, key: GuestKey) -> bool:
        return time.monotonic() - self._asked_at[key] >= IDLE_S

    def _pop(self, key: GuestKey) -> Transport:
        self._asked_at.pop(key)
        return self._guests.pop(key)

    def _open(self, state: HostState) -> Host:
        transport = self._host_transport(state)
        return Host(state, transport, self._libvirt(state, transport))

    def _libvirt(self, state: HostState, transport: Transport) -> Connection:
        return open_connection(
            state,
            wrapper_dir=self.runtime_dir / "libvirt",
            simulated_dir=self.runtime_dir / "simulated",
            require_answer=partial(require_answer, transport),
        )

    def _host_transport(self, state: HostState) -> Transport:
        if state.kind is HostKind.SIMULATED:
            return SimulatedTransport(state.name, self.runtime_dir / "simulated")
        if state.is_main:
            return LocalTransport(state.name)
        return SSHTransport(
            state.address,
            port=state.port,
            user=state.user,
            identity_file=Path(state.identity_file),
            host_key=state.host_key,
            machine=state.name,
            failures=self._failures,
        )

    def _open_guest(
        self, state: State, guest: GuestState, host: Host, host_key: str
    ) -> Transport:
        if not state.host(guest.host).boots_guests:
            return SimulatedTransport(guest.domain, self.runtime_dir / "simulated")
        address = state.way_to(guest).address
        if not address:
            raise StateError(
                f"Guest {guest.name} has no address that the testbed knows.",
                hint="Switch management_network on, or give an interface an ip.",
            )
        if not host_key:
            raise StateError(
                f"The host key of guest {guest.name} is not known.",
                hint="Start Up again: the guest reports its key when it boots.",
            )
        via = host.transport if isinstance(host.transport, SSHTransport) else None
        return SSHTransport(
            address,
            user=guest.user,
            identity_file=Path(state.identity_file),
            host_key=host_key,
            machine=guest.name,
            via=via,
            failures=self._failures,
        )


@dataclass(frozen=True, slots=True)
class HostFacts:
    """The observed facts of a host: its size, usable domain types and datapath.

    `load` is the one-minute load average. `remark` and `hint` name a problem and its
    remedy. The seconds are of all CPUs since the boot, the disk is that of the guests'
    disks; 0 where the host did not say.
    """

    cpus: int
    memory_mib: int
    free_memory_mib: int
    load: float
    domain_type: DomainType
    datapath: Datapath
    switch_version: str
    remark: str = ""
    hint: str = ""
    cpu_busy_s: float = 0.0
    cpu_total_s: float = 0.0
    disk_bytes: int = 0
    disk_free_bytes: int = 0
    qemu_version: str = ""


def examine(host: Host, *, scope: Scope) -> HostFacts:
    """Query a host's SSH, libvirt and Open vSwitch. Raises: HostUnreachable."""
    seen = machine.observe(host.transport, host.state.projects_dir, scope=scope)
    forbidden = forwarding_problem(host.transport)
    node = node_facts(host.libvirt)
    switch = bridges.check(host.transport, scope=scope)
    kernel = switch.datapath_ok_kernel
    return HostFacts(
        cpus=node.cpus,
        memory_mib=node.memory_mib,
        free_memory_mib=node.free_memory_mib,
        load=seen.load,
        domain_type=DomainType.KVM if seen.kvm and node.kvm else DomainType.QEMU,
        datapath=Datapath.SYSTEM if kernel else Datapath.NETDEV,
        switch_version=switch.version,
        remark=forbidden.message if forbidden else seen.remark,
        hint=forbidden.hint if forbidden else seen.hint,
        cpu_busy_s=seen.cpu_busy_s,
        cpu_total_s=seen.cpu_total_s,
        disk_bytes=seen.disk_bytes,
        disk_free_bytes=seen.disk_free_bytes,
        qemu_version=node.version,
    )


def host_network(host: Host, *, scope: Scope) -> HostNetwork:
    """Query a host's ranges, filters and underlay. Raises: HostUnreachable.

    A simulated host has none.
    """
    if not host.state.has_network:
        return HostNetwork()
    return network.look(host.transport, host.state.tunnel_address, scope=scope)
