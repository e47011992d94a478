"""Open vSwitch on one host: bridges, patch ports, tunnel ends, and their owners.

Instructions call these with values of the state. Each verb is one read and, when
something differs, one transaction. Every bridge and port carries its testbed in
`external_ids`; one with another testbed's name, or none, is never touched. libvirt
itself adds and removes guests' taps; devices are in `linux/ip_link.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from orchestration.errors import HostUnreachable, NetworkFailed
from orchestration.providers.failures import Failure, run_or_fail
from orchestration.providers.linux.ip_link import (
    PLAIN_MTU,
    Link,
    bring_up,
    ensure_veth,
    is_up,
    links,
    silence_host,
)
from orchestration.providers.ovs.changes import (
    BRIDGE_COLUMNS,
    PORT_COLUMNS,
    Port,
    bridge_changes,
    port_changes,
    tunnel_options,
)
from orchestration.providers.ovs.database import (
    START_HINT,
    Clause,
    Row,
    list_clause,
    read,
    refuse_foreign,
    write,
)
from orchestration.state.model import (
    BridgeState,
    Datapath,
    PatchState,
    TunnelEnd,
    TunnelState,
)
from orchestration.transport.base import Scope, Transport, command

# On a busy host its tools wait seconds for a processor; a dead daemon refuses at once.
CHECK_TIMEOUT_S = 20


@dataclass(frozen=True, slots=True)
class Tagged:
    """One testbed's things on a host: names of its bridges and ports, sorted."""

    bridges: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OvsFacts:
    """A host's Open vSwitch: its version, and whether the kernel datapath works."""

    version: str
    datapath_ok_kernel: bool


def ensure_bridge(
    transport: Transport, bridge: BridgeState, *, testbed: str, scope: Scope
) -> bool:
    """Make the bridge as the state has it, its internal port up."""
    device = bridge.device
    rows, interfaces, controllers = read(
        transport,
        list_clause("Bridge", BRIDGE_COLUMNS, device),
        list_clause("Interface", "name,admin_state", device),
        ("--columns=_uuid,target", "list", "Controller"),
        scope=scope,
    )
    current = rows[0] if rows else None
    if current is not None:
        refuse_foreign(current, f"bridge {device}", testbed, transport.machine)
    clauses = bridge_changes(bridge, current, controllers, testbed=testbed)
    if clauses:
        what = f"Bridge {bridge.name} could not be made on {transport.machine}."
        write(transport, clauses, what, scope=scope)
    was_up = any(row.text("admin_state") == "up" for row in interfaces)
    # A busy switch records late what the kernel has done.
    if current is not None and (was_up or is_up(transport, device, scope=scope)):
        return bool(clauses)
    silence_host(transport, (device,), scope=scope)
    offload = bridge.datapath is not Datapath.NETDEV
    bring_up(transport, device, checksum_offload=offload, scope=scope)
    return True


def ensure_patch(
    transport: Transport,
    patch: PatchState,
    *,
    testbed: str,
    scope: Scope,
    mtu: int = PLAIN_MTU,
) -> bool:
    """Join two bridges of this host with a pair of patch ports, or a veth pair.

    Only a veth pair has an MTU.
    """
    a, b = patch.port_a, patch.port_b
    if patch.is_veth:
        made = ensure_veth(transport, a, b, mtu=mtu, scope=scope)
        ends = (
            Port(patch.device_a, a, patch.name),
            Port(patch.device_b, b, patch.name),
        )
        return _ensure_ports(transport, ends, testbed=testbed, scope=scope) or made
    ports = (
        Port(patch.device_a, a, patch.name, "patch", {"peer": b}),
        Port(patch.device_b, b, patch.name, "patch", {"peer": a}),
    )
    return _ensure_ports(transport, ports, testbed=testbed, scope=scope)


def ensure_tunnel_end(
    transport: Transport,
    tunnel: TunnelState,
    end: TunnelEnd,
    *,
    testbed: str,
    scope: Scope,
) -> bool:
    """Make this host's end of a tunnel; changed addresses and keys are corrected."""
    options = tunnel_options(tunnel, end)
    port = Port(end.device, end.port, tunnel.name, tunnel.kind, options)
    return _ensure_ports(transport, (port,), testbed=testbed, scope=scope)


def ensure_port(
    transport: Transport, device: str, port: str, *, testbed: str, scope: Scope
) -> bool:
    """Put an existing network device (the external veth's end) on a bridge."""
    ports = (Port(device, port, port),)
    return _ensure_ports(transport, ports, testbed=testbed, scope=scope)


def delete_bridge(
    transport: Transport, device: str, *, testbed: str, scope: Scope
) -> bool:
    """Delete a bridge of this testbed with its ports; False when there is none."""
    clause = ("--if-exists", "del-br", device)
    return _delete(transport, ("Bridge", device), clause, testbed=testbed, scope=scope)


