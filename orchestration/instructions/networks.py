"""The instructions that make and remove networks, bridges and links.

A resource's key leads to its entry in the state; a tunnel has one resource per end,
told apart by the host. Everything is idempotent and touches only what carries this
testbed's name.
"""

from collections.abc import Sequence

from orchestration.instructions.interfaces import put_on_bridge
from orchestration.instructions.task import Outcome, Task, done, unchanged
from orchestration.plan.resources import EXTERNAL_KEY, NAT_KEY, card_key
from orchestration.providers.libvirt import domains, networks
from orchestration.providers.libvirt.xml.domain import (
    build_management_network,
    build_nat_network,
)
from orchestration.providers.linux import ip_link
from orchestration.providers.ovs import bridges, taps
from orchestration.state.model import (
    BridgeState,
    GuestState,
    HostPortState,
    ManagementState,
    NatState,
    PatchState,
    TunnelEnd,
    TunnelState,
)

Link = PatchState | TunnelState | NatState | HostPortState


def ensure_networks(task: Task) -> Outcome:
    """Define and start the NAT or the management network on one host."""
    network, testbed = _network(task), task.state.testbed
    if isinstance(network, NatState):
        xml = build_nat_network(network, testbed=testbed)
    else:
        xml = build_management_network(network, testbed=testbed)
    changed = networks.ensure(task.host.libvirt, network.network, xml)
    if isinstance(network, NatState):
        return _outcome(changed)
    guests = (guest for guest in task.state.guests if guest.host == network.host)
    loose = taps.plug_into_network(
        task.host.transport,
        network.device,
        [guest.management.tap for guest in guests if guest.management],
        scope=task.scope,
    )
    return _plugged(changed, loose)


def delete_networks(task: Task) -> Outcome:
    """Stop and undefine the network."""
    return _outcome(networks.delete(task.host.libvirt, _network(task).network))


def ensure_bridges(task: Task) -> Outcome:
    """Make one Open vSwitch bridge as the state has it, with who runs plugged in."""
    bridge, transport = _bridge(task), task.host.transport
    changed = bridges.ensure_bridge(
        transport, bridge, testbed=task.state.testbed, scope=task.scope
    )
    return _plugged(changed, _plug_in(task, bridge))


def delete_bridges(task: Task) -> Outcome:
    """Remove one Open vSwitch bridge."""
    changed = bridges.delete_bridge(
        task.host.transport,
        _bridge(task).device,
        testbed=task.state.testbed,
        scope=task.scope,
    )
    return _outcome(changed)


def ensure_links(task: Task) -> Outcome:
    """Join bridges: a patch, an end of a tunnel, a host's card, the way out to NAT."""
    link, transport, testbed = _link(task), task.host.transport, task.state.testbed
    if isinstance(link, PatchState):
        changed = bridges.ensure_patch(
            transport, link, testbed=testbed, scope=task.scope
        )
    elif isinstance(link, TunnelState):
        changed = bridges.ensure_tunnel_end(
            transport, link, _end(task, link), testbed=testbed, scope=task.scope
        )
    elif isinstance(link, HostPortState):
        ip_link.require_unused(transport, link.nic, scope=task.scope)
        changed = bridges.ensure_port(
            transport, link.device, link.nic, testbed=testbed, scope=task.scope
        )
        ip_link.bring_up(transport, link.nic, checksum_offload=True, scope=task.scope)
    else:
        veth = ip_link.ensure_veth(
            transport,
            link.veth_network_end,
            link.veth_bridge_end,
            master_of_a=link.device,
            scope=task.scope,
        )
        port = bridges.ensure_port(
            transport,
            link.external_device,
            link.veth_bridge_end,
            testbed=testbed,
            scope=task.scope,
        )
        changed = veth or port
    return _outcome(changed)


def delete_links(task: Task) -> Outcome:
    """Remove what `ensure_links` made."""
    transport, testbed = task.host.transport, task.state.testbed
    changed = [
        bridges.delete_port(transport, port, testbed=testbed, scope=task.scope)
        for port in _ports(task)
    ]
    changed += [
        ip_link.delete_link(transport, device, scope=task.scope)
        for device in _veth_pairs(task)
    ]
    return _outcome(any(changed))


def _network(task: Task) -> NatState | ManagementState:
    nat = task.state.network.nat
    if task.resource.key == NAT_KEY and nat is not None:
        return nat
    return next(
        m for m in task.state.network.management if m.host == task.resource.host
    )


def _bridge(task: Task) -> BridgeState:
    device, host = task.resource.key, task.resource.host
    return next(
        b for b in task.state.network.bridges if b.device == device and b.host == host
    )


def _link(task: Task) -> Link:
    network, key = task.state.network, task.resource.key
    if key == EXTERNAL_KEY and network.nat is not None:
        return network.nat
    for card in network.cards:
        if (card_key(card), card.host) == (key, task.resource.host):
            return card
    links: tuple[PatchState | TunnelState, ...] = (*network.patches, *network.tunnels)
    return next(link for link in links if link.name == key)


def _ports(task: Task) -> list[str]:
    """Return the ports of a link on this host; a changed one may have old and new."""
    network, key, host = task.state.network, task.resource.key, task.resource.host
    if key == EXTERNAL_KEY and network.nat is not None:
        return [network.nat.veth_bridge_end]
    patches = [p for p in network.patches if (p.name, p.host) == (key, host)]
    ports = [port for patch in patches for port in (patch.port_a, patch.port_b)]
    tunnels = [tunnel for tunnel in network.tunnels if tunnel.name == key]
    ports += [end.port for t in tunnels for end in t.ends if end.host == host]
    ports += [c.nic for c in network.cards if (card_key(c), c.host) == (key, host)]
    return list(dict.fromkeys(ports))


def _veth_pairs(task: Task) -> list[str]:
    """Return one end of each veth pair that a link is on this host."""
    network, key, host = task.state.network, task.resource.key, task.resource.host
    if key == EXTERNAL_KEY and network.nat is not None:
        return [network.nat.veth_network_end]
    patches = (p for p in network.patches if (p.name, p.host) == (key, host))
    return [patch.port_a for patch in patches if patch.is_veth]


def _end(task: Task, tunnel: TunnelState) -> TunnelEnd:
    return next(e for e in tunnel.ends if e.host == task.resource.host)


def _plug_in(task: Task, bridge: BridgeState) -> list[str]:
    """Put running guests on a bridge that was made anew; return their taps.

    Who is on another bridge because of an edit is moved by `change_interfaces`.
    """
    cards = [
        (guest, card)
        for guest in task.state.guests
        if guest.host == bridge.host
        for card in guest.interfaces
        if card.device == bridge.device
    ]
    names = [card.tap for _, card in cards]
    transport, scope = task.host.transport, task.scope
    off = taps.off_bridge(transport, bridge.device, names, scope=scope)
    plugged = []
    for guest, card in cards:
        if card.tap in off and (not off[card.tap] or _is_current(task, guest)):
            put_on_bridge(task, guest, card)
            plugged.append(card.tap)
    return plugged


def _is_current(task: Task, guest: GuestState) -> bool:
    found = domains.find(task.host.libvirt, guest.domain)
    return found is not None and found.spec_hash == guest.spec_hash


def _plugged(changed: bool, loose: Sequence[str]) -> Outcome:
    if loose:
        return done(f"plugged {len(loose)} running guest interfaces in again")
    return _outcome(changed)


def _outcome(changed: bool) -> Outcome:
    return done() if changed else unchanged()
