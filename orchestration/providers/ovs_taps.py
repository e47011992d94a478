"""A running guest's tap on the right Open vSwitch bridge, as libvirt would have it.

libvirt plugs taps in when guests start and takes them away when they end; it cannot
move one. `taps` puts those back that are loose, whosever they are; here is one guest's,
with what libvirt writes beside it. Used by `instructions.interfaces`.
"""

from collections.abc import Mapping

from orchestration.errors import NetworkFailed
from orchestration.providers.ovsdb import assign, list_clause, read, write
from orchestration.transport.base import Scope, Transport


def ensure_tap(
    transport: Transport,
    device: str,
    tap: str,
    *,
    identity: Mapping[str, str],
    scope: Scope,
) -> bool:
    """Have the tap be a port of bridge `device`; False when it was.

    `identity` is what libvirt writes beside the ports that it makes. Raises:
    NetworkFailed.
    """
    bridges, ports, interfaces = read(
        transport,
        list_clause("Bridge", "name,ports", device),
        list_clause("Port", "_uuid,name", tap),
        list_clause("Interface", "name,error,external_ids", tap),
        scope=scope,
    )
    if not bridges:
        raise NetworkFailed(
            f"The bridge {device} does not exist on {transport.machine}.",
            hint="Run `up` again: it makes missing bridges.",
        )
    is_here = ports and ports[0].text("_uuid") in bridges[0].values("ports")
    is_here = is_here and not any(row.text("error") for row in interfaces)
    known = interfaces[0].map("external_ids") if interfaces else {}
    if is_here and identity.items() <= known.items():
        return False
    words = (assign(f"external_ids:{key}", identity[key]) for key in sorted(identity))
    plug = [("--if-exists", "del-port", tap), ("add-port", device, tap)]
    clauses = [*([] if is_here else plug), ("set", "Interface", tap, *words)]
    what = f"The tap {tap} could not be moved to {device} on {transport.machine}."
    write(transport, clauses, what, scope=scope)
    return True