def delete_port(transport: Transport, port: str, *, testbed: str, scope: Scope) -> bool:
    """Delete a port of this testbed; False when there is none."""
    clause = ("--if-exists", "del-port", port)
    return _delete(transport, ("Port", port), clause, testbed=testbed, scope=scope)


def tagged(transport: Transport, *, scope: Scope) -> dict[str, Tagged]:
    """Return each testbed's bridges and ports on this host, by their tags."""
    tables = read(
        transport,
        ("--columns=name,external_ids", "list", "Bridge"),
        ("--columns=name,external_ids", "list", "Port"),
        scope=scope,
    )
    bridges, ports = (_names_by_owner(rows) for rows in tables)
    return {
        owner: Tagged(bridges.get(owner, ()), ports.get(owner, ()))
        for owner in sorted({*bridges, *ports})
    }


def check(transport: Transport, *, scope: Scope) -> OvsFacts:
    """Ask the switch daemon itself for an answer.

    Raises: HostUnreachable when the daemon or its database does not answer in time.
    """
    failure = Failure(
        HostUnreachable,
        f"Open vSwitch does not answer on {transport.machine}.",
        START_HINT,
    )
    limit = str(CHECK_TIMEOUT_S)
    asked = command("ovs-appctl", "-T", limit, "version").with_root()
    answer = run_or_fail(
        transport, asked, failure, scope=scope, timeout_s=CHECK_TIMEOUT_S + 10
    )
    query = (f"--timeout={limit}", "get", "Open_vSwitch", ".", "_uuid")
    stored = command("ovs-vsctl", *query).with_root()
    run_or_fail(transport, stored, failure, scope=scope, timeout_s=CHECK_TIMEOUT_S + 10)
    listed = command("ovs-dpctl", "dump-dps").with_root()
    kernel = transport.run(listed, scope=scope, check=False)
    words = answer.stdout.split()
    return OvsFacts(words[-1] if words else "", kernel.exit_code == 0)


def _ensure_ports(
    transport: Transport, ports: Sequence[Port], *, testbed: str, scope: Scope
) -> bool:
    if any(not port.kind for port in ports):
        there = links(transport, scope=scope)
        ports = [_with_index(port, there) for port in ports]
    devices = sorted({port.device for port in ports})
    names = [port.name for port in ports]
    tables = read(
        transport,
        list_clause("Bridge", "name,external_ids,ports", *devices),
        list_clause("Port", PORT_COLUMNS, *names),
        list_clause("Interface", "name,type,options,error", *names),
        scope=scope,
    )
    bridges, rows, interfaces = ({row.text("name"): row for row in t} for t in tables)
    clauses: list[Clause] = []
    for port in ports:
        bridge = bridges.get(port.device)
        if bridge is None:
            raise _no_bridge(port, transport.machine)
        current = rows.get(port.name)
        refuse_foreign(bridge, f"bridge {port.device}", testbed, transport.machine)
        if current is not None:
            refuse_foreign(current, f"port {port.name}", testbed, transport.machine)
        interface = interfaces.get(port.name)
        clauses += port_changes(port, testbed, bridge, current, interface)
    what = f"Port {' and '.join(names)} could not be made on {transport.machine}."
    # The daemon keeps the device of a port that is replaced within one transaction.
    deletions = [clause for clause in clauses if clause[0] == "del-port"]
    for part in (deletions, [c for c in clauses if c not in deletions]):
        if part:
            write(transport, part, what, scope=scope)
    return bool(clauses)


def _with_index(port: Port, there: Mapping[str, Link]) -> Port:
    found = there.get(port.name)
    return port if port.kind or found is None else replace(port, index=found.index)


def _delete(
    transport: Transport,
    record: tuple[str, str],
    clause: Clause,
    *,
    testbed: str,
    scope: Scope,
) -> bool:
    table, name = record
    (rows,) = read(
        transport, list_clause(table, "name,external_ids", name), scope=scope
    )
    if not rows:
        return False
    what = f"{table.lower()} {name}"
    refuse_foreign(rows[0], what, testbed, transport.machine)
    message = f"The {what} could not be removed from {transport.machine}."
    write(transport, [clause], message, scope=scope)
    return True


def _no_bridge(port: Port, machine: str) -> NetworkFailed:
    return NetworkFailed(
        f"Port {port.name} needs bridge {port.device}, "
        f"which does not exist on {machine}.",
        hint="Run `up` again: it makes missing bridges.",
    )


def _names_by_owner(rows: Sequence[Row]) -> dict[str, tuple[str, ...]]:
    owners: dict[str, list[str]] = {}
    for row in rows:
        if owner := row.map("external_ids").get("testbed"):
            owners.setdefault(owner, []).append(row.text("name"))
    return {owner: tuple(sorted(names)) for owner, names in owners.items()}
