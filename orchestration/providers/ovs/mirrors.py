"""Mirror ports of Open vSwitch: every packet of a bridge, on one device for a capture.

A mirror and its port carry the testbed and the capture's mark (the tag of its task), by
which the end of the capture, or the sweeper after a lost worker, finds them. The switch
sends nothing else to such a port, and takes nothing from it.
"""

from collections.abc import Iterator
from hashlib import sha256

from orchestration.errors import NetworkFailed
from orchestration.providers.linux.ip_link import PLAIN_MTU, bring_up, silence_host
from orchestration.providers.ovs.database import (
    Clause,
    assign,
    list_clause,
    read,
    refuse_foreign,
    write,
)
from orchestration.transport.base import Scope, Transport

# The external id with the capture's mark; no other port of ours has it.
CAPTURE = "capture"
# A port of the mirror takes part in no spanning tree: it leads nowhere.
_NO_TREE = {"rstp-enable": "false", "stp-enable": "false"}


def port_name(number: int, mark: str) -> str:
    """Return the device of a capture's mirror, of a testbed with this number."""
    return f"t{number}c{sha256(mark.encode()).hexdigest()[:8]}"


def create(
    transport: Transport,
    device: str,
    port: str,
    *,
    testbed: str,
    scope: Scope,
    mtu: int = PLAIN_MTU,
) -> None:
    """Mirror the packets of all ports of bridge `device` to the new device `port`.

    The scope's tag is its mark. Raises: ForeignThing (the bridge is another's),
    NetworkFailed (there is no such bridge).
    """
    (rows,) = read(
        transport, list_clause("Bridge", "name,external_ids", device), scope=scope
    )
    if not rows:
        raise NetworkFailed(
            f"The bridge {device} does not exist on {transport.machine}.",
            hint="Run `up` again: it makes missing bridges.",
        )
    refuse_foreign(rows[0], f"bridge {device}", testbed, transport.machine)
    ids = assign("external_ids", {"testbed": testbed, CAPTURE: scope.tag})
    kind = ("type=internal", f"mtu_request={max(mtu, PLAIN_MTU)}")
    mirror = (f"name={port}", "select_all=true", "output_port=@port", ids)
    clauses: list[Clause] = [
        ("add-port", device, port),
        ("set", "Port", port, ids, assign("other_config", _NO_TREE)),
        ("set", "Interface", port, *kind),
        ("--id=@port", "get", "Port", port),
        ("--id=@mirror", "create", "Mirror", *mirror),
        ("add", "Bridge", device, "mirrors", "@mirror"),
    ]
    what = f"The bridge {device} could not be mirrored on {transport.machine}."
    write(transport, clauses, what, scope=scope)
    silence_host(transport, (port,), scope=scope)
    bring_up(transport, port, checksum_offload=True, scope=scope)


def delete(transport: Transport, mark: str, *, scope: Scope) -> bool:
    """Remove the mirrors, and their ports, whose mark begins so; False: there are none.

    Raises: NetworkFailed, HostUnreachable.
    """
    clauses = list(_deletions(transport, mark, scope))
    what = f"A mirror of a capture could not be removed from {transport.machine}."
    if clauses:
        write(transport, clauses, what, scope=scope)
    return bool(clauses)


def _deletions(transport: Transport, mark: str, scope: Scope) -> Iterator[Clause]:
    bridges, ports, mirrors = read(
        transport,
        ("--columns=name,mirrors", "list", "Bridge"),
        ("--columns=name,external_ids", "list", "Port"),
        ("--columns=_uuid,external_ids", "list", "Mirror"),
        scope=scope,
    )
    for mirror in mirrors:
        uuid = mirror.text("_uuid")
        if mirror.map("external_ids").get(CAPTURE, "").startswith(mark):
            for bridge in bridges:
                if uuid in bridge.values("mirrors"):
                    yield ("remove", "Bridge", bridge.text("name"), "mirrors", uuid)
    for port in ports:
        if port.map("external_ids").get(CAPTURE, "").startswith(mark):
            yield ("--if-exists", "del-port", port.text("name"))
