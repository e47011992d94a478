"""Flows of bridges without a controller: the one that makes each a switch.

Open vSwitch adds it itself. A flow that somebody added or removed by hand sends frames
elsewhere or nowhere, and no table of the database says so. A user's controller owns the
flows of its bridge: such bridges are not asked about. The look asks about all bridges
of a host in one call, `ensure_bridges` about one.
"""

import re
from collections.abc import Sequence

from orchestration.errors import NetworkFailed
from orchestration.providers.failures import Failure, run_or_fail
from orchestration.providers.ovs.database import START_HINT
from orchestration.transport.base import Scope, Transport, command

SWITCH_FLOW = "priority=0,actions=NORMAL"
_TIMEOUT_S = 20
# A bridge may have been made with any version, and speaks no other.
_OPENFLOW = ",".join(f"OpenFlow1{minor}" for minor in range(6))
_OFCTL = ("ovs-ofctl", f"--timeout={_TIMEOUT_S}", "-O", _OPENFLOW)
# A bridge that went meanwhile, and one that does not answer, have no line of their own.
_DUMP = """\
for bridge; do
  flows=$(ovs-ofctl --timeout=20 -O "$0" --no-stats dump-flows "$bridge") || continue
  echo "bridge $bridge"
  echo "$flows"
done 2> /dev/null
true
"""
_FLOW = re.compile(r"(?:cookie=0x0, )?(?:priority=0 )?actions=NORMAL")


def altered(
    transport: Transport, devices: Sequence[str], *, scope: Scope
) -> frozenset[str]:
    """Return those of the bridges that have other flows than a switch's one.

    Raises: HostUnreachable.
    """
    if not devices:
        return frozenset()
    cmd = command("sh", "-c", _DUMP, _OPENFLOW, *devices).with_root()
    timeout_s = _TIMEOUT_S * len(devices) + 10.0
    said = transport.run(cmd, scope=scope, timeout_s=timeout_s, check=False)
    parts = re.split(r"^bridge (\S+)\n", said.stdout, flags=re.MULTILINE)
    found = zip(parts[1::2], parts[2::2], strict=True)
    return frozenset(device for device, dumped in found if not _is_switch(dumped))


def reset(transport: Transport, device: str, *, scope: Scope) -> None:
    """Give a bridge a switch's one flow, and no other. Raises: NetworkFailed."""
    failure = Failure(
        NetworkFailed,
        f"The flows of {device} could not be set back on {transport.machine}.",
        START_HINT,
    )
    flow = f"{SWITCH_FLOW}\n".encode()
    cmd = command(*_OFCTL, "replace-flows", device, "-", stdin=flow).with_root()
    run_or_fail(transport, cmd, failure, scope=scope, timeout_s=_TIMEOUT_S + 10)


def _is_switch(dumped: str) -> bool:
    flows = [line.strip() for line in dumped.splitlines() if "actions=" in line]
    return len(flows) == 1 and _FLOW.fullmatch(flows[0]) is not None
