"""A site whose host answers as a test says; only the machine is a stand-in."""

from dataclasses import replace
from types import SimpleNamespace

from orchestration.compose.pools import Pools
from orchestration.providers.linux.basics import Basics
from orchestration.state.model import HostNetwork
from testbed.hosts.requirements import Site
from testbed.models import Host
from tests.fakes import FakeTransport

BASICS = Basics(
    system="Debian GNU/Linux 13 (trixie)",
    kernel="6.12.0",
    identity="there 1",
    free_bytes=100 << 30,
    ahead_s=0.2,
    within_s=1.0,
    qemu="QEMU emulator version 10.0.2",
    missing=(),
)
NETWORK = HostNetwork(tunnel_device="eth0", tunnel_mtu=1500)


def site(
    *script: tuple[str, object],
    network: HostNetwork = NETWORK,
    user: str = "root",
    **basics: object,
) -> Site:
    """Return a site; `script` has the commands that its host answers."""
    host = Host(name="host-b", address="192.0.2.7", user=user)
    opened = SimpleNamespace(
        state=host.to_state(), transport=FakeTransport("host-b", script), libvirt=None
    )
    found = Site(host, opened, Pools(), identity="here 1")
    found.__dict__["basics"] = replace(BASICS, **basics)
    found.__dict__["network"] = network
    return found
