"""The MTU of guests, derived from the underlay of a testbed's hosts.

One value for all guests of a testbed, so that a guest's MTU does not depend on the host
of its peer. A host's underlay is the device that has its tunnel address
(`HostState.tunnel_mtu`, as the host check saw it). Pure; used by `state.build` and the
check before `up`.
"""

from collections.abc import Iterable
from ipaddress import ip_address

from orchestration.state.model import HostNetwork, HostState, State

ETHERNET = 1500
# Loopback carries 65,536, which says nothing about the physical network.
JUMBO = 9000

# VXLAN (RFC 7348, section 5): 14 bytes of the guests' Ethernet, 8 of VXLAN, 8 of UDP,
# and the outer IP's 20 or 40. Geneve without options needs as much, GRE less.
_OVERHEAD = {4: 50, 6: 70}


def guest_mtu(hosts: Iterable[HostState], *, at_most: int) -> int:
    """Return the MTU of all guests; `hosts` are those that the testbed uses.

    The overhead of a tunnel is subtracted even without a tunnel: otherwise the
    testbed's first tunnel would restart every guest.
    """
    fits = (
        min(host.tunnel_mtu or ETHERNET, JUMBO) - overhead(host.tunnel_address)
        for host in hosts
    )
    return min(at_most, *fits)


def overhead(address: str) -> int:
    """Return how many bytes a tunnel to an address adds to each packet."""
    return _OVERHEAD[ip_address(address).version] if address else _OVERHEAD[4]


def mtu_of(state: State) -> int:
    """Return the MTU that a state's guests have; 0 when it has none."""
    return max((i.mtu for guest in state.machines for i in guest.interfaces), default=0)


def shrunk(state: State, host: str, network: HostNetwork) -> tuple[str, str]:
    """Return a message and a hint if a host's underlay is too small for the guests.

    Both are empty where it is large enough or not known.
    """
    ends = [e for t in state.network.tunnels for e in t.ends if e.host == host]
    mtu, carried = mtu_of(state), network.tunnel_mtu
    needed = max((mtu + overhead(end.remote_address) for end in ends), default=0)
    if not mtu or not carried or carried >= needed:
        return "", ""
    device = network.tunnel_device
    message = (
        f"{device} of {host} carries packets of {carried} bytes, and the guests' MTU of "
        f"{mtu} needs {needed} between hosts: larger ones are lost."
    )
    hint = (
        f"Raise the MTU of {device}; or run `manage.py check_hosts`, then use "
        "Down and Up: the guests get a smaller MTU."
    )
    return message, hint
